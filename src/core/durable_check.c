/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: compares the directory on disk of a durable namespace with
 * itself, while it is not being worked in, and with the registry, while it is.
 *
 * Invariant: nothing that could be a segment's is removed: what is damaged is
 * moved aside with all that belongs to it. In a namespace that is being worked
 * in the registry and the memory are right, and the disk is made like them.
 * Lock: OPENING while it is not worked in, so that nobody begins to. Else
 * CHANGING for one segment at a time; nothing is told meanwhile.
 * Crash: moved aside halfway, the rest is damaged still.
 */
#include "core/durable_check.h"

#include <string.h>
#include <sys/shm.h>

#include "base/fsize.h"
#include "core/durable_change.h"
#include "core/durable_sync.h"
#include "core/files.h"
#include "store/header.h"

/* --------------------------------------------------------- on disk alone */

/* Ids and keys seen so far, in memory of which only what is used is touched. */
struct seen {
	size_t size;
	uint8_t *index; /* 1: there is a segment of this index */
	int32_t *keys;	/* 0: free. A table, open addressed */
	uint32_t mask;
};

struct disk_check {
	struct check *c;
	const struct durable_door *door;
	struct seen seen;
	uint32_t seq_shift, segments;
	int aside;
};

static int seen_begin(struct seen *s, const struct registry_shape *shape)
{
	uint32_t keys = 1024;

	while (keys < shape->max_segments * 2)
		keys *= 2;
	s->size = shape->max_segments + 8 + (size_t)keys * sizeof(*s->keys);
	s->keys = sys_mmap(NULL, s->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(s->keys))
		return (int)(intptr_t)s->keys;
	s->mask = keys - 1;
	s->index = (uint8_t *)(s->keys + keys);
	return 0;
}

/* Has another segment its index, or its key? */
static bool seen_twice(struct disk_check *d, const struct record_segment *s)
{
	uint32_t index = (uint32_t)s->id & ((1u << d->seq_shift) - 1);
	uint32_t at = (uint32_t)s->key * 0x9e3779b1u;

	if (index >= d->door->shape.max_segments || d->seen.index[index])
		return true;
	for (; s->key != IPC_PRIVATE; at++) {
		int32_t *key = &d->seen.keys[at & d->seen.mask];

		if (*key == s->key)
			return true;
		if (*key == 0) {
			*key = s->key;
			break;
		}
	}
	d->seen.index[index] = 1;
	d->segments++;
	return false;
}

