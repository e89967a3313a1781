/* SPDX-License-Identifier: MIT */
/*
 * Named points between two effects, where a crash test may kill the process,
 * and system calls that a failure test may have fail.
 *
 * Built with USHM_STEPS, these call the test's hooks; otherwise they are
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

/* Asked before system call 'n': 0, or the -errno that it returns instead. */
extern long (*ushm_call_hook)(long n, long a, long b);
#define step_call(n, a, b) (ushm_call_hook ? ushm_call_hook(n, a, b) : 0L)
#else
#define step(name)	   ((void)0)
#define step_call(n, a, b) 0L
#endif

#endif
