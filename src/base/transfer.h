/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes at an offset that do all or fail: what a signal or a full
 * disk left short goes on. Under RLIMIT_FSIZE as base/fsize.h has it.
 */
#ifndef USHM_BASE_TRANSFER_H
#define USHM_BASE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* -ENODATA: the file ends before. */
int transfer_get(int fd, uint64_t offset, void *data, size_t length);
int transfer_put(int fd, uint64_t offset, const void *data, size_t length);

/* fdatasync(), or fsync(). */
int transfer_flush(int fd, bool all);

#define TRANSFER_PIECES 128

/* Gathers what lies in a row in its file into one call. { .fd = fd } */
struct transfer {
	int fd;
	uint64_t at, size; /* the row */
	struct iovec piece[TRANSFER_PIECES];
	unsigned n;
};

/* 'data' must stay until transfer_end(). */
int transfer_add(struct transfer *t, uint64_t offset, const void *data,
		 size_t length);
int transfer_end(struct transfer *t);

#endif
