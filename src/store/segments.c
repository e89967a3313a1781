/* SPDX-License-Identifier: MIT */
/*
 * Owns the segment slots, the index bitmap, the key table and the totals.
 *
 * Invariant: a bit is set exactly for the slots that are not FREE; a slot is
 * in a key chain exactly while it is LIVE and its key is not 0; in_use and
 * pages count the RESERVED and LIVE ones, unsettled the RESERVED and DOOMED.
 * Lock: the registry's, with the undo log; readers use the slot's guard, and
 * key_guard for the chains.
 * Crash: a half-done change is undone. A slot left RESERVED or DOOMED by a
 * dead owner is taken over by the sweep, which destroys its file.
 */
#include "store/segments.h"

#include <string.h>
#include <sys/shm.h>

#include "base/step.h"

#define TRIES	  8
#define MIN_CYCLE 64u /* the kernel re-uses no index before this one */

/* ------------------------------------------------------ without the lock */

int segments_read(const struct registry *r, uint32_t index,
		  struct layout_segment *ret)
{
	const struct layout_segment *s = registry_segment(r, index);

	if (!s)
		return -EINVAL;
	for (int i = 0; i < TRIES; i++) {
		const word64 *from = (const void *)s;
		uint64_t *to = (void *)ret;
		uint32_t begun = guard_begin(&s->guard);

		for (size_t w = 0; w < sizeof(*s) / 8; w++)
			to[w] = load_relaxed(&from[w]);
		if (guard_good(&s->guard, begun))
			return 0;
		cpu_relax();
	}
	return -EBUSY;
}

uint32_t *segments_key_head(const struct registry *r, int32_t key)
{
	uint32_t h = (uint32_t)key * 0x9e3779b1u;

	return &r->key_heads[(h ^ h >> 15) & r->key_mask];
}

/* The chain may change, or be damaged: at most as many steps as slots. */
static uint32_t key_chain_find(const struct registry *r, int32_t key)
{
	uint32_t link = load_relaxed(segments_key_head(r, key));

	for (uint32_t n = 0; link != NO_INDEX && n < r->max_segments; n++) {
		const struct layout_segment *s = registry_segment(r, link - 1);

		if (!s)
			return NO_INDEX;
		if (load_relaxed(&s->key) == key &&
		    load_relaxed(&s->state) == SEG_LIVE)
			return link;
		link = load_relaxed(&s->next_in_key);
	}
	return NO_INDEX;
}

int segments_find(const struct registry *r, int32_t key, uint32_t *ret_index)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t begun = guard_begin(&r->h->key_guard);
		uint32_t link = key_chain_find(r, key);

		if (!guard_good(&r->h->key_guard, begun)) {
			cpu_relax();
			continue;
		}
		if (link == NO_INDEX)
			return -ENOENT;
		*ret_index = link - 1;
		return 0;
	}
	return -EBUSY;
}

uint32_t segments_next(const struct registry *r, uint32_t from)
{
	uint32_t used = load_acquire(&r->h->segments.used);

	if (used > r->max_segments)
		used = r->max_segments;
	while (from < used) {
		uint64_t bits = load_relaxed(&r->bitmap[from / 64]);

		bits &= ~UINT64_C(0) << from % 64;
		if (bits) {
			from = from / 64 * 64 + (uint32_t)__builtin_ctzll(bits);
			return from < used ? from : UINT32_MAX;
		}
		from = (from / 64 + 1) * 64;
	}
	return UINT32_MAX;
}

/* ---------------------------------------------------------------- locked */

uint32_t segments_find_locked(const struct registry *r, int32_t key)
{
	return key_chain_find(r, key);
}

static void key_insert(struct registry *r, uint32_t index, int32_t key)
{
	uint32_t *head = segments_key_head(r, key);

	undo_guard(r, &r->h->key_guard);
	undo_set32(r, &r->segments[index].next_in_key, *head);
	undo_set32(r, head, index + 1);
}

static void key_delete(struct registry *r, uint32_t index, int32_t key)
{
	uint32_t *link = segments_key_head(r, key);

	for (uint32_t n = 0; *link != NO_INDEX && n < r->max_segments; n++) {
		struct layout_segment *s = registry_segment(r, *link - 1);

		if (!s)
			return;
		if (*link == index + 1) {
			undo_guard(r, &r->h->key_guard);
			undo_set32(r, link, s->next_in_key);
			undo_set32(r, &s->next_in_key, NO_INDEX);
			return;
		}
		link = &s->next_in_key;
	}
}

