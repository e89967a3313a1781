/* SPDX-License-Identifier: MIT */
/*
 * The files of /proc that speak of System V shared memory, as the namespace
 * has them.
 */
#ifndef USHM_EDGE_PROCFILE_H
#define USHM_EDGE_PROCFILE_H

#include <stdbool.h>

/* Which of them does open(2) mean by 'dir' and 'path'? Negative: none. */
int procfile_find(int dir, const char *path);

/*
 * Open it, as open(2) with 'flags' would. A descriptor, or -errno. What is
 * written to a limit counts with the next procfile_settle().
 */
int procfile_open(int which, int flags);

/*
 * Let what the program has written to limits take effect. Cheap when there is
 * nothing. Called wherever it could make a difference.
 */
void procfile_settle(void);

#endif
