/* SPDX-License-Identifier: MIT */
/*
 * Writing to a file, and changing its size, beside its mappings. Owns nothing.
 */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "base/sys.h"
#include "edge/filemap.h"

/* To musl's headers these are other words for the plain names. */
#undef pwrite64
#undef pwritev64
#undef ftruncate64
#undef truncate64
#undef fallocate64
#undef posix_fallocate64

/* ---------------------------------------------------------------- write(2) */

typedef ssize_t write_fn(int fd, const void *buf, size_t n);
typedef ssize_t writev_fn(int fd, const struct iovec *v, int n);

write_fn fm_write EXPORT(write);
writev_fn fm_writev EXPORT(writev);
NEXT(write_fn, write)
NEXT(writev_fn, writev)

ssize_t fm_write(int fd, const void *buf, size_t n)
{
	FILEMAP_CHANGE(filemap_write_begin(&change, fd, FILEMAP_HERE, n),
		       sys_write(fd, buf, n), real_write()(fd, buf, n));
}

static enum filemap_way begin_vector(struct filemap_change *c, int fd,
				     const struct iovec *v, int n, int64_t at)
{
	return filemap_write_begin(c, fd, at, filemap_vector_length(v, n));
}

ssize_t fm_writev(int fd, const struct iovec *v, int n)
{
	FILEMAP_CHANGE(begin_vector(&change, fd, v, n, FILEMAP_HERE),
		       SYS3(SYS_writev, fd, v, n), real_writev()(fd, v, n));
}

/*
 * The names with 64 are missing where off_t never had but 64 bits. The kernel
 * takes a vector's offset in halves; of the second it uses nothing where the
 * first has all.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type cannot have any
 */
#define LOW(at)	 (long)(at)
#define HIGH(at) (long)((int64_t)(at) >> 32)

