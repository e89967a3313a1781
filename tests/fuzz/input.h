/* SPDX-License-Identifier: MIT */
/* The bytes of an input, taken from the front; past the end come zeros. */
#ifndef USHM_TESTS_INPUT_H
#define USHM_TESTS_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t input_take(struct input *in, size_t bytes)
{
	size_t n = bytes < in->left ? bytes : in->left;
	uint64_t value = 0;

	memcpy(&value, in->at, n);
	in->at += n;
	in->left -= n;
	return value;
}

static inline uint8_t input_u8(struct input *in)
{
	return (uint8_t)input_take(in, 1);
}

static inline uint32_t input_u32(struct input *in)
{
	return (uint32_t)input_take(in, 4);
}

static inline uint64_t input_u64(struct input *in)
{
	return input_take(in, 8);
}

/* The entry point that libFuzzer and standalone.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
