/* SPDX-License-Identifier: MIT */
/*
 * Threads that are processes to each other, for ThreadSanitizer.
 *
 *	race [SECONDS [SEED]]
 *
 * The sanitizer knows a race only by its address, so two processes that map a
 * registry each for themselves are strangers to it. Here each thread has a
 * struct space, a slot and a life word of its own over one mapping, and works
 * on the same few segments. Some end at any step, also with the lock, which
 * marks their life word as the kernel marks a dead process's; the next thread
 * finds another program image in the slot and repairs.
 *
 * Checked besides: a segment that is held is never seen with fewer
 * attachments, and when all have ended the next caller finds none but those
 * and every invariant in order.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/step.h"
#include "core/attach.h"
#include "core/segment.h"
#include "store/verify.h"

#ifdef __SANITIZE_THREAD__
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif

/*
 * That a thread's end comes before whatever is done because of its mark is
 * the kernel's doing, which the sanitizer does not see.
 */
#ifdef TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);

/* A slot's next owner makes the dead one's mutex anew: no bug here. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "report_mutex_bugs=0 halt_on_error=0";
}

/*
 * Who loaded the claim of a slot's last owner may look at the word while libc
 * makes it anew for the next one. Whatever it reads, the claim is compared
 * again before anything follows from it.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:pthread_mutex_init\n";
}

static char the_dead;
#define dies()	     __tsan_release(&the_dead)
#define finds_dead() __tsan_acquire(&the_dead)
#else
#define dies()	     ((void)0)
#define finds_dead() ((void)0)
#endif

enum { THREADS = 6, KEYS = 3, HELD = 77, HOLDS = 3, SLOTS = 4, SIZE = 8192 };

static char dir[64];
static char segment_path[72];
static struct space *first; /* the one that was opened; holds HELD */
static void *holds[HOLDS];
static unsigned long failures, calls, deaths;
static uint64_t next_image = 1000;

static _Thread_local long steps_left; /* until this thread ends; 0: never */
static _Thread_local unsigned seed;

