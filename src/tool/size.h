/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_SIZE_H
#define USHM_TOOL_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* "512", "1.5G": powers of 1024 with one digit, as lsipc(1) prints sizes. */
const char *size_human(uint64_t bytes, char *buf, size_t len);

/*
 * Numbers from the command line. Returns 0, -EINVAL for what is no number,
 * or -ERANGE.
 */

/* 4096, 64K, 64KiB (1024), 64KB (1000), up to E. */
int size_parse(const char *text, uint64_t *ret_bytes);

/* Decimal, 0x hexadecimal or 0 octal, at most 'max'. */
int number_parse(const char *text, uint64_t max, uint64_t *ret);

/* A key as ipcrm(1) takes it: as above, 32 bits, or a negative decimal. */
int key_parse(const char *text, int32_t *ret_key);

#endif
