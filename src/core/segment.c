/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing of its own: the order of checks and of effects.
 *
 * A segment is made in three steps: reserve an index (locked), make the file
 * (outside), publish (locked). It goes in three as well: doom (locked),
 * remove the file, free the index. Killed in between, the sweep of the dead
 * process finishes what it had begun to destroy and destroys what it had
 * begun to make. In a durable namespace the disk goes before the registry in
 * each of these: durable_change.c.
 */
#include "core/segment.h"

#include <string.h>
#include <sys/shm.h>
#include <sys/sysinfo.h>

#include "base/step.h"
#include "core/durable_change.h"
#include "store/perm.h"

#define PAGE_SHIFT 12
#define HUGE_SHIFT 26 /* SHM_HUGE_SHIFT */
#define HUGE_MASK  0x3f

/* No address space is larger, and sums of two do not overflow. */
#define MOST_BYTES ((uint64_t)SIZE_MAX >> (sizeof(size_t) == 8 ? 2 : 1))

static uint64_t pages_of(uint64_t size)
{
	return (size >> PAGE_SHIFT) + ((size & (LAYOUT_PAGE - 1)) != 0);
}

/* -------------------------------------------------------------- creation */

static int huge_check(int shmflg)
{
	unsigned log = (unsigned)shmflg >> HUGE_SHIFT & HUGE_MASK;

	/* 0 is the default size. What we can give is pages of 2 MiB. */
	if (log == 0 || log == 21)
		return 0;
	return log == 30 ? -ENOMEM : -EINVAL;
}

/* All of memory, in bytes. */
static uint64_t memory_total(void)
{
	struct sysinfo info;

	if (SYS3(SYS_sysinfo, &info, 0, 0) < 0)
		return UINT64_MAX;
	return ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
}

/* Blocks that the segments have already, in bytes. */
static uint64_t filled_bytes(struct space *sp)
{
	struct segment_totals t;

	segment_totals(sp, true, &t);
	return t.resident << PAGE_SHIFT;
}

/* 0: go ahead; 1: and take the blocks at once; -ENOMEM. */
static int room_check(struct space *sp, uint64_t size, uint32_t flags)
{
	uint64_t promised = load_relaxed(&sp->reg.h->pages) << PAGE_SHIFT;
	int r;

	if (size > MOST_BYTES)
		return -ENOMEM;
	if (flags & SEG_NORESERVE)
		return 0;
	if (size > memory_total())
		return -ENOMEM;
	r = sp->backing->room(sp->dir.path, size, promised, 0);
	if (r != 0)
		r = sp->backing->room(sp->dir.path, size, promised,
				      filled_bytes(sp));
	return r < 0 ? -ENOMEM : r;
}

static int reserve(struct space *sp, uint64_t pages,
		   struct segment_reservation *ret)
{
	struct registry *r = &sp->reg;
	int err;

	for (;;) {
		space_lock(sp);
		err = segments_reserve(r, space_slot(sp), pages, ret);
		if (err == 0)
			undo_commit(r);
		else
			undo_rollback(r);
		space_unlock(sp);
		if (err != -EAGAIN)
			return err;
		if (space_grow(sp, &r->h->segments) < 0)
			return -ENOMEM;
	}
}

static bool is_reserved(const struct space *sp,
			const struct segment_reservation *res)
{
	const struct layout_segment *s = &sp->reg.segments[res->index];

	return s->state == SEG_RESERVED && s->owner == sp->me &&
	       s->seq == res->seq;
}

static void unreserve(struct space *sp, const struct segment_reservation *res)
{
	space_lock(sp);
	if (is_reserved(sp, res)) { /* else it was given up */
		segments_unreserve(&sp->reg, res);
		undo_commit(&sp->reg);
	}
	space_unlock(sp);
}

/* The disk does not let it go: as what is doomed, it is tried again. */
static void give_up(struct space *sp, const struct segment_reservation *res)
{
	space_lock(sp);
	segments_doom(&sp->reg, res->index, space_slot(sp));
	undo_commit(&sp->reg);
	space_unlock(sp);
}

