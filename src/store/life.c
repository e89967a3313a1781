/* SPDX-License-Identifier: MIT */
/*
 * Owns the life words, and what a process says of itself.
 *
 * Invariant: the word of a LIVE slot is locked by a thread of its process, or
 * bears the kernel's mark; LIFE_LEFT stands beside a mark that is only the end
 * of that thread.
 * Lock: none. The life word is written by its owner's libc and the kernel.
 * Crash: the kernel marks the word. That is what it is for.
 */
#include "store/life.h"

#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/procfs.h"

/* ------------------------------------------------------------ life words */

/*
 * When the thread that holds a life word ends in good order, the process says
 * so: then the mark is no death. Others who cannot ask, because our pid means
 * nothing to them, believe a mark without that word.
 */
#define MAX_HELD 8
static struct layout_proc *held[MAX_HELD];
static uint32_t next_held;
static pthread_key_t at_thread_end;

static uint32_t *word_of(struct layout_proc *p)
{
	return (uint32_t *)p->life + (load_relaxed(&p->life_word) & LIFE_WHICH);
}

/* Others look at the word meanwhile. */
void life_clear(struct layout_proc *p)
{
	uint32_t *words = (uint32_t *)p->life;

	for (size_t i = 0; i < LIFE_BYTES / sizeof(*words); i++)
		store_relaxed(&words[i], 0);
}

static void thread_ends(void *unused)
{
	uint32_t tid = (uint32_t)sys_gettid();

	(void)unused;
	for (int i = 0; i < MAX_HELD; i++) {
		struct layout_proc *p = load_acquire(&held[i]);

		if (p && (load_relaxed(word_of(p)) & FUTEX_TID_MASK) == tid)
			(void)fetch_or(&p->life_word, LIFE_LEFT);
	}
}

static void make_key(void)
{
	(void)pthread_key_create(&at_thread_end, thread_ends);
}

/* The calling thread holds the word of 'p' from now on. */
static void hold(struct layout_proc *p)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	bool known = false;

	for (int i = 0; i < MAX_HELD; i++)
		known |= load_relaxed(&held[i]) == p;
	if (!known)
		store_release(&held[fetch_add(&next_held, 1u) % MAX_HELD], p);
	(void)pthread_once(&once, make_key);
	(void)pthread_setspecific(at_thread_end, held);
}

/*
 * The kernel's own interface, for a child of raw clone(2): libc takes it for
 * its parent's thread and has told the kernel nothing. Such a child has no
 * list of robust mutexes, so we give it one of our own, with one entry.
 */
static struct {
	struct robust_list_head head;
	struct robust_list entry;
} bare;

static int life_begin_bare(struct layout_proc *p, uint32_t tid)
{
	struct robust_list_head *head = NULL;
	uint32_t *word = (uint32_t *)p->life;
	size_t size;
	int r;

	r = (int)SYS3(SYS_get_robust_list, 0, &head, &size);
	if (r < 0 || head)
		return r < 0 ? r : -ENOSYS;
	bare.entry.next = &bare.head.list;
	bare.head.list.next = &bare.entry;
	bare.head.futex_offset = (char *)word - (char *)&bare.entry;
	bare.head.list_op_pending = NULL;
	life_clear(p);
	store_relaxed(word, tid);
	store_relaxed(&p->life_word, 0);
	return (int)SYS3(SYS_set_robust_list, &bare.head, sizeof(bare.head), 0);
}

int life_begin(struct layout_proc *p)
{
	pthread_mutex_t *m = (pthread_mutex_t *)(void *)p->life;
	const uint32_t *words = (const uint32_t *)p->life;
	pthread_mutexattr_t attr;
	uint32_t tid = (uint32_t)sys_gettid();
	int r;

	static_assert(sizeof(*m) <= LIFE_BYTES, "life word");

	life_clear(p);
	r = pthread_mutexattr_init(&attr);
	if (r == 0)
		r = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (r == 0)
		r = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (r == 0)
		r = pthread_mutex_init(m, &attr);
	if (r == 0)
		r = pthread_mutex_lock(m);
	if (r)
		return -r;

	/* glibc keeps the futex in the first word, musl in the second. */
	for (uint32_t which = 0; which < 2; which++) {
		if ((words[which] & FUTEX_TID_MASK) == tid) {
			if (load_relaxed(&bare.head.list.next))
				store_relaxed(&bare.head.list.next,
					      NULL); /* our parent's */
			store_relaxed(&p->life_word, which);
			hold(p);
			return 0;
		}
	}
	return life_begin_bare(p, tid);
}

int life_renew(struct layout_proc *p)
{
	pthread_mutex_t *m = (pthread_mutex_t *)(void *)p->life;
	uint32_t tid = (uint32_t)sys_gettid();
	int r;

	if (bare.head.list.next)
		return life_begin_bare(p, tid);
	r = pthread_mutex_trylock(m);
	if (r == EOWNERDEAD) {
		r = pthread_mutex_consistent(m);
		store_relaxed(&p->life_word,
			      load_relaxed(&p->life_word) & LIFE_WHICH);
		hold(p);
	}
	return -r;
}

/* ------------------------------------------------------------ ourselves */

uint64_t life_clock(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) < 0)
		return UINT64_MAX;
	return (uint64_t)ts.tv_sec * PROCFS_TICKS +
	       (uint64_t)ts.tv_nsec / (1000000000 / PROCFS_TICKS) + 1;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

void life_self(struct life_self *ret)
{
	const void *at = (const void *)getauxval(AT_RANDOM);
	uint64_t random[2] = { 0 };
	struct sys_stat ns;

	ret->pid = sys_getpid();
	ret->pid_ns = 0;
	if (sys_stat(AT_FDCWD, "/proc/self/ns/pid", 0, &ns) == 0)
		ret->pid_ns = ns.ino;
	ret->time_ns = 0;
	if (sys_stat(AT_FDCWD, "/proc/self/ns/time", 0, &ns) == 0)
		ret->time_ns = ns.ino;

	/* Differs with each execve(). The kernel's 16 random bytes seed libc's
	 * guards: the second half masks the first, so nothing of them leaks. */
	if (at)
		memcpy(random, at, sizeof(random));
	ret->image = (mix(random[0]) ^ mix(random[1] + 1)) | 1;
}
