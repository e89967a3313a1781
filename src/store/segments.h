/* SPDX-License-Identifier: MIT */
/*
 * Segment slots: identifiers, keys, states.
 *
 * "Locked" functions want the registry's lock and change things through the
 * undo log; their caller commits.
 */
#ifndef USHM_STORE_SEGMENTS_H
#define USHM_STORE_SEGMENTS_H

#include <sys/ipc.h>

#include "store/lock.h"

/* ------------------------------------------------------ without the lock */

/*
 * A consistent copy of slot 'index'. 0, -EINVAL when there can be none, or
 * -EBUSY when it kept changing: then take the lock and look.
 */
int segments_read(const struct registry *r, uint32_t index,
		  struct layout_segment *ret);

/* The slot of 'key', which is not IPC_PRIVATE. 0, -ENOENT, or -EBUSY. */
int segments_find(const struct registry *r, int32_t key, uint32_t *ret_index);

/* The next index at or after 'from' that is in use; UINT32_MAX if none. */
uint32_t segments_next(const struct registry *r, uint32_t from);

/* Where the chain of 'key' begins. */
uint32_t *segments_key_head(const struct registry *r, int32_t key);

/* ---------------------------------------------------------------- locked */

/* The slot of 'key' + 1, or 0. */
uint32_t segments_find_locked(const struct registry *r, int32_t key);

/* By its count and by its list: one of them may be damaged. */
static inline bool segments_unattached(const struct layout_segment *s)
{
	return s->attaches == 0 && s->first_attach == NO_INDEX;
}

struct segment_reservation {
	uint32_t index, seq;
	uint32_t before_next, before_last, before_seq; /* the cursor */
};

/*
 * Reserve an index for a segment of 'pages' pages, as the kernel's cyclic
 * allocation would. 'owner' is the creator's process slot. Returns 0, -ENOSPC
 * at shmmni or shmall, or -EAGAIN when the array of segments must grow first.
 */
int segments_reserve(struct registry *r, uint32_t owner, uint64_t pages,
		     struct segment_reservation *ret);

/* It came to nothing: as if it had never been made. Its file is gone. */
void segments_unreserve(struct registry *r,
			const struct segment_reservation *res);

struct segment_new {
	int32_t key;
	uint32_t mode, uid, gid, flags;
	uint64_t size;
	int32_t cpid;
	uint32_t creator; /* its thread */
	uint64_t created; /* life_clock() */
	int64_t now;
};

/* Turn the reserved slot into a segment that everyone can find. */
void segments_publish(struct registry *r, uint32_t index,
		      const struct segment_new *n);

/*
 * Nobody finds the segment (or reservation) any more; process slot 'owner'
 * will destroy its file and then call segments_free().
 */
void segments_doom(struct registry *r, uint32_t index, uint32_t owner);

/* SHM_LOCK, SHM_UNLOCK: the mode bit, and the sum of locked pages. */
void segments_set_lock(struct registry *r, uint32_t index, bool lock);

/* The index is free for another segment. */
void segments_free(struct registry *r, uint32_t index);

/* IPC_RMID of a segment that is attached: the key is given up. */
void segments_forget_key(struct registry *r, uint32_t index);

/* Everything RESERVED or DOOMED of a dead owner becomes DOOMED and 'me's. */
void segments_inherit(struct registry *r, uint32_t dead, uint32_t me);

/* A DOOMED slot of 'owner' at or after 'from'; UINT32_MAX if none. */
uint32_t segments_next_doomed(const struct registry *r, uint32_t owner,
			      uint32_t from);

#endif
