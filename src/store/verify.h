/* SPDX-License-Identifier: MIT */
/*
 * Is a registry as it should be?
 */
#ifndef USHM_STORE_VERIFY_H
#define USHM_STORE_VERIFY_H

#include "store/registry.h"

/*
 * Check every invariant that the files of store/ state, without changing
 * anything. The caller holds the lock, or knows that nobody else is there.
 * Returns the number of things that are wrong; 'ret_why' names the first.
 */
int verify_registry(const struct registry *r, struct text *ret_why);

#endif
