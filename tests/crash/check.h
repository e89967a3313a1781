/* SPDX-License-Identifier: MIT */
/*
 * Is a namespace in order, now that its dead have been swept?
 *
 * For a process that has the namespace open. Changes nothing but what
 * check_zeroed() attaches and detaches.
 */
#ifndef TESTS_CRASH_CHECK_H
#define TESTS_CRASH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "ushm.h"

struct check {
	const char *dir;
	bool leftover; /* registry.<uid>.new-<tid> of a killed opener may be
			* there */
	void (*fail)(const char *what, long a, long b);
};

/* One file of the right size for each segment, the registry, nothing else. */
void check_directory(const struct check *c, ushm_space *sp);

/* Every invariant of the registry holds. */
void check_registry(const struct check *c, ushm_space *sp);

/*
 * Nothing waits for anybody: nobody holds the lock, no segment is half made or
 * half gone, and 'living' processes beside this one have a slot.
 */
void check_settled(const struct check *c, ushm_space *sp, unsigned living);

/* The segment can be attached, and all of its 'size' bytes are zero. */
void check_zeroed(const struct check *c, ushm_space *sp, int id, size_t size);

#endif
