/* SPDX-License-Identifier: MIT */
/*
 * The contents of durable segments: from memory to disk and back.
 */
#ifndef USHM_CORE_DURABLE_SYNC_H
#define USHM_CORE_DURABLE_SYNC_H

#include "core/space.h"

/*
 * Make the contents of segment 'id' on disk those of the open file 'from', of
 * 'size' bytes, all or nothing. What is written there meanwhile comes along or
 * not. 0 or -errno.
 */
int durable_copy(int disk, int id, int from, uint64_t size,
		 const uint64_t *signals);

/* Wait until nobody syncs the segment, and nobody will: a descriptor, or
 * -errno; -ENOENT when there are no contents. */
int durable_data_lock(int disk, int id, const uint64_t *signals);
void durable_data_unlock(int data);

/*
 * The reverse, into a file of zeros: finishes first what a sync had begun.
 * -ENOENT, -EPROTO: there are no contents of this size.
 */
int durable_fill(int disk, int id, int to, uint64_t size);

/*
 * Sync a segment that is LIVE and was not removed. Within enter and leave,
 * without the lock. 0, -EINVAL, -EIDRM, or what the file system said.
 */
int durable_sync_index(struct space *sp, uint32_t index, uint32_t seq);

/* The same by id. Enters by itself. Permissions do not matter: nobody sees
 * more or less by it. */
int durable_sync(struct space *sp, int id);

/* Sync what nobody is attached to any more. After each change. */
void durable_tidy(struct space *sp);

/*
 * This process ends: sync what only such processes have attached as end too.
 * 'index' is of a segment that this one has.
 */
void durable_end(struct space *sp, uint32_t index);

/* Finish in its data file what a commit that was cut off had begun. */
int durable_replay(int disk, int id, int data);

#endif
