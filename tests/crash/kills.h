/* SPDX-License-Identifier: MIT */
/*
 * Real kills at single instructions.
 *
 * An operation is run once, one instruction at a time, and each point is noted
 * at which something that outlives the process may have changed: after a system
 * call, and after an instruction that changed a byte of the memory that is
 * watched. Then it is run again and killed at one of them.
 */
#ifndef TESTS_CRASH_KILLS_H
#define TESTS_CRASH_KILLS_H

#include <stdbool.h>
#include <stddef.h>

/* A part of a file that processes map; it need not be there yet. */
struct kills_part {
	const char *path;
	size_t offset, length;
};

/* After that many system calls, and instructions after the last of them. */
struct kills_point {
	long calls, steps;
};

/*
 * The points of 'act', which calls kills_mark() where it begins and _exit()s or
 * returns. How many, which may be more than 'room', of which each is noted that
 * has room; -1 where no process can be stepped;
 * -2 if it died by itself.
 */
long kills_find(void (*act)(void), const struct kills_part *parts, size_t n,
		struct kills_point *ret, size_t room);

/* Run 'act' up to there and kill it. False: it came to its end before. */
bool kills_at(void (*act)(void), const struct kills_point *at);

/* In the process: from here on. */
void kills_mark(void);

#endif
