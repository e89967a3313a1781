/* SPDX-License-Identifier: MIT */
/* Owns nothing: writes into its caller's buffer. */
#include "base/text.h"

#include <string.h>

void text_init(struct text *t, char *buf, size_t size)
{
	*t = (struct text){ .at = buf, .size = size };
	if (size)
		buf[0] = '\0';
}

void text_bytes(struct text *t, const char *s, size_t n)
{
	if (t->full || n >= t->size - t->used) {
		t->full = true;
		return;
	}
	memcpy(t->at + t->used, s, n);
	t->used += n;
	t->at[t->used] = '\0';
}

void text_str(struct text *t, const char *s)
{
	text_bytes(t, s, strlen(s));
}

void text_cut(struct text *t, size_t used)
{
	if (used > t->used)
		return;
	t->used = used;
	t->at[used] = '\0';
	t->full = false;
}

void text_uint(struct text *t, uint64_t value, unsigned base, int width,
	       char pad)
{
	char digits[72];
	int n = sizeof(digits);

	do {
		digits[--n] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while ((int)sizeof(digits) - n < width && n > 0)
		digits[--n] = pad;
	text_bytes(t, digits + n, sizeof(digits) - (size_t)n);
}

void text_int(struct text *t, int64_t value, int width)
{
	char number[24];
	struct text sub;

	text_init(&sub, number, sizeof(number));
	if (value < 0)
		text_str(&sub, "-");
	text_uint(&sub, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, 0,
		  ' ');
	for (int n = (int)sub.used; n < width; n++)
		text_str(t, " ");
	text_str(t, number);
}

void text_words(struct text *t, const char *words, const uint64_t *numbers)
{
	for (; *words; words++) {
		if (*words == '%') {
			text_uint(t, *numbers++, 10, 0, ' ');
		} else if (*words == '#') {
			text_str(t, "0x");
			text_uint(t, *numbers++, 16, 0, ' ');
		} else {
			text_bytes(t, words, 1);
		}
	}
}

bool text_parse(const char **s, const char *end, unsigned base,
		uint64_t *ret_value)
{
	const char *p = *s;
	uint64_t value = 0;

	for (; p < end; p++) {
		unsigned digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a') + 10;
		else
			break;
		if (digit >= base)
			break;
		if (value > (UINT64_MAX - digit) / base)
			return false; /* more than 64 bits */
		value = value * base + digit;
	}
	if (p == *s)
		return false;
	*s = p;
	*ret_value = value;
	return true;
}
