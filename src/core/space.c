/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of open namespaces, and the process's slot in each.
 *
 * Invariant: whoever changes a namespace has a LIVE process slot in it, so
 * that others can tell when it dies.
 * Lock: 'local' for this process's part, then the registry's; never the other
 * way round. The list of spaces has a lock of its own, taken before both.
 * Crash: process-local state dies with the process; the rest is the store's.
 *
 * Entering comes before everything else, so it calls what itself works within
 * a namespace: process.c for a child that is new here, sweep.c for the dead,
 * durable_sync.c for contents.
 */
#include "core/space.h"

#include "base/borrow.h"
#include "base/latch.h"
#include "base/signals.h"
#include "core/durable_sync.h"
#include "core/process.h"
#include "core/sweep.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static struct space *spaces;
static uint32_t list_lock;

/* ------------------------------------------------- process-private locks */

void space_list_hold(const uint64_t *signals)
{
	latch_take(&list_lock, signals);
}

void space_list_release(void)
{
	latch_release(&list_lock);
}

void space_list_reset(void)
{
	store_release(&list_lock, 0);
}

void space_local_take(struct space *sp, const uint64_t *signals)
{
	latch_take(&sp->local, signals);
	sp->signals = *signals;
}

void space_local_release(struct space *sp)
{
	latch_release(&sp->local);
}

struct space *space_first(void)
{
	return load_acquire(&spaces);
}

/* -------------------------------------------------------------- opening */

/*
 * A space that is not in use, taken from the list or added to it. One piece
 * of memory, with one page that a forked child finds wiped, and a shelf for
 * handles that nobody else can come by. List held.
 */
static struct space *space_take(void)
{
	size_t size = (sizeof(struct space) + 4095) & ~(size_t)4095;
	size_t shelf = (size_t)SPACE_HANDLES * 4096;
	struct space *sp;
	char *base;

	for (sp = spaces; sp; sp = sp->next)
		if (!sp->reg.h)
			return sp;
	base = sys_mmap(NULL, size + 4096 + shelf, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(base))
		return NULL;
	if (sys_mprotect(base, size + 4096, PROT_READ | PROT_WRITE) < 0) {
		(void)sys_munmap(base, size + 4096 + shelf);
		return NULL;
	}
	sp = (struct space *)(void *)base;
	sp->here = (uint32_t *)(void *)(base + size);
	sp->shelf = base + size + 4096;
	sp->low = UINTPTR_MAX;
	/* Without it (before Linux 4.14) only raw clone() goes unnoticed. */
	(void)sys_madvise(base + size, 4096, MADV_WIPEONFORK);
	*sp->here = 1;
	sp->next = spaces;
	store_release(&spaces, sp);
	return sp;
}

struct opening {
	const char *path; /* absolute */
	bool create;
	const struct registry_shape *shape;
	const uint64_t *signals;
	struct text *why;
	struct space *space; /* the result */
};

/* List held. Which space is it, or shall it be? Its registry may be closed. */
static int space_choose(struct opening *o, const char *path,
			const struct sys_stat *dir)
{
	struct space *sp;

	for (sp = spaces; sp; sp = sp->next)
		if (sp->reg.h && directory_is(&sp->dir, dir))
			break;
	if (!sp) {
		sp = space_take();
		if (!sp)
			return -ENOMEM;
		sp->backing = &backing_file;
		directory_fill(&sp->dir, path, dir);
	}
	o->space = sp;
	return 0;
}

/* List held. What 'dir', whose path is 'path', has a registry of. */
static int open_registry(struct opening *o, int dir, const char *path,
			 const struct sys_stat *st,
			 const struct registry_shape *shape)
{
	struct registry *reg;
	int r = space_choose(o, path, st);

	if (r < 0)
		return r;
	reg = &o->space->reg;
	if (!reg->h) {
		text_str(o->why, "its registry ");
		return registry_open(dir, sys_geteuid(),
				     o->create && !shape->durable, shape, reg,
				     o->why);
	}
	if (o->space->durable.on == shape->durable)
		return 0;
	text_str(o->why, "is the working directory of a durable namespace: "
			 "name the directory on disk");
	return -EPROTO;
}

