/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_LIBRARY_H
#define USHM_TOOL_LIBRARY_H

#include <limits.h>

/* For segments, and in front of it the one for mappings of files. */
#define LIBRARY_PRELOAD "libushm-preload.so"
#define LIBRARY_FILEMAP "libushm-filemap.so"

struct library {
	char path[PATH_MAX];	/* absolute */
	char preload[PATH_MAX]; /* what goes into LD_PRELOAD for it */
};

/*
 * Find the library 'name': beside this program, in the lib directory that
 * belongs to it, or where it was configured to be installed; that of a
 * 'variant' lies in the directory of that name beside it. 'preload' leads
 * programs of other variants to theirs where it can: doc/abi.md.
 *
 * Returns 0; -ENOENT, then 'path' is where the variant is missing, or "" if
 * there is not even the main one.
 */
int library_find(const char *name, const char *variant, struct library *ret);

/* Can LD_PRELOAD hold this path? Returns 0 or -EINVAL. */
int library_check_path(const char *path);

/*
 * Put 'preload' in front of $LD_PRELOAD, unless it is in there already.
 * Returns 0 or -ENOMEM.
 */
int library_preload(const char *preload);

#endif
