/* SPDX-License-Identifier: MIT */
/* The ushm_ functions of ushm.h on explicit namespaces. Translation only. */
#include "ushm.h"

#include <string.h>

#include "core/attach.h"
#include "core/durable_change.h"
#include "core/durable_sync.h"
#include "core/limits.h"
#include "core/report.h"
#include "core/segment.h"
#include "edge/place.h"

static_assert((int)USHM_SHM_RMID_FORCED == (int)LIMIT_RMID_FORCED, "limits");

int ushm_open(const char *dir, unsigned flags,
	      const struct ushm_options *options, ushm_space **ret_space,
	      struct ushm_problem *ret_problem)
{
	struct registry_shape shape = { 0 };
	struct space *sp;
	int r;

	if (options) {
		shape.max_segments = options->max_segments;
		shape.max_procs = options->max_processes;
		shape.max_attaches = options->max_attachments;
	}
	shape.durable = flags & USHM_DURABLE;
	r = place_open(dir, flags & USHM_CREATE, &shape, &sp, ret_problem);
	if (r == 0)
		*ret_space = (ushm_space *)sp;
	return r;
}

void ushm_close(ushm_space *space)
{
	space_close(&space->space);
}

const char *ushm_dir(const ushm_space *space)
{
	return space_path(&space->space);
}

const char *ushm_work_dir(const ushm_space *space)
{
	return space->space.dir.path;
}

int ushm_get(ushm_space *space, key_t key, size_t size, int flags, int *ret_id)
{
	return segment_get(&space->space, key, size, flags, ret_id);
}

int ushm_attach(ushm_space *space, int id, const void *hint, int flags,
		void **ret_addr)
{
	return attach_segment(&space->space, id, (uintptr_t)hint, flags,
			      ret_addr);
}

int ushm_detach(ushm_space *space, const void *addr)
{
	return attach_detach(&space->space, (uintptr_t)addr);
}

static void segment_fill(struct space *sp, int id,
			 const struct layout_segment *s,
			 struct ushm_segment *ret)
{
	*ret = (struct ushm_segment){
		.id = id,
		.key = s->key,
		.size = s->size,
		.nattch = s->attaches,
		.mode = s->mode,
		.uid = s->uid,
		.gid = s->gid,
		.cuid = s->cuid,
		.cgid = s->cgid,
		.cpid = s->cpid,
		.lpid = s->lpid,
		.atime = s->atime,
		.dtime = s->dtime,
		.ctime = s->ctime,
		.rss = segment_resident(sp, registry_index(&sp->reg, id),
					s->seq),
		.flags = (s->flags & SEG_HUGE ? SHM_HUGETLB : 0) |
			 (s->flags & SEG_NORESERVE ? SHM_NORESERVE : 0),
	};
}

int ushm_stat(ushm_space *space, int id, struct ushm_segment *ret)
{
	struct layout_segment s;
	int r;

	r = segment_stat(&space->space, id, &s);
	if (r == 0)
		segment_fill(&space->space, id, &s, ret);
	return r;
}

int ushm_next(ushm_space *space, uint32_t *cursor, struct ushm_segment *ret)
{
	struct space *sp = &space->space;
	struct layout_segment s;
	uint32_t index = *cursor;
	int id;

	while ((index = segments_next(&sp->reg, index)) != UINT32_MAX) {
		if (segment_stat_index(sp, index++, false, &s, &id) == 0) {
			*cursor = index;
			segment_fill(sp, id, &s, ret);
			return 1;
		}
	}
	return 0;
}

int ushm_next_attachment(ushm_space *space, int id, uint32_t *cursor,
			 struct ushm_attachment *ret)
{
	struct space *sp = &space->space;
	const struct layout_proc *p;
	struct layout_attach a;
	int found;

	space_glance(sp);
	for (;;) {
		found = ledger_read(&sp->reg, *cursor, &a);
		if (found == -EINVAL)
			return 0;
		++*cursor;
		if (found < 0)
			continue;
		found = registry_id(&sp->reg, a.segment, a.seq);
		p = registry_proc(&sp->reg, a.proc);
		if (!p || (id >= 0 && found != id))
			continue;
		*ret = (struct ushm_attachment){
			.id = found,
			.pid = claim_pid(load_acquire(&p->claim)),
			.address = a.addr,
			.length = a.length,
			.offset = a.offset,
			.since = a.since,
			.flags = a.flags & (SHM_RDONLY | SHM_EXEC),
		};
		return 1;
	}
}

int ushm_set(ushm_space *space, int id, uid_t uid, gid_t gid, mode_t mode)
{
	return segment_set(&space->space, id, uid, gid, mode);
}

int ushm_remove(ushm_space *space, int id)
{
	return segment_remove(&space->space, id);
}

int ushm_lock(ushm_space *space, int id, int on)
{
	return segment_lock(&space->space, id, on != 0);
}

int ushm_sync_segment(ushm_space *space, int id, unsigned flags)
{
	return flags ? -EINVAL : durable_sync(&space->space, id);
}

int ushm_durability(ushm_space *space, int id, struct ushm_durability *ret)
{
	struct space *sp = &space->space;
	struct record_segment record;
	struct layout_segment s;
	struct space_entry e;
	int r;

	if (!sp->durable.on)
		return -EOPNOTSUPP;
	r = space_read_id(sp, id, &s);
	if (r == 0)
		r = space_enter(sp, &e);
	if (r < 0)
		return r;
	r = durable_record_read(sp, id, &record);
	space_leave(sp, &e);
	if (r < 0)
		return r == -ENOENT ? -EIDRM : r;
	*ret = (struct ushm_durability){
		.synced = record.synced,
		.unsynced =
			load_relaxed(
				&sp->reg.segments[registry_index(&sp->reg, id)]
					 .flags) &
					SEG_UNSYNCED
				? 1
				: 0,
	};
	return 0;
}

int ushm_info(ushm_space *space, struct ushm_info *ret)
{
	struct space *sp = &space->space;
	const struct layout_header *h = sp->reg.h;
	struct segment_totals t;
	uint32_t procs = 0, used;

	space_glance(sp);
	segment_totals(sp, true, &t);
	used = registry_procs_used(&sp->reg);
	for (uint32_t i = 0; i < used; i++)
		procs += claim_state(load_relaxed(&sp->reg.procs[i].claim)) !=
			 PROC_FREE;
	*ret = (struct ushm_info){
		.shmmax = load_relaxed(&h->shmmax),
		.shmmni = load_relaxed(&h->shmmni),
		.shmall = load_relaxed(&h->shmall),
		.used_ids = t.used,
		.max_index = t.max_index,
		.shm_tot = t.pages,
		.shm_rss = t.resident,
		.processes = procs,
		.attachments = load_relaxed(&h->nattaches),
	};
	return 0;
}

int ushm_limit_get(ushm_space *space, enum ushm_limit which,
		   uint64_t *ret_value)
{
	if ((unsigned)which >= LIMITS)
		return -EINVAL;
	*ret_value = limits_get(&space->space, (enum limit)which);
	return 0;
}

int ushm_limit_set(ushm_space *space, enum ushm_limit which, uint64_t value)
{
	return limits_set(&space->space, (enum limit)which, value);
}

int ushm_write_proc(ushm_space *space, int fd)
{
	return report_proc(&space->space, fd);
}
