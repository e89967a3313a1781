/* SPDX-License-Identifier: MIT */
/*
 * Mapping a file, and what is done to ranges of memory: the engine serves what
 * the kernel refuses. Owns the engine's setup.
 *
 * Every call on memory goes to who is next: libushm-preload.so, whose records
 * of attached segments must follow, or libc.
 */
#undef _FILE_OFFSET_BITS
#include <pthread.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "edge/filemap.h"
#include "edge/place.h"

/* To musl's headers this is another word for the plain name. */
#undef mmap64

typedef void *mmap_fn(void *addr, size_t length, int prot, int flags, int fd,
		      off_t offset);
typedef void *mmap64_fn(void *addr, size_t length, int prot, int flags, int fd,
			int64_t offset);
typedef int munmap_fn(void *addr, size_t length);
typedef void *mremap_fn(void *old, size_t old_size, size_t new_size, int flags,
			void *new_addr);
typedef int mprotect_fn(void *addr, size_t length, int prot);

mmap_fn fm_mmap EXPORT(mmap);
mmap64_fn fm_mmap64 EXPORT(mmap64);
munmap_fn fm_munmap EXPORT(munmap);
mremap_fn fm_mremap EXPORT(mremap);
mprotect_fn fm_mprotect EXPORT(mprotect);
mprotect_fn fm_msync EXPORT(msync);

NEXT_OR(mmap64_fn, mmap64, mmap)
NEXT(munmap_fn, munmap)
NEXT(mremap_fn, mremap)
NEXT(mprotect_fn, mprotect)
NEXT(mprotect_fn, msync)

/* ------------------------------------------------------------------- setup */

/* Who is next, in the manner of base/sys.h. */
static void *address(void *p, int saved)
{
	if (p == MAP_FAILED)
		p = (void *)(intptr_t)-errno;
	errno = saved;
	return p;
}

static int answer(int r, int saved)
{
	if (r < 0)
		r = -errno;
	errno = saved;
	return r;
}

static void *next_mmap_call(void *addr, size_t length, int prot, int flags,
			    int fd, uint64_t offset)
{
	int saved = errno;

	return address(
		real_mmap64()(addr, length, prot, flags, fd, (int64_t)offset),
		saved);
}

static int next_munmap_call(void *addr, size_t length)
{
	int saved = errno;

	return answer(real_munmap()(addr, length), saved);
}

static void *next_mremap_call(void *old, size_t old_size, size_t new_size,
			      int flags, void *new_addr)
{
	int saved = errno;

	return address(real_mremap()(old, old_size, new_size, flags, new_addr),
		       saved);
}

static int next_mprotect_call(void *addr, size_t length, int prot)
{
	int saved = errno;

	return answer(real_mprotect()(addr, length, prot), saved);
}

/* A constructor of another library may map before ours has run. */
static void settle(void)
{
	static struct mapping_setup setup;
	static int settled;

	if (load_acquire(&settled))
		return;
	/* Two threads write the same. */
	setup = (struct mapping_setup){
		.kernel = { next_mmap_call, next_munmap_call, next_mremap_call,
			    next_mprotect_call },
		.max = place_mapping_max(MAPPING_MAX),
		.report = place_log,
	};
	mapping_configure(&setup);
	store_release(&settled, 1);
}

__attribute__((constructor)) static void settle_at_start(void)
{
	settle();
}

/* ------------------------------------------------------------------- calls */

static void *pointer(void *p, int r)
{
	if (r == 0)
		return p;
	errno = -r;
	return MAP_FAILED;
}

static bool is_shared_file(int flags)
{
	int type = flags & MAP_TYPE;

	return !(flags & MAP_ANONYMOUS) &&
	       (type == MAP_SHARED || type == MAP_SHARED_VALIDATE);
}

void *fm_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		int64_t offset)
{
	struct mapping_request q = { addr,  length, prot,
				     flags, fd,	    (uint64_t)offset };
	void *p = NULL;
	int r;

	if (!(flags & MAP_FIXED && mapping_touches(addr, length)) &&
	    !is_shared_file(flags)) {
		/* A private mapping is a way to read the file. */
		if (!(flags & MAP_ANONYMOUS))
			filemap_before_read(fd, offset, length);
		return real_mmap64()(addr, length, prot, flags, fd, offset);
	}

	settle();
	r = mapping_mmap(&q, &p);
	if (r == 0 && mapping_touches(p, length))
		doubt_everything();
	return pointer(p, r);
}

void *fm_mmap(void *addr, size_t length, int prot, int flags, int fd,
	      off_t offset)
{
	return fm_mmap64(addr, length, prot, flags, fd, offset);
}

int fm_munmap(void *addr, size_t length)
{
	if (!mapping_touches(addr, length))
		return real_munmap()(addr, length);
	return (int)filemap_result(mapping_munmap(addr, length));
}

/* The fifth argument is looked at only if the flags say that it is there. */
void *fm_mremap(void *old, size_t old_size, size_t new_size, int flags,
		void *new_addr)
{
	void *p = NULL;
	int r;

	if (!mapping_touches(old, old_size ?: 1) &&
	    !(flags & MREMAP_FIXED && mapping_touches(new_addr, new_size)))
		return real_mremap()(old, old_size, new_size, flags, new_addr);
	r = mapping_mremap(old, old_size, new_size, flags, new_addr, &p);
	return pointer(p, r);
}

int fm_mprotect(void *addr, size_t length, int prot)
{
	if (!mapping_touches(addr, length))
		return real_mprotect()(addr, length, prot);
	return (int)filemap_result(mapping_mprotect(addr, length, prot));
}

int fm_msync(void *addr, size_t length, int flags)
{
	if (!mapping_touches(addr, length))
		return real_msync()(addr, length, flags);
	pthread_testcancel();
	return (int)filemap_result(mapping_msync(addr, length, flags, false));
}
