/* SPDX-License-Identifier: MIT */
/*
 * ushm-bench-recovery - what the death of a process costs the others.
 *
 *	ushm-bench-recovery [-q] [-m GIB]
 *
 * Processes are killed with SIGKILL, with and without much memory, holding
 * the lock or not, and the time is taken until others go on with true
 * answers. Every answer is checked: a wrong count ends the run. Each row is a
 * distribution over its rounds, with the figure that the project promises.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/space.h"
#include "store/publish.h"
#include "store/rebuild.h"
#include "store/verify.h"
#include "series.h"
#include "stage.h"
#include "ushm.h"

#define KEY	 0x64656164
#define MANY	 1000  /* processes that die together */
#define SEGMENTS 32768 /* as many as a namespace has by default */

static ushm_space *space;
static unsigned divisor = 1;

/* What the processes of a round tell each other. */
static struct {
	uint32_t ready, go;
	double killed, taken; /* ns */
} * shared;

/* ------------------------------------------------------------ statistics */

/* The p99 is the largest below 100 rounds. 'promise' in us; 0: there is none */
static void print_row(const char *name, double *us, unsigned n, double promise)
{
	double p99;

	series_sort(us, n);
	p99 = us[n * 99 / 100 < n ? n * 99 / 100 : n - 1];
	printf("%-52s %6u %10.1f %10.1f %10.1f", name, n, us[n / 2], p99,
	       us[n - 1]);
	if (promise > 0)
		printf(" %10.0f%s", promise, p99 < promise ? "" : "  MISSED");
	putchar('\n');
	fflush(stdout);
}

/* ------------------------------------------------------------- processes */

static ushm_space *open_space(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(stage_dir, USHM_CREATE, NULL, &sp, &problem) < 0)
		die("%s", problem.text);
	return sp;
}

static int segment(ushm_space *sp, int key, size_t size)
{
	int id, r = ushm_get(sp, key, size, IPC_CREAT | 0600, &id);

	if (r < 0)
		die("shmget: %s", strerror(-r));
	return id;
}

static void attach(ushm_space *sp, int id)
{
	void *p;
	int r = ushm_attach(sp, id, NULL, 0, &p);

	if (r < 0)
		die("shmat: %s", strerror(-r));
}

static void expect_nattch(int id, uint64_t want)
{
	struct ushm_segment s;
	int r = ushm_stat(space, id, &s);

	if (r < 0)
		die("IPC_STAT: %s", strerror(-r));
	if (s.nattch != want)
		die("nattch is %ju, not %ju", (uintmax_t)s.nattch,
		    (uintmax_t)want);
}

static void say_ready(void)
{
	__atomic_fetch_add(&shared->ready, 1, __ATOMIC_RELEASE);
}

static void await(const uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value)
		usleep(50);
}

static pid_t start(void (*act)(size_t bytes), size_t bytes)
{
	pid_t pid = fork();

	if (pid == -1)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		act(bytes);
		_exit(1);
	}
	return pid;
}

