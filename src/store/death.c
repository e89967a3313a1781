/* SPDX-License-Identifier: MIT */
/*
 * Owns the question whether a slot's owner is dead, and whom to ask.
 *
 * Invariant: a slot is called dead only when no thread of its process can
 * touch memory any more, or when the process has become another program.
 * Whatever cannot be read counts as alive: too high a nattch delays somebody,
 * too low a one destroys data. By the state of the slot's claim:
 *
 *   FREE      nobody is dead.
 *   DYING     dead: somebody was sure of it before.
 *   LIVE      of our pid namespace: /proc says. Dead is a pid that there is
 *             not, or that began after the slot was claimed; a process whose
 *             threads are all exiting; one that does not map the registry.
 *             Of another: dead is who is marked, twice, and has not said that
 *             merely a thread ended.
 *   CLAIMING  as LIVE, but when it began is not believed yet. Of another pid
 *             namespace: alive until it has a life word.
 *   UNBORN    whose pid is known: as CLAIMING, after some time to be born.
 *             Within the fork() of a living parent: alive. Else dead when no
 *             process is found that may be the child. Of another pid
 *             namespace: dead when the parent is, and it is late.
 *
 * Lock: none; and it must not be held, for all this takes time. Whoever acts
 * on the answer looks at the claim again (procs_condemn()).
 * Crash: nothing changes here but where the next search begins.
 */
#include "store/death.h"

#include <string.h>

#include "base/procfs.h"
#include "base/step.h"

#define CHILDHOOD_NS 20000000 /* a forked child should have run by then */
#define STRANGER_NS  INT64_C(3000000000) /* also one not to be asked for */
#define FOUND_CHILD  1u /* in layout_proc.forking: no claim looks like that */

/* --------------------------------------------------- a process: ask /proc */

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
	if (task.exiting && task.threads == 1)
		return true; /* a zombie, or as good as one: no need to look */

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

/* -------------------------------------------------- LIVE and CLAIMING */

