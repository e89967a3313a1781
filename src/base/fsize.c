/* SPDX-License-Identifier: MIT */
/*
 * Owns the soft RLIMIT_FSIZE between two system calls. A kill in between
 * takes the process, and the limit, along.
 */
#include "base/fsize.h"

#include "base/signals.h"
#include "base/sys.h"

static int with_limit(int fd, uint64_t from, uint64_t size, bool allocate)
{
	const uint64_t xfsz = UINT64_C(1) << (SIGXFSZ - 1);
	struct sys_rlimit old, wide;
	bool raised = false;
	uint64_t saved;
	int r;

	signals_block(&saved);
	if (sys_prlimit(RLIMIT_FSIZE, NULL, &old) == 0 &&
	    old.cur < from + size && old.max > old.cur) {
		wide = (struct sys_rlimit){ old.max, old.max };
		raised = sys_prlimit(RLIMIT_FSIZE, &wide, NULL) == 0;
	}

	if (allocate)
		r = sys_fallocate(fd, 0, from, size);
	else
		r = sys_ftruncate(fd, size);

	/* The signal is ours alone: it was raised by this thread, for this
	 * thread, while it was blocked. */
	if (r == -EFBIG && !(saved & xfsz))
		(void)sys_sigtimedwait(&xfsz, 0, 0);
	if (raised)
		(void)sys_prlimit(RLIMIT_FSIZE, &old, NULL);
	signals_restore(&saved);
	return r;
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
