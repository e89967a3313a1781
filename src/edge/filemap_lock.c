/* SPDX-License-Identifier: MIT */
/*
 * Record locks beside mappings. Owns nothing.
 *
 * Who serves a file holds a lock on its last possible byte (backing/token.h),
 * which a lock of the whole file would meet. So the program's locks end before
 * it, on any file: what will be mapped, and refused, is not known when it is
 * locked. What is told of others' locks is turned back. To lock the last byte
 * itself is to lock the one before.
 */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <unistd.h>

#include "backing/token.h"
#include "base/sys.h"
#include "base/user.h"
#include "edge/filemap.h"

/* To musl's headers these are other words for the plain names. */
#undef fcntl64
#undef lockf64

/* An argument that is none is not looked at. */
typedef int fcntl_fn(int fd, int command, void *arg);
typedef int lockf_fn(int fd, int command, off_t length);
typedef int lockf64_fn(int fd, int command, int64_t length);

fcntl_fn fm_fcntl EXPORT(fcntl);
fcntl_fn fm_fcntl64 EXPORT(fcntl64);
fcntl_fn fm_fcntl_time64 EXPORT(__fcntl_time64);
lockf_fn fm_lockf EXPORT(lockf);
lockf64_fn fm_lockf64 EXPORT(lockf64);

NEXT(fcntl_fn, fcntl)
NEXT_OR(fcntl_fn, fcntl64, fcntl)
NEXT_OR(fcntl_fn, __fcntl_time64, fcntl64)
NEXT(lockf_fn, lockf)
NEXT_OR(lockf64_fn, lockf64, lockf)

/* ---------------------------------------------------------------- commands */

/* Those that name a range of 64 bits; where off_t has less, others exist. */
#if defined(__i386__) && defined(__GLIBC__)
#define GETLK  F_GETLK64
#define SETLK  F_SETLK64
#define SETLKW F_SETLKW64
#else
#define GETLK  F_GETLK
#define SETLK  F_SETLK
#define SETLKW F_SETLKW
#endif

static bool asks(int command)
{
	return command == GETLK || command == F_OFD_GETLK;
}

