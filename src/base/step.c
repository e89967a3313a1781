/* SPDX-License-Identifier: MIT */
/* The hook of a build with USHM_STEPS; otherwise empty. */
#include "base/step.h"

#ifdef USHM_STEPS
void (*ushm_step_hook)(const char *name);
#else
typedef int step_is_not_built;
#endif
