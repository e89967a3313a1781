/* SPDX-License-Identifier: MIT */
/*
 * What moves between a file, its object's pages and the shadow. All of these
 * with the object's lock.
 */
#ifndef USHM_BACKING_OBJECT_COPY_H
#define USHM_BACKING_OBJECT_COPY_H

#include "backing/object.h"

/*
 * Make the object as long as the file: first of all after the lock. 'ask' the
 * file system for the size. -ENOMEM: there was no room for all of it.
 */
int copy_follow(struct object *o, bool ask);

/* Finish what somebody died over. */
int copy_settle(struct object *o);

/*
 * Map a part of the control file, by a description of its own: a child's copy
 * of the mapping would keep alive the one that says "in use".
 */
void *copy_map_control(const struct object *o, uint64_t offset,
		       uint64_t length);

/* Map the object as far as 'size'. 0 or -ENOMEM. */
int copy_view(struct object *o, uint64_t size);

/*
 * Map as much as there is of it, whatever the file is like by now; to be looked
 * at alone. 0 or -errno.
 */
int copy_measure(struct object *o);

int copy_push(struct object *o, uint64_t from, uint64_t to);
int copy_pull(struct object *o, uint64_t from, uint64_t to);

/*
 * Nobody else uses the object: write what dead ones left, if the file is still
 * as they knew it. How many pages were dropped because it is not.
 */
int copy_recover(struct object *o);

/* How many bytes the page at 'at' has, if it is newer than the file; or 0. */
size_t copy_newer(const struct object *o, uint64_t at);

/* How many pages are newer than the file. */
int copy_dirty(struct object *o);

void copy_intend(struct object *o, enum object_intent what, uint64_t from,
		 uint64_t to);

#endif
