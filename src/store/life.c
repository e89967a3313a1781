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

#define TICKS	     100      /* USER_HZ: the unit of times in /proc */
#define CHILDHOOD_NS 20000000 /* a forked child should have run by then */
#define FOUND_CHILD  1u /* in layout_proc.forking: no claim looks like that */
#define PF_EXITING                                                 \
	0x4u /* /proc/pid/stat, field 9: the task has begun to end \
	      */

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
	memset(p->life, 0, sizeof(p->life));
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

	memset(p->life, 0, sizeof(p->life));
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
			bare.head.list.next = NULL; /* not this process's */
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

/* ----------------------------------------------------------------- /proc */

/* "/proc/<pid><rest>" or "/proc/<pid>/task/<tid><rest>" */
static void proc_path(char *buf, size_t size, int pid, int tid,
		      const char *rest)
{
	struct text t;

	text_init(&t, buf, size);
	text_str(&t, "/proc/");
	text_uint(&t, (uint64_t)pid, 10, 0, ' ');
	if (tid) {
		text_str(&t, "/task/");
		text_uint(&t, (uint64_t)tid, 10, 0, ' ');
	}
	text_str(&t, rest);
}

static long read_file(const char *path, char *buf, size_t size)
{
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, size - 1);
	(void)sys_close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

struct task_stat {
	char state;
	int ppid;
	uint32_t flags;
	uint64_t start_time;
};

/* 0, -ENOENT when there is no such task, or another error. */
static int task_read(int pid, int tid, struct task_stat *ret)
{
	char path[64], buf[1024];
	const char *p, *end;
	uint64_t value;
	long n;

	proc_path(path, sizeof(path), pid, tid, "/stat");
	n = read_file(path, buf, sizeof(buf));
	if (n == -ESRCH)
		return -ENOENT;
	if (n < 0)
		return (int)n;

	/* The name in parentheses may hold anything: start behind it. */
	end = buf + n;
	p = memrchr(buf, ')', (size_t)n);
	if (!p || end - p < 4)
		return -EIO;
	p += 2;
	ret->state = *p++;
	for (int field = 4; field <= 22; field++) {
		if (p < end && *p == ' ')
			p++;
		if (p < end && *p == '-')
			p++;
		if (!text_parse(&p, end, 10, &value))
			return -EIO;
		if (field == 4)
			ret->ppid = (int)value;
		else if (field == 9)
			ret->flags = (uint32_t)value;
		else if (field == 22)
			ret->start_time = value;
	}
	return 0;
}

uint64_t life_clock(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) < 0)
		return UINT64_MAX;
	return (uint64_t)ts.tv_sec * TICKS +
	       (uint64_t)ts.tv_nsec / (1000000000 / TICKS) + 1;
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

/*
 * A directory of numbers: calls 'each' until it returns non-zero, and returns
 * that, 0 at the end, or an error.
 */
static int each_number(const char *path, int (*each)(void *arg, int number),
		       void *arg)
{
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			    0);
	_Alignas(8) char buf[2048];
	int r = 0;
	long n;

	if (fd < 0)
		return fd;
	while (r == 0 && (n = sys_getdents(fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			struct {
				uint64_t ino, off;
				uint16_t length;
				unsigned char type;
				char name[];
			} *d = (void *)(buf + at);
			const char *s = d->name;
			uint64_t value;

			if (text_parse(&s, s + strlen(s), 10, &value) && !*s)
				r = each(arg, (int)value);
			at += d->length;
		}
	}
	(void)sys_close(fd);
	return r;
}

struct live_task {
	int pid, tid;
};

/* Stops at a task that may still run user code. */
static int task_lives(void *arg, int tid)
{
	struct live_task *t = arg;
	struct task_stat st;
	int r = task_read(t->pid, tid, &st);

	if (r == -ENOENT)
		return 0;
	if (r == 0 &&
	    (st.state == 'Z' || st.state == 'X' || st.flags & PF_EXITING))
		return 0;
	t->tid = tid;
	return 1;
}

/*
 * Does the task map this registry? 1 yes, 0 no, or an error. A line ends in
 * the path, and the fifth field is the inode.
 */
static int maps_registry(const struct registry *r, int pid, int tid)
{
	char path[64], want[64], buf[4096];
	size_t keep = 0, want_length;
	struct text t;
	int fd, found = 0;
	long n;

	text_init(&t, want, sizeof(want));
	text_str(&t, " ");
	text_uint(&t, r->ino, 10, 0, ' ');
	text_str(&t, " ");
	want_length = t.used;

	proc_path(path, sizeof(path), pid, tid, "/maps");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	while (!found &&
	       (n = sys_read(fd, buf + keep, sizeof(buf) - keep)) > 0) {
		size_t end = keep + (size_t)n, start = 0;

		for (;;) {
			char *nl = memchr(buf + start, '\n', end - start);
			size_t length;

			if (!nl)
				break;
			length = (size_t)(nl - (buf + start));
			if (memmem(buf + start, length, want, want_length) &&
			    memmem(buf + start, length, r->name,
				   strlen(r->name))) {
				found = 1;
				break;
			}
			start += length + 1;
		}
		/* A line longer than the buffer cannot be ours to lose: its
		 * path is cut, its inode stays in front. */
		if (start == 0 && end == sizeof(buf))
			start = end - want_length;
		keep = end - start;
		memmove(buf, buf + start, keep);
	}
	(void)sys_close(fd);
	if (!found && n < 0)
		return (int)n;
	return found;
}

