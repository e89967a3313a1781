/* SPDX-License-Identifier: MIT */
/*
 * What nobody can use any more, removed.
 */
#ifndef USHM_CORE_COLLECT_H
#define USHM_CORE_COLLECT_H

#include "core/finding.h"
#include "core/space.h"

#define COLLECT_DRY_RUN 1u
#define COLLECT_FORGET	2u /* also what has lost its file */

/*
 * Remove from the namespace in the directory 'path' what nobody can use any
 * more; with DRY_RUN only tell it. Never a segment that is LIVE and was not
 * removed. Returns how many things could not be removed, or -errno and a
 * sentence.
 */
int collect_garbage(const char *path, unsigned flags, finding_report *report,
		    void *arg, struct text *why);

/*
 * The same of what belongs to no namespace: the objects of mapped files that
 * killed programs of this user have left. What they stored is written.
 */
int collect_objects(unsigned flags, finding_report *report, void *arg);

/* And the working directories of durable namespaces that are gone. */
int collect_work(unsigned flags, finding_report *report, void *arg);

#endif