/* The same for the working directory of the durable one behind the door. */
static int open_durable(struct opening *o, const struct durable_door *door,
			const struct sys_stat *disk)
{
	struct sys_stat st;
	bool made;
	int dir, r;

	dir = directory_open(door->work, false, &st, &made, o->why);
	if (dir < 0)
		return dir;
	r = open_registry(o, dir, door->work, &st, &door->shape);
	(void)sys_close(dir);
	if (r < 0 || o->space->durable.on)
		return r;
	r = durable_join(&o->space->durable, door, o->path, disk);
	if (r < 0)
		registry_close(&o->space->reg);
	return r;
}

/* List held. All of opening that needs descriptors. */
static int open_files(void *arg)
{
	static const struct registry_shape standard;
	struct opening *o = arg;
	const struct registry_shape *shape = o->shape ? o->shape : &standard;
	struct registry_shape ordinary = *shape;
	struct durable_door door;
	struct sys_stat st;
	bool made = false;
	int dir, r;

	dir = directory_open(o->path, o->create, &st, &made, o->why);
	if (dir < 0)
		return dir;
	r = durable_enter(dir, o->create && shape->durable, shape, o->signals,
			  &door, o->why);
	ordinary.durable = false;
	if (r == 1) {
		r = open_durable(o, &door, &st);
		durable_leave(&door);
	} else if (r == 0) {
		r = open_registry(o, dir, o->path, &st, &ordinary);
	}
	(void)sys_close(dir);
	if (r < 0 && made)
		(void)sys_unlinkat(AT_FDCWD, o->path, AT_REMOVEDIR);
	return r;
}

int space_open(const char *path, bool create,
	       const struct registry_shape *shape, struct space **ret_space,
	       struct text *why)
{
	uint64_t signals;
	struct opening o = { NULL, create, shape, &signals, why, NULL };
	size_t said = why->used;
	char absolute[PATH_ROOM];
	int r;

	r = directory_absolute(path, absolute, sizeof(absolute));
	if (r < 0) {
		text_str(why, "has no usable path");
		return r;
	}
	o.path = absolute;

	signals_block(&signals);
	space_list_hold(&signals);
	r = open_files(&o);
	if (r == -EMFILE) {
		text_cut(why, said);
		r = borrow_run(open_files, &o);
	}
	if (r == 0 && o.space->refs++ == 0) {
		process_arrive(o.space);
		life_self(&o.space->self);
		process_watch();
	}
	space_list_release();
	signals_restore(&signals);
	if (r == 0)
		*ret_space = o.space;
	return r;
}

void space_close(struct space *sp)
{
	uint64_t signals;

	signals_block(&signals);
	space_list_hold(&signals);

	/* Once we have a slot, its life word is on a thread's list of robust
	 * mutexes: the page must stay mapped, and the namespace stays open
	 * for the next space_open(). */
	if (--sp->refs == 0 && !sp->me) {
		registry_close(&sp->reg);
		durable_part(&sp->durable);
	}
	space_list_release();
	signals_restore(&signals);
}

/* ------------------------------------------------------- locking, growing */

void space_lock(struct space *sp)
{
	lock_take(&sp->reg, &sp->self, space_slot(sp), &sp->signals);
}

int space_lock_patiently(struct space *sp, struct text *why)
{
	const struct layout_proc *p;

	if (lock_try(&sp->reg, &sp->self, space_slot(sp), &sp->signals,
		     SPACE_PATIENCE_NS))
		return 0;
	p = registry_proc(&sp->reg, lock_owner(&sp->reg) - 1);
	text_words(why,
		   "process % has held its lock for % seconds: continue it if "
		   "it is stopped, or end it, and the lock is free",
		   (const uint64_t[]){
			   p ? (uint32_t)claim_pid(load_relaxed(&p->claim)) : 0,
			   SPACE_PATIENCE_NS / 1000000000 });
	return -EBUSY;
}

void space_unlock(struct space *sp)
{
	lock_release(&sp->reg);
	if (load_relaxed(&sp->reg.h->unsettled))
		sweep_doomed(sp);
	if (sp->durable.on)
		durable_tidy(sp);
}

int space_grow(struct space *sp, struct layout_array *array)
{
	return registry_grow(&sp->reg, sp->dir.path, array);
}

/* ---------------------------------------------------------- the slot */

