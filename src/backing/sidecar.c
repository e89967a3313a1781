/* SPDX-License-Identifier: MIT */
/*
 * The file beside a data file, without a look at its bytes.
 *
 * Its lock is a write lock on the open file description: each user opens the
 * file anew, so it excludes threads and relatives as well, and the kernel
 * gives it back at death. The name is looked at again under the lock: who
 * waited may have got a file that was removed meanwhile.
 *
 * What is in the sidecar will be written into the data file, and was. So it
 * must be the data file's owner's, or root's, or our own, nobody may write it
 * who may not write the data file, and none may read it who may not read that.
 *
 * A kill leaves an empty file at worst, made for the next.
 */
#include "backing/sidecar.h"

#include "base/fsize.h"
#include "base/step.h"
#include "base/text.h"

#define LEAST (UINT64_C(64) << 10) /* bytes of the smallest */

/* ------------------------------------------------------------- its place */

int journal_place(int fd, char *buf, struct journal_place *ret)
{
	static const char suffix[] = JOURNAL_SUFFIX;
	struct sys_stat file, named;
	char link[32];
	struct text t;
	long n;
	int r;

	r = sys_fstat(fd, &file);
	if (r < 0)
		return r;
	if (file.nlink > 1)
		return -EMLINK;

	text_init(&t, link, sizeof(link));
	text_str(&t, "/proc/self/fd/");
	text_int(&t, fd, 0);
	n = sys_readlink(link, buf, PATH_ROOM);
	if (n < 0)
		return (int)n;
	if ((size_t)n + sizeof(suffix) > PATH_ROOM)
		return -ENAMETOOLONG;
	buf[n] = '\0';

	/* "/a/b (deleted)", "pipe:[1]", a path of another mount namespace; or
	 * the name is another file's by now. */
	r = *buf == '/' ? sys_stat(AT_FDCWD, buf, AT_SYMLINK_NOFOLLOW, &named)
			: -ENOENT;
	if (r == 0 && (named.dev != file.dev || named.ino != file.ino))
		r = -ENOENT;
	if (r < 0)
		return r;

	text_init(&t, buf + n, PATH_ROOM - (size_t)n);
	text_str(&t, suffix);
	*ret = (struct journal_place){ .dir = AT_FDCWD, .name = buf };
	return 0;
}

int sidecar_sync_name(const struct sidecar *sc)
{
	const char *name = sc->place->name, *slash = NULL;
	char parent[PATH_ROOM];
	struct text t;
	int fd, r;

	for (const char *s = name; *s; s++)
		if (*s == '/')
			slash = s;
	text_init(&t, parent, sizeof(parent));
	if (slash)
		text_bytes(&t, name,
			   slash == name ? 1 : (size_t)(slash - name));
	else
		text_str(&t, ".");
	if (t.full)
		return -ENAMETOOLONG;

	fd = sys_openat(sc->place->dir, parent,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = sys_fsync(fd);
	(void)sys_close(fd);
	return r;
}

/* --------------------------------------------------------- made and found */

static mode_t wanted_mode(const struct sys_stat *data, gid_t gid)
{
	mode_t mode = data->mode & 0666;

	/* The group's rights mean another group here. */
	return gid == data->gid ? mode : mode & ~(mode_t)0060;
}

/* As the data file is, as far as we may. */
static int adapt(int fd, const struct sys_stat *data)
{
	struct sys_stat st;
	int r;

	if (sys_fchown(fd, data->uid, data->gid) < 0)
		(void)sys_fchown(fd, (uid_t)-1, data->gid);
	r = sys_fstat(fd, &st);
	return r < 0 ? r : sys_fchmod(fd, wanted_mode(data, st.gid));
}

/* May 'fd' be believed? 'ret' is what it was. */
static int examine(int fd, const struct sys_stat *data, struct sys_stat *ret)
{
	mode_t want;
	int r = sys_fstat(fd, ret);

	if (r < 0)
		return r;
	if (!S_ISREG(ret->mode) || ret->nlink > 1)
		return -EACCES;
	if (ret->uid != data->uid && ret->uid != sys_geteuid() && ret->uid != 0)
		return -EACCES;
	want = wanted_mode(data, ret->gid);
	if (ret->mode & 0022 & ~want)
		return -EACCES;
	if (ret->dev != data->dev)
		return -EXDEV;

	/* New, or the data file has other rights by now. */
	if (ret->uid != data->uid || ret->gid != data->gid ||
	    (ret->mode & 0777) != want)
		(void)adapt(fd, data);
	return 0;
}

/* Does the name still lead to it? */
static int look_again(const struct journal_place *place,
		      const struct sys_stat *st)
{
	struct sys_stat named;
	int r = sys_stat(place->dir, place->name, AT_SYMLINK_NOFOLLOW, &named);

	if (r == 0 && (named.ino != st->ino || named.dev != st->dev))
		r = -ENOENT;
	return r;
}

/* -EAGAIN: it was another file's turn. */
static int open_once(const struct journal_place *place,
		     const struct sys_stat *data, bool create,
		     struct sidecar *ret)
{
	struct sys_stat st = { 0 };
	bool made = false;
	int fd, r;

	/* O_CREAT would be refused in a sticky directory of another user's. */
	fd = sys_openat(place->dir, place->name,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd == -ENOENT && create) {
		fd = sys_openat(place->dir, place->name,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
					O_CLOEXEC,
				0600);
		step("sidecar: created");
		if (fd == -EEXIST)
			return -EAGAIN;
		made = fd >= 0;
	}
	if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO)
		return -EACCES;
	if (fd < 0)
		return fd;

	do
		r = sys_lock(fd, F_WRLCK, 0, 0, true);
	while (r == -EINTR);
	if (r == 0)
		r = examine(fd, data, &st);
	if (r == 0) {
		r = look_again(place, &st);
		if (r == -ENOENT)
			r = -EAGAIN;
	}
	if (r < 0) {
		if (made && r == -EXDEV)
			(void)sys_unlinkat(place->dir, place->name, 0);
		(void)sys_close(fd);
		return r;
	}
	*ret = (struct sidecar){ place, fd, st.size };
	return 0;
}

int sidecar_open(const struct journal_place *place, const struct sys_stat *data,
		 bool create, struct sidecar *ret)
{
	int r;

	do
		r = open_once(place, data, create, ret);
	while (r == -EAGAIN);
	return r;
}

void sidecar_close(struct sidecar *sc)
{
	(void)sys_close(sc->fd);
}

int sidecar_reserve(struct sidecar *sc, uint64_t size)
{
	uint64_t room = LEAST;
	int r;

	if (size <= sc->size)
		return 0;
	/* Doubled, so that it seldom grows: the first flush after it is slow.
	 */
	while (room < size)
		room *= 2;
	r = fsize_allocate(sc->fd, 0, room);
	if (r == -EOPNOTSUPP || r == -ENOSYS)
		return 0; /* then it is written and not reserved */
	if (r == 0)
		sc->size = room;
	return r;
}
