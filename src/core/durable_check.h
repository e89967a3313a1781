/* SPDX-License-Identifier: MIT */
/*
 * The directory on disk of a durable namespace, checked, repaired, cleaned.
 */
#ifndef USHM_CORE_DURABLE_CHECK_H
#define USHM_CORE_DURABLE_CHECK_H

#include "core/check_parts.h"

/*
 * Before the working directory is looked at. 0: the namespace is not durable,
 * or 'c->dir' is its working directory now; 1: that is as far as one can look.
 * 'c->disk' is the directory on disk, or -1.
 */
int check_durable_door(struct check *c, struct text *why);

/* After: does the disk say what the registry says? */
void check_durable(struct check *c);

/*
 * What is on disk and nothing needs, in an open namespace: 'each' is told, and
 * says whether to remove it. 0 or -errno.
 */
int durable_each_leftover(struct space *sp,
			  bool (*each)(void *arg, const char *name,
				       uint64_t bytes),
			  void *arg);

#endif