/* The first clear bit in [from, end), or UINT32_MAX. */
static uint32_t bit_find_clear(const struct registry *r, uint32_t from,
			       uint32_t end)
{
	while (from < end) {
		uint64_t bits = ~r->bitmap[from / 64];

		bits &= ~UINT64_C(0) << from % 64;
		if (bits) {
			from = from / 64 * 64 + (uint32_t)__builtin_ctzll(bits);
			return from < end ? from : UINT32_MAX;
		}
		from = (from / 64 + 1) * 64;
	}
	return UINT32_MAX;
}

/*
 * The first free index in [from, end), or UINT32_MAX. The slot has the last
 * word: with a damaged bit a segment must not be made over another.
 */
static uint32_t index_find(const struct registry *r, uint32_t from,
			   uint32_t end)
{
	const struct layout_segment *s;

	while ((from = bit_find_clear(r, from, end)) != UINT32_MAX) {
		s = registry_segment(r, from);
		if (!s || s->state == SEG_FREE)
			break;
		from++;
	}
	return from;
}

/* One less of a total, which damage may have made too low. */
static void total_down32(struct registry *r, uint32_t *total)
{
	if (*total)
		undo_set32(r, total, *total - 1);
}

static void total_down64(struct registry *r, uint64_t *total, uint64_t by)
{
	undo_set64(r, total, *total > by ? *total - by : 0);
}

/* Where the kernel's cyclic allocation goes on. UINT32_MAX: nowhere. */
static uint32_t index_next(const struct registry *r)
{
	const struct layout_header *h = r->h;
	uint32_t cycle = h->in_use / 2 * 3 + h->in_use % 2, index;

	if (cycle < MIN_CYCLE)
		cycle = MIN_CYCLE;
	if (cycle > r->max_segments)
		cycle = r->max_segments;
	index = index_find(r, h->next_index, cycle);
	if (index == UINT32_MAX)
		index = index_find(r, 0, cycle);
	if (index == UINT32_MAX) /* doomed ones hold it up */
		index = index_find(r, 0, r->max_segments);
	return index;
}

/* Choose the id of a new segment, and move on whatever chose it. */
static int id_choose(struct registry *r, struct segment_reservation *res)
{
	struct layout_header *h = r->h;

	res->before_next = h->next_index;
	res->before_last = h->last_index;
	res->before_seq = h->seq;
	if (h->next_id >= 0) {
		/* shm_next_id: that one, or the next free above it; the
		 * cycle stays where it is. */
		res->index = index_find(r, registry_index(r, h->next_id),
					r->max_segments);
		res->seq = registry_seq(r, h->next_id);
		undo_set_i32(r, &h->next_id, -1);
		return res->index == UINT32_MAX ? -ENOSPC : 0;
	}

	res->index = index_next(r);
	if (res->index == UINT32_MAX)
		return -ENOSPC;
	res->seq = h->seq;
	if (res->index < h->last_index) { /* last_index is one more */
		res->seq++;
		if (res->seq >= (uint32_t)INT32_MAX >> r->seq_shift)
			res->seq = 0;
	}
	undo_set32(r, &h->seq, res->seq);
	undo_set32(r, &h->last_index, res->index + 1);
	undo_set32(r, &h->next_index, res->index + 1);
	return 0;
}

int segments_reserve(struct registry *r, uint32_t owner, uint64_t pages,
		     struct segment_reservation *ret)
{
	struct layout_header *h = r->h;
	struct layout_segment *s;
	uint32_t index;
	int err;

	if (h->pages + pages < pages || h->pages + pages > h->shmall)
		return -ENOSPC;
	if (h->in_use >= h->shmmni)
		return -ENOSPC;
	err = id_choose(r, ret);
	if (err < 0)
		return err;
	index = ret->index;
	s = registry_segment(r, index);
	if (!s)
		return -EAGAIN;

	undo_set64(r, &r->bitmap[index / 64],
		   r->bitmap[index / 64] | UINT64_C(1) << index % 64);
	if (h->segments.used <= index)
		undo_set32(r, &h->segments.used, index + 1);
	undo_set32(r, &h->in_use, h->in_use + 1);
	undo_set64(r, &h->pages, h->pages + pages);
	undo_set32(r, &h->unsettled, h->unsettled + 1);
	undo_set32(r, &s->seq, ret->seq);
	undo_set64(r, &s->pages, pages);
	undo_set32(r, &s->owner, owner + 1);
	undo_set32(r, &s->state, SEG_RESERVED);
	return 0;
}

void segments_unreserve(struct registry *r,
			const struct segment_reservation *res)
{
	struct layout_header *h = r->h;

	/* The kernel takes an index only when all else has succeeded. Give
	 * the cursor back, unless somebody has moved it on. */
	if (h->next_index == res->index + 1 && h->seq == res->seq) {
		undo_set32(r, &h->next_index, res->before_next);
		undo_set32(r, &h->last_index, res->before_last);
		undo_set32(r, &h->seq, res->before_seq);
	}
	segments_doom(r, res->index, 0);
	segments_free(r, res->index);
}

