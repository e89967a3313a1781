/* SPDX-License-Identifier: MIT */
/*
 * Owns the soft RLIMIT_FSIZE between two system calls. A kill in between
 * takes the process, and the limit, along.
 */
#include "base/fsize.h"

#include "base/signals.h"
#include "base/sys.h"

static int grow(int fd, uint64_t from, uint64_t size, bool allocate)
{
	return allocate ? sys_fallocate(fd, 0, from, size)
			: sys_ftruncate(fd, size);
}

/* The limit is in the way. */
static int grow_past(int fd, uint64_t from, uint64_t size, bool allocate,
		     const struct sys_rlimit *limit)
{
	const uint64_t xfsz = UINT64_C(1) << (SIGXFSZ - 1);
	struct sys_rlimit wide = { limit->max, limit->max };
	uint64_t saved, pending = 0;
	bool raised;
	int r;

	signals_block(&saved);
	(void)sys_sigpending(&pending);
	raised = limit->max > limit->cur &&
		 sys_prlimit(RLIMIT_FSIZE, &wide, NULL) == 0;
	r = grow(fd, from, size, allocate);

	/* The signal is ours alone: raised for this thread while blocked. One
	 * that was pending before is the program's. */
	if (r == -EFBIG && !(pending & xfsz))
		(void)sys_sigtimedwait(&xfsz, 0, 0);
	if (raised)
		(void)sys_prlimit(RLIMIT_FSIZE, limit, NULL);
	signals_restore(&saved);
	return r;
}

static int with_limit(int fd, uint64_t from, uint64_t size, bool allocate)
{
	struct sys_rlimit limit = { 0, 0 };

	/* A sandbox may not tell: then there may be any limit. */
	if (sys_prlimit(RLIMIT_FSIZE, NULL, &limit) < 0 ||
	    limit.cur < from + size)
		return grow_past(fd, from, size, allocate, &limit);
	return grow(fd, from, size, allocate);
}

int fsize_truncate(int fd, uint64_t size)
{
	return with_limit(fd, 0, size, false);
}

int fsize_allocate(int fd, uint64_t from, uint64_t length)
{
	int r;

	do
		r = with_limit(fd, from, length, true);
	while (r == -EINTR);
	return r;
}
