/* SPDX-License-Identifier: MIT */
/*
 * The calls of <sys/shm.h> under the names ushm_shm*(), but for shmctl(), which
 * is control.c, and those of <sys/mman.h>.
 *
 * Owns errno: it is set on failure and untouched on success.
 */
#include "ushm.h"

#include <errno.h>
#include <stdarg.h>

#include "core/attach.h"
#include "core/memory.h"
#include "core/segment.h"
#include "edge/place.h"
#include "edge/result.h"

/* An address, or (void *)-1 and errno. */
static void *address(void *p)
{
	if (!sys_failed(p))
		return p;
	errno = (int)-(intptr_t)p;
	return (void *)-1;
}

int ushm_shmget(key_t key, size_t size, int shmflg)
{
	struct space *sp;
	int id, r;

	r = place_default(&sp);
	if (r < 0)
		return result(unavailable(r));
	r = segment_get(sp, key, size, shmflg, &id);
	return r < 0 ? result(r) : id;
}

void *ushm_shmat(int shmid, const void *shmaddr, int shmflg)
{
	struct space *sp;
	void *p;
	int r;

	r = place_default(&sp);
	if (r < 0)
		r = unavailable(r);
	else
		r = attach_segment(sp, shmid, (uintptr_t)shmaddr, shmflg, &p);
	return r < 0 ? address((void *)(intptr_t)r) : p;
}

int ushm_shmdt(const void *shmaddr)
{
	struct space *sp = place_opened();

	return result(sp ? attach_detach(sp, (uintptr_t)shmaddr) : -EINVAL);
}

/* ---------------------------------------------------------- memory calls */

int ushm_munmap(void *addr, size_t length)
{
	if (memory_touches((uintptr_t)addr, length))
		return result(memory_munmap(addr, length));
	return result(sys_munmap(addr, length));
}

void *ushm_mmap(void *addr, size_t length, int prot, int flags, int fd,
		int64_t offset)
{
	if (flags & MAP_FIXED && memory_touches((uintptr_t)addr, length))
		return address(memory_mmap(addr, length, prot, flags, fd,
					   (uint64_t)offset));
	return address(
		sys_mmap(addr, length, prot, flags, fd, (uint64_t)offset));
}

void *ushm_mremap(void *old_address, size_t old_size, size_t new_size,
		  int flags, ...)
{
	void *new_address = NULL;
	va_list ap;

	if (flags & MREMAP_FIXED) {
		va_start(ap, flags);
		new_address = va_arg(ap, void *);
		va_end(ap);
	}
	if (memory_touches((uintptr_t)old_address, old_size ? old_size : 1) ||
	    (flags & MREMAP_FIXED &&
	     memory_touches((uintptr_t)new_address, new_size)))
		return address(memory_mremap(old_address, old_size, new_size,
					     flags, new_address));
	return address(sys_mremap(old_address, old_size, new_size, flags,
				  new_address));
}

int ushm_mprotect(void *addr, size_t length, int prot)
{
	if (memory_touches((uintptr_t)addr, length))
		return result(memory_mprotect(addr, length, prot));
	return result((int)SYS3(SYS_mprotect, addr, length, prot));
}

int ushm_mlock(const void *addr, size_t length)
{
	if (memory_touches((uintptr_t)addr, length))
		return result(memory_mlock((void *)(uintptr_t)addr, length, 0));
	return result((int)SYS3(SYS_mlock, addr, length, 0));
}

int ushm_munlock(const void *addr, size_t length)
{
	if (memory_touches((uintptr_t)addr, length))
		return result(memory_munlock((void *)(uintptr_t)addr, length));
	return result((int)SYS3(SYS_munlock, addr, length, 0));
}

int ushm_madvise(void *addr, size_t length, int advice)
{
	if (memory_touches((uintptr_t)addr, length))
		return result(memory_madvise(addr, length, advice));
	return result(sys_madvise(addr, length, advice));
}
