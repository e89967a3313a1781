/* SPDX-License-Identifier: MIT */
/* What the drop-ins make of a negative errno. */
#ifndef USHM_EDGE_RESULT_H
#define USHM_EDGE_RESULT_H

#include <errno.h>

/* The namespace cannot be had: as if the kernel had no shared memory. */
static inline int unavailable(int r)
{
	return r == -EACCES || r == -ENOSPC || r == -ENOMEM ? r : -ENOSYS;
}

static inline int result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

#endif
