/* SPDX-License-Identifier: MIT */
/*
 * Is a registry as it should be?
 */
#ifndef USHM_STORE_VERIFY_H
#define USHM_STORE_VERIFY_H

#include <sys/shm.h>

#include "store/registry.h"

struct verify_finding {
	const char *code;   /* a stable short name */
	const char *text;   /* what is wrong */
	const char *remedy; /* what rebuild_registry() does about it */
};

/* What is called for each finding; may be NULL. */
typedef void verify_report(void *arg, const struct verify_finding *finding);

/* So many findings are told; the others are counted. */
#define VERIFY_TOLD 100u
#define VERIFY_TEXT 200 /* bytes of a text, at most */

/*
 * Check every invariant that the files of store/ state, without changing
 * anything. The caller holds the lock, or knows that nobody else is there.
 * Returns how many things are wrong. Takes time in proportion to the records
 * in use, whatever bytes it meets.
 */
uint64_t verify_registry(const struct registry *r, verify_report *report,
			 void *arg);

/* ---------------------------------------------- what rebuild asks as well */

/* Records that may be looked at, and those of them that are in use. */
struct verify_extent {
	uint32_t ready, used;
};

struct verify_extent verify_extent(const struct registry *r,
				   const struct layout_array *array,
				   uint32_t capacity);

/* The segment that a record can belong to, or NULL. */
struct layout_segment *verify_segment_of(const struct registry *r,
					 const struct layout_attach *a);

/* Can a process slot with this claim have attachments? */
static inline bool verify_owner(uint64_t claim)
{
	return claim_state(claim) != PROC_FREE &&
	       claim_state(claim) <= PROC_DYING;
}

/* A claim that no ushm writes. */
static inline bool verify_claim_bad(uint64_t claim)
{
	return claim_state(claim) > PROC_DYING ||
	       (claim_state(claim) == PROC_FREE && claim_pid(claim));
}

/* The bits that a mode can have. */
#define VERIFY_MODES (0777u | SHM_DEST | SHM_LOCKED)

/* Whole pages of 4096 bytes. */
static inline uint64_t verify_pages(uint64_t size)
{
	return (size >> 12) + ((size & (LAYOUT_PAGE - 1)) != 0);
}

#define VERIFY_MAX_SIZE (UINT64_C(1) << 62)

static inline bool verify_size_good(uint64_t size)
{
	return size && size <= VERIFY_MAX_SIZE;
}

/* Does the slot wait for its owner, and is there one? */
static inline bool verify_ownerless(const struct registry *r,
				    const struct layout_segment *s)
{
	const struct layout_proc *p;

	if (s->state != SEG_RESERVED && s->state != SEG_DOOMED)
		return false;
	p = registry_proc(r, s->owner - 1);
	return !p || !verify_owner(load_relaxed(&p->claim));
}

/*
 * Steps that looking for two segments with one key may take: keys whose
 * hashes are all the same are allowed, and make every search long.
 */
#define VERIFY_KEY_STEPS 4000000u

/* The first segment of the chain with this key + 1; takes from '*steps'. */
uint32_t verify_find_key(const struct registry *r, int32_t key,
			 uint32_t *steps);

#endif
