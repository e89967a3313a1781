/* SPDX-License-Identifier: MIT */
/* Who works on an object, and who uses it. */
#ifndef USHM_BACKING_OBJECT_USE_H
#define USHM_BACKING_OBJECT_USE_H

#include "backing/object.h"

/* The object's lock. */
int use_lock(struct object *o);
void use_unlock(struct object *o);

/* With the lock: be a user. *ret_first: nobody else is. */
int use_begin(const struct object *o, bool *ret_first);

/* With the lock: does nobody else use it? */
bool use_is_alone(const struct object *o);

void use_end(const struct object *o);

#endif
