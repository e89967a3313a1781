/* SPDX-License-Identifier: MIT */
/*
 * ushm_shmctl(): structures, errno.
 *
 * A 32-bit C library has two struct shmid_ds, by the size of time_t: this file
 * is compiled for the plain one, and by time64.c for the other.
 */
#include "ushm.h"

#include <limits.h>
#include <string.h>

#include "base/user.h"
#include "core/segment.h"
#include "edge/place.h"
#include "edge/result.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

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
