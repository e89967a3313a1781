/* SPDX-License-Identifier: MIT */
/*
 * Owns the records on disk of an open durable namespace.
 *
 * Invariant: when nobody holds CHANGING and 'changing' in the registry's header
 * is 0, there is a record of a segment exactly if it is LIVE and not removed,
 * with its key, size, owner, mode and ctime; only such a one as is about to be
 * destroyed without having been removed (shm_rmid_forced) may have one still,
 * and that goes before another segment gets one.
 * Lock: CHANGING, a lock on a byte of the marker (core/durable.h), from before
 * the record is changed until the registry has followed. Taken after 'local',
 * before the registry's. Flushes last milliseconds: others who change wait.
 * Crash: the disk goes first, so that what has returned is true after a power
 * cut. 'changing' names the segment until the registry has followed; killed
 * before that, whoever changes next makes the record what the registry says,
 * which is what all others have seen meanwhile. Power cut before that, the
 * record is right: the change has happened, or not, as a whole. A segment that
 * was being made by a killed process is DOOMED by the sweep of the dead, which
 * removes its record too.
 */
#include "core/durable_change.h"

#include <string.h>
#include <sys/shm.h>

#include "base/fsize.h"
#include "base/step.h"
#include "core/durable_sync.h"

/* ---------------------------------------------------- the directory, held */

