/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: compares the files of a namespace with its records.
 *
 * Invariant: before the records are known to be right, a file only tells what
 * a record has lost, and one word of it is stored. After, a file that no
 * record knows is removed, and a record without its file gives way.
 * Lock: files are looked at without it; what is done about a segment is done
 * with it, when it is found to be the same segment still.
 * Crash: each is one store or one change.
 */
#include <string.h>
#include <sys/shm.h>

#include "core/check_parts.h"
#include "core/files.h"
#include "core/segment.h"
#include "store/verify.h"

/* 0; -ENOENT if there is no such file; or what kept us from looking, which
 * says nothing about it: a segment is not removed for want of a descriptor. */
static int segment_stat_file(const struct check *c, uint32_t index,
			     uint32_t seq, struct sys_stat *ret)
{
	struct directory_file file;
	int r;

	if (directory_file_hold(&c->sp->dir, &c->sp->reg, index, seq, &file) <
	    0)
		return -ESTALE;
	r = sys_stat(AT_FDCWD, file.path, AT_SYMLINK_NOFOLLOW, ret);
	directory_file_release(&file);
	return r == 0 && !S_ISREG(ret->mode) ? -ENOENT : r;
}

/* Under the lock, as every change of a segment, and one store: the registry
 * is not yet known to be right, so nothing else is done with it. */
static void set_segment(struct check *c, struct layout_segment *s, uint32_t seq,
			uint64_t size)
{
	struct space *sp = c->sp;
	struct space_entry e;

	if (space_enter_quietly(sp, &e) < 0)
		return;
	if (lock_try(&sp->reg, &sp->self, space_slot(sp), &sp->signals,
		     SPACE_PATIENCE_NS)) {
		store_release(&s->seq, seq);
		store_release(&s->size, size);
		lock_release(&sp->reg);
	}
	space_leave(sp, &e);
}

/*
 * What the names and lengths of files know better than the records: looked at
 * before these are rebuilt. A segment whose file is there under another
 * sequence has lost its own; one whose number of pages is that of its file has
 * lost its size.
 */
