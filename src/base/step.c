/* SPDX-License-Identifier: MIT */
/* The hooks of a build with USHM_STEPS; otherwise empty. */
#include "base/step.h"

#ifdef USHM_STEPS
void (*ushm_step_hook)(const char *name);
long (*ushm_call_hook)(long n, long a, long b);
#else
typedef int step_is_not_built;
#endif
