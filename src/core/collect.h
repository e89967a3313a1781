/* SPDX-License-Identifier: MIT */
/*
 * What nobody can use any more, removed.
 */
#ifndef USHM_CORE_COLLECT_H
#define USHM_CORE_COLLECT_H

#include "core/finding.h"
#include "core/space.h"

#define COLLECT_DRY_RUN 1u

/*
 * Remove from the namespace in the directory 'path' what nobody can use any
 * more; with DRY_RUN only tell it. Never a segment that is LIVE and was not
 * removed. Returns how many things could not be removed, or -errno and a
 * sentence.
 */
int collect_garbage(const char *path, unsigned flags, finding_report *report,
		    void *arg, struct text *why);

#endif
