/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing.
 *
 * Words go to four lanes in turn, so that four multiplications are under way
 * at once. Each turn can be undone, knowing the word: a lane that differs once
 * differs for ever, unless a later word differs in just the way that hides it.
 */
#include "base/checksum.h"

#include <string.h>

#define PRIME \
	0x9e3779b97f4a7c15u /* 2^64 by the golden ratio: odd, no pattern */
#define BLOCK sizeof(((struct checksum *)0)->rest)

static uint64_t mix(uint64_t lane, uint64_t word)
{
	lane ^= word;
	lane = lane << 29 | lane >> 35;
	return lane * PRIME;
}

static void add_blocks(struct checksum *c, const unsigned char *p, size_t n)
{
	uint64_t a = c->lane[0], b = c->lane[1], d = c->lane[2], e = c->lane[3],
		 word[CHECKSUM_LANES];

	for (; n--; p += BLOCK) {
		memcpy(word, p, BLOCK);
		a = mix(a, word[0]);
		b = mix(b, word[1]);
		d = mix(d, word[2]);
		e = mix(e, word[3]);
	}
	c->lane[0] = a;
	c->lane[1] = b;
	c->lane[2] = d;
	c->lane[3] = e;
}

void checksum_begin(struct checksum *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < CHECKSUM_LANES; i++)
		c->lane[i] = mix(seed + 1, i + 1);
}

void checksum_add(struct checksum *c, const void *data, size_t length)
{
	const unsigned char *p = data;
	size_t have = (size_t)(c->length % BLOCK), take;

	c->length += length;
	if (have) {
		take = BLOCK - have < length ? BLOCK - have : length;
		memcpy(c->rest + have, p, take);
		if (have + take < BLOCK)
			return;
		add_blocks(c, c->rest, 1);
		p += take;
		length -= take;
	}
	add_blocks(c, p, length / BLOCK);
	p += length / BLOCK * BLOCK;
	memcpy(c->rest, p, length % BLOCK);
}

uint64_t checksum_end(struct checksum *c)
{
	size_t have = (size_t)(c->length % BLOCK);
	uint64_t sum = c->length;

	/* The length tells zeros that were there from these. */
	memset(c->rest + have, 0, BLOCK - have);
	add_blocks(c, c->rest, 1);
	for (unsigned i = 0; i < CHECKSUM_LANES; i++)
		sum = mix(sum, c->lane[i]);
	sum ^= sum >> 32;
	sum *= PRIME;
	return sum ^ sum >> 29;
}

uint64_t checksum_of(const void *data, size_t length, uint64_t seed)
{
	struct checksum c;

	checksum_begin(&c, seed);
	checksum_add(&c, data, length);
	return checksum_end(&c);
}
