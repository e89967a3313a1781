/* SPDX-License-Identifier: MIT */
/*
 * What the programs on databases store: record N of writer NAME has a key and
 * bytes that follow from both.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define RECORD_BYTES 300
#define ALL	     "all" /* the counter of all writers */

struct record {
	char key[100];
	char bytes[RECORD_BYTES];
};

static inline void record_fill(struct record *r, const char *name, uint64_t n)
{
	snprintf(r->key, sizeof(r->key), "%.64s.%llu", name,
		 (unsigned long long)n);
	for (unsigned i = 0; i < RECORD_BYTES; i++)
		r->bytes[i] = (char)(name[i % strlen(name)] + n * 7 + i);
}

/* Is it the key of a writer's own counter? */
static inline int record_is_counter(const char *key)
{
	return !strchr(key, '.') && strcmp(key, ALL) != 0;
}

#endif