#define WRAP_PWRITE(name, other, off)                                         \
	typedef ssize_t name##_fn(int fd, const void *buf, size_t n, off at); \
	name##_fn fm_##name EXPORT(name);                                     \
	NEXT_OR(name##_fn, name, other)                                       \
	ssize_t fm_##name(int fd, const void *buf, size_t n, off at)          \
	{                                                                     \
		FILEMAP_CHANGE(filemap_write_begin(&change, fd, at, n),       \
			       sys_pwrite(fd, buf, n, (uint64_t)at),          \
			       real_##name()(fd, buf, n, at));                \
	}

#define WRAP_PWRITEV(name, other, off)                                     \
	typedef ssize_t name##_fn(int fd, const struct iovec *v, int n,    \
				  off at);                                 \
	name##_fn fm_##name EXPORT(name);                                  \
	NEXT_OR(name##_fn, name, other)                                    \
	ssize_t fm_##name(int fd, const struct iovec *v, int n, off at)    \
	{                                                                  \
		FILEMAP_CHANGE(                                            \
			begin_vector(&change, fd, v, n, at),               \
			SYS6(SYS_pwritev, fd, v, n, LOW(at), HIGH(at), 0), \
			real_##name()(fd, v, n, at));                      \
	}

WRAP_PWRITE(pwrite, pwrite, off_t)
WRAP_PWRITE(pwrite64, pwrite, int64_t)
WRAP_PWRITEV(pwritev, pwritev, off_t)
WRAP_PWRITEV(pwritev64, pwritev, int64_t)

#ifdef __GLIBC__
/* RWF_APPEND and RWF_NOAPPEND: not as the descriptor says. */
#define WRITES_ELSEWHERE (0x10 | 0x20)

static enum filemap_way begin_flags(struct filemap_change *c, int fd,
				    const struct iovec *v, int n, int64_t at,
				    int flags)
{
	if (flags & WRITES_ELSEWHERE)
		return filemap_change_begin(c, fd, 0, MAPPING_ALL);
	return begin_vector(c, fd, v, n, at);
}

#define WRAP_PWRITEV2(name, off)                                               \
	typedef ssize_t name##_fn(int fd, const struct iovec *v, int n,        \
				  off at, int flags);                          \
	name##_fn fm_##name EXPORT(name);                                      \
	NEXT(name##_fn, name)                                                  \
	ssize_t fm_##name(int fd, const struct iovec *v, int n, off at,        \
			  int flags)                                           \
	{                                                                      \
		FILEMAP_CHANGE(begin_flags(&change, fd, v, n, at, flags),      \
			       SYS6(SYS_pwritev2, fd, v, n, LOW(at), HIGH(at), \
				    flags),                                    \
			       real_##name()(fd, v, n, at, flags));            \
	}

WRAP_PWRITEV2(pwritev2, off_t)
WRAP_PWRITEV2(pwritev64v2, int64_t)
#endif

/* -------------------------------------------------------------------- size */

#define WRAP_FTRUNCATE(name, other, off)                                   \
	typedef int name##_fn(int fd, off size);                           \
	name##_fn fm_##name EXPORT(name);                                  \
	NEXT_OR(name##_fn, name, other)                                    \
	int fm_##name(int fd, off size)                                    \
	{                                                                  \
		FILEMAP_CHANGE(filemap_change_begin(&change, fd, 0, 0),    \
			       sys_ftruncate(fd, (uint64_t)(int64_t)size), \
			       real_##name()(fd, size));                   \
	}

/* Does the call change bytes, and not only the size? */
static uint64_t fallocate_length(int mode, int64_t length)
{
	if (!(mode & ~FALLOC_FL_KEEP_SIZE))
		return 0;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return (uint64_t)length;
	return MAPPING_ALL; /* what is behind moves */
}

#define WRAP_FALLOCATE(name, other, off)                                    \
	typedef int name##_fn(int fd, int mode, off at, off n);             \
	name##_fn fm_##name EXPORT(name);                                   \
	NEXT_OR(name##_fn, name, other)                                     \
	int fm_##name(int fd, int mode, off at, off n)                      \
	{                                                                   \
		FILEMAP_CHANGE(                                             \
			filemap_change_begin(&change, fd, (uint64_t)at,     \
					     fallocate_length(mode, n)),    \
			sys_fallocate(fd, mode, (uint64_t)at, (uint64_t)n), \
			real_##name()(fd, mode, at, n));                    \
	}

/*
 * It returns an errno. libc writes a zero over a zero to each block where the
 * file system cannot allocate: the size is all that changes. What a killed
 * process left is written before: a file of another size is not as it knew it.
 */
#define WRAP_POSIX_FALLOCATE(name, other, off)           \
	typedef int name##_fn(int fd, off at, off n);    \
	name##_fn fm_##name EXPORT(name);                \
	NEXT_OR(name##_fn, name, other)                  \
	int fm_##name(int fd, off at, off n)             \
	{                                                \
		int r;                                   \
                                                         \
		filemap_before_read(fd, 0, MAPPING_ALL); \
		r = real_##name()(fd, at, n);            \
		if (r == 0)                              \
			filemap_notice(fd, 0);           \
		return r;                                \
	}

/* By a path, and a descriptor of its file. */
#define WRAP_TRUNCATE(name, other, off)                                     \
	typedef int name##_fn(const char *path, off size);                  \
	name##_fn fm_##name EXPORT(name);                                   \
	NEXT_OR(name##_fn, name, other)                                     \
	static int name##_held(int file, const char *path, off size)        \
	{                                                                   \
		doubt_everything();                                         \
		FILEMAP_CHANGE(filemap_change_begin(&change, file, 0, 0),   \
			       sys_truncate(path, (uint64_t)(int64_t)size), \
			       real_##name()(path, size));                  \
	}                                                                   \
	int fm_##name(const char *path, off size)                           \
	{                                                                   \
		int file = filemap_look(AT_FDCWD, path), r;                 \
                                                                            \
		if (file < 0)                                               \
			return real_##name()(path, size);                   \
		r = name##_held(file, path, size);                          \
		(void)sys_close(file);                                      \
		return r;                                                   \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

WRAP_FTRUNCATE(ftruncate, ftruncate, off_t)
WRAP_FTRUNCATE(ftruncate64, ftruncate, int64_t)
WRAP_TRUNCATE(truncate, truncate, off_t)
WRAP_TRUNCATE(truncate64, truncate, int64_t)
WRAP_FALLOCATE(fallocate, fallocate, off_t)
WRAP_FALLOCATE(fallocate64, fallocate, int64_t)
WRAP_POSIX_FALLOCATE(posix_fallocate, posix_fallocate, off_t)
WRAP_POSIX_FALLOCATE(posix_fallocate64, posix_fallocate, int64_t)
