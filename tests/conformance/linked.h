/* SPDX-License-Identifier: MIT */
/*
 * Put before every source of the `linked` flavour: the plain names then mean
 * ushm's own functions. The cases do not know.
 */
#ifndef LINKED_H
#define LINKED_H

#include <sys/mman.h>

#define USHM_DROP_IN
#include "ushm.h"

#define mmap	 ushm_mmap
#define munmap	 ushm_munmap
#define mremap	 ushm_mremap
#define mprotect ushm_mprotect
#define mlock	 ushm_mlock
#define munlock	 ushm_munlock
#define madvise	 ushm_madvise

#endif
