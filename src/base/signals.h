/* SPDX-License-Identifier: MIT */
/*
 * Blocked signals around work that must not be re-entered.
 *
 * All signals, also libc's internal ones, so that neither a handler nor an
 * asynchronous thread cancellation can interrupt a critical section.
 */
#ifndef USHM_BASE_SIGNALS_H
#define USHM_BASE_SIGNALS_H

#include <stdint.h>

void signals_block(uint64_t *ret_saved);
void signals_restore(const uint64_t *saved);

/*
 * For a long wait between the two, where nothing is half done: let those
 * pending signals act that the caller had not blocked and that run no handler.
 * So a process that waits for ever can be ended, or stopped, as ever.
 */
void signals_obey(const uint64_t *saved);

#endif