static void bury(pid_t pid)
{
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

/* --------------------------------------------------------- lock handover */

/* Half way through a change, with 'bytes' of memory of its own. */
static void hold_lock(size_t bytes)
{
	ushm_space *sp = open_space();
	struct space *inside = (struct space *)sp;
	struct layout_segment *s;
	struct space_entry e;
	char *memory;

	if (bytes) {
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			die("mmap: %s", strerror(errno));
		(void)madvise(memory, bytes, MADV_NOHUGEPAGE);
		for (size_t i = 0; i < bytes; i += 4096)
			memory[i] = 1;
	}
	if (space_enter(inside, &e) < 0)
		die("no slot");
	space_lock(inside);
	s = &inside->reg.segments[0];
	undo_guard(&inside->reg, &s->guard);
	undo_set32(&inside->reg, &s->mode, 0777);
	say_ready();
	for (;;)
		pause();
}

static void want_lock(size_t unused)
{
	ushm_space *sp = open_space();
	struct space *inside = (struct space *)sp;
	struct space_entry e;

	(void)unused;
	if (space_enter(inside, &e) < 0)
		die("no slot");
	say_ready();
	space_lock(inside);
	shared->taken = now_us();
	space_unlock(inside);
	space_leave(inside, &e);
	_exit(0);
}

static void handover(const char *name, unsigned rounds, size_t bytes,
		     double promise)
{
	static double us[SERIES_MAX];
	struct ushm_segment s;
	int id = segment(space, KEY, 4096);

	for (unsigned i = 0; i < rounds; i++) {
		pid_t holder, waiter;

		shared->ready = 0;
		holder = start(hold_lock, bytes);
		await(&shared->ready, 1);
		waiter = start(want_lock, 0);
		await(&shared->ready, 2);
		usleep(3000 + (i * 373) % 1000); /* anywhere in its waits */
		shared->killed = now_us();
		kill(holder, SIGKILL);
		bury(waiter);
		us[i] = shared->taken - shared->killed;
		bury(holder);
		if (ushm_stat(space, id, &s) < 0 || (s.mode & 0777) != 0600)
			die("half a change was left");
	}
	print_row(name, us, rounds, promise);
}

/* -------------------------------------------------------------- the dead */

static int victim_segment;

static void be_attached(size_t unused)
{
	(void)unused;
	attach(open_space(), victim_segment);
	say_ready();
	for (;;)
		pause();
}

/* 'count' attached processes die; the next IPC_STAT knows. */
static void deaths(const char *name, unsigned rounds, unsigned count,
		   bool zombies, double promise)
{
	static double us[SERIES_MAX];
	static pid_t pids[MANY];

	victim_segment = segment(space, KEY, 4096);
	for (unsigned i = 0; i < rounds; i++) {
		double begin;

		shared->ready = 0;
		for (unsigned n = 0; n < count; n++)
			pids[n] = start(be_attached, 0);
		await(&shared->ready, count);
		expect_nattch(victim_segment, count);
		for (unsigned n = 0; n < count; n++)
			kill(pids[n], SIGKILL);
		for (unsigned n = 0; n < count; n++) {
			siginfo_t info;

			waitid(P_PID, (id_t)pids[n], &info,
			       WEXITED | (zombies ? WNOWAIT : 0));
		}

		begin = now_us();
		expect_nattch(victim_segment, 0);
		us[i] = now_us() - begin;
		for (unsigned n = 0; zombies && n < count; n++)
			bury(pids[n]);
	}
	print_row(name, us, rounds, promise);
}

/* ------------------------------------------------------ a full namespace */

static void fill(void)
{
	struct ushm_info info;

	if (ushm_info(space, &info) < 0)
		die("ushm_info");
	for (uint32_t n = info.used_ids; n < SEGMENTS; n++)
		segment(space, 0x1000000 + (int)n, 1);
}

static void want_a_full_one(unsigned rounds, double promise)
{
	static double us[SERIES_MAX];
	int id = segment(space, KEY, 4096);

	for (unsigned i = 0; i < rounds; i++) {
		pid_t holder;
		double begin;

		shared->ready = 0;
		holder = start(hold_lock, 0);
		await(&shared->ready, 1);
		kill(holder, SIGKILL);
		bury(holder);

		begin = now_us();
		if (ushm_set(space, id, geteuid(), getegid(), 0600) < 0)
			die("IPC_SET");
		us[i] = now_us() - begin;
	}
	print_row("next call: lock of the dead, 32,768 segments", us, rounds,
		  promise);
}

/* ------------------------------------------------------ a damaged registry */

static void damage(struct registry *r)
{
	memset(r->key_heads, 0, 1000 * sizeof(*r->key_heads));
	r->h->in_use -= 17;
	r->bitmap[3] = 0;
}

/* Under the lock, as fsck --repair does it once it knows that it must. */
static void rebuild(unsigned rounds, double promise)
{
	struct space *inside = (struct space *)space;
	static double us[SERIES_MAX];
	struct rebuild_loss loss;
	struct registry copy;
	struct space_entry e;

	for (unsigned i = 0; i < rounds; i++) {
		double begin;

		if (space_enter(inside, &e) < 0)
			die("no slot");
		space_lock(inside);
		damage(&inside->reg);
		begin = now_us();
		if (registry_copy(&inside->reg, stage_dir, &copy) < 0)
			die("no copy");
		rebuild_registry(&copy, space_slot(inside), &loss);
		publish_registry(&inside->reg, &copy);
		us[i] = now_us() - begin;
		registry_close(&copy);
		if (verify_registry(&inside->reg, NULL, NULL))
			die("not all was repaired");
		space_unlock(inside);
		space_leave(inside, &e);
	}
	print_row("damaged records rebuilt, 32,768 segments", us, rounds,
		  promise);
}

static void ignore(void *arg, const struct ushm_finding *finding)
{
	(void)arg;
	(void)finding;
}

static void fsck(unsigned rounds)
{
	static double us[SERIES_MAX];

	for (unsigned i = 0; i < rounds; i++) {
		double begin;

		damage(&((struct space *)space)->reg);
		begin = now_us();
		if (ushm_check(stage_dir, USHM_REPAIR, ignore, NULL, NULL) !=
		    USHM_CHECK_CORRECTED)
			die("fsck");
		us[i] = now_us() - begin;
	}
	print_row("the whole of fsck --repair, with all files", us, rounds, 0);
}

/* ------------------------------------------------------------------ main */

/* What may be filled without making the machine swap. */
static size_t gib_to_fill(size_t gib)
{
	struct sysinfo info;

	while (gib > 0 && sysinfo(&info) == 0 &&
	       (uint64_t)info.freeram * info.mem_unit < (gib + 1) << 30)
		gib--;
	return gib;
}

int main(int argc, char **argv)
{
	size_t gib = 4;
	char name[80];
	int opt;

	while ((opt = getopt(argc, argv, "hqm:")) != -1) {
		switch (opt) {
		case 'q':
			divisor = 10;
			break;
		case 'm':
			gib = strtoul(optarg, NULL, 10);
			break;
		default:
			fprintf(opt == 'h' ? stdout : stderr,
				"usage: ushm-bench-recovery [-q] [-m GIB]\n"
				"  -q  quick: a tenth of the rounds\n"
				"  -m  memory of the large victim (4)\n");
			return opt == 'h' ? 0 : 2;
		}
	}

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	stage_make(NULL, NULL);
	space = open_space();

	printf("%-52s %6s %10s %10s %10s %10s\n", "microseconds", "rounds",
	       "median", "p99", "largest", "promised");
	handover("lock of a killed holder, waited for", 300 / divisor, 0, 5000);
	gib = gib_to_fill(gib);
	if (gib) {
		snprintf(name, sizeof(name),
			 "the same, holder with %zu GiB of memory", gib);
		handover(name, 20 / divisor, gib << 30, 5000);
	}
	deaths("next call: one dead process", 1000 / divisor, 1, false, 100);
	deaths("next call: one dead process, not waited for", 1000 / divisor, 1,
	       true, 100);
	deaths("next call: 1,000 dead processes", 20 / divisor, MANY, false,
	       20000);
	deaths("next call: 1,000 dead processes, not waited for", 20 / divisor,
	       MANY, true, 20000);
	fill();
	want_a_full_one(100 / divisor, 50000);
	rebuild(100 / divisor, 50000);
	fsck(20 / divisor);
	return 0;
}