int durable_disk_hold(struct space *sp)
{
	struct durable *d = &sp->durable;
	struct sys_stat st;
	int r;

	if (d->holds++ > 0)
		return 0;
	d->dir = sys_openat(AT_FDCWD, d->disk.path,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	r = d->dir < 0 ? d->dir : sys_fstat(d->dir, &st);
	if (r == 0 && !directory_is(&d->disk, &st))
		r = -ESTALE;
	if (r < 0)
		durable_disk_release(sp);
	return r;
}

void durable_disk_release(struct space *sp)
{
	struct durable *d = &sp->durable;

	if (--d->holds > 0)
		return;
	if (d->dir >= 0)
		(void)sys_close(d->dir);
	d->dir = -1;
}

/* --------------------------------------------------------------- records */

static int id_of(const struct space *sp, uint32_t index, uint32_t seq)
{
	return registry_id(&sp->reg, index, seq);
}

static int record_put(struct space *sp, struct record_segment *s)
{
	char name[RECORD_NAME];

	record_segment_name(s->id, "record", name);
	return record_write(sp->durable.dir, name, RECORD_SEGMENT, &s->head,
			    sizeof(*s));
}

static int record_drop(struct space *sp, int id)
{
	char name[RECORD_NAME];

	record_segment_name(id, "record", name);
	return record_remove(sp->durable.dir, name);
}

static int record_get(struct space *sp, int id, struct record_segment *ret)
{
	char name[RECORD_NAME];

	record_segment_name(id, "record", name);
	return record_read(sp->durable.dir, name, RECORD_SEGMENT, &ret->head,
			   sizeof(*ret));
}

int durable_record_read(struct space *sp, int id, struct record_segment *ret)
{
	int r = durable_disk_hold(sp);

	if (r < 0)
		return r;
	r = record_get(sp, id, ret);
	durable_disk_release(sp);
	return r;
}

/* What the registry says, and 'synced' of the record before. */
static void record_fill(struct space *sp, uint32_t index,
			const struct layout_segment *s,
			struct record_segment *ret)
{
	struct record_segment old;
	int id = id_of(sp, index, s->seq);

	*ret = (struct record_segment){
		.id = id,
		.key = s->key,
		.mode = s->mode & 0777,
		.flags = s->flags & (SEG_HUGE | SEG_NORESERVE),
		.size = s->size,
		.uid = s->uid,
		.gid = s->gid,
		.cuid = s->cuid,
		.cgid = s->cgid,
		.atime = s->atime,
		.dtime = s->dtime,
		.ctime = s->ctime,
		.cpid = s->cpid,
		.lpid = s->lpid,
	};
	if (record_get(sp, id, &old) == 0)
		ret->synced = old.synced;
}

/* ------------------------------------------------- half done by the killed */

/* The slot as it is; 'state' FREE if there is none. */
static void slot_read(struct space *sp, uint32_t index,
		      struct layout_segment *ret)
{
	const struct layout_segment *s;

	*ret = (struct layout_segment){ .state = SEG_FREE };
	lock_take(&sp->reg, &sp->self, space_slot(sp), &sp->signals);
	s = registry_segment(&sp->reg, index);
	if (s)
		*ret = *s;
	lock_release(&sp->reg);
}

/* Make the record of one slot what the registry says. */
static int settle_one(struct space *sp, uint32_t index)
{
	struct record_segment record;
	struct layout_segment s;

	slot_read(sp, index, &s);
	if (s.state != SEG_LIVE || s.mode & SHM_DEST)
		return record_drop(sp, id_of(sp, index, s.seq));
	record_fill(sp, index, &s, &record);
	return record_put(sp, &record);
}

/* The key of one that is DOOMED may be given to another segment. */
static int settle_doomed(struct space *sp)
{
	struct registry *r = &sp->reg;
	uint32_t index = 0;
	int ret = 0;

	if (load_relaxed(&r->h->unsettled) == 0)
		return 0;
	for (; ret == 0 && (index = segments_next(r, index)) != UINT32_MAX;
	     index++)
		if (load_relaxed(&r->segments[index].state) == SEG_DOOMED)
			ret = settle_one(sp, index);
	return ret;
}

static int settle(struct space *sp)
{
	uint32_t *changing = &sp->reg.h->changing;
	uint32_t link = load_relaxed(changing);
	int r = 0;

	if (link != NO_INDEX)
		r = settle_one(sp, link - 1);
	if (r < 0)
		return r;
	step("durable: settled");
	store_release(changing, NO_INDEX);
	return settle_doomed(sp);
}

/* ---------------------------------------------------------------- changes */

static int marker_lock(struct space *sp)
{
	struct durable *d = &sp->durable;
	int r;

	d->marker = sys_openat(d->dir, "durable",
			       O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (d->marker < 0)
		return d->marker;
	r = durable_lock(d->marker, F_WRLCK, DURABLE_CHANGING, &sp->signals);
	if (r < 0)
		(void)sys_close(d->marker);
	return r;
}

/* 1: it is ours from now on. 0: it was already. */
static int change_lock(struct space *sp)
{
	struct durable *d = &sp->durable;
	int r;

	if (d->changes) {
		d->changes++;
		return 0;
	}
	r = durable_disk_hold(sp);
	if (r < 0)
		return r;
	r = marker_lock(sp);
	if (r < 0) {
		durable_disk_release(sp);
		return r;
	}
	d->changes = 1;
	return 1;
}

static void change_unlock(struct space *sp)
{
	struct durable *d = &sp->durable;

	if (--d->changes > 0)
		return;
	(void)sys_lock(d->marker, F_UNLCK, DURABLE_CHANGING, 1, false);
	(void)sys_close(d->marker);
	durable_disk_release(sp);
}

int durable_change_begin(struct space *sp)
{
	int r = change_lock(sp);

	if (r == 1) {
		step("durable: change begun");
		r = settle(sp);
		if (r < 0)
			change_unlock(sp);
	}
	return r < 0 ? r : 0;
}

static void note(struct space *sp, uint32_t index)
{
	store_release(&sp->reg.h->changing, index + 1);
	step("durable: change noted");
}

void durable_change_end(struct space *sp, bool done)
{
	step("durable: registry followed");
	if (done)
		store_release(&sp->reg.h->changing, NO_INDEX);
	else
		(void)settle(sp); /* or whoever comes next */
	change_unlock(sp);
}

/* A file of zeros, as long as the segment's. */
static int data_create(struct space *sp, int id, uint64_t size)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char name[RECORD_NAME];
	int fd, r;

	/* The id is reserved: what lies there is a leftover. */
	record_segment_name(id, "journal", name);
	r = sys_unlinkat(sp->durable.dir, name, 0);
	if (r < 0 && r != -ENOENT)
		return r;
	record_segment_name(id, "data", name);
	(void)sys_unlinkat(sp->durable.dir, name, 0);
	fd = sys_openat(sp->durable.dir, name, flags, 0600);
	if (fd < 0)
		return fd;
	step("durable: data file created");
	r = (int)SYS3(SYS_fchmod, fd, 0600, 0);
	if (r == 0)
		r = fsize_truncate(fd, size);
	if (r == 0)
		r = sys_fsync(fd);
	(void)sys_close(fd);
	/* No record without contents, whatever the disk has of our changes. */
	if (r == 0)
		r = record_flush_names(sp->durable.dir);
	if (r < 0)
		(void)sys_unlinkat(sp->durable.dir, name, 0);
	return r;
}

int durable_record_new(struct space *sp, uint32_t index, uint32_t seq,
		       const struct segment_new *n)
{
	struct record_segment record = {
		.id = id_of(sp, index, seq),
		.key = n->key,
		.mode = n->mode,
		.flags = n->flags,
		.size = n->size,
		.uid = n->uid,
		.gid = n->gid,
		.cuid = n->uid,
		.cgid = n->gid,
		.ctime = n->now,
		.cpid = n->cpid,
	};
	int r;

	note(sp, index);
	r = data_create(sp, record.id,
			backing_size(n->size, n->flags & SEG_HUGE));
	return r < 0 ? r : record_put(sp, &record);
}

int durable_record_set(struct space *sp, uint32_t index,
		       const struct layout_segment *s,
		       const struct durable_owner *to)
{
	struct record_segment record;

	note(sp, index);
	if (!to)
		return record_drop(sp, id_of(sp, index, s->seq));
	record_fill(sp, index, s, &record);
	record.uid = to->uid;
	record.gid = to->gid;
	record.mode = to->mode & 0777;
	record.ctime = to->ctime;
	return record_put(sp, &record);
}

int durable_note_sync(struct space *sp, uint32_t index, uint32_t seq)
{
	struct record_segment record;
	struct layout_segment s;
	int r = durable_change_begin(sp);

	if (r < 0)
		return r;
	slot_read(sp, index, &s);
	if (s.state != SEG_LIVE || s.seq != seq) {
		r = -EINVAL;
	} else if (s.mode & SHM_DEST) {
		r = -EIDRM;
	} else {
		record_fill(sp, index, &s, &record);
		record.synced = sys_now();
		r = record_put(sp, &record);
	}
	change_unlock(sp);
	return r;
}

int durable_destroy(struct space *sp, uint32_t index, uint32_t seq)
{
	static const char *const files[] = { "data", "journal" };
	int id = id_of(sp, index, seq), r = change_lock(sp), data;
	char name[RECORD_NAME];

	if (r < 0)
		return r;
	/* Who syncs it would make a journal anew. Where the file cannot be
	 * opened, nobody does. */
	data = durable_data_lock(sp->durable.dir, id, &sp->signals);
	r = record_drop(sp, id);
	for (size_t i = 0; r == 0 && i < 2; i++) {
		record_segment_name(id, files[i], name);
		r = sys_unlinkat(sp->durable.dir, name, 0);
		if (r == -ENOENT)
			r = 0;
	}
	if (data >= 0)
		durable_data_unlock(data);
	step("durable: destroyed");
	change_unlock(sp);
	return r;
}

int durable_keep_limits(struct space *sp)
{
	const struct layout_header *h = sp->reg.h;
	struct record_limits l = { .shmmax = load_relaxed(&h->shmmax),
				   .shmall = load_relaxed(&h->shmall),
				   .shmmni = load_relaxed(&h->shmmni),
				   .rmid_forced =
					   load_relaxed(&h->rmid_forced) };
	int r = durable_change_begin(sp);

	if (r < 0)
		return r;
	r = record_write(sp->durable.dir, "limits", RECORD_LIMITS, &l.head,
			 sizeof(l));
	change_unlock(sp);
	return r;
}

/* -------------------------------------------------------------- the check */

static bool differs(const struct record_segment *a,
		    const struct record_segment *b)
{
	return a->id != b->id || a->key != b->key || a->mode != b->mode ||
	       a->flags != b->flags || a->size != b->size || a->uid != b->uid ||
	       a->gid != b->gid || a->cuid != b->cuid || a->cgid != b->cgid ||
	       a->ctime != b->ctime || a->cpid != b->cpid;
}

static enum durable_fault find_fault(struct space *sp,
				     const struct record_segment *want,
				     uint64_t bytes)
{
	struct record_segment found;
	char name[RECORD_NAME];
	struct sys_stat st;
	int r = record_get(sp, want->id, &found);

	if (r == -ENOENT)
		return DURABLE_RECORD_MISSING;
	if (r < 0)
		return DURABLE_RECORD_DAMAGED;
	if (differs(&found, want))
		return DURABLE_RECORD_DIFFERS;
	record_segment_name(want->id, "data", name);
	if (sys_stat(sp->durable.dir, name, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    !S_ISREG(st.mode))
		return DURABLE_DATA_MISSING;
	return st.size == bytes ? DURABLE_FINE : DURABLE_DATA_SIZE;
}

/* The memory has the contents: where the file is not as long, begin anew. */
static int mend_fault(struct space *sp, enum durable_fault fault,
		      struct record_segment *want, uint64_t bytes)
{
	char name[RECORD_NAME];
	struct sys_stat st;
	int r = 0;

	record_segment_name(want->id, "data", name);
	if (fault == DURABLE_DATA_MISSING || fault == DURABLE_DATA_SIZE ||
	    sys_stat(sp->durable.dir, name, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    st.size != bytes)
		r = data_create(sp, want->id, bytes);
	return r < 0 ? r : record_put(sp, want);
}

static enum durable_fault examine(struct space *sp, uint32_t index,
				  uint32_t seq, bool mend, int *ret)
{
	enum durable_fault fault;
	struct record_segment want;
	struct layout_segment s;
	uint64_t bytes;

	slot_read(sp, index, &s);
	if (s.state != SEG_LIVE || s.seq != seq || s.mode & SHM_DEST)
		return DURABLE_GONE;
	record_fill(sp, index, &s, &want);
	bytes = backing_size(s.size, s.flags & SEG_HUGE);
	fault = find_fault(sp, &want, bytes);
	if (fault != DURABLE_FINE && mend)
		*ret = mend_fault(sp, fault, &want, bytes);
	return fault;
}

enum durable_fault durable_examine(struct space *sp, uint32_t index,
				   uint32_t seq, bool mend, int *ret)
{
	enum durable_fault fault = DURABLE_FINE;
	struct space_entry e;

	*ret = space_enter(sp, &e);
	if (*ret < 0)
		return DURABLE_FINE;
	*ret = durable_change_begin(sp);
	if (*ret == 0) {
		fault = examine(sp, index, seq, mend, ret);
		change_unlock(sp);
	}
	if (fault > DURABLE_GONE && mend && *ret == 0)
		*ret = durable_sync_index(sp, index, seq);
	space_leave(sp, &e);
	return fault;
}
