/* SPDX-License-Identifier: MIT */
/*
 * A namespace checked, and repaired.
 */
#ifndef USHM_CORE_CHECK_H
#define USHM_CORE_CHECK_H

#include "core/finding.h"
#include "core/space.h"

/* Flags. */
#define CHECK_REPAIR	 1u
#define CHECK_START_OVER 2u /* with REPAIR: set aside what cannot be */

/* What it came to, added up; 0: nothing is wrong. */
#define CHECK_CORRECTED 1
#define CHECK_RESTART	2 /* corrected, but programs lost something by it */
#define CHECK_LEFT	4 /* something is wrong still */

/*
 * Check the namespace in the directory 'path'. Returns the sum of the above,
 * or -errno and a sentence when it could not be checked.
 */
int check_namespace(const char *path, unsigned flags, finding_report *report,
		    void *arg, struct text *why);

#endif
