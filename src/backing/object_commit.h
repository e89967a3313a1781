/* SPDX-License-Identifier: MIT */
/* All or nothing: atomic objects and the journal. With the object's lock. */
#ifndef USHM_BACKING_OBJECT_COMMIT_H
#define USHM_BACKING_OBJECT_COMMIT_H

#include "backing/object.h"

/* Something in that part may be newer. */
int commit_note(struct object *o, uint64_t from, uint64_t to);

/* What is newer in what was noted goes to the file and to the disk, as one. */
int commit_pages(struct object *o);

/* Finish a commit that was cut off. */
int commit_replay(struct object *o);

/* The same for a file that nobody has an object of, and what is written of it
 * reaches the disk. */
int commit_finish(int fd);

/* The last user goes: the journal is not needed any more. */
void commit_end(struct object *o);

#endif
