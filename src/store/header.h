/* SPDX-License-Identifier: MIT */
/*
 * What a registry's header says of the registry itself.
 */
#ifndef USHM_STORE_HEADER_H
#define USHM_STORE_HEADER_H

#include "store/registry.h"

#define HEADER_CHUNK 16384u /* bytes made ready at a time, at least */

/* The capacities of a namespace that was made without options. */
#define HEADER_SEGMENTS 32768u
#define HEADER_PROCS	32768u
#define HEADER_ATTACHES 262144u

/* The whole geometry of a registry follows from its three capacities. */
struct geometry {
	struct layout_array segments, procs, attaches;
	struct layout_array key_heads, addr_heads, bitmap;
	uint64_t file_size;
	uint32_t seq_shift;
};

static inline uint64_t header_page_up(uint64_t n)
{
	return (n + LAYOUT_PAGE - 1) & ~(uint64_t)(LAYOUT_PAGE - 1);
}

/* False if there cannot be a registry of these capacities. */
bool header_geometry(const struct registry_shape *s, struct geometry *g);

/* A new header. */
void header_fill(struct layout_header *h, uint32_t uid,
		 const struct geometry *g, uint64_t features);

/* Of the running system, 'size' bytes; empty where /proc does not say. */
void header_boot_id(char *ret, size_t size);

/* Check a copy of the header against the file that it came from. */
int header_check(const struct layout_header *h, uint32_t uid,
		 uint64_t file_size, bool durable, struct geometry *ret,
		 struct text *why);

/* Is it of before the last reboot? True if both are known and they differ. */
bool header_other_boot(const struct layout_header *h);

/*
 * Restore what the header says of itself, if what is left of it leaves no
 * doubt about the rest. '*ret_blocks': the arrays' "ready" was lost, and all
 * of their blocks must be allocated. False, and nothing changed, if not.
 */
bool header_mend(struct layout_header *h, uint32_t uid, uint64_t file_size,
		 bool durable, bool *ret_blocks);

#endif
