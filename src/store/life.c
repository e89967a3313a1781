/* SPDX-License-Identifier: MIT */
/*
 * Owns the life words and the questions to /proc.
 *
 * Invariant: a slot is called dead only when no thread of its process can
 * touch memory any more, or when the process has become another program.
 * Whatever cannot be read counts as alive: too high a nattch delays somebody,
 * too low a one destroys data.
 * Lock: none. The life word is written by its owner's libc and the kernel.
 */
#include "store/life.h"

#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/procfs.h"
#include "base/step.h"

#define CHILDHOOD_NS 20000000 /* a forked child should have run by then */
#define STRANGER_NS                                              \
	INT64_C(3000000000) /* also one that cannot be asked for \
			     */
#define FOUND_CHILD 1u /* in layout_proc.forking: no claim looks like that */

/* ------------------------------------------------------------- own words */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

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

/* ------------------------------------------------------------- questions */

struct live_task {
	int pid, tid;
	unsigned seen; /* threads that have stopped */
};

/* Stops at a thread that may still run user code. */
static int task_lives(void *arg, int tid)
{
	struct live_task *t = arg;
	struct procfs_task task;
	int r = procfs_task(t->pid, tid, &task);

	t->seen++;
	if (r == -ENOENT || (r == 0 && task.exiting))
		return 0;
	t->tid = tid;
	return 1;
}

/*
 * Stops at a thread that may still run, with 1; 0: there is none; or an error.
 * The kernel's list ends early, or skips, when a thread goes away that it has
 * just told of. So it counts only if it was complete.
 */
static int find_live_task(struct live_task *t)
{
	struct procfs_task before, after;
	int r;

	for (int i = 0; i < 4; i++) {
		t->seen = 0;
		r = procfs_task(t->pid, 0, &before);
		if (r == 0)
			r = procfs_each(t->pid, task_lives, t);
		if (r == 0)
			r = procfs_task(t->pid, 0, &after);
		if (r != 0)
			return r == -ENOENT ? 0 : r;
		if (t->seen == before.threads && t->seen == after.threads)
			return 0;
	}
	return -EAGAIN;
}

struct map_search {
	const struct registry *r;
	char inode[32]; /* the fifth field of a line, with its blanks */
};

static int map_is_registry(void *arg, const char *line, const char *end)
{
	const struct map_search *m = arg;
	size_t length = (size_t)(end - line);

	return memmem(line, length, m->inode, strlen(m->inode)) &&
	       memmem(line, length, m->r->name, strlen(m->r->name));
}

/* Does the thread map this registry? 1 yes, 0 no, or an error. */
static int maps_registry(const struct registry *r, int pid, int tid)
{
	struct map_search m = { .r = r };
	struct text t;

	text_init(&t, m.inode, sizeof(m.inode));
	text_str(&t, " ");
	text_uint(&t, r->ino, 10, 0, ' ');
	text_str(&t, " ");
	return procfs_each_map(pid, tid, map_is_registry, &m);
}

/* The process 'pid': does it run, and run this program? */
static bool process_gone(const struct registry *reg,
			 const struct life_self *self, int pid, uint64_t born,
			 uint64_t image)
{
	struct live_task live = { .pid = pid };
	struct procfs_task task;
	int r;

	if (pid <= 0)
		return true; /* no process has such a number */
	r = procfs_task(pid, 0, &task);
	if (r == -ENOENT) {
		/* Gone, or there is no /proc: then ask the kernel. */
		if (procfs_task(self->pid, 0, &task) == 0)
			return true;
		return sys_kill(pid, 0) == -ESRCH;
	}
	if (r < 0)
		return false;
	if (task.start_time > born)
		return true; /* the number was given to another since */

	r = find_live_task(&live);
	if (r == 0)
		return true; /* every thread has stopped */
	if (r < 0)
		return false;

	/* A thread that locked the word is gone, or it called execve(). */
	if (pid == self->pid)
		return image && image != self->image;
	return maps_registry(reg, pid, live.tid) == 0;
}

