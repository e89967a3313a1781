/* SPDX-License-Identifier: MIT */
/*
 * The calls of <sys/shm.h> under the names ushm_shm*(): structures, errno.
 *
 * Owns errno: it is set on failure and untouched on success.
 */
#include "ushm.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "base/user.h"
#include "core/attach.h"
#include "core/memory.h"
#include "core/segment.h"
#include "edge/place.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

/* The namespace cannot be had: as if the kernel had no shared memory. */
static int unavailable(int r)
{
	return r == -EACCES || r == -ENOSPC || r == -ENOMEM ? r : -ENOSYS;
}

static int result(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

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

/* --------------------------------------------------------------- shmctl */

static int copy_ds(const struct layout_segment *s, struct shmid_ds *buf)
{
	struct shmid_ds ds;

	memset(&ds, 0, sizeof(ds));
	ds.shm_perm.__key = s->key;
	ds.shm_perm.uid = s->uid;
	ds.shm_perm.gid = s->gid;
	ds.shm_perm.cuid = s->cuid;
	ds.shm_perm.cgid = s->cgid;
	ds.shm_perm.mode = (unsigned short)s->mode;
	ds.shm_perm.__seq = (unsigned short)s->seq;
	ds.shm_segsz = (size_t)s->size;
	ds.shm_atime = (time_t)s->atime;
	ds.shm_dtime = (time_t)s->dtime;
	ds.shm_ctime = (time_t)s->ctime;
	ds.shm_cpid = s->cpid;
	ds.shm_lpid = s->lpid;
	ds.shm_nattch = s->attaches;
	return user_write(buf, &ds, sizeof(ds));
}

static int do_stat(struct space *sp, int shmid, int cmd, struct shmid_ds *buf)
{
	struct layout_segment s;
	int r, id = 0;

	if (cmd == IPC_STAT)
		r = segment_stat(sp, shmid, &s);
	else
		r = segment_stat_index(sp, registry_index(&sp->reg, shmid),
				       cmd == SHM_STAT, &s, &id);
	if (r == 0)
		r = copy_ds(&s, buf);
	return r < 0 ? r : id;
}

static int do_set(struct space *sp, int shmid, const struct shmid_ds *buf)
{
	struct shmid_ds ds;
	int r;

	r = user_read(&ds, buf, sizeof(ds));
	if (r < 0)
		return r;
	return segment_set(sp, shmid, ds.shm_perm.uid, ds.shm_perm.gid,
			   ds.shm_perm.mode);
}

static unsigned long clip(uint64_t value, unsigned long most)
{
	return value > most ? most : (unsigned long)value;
}

static int do_ipc_info(struct space *sp, void *buf)
{
	const struct layout_header *h = sp->reg.h;
	struct segment_totals t;
	struct shminfo info;
	int r;

	memset(&info, 0, sizeof(info));
	info.shmmax = clip(load_relaxed(&h->shmmax),
			   sizeof(long) == 4 ? INT_MAX : ULONG_MAX);
	info.shmmin = 1;
	info.shmmni = (unsigned long)load_relaxed(&h->shmmni);
	info.shmseg = info.shmmni;
	info.shmall = (unsigned long)load_relaxed(&h->shmall);
	segment_totals(sp, false, &t);
	r = user_write(buf, &info, sizeof(info));
	return r < 0 ? r : (int)t.max_index;
}

static int do_shm_info(struct space *sp, void *buf)
{
	struct segment_totals t;
	struct shm_info info;
	int r;

	space_glance(sp);
	segment_totals(sp, true, &t);
	memset(&info, 0, sizeof(info));
	info.used_ids = (int)t.used;
	info.shm_tot = (unsigned long)t.pages;
	info.shm_rss = (unsigned long)t.resident;
	r = user_write(buf, &info, sizeof(info));
	return r < 0 ? r : (int)t.max_index;
}

int ushm_shmctl(int shmid, int cmd, struct shmid_ds *buf)
{
	struct space *sp;
	int r;

	if (cmd < 0 || shmid < 0)
		return result(-EINVAL);
	r = place_default(&sp);
	if (r < 0)
		return result(unavailable(r));

	switch (cmd) {
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		return result(do_stat(sp, shmid, cmd, buf));
	case IPC_SET:
		return result(do_set(sp, shmid, buf));
	case IPC_RMID:
		return result(segment_remove(sp, shmid));
	case SHM_LOCK:
	case SHM_UNLOCK:
		return result(segment_lock(sp, shmid, cmd == SHM_LOCK));
	case IPC_INFO:
		return result(do_ipc_info(sp, buf));
	case SHM_INFO:
		return result(do_shm_info(sp, buf));
	default:
		return result(-EINVAL);
	}
}

/* ---------------------------------------------------------- memory calls */

int ushm_munmap(void *addr, size_t length)
{
	if (memory_touches((uintptr_t)addr, length))
		return result(memory_munmap(addr, length));
	return result(sys_munmap(addr, length));
}

void *ushm_mmap(void *addr, size_t length, int prot, int flags, int fd,
		off_t offset)
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
