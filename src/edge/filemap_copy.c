/* SPDX-License-Identifier: MIT */
/*
 * Copies from one descriptor to another inside the kernel: each is a read of
 * the one and a change of the other. Owns nothing.
 */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/user.h"
#include "edge/filemap.h"

/* To musl's headers this is another word for the plain name. */
#undef sendfile64

/* What a pointer to an offset means, which may lead nowhere. */
static int64_t at_pointer(const int64_t *p)
{
	int64_t at;

	return p && user_read(&at, p, sizeof(at)) == 0 ? at : FILEMAP_HERE;
}

typedef ssize_t copy_fn(int in, int64_t *from, int out, int64_t *to, size_t n,
			unsigned flags);

copy_fn fm_copy_file_range EXPORT(copy_file_range);
copy_fn fm_splice EXPORT(splice);
NEXT(copy_fn, copy_file_range)
NEXT(copy_fn, splice)

static enum filemap_way begin(struct filemap_change *c, int in,
			      const int64_t *from, int out, const int64_t *to,
			      size_t n)
{
	filemap_before_read(in, at_pointer(from), n);
	return filemap_write_begin(c, out, at_pointer(to), n);
}

ssize_t fm_copy_file_range(int in, int64_t *from, int out, int64_t *to,
			   size_t n, unsigned flags)
{
	FILEMAP_CHANGE(begin(&change, in, from, out, to, n),
		       SYS6(SYS_copy_file_range, in, from, out, to, n, flags),
		       real_copy_file_range()(in, from, out, to, n, flags));
}

/* Does the program want to wait for a pipe's data? */
static bool waits(int in, unsigned flags)
{
	int status = sys_fcntl(in, F_GETFL, 0);

	return !(flags & SPLICE_F_NONBLOCK) && status >= 0 &&
	       !(status & O_NONBLOCK);
}

/* Under the lock nobody waits for a pipe. */
static ssize_t splice_now(int in, int64_t *from, int out, int64_t *to, size_t n,
			  unsigned flags)
{
	FILEMAP_CHANGE(begin(&change, in, from, out, to, n),
		       SYS6(SYS_splice, in, from, out, to, n,
			    flags | SPLICE_F_NONBLOCK),
		       real_splice()(in, from, out, to, n, flags));
}

ssize_t fm_splice(int in, int64_t *from, int out, int64_t *to, size_t n,
		  unsigned flags)
{
	struct pollfd ready = { .fd = in, .events = POLLIN };
	int saved = errno;
	ssize_t r;

	if (!doubt_any() || !mapping_in_doubt(out)) {
		filemap_before_read(in, at_pointer(from), n);
		return real_splice()(in, from, out, to, n, flags);
	}
	for (;;) {
		r = splice_now(in, from, out, to, n, flags);
		if (r >= 0 || errno != EAGAIN || !waits(in, flags))
			return r;
		errno = saved;
		if (poll(&ready, 1, -1) < 0)
			return -1;
	}
}

/* Where it reads, if there is a pointer, need not be known exactly.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type cannot have any */
#define WRAP_SENDFILE(name, other, off, number)                             \
	typedef ssize_t name##_fn(int out, int in, off *from, size_t n);    \
	name##_fn fm_##name EXPORT(name);                                   \
	NEXT_OR(name##_fn, name, other)                                     \
	ssize_t fm_##name(int out, int in, off *from, size_t n)             \
	{                                                                   \
		filemap_before_read(in, from ? 0 : FILEMAP_HERE,            \
				    from ? MAPPING_ALL : n);                \
		FILEMAP_CHANGE(                                             \
			filemap_write_begin(&change, out, FILEMAP_HERE, n), \
			SYS6(number, out, in, from, n, 0, 0),               \
			real_##name()(out, in, from, n));                   \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#ifndef SYS_sendfile64
#define SYS_sendfile64 SYS_sendfile
#endif

#ifdef __GLIBC__
WRAP_SENDFILE(sendfile, sendfile, off_t, SYS_sendfile)
#else
WRAP_SENDFILE(sendfile, sendfile, off_t, SYS_sendfile64)
#endif
WRAP_SENDFILE(sendfile64, sendfile, int64_t, SYS_sendfile64)
