/* SPDX-License-Identifier: MIT */
/*
 * The directory that a namespace is in.
 */
#ifndef USHM_CORE_DIRECTORY_H
#define USHM_CORE_DIRECTORY_H

#include "base/sys.h"
#include "store/registry.h"

struct directory {
	char path[PATH_ROOM]; /* absolute */
	uint64_t dev, ino;
	bool exposed; /* others may put another directory in its place: then
		       * working in it takes a free descriptor, and /proc */
};

/* 'path', made absolute. 0 or -errno. */
int directory_absolute(const char *path, char *buf, size_t size);

/*
 * A descriptor of the directory, if it can be trusted; made if it is to be.
 * Or -errno and a sentence.
 */
int directory_open(const char *path, bool create, struct sys_stat *ret,
		   bool *ret_made, struct text *why);

/* Remember the directory that was opened. */
void directory_fill(struct directory *d, const char *path,
		    const struct sys_stat *st);

/* Is it this one? */
bool directory_is(const struct directory *d, const struct sys_stat *st);

/* Does its path still lead to it? Not so after chroot(2). */
bool directory_stands(const struct directory *d);

/*
 * A file in it by its path, good until released: one of that name, or that of
 * a segment. -ENAMETOOLONG; -ESTALE if the directory is another one now, or
 * what open(2) returned.
 */
struct directory_file {
	char path[PATH_ROOM];
	int dir; /* held open for it, or -1 */
};

int directory_name_hold(const struct directory *d, const char *name,
			struct directory_file *ret);
int directory_file_hold(const struct directory *d, const struct registry *r,
			uint32_t index, uint32_t seq,
			struct directory_file *ret);
void directory_file_release(const struct directory_file *f);

#endif
