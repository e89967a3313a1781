/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of open namespaces, the process's slot in each, and the
 * sweeping of the dead.
 *
 * Invariant: whoever changes a namespace has a LIVE process slot in it, so
 * that others can tell when it dies.
 * Lock: 'local' for this process's part, then the registry's; never the other
 * way round. The list of spaces has a lock of its own, taken before both.
 * Crash: process-local state dies with the process; the rest is the store's.
 */
#include "core/space.h"

#include <string.h>

#include "base/borrow.h"
#include "base/signals.h"
#include "base/step.h"
#include "core/limits.h"
#include "core/process.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define GLANCE	     64u      /* slots that a reading call looks at */
#define LOOK	     256u     /* and a changing one */
#define ASK_AGAIN    10000000 /* ns before a living suspect is asked again */
#define MAX_SUSPECTS 64

static struct space *spaces;
static uint32_t list_lock;

/* ------------------------------------------------- process-private locks */

/* With all signals blocked; 'signals' is the mask from before. */
static void word_take(uint32_t *word, const uint64_t *signals)
{
	uint32_t seen = 0;

	if (swap_if(word, &seen, 1u))
		return;
	while (exchange(word, 2u) != 0)
		if (sys_futex_wait(word, 2, 100000000) == -ETIMEDOUT)
			signals_obey(signals);
}

static void word_release(uint32_t *word)
{
	if (exchange(word, 0u) == 2)
		(void)sys_futex_wake(word, 1);
}

void space_list_hold(const uint64_t *signals)
{
	word_take(&list_lock, signals);
}

void space_list_release(void)
{
	word_release(&list_lock);
}

void space_list_reset(void)
{
	store_release(&list_lock, 0);
}

void space_local_take(struct space *sp, const uint64_t *signals)
{
	word_take(&sp->local, signals);
	sp->signals = *signals;
}

void space_local_release(struct space *sp)
{
	word_release(&sp->local);
}

struct space *space_first(void)
{
	return load_acquire(&spaces);
}

/* -------------------------------------------------------------- opening */

static int path_absolute(const char *path, char *buf, size_t size)
{
	struct text t;
	int r;

	text_init(&t, buf, size);
	if (!*path)
		return -ENOENT;
	if (path[0] != '/') {
		r = sys_getcwd(buf, size);
		if (r < 0)
			return r;
		t.used = strlen(buf);
		text_str(&t, "/");
	}
	text_str(&t, path);
	while (t.used > 1 && buf[t.used - 1] == '/')
		buf[--t.used] = '\0';
	return t.full ? -ENAMETOOLONG : 0;
}

/* The directory, if it can be trusted; made if it is to be. */
static int dir_open(const char *path, bool create, struct sys_stat *ret,
		    bool *ret_made, struct text *why)
{
	bool made = false;
	int fd, r;

	if (create) {
		r = sys_mkdirat(AT_FDCWD, path, 0700);
		made = r == 0;
		if (r < 0 && r != -EEXIST) {
			text_str(why, "cannot be created");
			return r;
		}
	}
	fd = sys_openat(AT_FDCWD, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0) {
		/* O_DIRECTORY hides the difference between a link and a file */
		if (sys_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, ret) == 0 &&
		    S_ISLNK(ret->mode)) {
			text_str(why, "is a symbolic link");
			return -ELOOP;
		}
		text_str(why, fd == -ENOENT    ? "does not exist"
			      : fd == -ENOTDIR ? "is not a directory"
					       : "cannot be opened");
		return fd;
	}
	*ret_made = made;

	r = sys_fstat(fd, ret);
	if (r == 0 && ret->uid != sys_geteuid()) {
		text_str(why, "belongs to another user");
		r = -EACCES;
	} else if (r == 0 && ret->mode & 022) {
		text_str(why, "may be written by group or others "
			      "(chmod go-w it)");
		r = -EACCES;
	}
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	/* The umask may have taken our own rights. */
	if (made && (ret->mode & 0700) != 0700)
		(void)SYS3(SYS_fchmod, fd, 0700, 0);
	return fd;
}

/*
 * Can anybody but root and us change what the path leads to? Whoever may write
 * to a directory above ours, unless it is sticky, can rename ours away.
 */
