/* SPDX-License-Identifier: MIT */
/* The two files of an object: where they are, and whom to believe. */
#ifndef USHM_BACKING_OBJECT_FILES_H
#define USHM_BACKING_OBJECT_FILES_H

#include "backing/object.h"

/* A name in the directory of objects. */
struct object_name {
	char path[80];
};

void object_name(const struct sys_identity *id, bool ctl,
		 struct object_name *ret);

/*
 * Open or, with 'create', make one of them for 'file'. Nothing is opened that
 * somebody without a right to the file could have made. *ret_share: open for
 * writing too. -ENOENT, -EACCES, -ELOOP, ...
 */
int object_file_open(const struct object_name *name,
		     const struct sys_stat *file, bool create, bool *ret_share);

/*
 * Call 'each' with the device and the inode of every file that has an object
 * here, anybody's, until it returns non-zero, and return that; or 0, or -errno.
 */
int object_each(int (*each)(void *arg, const struct sys_identity *id),
		void *arg);

/* Under the object's lock, by its last user. 0 or -errno. */
int object_remove_names(const struct object *o);

/* Is the name still that of 'fd'? */
bool object_file_is(const struct object_name *name, int fd);

#endif
