/* SPDX-License-Identifier: MIT */
/* Sizes, numbers and keys of the command line. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool/size.h"

static int failures;

#define EXPECT(ok, ...)                      \
	do {                                 \
		if (!(ok)) {                 \
			failures++;          \
			printf(__VA_ARGS__); \
			putchar('\n');       \
		}                            \
	} while (0)

static const struct {
	const char *text;
	uint64_t bytes;
	int r;
} sizes[] = {
	{ "0", 0, 0 },
	{ "1", 1, 0 },
	{ "1b", 1, 0 },
	{ "010", 10, 0 },
	{ "0x10", 16, 0 },
	{ "4k", 4096, 0 },
	{ "4KiB", 4096, 0 },
	{ "4kb", 4000, 0 },
	{ "2G", 2147483648, 0 },
	{ "1E", UINT64_C(1) << 60, 0 },
	{ "16E", 0, -ERANGE },
	{ "18446744073709551615", UINT64_MAX, 0 },
	{ "18446744073709551616", 0, -ERANGE },
	{ "", 0, -EINVAL },
	{ "K", 0, -EINVAL },
	{ "-1", 0, -EINVAL },
	{ " 1", 0, -EINVAL },
	{ "1 ", 0, -EINVAL },
	{ "1KK", 0, -EINVAL },
	{ "1kibi", 0, -EINVAL },
	{ "1.5K", 0, -EINVAL },
};

static const struct {
	const char *text;
	int32_t key;
	int r;
} keys[] = {
	{ "0", 0, 0 },
	{ "12", 12, 0 },
	{ "0x52e2c1", 0x52e2c1, 0 },
	{ "014", 12, 0 },
	{ "0xffffffff", -1, 0 },
	{ "4294967295", -1, 0 },
	{ "-1", -1, 0 },
	{ "-2147483648", INT32_MIN, 0 },
	{ "-2147483649", 0, -ERANGE },
	{ "4294967296", 0, -ERANGE },
	{ "", 0, -EINVAL },
	{ "-", 0, -EINVAL },
	{ "--1", 0, -EINVAL },
	{ "0x", 0, -EINVAL },
	{ "09", 0, -EINVAL },
	{ "1x", 0, -EINVAL },
};

static const struct {
	uint64_t bytes;
	const char *text;
} human[] = {
	{ 0, "0B" },
	{ 56, "56B" },
	{ 1023, "1023B" },
	{ 1024, "1K" },
	{ 1536, "1.5K" },
	{ 65536, "64K" },
	{ 1048575, "1M" },
	{ 1000000, "976.6K" },
	{ UINT64_C(1) << 40, "1T" },
	{ UINT64_MAX, "16E" },
};

int main(void)
{
	char buf[32];
	uint64_t v;
	int32_t key;
	int r;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		v = 0;
		r = size_parse(sizes[i].text, &v);
		EXPECT(r == sizes[i].r && v == sizes[i].bytes,
		       "size '%s': %d, %" PRIu64, sizes[i].text, r, v);
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		key = 0;
		r = key_parse(keys[i].text, &key);
		EXPECT(r == keys[i].r && key == keys[i].key, "key '%s': %d, %d",
		       keys[i].text, r, key);
	}
	for (size_t i = 0; i < sizeof(human) / sizeof(human[0]); i++) {
		size_human(human[i].bytes, buf, sizeof(buf));
		EXPECT(strcmp(buf, human[i].text) == 0, "%" PRIu64 " is '%s'",
		       human[i].bytes, buf);
	}

	return failures ? 1 : 0;
}
