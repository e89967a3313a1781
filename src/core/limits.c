/* SPDX-License-Identifier: MIT */
/*
 * Owns the limits in the registry's header.
 *
 * Invariant: with rmid_forced set, no segment stays that has neither an
 * attachment nor a living creator; as with every death, it is found by the
 * next call. Each limit is one word and changes by one store.
 * Lock: the registry's for rmid_forced's effects; the words need none.
 * Crash: a doomed segment is finished by whoever sweeps us.
 */
#include "core/limits.h"

#include "base/procfs.h"
#include "base/step.h"
#include "core/durable_change.h"

uint64_t limits_get(const struct space *sp, enum limit which)
{
	const struct layout_header *h = sp->reg.h;
	int32_t next;

	switch (which) {
	case LIMIT_SHMMAX:
		return load_relaxed(&h->shmmax);
	case LIMIT_SHMALL:
		return load_relaxed(&h->shmall);
	case LIMIT_SHMMNI:
		return load_relaxed(&h->shmmni);
	case LIMIT_NEXT_ID:
		next = load_relaxed(&h->next_id);
		return next < 0 ? UINT64_MAX : (uint64_t)next;
	case LIMIT_RMID_FORCED:
		return load_relaxed(&h->rmid_forced);
	default:
		return 0;
	}
}

static int set_word(struct space *sp, enum limit which, uint64_t value)
{
	struct layout_header *h = sp->reg.h;

	switch (which) {
	case LIMIT_SHMMAX:
		store_relaxed(&h->shmmax, value);
		return 0;
	case LIMIT_SHMALL:
		store_relaxed(&h->shmall, value);
		return 0;
	case LIMIT_SHMMNI:
		if (value > sp->reg.max_segments)
			return -EINVAL;
		store_relaxed(&h->shmmni, value);
		return 0;
	case LIMIT_NEXT_ID:
		if (value > INT32_MAX)
			return -EINVAL;
		store_relaxed(&h->next_id, (int32_t)value);
		return 0;
	case LIMIT_RMID_FORCED:
		if (value > 1)
			return -EINVAL;
		store_relaxed(&h->rmid_forced, (uint32_t)value);
		return 0;
	default:
		return -EINVAL;
	}
}

/* On disk, or not at all. The registry goes first: it says what to write. */
static int set_durably(struct space *sp, enum limit which, uint64_t value)
{
	uint64_t before = limits_get(sp, which);
	struct space_entry e;
	int r;

	r = space_enter(sp, &e);
	if (r < 0)
		return r;
	r = set_word(sp, which, value);
	if (r == 0) {
		r = durable_keep_limits(sp);
		if (r < 0) {
			(void)set_word(sp, which, before);
			(void)durable_keep_limits(sp);
		}
	}
	space_leave(sp, &e);
	return r;
}

int limits_set(struct space *sp, enum limit which, uint64_t value)
{
	int r;

	if (sp->durable.on && which != LIMIT_NEXT_ID)
		r = set_durably(sp, which, value);
	else
		r = set_word(sp, which, value);
	if (r == 0 && which == LIMIT_RMID_FORCED && value)
		space_glance(sp); /* sweeps the orphans */
	return r;
}

/* The thread that made it: as in the kernel, execve() does not end it. */
static bool creator_lives(const struct layout_segment *s)
{
	struct procfs_task task;
	int r = procfs_task(s->cpid, (int)s->creator, &task);

	if (r == -ENOENT)
		return false;
	return r < 0 || (!task.exiting && task.start_time <= s->created);
}

bool limits_orphaned(const struct space *sp, const struct layout_segment *s)
{
	return limits_forced(sp) && s->state == SEG_LIVE &&
	       segments_unattached(s) && !creator_lives(s);
}

static void doom_unattached(struct space *sp, uint32_t index, uint32_t seq)
{
	struct layout_segment *s = &sp->reg.segments[index];

	space_lock(sp);
	if (s->state == SEG_LIVE && s->seq == seq && segments_unattached(s) &&
	    limits_forced(sp)) {
		segments_doom(&sp->reg, index, space_slot(sp));
		undo_commit(&sp->reg);
		step("limits: orphan doomed");
	}
	space_unlock(sp);
}

void limits_sweep_orphans(struct space *sp)
{
	struct layout_segment s;
	uint32_t index = 0;

	while ((index = segments_next(&sp->reg, index)) != UINT32_MAX) {
		if (segments_read(&sp->reg, index, &s) == 0 &&
		    limits_orphaned(sp, &s))
			doom_unattached(sp, index, s.seq);
		index++;
	}
}

void limits_attach_failed(struct space *sp, uint32_t index, uint32_t seq)
{
	if (limits_forced(sp))
		doom_unattached(sp, index, seq);
}
