/* SPDX-License-Identifier: MIT */
/*
 * Compiled with _TIME_BITS=64. Where that changes time_t, this is
 * ushm_shmctl() of programs that are compiled so too; elsewhere it is nothing.
 */
#include <features.h>

#ifdef __USE_TIME_BITS64
#include "edge/control.c"
#else
typedef int time64_needs_nothing;
#endif
