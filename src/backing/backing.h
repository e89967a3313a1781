/* SPDX-License-Identifier: MIT */
/*
 * Where a segment's pages come from: one table of operations a kind.
 *
 * A segment's pages live in an object that has a path. 'path' is always the
 * absolute path of the object; sizes are bytes. All return 0 or -errno.
 */
#ifndef USHM_BACKING_BACKING_H
#define USHM_BACKING_BACKING_H

#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"

#define BACKING_HUGE 1u /* rounded and aligned for huge pages */

struct backing_ops {
	const char *name;

	/*
	 * Is there room for 'size' bytes more in 'dir', when 'promised' bytes
	 * were promised to segments already, 'filled' of them taken so far?
	 * 0: plenty; 1: enough, but only if it is taken now; -ENOMEM.
	 */
	int (*room)(const char *dir, uint64_t size, uint64_t promised,
		    uint64_t filled);

	/* A new zero-filled object; 'take': with all its blocks, now. */
	int (*create)(const char *path, uint64_t size, bool take);

	/* Remove it. Memory that is mapped somewhere stays until unmapped.
	 * -ENOENT if there is none. */
	int (*destroy)(const char *path);

	/*
	 * Map all of it. 'flags' as for mmap(2): MAP_FIXED and the like.
	 * Refuses (-EIDRM) an object that is shorter than 'size', or not
	 * 'owner's. With
	 * 'ret_handle', its first page is mapped a second time, writable; NULL
	 * is stored when that cannot be done.
	 */
	int (*map)(const char *path, uint32_t owner, void *hint, uint64_t size,
		   int prot, int flags, unsigned kind, void **ret_addr,
		   void **ret_handle);

	/* Bytes present in memory. */
	uint64_t (*resident)(const char *path);

	/* Give all of its memory back now, whoever still maps it. */
	void (*empty)(const char *path);
};

/* A plain file in the namespace's directory. */
extern const struct backing_ops backing_file;

#define BACKING_PAGE	  UINT64_C(4096)
#define BACKING_HUGE_SIZE (UINT64_C(2) << 20)

/* Bytes of the object of a segment of 'size' bytes: whole pages, so that the
 * tail of the last is shared. */
static inline uint64_t backing_size(uint64_t size, bool huge)
{
	uint64_t unit = huge ? BACKING_HUGE_SIZE : BACKING_PAGE;

	return (size + unit - 1) & ~(unit - 1);
}

#endif
