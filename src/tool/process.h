/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_PROCESS_H
#define USHM_TOOL_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc tells of a process. */
struct process {
	char state;	      /* R S D T t Z X ... */
	uint64_t start_ticks; /* clock ticks after boot: tells pids apart */
	int64_t start;	      /* the same in seconds of the Epoch; 0: unknown */
	uid_t uid;
};

/* Returns 0, -ESRCH, or a negative errno when /proc does not answer. */
int process_read(pid_t pid, struct process *ret);

/*
 * Is the process that was 'pid' and started at 'start_ticks' still there?
 * A zombie is not. Without an answer from /proc the pid alone decides.
 */
bool process_alive(pid_t pid, uint64_t start_ticks);

/*
 * The command line with blanks between the arguments, or "[name]" for a
 * process without one. Returns NULL if there is no such process; free() it.
 */
char *process_command(pid_t pid);

#endif
