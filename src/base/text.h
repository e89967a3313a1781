/* SPDX-License-Identifier: MIT */
/*
 * Bounded text without stdio: what a guest in a signal handler may use.
 *
 * A text never overflows; once it did not fit, 'full' stays set and the text
 * is still terminated.
 */
#ifndef USHM_BASE_TEXT_H
#define USHM_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_ROOM 4096 /* bytes for a path, with its terminator */

struct text {
	char *at;
	size_t size, used;
	bool full;
};

void text_init(struct text *t, char *buf, size_t size);
void text_str(struct text *t, const char *s);
void text_cut(struct text *t, size_t used); /* back to that length */
void text_bytes(struct text *t, const char *s, size_t n);
void text_uint(struct text *t, uint64_t value, unsigned base, int width,
	       char pad);
void text_int(struct text *t, int64_t value, int width);

/* 'words', with each % as the next of the numbers and # as the same in
 * hexadecimal. */
void text_words(struct text *t, const char *words, const uint64_t *numbers);

/*
 * Parse an unsigned number at *s, at most 'end'; false if there is none, or
 * one of more than 64 bits.
 */
bool text_parse(const char **s, const char *end, unsigned base,
		uint64_t *ret_value);

#endif