/* Make sure that we have a slot and that its life word is locked. */
static int slot_ensure(struct space *sp)
{
	struct registry *r = &sp->reg;
	uint32_t slot;
	int ret;

	if (sp->me) {
		struct layout_proc *p = &r->procs[space_slot(sp)];

		if (life_marked(p))
			(void)life_renew(p);
		return 0;
	}
	for (;;) {
		ret = procs_claim(r, &sp->self, &slot);
		if (ret == 0)
			break;
		if (ret != -EAGAIN || space_grow(sp, &r->h->procs) < 0)
			return -ENOMEM;
	}
	sp->me = slot + 1;
	return 1;
}

int space_enter_quietly(struct space *sp, struct space_entry *e)
{
	int ret;

	signals_block(&e->signals);
	process_arrive(sp);
	if (load_relaxed(&sp->local) && sp->fork_tid == sys_gettid()) {
		/* Another library's fork handler calls us: we hold it. */
		signals_restore(&e->signals);
		return -ENOMEM;
	}
	space_local_take(sp, &e->signals);

	ret = slot_ensure(sp);
	if (ret < 0)
		space_leave(sp, e);
	return ret;
}

int space_enter(struct space *sp, struct space_entry *e)
{
	int ret = space_enter_quietly(sp, e);

	if (ret < 0)
		return ret;
	/* A new slot: what our own earlier programs left is in any slot. Else
	 * the dead can wait for who finds the lock free: its holder may be
	 * stopped, and a reader has no need of it. */
	if (ret == 1)
		sweep_all(sp);
	else if (!lock_is_busy(&sp->reg))
		sweep_some(sp);
	if (sweep_forced(sp))
		sweep_orphans(sp);
	return 0;
}

void space_leave(struct space *sp, const struct space_entry *e)
{
	space_local_release(sp);
	signals_restore(&e->signals);
}

/* ---------------------------------------------------------- just looking */

/* A child that no fork handler saw must record what it inherited first. */
static inline void arrive(struct space *sp)
{
	uint64_t signals;

	if (load_acquire(sp->here) == 1)
		return;
	signals_block(&signals);
	process_arrive(sp);
	signals_restore(&signals);
}

void space_glance(struct space *sp)
{
	struct space_entry e;

	arrive(sp);
	if (!sweep_wanted(sp) && !sweep_forced(sp))
		return;
	if (space_enter(sp, &e) == 0)
		space_leave(sp, &e);
}

/* Behind the lock it holds still, and what a killed writer left is undone. */
static int read_locked(struct space *sp, uint32_t index,
		       struct layout_segment *ret)
{
	struct space_entry e;
	int r = space_enter(sp, &e);

	if (r < 0)
		return r;
	space_lock(sp);
	undo_settle_guard(&sp->reg.segments[index].guard);
	r = segments_read(&sp->reg, index, ret);
	space_unlock(sp);
	space_leave(sp, &e);
	return r == -EBUSY ? -EINVAL : r;
}

static int read_once(struct space *sp, uint32_t index,
		     struct layout_segment *ret)
{
	int r = segments_read(&sp->reg, index, ret);

	return r == -EBUSY ? read_locked(sp, index, ret) : r;
}

int space_read(struct space *sp, uint32_t index, struct layout_segment *ret)
{
	int r;

	arrive(sp);
	r = read_once(sp, index, ret);
	if (r < 0 || ret->attaches == 0)
		return r;
	sweep_segment(sp, index);
	return read_once(sp, index, ret);
}

int space_read_id(struct space *sp, int id, struct layout_segment *ret)
{
	int r;

	if (id < 0)
		return -EINVAL;
	r = space_read(sp, registry_index(&sp->reg, id), ret);
	if (r < 0)
		return r;
	if (ret->state != SEG_LIVE || ret->seq != registry_seq(&sp->reg, id))
		return -EINVAL;
	return 0;
}

int space_find_key(struct space *sp, int32_t key, uint32_t *ret_index)
{
	struct space_entry e;
	uint32_t link;
	int r;

	r = segments_find(&sp->reg, key, ret_index);
	if (r != -EBUSY)
		return r;
	r = space_enter(sp, &e);
	if (r < 0)
		return r;
	space_lock(sp);
	undo_settle_guard(&sp->reg.h->key_guard);
	link = segments_find_locked(&sp->reg, key);
	space_unlock(sp);
	space_leave(sp, &e);
	if (link == NO_INDEX)
		return -ENOENT;
	*ret_index = link - 1;
	return 0;
}
