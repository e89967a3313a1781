/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the engine that lead to a program's files.
 *
 * To close any descriptor of a file drops all POSIX locks that the process has
 * on it. So ours are closed only while there is no lock on the file; others
 * linger, to be used again or closed later. The caller serialises.
 */
#ifndef USHM_BACKING_LINGER_H
#define USHM_BACKING_LINGER_H

#include "base/sys.h"

/*
 * A description of our own of the file that 'fd' leads to, with a number that
 * programs do not use. 'flags': O_RDWR or O_RDONLY.
 */
int linger_open(int fd, const struct sys_identity *id, int flags);

/* Give it up. */
void linger_close(int fd, const struct sys_identity *id);

bool linger_any(void);

/* Close what can be closed by now. */
void linger_retry(void);

/* In a forked child, which has no such locks: close all. */
void linger_inherit(void);

/* The lowest one at or above 'fd', or -1. */
int linger_next(int fd);

/* The number is wanted for something else. */
void linger_vacate(int fd);

/* Any descriptor of the engine's to a number out of the way. Closes 'fd'. */
int linger_raise(int fd);

/* A new description of what 'fd' leads to. */
int linger_reopen(int fd, int flags);

#endif
