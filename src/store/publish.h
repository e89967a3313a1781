/* SPDX-License-Identifier: MIT */
/*
 * A rebuilt registry made everybody's.
 */
#ifndef USHM_STORE_PUBLISH_H
#define USHM_STORE_PUBLISH_H

#include "store/registry.h"

/*
 * Make 'r', whose lock the caller holds, the same as the copy that
 * rebuild_registry() made right. What others write without the lock stays
 * theirs.
 */
void publish_registry(struct registry *r, const struct registry *copy);

#endif
