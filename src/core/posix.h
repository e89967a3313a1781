/* SPDX-License-Identifier: MIT */
/*
 * POSIX shared memory objects: what shm_open(3) makes and finds.
 *
 * 'name' is one component of a path: the caller has judged it.
 */
#ifndef USHM_CORE_POSIX_H
#define USHM_CORE_POSIX_H

#include "core/space.h"

/* A descriptor, or what open(2) of 'flags' and 'mode' returned. */
int posix_open(const struct space *sp, const char *name, int flags,
	       mode_t mode);

/* 0, or what unlink(2) returned. */
int posix_unlink(const struct space *sp, const char *name);

#endif
