/* SPDX-License-Identifier: MIT */
/*
 * Owns the names in a namespace's directory.
 *
 * Invariant: the file of a segment exists while its slot is RESERVED, LIVE or
 * DOOMED with the file's id: the slot is taken before the file is made and
 * freed after it was removed. So a file whose slot has another sequence, or
 * none, belongs to nobody, and while the lock is held nobody can take the
 * slot.
 * Lock: the registry's around giving such a file another name. That is all
 * that ever happens to a file under the lock: it frees no memory, and without
 * it the name could be a new segment's by the time it is removed.
 * Crash: a file with the other name is left, and removed by the next cleaning.
 */
#include "core/files.h"

#include <string.h>

#include "base/procfs.h"
#include "base/step.h"

#define SETTLED_SECONDS 60 /* the making of a registry takes milliseconds */

/* "<words><number>" at *s; moves on. */
static bool numbered(const char **s, const char *words, uint64_t *ret)
{
	const char *p = *s;
	size_t n = strlen(words);

	if (strncmp(p, words, n) != 0)
		return false;
	p += n;
	if (*p == '0' && p[1] >= '0' && p[1] <= '9')
		return false;
	if (!text_parse(&p, p + strspn(p, "0123456789"), 10, ret))
		return false;
	*s = p;
	return true;
}

static enum file_kind kind_of(const char *name, uint32_t uid, uint64_t *ret)
{
	const char *s = name;
	uint64_t owner;

	*ret = 0;
	if (strcmp(name, ".private") == 0)
		return FILE_PRIVATE;
	if (strcmp(name, ".disk") == 0)
		return FILE_DISK;
	if (numbered(&s, "registry.", &owner) && owner == uid) {
		if (!*s)
			return FILE_REGISTRY;
		if (numbered(&s, ".new-", ret) && !*s)
			return FILE_NEW;
	}
	s = name;
	if (numbered(&s, "seg.", &owner) && owner == uid &&
	    numbered(&s, ".", ret) && *ret <= INT32_MAX) {
		if (!*s)
			return FILE_SEGMENT;
		if (strcmp(s, ".gone") == 0)
			return FILE_GONE;
	}
	s = name;
	if (numbered(&s, "damaged.", &owner) && owner == uid &&
	    numbered(&s, ".", ret) && !*s)
		return FILE_ASIDE;
	s = name;
	if (numbered(&s, "posix.", &owner) && owner == uid && !*s)
		return FILE_POSIX;
	return FILE_OTHER;
}

int files_each(int dir, uint32_t uid,
	       int (*each)(void *arg, int dir, const struct file *f), void *arg)
{
	_Alignas(8) char buf[4096];
	int list, r = 0;
	long n = 0;

	list = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (list < 0)
		return list;
	while (r == 0 && (n = sys_getdents(list, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			const struct sys_dirent *d = (void *)(buf + at);
			struct file f = { .name = d->name };
			uint64_t number;

			at += d->length;
			if (strcmp(f.name, ".") == 0 ||
			    strcmp(f.name, "..") == 0)
				continue;
			f.kind = kind_of(f.name, uid, &number);
			f.number = (uint32_t)number;
			r = each(arg, dir, &f);
		}
	}
	(void)sys_close(list);
	return r == 0 && n < 0 ? (int)n : r;
}

bool files_orphaned(const struct space *sp, uint32_t id)
{
	const struct registry *r = &sp->reg;
	const struct layout_segment *s =
		registry_segment(r, registry_index(r, (int)id));

	return !s || load_acquire(&s->state) == SEG_FREE ||
	       load_relaxed(&s->seq) != registry_seq(r, (int)id);
}

int files_remove_orphan(struct space *sp, int dir, const struct file *f)
{
	struct space_entry e;
	char gone[64];
	struct text t;
	int r;

	text_init(&t, gone, sizeof(gone));
	text_str(&t, f->name);
	text_str(&t, ".gone");

	r = space_enter_quietly(sp, &e);
	if (r < 0)
		return r;
	space_lock(sp);
	r = files_orphaned(sp, f->number)
		    ? sys_renameat(dir, f->name, dir, gone)
		    : -EAGAIN;
	space_unlock(sp);
	space_leave(sp, &e);
	step("files: orphan renamed");
	return r < 0 ? r : sys_unlinkat(dir, gone, 0);
}

bool files_abandoned(int dir, const struct file *f)
{
	struct procfs_task task;
	struct sys_stat st;

	/* The thread may be one of another pid namespace, or another by now:
	 * its age decides, unless the very thread is there and young. */
	if (sys_stat(dir, f->name, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    sys_now() - st.mtime < SETTLED_SECONDS)
		return false;
	return procfs_task((int)f->number, 0, &task) == -ENOENT ||
	       sys_now() - st.mtime > 60L * SETTLED_SECONDS;
}

uint64_t files_bytes(int dir, const char *name)
{
	struct sys_stat st;

	return sys_stat(dir, name, AT_SYMLINK_NOFOLLOW, &st) < 0
		       ? 0
		       : st.blocks * 512;
}

static int move(void *arg, int dir, const struct file *f)
{
	const int *to = arg;

	return f->kind == FILE_SEGMENT
		       ? sys_renameat(dir, f->name, *to, f->name)
		       : 0;
}

/* The segments first: while the registry is there, it is refused. */
static int move_all(int dir, int to, uint32_t uid)
{
	char name[24];
	int r = files_each(dir, uid, move, &to);

	if (r < 0)
		return r;
	step("files: segments set aside");
	registry_name(uid, name, sizeof(name));
	r = sys_renameat(dir, name, to, name);
	return r == -ENOENT ? 0 : r;
}

int files_make_aside(int dir, uint32_t uid, int *ret_dir)
{
	char name[64];
	struct text t;
	int n, to, r = -EEXIST;

	for (n = 0; n < 1000 && r == -EEXIST; n++) {
		text_init(&t, name, sizeof(name));
		text_str(&t, "damaged.");
		text_uint(&t, uid, 10, 0, ' ');
		text_str(&t, ".");
		text_uint(&t, (uint64_t)n, 10, 0, ' ');
		r = sys_mkdirat(dir, name, 0700);
	}
	if (r < 0)
		return r;
	to = sys_openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (to < 0)
		return to;
	*ret_dir = to;
	return n - 1;
}

int files_set_aside(int dir, uint32_t uid)
{
	int to, n = files_make_aside(dir, uid, &to), r;

	if (n < 0)
		return n;
	r = move_all(dir, to, uid);
	(void)sys_close(to);
	return r < 0 ? r : n;
}
