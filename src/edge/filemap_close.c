/* SPDX-License-Identifier: MIT */
/*
 * Closing descriptors, but not those of the engine: mappings and the program's
 * POSIX locks hang on them. Owns nothing.
 *
 * To the program they are not there. What it puts in the place of one goes
 * there, and ours moves.
 */
#include <limits.h>
#include <unistd.h>

#include "base/sys.h"
#include "edge/filemap.h"

typedef int close_fn(int fd);
typedef int dup2_fn(int fd, int to);
typedef int dup3_fn(int fd, int to, int flags);

close_fn fm_close EXPORT(close);
dup2_fn fm_dup2 EXPORT(dup2);
dup3_fn fm_dup3 EXPORT(dup3);
NEXT(close_fn, close)
NEXT(dup2_fn, dup2)
NEXT(dup3_fn, dup3)

static bool is_ours(int fd)
{
	return mapping_next_descriptor(fd) == fd;
}

int fm_close(int fd)
{
	int r;

	if (fd >= 0 && is_ours(fd))
		return (int)filemap_result(-EBADF);
	r = real_close()(fd);
	mapping_after_close();
	return r;
}

int fm_dup2(int fd, int to)
{
	int r;

	if (to >= 0 && fd != to && is_ours(to))
		mapping_vacate(to);
	r = real_dup2()(fd, to);
	mapping_after_close();
	return r;
}

int fm_dup3(int fd, int to, int flags)
{
	int r;

	if (to >= 0 && fd != to && is_ours(to))
		mapping_vacate(to);
	r = real_dup3()(fd, to, flags);
	mapping_after_close();
	return r;
}

#ifdef __GLIBC__
typedef int close_range_fn(unsigned first, unsigned last, int flags);
typedef void closefrom_fn(int first);

close_range_fn fm_close_range EXPORT(close_range);
closefrom_fn fm_closefrom EXPORT(closefrom);
NEXT(close_range_fn, close_range)
NEXT(closefrom_fn, closefrom)

/* The next one of ours from 'first' on, or one behind all numbers. */
static unsigned next_ours(unsigned first)
{
	int fd = first > INT_MAX ? -1 : mapping_next_descriptor((int)first);

	return fd < 0 ? UINT_MAX : (unsigned)fd;
}

/* In pieces between ours: an error in the first would be one in all. */
int fm_close_range(unsigned first, unsigned last, int flags)
{
	unsigned ours = next_ours(first);
	int r = 0;

	while (r == 0 && ours <= last && ours != UINT_MAX) {
		if (first < ours)
			r = real_close_range()(first, ours - 1, flags);
		first = ours + 1;
		ours = next_ours(first);
	}
	if (r == 0 && first <= last)
		r = real_close_range()(first, last, flags);
	mapping_after_close();
	return r;
}

void fm_closefrom(int first)
{
	int from = first < 0 ? 0 : first, ours;

	while ((ours = mapping_next_descriptor(from)) >= 0) {
		for (; from < ours; from++)
			(void)sys_close(from);
		from = ours + 1;
	}
	real_closefrom()(from);
	mapping_after_close();
}
#endif
