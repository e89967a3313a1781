/* SPDX-License-Identifier: MIT */
/*
 * Sizes and numbers: from the command line and for people.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tool/size.h"

static const char units[] = "KMGTPE";

const char *size_human(uint64_t bytes, char *buf, size_t len)
{
	uint64_t whole = bytes, tenths = 0;
	int unit = -1;

	/* In integers: the locale's decimal point has no say here. */
	while (whole >= 1024 && unit + 1 < (int)strlen(units)) {
		tenths = (whole % 1024 * 10 + 512) / 1024;
		whole /= 1024;
		if (tenths == 10) {
			whole++;
			tenths = 0;
		}
		unit++;
	}

	if (unit < 0)
		snprintf(buf, len, "%" PRIu64 "B", whole);
	else if (tenths == 0)
		snprintf(buf, len, "%" PRIu64 "%c", whole, units[unit]);
	else
		snprintf(buf, len, "%" PRIu64 ".%" PRIu64 "%c", whole, tenths,
			 units[unit]);

	return buf;
}

static int parse_digits(const char *text, int base, uint64_t *ret,
			const char **ret_end)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, base);
	if (errno == ERANGE)
		return -ERANGE;
	*ret_end = end;

	return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t base = 1024, bytes;
	const char *end, *unit;
	int r;

	r = parse_digits(text, strncasecmp(text, "0x", 2) == 0 ? 16 : 10,
			 &bytes, &end);
	if (r < 0)
		return r;

	if (*end && strcasecmp(end, "b") != 0) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit)
			return -EINVAL;
		if (strcasecmp(end + 1, "b") == 0)
			base = 1000;
		else if (end[1] && strcasecmp(end + 1, "ib") != 0)
			return -EINVAL;

		for (const char *u = units; u <= unit; u++)
			if (__builtin_mul_overflow(bytes, base, &bytes))
				return -ERANGE;
	}

	*ret_bytes = bytes;
	return 0;
}

int number_parse(const char *text, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t v;
	int r;

	r = parse_digits(text, 0, &v, &end);
	if (r < 0)
		return r;
	if (*end)
		return -EINVAL;
	if (v > max)
		return -ERANGE;

	*ret = v;
	return 0;
}

int key_parse(const char *text, int32_t *ret_key)
{
	int negative = *text == '-';
	uint64_t v;
	int r;

	r = number_parse(text + negative, negative ? 0x80000000u : UINT32_MAX,
			 &v);
	if (r < 0)
		return r;

	*ret_key = (int32_t)(uint32_t)(negative ? -v : v);
	return 0;
}