static int compare_file(void *arg, int dir, const struct file *f)
{
	struct check *c = arg;
	struct registry *r = &c->sp->reg;
	uint32_t index = registry_index(r, (int)f->number);
	uint32_t seq = registry_seq(r, (int)f->number), was;
	struct layout_segment *s = registry_segment(r, index);
	struct sys_stat st, other;

	if (f->kind != FILE_SEGMENT || !s ||
	    load_acquire(&s->state) != SEG_LIVE)
		return 0;
	if (sys_stat(dir, f->name, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    !S_ISREG(st.mode))
		return 0;
	was = load_relaxed(&s->seq);
	if (was != seq && s->pages == st.size >> 12 && !(s->mode & SHM_DEST) &&
	    segment_stat_file(c, index, was, &other) == -ENOENT) {
		check_tell_words(
			c, check_fate(c, 0), "segment-seq", f->name,
			"has the memory of the segment of index %, whose "
			"sequence is said to be %",
			"sets the sequence by the file's name", index, was);
		if (check_repairs(c))
			set_segment(c, s, seq, s->size);
	} else if (was == seq && s->pages == st.size >> 12 &&
		   s->pages != verify_pages(s->size) && st.size) {
		check_tell_words(
			c, check_fate(c, 0), "segment-size", f->name,
			"has % bytes, but its segment is said to have %",
			"sets the size by the file's length", st.size, s->size);
		if (check_repairs(c))
			set_segment(c, s, seq, st.size);
	}
	return 0;
}

/* Looked at again, locked: is it the same segment still, and not removed? */
static struct layout_segment *find_again(struct check *c, uint32_t index,
					 uint32_t seq)
{
	struct layout_segment *s = registry_segment(&c->sp->reg, index);

	return s && s->state == SEG_LIVE && s->seq == seq &&
			       !(s->mode & SHM_DEST)
		       ? s
		       : NULL;
}

/* Its memory is only where it is attached, and goes with the last of these. */
static int remove_fileless(struct check *c, uint32_t index, uint32_t seq)
{
	struct space *sp = c->sp;
	struct layout_segment *s;
	struct space_entry e;
	int r = space_enter(sp, &e);

	if (r < 0)
		return r;
	space_lock(sp);
	s = find_again(c, index, seq);
	if (s && s->attaches) {
		segments_forget_key(&sp->reg, index);
		undo_set32(&sp->reg, &s->mode, s->mode | SHM_DEST);
		c->status |= CHECK_RESTART;
	} else if (s) {
		segments_doom(&sp->reg, index, space_slot(sp));
	}
	undo_commit(&sp->reg);
	space_unlock(sp);
	space_leave(sp, &e);
	return 0;
}

static void check_missing(struct check *c, uint32_t index,
			  const struct layout_segment *s)
{
	uint64_t id = (uint64_t)registry_id(&c->sp->reg, index, s->seq);
	struct sys_stat st;

	/* It may have been removed meanwhile, file first (core/process.c). */
	if (!find_again(c, index, s->seq) ||
	    segment_stat_file(c, index, s->seq, &st) != -ENOENT)
		return;
	check_tell_words(
		c,
		check_fate(c, check_repairs(c)
				      ? remove_fileless(c, index, s->seq)
				      : 0),
		"file-missing", NULL,
		s->attaches
			? "segment % has no file: its memory is only in the "
			  "processes that have it attached (% times)"
			: "segment % has no file: its memory is lost",
		s->attaches ? "takes its key; it counts until the last of "
			      "them has let go: restart them"
			    : "removes it",
		id, s->attaches);
}

static int lengthen(const char *path, uint64_t size)
{
	int fd = sys_openat(AT_FDCWD, path,
			    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return fd;
	r = sys_ftruncate(fd, size);
	(void)sys_close(fd);
	return r;
}

static void check_segment_file(struct check *c, uint32_t index,
			       const struct layout_segment *s)
{
	uint64_t size = backing_size(s->size, s->flags & SEG_HUGE);
	struct directory_file file;
	const char *name;
	struct sys_stat st;
	int r = 0;

	r = segment_stat_file(c, index, s->seq, &st);
	if (r == -ENOENT)
		check_missing(c, index, s);
	if (r < 0)
		return;
	if (directory_file_hold(&c->sp->dir, &c->sp->reg, index, s->seq,
				&file) < 0)
		return;
	name = strrchr(file.path, '/') + 1;
	if (st.size < size) {
		if (check_repairs(c))
			r = lengthen(file.path, size);
		if (check_repairs(c) && r == 0 && s->attaches)
			c->status |= CHECK_RESTART;
		check_tell_words(
			c, check_fate(c, r), "file-short", name,
			"has % bytes, but its segment has %: what was behind "
			"is lost, and touching it kills a program",
			"makes it as long as it was, with zeros", st.size,
			s->size);
	}
	if (st.mode & 077)
		check_tell_words(
			c,
			check_fate(c, check_repairs(c)
					      ? check_change_mode(c, name, 0600)
					      : 0),
			"mode", name, "may be used by group or others",
			"makes it the owner's alone", 0, 0);
	directory_file_release(&file);
}

static void check_segment_files(struct check *c)
{
	const struct registry *r = &c->sp->reg;
	struct layout_segment s;
	uint32_t index = 0;

	while ((index = segments_next(r, index)) != UINT32_MAX) {
		if (segments_read(r, index, &s) == 0 && s.state == SEG_LIVE &&
		    !(s.mode & SHM_DEST))
			check_segment_file(c, index, &s);
		index++;
	}
}

/* What lies in it is the programs' own. */
static void check_posix(struct check *c, int dir, const char *name)
{
	struct sys_stat st;

	if (sys_stat(dir, name, AT_SYMLINK_NOFOLLOW, &st) < 0)
		return;
	if (!S_ISDIR(st.mode))
		check_tell_words(c, FATE_NOTED, "stranger", name,
				 "is no directory: shm_open() fails", NULL, 0,
				 0);
	else if (st.mode & 077)
		check_tell_words(
			c,
			check_fate(c, check_repairs(c)
					      ? check_change_mode(c, name, 0700)
					      : 0),
			"mode", name, "may be used by group or others",
			"makes it the owner's alone", 0, 0);
}

static int check_file(void *arg, int dir, const struct file *f)
{
	struct check *c = arg;
	uint64_t bytes = files_bytes(dir, f->name);
	int r = 0;

	switch (f->kind) {
	case FILE_SEGMENT:
		if (!files_orphaned(c->sp, f->number))
			break;
		if (check_repairs(c))
			r = files_remove_orphan(c->sp, dir, f);
		if (r != -EAGAIN && r != -ENOENT)
			check_tell_words(c, check_fate(c, r), "orphan", f->name,
					 "belongs to no segment (% bytes)",
					 "removes it", bytes, 0);
		break;
	case FILE_GONE:
		if (check_repairs(c))
			r = sys_unlinkat(dir, f->name, 0);
		check_tell_words(c, check_fate(c, r), "orphan", f->name,
				 "was left by a cleaning (% bytes)",
				 "removes it", bytes, 0);
		break;
	case FILE_NEW:
		if (!files_abandoned(dir, f))
			break;
		if (check_repairs(c))
			r = sys_unlinkat(dir, f->name, 0);
		check_tell_words(
			c, check_fate(c, r), "unfinished-registry", f->name,
			"was left by a process that was killed (% bytes)",
			"removes it", bytes, 0);
		break;
	case FILE_ASIDE:
		check_tell_words(
			c, FATE_NOTED, "aside", f->name,
			"is what was set aside as damaged; remove it when "
			"you do not need it",
			NULL, 0, 0);
		break;
	case FILE_POSIX:
		check_posix(c, dir, f->name);
		break;
	case FILE_OTHER:
		check_tell_words(c, FATE_NOTED, "stranger", f->name,
				 "is none of ushm's files; it is left alone",
				 NULL, 0, 0);
		break;
	case FILE_REGISTRY:
	case FILE_DISK:
	case FILE_PRIVATE:
		break;
	}
	return 0;
}

int check_files_first(struct check *c)
{
	return files_each(c->dir, c->uid, compare_file, c);
}

int check_files(struct check *c)
{
	check_segment_files(c);
	return files_each(c->dir, c->uid, check_file, c);
}
