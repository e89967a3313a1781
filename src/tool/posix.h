/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_POSIX_H
#define USHM_TOOL_POSIX_H

#include <ushm.h>

#include "tool/table.h"

#define POSIX_NCOLUMNS 11

extern const struct table_column posix_columns[POSIX_NCOLUMNS];

/* The columns of `ushm ls --posix`, and those of its --time. */
#define POSIX_COLUMNS	   "NAME,PERMS,OWNER,SIZE,RSS,MTIME"
#define POSIX_TIME_COLUMNS "NAME,OWNER,ATIME,MTIME,CTIME"

/*
 * Add a line for each POSIX shared memory object of the namespace, by name.
 * Returns 0 or a negative errno.
 */
int posix_add_lines(struct libscols_table *tb,
		    const struct table_selection *sel,
		    const struct table_style *style, const ushm_space *space);

/*
 * The object that is called so, with or without a slash in front: is it there,
 * and remove it. 0, -ENOENT, -EINVAL for what is no name, or another errno.
 */
int posix_find(const ushm_space *space, const char *name);
int posix_remove(const ushm_space *space, const char *name);

#endif
