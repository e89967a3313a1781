/* SPDX-License-Identifier: MIT */
/*
 * The records of durable segments follow the registry. All of these within
 * space_enter() and space_leave(), without the registry's lock.
 */
#ifndef USHM_CORE_DURABLE_CHANGE_H
#define USHM_CORE_DURABLE_CHANGE_H

#include "core/space.h"

/* 'sp->durable.dir' is the directory on disk, until as many releases. */
int durable_disk_hold(struct space *sp);
void durable_disk_release(struct space *sp);

/*
 * One process at a time changes records; what a killed one left half done is
 * done or undone. 0 or -errno.
 */
int durable_change_begin(struct space *sp);

/* 'done': what was noted is so in the registry too. Else the records are made
 * as the registry is. */
void durable_change_end(struct space *sp, bool done);

/* These three between begin and end. The registry follows. */

/* A segment that is RESERVED yet. */
int durable_record_new(struct space *sp, uint32_t index, uint32_t seq,
		       const struct segment_new *n);

struct durable_owner {
	uint32_t uid, gid, mode;
	int64_t ctime;
};

/* IPC_SET; with NULL, IPC_RMID. 's' is as it is in the registry. */
int durable_record_set(struct space *sp, uint32_t index,
		       const struct layout_segment *s,
		       const struct durable_owner *to);

/* The contents have been synced just now. Begins and ends itself. */
int durable_note_sync(struct space *sp, uint32_t index, uint32_t seq);

/* The segment is DOOMED: nothing of it stays on disk. */
int durable_destroy(struct space *sp, uint32_t index, uint32_t seq);

/* The limits as the registry has them. */
int durable_keep_limits(struct space *sp);

/* What is wrong with a segment's files on disk. */
enum durable_fault {
	DURABLE_FINE,
	DURABLE_GONE, /* the segment is */
	DURABLE_RECORD_MISSING,
	DURABLE_RECORD_DAMAGED,
	DURABLE_RECORD_DIFFERS,
	DURABLE_DATA_MISSING,
	DURABLE_DATA_SIZE,
};

/* 'mend': and make them what the registry and the memory say; then *ret is what
 * came of it. Enters by itself. */
enum durable_fault durable_examine(struct space *sp, uint32_t index,
				   uint32_t seq, bool mend, int *ret);

/* The record of a segment as it is on disk. */
int durable_record_read(struct space *sp, int id, struct record_segment *ret);

#endif
