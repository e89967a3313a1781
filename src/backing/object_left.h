/* SPDX-License-Identifier: MIT */
/* Objects that nobody uses: what killed programs have left in memory. */
#ifndef USHM_BACKING_OBJECT_LEFT_H
#define USHM_BACKING_OBJECT_LEFT_H

#include "backing/object.h"

/* For whoever finds the object when all its users are dead. With its lock. */
void left_note_path(struct object *o);

struct object_left {
	struct sys_identity id; /* the file's */
	uint64_t newer;		/* pages that it does not have; 0: or that are
				 * not to be written to it */
	uint64_t bytes;		/* of memory */
	bool atomic;
	char path[sizeof(((struct object_header *)0)->path)]; /* as there */
};

/*
 * Look at the object of that device and inode. -EBUSY: it is in use. -EPERM: it
 * is another user's. -EPROTO: of another version of ushm. -ENOENT, ...
 */
int left_look(const struct sys_identity *of, struct object_left *ret);

/*
 * Remove it as it was found, with what is in it. -EBUSY: it is in use, or
 * something has come since.
 */
int left_remove(const struct object_left *l);

/*
 * The file, where it was: a descriptor with O_PATH. -ENOENT when it is not
 * there, or another one is.
 */
int left_find(const struct object_left *l);

#endif
