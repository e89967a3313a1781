/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of a process, read without stdio or malloc.
 */
#ifndef USHM_BASE_PROCFS_H
#define USHM_BASE_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCFS_TICKS 100 /* USER_HZ: the unit of times in /proc */

struct procfs_task {
	char state; /* 'R', 'S', ... 'Z', 'X' */
	int ppid;
	bool exiting;	     /* it will never run user code again */
	unsigned threads;    /* of its process, those that have ended but for
			      * their entry in /proc too */
	uint64_t start_time; /* since boot, in ticks */
};

/*
 * Thread 'tid' of process 'pid', or with 'tid' 0 the process itself. 0,
 * -ENOENT when there is none, or what open(2) and read(2) returned.
 */
int procfs_task(int pid, int tid, struct procfs_task *ret);

/*
 * Which pid namespace process 'pid' is in, as its inode, and its number there.
 * 0 or -errno.
 */
int procfs_pid_space(int pid, uint64_t *ret_ns, int *ret_inner);

/*
 * Call 'each' for every process, or every thread of process 'pid' if that is
 * not 0, until it returns non-zero, and return that; 0 at the end, or a
 * negative errno.
 */
int procfs_each(int pid, int (*each)(void *arg, int number), void *arg);

/*
 * Call 'each' for every line of the maps of a thread, as above, without its
 * newline. 'pid' 0 is the calling process.
 */
int procfs_each_map(int pid, int tid,
		    int (*each)(void *arg, const char *line, const char *end),
		    void *arg);

/*
 * Let core files contain shared mappings of files, if they contain shared
 * anonymous memory: core(5). For this process and its children.
 */
void procfs_dump_shared_files(void);

#endif
