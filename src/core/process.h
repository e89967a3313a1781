/* SPDX-License-Identifier: MIT */
/*
 * What becomes of attachments when a process forks and ends.
 */
#ifndef USHM_CORE_PROCESS_H
#define USHM_CORE_PROCESS_H

#include "core/space.h"

/* Register the fork handlers; once in a process. Called at the first open. */
void process_watch(void);

/*
 * Are we a child that no fork handler has seen (raw clone(2))? Then take over
 * what was inherited. Signals blocked, 'local' not held.
 */
void process_arrive(struct space *sp);

/*
 * Before a fork: can a child's attachments be recorded? 0 or -ENOMEM. Whoever
 * cannot fail the fork leaves it to the child to try once more.
 */
int process_room(void);

/*
 * Around a call that makes a child with a copy of our memory but runs no fork
 * handlers: _Fork(3), clone(2).
 */
void process_before_fork(void);
void process_after_fork(int pid);

/*
 * In the parent, when somebody knows how the fork() that just returned in
 * this thread ended: the child's pid, or a negative number for a failure.
 */
void process_forked(int pid);

/*
 * The process is about to end. Notes the time, and removes the files of
 * segments that will be destroyed by it, so that their memory goes with the
 * last mapping. Everything stays attached and counted until the real end.
 */
void process_exit(void);

#endif
