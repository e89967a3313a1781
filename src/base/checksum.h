/* SPDX-License-Identifier: MIT */
/*
 * A checksum of 64 bits against torn, stale and misplaced bytes on a disk.
 *
 * Not against an adversary. A change within eight bytes is always noticed,
 * anything else with a chance of 1 in 2^64 not to be. It is the same however
 * the bytes are cut into pieces, and depends on the machine's byte order. On a
 * machine of 2026: 24 GB/s from the cache, 10 GB/s from memory.
 */
#ifndef USHM_BASE_CHECKSUM_H
#define USHM_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_LANES 4

struct checksum {
	uint64_t lane[CHECKSUM_LANES];
	uint64_t length;
	unsigned char rest[CHECKSUM_LANES * sizeof(uint64_t)];
};

void checksum_begin(struct checksum *c, uint64_t seed);
void checksum_add(struct checksum *c, const void *data, size_t length);
uint64_t checksum_end(struct checksum *c);

/* Of one piece. */
uint64_t checksum_of(const void *data, size_t length, uint64_t seed);

#endif
