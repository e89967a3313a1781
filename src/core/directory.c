/* SPDX-License-Identifier: MIT */
/*
 * Owns the question whether a directory can be trusted, and still is the one
 * that was.
 *
 * Invariant: a namespace's directory belongs to its user and nobody else can
 * write to it. Where somebody else can change what its path leads to, it is
 * "exposed", and whoever opens a segment's file first makes sure that the path
 * leads to the same directory still.
 * Lock: none; a struct directory is constant once it is filled.
 * Crash: a directory that was made and has no registry yet is like one that
 * somebody made by mkdir(1).
 */
#include "core/directory.h"

#include <string.h>

#define HIGH 512 /* programs rarely come that far */

int directory_absolute(const char *path, char *buf, size_t size)
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

int directory_open(const char *path, bool create, struct sys_stat *ret,
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

void directory_fill(struct directory *d, const char *path,
		    const struct sys_stat *st)
{
	memcpy(d->path, path, strlen(path) + 1);
	d->dev = st->dev;
	d->ino = st->ino;
	d->exposed = is_exposed(path);
}

bool directory_is(const struct directory *d, const struct sys_stat *st)
{
	return d->dev == st->dev && d->ino == st->ino;
}

bool directory_stands(const struct directory *d)
{
	struct sys_stat st;

	return sys_stat(AT_FDCWD, d->path, 0, &st) == 0 && directory_is(d, &st);
}

/*
 * Out of the way, where there is room: what is opened in the directory for the
 * program is to have the lowest free number.
 */
static int move_up(int fd)
{
	int high = sys_fcntl(fd, F_DUPFD_CLOEXEC, HIGH);

	if (high < 0)
		return fd;
	(void)sys_close(fd);
	return high;
}

/* The directory, if it is still the one that was opened. */
static int hold(const struct directory *d)
{
	struct sys_stat st;
	int fd, r;

	fd = sys_openat(AT_FDCWD, d->path,
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd == -ELOOP || fd == -ENOTDIR ? -ESTALE : fd;
	r = sys_fstat(fd, &st);
	if (r == 0 && !directory_is(d, &st))
		r = -ESTALE;
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	return move_up(fd);
}

int directory_name_hold(const struct directory *d, const char *name,
			struct directory_file *ret)
{
	struct text t;

	text_init(&t, ret->path, sizeof(ret->path));
	ret->dir = -1;
	if (d->exposed) {
		ret->dir = hold(d);
		if (ret->dir < 0)
			return ret->dir;
		text_str(&t, "/proc/self/fd/");
		text_uint(&t, (uint64_t)ret->dir, 10, 0, ' ');
	} else {
		text_str(&t, d->path);
	}
	text_str(&t, "/");
	text_str(&t, name);
	if (!t.full)
		return 0;
	directory_file_release(ret);
	return -ENAMETOOLONG;
}

int directory_file_hold(const struct directory *d, const struct registry *r,
			uint32_t index, uint32_t seq,
			struct directory_file *ret)
{
	char name[40];
	struct text t;

	text_init(&t, name, sizeof(name));
	text_str(&t, "seg.");
	text_uint(&t, r->uid, 10, 0, ' ');
	text_str(&t, ".");
	text_uint(&t, (uint64_t)registry_id(r, index, seq), 10, 0, ' ');
	return directory_name_hold(d, name, ret);
}

void directory_file_release(const struct directory_file *f)
{
	if (f->dir >= 0)
		(void)sys_close(f->dir);
}
