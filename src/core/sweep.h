/* SPDX-License-Identifier: MIT */
/*
 * The dead are swept, and what is doomed is destroyed.
 *
 * All but sweep_wanted() and sweep_segment(): between space_enter_quietly() or
 * space_enter() and space_leave(), without the lock.
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

#endif
