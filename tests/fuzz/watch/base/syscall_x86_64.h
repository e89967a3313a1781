/* SPDX-License-Identifier: MIT */
/*
 * Stands before src/base/syscall_x86_64.h in the include path: every system
 * call of the library goes through watch_call(). See watch.h.
 */
#ifndef USHM_TESTS_WATCH_SYSCALL_H
#define USHM_TESTS_WATCH_SYSCALL_H

#define sys_call6 sys_enter6
#define sys_call3 sys_enter3
#include_next "base/syscall_x86_64.h"
#undef sys_call6
#undef sys_call3
#define USHM_WATCHED

long watch_call(long n, long a, long b, long c, long d, long e, long f);

static inline long sys_call6(long n, long a, long b, long c, long d, long e,
			     long f)
{
	return watch_call(n, a, b, c, d, e, f);
}

static inline long sys_call3(long n, long a, long b, long c)
{
	return watch_call(n, a, b, c, 0, 0, 0);
}

#endif
