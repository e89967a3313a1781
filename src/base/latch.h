/* SPDX-License-Identifier: MIT */
/*
 * A lock between the threads of this process: 0 free, 1 held, 2 held and
 * waited for. Taken with all signals blocked, so that no handler can come
 * between; 'signals' is the mask from before.
 */
#ifndef USHM_BASE_LATCH_H
#define USHM_BASE_LATCH_H

#include <stdint.h>

void latch_take(uint32_t *word, const uint64_t *signals);
void latch_release(uint32_t *word);

#endif
