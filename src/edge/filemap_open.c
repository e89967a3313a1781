/* SPDX-License-Identifier: MIT */
/*
 * How a process comes by descriptors: each is looked at once, and one that
 * cut its file off is a change of that. Owns nothing.
 *
 * libc reads and writes for its streams without calling what we could replace.
 * So a stream gets what the mappings have newer when it is opened, and the
 * mappings get what it has written when it is flushed or closed.
 */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "edge/filemap.h"

/* To musl's headers these are other words for the plain names. */
#undef open64
#undef openat64
#undef creat64
#undef fopen64
#undef freopen64
#undef mkstemp64
#undef mkostemp64
#undef mkstemps64
#undef mkostemps64

static int opened(int fd, int flags)
{
	int saved = errno;

	if (fd < 0)
		return fd;
	doubt_descriptor(fd);
	if (flags & O_TRUNC)
		filemap_notice(fd, MAPPING_ALL);
	errno = saved;
	return fd;
}

/*
 * Is there an object that must be held while the file is cut off? What another
 * process is just writing to the file would make it long again.
 */
static bool cuts(int dir, const char *path, int flags)
{
	int file;

	if ((flags & (O_TRUNC | O_EXCL)) != O_TRUNC ||
	    (flags & O_ACCMODE) == O_RDONLY)
		return false;
	file = filemap_look(dir, path);
	(void)sys_close(file);
	return file >= 0;
}

