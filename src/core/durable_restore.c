/* SPDX-License-Identifier: MIT */
/*
 * Owns the way from records to a working directory.
 *
 * Invariant: what is restored is all that the records say, or nothing: a
 * record or contents that are damaged refuse the opening, and nothing on disk
 * is touched, so that `ushm fsck` can tell and the user decide. All segments
 * come back with their ids, keys, owners, modes and times, unattached.
 * Lock: OPENING, and IN_USE for us alone. So neither the registry's lock nor a
 * process slot is needed: nobody else can open what is being made.
 * Crash: "work" was removed first and is written last. Until then the next
 * opener begins again, over what it finds.
 */
#include "core/durable.h"

#include <string.h>

#include "base/step.h"
#include "core/durable_sync.h"
#include "core/files.h"
#include "store/header.h"
#include "store/verify.h"

struct restore {
	struct durable_door *door;
	struct registry reg;
	int work;
	struct text *why;
	uint32_t last_index, last_seq; /* where ids go on */
	uint64_t promised, filled;     /* bytes of memory, of those with room */
};

static int refuse(struct text *why, int r, const char *name, const char *what)
{
	text_str(why, "has a file ");
	text_str(why, name);
	text_str(why, what);
	return r;
}

/* Of a segment's working file. */
static void work_name(struct text *t, uint32_t uid, int id)
{
	text_str(t, "seg.");
	text_uint(t, uid, 10, 0, ' ');
	text_str(t, ".");
	text_uint(t, (uint64_t)id, 10, 0, ' ');
}

/* ------------------------------------------------------------- the segment */

static void fill_slot(struct layout_segment *to, const struct record_segment *s)
{
	to->cuid = s->cuid;
	to->cgid = s->cgid;
	to->atime = s->atime;
	to->dtime = s->dtime;
	to->lpid = s->lpid;
}

/* A slot of the registry for it, found by all its names. */
static int insert(struct restore *re, const struct record_segment *s)
{
	const struct segment_new n = { .key = s->key,
				       .mode = s->mode,
				       .uid = s->uid,
				       .gid = s->gid,
				       .flags = s->flags,
				       .size = s->size,
				       .cpid = s->cpid,
				       .now = s->ctime };
	struct registry *r = &re->reg;
	uint32_t index = registry_index(r, s->id);
	struct segment_reservation res;
	int err;

	if (s->key != IPC_PRIVATE && segments_find_locked(r, s->key))
		return -EEXIST;
	for (;;) {
		r->h->next_id = s->id;
		err = segments_reserve(r, 0, verify_pages(s->size), &res);
		if (err == 0)
			break;
		undo_rollback(r);
		if (err != -EAGAIN)
			return -EEXIST;
		err = registry_grow(r, re->door->work, &r->h->segments);
		if (err < 0)
			return err;
	}
	if (res.index != index) {
		undo_rollback(r);
		return -EEXIST;
	}
	undo_commit(r);
	segments_publish(r, index, &n);
	undo_commit(r);
	fill_slot(&r->segments[index], s);

	/* The last sequence comes by shm_next_id only: ids go on without it. */
	if (res.seq < (uint32_t)INT32_MAX >> r->seq_shift &&
	    (res.seq > re->last_seq ||
	     (res.seq == re->last_seq && index >= re->last_index))) {
		re->last_seq = res.seq;
		re->last_index = index + 1;
	}
	return 0;
}

/* As when it was made: what programs store later has room. 1: if it is taken at
 * once. */
static int find_room(const struct restore *re, const struct record_segment *s,
		     uint64_t size)
{
	int r;

	if (s->flags & SEG_NORESERVE)
		return 0;
	r = backing_file.room(re->door->work, size, re->promised, re->filled);
	return r == -ENOMEM ? -ENOSPC : r;
}

