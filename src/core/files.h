/* SPDX-License-Identifier: MIT */
/*
 * The files in a namespace's directory.
 */
#ifndef USHM_CORE_FILES_H
#define USHM_CORE_FILES_H

#include "core/space.h"

enum file_kind {
	FILE_REGISTRY,
	FILE_SEGMENT, /* seg.<uid>.<id> */
	FILE_GONE,    /* seg.<uid>.<id>.gone: about to be removed */
	FILE_NEW,     /* registry.<uid>.new-<tid> */
	FILE_DISK,    /* .disk: where a working directory's namespace is */
	FILE_PRIVATE, /* .private */
	FILE_ASIDE,   /* damaged.<uid>.<n> */
	FILE_POSIX,   /* posix.<uid>: the directory of core/posix.h */
	FILE_OTHER,
};

struct file {
	enum file_kind kind;
	const char *name;
	uint32_t number; /* segment id, tid, n */
};

/*
 * Call 'each' for every name in the directory until it returns non-zero, and
 * return that; 0 at the end, or -errno. It may remove the file.
 */
int files_each(int dir, uint32_t uid,
	       int (*each)(void *arg, int dir, const struct file *f),
	       void *arg);

/* Does no segment have this id, not even one that is being made or removed? */
bool files_orphaned(const struct space *sp, uint32_t id);

/*
 * Remove the file of a segment that there is not. 0, -EAGAIN when there is
 * one after all, or -errno.
 */
int files_remove_orphan(struct space *sp, int dir, const struct file *f);

/* Was the registry that is being built left by a maker that was killed? */
bool files_abandoned(int dir, const struct file *f);

/*
 * A new directory "damaged.<uid>.<n>" for what is moved away. Returns n and a
 * descriptor, or -errno.
 */
int files_make_aside(int dir, uint32_t uid, int *ret_dir);

/*
 * Move the registry and all segment files into a new directory
 * "damaged.<uid>.<n>". Returns n, or -errno.
 */
int files_set_aside(int dir, uint32_t uid);

/* Bytes that the file takes. */
uint64_t files_bytes(int dir, const char *name);

#endif
