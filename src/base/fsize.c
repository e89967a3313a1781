/* SPDX-License-Identifier: MIT */
/*
 * Owns the soft RLIMIT_FSIZE between two system calls. A kill in between
 * takes the process, and the limit, along.
 */
#include "base/fsize.h"

#include "base/signals.h"
#include "base/sys.h"

struct growth {
	enum { TRUNCATE, ALLOCATE, RESERVE, WRITE, WRITE_AT } how;
	int fd;
	uint64_t from, size;
	const void *buf; /* WRITE; 'n' pieces with WRITE_AT */
	unsigned n;
};

static int grow(const struct growth *g)
{
	long n;

	switch (g->how) {
	case TRUNCATE:
		return sys_ftruncate(g->fd, g->size);
	case ALLOCATE:
		return sys_fallocate(g->fd, 0, g->from, g->size);
	case RESERVE:
		return sys_fallocate(g->fd, FALLOC_FL_KEEP_SIZE, g->from,
				     g->size);
	case WRITE_AT:
		return (int)sys_pwritev(g->fd, g->buf, g->n, g->from);
	default:
		n = sys_write(g->fd, g->buf, (size_t)g->size);
		if (n < 0)
			return (int)n;
		return (uint64_t)n == g->size ? 0 : -ENOSPC;
	}
}

/* The limit is in the way. */
static int grow_past(const struct growth *g, const struct sys_rlimit *limit)
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
	r = grow(g);

	/* The signal is ours alone: raised for this thread while blocked. One
	 * that was pending before is the program's. */
	if (r == -EFBIG && !(pending & xfsz))
		(void)sys_sigtimedwait(&xfsz, 0, 0);
	if (raised)
		(void)sys_prlimit(RLIMIT_FSIZE, limit, NULL);
	signals_restore(&saved);
	return r;
}

static int with_limit(const struct growth *g)
{
	struct sys_rlimit limit = { 0, 0 };

	/* A sandbox may not tell: then there may be any limit. */
	if (sys_prlimit(RLIMIT_FSIZE, NULL, &limit) < 0 ||
	    limit.cur < g->from + g->size)
		return grow_past(g, &limit);
	return grow(g);
}

int fsize_write(int fd, const void *buf, uint64_t size)
{
	struct growth g = { WRITE, fd, 0, size, buf };

	return with_limit(&g);
}

int fsize_pwritev(int fd, const struct iovec *iov, unsigned n, uint64_t offset,
		  uint64_t size)
{
	struct growth g = { WRITE_AT, fd, offset, size, iov, n };

	return with_limit(&g);
}

int fsize_truncate(int fd, uint64_t size)
{
	struct growth g = { TRUNCATE, fd, 0, size, NULL };

	return with_limit(&g);
}

static int allocate(const struct growth *g)
{
	int r;

	do
		r = with_limit(g);
	while (r == -EINTR);
	return r;
}

int fsize_allocate(int fd, uint64_t from, uint64_t length)
{
	struct growth g = { ALLOCATE, fd, from, length, NULL };

	return allocate(&g);
}

int fsize_reserve(int fd, uint64_t from, uint64_t length)
{
	struct growth g = { RESERVE, fd, from, length, NULL };

	return allocate(&g);
}
