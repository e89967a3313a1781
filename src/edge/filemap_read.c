/* SPDX-License-Identifier: MIT */
/*
 * Reading a file beside its mappings. Owns nothing.
 *
 * fsync(2) is of the same kind: what is stored to a mapping is the file's, and
 * goes to the disk with it.
 */
#undef _FILE_OFFSET_BITS
#include <unistd.h>

#include "base/sys.h"
#include "base/user.h"
#include "edge/filemap.h"

/* To musl's headers these are other words for the plain names. */
#undef pread64
#undef preadv64

static uint64_t position(int fd)
{
	int64_t at = sys_lseek(fd, 0, SEEK_CUR);

	return at < 0 ? 0 : (uint64_t)at;
}

uint64_t filemap_vector_length(const struct iovec *v, int n)
{
	struct iovec some[16];
	uint64_t sum = 0;

	for (int i = 0, k; i < n; i += k) {
		k = n - i < 16 ? n - i : 16;
		if (user_read(some, v + i, (size_t)k * sizeof(*v)) < 0)
			return 0; /* EFAULT, then */
		for (int j = 0; j < k; j++)
			sum += some[j].iov_len;
	}
	return sum;
}

void filemap_before_read(int fd, int64_t at, uint64_t length)
{
	uint64_t from;

	if (!doubt_any())
		return;
	if (at >= 0) {
		mapping_before_read(fd, (uint64_t)at, length);
		return;
	}
	if (!mapping_in_doubt(fd))
		return;
	do {
		from = position(fd);
		mapping_before_read(fd, from, length);
	} while (position(fd) != from);
}

static void before_readv(int fd, const struct iovec *v, int n, int64_t at)
{
	if (doubt_any())
		filemap_before_read(fd, at, filemap_vector_length(v, n));
}

typedef ssize_t read_fn(int fd, void *buf, size_t n);
typedef ssize_t readv_fn(int fd, const struct iovec *v, int n);
typedef int fsync_fn(int fd);

read_fn fm_read EXPORT(read);
readv_fn fm_readv EXPORT(readv);
fsync_fn fm_fsync EXPORT(fsync);
fsync_fn fm_fdatasync EXPORT(fdatasync);

NEXT(read_fn, read)
NEXT(readv_fn, readv)
NEXT(fsync_fn, fsync)
NEXT(fsync_fn, fdatasync)

ssize_t fm_read(int fd, void *buf, size_t n)
{
	FILEMAP_CHANGE(filemap_read_begin(&change, fd, n), sys_read(fd, buf, n),
		       real_read()(fd, buf, n));
}

ssize_t fm_readv(int fd, const struct iovec *v, int n)
{
	FILEMAP_CHANGE(
		filemap_read_begin(&change, fd, filemap_vector_length(v, n)),
		SYS3(SYS_readv, fd, v, n), real_readv()(fd, v, n));
}

int fm_fsync(int fd)
{
	filemap_before_read(fd, 0, MAPPING_ALL);
	return real_fsync()(fd);
}

int fm_fdatasync(int fd)
{
	filemap_before_read(fd, 0, MAPPING_ALL);
	return real_fdatasync()(fd);
}

/*
 * The names with 64 are missing where off_t never had but 64 bits.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type cannot have any
 */
#define WRAP_PREAD(name, other, off)                                    \
	typedef ssize_t name##_fn(int fd, void *buf, size_t n, off at); \
	name##_fn fm_##name EXPORT(name);                               \
	NEXT_OR(name##_fn, name, other)                                 \
	ssize_t fm_##name(int fd, void *buf, size_t n, off at)          \
	{                                                               \
		filemap_before_read(fd, at, n);                         \
		return real_##name()(fd, buf, n, at);                   \
	}

#define WRAP_PREADV(name, other, off)                                   \
	typedef ssize_t name##_fn(int fd, const struct iovec *v, int n, \
				  off at);                              \
	name##_fn fm_##name EXPORT(name);                               \
	NEXT_OR(name##_fn, name, other)                                 \
	ssize_t fm_##name(int fd, const struct iovec *v, int n, off at) \
	{                                                               \
		before_readv(fd, v, n, at);                             \
		return real_##name()(fd, v, n, at);                     \
	}

#define WRAP_PREADV2(name, off)                                         \
	typedef ssize_t name##_fn(int fd, const struct iovec *v, int n, \
				  off at, int flags);                   \
	name##_fn fm_##name EXPORT(name);                               \
	NEXT(name##_fn, name)                                           \
	ssize_t fm_##name(int fd, const struct iovec *v, int n, off at, \
			  int flags)                                    \
	{                                                               \
		before_readv(fd, v, n, at);                             \
		return real_##name()(fd, v, n, at, flags);              \
	}

/* What programs compiled with _FORTIFY_SOURCE call. */
#define WRAP_PREAD_CHK(name, off)                                           \
	typedef ssize_t name##_fn(int fd, void *buf, size_t n, off at,      \
				  size_t room);                             \
	name##_fn fm_##name EXPORT(name);                                   \
	NEXT(name##_fn, name)                                               \
	ssize_t fm_##name(int fd, void *buf, size_t n, off at, size_t room) \
	{                                                                   \
		filemap_before_read(fd, at, n);                             \
		return real_##name()(fd, buf, n, at, room);                 \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

WRAP_PREAD(pread, pread, off_t)
WRAP_PREAD(pread64, pread, int64_t)
WRAP_PREADV(preadv, preadv, off_t)
WRAP_PREADV(preadv64, preadv, int64_t)

#ifdef __GLIBC__
WRAP_PREADV2(preadv2, off_t)
WRAP_PREADV2(preadv64v2, int64_t)
WRAP_PREAD_CHK(__pread_chk, off_t)
WRAP_PREAD_CHK(__pread64_chk, int64_t)

typedef ssize_t read_chk_fn(int fd, void *buf, size_t n, size_t room);
read_chk_fn fm_read_chk EXPORT(__read_chk);
NEXT(read_chk_fn, __read_chk)

ssize_t fm_read_chk(int fd, void *buf, size_t n, size_t room)
{
	if (n > room) /* it ends the program */
		return real___read_chk()(fd, buf, n, room);
	return fm_read(fd, buf, n);
}
#endif
