/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_LIBRARY_H
#define USHM_TOOL_LIBRARY_H

#include <limits.h>

/*
 * The absolute path of libushm-preload.so: beside this program, in the lib
 * directory that belongs to it, or where it was configured to be installed.
 * Returns 0, or -ENOENT.
 */
int library_find(char ret_path[PATH_MAX]);

/* Can LD_PRELOAD hold this path? Returns 0 or -EINVAL. */
int library_check_path(const char *path);

/*
 * Put the library in front of $LD_PRELOAD, unless it is in there already.
 * Returns 0 or -ENOMEM.
 */
int library_preload(const char *path);

#endif
