/* SPDX-License-Identifier: MIT */
/*
 * What shmat(2) and shmdt(2) mean, and what munmap(2), mremap(2) and mmap(2)
 * do to an attachment. All return 0 or -errno.
 */
#ifndef USHM_CORE_ATTACH_H
#define USHM_CORE_ATTACH_H

#include "core/space.h"

int attach_segment(struct space *sp, int id, uintptr_t addr, int flags,
		   void **ret_addr);

/* -EINVAL if nothing of this space is attached there. */
int attach_detach(struct space *sp, uintptr_t addr);

/* Does the range touch any attachment, in any space? Takes no lock. */
bool attach_touches(uintptr_t addr, size_t length);

/*
 * The calls themselves, for ranges that touch an attachment: they do what the
 * system call does, and the records follow. They return what it returns.
 */
int attach_munmap(void *addr, size_t length);
void *attach_mmap(void *addr, size_t length, int prot, int flags, int fd,
		  uint64_t offset);
void *attach_mremap(void *old, size_t old_size, size_t new_size, int flags,
		    void *new_addr);

#endif
