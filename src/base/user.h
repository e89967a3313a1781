/* SPDX-License-Identifier: MIT */
/*
 * Memory that a caller passed in, which may not be memory at all.
 *
 * A wild pointer must give EFAULT, as the kernel's calls do, never a signal.
 */
#ifndef USHM_BASE_USER_H
#define USHM_BASE_USER_H

#include <stddef.h>

/* Copies of 8 to 4096 bytes. 0 or -EFAULT; part may have been written. */
int user_write(void *to, const void *from, size_t size);
int user_read(void *to, const void *from, size_t size);

#endif
