/* SPDX-License-Identifier: MIT */
/* Owns nothing: the mask belongs to the calling thread. */
#include "base/signals.h"
#include "base/sys.h"

void signals_block(uint64_t *ret_saved)
{
	static const uint64_t all = ~(uint64_t)0;

	*ret_saved = 0;
	(void)sys_sigmask(SIG_SETMASK, &all, ret_saved);
}

void signals_restore(const uint64_t *saved)
{
	(void)sys_sigmask(SIG_SETMASK, saved, NULL);
}
