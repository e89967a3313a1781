/* SPDX-License-Identifier: MIT */
/*
 * File sizes under RLIMIT_FSIZE.
 *
 * A program's file size limit is none of shmget()'s business (the kernel's
 * ignores it), but growing a file past it raises SIGXFSZ, which kills. These
 * raise the soft limit for the length of one system call where the hard limit
 * allows, and turn the signal into -EFBIG where it does not.
 */
#ifndef USHM_BASE_FSIZE_H
#define USHM_BASE_FSIZE_H

#include <stdint.h>
#include <sys/uio.h>

/* All of 'size' bytes to the beginning of the file. */
int fsize_write(int fd, const void *buf, uint64_t size);

/*
 * As pwritev(2): what was written may be less. 'size' is what the pieces have
 * together. The limit forbids more than growing: any write beyond it.
 */
int fsize_pwritev(int fd, const struct iovec *iov, unsigned n, uint64_t offset,
		  uint64_t size);

int fsize_truncate(int fd, uint64_t size);

/* As fallocate(2) with mode 0. -EOPNOTSUPP where the file system cannot. */
int fsize_allocate(int fd, uint64_t from, uint64_t length);

/* The same with FALLOC_FL_KEEP_SIZE. */
int fsize_reserve(int fd, uint64_t from, uint64_t length);

#endif
