/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_GUARD_H
#define USHM_TOOL_GUARD_H

/* Becomes the command; when it returns, that failed with this exit status. */
typedef int guard_start(void *arg);

/*
 * Run a command as a child and remove the private directory 'dir' at its end,
 * whatever the end was. The child sees the signal mask and dispositions that
 * the caller had, and shares its session, process group and terminal.
 *
 * Returns the exit status to end with. When a signal ended the command, the
 * caller is ended by the same one and this does not return.
 */
int guard_run(const char *dir, guard_start *start, void *arg);

#endif
