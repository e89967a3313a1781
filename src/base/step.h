/* SPDX-License-Identifier: MIT */
/*
 * Named points between two effects, where a crash test may kill the process.
 *
 * Built with USHM_STEPS, step() calls the test's hook; otherwise it is
 * nothing at all.
 */
#ifndef USHM_BASE_STEP_H
#define USHM_BASE_STEP_H

#ifdef USHM_STEPS
extern void (*ushm_step_hook)(const char *name);
#define step(name)                            \
	do {                                  \
		if (ushm_step_hook)           \
			ushm_step_hook(name); \
	} while (0)
#else
#define step(name) ((void)0)
#endif

#endif
