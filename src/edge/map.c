/* SPDX-License-Identifier: MIT */
/*
 * ushm_map() and its family. Translation only: what is below them, for ranges
 * that nobody serves, are attachments of segments, and then the kernel.
 */
#include "ushm.h"

#include "core/mapping.h"
#include "core/memory.h"
#include "edge/map.h"
#include "edge/place.h"

static_assert(USHM_MAP_OBJECT == MAPPING_OBJECT, "options");
#define OPTIONS (USHM_MAP_OBJECT | USHM_ATOMIC)

/* ------------------------------------------------------- what is below us */

static void *next_mmap(void *addr, size_t length, int prot, int flags, int fd,
		       uint64_t offset)
{
	if (flags & MAP_FIXED && memory_touches((uintptr_t)addr, length))
		return memory_mmap(addr, length, prot, flags, fd, offset);
	return sys_mmap(addr, length, prot, flags, fd, offset);
}

static int next_munmap(void *addr, size_t length)
{
	if (memory_touches((uintptr_t)addr, length))
		return memory_munmap(addr, length);
	return sys_munmap(addr, length);
}

static void *next_mremap(void *old, size_t old_size, size_t new_size, int flags,
			 void *new_addr)
{
	if (memory_touches((uintptr_t)old, old_size ? old_size : 1) ||
	    (flags & MREMAP_FIXED &&
	     memory_touches((uintptr_t)new_addr, new_size)))
		return memory_mremap(old, old_size, new_size, flags, new_addr);
	return sys_mremap(old, old_size, new_size, flags, new_addr);
}

static int next_mprotect(void *addr, size_t length, int prot)
{
	if (memory_touches((uintptr_t)addr, length))
		return memory_mprotect(addr, length, prot);
	return sys_mprotect(addr, length, prot);
}

/* ------------------------------------------------------------ ushm_map() */

void map_configure(void)
{
	static struct mapping_setup setup;
	static uint32_t done;

	if (load_acquire(&done))
		return;
	/* Two threads write the same. */
	setup = (struct mapping_setup){
		.kernel = { next_mmap, next_munmap, next_mremap,
			    next_mprotect },
		.max = place_mapping_max(MAPPING_MAX),
		.report = place_log,
	};
	mapping_configure(&setup);
	store_release(&done, 1u);
}

int ushm_map(void *addr, size_t length, int prot, int flags, int fd,
	     int64_t offset, unsigned options, void **ret_addr)
{
	struct mapping_request q = {
		addr, length, prot, flags, fd, (uint64_t)offset, 0,
	};

	if (options & ~OPTIONS)
		return -EINVAL;
	if (options & USHM_MAP_OBJECT)
		q.options |= MAPPING_OBJECT;
	if (options & USHM_ATOMIC)
		q.options |= MAPPING_ATOMIC;
	map_configure();
	return mapping_mmap(&q, ret_addr);
}

int ushm_sync(void *addr, size_t length, int flags)
{
	return mapping_msync(addr, length, flags & ~USHM_ATOMIC,
			     flags & USHM_ATOMIC);
}

int ushm_sync_file(int fd)
{
	int r;

	map_configure();
	r = mapping_sync_file(fd);
	return r < 0 ? r : 0;
}

int ushm_unmap(void *addr, size_t length)
{
	if (mapping_touches(addr, length))
		return mapping_munmap(addr, length);
	return next_munmap(addr, length);
}

int ushm_protect(void *addr, size_t length, int prot)
{
	if (mapping_touches(addr, length))
		return mapping_mprotect(addr, length, prot);
	return next_mprotect(addr, length, prot);
}

int ushm_remap(void *old_addr, size_t old_length, size_t new_length, int flags,
	       void *new_addr, void **ret_addr)
{
	void *p;

	if (mapping_touches(old_addr, old_length ? old_length : 1) ||
	    (flags & MREMAP_FIXED && mapping_touches(new_addr, new_length)))
		return mapping_mremap(old_addr, old_length, new_length, flags,
				      new_addr, ret_addr);
	p = next_mremap(old_addr, old_length, new_length, flags, new_addr);
	if (sys_failed(p))
		return (int)(intptr_t)p;
	*ret_addr = p;
	return 0;
}

/* What a process that ends by exit(3) has not synced, as if it unmapped it. */
__attribute__((destructor)) static void map_end(void)
{
	mapping_flush(true);
}
