/* SPDX-License-Identifier: MIT */
/*
 * What shmat(2) and shmdt(2) mean. All return 0 or -errno.
 */
#ifndef USHM_CORE_ATTACH_H
#define USHM_CORE_ATTACH_H

#include "core/space.h"

int attach_segment(struct space *sp, int id, uintptr_t addr, int flags,
		   void **ret_addr);

/* -EINVAL if nothing of this space is attached there. */
int attach_detach(struct space *sp, uintptr_t addr);

#endif
