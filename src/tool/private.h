/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_PRIVATE_H
#define USHM_TOOL_PRIVATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who keeps a private directory in use. */
enum private_role {
	PRIVATE_LAUNCHER,
	PRIVATE_GUARD,
	PRIVATE_COMMAND,
	PRIVATE_ROLES,
};

struct private_record {
	uint64_t pidns; /* the pid namespace in which the pids below count */
	struct {
		pid_t pid;	/* 0: not noted yet */
		uint64_t start; /* process.start_ticks */
	} holder[PRIVATE_ROLES];
};

/*
 * Make an empty directory of mode 0700 beside the default namespace's, and
 * note the calling process as its launcher. Returns 0 or a negative errno.
 */
int private_make(char ret_dir[PATH_MAX]);

/* Note the calling process in the directory's record. 0 or -errno. */
int private_note(const char *dir, enum private_role role);

/* Returns 0, or -ENOENT, -EPROTO, ... when there is no good record. */
int private_read(const char *dir, struct private_record *ret);

/*
 * Remove the directory with what lies in it; it must be ours. Symbolic links
 * are removed, not followed; directories inside make it fail, but for that of
 * POSIX shared memory objects. Returns 0, also when it was gone already, or a
 * negative errno.
 */
int private_remove(const char *dir);

/* A directory, the bytes in it, and 0 or a negative errno. */
typedef void private_told(void *arg, const char *path, uint64_t bytes, int r);

/*
 * Find the private directories of this user that nobody holds any more, and
 * with 'remove' remove them. 'told' is called for each; it may be NULL.
 */
void private_sweep(bool remove, private_told *told, void *arg);

#endif