/* ------------------------------------------------------------- questions */

/* The process 'pid': does it run, and run this program? */
static bool process_gone(const struct registry *r, const struct life_self *self,
			 int pid, uint64_t born, uint64_t image)
{
	struct live_task task = { .pid = pid };
	struct task_stat st;
	char path[64];
	int found;

	found = task_read(pid, 0, &st);
	if (found == -ENOENT) {
		/* Gone, or there is no /proc: then ask the kernel. */
		if (task_read(self->pid, 0, &st) == 0)
			return true;
		return sys_kill(pid, 0) == -ESRCH;
	}
	if (found < 0)
		return false;
	if (st.start_time > born)
		return true; /* the number was given to another since */

	proc_path(path, sizeof(path), pid, 0, "/task");
	found = each_number(path, task_lives, &task);
	if (found == 0 || found == -ENOENT)
		return true; /* every thread has stopped */
	if (found < 0)
		return false;

	/* A thread that locked the word is gone, or it called execve(). */
	if (pid == self->pid)
		return image && image != self->image;
	return maps_registry(r, pid, task.tid) == 0;
}

struct child_search {
	const struct registry *r;
	int parent;	/* its pid while it lives, or 0 */
	uint64_t since; /* the fork began, in ticks */
	int found;
};

static bool has_slot(const struct registry *r, int pid)
{
	uint32_t used = load_acquire(&r->h->procs.used);

	for (uint32_t i = 0; i < used; i++) {
		const struct layout_proc *p = registry_proc(r, i);
		uint64_t claim = p ? load_acquire(&p->claim) : 0;

		/* Not that of a dead one whose number it was given. */
		if (claim_pid(claim) == pid &&
		    (claim_state(claim) == PROC_CLAIMING ||
		     (claim_state(claim) == PROC_LIVE && !life_marked(p))))
			return true;
	}
	return false;
}

/*
 * Stops at a process that may be the child: it began after the fork did, maps
 * the registry, and has no slot in it. The cheap questions come first.
 */
static int may_be_child(void *arg, int pid)
{
	struct child_search *s = arg;
	struct task_stat st;

	if (task_read(pid, 0, &st) < 0 || st.state == 'Z' || st.state == 'X')
		return 0;
	if (st.start_time + 2 < s->since)
		return 0;
	if (s->parent && st.ppid != s->parent)
		return 0;
	if (has_slot(s->r, pid) || maps_registry(s->r, pid, 0) != 1)
		return 0;
	s->found = pid;
	return 1;
}

/* fork() has returned only just: its child may not have run yet. */
static bool unborn_is_young(const struct layout_proc *p)
{
	int64_t age = sys_monotonic_ns() - load_relaxed(&p->forked_at);

	return age >= 0 && age < CHILDHOOD_NS;
}

/* A slot that a fork() reserved: will there be, or is there, a child? */
static bool unborn_is_dead(const struct registry *r,
			   const struct life_self *self, struct layout_proc *p,
			   uint64_t claim)
{
	uint32_t slot = load_relaxed(&p->parent) - 1, none = 0;
	struct child_search search = { .r = r };
	const struct layout_proc *parent;
	uint64_t parent_claim;
	struct task_stat st;
	bool orphan = true;

	/* The parent knows its child's number: a child like any other. */
	if (claim_pid(claim)) {
		if (unborn_is_young(p) &&
		    task_read(claim_pid(claim), 0, &st) == 0 &&
		    st.state != 'Z' && st.state != 'X')
			return false;
		return process_gone(r, self, claim_pid(claim), UINT64_MAX, 0);
	}

	/* Within fork() of a living parent. Or behind it: the child that has
	 * not run yet is found by looking through all processes, which is
	 * costly, so give it time to be born first. */
	parent = registry_proc(r, slot);
	parent_claim = load_relaxed(&p->image);
	if (parent && load_acquire(&parent->claim) == parent_claim)
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
	if (each_number("/proc", may_be_child, &search) == 0)
		return true;

	/* There is one: the next who asks looks there first. Not if the slot
	 * has become another fork's meanwhile. */
	store_relaxed(&p->parent_tid, (uint32_t)search.found);
	(void)swap_if(&p->forking, &none, FOUND_CHILD);
	return false;
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
		if (load_relaxed(&p->pid_ns) != self->pid_ns)
			return marked_for_good(p, claim);
		born = load_relaxed(&p->born);
		if (load_relaxed(&p->time_ns) != self->time_ns)
			born = UINT64_MAX;
		return process_gone(r, self, claim_pid(claim), born,
				    load_relaxed(&p->image));
	case PROC_CLAIMING:
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
