/* SPDX-License-Identifier: MIT */
/*
 * Owns the limits in the registry's header.
 *
 * Invariant: each limit is one word and changes by one store. What rmid_forced
 * destroys is swept with the dead.
 * Lock: none; in a durable namespace 'local', and the record on disk follows.
 * Crash: the word is the old one or the new one.
 */
#include "core/limits.h"

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