/* Publish, unless the key has come to exist: then -EEXIST. */
static int publish(struct space *sp, const struct segment_reservation *res,
		   const struct segment_new *n)
{
	struct registry *r = &sp->reg;
	int err = 0;

	space_lock(sp);
	if (n->key != IPC_PRIVATE && segments_find_locked(r, n->key)) {
		err = -EEXIST;
	} else {
		segments_publish(r, res->index, n);
		undo_commit(r);
	}
	space_unlock(sp);
	return err;
}

/*
 * The same where segments are durable: on disk first, so that what shmget()
 * has returned is there after a power cut.
 */
static int publish_durably(struct space *sp,
			   const struct segment_reservation *res,
			   const struct segment_new *n)
{
	bool exists;
	int r = durable_change_begin(sp);

	if (r < 0)
		return r;
	/* Others make segments within such a change only: a key that is not
	 * there stays so. */
	space_lock(sp);
	exists = n->key != IPC_PRIVATE &&
		 segments_find_locked(&sp->reg, n->key);
	space_unlock(sp);
	r = exists ? -EEXIST : durable_record_new(sp, res->index, res->seq, n);
	if (r == 0)
		r = publish(sp, res, n);
	durable_change_end(sp, r == 0);
	if (r < 0 && durable_destroy(sp, res->index, res->seq) < 0)
		give_up(sp, res);
	return r;
}

/* What shmget(2) has for what became of the file. -EEXIST: of the key. */
static int create_error(int r)
{
	switch (r) {
	case -EEXIST:
		return r;
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case -ESTALE:
		return -EACCES;
	default:
		return -ENOMEM;
	}
}

static int create_entered(struct space *sp, int32_t key, uint64_t size,
			  int shmflg, int *ret_id)
{
	struct registry *r = &sp->reg;
	struct segment_reservation res;
	struct directory_file file;
	struct segment_new n = {
		.key = key,
		.mode = (uint32_t)shmflg & 0777,
		.uid = sys_geteuid(),
		.gid = sys_getegid(),
		.flags = (shmflg & SHM_HUGETLB ? SEG_HUGE : 0) |
			 (shmflg & SHM_NORESERVE ? SEG_NORESERVE : 0),
		.size = size,
		.cpid = sp->self.pid,
		.creator = (uint32_t)sys_gettid(),
		.created = life_clock(),
	};
	uint64_t pages = pages_of(size), total;
	int err, take;

	if (size < 1 || size > load_relaxed(&r->h->shmmax))
		return -EINVAL;
	total = load_relaxed(&r->h->pages);
	if (total + pages < total ||
	    total + pages > load_relaxed(&r->h->shmall))
		return -ENOSPC;
	if (shmflg & SHM_HUGETLB) {
		err = huge_check(shmflg);
		if (err < 0)
			return err;
	}
	take = room_check(sp, size, n.flags);
	if (take < 0)
		return take;

	err = reserve(sp, pages, &res);
	if (err < 0)
		return err;
	step("segment: reserved");

	err = directory_file_hold(&sp->dir, &sp->reg, res.index, res.seq,
				  &file);
	if (err < 0)
		goto unreserve;
	err = sp->backing->create(
		file.path, backing_size(size, n.flags & SEG_HUGE), take != 0);
	if (err < 0)
		goto release;
	step("segment: file made");

	n.now = sys_now();
	err = sp->durable.on ? publish_durably(sp, &res, &n)
			     : publish(sp, &res, &n);
	if (err < 0) {
		(void)sp->backing->destroy(file.path);
		goto release;
	}
	step("segment: published");
	directory_file_release(&file);
	*ret_id = registry_id(r, res.index, res.seq);
	return 0;

release:
	directory_file_release(&file);
unreserve:
	unreserve(sp, &res);
	return create_error(err);
}

/* -EEXIST: somebody else made the key meanwhile. */
static int create(struct space *sp, int32_t key, uint64_t size, int shmflg,
		  int *ret_id)
{
	struct space_entry e;
	int r;

	r = space_enter(sp, &e);
	if (r < 0)
		return r;
	r = create_entered(sp, key, size, shmflg, ret_id);
	space_leave(sp, &e);
	return r;
}

