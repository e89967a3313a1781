/* SPDX-License-Identifier: MIT */
/*
 * Who is dead.
 */
#ifndef USHM_STORE_DEATH_H
#define USHM_STORE_DEATH_H

#include "store/life.h"

/*
 * True if the owner of slot 'slot' has certainly no mapping any more: only
 * then may anybody sweep the slot. Reads files: never call it with the lock
 * held. 'claim' is the slot's claim as it was when it looked suspicious.
 */
bool death_is_certain(const struct registry *r, const struct life_self *self,
		      uint32_t slot, uint64_t claim);

#endif
