/* SPDX-License-Identifier: MIT */
/* Owns nothing: the mask belongs to the calling thread. */
#include "base/signals.h"
#include "base/sys.h"

/* No thread's mask: SIGKILL cannot be in one. A sandbox forbade the call. */
#define UNKNOWN (~(uint64_t)0)

void signals_block(uint64_t *ret_saved)
{
	static const uint64_t all = ~(uint64_t)0;

	if (sys_sigmask(SIG_SETMASK, &all, ret_saved) < 0)
		*ret_saved = UNKNOWN;
}

void signals_restore(const uint64_t *saved)
{
	if (*saved != UNKNOWN)
		(void)sys_sigmask(SIG_SETMASK, saved, NULL);
}

void signals_obey(const uint64_t *saved)
{
	uint64_t pending, act = 0;

	if (sys_sigpending(&pending) < 0)
		return;
	pending &= ~*saved;
	for (int sig = 1; sig <= 64; sig++)
		if (pending >> (sig - 1) & 1 && sys_sighandler(sig) == 0)
			act |= UINT64_C(1) << (sig - 1);
	if (act) {
		(void)sys_sigmask(SIG_UNBLOCK, &act, NULL);
		(void)sys_sigmask(SIG_BLOCK, &act, NULL);
	}
}