int segment_get(struct space *sp, int32_t key, uint64_t size, int flags,
		int *ret_id)
{
	struct layout_segment s;
	uint32_t index;
	int r;

	if (key == IPC_PRIVATE)
		return create(sp, key, size, flags, ret_id);
	space_glance(sp);

	/* Twice round at most: the key may come or go in between. */
	for (int attempt = 0; attempt < 100; attempt++) {
		r = space_find_key(sp, key, &index);
		if (r == -ENOENT) {
			if (!(flags & IPC_CREAT))
				return r;
			r = create(sp, key, size, flags, ret_id);
			if (r != -EEXIST)
				return r;
			continue;
		}
		if (r < 0)
			return r;
		r = segments_read(&sp->reg, index, &s);
		if (r == -EBUSY)
			r = space_read(sp, index, &s);
		if (r < 0 || s.state != SEG_LIVE || s.key != key)
			continue;

		if (flags & IPC_CREAT && flags & IPC_EXCL)
			return -EEXIST;
		if (size > s.size)
			return -EINVAL;
		r = perm_check_flags(&s, flags);
		if (r < 0)
			return r;
		*ret_id = registry_id(&sp->reg, index, s.seq);
		return 0;
	}
	return -ENOENT;
}

/* ---------------------------------------------------------------- status */

int segment_stat(struct space *sp, int id, struct layout_segment *ret)
{
	int r;

	space_glance(sp);
	r = space_read_id(sp, id, ret);
	return r < 0 ? r : perm_check(ret, 04);
}

int segment_stat_index(struct space *sp, uint32_t index, bool check,
		       struct layout_segment *ret, int *ret_id)
{
	int r;

	space_glance(sp);
	r = space_read(sp, index, ret);
	if (r == 0 && ret->state != SEG_LIVE)
		r = -EINVAL;
	if (r < 0)
		return r;
	*ret_id = registry_id(&sp->reg, index, ret->seq);
	return check ? perm_check(ret, 04) : 0;
}

uint64_t segment_resident(struct space *sp, uint32_t index, uint32_t seq)
{
	struct directory_file file;
	uint64_t bytes;

	if (directory_file_hold(&sp->dir, &sp->reg, index, seq, &file) < 0)
		return 0;
	bytes = sp->backing->resident(file.path);
	directory_file_release(&file);
	return bytes;
}

void segment_totals(struct space *sp, bool resident, struct segment_totals *ret)
{
	struct layout_segment s;
	uint32_t index = 0;

	memset(ret, 0, sizeof(*ret));
	while ((index = segments_next(&sp->reg, index)) != UINT32_MAX) {
		if (segments_read(&sp->reg, index, &s) == 0 &&
		    s.state == SEG_LIVE) {
			ret->used++;
			ret->max_index = index;
			ret->pages += pages_of(s.size);
			if (resident)
				ret->resident += segment_resident(sp, index,
								  s.seq) >>
						 PAGE_SHIFT;
		}
		index++;
	}
}

/* --------------------------------------------------------------- changes */

static int lock_found(struct space *sp, int id, struct layout_segment **ret)
{
	struct layout_segment *s;

	space_lock(sp);
	s = registry_segment(&sp->reg, registry_index(&sp->reg, id));
	if (!s || s->state != SEG_LIVE ||
	    s->seq != registry_seq(&sp->reg, id)) {
		space_unlock(sp);
		return -EINVAL;
	}
	*ret = s;
	return 0;
}

/*
 * Enter, lock and find the segment again: what was allowed a moment ago must
 * still be the same segment. On success the caller finishes with done().
 */
static int begin(struct space *sp, int id, struct space_entry *e,
		 struct layout_segment **ret)
{
	int r;

	r = space_enter(sp, e);
	if (r < 0)
		return r;
	r = lock_found(sp, id, ret);
	if (r < 0)
		space_leave(sp, e);
	return r;
}

