/* SPDX-License-Identifier: MIT */
/* What killed users of an object have left. With the object's lock. */
#ifndef USHM_BACKING_OBJECT_RECOVER_H
#define USHM_BACKING_OBJECT_RECOVER_H

#include "backing/object.h"

/* Finish what somebody died over. */
int recover_intent(struct object *o);

/*
 * Nobody else uses the object: write what dead ones left, if the file is still
 * as they knew it. How many pages were dropped because it is not.
 */
int recover_object(struct object *o);

#endif
