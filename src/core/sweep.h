/* SPDX-License-Identifier: MIT */
/*
 * The dead are swept, and what is doomed is destroyed.
 *
 * All but sweep_wanted(), sweep_segment() and what only looks: between
 * space_enter_quietly() or space_enter() and space_leave(), without the lock.
 */
#ifndef USHM_CORE_SWEEP_H
#define USHM_CORE_SWEEP_H

#include "core/space.h"

/* The dead among the next few slots. */
void sweep_some(struct space *sp);

/* All of the dead, also such as were found alive only just. */
void sweep_all(struct space *sp);

/* At the price of one load each: does one of the next few slots look dead? */
bool sweep_wanted(struct space *sp);

/* The dead that are attached to segment slot 'index'. Enters if there are. */
void sweep_segment(struct space *sp, uint32_t index);

/* Remove the files of what this process has doomed, and free the slots. */
void sweep_doomed(struct space *sp);

/* --------------------------------------- orphans: shm_rmid_forced is on */

static inline bool sweep_forced(const struct space *sp)
{
	return load_relaxed(&sp->reg.h->rmid_forced) != 0;
}

/*
 * A segment that nobody is attached to goes with the thread that made it.
 * Finds those, at a price: only if the switch is on.
 */
void sweep_orphans(struct space *sp);

/* Is this copy of a segment one of those? */
bool sweep_is_orphan(const struct space *sp, const struct layout_segment *s);

/* If the switch is on: an unattached segment could not be attached. */
void sweep_unattachable(struct space *sp, uint32_t index, uint32_t seq);

#endif