static int done(struct space *sp, const struct space_entry *e, int r)
{
	if (r == 0)
		undo_commit(&sp->reg);
	else
		undo_rollback(&sp->reg);
	space_unlock(sp);
	if (sp->durable.changes)
		durable_change_end(sp, r == 0);
	space_leave(sp, e);
	return r;
}

/* On disk first: the new owner, or with 'to' NULL the removal. */
static int change_disk(struct space *sp, int id, const struct durable_owner *to)
{
	struct layout_segment *s, copy;
	int r;

	r = lock_found(sp, id, &s);
	if (r < 0)
		return r;
	copy = *s;
	space_unlock(sp);
	r = perm_check_control(&copy);
	if (r < 0 || (to && copy.mode & SHM_DEST))
		return r; /* one that was removed is not on disk any more */
	return durable_record_set(sp, registry_index(&sp->reg, id), &copy, to);
}

/* As begin(), for a change that is to outlive the system. */
static int begin_lasting(struct space *sp, int id,
			 const struct durable_owner *to, struct space_entry *e,
			 struct layout_segment **ret)
{
	int r;

	if (!sp->durable.on)
		return begin(sp, id, e, ret);
	r = space_enter(sp, e);
	if (r < 0)
		return r;
	r = durable_change_begin(sp);
	if (r < 0)
		goto leave;
	r = change_disk(sp, id, to);
	if (r >= 0)
		r = lock_found(sp, id, ret);
	if (r >= 0)
		return 0;
	durable_change_end(sp, false);
leave:
	space_leave(sp, e);
	return r;
}

int segment_set(struct space *sp, int id, uint32_t uid, uint32_t gid,
		uint32_t mode)
{
	const struct durable_owner to = { uid, gid, mode, sys_now() };
	bool possible = uid != UINT32_MAX && gid != UINT32_MAX;
	struct layout_segment *s;
	struct space_entry e;
	int r;

	if (id < 0)
		return -EINVAL;
	r = possible ? begin_lasting(sp, id, &to, &e, &s)
		     : begin(sp, id, &e, &s);
	if (r < 0)
		return r;
	r = perm_check_control(s);
	if (r == 0 && !possible)
		r = -EINVAL;
	if (r == 0) {
		undo_guard(&sp->reg, &s->guard);
		undo_set32(&sp->reg, &s->uid, uid);
		undo_set32(&sp->reg, &s->gid, gid);
		undo_set32(&sp->reg, &s->mode,
			   (s->mode & ~0777u) | (mode & 0777));
		undo_set_i64(&sp->reg, &s->ctime, to.ctime);
	}
	return done(sp, &e, r);
}

int segment_remove(struct space *sp, int id)
{
	struct layout_segment *s, copy;
	struct space_entry e;
	int r;

	/* Sweeps the dead that are attached, so that 'attaches' is nattch. */
	r = space_read_id(sp, id, &copy);
	if (r < 0)
		return r;
	r = begin_lasting(sp, id, NULL, &e, &s);
	if (r < 0)
		return r;
	r = perm_check_control(s);
	if (r < 0)
		return done(sp, &e, r);
	step("segment: removing");
	if (segments_unattached(s)) {
		segments_doom(&sp->reg, registry_index(&sp->reg, id),
			      space_slot(sp));
	} else {
		segments_forget_key(&sp->reg, registry_index(&sp->reg, id));
		undo_set32(&sp->reg, &s->mode, s->mode | SHM_DEST);
	}
	return done(sp, &e, 0);
}

int segment_lock(struct space *sp, int id, bool lock)
{
	struct layout_segment *s;
	struct space_entry e;
	int r;

	if (id < 0)
		return -EINVAL;
	r = begin(sp, id, &e, &s);
	if (r < 0)
		return r;
	r = perm_check_lock(s, lock);
	if (r == 0 && !(load_relaxed(&s->flags) & SEG_HUGE)) {
		if (lock && !(s->mode & SHM_LOCKED))
			r = perm_check_lock_limit(sp->reg.h->locked + s->pages);
		if (r == 0)
			segments_set_lock(&sp->reg,
					  registry_index(&sp->reg, id), lock);
	}
	return done(sp, &e, r);
}