void segments_publish(struct registry *r, uint32_t index,
		      const struct segment_new *n)
{
	struct layout_segment *s = &r->segments[index];

	undo_guard(r, &s->guard);
	undo_set_i32(r, &s->key, n->key);
	undo_set_i32(r, &s->first_key, n->key);
	undo_set32(r, &s->mode, n->mode);
	undo_set64(r, &s->size, n->size);
	undo_set32(r, &s->uid, n->uid);
	undo_set32(r, &s->gid, n->gid);
	undo_set32(r, &s->cuid, n->uid);
	undo_set32(r, &s->cgid, n->gid);
	undo_set_i64(r, &s->atime, 0);
	undo_set_i64(r, &s->dtime, 0);
	undo_set_i64(r, &s->ctime, n->now);
	undo_set_i32(r, &s->cpid, n->cpid);
	undo_set_i32(r, &s->lpid, 0);
	undo_set32(r, &s->flags, n->flags);
	undo_set32(r, &s->creator, n->creator);
	undo_set64(r, &s->created, n->created);
	undo_set32(r, &s->owner, 0);
	undo_set32(r, &s->state, SEG_LIVE);
	total_down32(r, &r->h->unsettled);
	if (n->key != IPC_PRIVATE)
		key_insert(r, index, n->key);
}

void segments_forget_key(struct registry *r, uint32_t index)
{
	struct layout_segment *s = &r->segments[index];

	undo_guard(r, &s->guard);
	if (s->key != IPC_PRIVATE)
		key_delete(r, index, s->key);
	undo_set_i32(r, &s->key, IPC_PRIVATE);
}

void segments_set_lock(struct registry *r, uint32_t index, bool lock)
{
	struct layout_segment *s = &r->segments[index];

	if (lock == !!(s->mode & SHM_LOCKED))
		return;
	undo_guard(r, &s->guard);
	if (lock)
		undo_set64(r, &r->h->locked, r->h->locked + s->pages);
	else
		total_down64(r, &r->h->locked, s->pages);
	undo_set32(r, &s->mode,
		   lock ? s->mode | SHM_LOCKED : s->mode & ~SHM_LOCKED);
}

void segments_doom(struct registry *r, uint32_t index, uint32_t owner)
{
	struct layout_segment *s = &r->segments[index];

	undo_guard(r, &s->guard);
	if (s->state == SEG_LIVE) {
		segments_set_lock(r, index, false);
		segments_forget_key(r, index);
		undo_set32(r, &r->h->unsettled, r->h->unsettled + 1);
	}
	if (s->state != SEG_DOOMED) {
		total_down32(r, &r->h->in_use);
		total_down64(r, &r->h->pages, s->pages);
	}
	undo_set32(r, &s->owner, owner + 1);
	undo_set32(r, &s->state, SEG_DOOMED);
}

void segments_free(struct registry *r, uint32_t index)
{
	struct layout_segment *s = &r->segments[index];

	undo_guard(r, &s->guard);
	undo_set32(r, &s->state, SEG_FREE);
	undo_set32(r, &s->owner, 0);
	undo_set64(r, &r->bitmap[index / 64],
		   r->bitmap[index / 64] & ~(UINT64_C(1) << index % 64));
	total_down32(r, &r->h->unsettled);
}

void segments_inherit(struct registry *r, uint32_t dead, uint32_t me)
{
	uint32_t index = 0;

	if (r->h->unsettled == 0)
		return;
	while ((index = segments_next(r, index)) != UINT32_MAX) {
		struct layout_segment *s = registry_segment(r, index);

		if (!s)
			return;
		if (s->owner == dead + 1 &&
		    (s->state == SEG_RESERVED || s->state == SEG_DOOMED)) {
			segments_doom(r, index, me);
			undo_commit(r);
			step("segments: inherited");
		}
		index++;
	}
}

uint32_t segments_next_doomed(const struct registry *r, uint32_t owner,
			      uint32_t from)
{
	if (load_relaxed(&r->h->unsettled) == 0)
		return UINT32_MAX;
	while ((from = segments_next(r, from)) != UINT32_MAX) {
		const struct layout_segment *s = registry_segment(r, from);

		if (!s)
			return UINT32_MAX;
		if (load_relaxed(&s->state) == SEG_DOOMED &&
		    load_relaxed(&s->owner) == owner + 1)
			return from;
		from++;
	}
	return UINT32_MAX;
}
