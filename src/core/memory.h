/* SPDX-License-Identifier: MIT */
/*
 * What the memory calls do to attachments, in every open namespace.
 *
 * For ranges that touch one: they do what the system call does, the records
 * follow, and they return what it returns (a negative errno on failure).
 */
#ifndef USHM_CORE_MEMORY_H
#define USHM_CORE_MEMORY_H

#include "core/space.h"

/* Does the range touch any attachment? Takes no lock. */
bool memory_touches(uintptr_t addr, size_t length);

int memory_munmap(void *addr, size_t length);
void *memory_mmap(void *addr, size_t length, int prot, int flags, int fd,
		  uint64_t offset);
void *memory_mremap(void *old, size_t old_size, size_t new_size, int flags,
		    void *new_addr);
int memory_mprotect(void *addr, size_t length, int prot);
int memory_mlock(void *addr, size_t length, int flags); /* mlock2()'s */
int memory_munlock(void *addr, size_t length);
int memory_madvise(void *addr, size_t length, int advice);

#endif