struct child_search {
	const struct registry *r;
	const struct life_self *self;
	int parent;	/* its pid while it lives, or 0 */
	uint64_t since; /* the fork began, in ticks */
	int found;
};

static bool has_slot(const struct child_search *s, uint64_t pid_ns, int pid)
{
	const struct registry *r = s->r;
	uint32_t used = registry_procs_used(r);

	for (uint32_t i = 0; i < used; i++) {
		const struct layout_proc *p = &r->procs[i];
		uint64_t claim = load_acquire(&p->claim);

		if (claim_pid(claim) != pid ||
		    load_relaxed(&p->pid_ns) != pid_ns)
			continue;
		/* Not that of a dead one whose number it was given. */
		if ((claim_state(claim) == PROC_CLAIMING &&
		     load_relaxed(&p->born) >= s->since) ||
		    (claim_state(claim) == PROC_LIVE && !life_marked(p)))
			return true;
	}
	return false;
}

/* A container's process, which is in the registry by another number. */
static bool has_slot_elsewhere(const struct child_search *s, int pid)
{
	uint64_t ns;
	int inner;

	return procfs_pid_space(pid, &ns, &inner) == 0 &&
	       ns != s->self->pid_ns && has_slot(s, ns, inner);
}

/*
 * Stops at a process that may be the child: it began after the fork did, maps
 * the registry, and has no slot in it. The cheap questions come first. One
 * whose maps cannot be read may be, if it is the parent's or began just then.
 */
static int may_be_child(void *arg, int pid)
{
	struct child_search *s = arg;
	struct procfs_task task;
	int maps;

	if (pid <= 0 || procfs_task(pid, 0, &task) < 0 || task.exiting)
		return 0;
	if (task.start_time + 2 < s->since)
		return 0;
	if (s->parent && task.ppid != s->parent)
		return 0;
	if (has_slot(s, s->self->pid_ns, pid))
		return 0;
	maps = maps_registry(s->r, pid, 0);
	if (maps < 0)
		maps = maps != -ENOENT && maps != -ESRCH &&
		       (s->parent || task.start_time < s->since + PROCFS_TICKS);
	if (!maps || has_slot_elsewhere(s, pid))
		return 0;
	s->found = pid;
	return 1;
}

/* How long ago the slot was taken, or fork() returned. */
static int64_t age_of(const struct layout_proc *p)
{
	return sys_monotonic_ns() - load_relaxed(&p->forked_at);
}

/* fork() has returned only just: its child may not have run yet. */
static bool unborn_is_young(const struct layout_proc *p)
{
	uint64_t age = (uint64_t)age_of(p);

	return age < CHILDHOOD_NS;
}

/*
 * A process of another pid namespace: the mark is all there is. It comes a
 * little before the last of its threads has stopped, so look twice.
 */
static bool marked_for_good(const struct layout_proc *p, uint64_t claim)
{
	uint32_t nobody = 0;

	for (int i = 0; i < 2; i++) {
		if (!life_marked(p) ||
		    load_relaxed(&p->life_word) & LIFE_LEFT ||
		    load_acquire(&p->claim) != claim)
			return false;
		if (i == 0)
			(void)sys_futex_wait(&nobody, 0, 2000000);
	}
	return true;
}

static bool of_our_pid_space(const struct registry *r,
			     const struct layout_proc *p,
			     const struct life_self *self)
{
	return life_pid_ns(r, p) == self->pid_ns;
}

/*
 * The same in another pid namespace: there is nobody to ask for. The child of
 * a dead parent that is not there after this time does not come; behind
 * another clock nothing can be told.
 */
static bool strange_child_is_dead(const struct registry *r,
				  const struct life_self *self,
				  const struct layout_proc *p)
{
	const struct layout_proc *parent =
		registry_proc(r, load_relaxed(&p->parent) - 1);
	uint64_t claim = load_relaxed(&p->image);
	bool orphan = !parent || claim_state(claim) != PROC_LIVE ||
		      load_acquire(&parent->claim) != claim ||
		      marked_for_good(parent, claim);

	return orphan && load_relaxed(&p->time_ns) == self->time_ns &&
	       age_of(p) > STRANGER_NS;
}

