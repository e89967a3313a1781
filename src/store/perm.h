/* SPDX-License-Identifier: MIT */
/*
 * Permissions, as the kernel judges them for System V IPC.
 */
#ifndef USHM_STORE_PERM_H
#define USHM_STORE_PERM_H

#include <stdbool.h>

#include "store/layout.h"

/*
 * May the calling thread have 'want' (bits 04 read, 02 write, 01 execute)?
 * One class only: owner, else group, else other; CAP_IPC_OWNER overrides.
 * 0 or -EACCES.
 */
int perm_check(const struct layout_segment *s, unsigned want);

/* shmget() of an existing key: the mode bits of 'flags', folded. */
int perm_check_flags(const struct layout_segment *s, int flags);

/* IPC_SET, IPC_RMID: owner, creator, CAP_SYS_ADMIN. 0 or -EPERM. */
int perm_check_control(const struct layout_segment *s);

/* SHM_LOCK, SHM_UNLOCK: CAP_IPC_LOCK, or owner and a limit. 0 or -EPERM. */
int perm_check_lock(const struct layout_segment *s, bool lock);

/* May there be this many locked pages in the namespace? 0 or -ENOMEM. */
int perm_check_lock_limit(uint64_t pages);

#endif