/* It was opened without O_TRUNC. */
static int cut(int fd)
{
	int saved;

	if (fd < 0)
		return fd;
	doubt_everything();
	if (ftruncate(fd, 0) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* The mode is looked at only if the flags say that it is there. */
typedef int open_fn(const char *path, int flags, unsigned mode);
typedef int openat_fn(int dir, const char *path, int flags, unsigned mode);
typedef int creat_fn(const char *path, unsigned mode);

#define WRAP_OPEN(name, other)                                                \
	open_fn fm_##name EXPORT(name);                                       \
	NEXT_OR(open_fn, name, other)                                         \
	int fm_##name(const char *path, int flags, unsigned mode)             \
	{                                                                     \
		if (cuts(AT_FDCWD, path, flags))                              \
			return cut(                                           \
				real_##name()(path, flags & ~O_TRUNC, mode)); \
		return opened(real_##name()(path, flags, mode), flags);       \
	}

#define WRAP_OPENAT(name, other)                                              \
	openat_fn fm_##name EXPORT(name);                                     \
	NEXT_OR(openat_fn, name, other)                                       \
	int fm_##name(int dir, const char *path, int flags, unsigned mode)    \
	{                                                                     \
		if (cuts(dir, path, flags))                                   \
			return cut(real_##name()(dir, path, flags & ~O_TRUNC, \
						 mode));                      \
		return opened(real_##name()(dir, path, flags, mode), flags);  \
	}

#define WRAP_CREAT(name, by)                                              \
	creat_fn fm_##name EXPORT(name);                                  \
	int fm_##name(const char *path, unsigned mode)                    \
	{                                                                 \
		return fm_##by(path, O_WRONLY | O_CREAT | O_TRUNC, mode); \
	}

/* The names with 64 are missing where off_t never had but 64 bits. */
WRAP_OPEN(open, open)
WRAP_OPEN(open64, open)
WRAP_OPENAT(openat, openat)
WRAP_OPENAT(openat64, openat)
WRAP_CREAT(creat, open)
WRAP_CREAT(creat64, open64)

#ifdef __GLIBC__
typedef int open_2_fn(const char *path, int flags);
typedef int openat_2_fn(int dir, const char *path, int flags);

#define WRAP_OPEN_2(name)                                                  \
	open_2_fn fm_##name EXPORT(name);                                  \
	NEXT(open_2_fn, name)                                              \
	int fm_##name(const char *path, int flags)                         \
	{                                                                  \
		if (cuts(AT_FDCWD, path, flags))                           \
			return cut(real_##name()(path, flags & ~O_TRUNC)); \
		return opened(real_##name()(path, flags), flags);          \
	}

#define WRAP_OPENAT_2(name)                                                  \
	openat_2_fn fm_##name EXPORT(name);                                  \
	NEXT(openat_2_fn, name)                                              \
	int fm_##name(int dir, const char *path, int flags)                  \
	{                                                                    \
		if (cuts(dir, path, flags))                                  \
			return cut(                                          \
				real_##name()(dir, path, flags & ~O_TRUNC)); \
		return opened(real_##name()(dir, path, flags), flags);       \
	}

WRAP_OPEN_2(__open_2)
WRAP_OPEN_2(__open64_2)
WRAP_OPENAT_2(__openat_2)
WRAP_OPENAT_2(__openat64_2)
#endif

/* --------------------------------------------------------- temporary files */

typedef int mkstemp_fn(char *template);
typedef int mkostemp_fn(char *template, int flags);
typedef int mkostemps_fn(char *template, int suffix, int flags);

#define WRAP_MKSTEMP(name, other)                          \
	mkstemp_fn fm_##name EXPORT(name);                 \
	NEXT_OR(mkstemp_fn, name, other)                   \
	int fm_##name(char *template)                      \
	{                                                  \
		return opened(real_##name()(template), 0); \
	}

/* mkostemp() and mkstemps(): another number. */
#define WRAP_MKOSTEMP(name, other)                            \
	mkostemp_fn fm_##name EXPORT(name);                   \
	NEXT_OR(mkostemp_fn, name, other)                     \
	int fm_##name(char *template, int n)                  \
	{                                                     \
		return opened(real_##name()(template, n), 0); \
	}

#define WRAP_MKOSTEMPS(name, other)                                       \
	mkostemps_fn fm_##name EXPORT(name);                              \
	NEXT_OR(mkostemps_fn, name, other)                                \
	int fm_##name(char *template, int suffix, int flags)              \
	{                                                                 \
		return opened(real_##name()(template, suffix, flags), 0); \
	}

WRAP_MKSTEMP(mkstemp, mkstemp)
WRAP_MKSTEMP(mkstemp64, mkstemp)
WRAP_MKOSTEMP(mkostemp, mkostemp)
WRAP_MKOSTEMP(mkostemp64, mkostemp)
WRAP_MKOSTEMP(mkstemps, mkstemps)
WRAP_MKOSTEMP(mkstemps64, mkstemps)
WRAP_MKOSTEMPS(mkostemps, mkostemps)
WRAP_MKOSTEMPS(mkostemps64, mkostemps)

/* ----------------------------------------------- descriptors from elsewhere */

typedef ssize_t recvmsg_fn(int fd, struct msghdr *msg, int flags);
typedef int recvmmsg_fn(int fd, struct mmsghdr *msgs, unsigned n, int flags,
			struct timespec *timeout);

recvmsg_fn fm_recvmsg EXPORT(recvmsg);
recvmmsg_fn fm_recvmmsg EXPORT(recvmmsg);
NEXT(recvmsg_fn, recvmsg)
NEXT(recvmmsg_fn, recvmmsg)

static void received(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd;

	for (; c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(fd)) <= c->cmsg_len;
		     at += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			doubt_descriptor(fd);
		}
	}
}

ssize_t fm_recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = real_recvmsg()(fd, msg, flags);

	if (n >= 0)
		received(msg);
	return n;
}

int fm_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags,
		struct timespec *timeout)
{
	int got = real_recvmmsg()(fd, msgs, n, flags, timeout);

	for (int i = 0; i < got; i++)
		received(&msgs[i].msg_hdr);
	return got;
}

/* ----------------------------------------------------------------- streams */

typedef FILE *fopen_fn(const char *path, const char *mode);
typedef FILE *freopen_fn(const char *path, const char *mode, FILE *f);
typedef int fclose_fn(FILE *f);

static FILE *stream_opened(FILE *f, const char *mode)
{
	int saved = errno, fd;

	if (!f)
		return f;
	fd = opened(fileno(f), *mode == 'w' ? O_TRUNC : 0);
	filemap_before_read(fd, 0, MAPPING_ALL);
	errno = saved;
	return f;
}

/* "w" and more of which nothing needs fopen() itself: it cuts as open() does.
 */
static FILE *open_and_cut(const char *path, const char *mode)
{
	int flags = O_CREAT | O_TRUNC | O_LARGEFILE, fd, saved;
	FILE *f;

	flags |= strchr(mode, '+') ? O_RDWR : O_WRONLY;
	flags |= strchr(mode, 'e') ? O_CLOEXEC : 0;
	fd = open(path, flags, 0666);
	if (fd < 0)
		return NULL;
	f = fdopen(fd, mode);
	if (f)
		return f;
	saved = errno;
	close(fd);
	errno = saved;
	return NULL;
}

static bool stream_cuts(const char *path, const char *mode)
{
	return *mode == 'w' && strspn(mode, "w+be") == strlen(mode) &&
	       cuts(AT_FDCWD, path, O_TRUNC | O_WRONLY);
}

#define WRAP_FOPEN(name, other)                                        \
	fopen_fn fm_##name EXPORT(name);                               \
	NEXT_OR(fopen_fn, name, other)                                 \
	FILE *fm_##name(const char *path, const char *mode)            \
	{                                                              \
		if (stream_cuts(path, mode))                           \
			return open_and_cut(path, mode);               \
		return stream_opened(real_##name()(path, mode), mode); \
	}

#define WRAP_FREOPEN(name, other)                                         \
	freopen_fn fm_##name EXPORT(name);                                \
	NEXT_OR(freopen_fn, name, other)                                  \
	FILE *fm_##name(const char *path, const char *mode, FILE *f)      \
	{                                                                 \
		return stream_opened(real_##name()(path, mode, f), mode); \
	}

WRAP_FOPEN(fopen, fopen)
WRAP_FOPEN(fopen64, fopen)
WRAP_FREOPEN(freopen, freopen)
WRAP_FREOPEN(freopen64, freopen)

fclose_fn fm_fflush EXPORT(fflush);
fclose_fn fm_fclose EXPORT(fclose);
NEXT(fclose_fn, fflush)
NEXT(fclose_fn, fclose)

/* Has it changed a file that may have an object? It may be of no file. */
static int doubtful_file(FILE *f)
{
	int saved = errno, fd = f && doubt_any() ? fileno(f) : -1;

	errno = saved;
	return fd >= 0 && mapping_in_doubt(fd) ? fd : -1;
}

/* NULL: all streams, of which nobody knows the descriptors. */
int fm_fflush(FILE *f)
{
	int r = real_fflush()(f), fd = doubtful_file(f);

	if (fd >= 0)
		filemap_notice(fd, MAPPING_ALL);
	return r;
}

int fm_fclose(FILE *f)
{
	int flushed = doubtful_file(f) < 0 ? 0 : fm_fflush(f), saved = errno;
	int r = real_fclose()(f);

	if (flushed < 0) {
		errno = saved;
		r = flushed;
	}
	mapping_after_close();
	return r;
}