/* Move aside all that belongs to it. */
static int set_aside(struct disk_check *d, int id)
{
	static const char *const what[] = { "data", "journal", "record" };
	char name[RECORD_NAME];
	int r = 0;

	if (d->aside < 0) {
		r = files_make_aside(d->c->dir, d->c->uid, &d->aside);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < 3; i++) {
		record_segment_name(id, what[i], name);
		r = sys_renameat(d->c->dir, name, d->aside, name);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	r = record_flush_names(d->aside);
	return r < 0 ? r : record_flush_names(d->c->dir);
}

static void tell_aside(struct disk_check *d, const struct file *f, int id,
		       const char *code, const char *words)
{
	int r = check_repairs(d->c) ? set_aside(d, id) : 0;

	if (check_repairs(d->c) && r == 0)
		d->c->status |= CHECK_RESTART;
	check_tell_words(d->c, check_fate(d->c, r), code, f->name, words,
			 "moves what there is of it into damaged.<uid>.<n>; "
			 "the segment is lost",
			 0, 0);
}

/* A journal that is there has its bytes, and would set its own size again. */
static int resize(int dir, int id, const char *name, uint64_t size)
{
	int fd = sys_openat(dir, name,
			    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return fd;
	r = durable_replay(dir, id, fd);
	if (r == 0)
		r = fsize_truncate(fd, size);
	if (r == 0)
		r = sys_fsync(fd);
	(void)sys_close(fd);
	return r;
}

static void check_contents(struct disk_check *d, const struct file *f,
			   const struct record_segment *s)
{
	uint64_t size = backing_size(s->size, s->flags & SEG_HUGE);
	char name[RECORD_NAME];
	struct sys_stat st;

	record_segment_name(s->id, "data", name);
	if (sys_stat(d->c->dir, name, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    !S_ISREG(st.mode)) {
		tell_aside(d, f, s->id, "contents-missing",
			   "has no contents: there is no such file as .data");
	} else if (st.size != size) {
		check_tell_words(
			d->c,
			check_fate(d->c, check_repairs(d->c)
						 ? resize(d->c->dir, s->id,
							  name, size)
						 : 0),
			"contents-size", name,
			"has % bytes instead of %: what is missing is lost",
			"makes it as long as the segment, with zeros", st.size,
			size);
	}
}

static int check_record(void *arg, int dir, const struct file *f)
{
	int id = record_segment_id(f->name, "record"), r;
	struct disk_check *d = arg;
	struct record_segment s;

	if (id < 0)
		return 0;
	r = record_read(dir, f->name, RECORD_SEGMENT, &s.head, sizeof(s));
	if (r == -EPROTO || (r == 0 && !record_segment_good(&s, id)))
		tell_aside(d, f, id, "record-damaged",
			   "is damaged: what its segment was, only it knew");
	else if (r < 0)
		return r;
	else if (seen_twice(d, &s))
		tell_aside(d, f, id, "record-twice",
			   "has the id or the key of another segment");
	else
		check_contents(d, f, &s);
	return 0;
}

static void check_limits(struct check *c, const struct registry_shape *shape)
{
	struct record_limits l;
	int r = record_read(c->dir, "limits", RECORD_LIMITS, &l.head,
			    sizeof(l));

	if (r == 0 && !record_limits_good(&l, shape->max_segments))
		r = -EPROTO;
	if (r != -EPROTO)
		return;
	r = check_repairs(c) ? record_remove(c->dir, "limits") : 0;
	check_tell_words(c, check_fate(c, r), "limits", "limits",
			 "is damaged, so nobody can open the namespace",
			 "removes it: limits are the standard ones then", 0, 0);
}

static int check_disk(struct check *c, const struct durable_door *door)
{
	struct disk_check d = { .c = c, .door = door, .aside = -1 };
	struct geometry g;
	int r;

	(void)header_geometry(&door->shape, &g);
	d.seq_shift = g.seq_shift;
	r = seen_begin(&d.seen, &door->shape);
	if (r < 0)
		return r;
	r = files_each(c->dir, c->uid, check_record, &d);
	(void)sys_munmap(d.seen.keys, d.seen.size);
	if (d.aside >= 0)
		(void)sys_close(d.aside);
	if (r < 0)
		return r;
	check_limits(c, &door->shape);
	check_tell_words(c, FATE_NOTED, "durable", NULL,
			 "the namespace is durable and not being worked in: "
			 "whoever opens it next restores % segments",
			 NULL, d.segments, 0);
	return 0;
}

/* ---------------------------------------------------------------- the door */

static int mend_marker(struct check *c)
{
	enum fate fate = check_fate(
		c, check_repairs(c) ? durable_marker_mend(c->dir) : 0);

	check_tell_words(c, fate, "marker", "durable",
			 "is damaged: it says that the namespace is durable, "
			 "and for how many segments",
			 "makes one for the standard capacities; check again "
			 "then",
			 0, 0);
	return 1;
}

/* Is its registry lost? Then the next opener saves what is in memory. */
static bool is_lost(struct check *c, int work, bool used)
{
	char ignored[200];
	struct text t;

	text_init(&t, ignored, sizeof(ignored));
	if (used ||
	    registry_inspect(work, c->uid, true, false, &t) == REGISTRY_GOOD)
		return false;
	check_tell_words(c, FATE_NOTED, "work", NULL,
			 "the registry in the working directory is damaged and "
			 "nobody uses it: whoever opens the namespace next "
			 "syncs what is in memory, and restores it",
			 NULL, 0, 0);
	return true;
}

int check_durable_door(struct check *c, struct text *why)
{
	struct durable_door door;
	bool used;
	int work, r;

	r = durable_look(c->dir, &door, &work, &used);
	if (r == -EPROTO)
		return mend_marker(c);
	if (r <= 0) {
		if (r < 0)
			text_str(why, "cannot be looked at");
		return r;
	}
	if (work >= 0 && !is_lost(c, work, used)) {
		durable_leave(&door);
		c->disk = c->dir;
		c->dir = work;
		return 0;
	}
	r = check_disk(c, &door);
	if (work < 0 && used)
		check_tell_words(
			c, FATE_FOUND, "elsewhere", NULL,
			"programs use the namespace whose working directory is "
			"not to be found: it was removed, or they have another "
			"/dev/shm",
			"does nothing about it: end them", 0, 0);
	durable_leave(&door);
	if (work >= 0)
		(void)sys_close(work);
	if (r < 0)
		text_str(why, "cannot be looked at");
	return r < 0 ? r : 1;
}

/* ----------------------------------------------------- with the registry */

static void check_segment(struct check *c, uint32_t index, uint32_t seq)
{
	static const struct {
		const char *code, *words;
	} faults[] = {
		[DURABLE_RECORD_MISSING] = { "record-missing",
					     "segment % has no record on disk, "
					     "and would be lost by a reboot" },
		[DURABLE_RECORD_DAMAGED] = { "record-damaged",
					     "the record of segment % on disk "
					     "is damaged" },
		[DURABLE_RECORD_DIFFERS] = { "record-differs",
					     "the record of segment % on disk "
					     "says other things than the "
					     "registry" },
		[DURABLE_DATA_MISSING] = { "contents-missing",
					   "segment % has no contents on "
					   "disk" },
		[DURABLE_DATA_SIZE] = { "contents-size",
					"the contents of segment % on disk "
					"are of another size" },
	};
	enum durable_fault fault;
	int r;

	fault = durable_examine(c->sp, index, seq, check_repairs(c), &r);
	if (fault <= DURABLE_GONE)
		return;
	check_tell_words(c, check_fate(c, r), faults[fault].code, NULL,
			 faults[fault].words,
			 "writes what is in memory to disk",
			 (uint64_t)registry_id(&c->sp->reg, index, seq), 0);
}

static bool tell_leftover(void *arg, const char *name, uint64_t bytes)
{
	struct check *c = arg;

	check_tell_words(c, check_fate(c, 0), "leftover", name,
			 "is on disk and belongs to no segment (% bytes)",
			 "removes it", bytes, 0);
	return check_repairs(c);
}

void check_durable(struct check *c)
{
	const struct registry *r = &c->sp->reg;
	struct layout_segment s;
	uint32_t index = 0;

	while ((index = segments_next(r, index)) != UINT32_MAX) {
		if (segments_read(r, index, &s) == 0 && s.state == SEG_LIVE)
			check_segment(c, index, s.seq);
		index++;
	}
	(void)durable_each_leftover(c->sp, tell_leftover, c);
}

/* ---------------------------------------------------------- what is left */

struct leftovers {
	struct space *sp;
	bool (*each)(void *arg, const char *name, uint64_t bytes);
	void *arg;
};

/* A record of no segment: of one that was being removed, or damage. */
static bool is_stray(const struct registry *r, const char *name)
{
	int id = record_segment_id(name, "record");
	const struct layout_segment *s;

	if (id < 0)
		return false;
	s = registry_segment(r, registry_index(r, id));
	return !s || load_acquire(&s->state) == SEG_FREE ||
	       load_relaxed(&s->seq) != registry_seq(r, id);
}

static bool is_leftover(struct space *sp, int dir, const char *name)
{
	return durable_leftover(dir, name, &sp->reg) ||
	       is_stray(&sp->reg, name);
}

/* Looked at again, when nobody else changes records. */
static void remove_leftover(struct space *sp, const char *name)
{
	struct space_entry e;

	if (space_enter(sp, &e) < 0)
		return;
	if (durable_change_begin(sp) == 0) {
		if (is_leftover(sp, sp->durable.dir, name))
			(void)record_remove(sp->durable.dir, name);
		durable_change_end(sp, true);
	}
	space_leave(sp, &e);
}

static int look_at(void *arg, int dir, const struct file *f)
{
	const struct leftovers *l = arg;
	struct sys_stat st;

	/* Not what somebody is just writing. */
	if (is_leftover(l->sp, dir, f->name) &&
	    sys_stat(dir, f->name, AT_SYMLINK_NOFOLLOW, &st) == 0 &&
	    (!strstr(f->name, ".new") || sys_now() - st.mtime > 60) &&
	    l->each(l->arg, f->name, st.blocks * 512))
		remove_leftover(l->sp, f->name);
	return 0;
}

int durable_each_leftover(struct space *sp,
			  bool (*each)(void *arg, const char *name,
				       uint64_t bytes),
			  void *arg)
{
	struct leftovers l = { sp, each, arg };
	int dir, r;

	dir = sys_openat(AT_FDCWD, sp->durable.disk.path,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (dir < 0)
		return dir;
	r = files_each(dir, sp->reg.uid, look_at, &l);
	(void)sys_close(dir);
	return r;
}