/* A slot that a fork() reserved: will there be, or is there, a child? */
static bool unborn_is_dead(const struct registry *r,
			   const struct life_self *self, struct layout_proc *p,
			   uint64_t claim)
{
	uint32_t slot = load_relaxed(&p->parent) - 1, none = 0;
	struct child_search search = { .r = r, .self = self };
	const struct layout_proc *parent;
	uint64_t parent_claim;
	struct procfs_task task;
	bool orphan = true;

	if (!of_our_pid_space(r, p, self))
		return strange_child_is_dead(r, self, p);

	/* The parent knows its child's number: a child like any other. */
	if (claim_pid(claim)) {
		if (unborn_is_young(p) &&
		    procfs_task(claim_pid(claim), 0, &task) == 0 &&
		    !task.exiting)
			return false;
		return process_gone(r, self, claim_pid(claim), UINT64_MAX, 0);
	}

	/* Within fork() of a living parent. Or behind it: the child that has
	 * not run yet is found by looking through all processes, which is
	 * costly, so give it time to be born first. */
	parent = registry_proc(r, slot);
	parent_claim = load_relaxed(&p->image);
	if (parent && claim_state(parent_claim) == PROC_LIVE &&
	    load_acquire(&parent->claim) == parent_claim)
		orphan = life_marked(parent) &&
			 life_is_dead(r, self, slot, parent_claim);
	if (!orphan && load_acquire(&p->forking) > FOUND_CHILD)
		return false;
	if (!orphan && unborn_is_young(p) &&
	    (claim_pid(parent_claim) != self->pid ||
	     load_relaxed(&parent->pid_ns) != self->pid_ns))
		return false; /* the parent itself wants to know exactly */

	/* fork() failed, or the parent died in it, or the child was killed
	 * before its first instruction, or is very late. */
	if (!orphan && load_relaxed(&parent->pid_ns) == self->pid_ns)
		search.parent = claim_pid(parent_claim);
	if (load_relaxed(&p->time_ns) == self->time_ns)
		search.since = load_relaxed(&p->born);
	if (load_acquire(&p->forking) == FOUND_CHILD &&
	    may_be_child(&search, (int)load_relaxed(&p->parent_tid)))
		return false;
	step("life: looking for a child");
	if (procfs_each(0, may_be_child, &search) == 0) {
		/* If the parent died meanwhile, its child is another's, and
		 * this was no search for it. */
		return !search.parent ||
		       (load_acquire(&parent->claim) == parent_claim &&
			!life_marked(parent));
	}

	/* There is one: the next who asks looks there first. Not if the slot
	 * has become another fork's meanwhile. */
	store_relaxed(&p->parent_tid, (uint32_t)search.found);
	(void)swap_if(&p->forking, &none, FOUND_CHILD);
	return false;
}

bool life_is_dead(const struct registry *r, const struct life_self *self,
		  uint32_t slot, uint64_t claim)
{
	struct layout_proc *p = registry_proc(r, slot);
	uint64_t born;

	if (!p)
		return false;
	switch (claim_state(claim)) {
	case PROC_LIVE:
		/* Numbers of another pid namespace mean nothing here. */
		if (!of_our_pid_space(r, p, self))
			return marked_for_good(p, claim);
		born = load_relaxed(&p->born);
		if (load_relaxed(&p->time_ns) != self->time_ns)
			born = UINT64_MAX;
		return process_gone(r, self, claim_pid(claim), born,
				    load_relaxed(&p->image));
	case PROC_CLAIMING:
		/* Not before it has its life word: it may be stopped. */
		if (!of_our_pid_space(r, p, self))
			return life_marked(p) && marked_for_good(p, claim);
		return claim_pid(claim) != self->pid &&
		       process_gone(r, self, claim_pid(claim), UINT64_MAX, 0);
	case PROC_UNBORN:
		return unborn_is_dead(r, self, p, claim);
	case PROC_DYING:
		return true;
	default:
		return false;
	}
}
