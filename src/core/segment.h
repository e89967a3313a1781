/* SPDX-License-Identifier: MIT */
/*
 * What the calls that name a segment mean: shmget(2) and shmctl(2).
 * All return 0 or -errno, in the kernel's order of checks.
 */
#ifndef USHM_CORE_SEGMENT_H
#define USHM_CORE_SEGMENT_H

#include <sys/types.h>

#include "core/space.h"

int segment_get(struct space *sp, int32_t key, uint64_t size, int flags,
		int *ret_id);

/* With permission to read; 'ret' is the raw slot. */
int segment_stat(struct space *sp, int id, struct layout_segment *ret);

/*
 * By index, whatever the sequence, as SHM_STAT does; 'check' read permission.
 */
int segment_stat_index(struct space *sp, uint32_t index, bool check,
		       struct layout_segment *ret, int *ret_id);

int segment_set(struct space *sp, int id, uint32_t uid, uint32_t gid,
		uint32_t mode);
int segment_remove(struct space *sp, int id);
int segment_lock(struct space *sp, int id, bool lock);

/* Bytes of the segment that are in memory. */
uint64_t segment_resident(struct space *sp, uint32_t index, uint32_t seq);

struct segment_totals {
	uint32_t used, max_index;
	uint64_t pages, resident; /* pages */
};

void segment_totals(struct space *sp, bool resident,
		    struct segment_totals *ret);

#endif