static void fail(const char *what, long a, long b)
{
	fprintf(stderr, "FAIL %s (%ld, %ld)\n", what, a, b);
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

static void on_step(const char *name)
{
	if (strcmp(name, "sweep: found a dead process") == 0 ||
	    strcmp(name, "lock: taken over") == 0)
		finds_dead();
	if (steps_left > 0 && --steps_left == 0) {
		__atomic_fetch_add(&deaths, 1, __ATOMIC_RELAXED);
		dies();
		pthread_exit(NULL);
	}
}

/* -------------------------------------------------------------- "process" */

static void be_process(struct space *sp, uint32_t *here)
{
	*here = 1;
	sp->dir = first->dir;
	sp->reg = first->reg;
	sp->backing = first->backing;
	sp->here = here;
	sp->low = UINTPTR_MAX;
	sp->shelf = mmap(NULL, SPACE_HANDLES * 4096, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sp->shelf == MAP_FAILED)
		abort();
	sp->self = first->self;
	sp->self.image = __atomic_fetch_add(&next_image, 2, __ATOMIC_RELAXED) |
			 1;
}

static unsigned any(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void one_call(struct space *sp, void **held)
{
	int key = 1 + (int)any(KEYS), id;
	struct layout_segment s;
	unsigned slot = any(SLOTS);
	void *p;

	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	switch (any(8)) {
	case 0:
		(void)segment_get(sp, key, SIZE, IPC_CREAT | 0600, &id);
		break;
	case 1:
		if (segment_get(sp, key, 0, 0, &id) == 0)
			(void)segment_remove(sp, id);
		break;
	case 2:
		if (segment_get(sp, key, 0, 0, &id) == 0)
			(void)segment_set(sp, id, sp->reg.uid, 0, 0600);
		break;
	case 3:
		if (segment_get(sp, HELD, 0, 0, &id) < 0 ||
		    segment_stat(sp, id, &s) < 0)
			fail("the held segment is gone", id, 0);
		else if (s.attaches < HOLDS)
			fail("nattch too low", (long)s.attaches, HOLDS);
		break;
	default:
		if (held[slot]) {
			if (attach_detach(sp, (uintptr_t)held[slot]) < 0)
				fail("detach", (long)slot, 0);
			held[slot] = NULL;
		} else if (segment_get(sp, any(4) ? key : HELD, 0, 0, &id) ==
				   0 &&
			   attach_segment(sp, id, 0, 0, &p) == 0) {
			held[slot] = p;
		}
	}
}

/* Not on its thread's stack: others may look at it when that has ended. */
struct process {
	struct space sp;
	uint32_t here;
	unsigned seed;
	void *held[SLOTS];
};

static void *process_main(void *arg)
{
	struct process *me = arg;
	struct space *sp = &me->sp;
	struct space_entry e;

	seed = me->seed;
	be_process(sp, &me->here);
	if (space_enter(sp, &e) < 0)
		abort();
	space_leave(sp, &e);

	/* A thread that ends while it claims its slot is not a dead process
	 * to its own: the pid lives. */
	steps_left = 1 + (long)any(4000);
	for (;;)
		one_call(sp, me->held);
	return NULL;
}

/* ---------------------------------------------------------------- rounds */

static void hold(void)
{
	int id;

	if (segment_get(first, HELD, SIZE, IPC_CREAT | 0600, &id) < 0)
		abort();
	for (int i = 0; i < HOLDS; i++)
		if (attach_segment(first, id, 0, 0, &holds[i]) < 0)
			abort();
}

static void on_finding(void *arg, const struct verify_finding *finding)
{
	(void)arg;
	fail(finding->text, 0, 0);
}

static void check(void)
{
	struct layout_segment s;
	int id;

	finds_dead();
	if (segment_get(first, HELD, 0, 0, &id) < 0 ||
	    segment_stat(first, id, &s) < 0)
		fail("the held segment is gone at the end", id, 0);
	else if (s.attaches != HOLDS)
		fail("nattch at the end", (long)s.attaches, HOLDS);
	for (int key = 1; key <= KEYS; key++)
		if (segment_get(first, key, 0, 0, &id) == 0 &&
		    segment_stat(first, id, &s) == 0 && s.attaches != 0)
			fail("nattch of the dead", (long)s.attaches, key);
	verify_registry(&first->reg, on_finding, NULL);
}

/* What the first one holds, and its handle. */
static bool is_first(uintptr_t p)
{
	uintptr_t shelf = (uintptr_t)first->shelf;

	if (p >= shelf && p < shelf + SPACE_HANDLES * 4096)
		return true;
	for (int i = 0; i < HOLDS; i++)
		if ((uintptr_t)holds[i] == p)
			return true;
	return false;
}

/*
 * What the ended threads would have taken along. The kernel is asked: a thread
 * that ends between its system call and its note of it notes what is no longer
 * there, and by now somebody else may be at that address.
 */
static void bury(const struct process *processes)
{
	struct {
		uintptr_t from, to;
	} gone[256];
	unsigned n = 0, more = 0;
	char line[512];
	FILE *maps;

	for (int i = 0; i < THREADS; i++)
		(void)munmap(processes[i].sp.shelf, SPACE_HANDLES * 4096);
	do {
		maps = fopen("/proc/self/maps", "re");
		if (!maps)
			abort();
		for (n = 0, more = 0; fgets(line, sizeof(line), maps);) {
			unsigned long from, to;

			if (!strstr(line, segment_path) ||
			    sscanf(line, "%lx-%lx", &from, &to) != 2 ||
			    is_first(from))
				continue;
			if (n == sizeof(gone) / sizeof(*gone)) {
				more = 1;
				break;
			}
			gone[n].from = from;
			gone[n++].to = to;
		}
		fclose(maps);
		for (unsigned i = 0; i < n; i++)
			(void)munmap((void *)gone[i].from,
				     gone[i].to - gone[i].from);
	} while (more);
}

static void play(unsigned round)
{
	static struct process processes[THREADS];
	pthread_t threads[THREADS];

	memset(processes, 0, sizeof(processes));
	for (unsigned i = 0; i < THREADS; i++) {
		processes[i].seed = round * THREADS + i + 1;
		if (pthread_create(&threads[i], NULL, process_main,
				   &processes[i]) != 0)
			abort();
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check();
	bury(processes);
}

static void clean_up(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (*e->d_name != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	unsigned round = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	char buf[200];
	struct text why;

	snprintf(dir, sizeof(dir), "%s/ushm-race.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(segment_path, sizeof(segment_path), "%s/seg.", dir);
	atexit(clean_up);
	text_init(&why, buf, sizeof(buf));
	if (space_open(dir, true, NULL, &first, &why) < 0) {
		fprintf(stderr, "%s\n", buf);
		return 1;
	}
	hold();
	ushm_step_hook = on_step;
	do {
		play(round++);
	} while (time(NULL) < end && !failures);
	printf("%lu calls, %lu threads ended at a step, %u takeovers, "
	       "%lu failed\n",
	       calls, deaths, first->reg.h->repairs, failures);
	return failures != 0;
}
