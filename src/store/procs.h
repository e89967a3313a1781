/* SPDX-License-Identifier: MIT */
/*
 * Process slots: one for each process that changes the namespace.
 */
#ifndef USHM_STORE_PROCS_H
#define USHM_STORE_PROCS_H

#include "store/life.h"
#include "store/registry.h"

/*
 * Claim a slot for this process and lock its life word. Takes no lock.
 * Returns 0, -EAGAIN when the array must grow first, or another error.
 */
int procs_claim(struct registry *r, const struct life_self *self,
		uint32_t *ret_slot);

/* A slot reserved for a child, and what tells this fork from others. */
struct procs_child {
	uint32_t slot, token;
};

/*
 * Reserve a slot for the child that thread 'tid' of process 'parent' is about
 * to fork. Returns 0 or -EAGAIN as above.
 */
int procs_reserve(struct registry *r, uint32_t parent, uint32_t tid,
		  struct procs_child *ret);

/* In the child: make the reserved slot ours. 0, or -ESRCH when it is not. */
int procs_be_born(struct registry *r, const struct life_self *self,
		  const struct procs_child *child);

/* Is there a slot to be had? */
bool procs_room(const struct registry *r);

/*
 * In the parent, after fork(): the child is process 'pid', or 0 when that is
 * not known here. From now on it is a child that must be found by itself.
 */
void procs_forked(struct registry *r, const struct procs_child *child, int pid);

/*
 * Its owner was found dead when its claim was 'claim'. Look again, and see to
 * it that nobody can become its owner any more. False if somebody has.
 */
bool procs_condemn(struct registry *r, uint32_t slot, uint64_t claim);

/* Give a slot back. It must have no attachments any more. */
void procs_free(struct registry *r, uint32_t slot);

/*
 * The first slot at or after 'from' that looks dead, and its claim; false if
 * there is none among the next 'count' slots.
 */
bool procs_suspect(const struct registry *r, uint32_t from, uint32_t count,
		   uint32_t *ret_slot, uint64_t *ret_claim);

/* Does this one slot look dead? */
bool procs_is_suspect(const struct registry *r, uint32_t slot,
		      uint64_t *ret_claim);

#endif
