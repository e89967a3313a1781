/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: it carries a rebuilt copy into the registry that others have
 * mapped meanwhile.
 *
 * Invariant: what others write without the lock stays theirs: a claim, a life
 * word, a process's number, the mark that somebody holds a handle. Readers
 * see each segment as it was or as it is; who looks for a key waits.
 * Lock: the registry's.
 * Crash: each record changes through the undo log, wholly or not at all;
 * killed between two of them, the registry is still damaged, in fewer places,
 * and the next rebuild has the same records to conclude from.
 */
#include "store/publish.h"

#include "base/step.h"
#include "store/lock.h"
#include "store/verify.h"

#define FLAGS_WORD (offsetof(struct layout_segment, flags) / 4)

/* All words but the first, which is the guard. */
static void publish_segment(struct registry *r, struct layout_segment *s,
			    const struct layout_segment *to)
{
	const uint32_t *from = (const uint32_t *)(const void *)to;
	uint32_t *at = (uint32_t *)(void *)s;

	if (s->guard & 1)
		store_release(&s->guard, s->guard + 1);
	for (size_t w = 1; w < sizeof(*s) / 4; w++) {
		uint32_t value = from[w];

		if (w == FLAGS_WORD)
			value |= load_relaxed(&at[w]) &
				 (SEG_HANDLES | SEG_UNSYNCED);
		if (at[w] == value)
			continue;
		undo_guard(r, &s->guard);
		undo_set32(r, &at[w], value);
	}
	undo_commit(r);
}

static void publish_words(struct registry *r, uint32_t *at,
			  const uint32_t *from, size_t n)
{
	for (size_t w = 0; w < n; w++) {
		undo_set32(r, &at[w], from[w]);
		if (r->h->undo_count == UNDO_ENTRIES)
			undo_commit(r);
	}
	undo_commit(r);
}

/* Its claim and its number are its own business, and that of others. */
static void publish_process(struct registry *r, struct layout_proc *p,
			    const struct layout_proc *to)
{
	uint64_t claim = load_acquire(&p->claim);

	if (verify_claim_bad(claim))
		(void)swap_if(&p->claim, &claim, to->claim);
	undo_set32(r, &p->first_attach, to->first_attach);
	undo_set32(r, &p->attaches, to->attaches);
	undo_commit(r);
}

static void publish_header(struct registry *r, const struct layout_header *to)
{
	struct layout_header *h = r->h;
	uint32_t used = load_relaxed(&h->procs.used);

	if (used > to->procs.ready)
		(void)swap_if(&h->procs.used, &used, to->procs.used);
	while (used < to->procs.used &&
	       !swap_if(&h->procs.used, &used, to->procs.used))
		;
	undo_set32(r, &h->segments.used, to->segments.used);
	undo_set32(r, &h->attaches.used, to->attaches.used);
	undo_set64(r, &h->shmmni, to->shmmni);
	undo_set_i32(r, &h->next_id, to->next_id);
	undo_set32(r, &h->rmid_forced, to->rmid_forced);
	undo_set32(r, &h->next_index, to->next_index);
	undo_set32(r, &h->last_index, to->last_index);
	undo_set32(r, &h->seq, to->seq);
	undo_set32(r, &h->in_use, to->in_use);
	undo_set32(r, &h->unsettled, to->unsettled);
	undo_set32(r, &h->free_attach, to->free_attach);
	undo_set64(r, &h->pages, to->pages);
	undo_set64(r, &h->next_attach, to->next_attach);
	undo_set32(r, &h->nattaches, to->nattaches);
	undo_set64(r, &h->locked, to->locked);
	undo_commit(r);
}

void publish_registry(struct registry *r, const struct registry *copy)
{
	const struct layout_header *to = copy->h;
	struct layout_header *h = r->h;

	store_release(&h->undo_count, 0);
	store_release(&h->guard_count, 0);
	step("publish: undo log emptied");

	/* Nobody looks for a key meanwhile. Pairs with guard_good(). */
	store_relaxed(&h->key_guard, h->key_guard | 1);
	fence_release();
	step("publish: keys closed");

	for (uint32_t i = 0; i < to->attaches.used; i++)
		publish_words(r, (uint32_t *)(void *)&r->attaches[i],
			      (const void *)&copy->attaches[i],
			      sizeof(*r->attaches) / 4);
	for (uint32_t i = 0; i < to->procs.used; i++)
		publish_process(r, &r->procs[i], &copy->procs[i]);
	for (uint32_t i = 0; i < to->segments.used; i++)
		publish_segment(r, &r->segments[i], &copy->segments[i]);
	publish_words(r, r->key_heads, copy->key_heads, r->key_mask + 1);
	publish_words(r, r->addr_heads, copy->addr_heads, r->addr_mask + 1);
	publish_words(r, (uint32_t *)(void *)r->bitmap,
		      (const void *)copy->bitmap,
		      ((size_t)r->max_segments + 63) / 64 * 2);
	publish_header(r, to);
	step("publish: all published");
	store_release(&h->key_guard, h->key_guard + 1);
}
