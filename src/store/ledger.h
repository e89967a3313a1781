/* SPDX-License-Identifier: MIT */
/*
 * Who is attached: nattch is a sum of records of living processes.
 *
 * "Locked" functions want the registry's lock and change things through the
 * undo log; their caller commits.
 */
#ifndef USHM_STORE_LEDGER_H
#define USHM_STORE_LEDGER_H

#include "store/lock.h"

/* ------------------------------------------------------ without the lock */

/*
 * Slots of processes that are attached to segment 'index' and look dead, up
 * to 'max' of them. Returns how many, or -EBUSY.
 */
int ledger_suspects(const struct registry *r, uint32_t index,
		    uint32_t *ret_slots, int max);

/* A copy of record 'index'. 0, -ENOENT if it is free, -EINVAL past the end. */
int ledger_read(const struct registry *r, uint32_t index,
		struct layout_attach *ret);

/* Where the chain of a start address in process 'proc' begins. */
uint32_t *ledger_addr_head(const struct registry *r, uint32_t proc,
			   uint64_t addr);

/* ---------------------------------------------------------------- locked */

/* What happens, when, and through whom: the fields that follow a change. */
struct ledger_event {
	int32_t pid; /* becomes lpid; 0 leaves the segment's fields alone */
	int64_t now; /* becomes atime or dtime */
};

struct ledger_piece {
	uint64_t addr, length, offset;
	uint32_t flags;
	uint64_t attach; /* 0: a new attach */
};

/*
 * Record a piece of segment 'segment' in process 'proc'. 0, or -EAGAIN when
 * the array must grow first.
 */
int ledger_add(struct registry *r, uint32_t proc, uint32_t segment,
	       const struct ledger_piece *piece, const struct ledger_event *e);

/*
 * Remove record 'index'. The segment is doomed, in the name of process slot
 * 'me', if it was removed before and this was its last attachment.
 */
void ledger_remove(struct registry *r, uint32_t index, uint32_t me,
		   const struct ledger_event *e);

/* The record now describes another range of the same attach, or has other
 * flags. */
void ledger_change(struct registry *r, uint32_t index,
		   const struct ledger_piece *piece);

/* The record of 'proc' that starts at 'addr' + 1, or 0. */
uint32_t ledger_find(const struct registry *r, uint32_t proc, uint64_t addr);

/* The first record of 'proc' + 1, or 0; and the one behind 'link'. */
uint32_t ledger_first(const struct registry *r, uint32_t proc);
uint32_t ledger_next(const struct registry *r, uint32_t proc, uint32_t link);

/*
 * Remove everything that the dead process of slot 'slot' had, and free the
 * slot. Looks again first: 'claim' is what it was when it was found dead.
 * Commits by itself, record by record.
 */
void ledger_sweep(struct registry *r, uint32_t slot, uint64_t claim,
		  uint32_t me, int64_t now);

#endif
