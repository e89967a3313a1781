/* SPDX-License-Identifier: MIT */
/*
 * The limits and switches of a namespace: what Linux has in
 * /proc/sys/kernel/shm*.
 */
#ifndef USHM_CORE_LIMITS_H
#define USHM_CORE_LIMITS_H

#include "core/space.h"

enum limit {
	LIMIT_SHMMAX,
	LIMIT_SHMALL,
	LIMIT_SHMMNI,
	LIMIT_NEXT_ID, /* UINT64_MAX: none */
	LIMIT_RMID_FORCED,
	LIMITS,
};

uint64_t limits_get(const struct space *sp, enum limit which);

/* 0 or -EINVAL. Switching rmid_forced on destroys orphans at once. */
int limits_set(struct space *sp, enum limit which, uint64_t value);

#endif
