/* SPDX-License-Identifier: MIT */
/*
 * The pieces of this process's attachments.
 *
 * All of these: within enter and leave, or with 'local' held; not with the
 * registry's lock.
 */
#ifndef USHM_CORE_PIECES_H
#define USHM_CORE_PIECES_H

#include <sys/shm.h>

#include "core/space.h"

/*
 * Bits of a record's flags, beside SHM_RDONLY and SHM_EXEC: what the kernel
 * keeps for a VMA, so that we know which call splits it.
 */
#define PIECE_PROT     0007u /* PROT_READ, PROT_WRITE, PROT_EXEC */
#define PIECE_LOCKED   0010u /* mlock() */
#define PIECE_DONTFORK 0020u /* and so on: madvise() */
#define PIECE_DONTDUMP 0040u
#define PIECE_SEQ      0100u
#define PIECE_RANDOM   0200u
#define PIECE_HUGE     0400u
#define PIECE_NOHUGE   01000u
#define PIECE_ATTACHED (uint32_t)(SHM_RDONLY | SHM_EXEC)

struct piece_change {
	uint32_t link; /* record + 1; NO_INDEX: a new one */
	uint32_t segment;
	struct ledger_piece piece; /* length 0: remove it */
};

/* Pieces lie in this range from now on: pieces_touch() is quick. */
void pieces_include(struct space *sp, uintptr_t from, uintptr_t to);
bool pieces_touch(const struct space *sp, uintptr_t addr, size_t length);

/* The next record of ours after 'link' that touches the range; or NO_INDEX. */
uint32_t pieces_next(const struct space *sp, uint32_t link, uint64_t from,
		     uint64_t to);

/*
 * Before a call that may make pieces of pieces: have records for them, so that
 * none is missing afterwards. 0 or -ENOMEM.
 */
#define PIECES_NEW 4u /* a move cuts a piece in three, its target in two */
int pieces_prepare(struct space *sp, uint32_t count);

/* Does an end of the range lie within a piece? */
bool pieces_cut(const struct space *sp, uint64_t from, uint64_t to);

/* 0 or -ENOMEM: no record to be had. */
int pieces_add(struct space *sp, uint32_t segment,
	       const struct ledger_piece *piece);
int pieces_change(struct space *sp, const struct piece_change *c);

/* The range is not mapped any more, but for the record 'keep' (or NO_INDEX). */
void pieces_unmap(struct space *sp, uint64_t from, uint64_t to, uint32_t keep);

/* The range has got other properties. */
void pieces_mark(struct space *sp, uint64_t from, uint64_t to, uint32_t mask,
		 uint32_t value);

#endif
