/* SPDX-License-Identifier: MIT */
/*
 * Owns the directory "posix.<uid>" of a namespace, which is to shm_open(3)
 * what /dev/shm is: one file for each object, under the object's name. They
 * have a directory to themselves so that no name can be one of ours, and a
 * name may be as long as in /dev/shm.
 *
 * Invariant: the directory belongs to the namespace's user and nobody else can
 * write to it, as the namespace's own; otherwise nothing in it is touched. The
 * registry knows nothing of objects: all that is true of them is true of the
 * files.
 * Lock: none; each call is one system call on the file.
 * Crash: none of ours matters. An object stays until it is unlinked, as the
 * kernel's do.
 */
#include "core/posix.h"

#include <string.h>

/* Made by the first call of all. */
static int shelf_make(const char *path)
{
	struct sys_stat st;
	char words[100];
	struct text why;
	bool made;
	int fd;

	text_init(&why, words, sizeof(words));
	fd = directory_open(path, true, &st, &made, &why);
	return fd < 0 ? fd : sys_close(fd);
}

static int shelf_check(const struct space *sp, const char *path)
{
	struct sys_stat st;
	int r = sys_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st);

	if (r == -ENOENT)
		return shelf_make(path);
	if (r < 0)
		return r;
	return S_ISDIR(st.mode) && st.uid == sp->reg.uid && !(st.mode & 022)
		       ? 0
		       : -EACCES;
}

/* The path of an object, good until released. */
static int object_hold(const struct space *sp, const char *name,
		       struct directory_file *ret)
{
	struct text path = { .at = ret->path, .size = sizeof(ret->path) };
	struct text t;
	char shelf[32];
	int r;

	text_init(&t, shelf, sizeof(shelf));
	text_str(&t, "posix.");
	text_uint(&t, sp->reg.uid, 10, 0, ' ');
	r = directory_name_hold(&sp->dir, shelf, ret);
	if (r < 0)
		return r;
	r = shelf_check(sp, ret->path);
	path.used = strlen(ret->path);
	text_str(&path, "/");
	text_str(&path, name);
	if (r == 0 && path.full)
		r = -ENAMETOOLONG;
	if (r < 0)
		directory_file_release(ret);
	return r;
}

int posix_open(const struct space *sp, const char *name, int flags, mode_t mode)
{
	struct directory_file f;
	int fd = object_hold(sp, name, &f);

	if (fd < 0)
		return fd;
	fd = sys_openat(AT_FDCWD, f.path, flags, mode);
	directory_file_release(&f);
	return fd;
}

int posix_unlink(const struct space *sp, const char *name)
{
	struct directory_file f;
	int r = object_hold(sp, name, &f);

	if (r < 0)
		return r;
	r = sys_unlinkat(AT_FDCWD, f.path, 0);
	directory_file_release(&f);
	return r;
}
