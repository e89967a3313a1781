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

/*
 * With shm_rmid_forced, a segment that nobody is attached to goes with the
 * thread that made it. Finds those, at a price: only if the switch is on.
 * Within enter and leave, without the lock.
 */
void limits_sweep_orphans(struct space *sp);

static inline bool limits_forced(const struct space *sp)
{
	return load_relaxed(&sp->reg.h->rmid_forced) != 0;
}

/* Is this copy of a segment one of those? */
bool limits_orphaned(const struct space *sp, const struct layout_segment *s);

/* The switch is on, and an unattached segment could not be attached. */
void limits_attach_failed(struct space *sp, uint32_t index, uint32_t seq);

#endif