static bool of_our_pid_space(const struct registry *r,
			     const struct layout_proc *p,
			     const struct life_self *self)
{
	return life_pid_ns(r, p) == self->pid_ns;
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

static bool live_is_dead(const struct registry *r, const struct life_self *self,
			 const struct layout_proc *p, uint64_t claim)
{
	uint64_t born = load_relaxed(&p->born);

	/* Numbers of another pid namespace mean nothing here. */
	if (!of_our_pid_space(r, p, self))
		return marked_for_good(p, claim);
	if (load_relaxed(&p->time_ns) != self->time_ns)
		born = UINT64_MAX; /* by another clock */
	return process_gone(r, self, claim_pid(claim), born,
			    load_relaxed(&p->image));
}

static bool claiming_is_dead(const struct registry *r,
			     const struct life_self *self,
			     const struct layout_proc *p, uint64_t claim)
{
	/* Not before it has its life word: it may be stopped. */
	if (!of_our_pid_space(r, p, self))
		return life_marked(p) && marked_for_good(p, claim);
	return claim_pid(claim) != self->pid &&
	       process_gone(r, self, claim_pid(claim), UINT64_MAX, 0);
}

/* ------------------------------------------------ a child not yet born */

/* How long ago the slot was taken, or fork() returned. */
static int64_t age_of(const struct layout_proc *p)
{
	/* Unsigned, since a damaged one may say anything. */
	return (int64_t)((uint64_t)sys_monotonic_ns() -
			 (uint64_t)load_relaxed(&p->forked_at));
}

/* fork() has returned only just: its child may not have run yet. */
static bool unborn_is_young(const struct layout_proc *p)
{
	uint64_t age = (uint64_t)age_of(p);

	return age < CHILDHOOD_NS;
}

/* The slot of the parent, whose claim was 'claim', or NULL: it has another
 * owner, or none. */
static const struct layout_proc *parent_of(const struct registry *r,
					   const struct layout_proc *p,
					   uint64_t claim)
{
	const struct layout_proc *parent =
		registry_proc(r, load_relaxed(&p->parent) - 1);

	return parent && claim_state(claim) == PROC_LIVE &&
			       load_acquire(&parent->claim) == claim
		       ? parent
		       : NULL;
}

/*
 * In another pid namespace there is nobody to ask for. The child of a dead
 * parent that is not there after this time does not come; behind another
 * clock nothing can be told.
 */
static bool strange_child_is_dead(const struct registry *r,
				  const struct life_self *self,
				  const struct layout_proc *p)
{
	uint64_t claim = load_relaxed(&p->image);
	const struct layout_proc *parent = parent_of(r, p, claim);

	return (!parent || marked_for_good(parent, claim)) &&
	       load_relaxed(&p->time_ns) == self->time_ns &&
	       age_of(p) > STRANGER_NS;
}

/* The parent knows its child's number: a child like any other. */
static bool known_child_is_dead(const struct registry *r,
				const struct life_self *self,
				const struct layout_proc *p, int pid)
{
	struct procfs_task task;

	if (unborn_is_young(p) && procfs_task(pid, 0, &task) == 0 &&
	    !task.exiting)
		return false;
	return process_gone(r, self, pid, UINT64_MAX, 0);
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

/*
 * Within fork() of a living parent. Or behind it: the child that has not run
 * yet is found by looking through all processes, which is costly, so give it
 * time to be born first. The parent itself wants to know exactly.
 */
static bool may_yet_come(const struct life_self *self,
			 const struct layout_proc *p,
			 const struct layout_proc *parent, uint64_t claim)
{
	bool ours = claim_pid(claim) == self->pid &&
		    load_relaxed(&parent->pid_ns) == self->pid_ns;

	return load_acquire(&p->forking) > FOUND_CHILD ||
	       (!ours && unborn_is_young(p));
}

/*
 * Look through all processes. 'parent' is NULL if it is dead, else 'claim' is
 * its claim.
 */
static bool child_is_there(const struct registry *r,
			   const struct life_self *self, struct layout_proc *p,
			   const struct layout_proc *parent, uint64_t claim)
{
	struct child_search search = { .r = r, .self = self };
	uint32_t none = 0;

	if (parent && load_relaxed(&parent->pid_ns) == self->pid_ns)
		search.parent = claim_pid(claim);
	if (load_relaxed(&p->time_ns) == self->time_ns)
		search.since = load_relaxed(&p->born);
	if (load_acquire(&p->forking) == FOUND_CHILD &&
	    may_be_child(&search, (int)load_relaxed(&p->parent_tid)))
		return true;
	step("death: looking for a child");
	if (procfs_each(0, may_be_child, &search) == 0) {
		/* If the parent died meanwhile, its child is another's, and
		 * this was no search for it. */
		return search.parent &&
		       (load_acquire(&parent->claim) != claim ||
			life_marked(parent));
	}

	/* There is one: the next who asks looks there first. Not if the slot
	 * has become another fork's meanwhile. */
	store_relaxed(&p->parent_tid, (uint32_t)search.found);
	(void)swap_if(&p->forking, &none, FOUND_CHILD);
	return true;
}

/* A slot that a fork() reserved: will there be, or is there, a child? */
static bool unborn_is_dead(const struct registry *r,
			   const struct life_self *self, struct layout_proc *p,
			   uint64_t claim)
{
	const struct layout_proc *parent;
	uint64_t parent_claim;

	if (!of_our_pid_space(r, p, self))
		return strange_child_is_dead(r, self, p);
	if (claim_pid(claim))
		return known_child_is_dead(r, self, p, claim_pid(claim));

	parent_claim = load_relaxed(&p->image);
	parent = parent_of(r, p, parent_claim);
	if (parent && life_marked(parent) &&
	    live_is_dead(r, self, parent, parent_claim))
		parent = NULL;
	if (parent && may_yet_come(self, p, parent, parent_claim))
		return false;

	/* fork() failed, or the parent died in it, or the child was killed
	 * before its first instruction, or is very late. */
	return !child_is_there(r, self, p, parent, parent_claim);
}

/* ------------------------------------------------------------ all of them */

bool death_is_certain(const struct registry *r, const struct life_self *self,
		      uint32_t slot, uint64_t claim)
{
	struct layout_proc *p = registry_proc(r, slot);

	if (!p)
		return false;
	switch (claim_state(claim)) {
	case PROC_LIVE:
		return live_is_dead(r, self, p, claim);
	case PROC_CLAIMING:
		return claiming_is_dead(r, self, p, claim);
	case PROC_UNBORN:
		return unborn_is_dead(r, self, p, claim);
	case PROC_DYING:
		return true;
	default:
		return false;
	}
}
