/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: the word is the caller's. A process that dies takes it along.
 */
#include "base/latch.h"

#include "base/atomic.h"
#include "base/signals.h"
#include "base/sys.h"

void latch_take(uint32_t *word, const uint64_t *signals)
{
	uint32_t seen = 0;

	if (swap_if(word, &seen, 1u))
		return;
	while (exchange(word, 2u) != 0)
		if (sys_futex_wait(word, 2, 100000000) == -ETIMEDOUT)
			signals_obey(signals);
}

void latch_release(uint32_t *word)
{
	if (exchange(word, 0u) == 2)
		(void)sys_futex_wake(word, 1);
}
