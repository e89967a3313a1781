/* SPDX-License-Identifier: MIT */
/* Any words where the command line wants sizes, numbers and keys. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "tool/size.h"

static void want(int good, const char *what, const char *text)
{
	if (good)
		return;
	fprintf(stderr, "== %s: '%s'\n", what, text);
	abort();
}

static int is_refusal(int r)
{
	return r == 0 || r == -EINVAL || r == -ERANGE;
}

/* What was understood means the same when it is written plainly. */
static void check_size(const char *text)
{
	char plain[32], human[32];
	uint64_t bytes = 7, again;
	int r = size_parse(text, &bytes);

	want(is_refusal(r), "size_parse", text);
	want(r == 0 || bytes == 7, "size_parse writes on failure", text);
	if (r < 0)
		return;
	snprintf(plain, sizeof(plain), "%" PRIu64, bytes);
	want(size_parse(plain, &again) == 0 && again == bytes, "size", plain);
	size_human(bytes, human, sizeof(human));
	want(strlen(human) < 8, "size_human", human);
}

static void check_number(const char *text, uint64_t max)
{
	char plain[32];
	uint64_t value = 7, again;
	int r = number_parse(text, max, &value);

	want(is_refusal(r), "number_parse", text);
	want(r == 0 || value == 7, "number_parse writes on failure", text);
	if (r < 0)
		return;
	want(value <= max, "number_parse above its maximum", text);
	snprintf(plain, sizeof(plain), "0x%" PRIx64, value);
	want(number_parse(plain, max, &again) == 0 && again == value, "number",
	     plain);
}

static void check_key(const char *text)
{
	char plain[32];
	int32_t key = 7, again;
	int r = key_parse(text, &key);

	want(is_refusal(r), "key_parse", text);
	want(r == 0 || key == 7, "key_parse writes on failure", text);
	if (r < 0)
		return;
	snprintf(plain, sizeof(plain), "%" PRId32, key);
	want(key_parse(plain, &again) == 0 && again == key, "key", plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256], small[8];
	struct input in = { data, size };
	uint64_t number = input_u64(&in);
	size_t n = in.left < sizeof(text) - 1 ? in.left : sizeof(text) - 1;

	memcpy(text, in.at, n);
	text[n] = '\0';
	check_size(text);
	check_number(text, number);
	check_key(text);
	size_human(number, small, sizeof(small));
	want(strlen(small) < sizeof(small), "size_human", small);
	return 0;
}
