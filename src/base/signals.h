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

#endif