static bool is_exposed(const char *path)
{
	uid_t me = sys_geteuid();
	char above[PATH_ROOM];
	struct sys_stat st;
	size_t length;

	for (length = strlen(path); length > 1; length--) {
		if (path[length] != '/')
			continue;
		memcpy(above, path, length);
		above[length] = '\0';
		if (sys_stat(AT_FDCWD, above, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
		    !S_ISDIR(st.mode) || (st.uid != 0 && st.uid != me) ||
		    (st.mode & 022 && !(st.mode & S_ISVTX)))
			return true;
	}
	return false;
}

/*
 * A space that is not in use, taken from the list or added to it. One piece
 * of memory, with one page that a forked child finds wiped. List held.
 */
static struct space *space_take(void)
{
	size_t size = (sizeof(struct space) + 4095) & ~(size_t)4095;
	struct space *sp;
	char *base;

	for (sp = spaces; sp; sp = sp->next)
		if (!sp->reg.h)
			return sp;
	base = sys_mmap(NULL, size + 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(base))
		return NULL;
	sp = (struct space *)(void *)base;
	sp->here = (uint32_t *)(void *)(base + size);
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
	struct text *why;
	struct space *space; /* the result */
};

/* List held. Which space is it, or shall it be? Its registry may be closed. */
static int space_choose(struct opening *o, const struct sys_stat *dir)
{
	struct space *sp;

	for (sp = spaces; sp; sp = sp->next)
		if (sp->reg.h && sp->dir_dev == dir->dev &&
		    sp->dir_ino == dir->ino)
			break;
	if (!sp) {
		sp = space_take();
		if (!sp)
			return -ENOMEM;
		memcpy(sp->dir, o->path, strlen(o->path) + 1);
		sp->backing = &backing_file;
		sp->dir_dev = dir->dev;
		sp->dir_ino = dir->ino;
		sp->exposed = is_exposed(o->path);
	}
	o->space = sp;
	return 0;
}

/* List held. All of opening that needs descriptors. */
static int open_files(void *arg)
{
	static const struct registry_shape standard;
	struct opening *o = arg;
	struct sys_stat st;
	bool made = false;
	int dir, r;

	dir = dir_open(o->path, o->create, &st, &made, o->why);
	if (dir < 0)
		return dir;
	r = space_choose(o, &st);
	if (r == 0 && !o->space->reg.h) {
		text_str(o->why, "its registry ");
		r = registry_open(dir, sys_geteuid(), o->create,
				  o->shape ? o->shape : &standard,
				  &o->space->reg, o->why);
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
	struct opening o = { NULL, create, shape, why, NULL };
	size_t said = why->used;
	char absolute[PATH_ROOM];
	uint64_t signals;
	int r;

	r = path_absolute(path, absolute, sizeof(absolute));
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
	if (--sp->refs == 0 && !sp->me)
		registry_close(&sp->reg);
	space_list_release();
	signals_restore(&signals);
}

/* ---------------------------------------------------------------- paths */

/* The directory, if it is still the one that was opened. */
static int dir_hold(const struct space *sp)
{
	struct sys_stat st;
	int fd, r;

	fd = sys_openat(AT_FDCWD, sp->dir,
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd == -ELOOP || fd == -ENOTDIR ? -ESTALE : fd;
	r = sys_fstat(fd, &st);
	if (r == 0 && (st.dev != sp->dir_dev || st.ino != sp->dir_ino))
		r = -ESTALE;
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	return fd;
}

int space_file_hold(const struct space *sp, uint32_t index, uint32_t seq,
		    struct space_file *ret)
{
	struct text t;

	text_init(&t, ret->path, sizeof(ret->path));
	ret->dir = -1;
	if (sp->exposed) {
		ret->dir = dir_hold(sp);
		if (ret->dir < 0)
			return ret->dir;
		text_str(&t, "/proc/self/fd/");
		text_uint(&t, (uint64_t)ret->dir, 10, 0, ' ');
	} else {
		text_str(&t, sp->dir);
	}
	text_str(&t, "/seg.");
	text_uint(&t, sp->reg.uid, 10, 0, ' ');
	text_str(&t, ".");
	text_uint(&t, (uint64_t)registry_id(&sp->reg, index, seq), 10, 0, ' ');
	if (!t.full)
		return 0;
	space_file_release(ret);
	return -ENAMETOOLONG;
}

void space_file_release(const struct space_file *f)
{
	if (f->dir >= 0)
		(void)sys_close(f->dir);
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

/*
 * Is the file gone? That it was not found means so only if the directory is
 * still where it was: not after chroot(2).
 */
static bool destroyed(const struct space *sp, const char *path)
{
	struct sys_stat st;
	int r = sp->backing->destroy(path);

	return r == 0 ||
	       (r == -ENOENT && sys_stat(AT_FDCWD, sp->dir, 0, &st) == 0 &&
		st.dev == sp->dir_dev && st.ino == sp->dir_ino);
}

/* Destroy the files of what this process has doomed. */
static void destroy_doomed(struct space *sp)
{
	struct registry *r = &sp->reg;
	struct space_file file;
	uint32_t index = 0;
	bool gone;

	while ((index = segments_next_doomed(r, space_slot(sp), index)) !=
	       UINT32_MAX) {
		struct layout_segment *s = &r->segments[index];
		uint32_t seq = load_relaxed(&s->seq);

		/* We may not (another effective user now): it stays ours, and
		 * who sweeps us inherits it. */
		if (space_file_hold(sp, index++, seq, &file) < 0)
			continue;
		if (load_relaxed(&s->flags) & SEG_HANDLES)
			sp->backing->empty(file.path);
		gone = destroyed(sp, file.path);
		space_file_release(&file);
		if (!gone)
			continue;
		step("space: file destroyed");
		space_lock(sp);
		if (s->state == SEG_DOOMED && s->owner == sp->me &&
		    s->seq == seq) {
			segments_free(r, index - 1);
			undo_commit(r);
		}
		lock_release(r);
	}
}

void space_unlock(struct space *sp)
{
	lock_release(&sp->reg);
	if (load_relaxed(&sp->reg.h->unsettled))
		destroy_doomed(sp);
}

int space_grow(struct space *sp, struct layout_array *array)
{
	return registry_grow(&sp->reg, sp->dir, array);
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

/* ------------------------------------------------------------- the dead */

/* Sweep slot 'slot' if it is dead. True if it was. */
static bool sweep_if_dead(struct space *sp, uint32_t slot, uint64_t claim)
{
	struct registry *r = &sp->reg;

	if (!life_is_dead(r, &sp->self, slot, claim))
		return false;
	step("space: found a dead process");
	space_lock(sp);
	ledger_sweep(r, slot, claim, space_slot(sp), sys_now());
	space_unlock(sp);
	return true;
}

/* Has this suspect been found alive a moment ago? */
static bool asked_lately(struct space *sp, uint32_t slot, uint64_t claim)
{
	return sp->asked_slot == slot && sp->asked_claim == claim &&
	       sys_monotonic_ns() - sp->asked_at < ASK_AGAIN;
}

/* Look at 'count' slots from 'from' and sweep the dead among them. */
static void look(struct space *sp, uint32_t from, uint32_t count)
{
	uint32_t end = from + count, slot;
	uint64_t claim;

	while (from < end &&
	       procs_suspect(&sp->reg, from, end - from, &slot, &claim)) {
		from = slot + 1;
		if (slot + 1 == sp->me || asked_lately(sp, slot, claim))
			continue;
		if (!sweep_if_dead(sp, slot, claim)) {
			sp->asked_slot = slot;
			sp->asked_claim = claim;
			sp->asked_at = sys_monotonic_ns();
		}
	}
}

static void look_around(struct space *sp, uint32_t count)
{
	uint32_t used = procs_used(&sp->reg), from;

	/* A large namespace is looked through in turns. */
	from = used <= count ? 0 : load_relaxed(&sp->look_from);
	if (from >= used)
		from = 0;
	store_relaxed(&sp->look_from, from + count);
	look(sp, from, count);
}

void space_sweep(struct space *sp)
{
	sp->asked_claim = 0;
	look(sp, 0, UINT32_MAX / 2);
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
		look_around(sp, UINT32_MAX / 2);
	else if (!lock_is_busy(&sp->reg))
		look_around(sp, LOOK);
	if (limits_forced(sp))
		limits_sweep_orphans(sp);
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
	uint32_t used = procs_used(&sp->reg), from, slot;
	struct space_entry e;
	uint64_t claim;

	arrive(sp);

	from = used <= GLANCE ? 0 : load_relaxed(&sp->look_from);
	if (from >= used)
		from = 0;
	if (used > GLANCE)
		store_relaxed(&sp->look_from, from + GLANCE);
	if (!limits_forced(sp) &&
	    (!procs_suspect(&sp->reg, from, GLANCE, &slot, &claim) ||
	     slot + 1 == sp->me || asked_lately(sp, slot, claim)))
		return;
	if (space_enter(sp, &e) == 0)
		space_leave(sp, &e);
}

static void sweep_everywhere(struct space *sp)
{
	uint32_t slot = 0;
	uint64_t claim;

	for (; procs_suspect(&sp->reg, slot, UINT32_MAX, &slot, &claim); slot++)
		if (slot + 1 != sp->me)
			(void)sweep_if_dead(sp, slot, claim);
}

/* Sweep the dead that are attached to this segment. */
static void settle(struct space *sp, uint32_t index)
{
	uint32_t slots[MAX_SUSPECTS];
	struct space_entry e;
	uint64_t claim;
	int n;

	n = ledger_suspects(&sp->reg, index, slots, MAX_SUSPECTS);
	if (n == 0)
		return;
	if (space_enter(sp, &e) < 0)
		return;
	if (n < 0) {
		/* It kept changing, or its changer is dead: behind the lock
		 * it holds still. */
		space_lock(sp);
		n = ledger_suspects(&sp->reg, index, slots, MAX_SUSPECTS);
		space_unlock(sp);
	}
	for (int i = 0; i < n; i++)
		if (slots[i] + 1 != sp->me &&
		    procs_is_suspect(&sp->reg, slots[i], &claim))
			(void)sweep_if_dead(sp, slots[i], claim);
	if (n == MAX_SUSPECTS)
		sweep_everywhere(sp); /* there may be more */
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
	settle(sp, index);
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