static bool is_lock(int command)
{
	return asks(command) || command == SETLK || command == SETLKW ||
	       command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

/* ------------------------------------------------------------------- ranges */

/* Where the range begins; false: nowhere. */
static bool begin_of(int fd, const sys_range *range, int64_t *ret_from)
{
	struct sys_stat st;
	int64_t base = 0;

	if (range->l_whence == SEEK_CUR) {
		base = sys_lseek(fd, 0, SEEK_CUR);
	} else if (range->l_whence == SEEK_END) {
		if (sys_fstat(fd, &st) < 0)
			return false;
		base = (int64_t)st.size;
	} else if (range->l_whence != SEEK_SET) {
		return false;
	}
	return !__builtin_add_overflow(base, range->l_start, ret_from) &&
	       *ret_from >= 0;
}

/*
 * End the range before the token, if it reaches that. What is not valid stays
 * as it is, for the kernel to refuse. An unlock may reach it: nobody loses but
 * what is his.
 */
static bool cut(int fd, sys_range *range)
{
	int64_t from, last = INT64_MAX;

	/* A negative length: the bytes before the beginning. */
	if (range->l_len < 0 || !begin_of(fd, range, &from))
		return false;
	if (range->l_len > 0 &&
	    __builtin_add_overflow(from, range->l_len - 1, &last))
		return false;
	if (last < TOKEN_BYTE)
		return false;
	if (from == TOKEN_BYTE)
		from--;
	range->l_whence = SEEK_SET;
	range->l_start = from;
	range->l_len = range->l_type == F_UNLCK ? 0 : TOKEN_BYTE - from;
	return true;
}

/* What is told of another's lock: one that was cut reaches the end. */
static void turn_back(sys_range *range)
{
	if (range->l_type != F_UNLCK && range->l_len > 0 &&
	    range->l_start == TOKEN_BYTE - range->l_len)
		range->l_len = 0;
}

/* ------------------------------------------------------------- wide ranges */

static int lock_wide(int fd, int command, void *arg, fcntl_fn *next)
{
	sys_range range, asked;
	int r;

	if (user_read(&range, arg, sizeof(range)) < 0)
		return next(fd, command, arg);
	asked = range;
	if (!cut(fd, &range) && !asks(command))
		return next(fd, command, arg);
	r = next(fd, command, &range);
	if (r < 0 || !asks(command))
		return r;
	turn_back(&range);
	if (range.l_type == F_UNLCK) {
		range = asked;
		range.l_type = F_UNLCK;
	}
	return (int)filemap_result(user_write(arg, &range, sizeof(range)));
}

static int do_wide(int fd, int command, void *arg, fcntl_fn *next)
{
	if (is_lock(command))
		return lock_wide(fd, command, arg, next);
	return next(fd, command, arg);
}

int fm_fcntl64(int fd, int command, void *arg)
{
	return do_wide(fd, command, arg, real_fcntl64());
}

int fm_fcntl_time64(int fd, int command, void *arg)
{
	return do_wide(fd, command, arg, real___fcntl_time64());
}

/* ----------------------------------------------------------- narrow ranges */

#if defined(__i386__) && defined(__GLIBC__)
/* The command that does it with a wide range; or 0. Those of descriptions go
 * by the name that they are called by. */
static int widened(int command)
{
	switch (command) {
	case F_GETLK:
		return GETLK;
	case F_SETLK:
		return SETLK;
	case F_SETLKW:
		return SETLKW;
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return command;
	default:
		return 0;
	}
}

static int lock_narrow(int fd, int command, struct flock *arg)
{
	struct flock narrow;
	sys_range range;
	int r;

	if (user_read(&narrow, arg, sizeof(narrow)) < 0)
		return real_fcntl()(fd, command, arg);
	range = (sys_range){ .l_type = narrow.l_type,
			     .l_whence = narrow.l_whence,
			     .l_start = narrow.l_start,
			     .l_len = narrow.l_len,
			     .l_pid = narrow.l_pid };
	r = lock_wide(fd, widened(command), &range, real_fcntl64());
	if (r < 0 || !asks(widened(command)))
		return r;
	if (range.l_start > INT32_MAX ||
	    range.l_len - 1 > INT32_MAX - range.l_start)
		return (int)filemap_result(-EOVERFLOW);
	narrow = (struct flock){ .l_type = range.l_type,
				 .l_whence = range.l_whence,
				 .l_start = (off_t)range.l_start,
				 .l_len = (off_t)range.l_len,
				 .l_pid = range.l_pid };
	return (int)filemap_result(user_write(arg, &narrow, sizeof(narrow)));
}

int fm_fcntl(int fd, int command, void *arg)
{
	if (widened(command))
		return lock_narrow(fd, command, arg);
	return do_wide(fd, command, arg, real_fcntl());
}
#else
int fm_fcntl(int fd, int command, void *arg)
{
	return do_wide(fd, command, arg, real_fcntl());
}
#endif

/* ------------------------------------------------------------------ lockf() */

/* From the position on. What tests and unlocks is not in the token's way. */
static bool lockf_cut(int fd, int command, int64_t length, sys_range *range)
{
	*range = (sys_range){ .l_type = F_WRLCK,
			      .l_whence = SEEK_CUR,
			      .l_len = length };
	return (command == F_LOCK || command == F_TLOCK) && cut(fd, range);
}

static int lockf_call(int fd, int command, sys_range *range)
{
	return real_fcntl64()(fd, command == F_LOCK ? SETLKW : SETLK, range);
}

int fm_lockf(int fd, int command, off_t length)
{
	sys_range range;

	if (lockf_cut(fd, command, length, &range))
		return lockf_call(fd, command, &range);
	return real_lockf()(fd, command, length);
}

int fm_lockf64(int fd, int command, int64_t length)
{
	sys_range range;

	if (lockf_cut(fd, command, length, &range))
		return lockf_call(fd, command, &range);
	return real_lockf64()(fd, command, length);
}