/* Its memory. -EPROTO: there are no such contents on disk. */
static int fill_file(struct restore *re, const struct record_segment *s)
{
	uint64_t size = backing_size(s->size, s->flags & SEG_HUGE);
	char path[DURABLE_WORK_ROOM + 64];
	int fd, take, r;
	struct text t;

	text_init(&t, path, sizeof(path));
	text_str(&t, re->door->work);
	text_str(&t, "/");
	work_name(&t, re->door->uid, s->id);
	take = find_room(re, s, size);
	if (take < 0)
		return take;
	r = backing_file.create(path, size, take != 0);
	if (r < 0)
		return r;
	fd = sys_openat(AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = durable_fill(re->door->dir, s->id, fd, size);
	(void)sys_close(fd);
	if (!(s->flags & SEG_NORESERVE)) {
		re->promised += size;
		re->filled += backing_file.resident(path);
	}
	return r == -ENOENT ? -EPROTO : r;
}

static int restore_segment(struct restore *re, const char *name, int id)
{
	struct record_segment s;
	int r;

	r = record_read(re->door->dir, name, RECORD_SEGMENT, &s.head,
			sizeof(s));
	if (r == -EPROTO || (r == 0 && !record_segment_good(&s, id)))
		return refuse(re->why, -EPROTO, name,
			      " that is damaged: see 'ushm fsck'");
	if (r == 0)
		r = fill_file(re, &s);
	if (r == -EPROTO)
		return refuse(re->why, r, name,
			      " whose contents are lost or of another size: "
			      "see 'ushm fsck'");
	if (r == 0)
		r = insert(re, &s);
	if (r == -EEXIST)
		return refuse(re->why, -EPROTO, name,
			      " that contradicts another one: see 'ushm "
			      "fsck'");
	step("durable: segment restored");
	if (r < 0)
		return refuse(re->why, r, name,
			      r == -ENOSPC
				      ? " for which there is no room in memory"
				      : " that cannot be restored");
	return 0;
}

static int restore_file(void *arg, int dir, const struct file *f)
{
	int id = record_segment_id(f->name, "record");

	(void)dir;
	return id < 0 ? 0 : restore_segment(arg, f->name, id);
}

/* --------------------------------------------------------------- leftovers */

/* Of changes that were cut short. Every record is right, and restored. */
static int drop_leftover(void *arg, int dir, const struct file *f)
{
	const struct restore *re = arg;

	if (durable_leftover(dir, f->name, &re->reg))
		(void)sys_unlinkat(dir, f->name, 0);
	return 0;
}

/* ------------------------------------------------------------------- limits */

static int restore_limits(struct restore *re)
{
	struct layout_header *h = re->reg.h;
	struct record_limits l;
	int r = record_read(re->door->dir, "limits", RECORD_LIMITS, &l.head,
			    sizeof(l));

	if (r == -ENOENT)
		return 0;
	if (r == -EPROTO ||
	    (r == 0 && !record_limits_good(&l, re->reg.max_segments)))
		return refuse(re->why, -EPROTO, "limits",
			      " that is damaged: see 'ushm fsck'");
	if (r < 0)
		return refuse(re->why, r, "limits", " that cannot be read");
	h->shmmax = l.shmmax;
	h->shmall = l.shmall;
	h->shmmni = l.shmmni;
	h->rmid_forced = l.rmid_forced;
	return 0;
}

/* --------------------------------------------------------- the directories */

static int clear_file(void *arg, int dir, const struct file *f)
{
	(void)arg;
	return f->kind <= FILE_DISK ? sys_unlinkat(dir, f->name, 0) : 0;
}

static int clear_work(int dir, uint32_t uid)
{
	return files_each(dir, uid, clear_file, NULL);
}

/* An empty one, in the first place that there is. A descriptor. */
static int make_work(struct durable_door *door, struct text *why)
{
	size_t said = why->used;
	int dir = -ENOENT, r;

	for (unsigned i = 0; dir < 0 && durable_work_path(door, i, door->work);
	     i++) {
		struct sys_stat st;
		bool made;

		text_cut(why, said);
		text_str(why, "has the working directory ");
		text_str(why, door->work);
		text_str(why, ", which ");
		dir = directory_open(door->work, true, &st, &made, why);
	}
	if (dir < 0)
		return dir;
	r = clear_work(dir, door->uid);
	if (r < 0) {
		text_str(why, "cannot be emptied");
		(void)sys_close(dir);
		return r;
	}
	text_cut(why, said);
	return dir;
}

static int write_work(const struct durable_door *door, int work)
{
	struct record_work w = { 0 };
	struct sys_identity id;
	int r = sys_identity(work, "", AT_EMPTY_PATH, &id);

	if (r < 0)
		return r;
	header_boot_id((char *)w.boot_id, sizeof(w.boot_id));
	w.dev = id.dev;
	w.ino = id.ino;
	w.born = id.born;
	return record_write_unflushed(door->dir, "work", RECORD_WORK, &w.head,
				      sizeof(w));
}

/* -------------------------------------------------------------- in order */

static int restore_all(struct restore *re)
{
	struct durable_door *door = re->door;
	size_t said = re->why->used;
	int r;

	r = registry_open(re->work, door->uid, true, &door->shape, &re->reg,
			  re->why);
	if (r < 0)
		return r;
	text_cut(re->why, said);
	r = files_each(door->dir, door->uid, restore_file, re);
	if (r == 0)
		r = restore_limits(re);
	if (r == 0) {
		re->reg.h->next_id = -1;
		re->reg.h->seq = re->last_seq;
		re->reg.h->last_index = re->last_index;
		re->reg.h->next_index = re->last_index;
		(void)files_each(door->dir, door->uid, drop_leftover, re);
	}
	registry_close(&re->reg);
	return r;
}

int durable_restore(struct durable_door *door, struct text *why)
{
	struct restore re = { .door = door, .why = why };
	size_t said = why->used;
	int r = sys_unlinkat(door->dir, "work", 0);

	if (r < 0 && r != -ENOENT) {
		text_str(why, "cannot be changed");
		return r;
	}
	step("durable: work forgotten");
	re.work = make_work(door, why);
	if (re.work < 0)
		return re.work;
	r = restore_all(&re);
	step("durable: all restored");
	if (r == 0) {
		r = write_work(door, re.work);
		if (r < 0)
			text_str(why, "cannot be changed");
	}
	if (r == 0)
		text_cut(why, said);
	else /* not to take memory for nothing */
		(void)clear_work(re.work, door->uid);
	(void)sys_close(re.work);
	if (r < 0)
		(void)sys_unlinkat(AT_FDCWD, door->work, AT_REMOVEDIR);
	return r;
}

/* ------------------------------------------------------------------ rescue */

struct rescue {
	const struct durable_door *door;
	int work;
	struct text *why;
};

/* Its working file, if it is there and whole: else there is nothing to save. */
static int rescue_open(const struct rescue *re, const struct record_segment *s)
{
	struct sys_stat st;
	char name[64];
	struct text t;
	int fd, r;

	text_init(&t, name, sizeof(name));
	work_name(&t, re->door->uid, s->id);
	fd = sys_openat(re->work, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd == -ELOOP)
		return -ENOENT;
	if (fd < 0)
		return fd;
	r = sys_fstat(fd, &st);
	if (r == 0 && (!S_ISREG(st.mode) ||
		       st.size != backing_size(s->size, s->flags & SEG_HUGE)))
		r = -ENOENT;
	if (r == 0)
		return fd;
	(void)sys_close(fd);
	return r;
}

static int rescue_segment(const struct rescue *re, int dir, const char *name,
			  int id)
{
	struct record_segment s;
	int fd, r;

	r = record_read(dir, name, RECORD_SEGMENT, &s.head, sizeof(s));
	if (r == -EPROTO || (r == 0 && !record_segment_good(&s, id)))
		return 0; /* the restoration will say so */
	if (r < 0)
		return r;
	fd = rescue_open(re, &s);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = durable_copy(dir, id, fd, backing_size(s.size, s.flags & SEG_HUGE),
			 re->door->signals);
	(void)sys_close(fd);
	return r;
}

static int rescue_file(void *arg, int dir, const struct file *f)
{
	int id = record_segment_id(f->name, "record"), r = 0;
	const struct rescue *re = arg;

	if (id >= 0)
		r = rescue_segment(re, dir, f->name, id);
	step("durable: segment rescued");
	return r < 0 ? refuse(re->why, r, f->name,
			      " whose contents in memory cannot be saved")
		     : 0;
}

int durable_rescue(const struct durable_door *door, int work, struct text *why)
{
	struct rescue re = { door, work, why };

	return files_each(door->dir, door->uid, rescue_file, &re);
}
