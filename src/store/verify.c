/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing and trusts nothing: every walk is bounded by a capacity.
 */
#include "store/verify.h"

#include <sys/shm.h>

#include "store/segments.h"

struct report {
	struct text *why;
	int wrong;
};

static void wrong(struct report *rep, const char *what, uint64_t index)
{
	if (rep->wrong++ > 0)
		return;
	text_str(rep->why, what);
	text_str(rep->why, " (");
	text_uint(rep->why, index, 10, 0, ' ');
	text_str(rep->why, ")");
}

#define ANY UINT32_MAX

/* How often the slot, or ANY, is in the chains of the key table. */
static uint64_t in_key_chains(const struct registry *r, uint32_t index)
{
	uint64_t found = 0;

	for (uint32_t h = 0; h <= r->key_mask; h++) {
		uint32_t link = r->key_heads[h];

		for (uint32_t n = 0; link && n <= r->max_segments; n++) {
			const struct layout_segment *s =
				registry_segment(r, link - 1);

			if (!s)
				break;
			found += index == ANY || link - 1 == index;
			link = s->next_in_key;
		}
	}
	return found;
}

static void check_segment_list(const struct registry *r, uint32_t index,
			       struct report *rep)
{
	const struct layout_segment *s = &r->segments[index];
	uint32_t link = s->first_attach, before = NO_INDEX, n = 0;

	for (; link && n <= r->max_attaches; n++) {
		const struct layout_attach *a = registry_attach(r, link - 1);

		if (!a || a->state != ATTACH_LIVE || a->segment != index ||
		    a->seq != s->seq || a->prev_in_segment != before) {
			wrong(rep, "a segment's list of attachments is broken",
			      index);
			return;
		}
		before = link;
		link = a->next_in_segment;
	}
	if (n != s->attaches)
		wrong(rep, "a segment's attachments are miscounted", index);
}

static void check_segments(const struct registry *r, struct report *rep)
{
	const struct layout_header *h = r->h;
	uint32_t in_use = 0, unsettled = 0;
	uint64_t pages = 0, keyed = 0, locked = 0;

	for (uint32_t i = 0; i < h->segments.used; i++) {
		const struct layout_segment *s = registry_segment(r, i);
		bool bit = r->bitmap[i / 64] >> i % 64 & 1;
		uint32_t found;

		if (!s) {
			wrong(rep, "more segments used than ready", i);
			return;
		}
		if (s->guard & 1)
			wrong(rep, "a segment's guard is odd", i);
		if (s->state > SEG_DOOMED || bit != (s->state != SEG_FREE))
			wrong(rep, "a segment's state and bit differ", i);
		if (s->state == SEG_RESERVED || s->state == SEG_LIVE) {
			in_use++;
			pages += s->pages;
		}
		unsettled += s->state == SEG_RESERVED || s->state == SEG_DOOMED;
		if (s->state == SEG_LIVE && s->mode & SHM_LOCKED)
			locked += s->pages;
		if (s->state == SEG_LIVE)
			check_segment_list(r, i, rep);
		else if (s->attaches)
			wrong(rep, "a segment that is gone is attached", i);
		if (s->state != SEG_LIVE || s->key == IPC_PRIVATE)
			continue;
		keyed++;
		found = segments_find_locked(r, s->key);
		if (found != i + 1 && in_key_chains(r, i) != 1)
			wrong(rep, "a segment cannot be found by its key", i);
	}
	if (keyed != in_key_chains(r, ANY))
		wrong(rep, "the key table has strangers", keyed);
	if (in_use != h->in_use)
		wrong(rep, "segments in use are miscounted", in_use);
	if (unsettled != h->unsettled)
		wrong(rep, "unsettled segments are miscounted", unsettled);
	if (locked != h->locked)
		wrong(rep, "locked pages are miscounted", locked);
	if (pages != h->pages)
		wrong(rep, "pages are miscounted", pages);
}

static void check_process_list(const struct registry *r, uint32_t slot,
			       struct report *rep)
{
	const struct layout_proc *p = &r->procs[slot];
	uint32_t link = p->first_attach, before = NO_INDEX, n = 0;

	for (; link && n <= r->max_attaches; n++) {
		const struct layout_attach *a = registry_attach(r, link - 1);

		if (!a || a->state != ATTACH_LIVE || a->proc != slot ||
		    a->prev_in_proc != before) {
			wrong(rep, "a process's list of attachments is broken",
			      slot);
			return;
		}
		before = link;
		link = a->next_in_proc;
	}
	if (n != p->attaches)
		wrong(rep, "a process's attachments are miscounted", slot);
	if (n && claim_state(p->claim) == PROC_FREE)
		wrong(rep, "a free process slot has attachments", slot);
}

static void check_attaches(const struct registry *r, struct report *rep)
{
	const struct layout_header *h = r->h;
	uint32_t live = 0, listed = 0, link, n;
	uint64_t hashed = 0;

	for (uint32_t i = 0; i < h->attaches.used; i++) {
		const struct layout_attach *a = registry_attach(r, i);

		if (!a) {
			wrong(rep, "more attachments used than ready", i);
			return;
		}
		if (a->state != ATTACH_LIVE)
			continue;
		live++;
		if (!registry_segment(r, a->segment) ||
		    r->segments[a->segment].state != SEG_LIVE)
			wrong(rep, "an attachment of no segment", i);
		if (!registry_proc(r, a->proc))
			wrong(rep, "an attachment of no process", i);
	}
	if (live != h->nattaches)
		wrong(rep, "attachments are miscounted", live);

	link = h->free_attach;
	for (n = 0; link && n <= r->max_attaches; n++) {
		const struct layout_attach *a = registry_attach(r, link - 1);

		if (!a || a->state != ATTACH_FREE)
			break;
		link = a->next_in_addr;
	}
	if (link)
		wrong(rep, "the free list is broken", link - 1);
	if (live + n != h->attaches.used)
		wrong(rep, "attachment records are lost", n);

	for (uint32_t i = 0; i <= r->addr_mask; i++) {
		link = r->addr_heads[i];
		for (n = 0; link && n <= r->max_attaches; n++) {
			const struct layout_attach *a =
				registry_attach(r, link - 1);

			if (!a || a->state != ATTACH_LIVE)
				break;
			hashed++;
			link = a->next_in_addr;
		}
		if (link)
			wrong(rep, "an address chain is broken", i);
	}
	if (hashed != live)
		wrong(rep, "attachments cannot be found by address", hashed);

	for (uint32_t i = 0; i < h->procs.used; i++) {
		if (!registry_proc(r, i)) {
			wrong(rep, "more processes used than ready", i);
			return;
		}
		check_process_list(r, i, rep);
		listed += r->procs[i].attaches;
	}
	if (listed != live)
		wrong(rep, "attachments belong to no process", listed);
}

int verify_registry(const struct registry *r, struct text *ret_why)
{
	struct report rep = { ret_why, 0 };

	if (r->h->undo_count)
		wrong(&rep, "a change is unfinished", r->h->undo_count);
	if (r->h->guard_count)
		wrong(&rep, "guards are unsettled", r->h->guard_count);
	if (r->h->key_guard & 1)
		wrong(&rep, "the key table's guard is odd", r->h->key_guard);
	check_segments(r, &rep);
	check_attaches(r, &rep);
	return rep.wrong;
}
