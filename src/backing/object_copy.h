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

/*
 * Map a part of the control file, by a description of its own: a child's copy
 * of the mapping would keep alive the one that says "in use".
 */
void *copy_map_control(const struct object *o, uint64_t offset,
		       uint64_t length);

/* Map the object as far as 'size'. 0 or -ENOMEM. */
int copy_view(struct object *o, uint64_t size);

/* What was stored beyond the end is gone before the file can grow over it. */
void copy_clear_tail(struct object *o);

/*
 * Map as much as there is of it, whatever the file is like by now; to be looked
 * at alone. 0 or -errno.
 */
int copy_measure(struct object *o);

int copy_push(struct object *o, uint64_t from, uint64_t to);
int copy_pull(struct object *o, uint64_t from, uint64_t to);

/* Write what does not differ as well: the file may hold anything there. */
int copy_push_again(struct object *o, uint64_t from, uint64_t to);

/* Read a range of the file, and give it out page by page. */
typedef void copy_page(struct object *o, uint64_t at, const char *bytes,
		       uint64_t n);
int copy_read(struct object *o, uint64_t from, uint64_t to, copy_page *f);

/* How many bytes the page at 'at' has, if it is newer than the file; or 0. */
size_t copy_newer(const struct object *o, uint64_t at);

/* How many pages are newer than the file. */
int copy_dirty(struct object *o);

void copy_intend(struct object *o, enum object_intent what, uint64_t from,
		 uint64_t to);

#endif
