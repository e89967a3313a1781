/* SPDX-License-Identifier: MIT */
/*
 * Owns the attachment records and the three lists that each is in: its
 * segment's, its process's, and the chain of its start address.
 *
 * Invariant: a record is LIVE exactly while it is in all three lists and
 * counted in 'attaches' of its segment and of its process; otherwise it is on
 * the free list or was never used. Where damage has broken that, a walk ends,
 * and what is behind counts as attached.
 * Lock: the registry's, with the undo log; the list of a segment is read
 * under the segment's guard.
 * Crash: a half-done change is undone; records of a dead process stay until
 * somebody sweeps its slot, one record a change.
 */
#include "store/ledger.h"

#include <sys/shm.h>

#include "base/step.h"
#include "store/procs.h"
#include "store/segments.h"

#define TRIES 8

/* ------------------------------------------------------ without the lock */

static int suspects_try(const struct registry *r,
			const struct layout_segment *s, uint32_t *ret_slots,
			int max)
{
	uint32_t link = load_relaxed(&s->first_attach);
	uint64_t claim;
	int found = 0;

	for (uint32_t n = 0; link != NO_INDEX && n < r->max_attaches; n++) {
		const struct layout_attach *a = registry_attach(r, link - 1);
		uint32_t slot;
		bool known = false;

		if (!a)
			return -EBUSY;
		slot = load_relaxed(&a->proc);
		link = load_relaxed(&a->next_in_segment);
		if (!procs_is_suspect(r, slot, &claim))
			continue;
		for (int i = 0; i < found && !known; i++)
			known = ret_slots[i] == slot;
		if (!known && found < max)
			ret_slots[found++] = slot;
	}
	return found;
}

/* Suspects of the whole namespace, attached here or not. */
static int suspects_all(const struct registry *r, uint32_t *ret_slots, int max)
{
	uint32_t from = 0, slot;
	uint64_t claim;
	int found = 0;

	while (found < max &&
	       procs_suspect(r, from, UINT32_MAX, &slot, &claim)) {
		ret_slots[found++] = slot;
		from = slot + 1;
	}
	return found;
}

int ledger_suspects(const struct registry *r, uint32_t index,
		    uint32_t *ret_slots, int max)
{
	const struct layout_segment *s = registry_segment(r, index);

	if (!s)
		return -EINVAL;

	/* Whichever is shorter: a process may attach a segment 65,000 times. */
	if (load_relaxed(&s->attaches) > load_relaxed(&r->h->procs.used))
		return suspects_all(r, ret_slots, max);
	for (int i = 0; i < TRIES; i++) {
		uint32_t begun = guard_begin(&s->guard);
		int found = suspects_try(r, s, ret_slots, max);

		if (found >= 0 && guard_good(&s->guard, begun))
			return found;
		cpu_relax();
	}
	return -EBUSY;
}

int ledger_read(const struct registry *r, uint32_t index,
		struct layout_attach *ret)
{
	uint32_t used = load_acquire(&r->h->attaches.used);
	const struct layout_attach *a = registry_attach(r, index);
	const word64 *from = (const void *)a;
	uint64_t *to = (void *)ret;

	if (!a || index >= used)
		return -EINVAL;
	for (size_t w = 0; w < sizeof(*a) / 8; w++)
		to[w] = load_relaxed(&from[w]);
	return ret->state == ATTACH_LIVE ? 0 : -ENOENT;
}

/* ---------------------------------------------------------------- locked */

uint32_t *ledger_addr_head(const struct registry *r, uint32_t proc,
			   uint64_t addr)
{
	uint64_t h = (addr >> 12) * UINT64_C(0x9e3779b97f4a7c15) +
		     proc * UINT64_C(0xd6e8feb86659fd93);

	return &r->addr_heads[(h >> 40) & r->addr_mask];
}

static void addr_insert(struct registry *r, uint32_t index)
{
	struct layout_attach *a = &r->attaches[index];
	uint32_t *head = ledger_addr_head(r, a->proc, a->addr);

	undo_set32(r, &a->next_in_addr, *head);
	undo_set32(r, head, index + 1);
}

static void addr_delete(struct registry *r, uint32_t index)
{
	struct layout_attach *a = &r->attaches[index];
	uint32_t *link = ledger_addr_head(r, a->proc, a->addr);

	for (uint32_t n = 0; *link != NO_INDEX && n < r->max_attaches; n++) {
		struct layout_attach *at = registry_attach(r, *link - 1);

		if (!at)
			return;
		if (*link == index + 1) {
			undo_set32(r, link, a->next_in_addr);
			return;
		}
		link = &at->next_in_addr;
	}
}

/*
 * A free record, taken off the free list or the unused rest. A list that is
 * damaged is given up: its records are lost, and no record is taken twice.
 */
static int record_take(struct registry *r, uint32_t *ret_index)
{
	struct layout_header *h = r->h;
	uint32_t index = h->free_attach - 1;
	struct layout_attach *a;

	if (h->free_attach != NO_INDEX) {
		a = registry_attach(r, index);
		if (a && a->state == ATTACH_FREE) {
			undo_set32(r, &h->free_attach, a->next_in_addr);
			*ret_index = index;
			return 0;
		}
		undo_set32(r, &h->free_attach, NO_INDEX);
	}
	index = h->attaches.used;
	while ((a = registry_attach(r, index)) && a->state != ATTACH_FREE)
		index++;
	if (!a)
		return -EAGAIN;
	undo_set32(r, &h->attaches.used, index + 1);
	*ret_index = index;
	return 0;
}

/* One more or one less. A damaged count stays where it ends: too high. */
static void count_up(struct registry *r, uint32_t *count)
{
	if (*count != UINT32_MAX)
		undo_set32(r, count, *count + 1);
}

static void count_down(struct registry *r, uint32_t *count)
{
	if (*count != 0 && *count != UINT32_MAX)
		undo_set32(r, count, *count - 1);
}

int ledger_add(struct registry *r, uint32_t proc, uint32_t segment,
	       const struct ledger_piece *piece, const struct ledger_event *e)
{
	struct layout_segment *s = registry_segment(r, segment);
	struct layout_proc *p = &r->procs[proc];
	struct layout_attach *a, *next;
	uint32_t index;
	int ret;

	if (!s)
		return -EINVAL;
	ret = record_take(r, &index);
	if (ret < 0)
		return ret;
	undo_guard(r, &s->guard);

	/* Nobody sees the record's own fields before its state is LIVE. */
	a = &r->attaches[index];
	store_relaxed(&a->proc, proc);
	store_relaxed(&a->addr, piece->addr);
	store_relaxed(&a->length, piece->length);
	store_relaxed(&a->offset, piece->offset);
	store_relaxed(&a->registry, 0);
	store_relaxed(&a->segment, segment);
	store_relaxed(&a->seq, s->seq);
	store_relaxed(&a->flags, piece->flags);
	store_relaxed(&a->since, e->now);
	store_relaxed(&a->attach,
		      piece->attach ? piece->attach : r->h->next_attach);
	store_relaxed(&a->prev_in_segment, NO_INDEX);
	store_relaxed(&a->prev_in_proc, NO_INDEX);
	store_relaxed(&a->next_in_segment, s->first_attach);
	store_relaxed(&a->next_in_proc, p->first_attach);
	if (!piece->attach)
		undo_set64(r, &r->h->next_attach, r->h->next_attach + 1);
	addr_insert(r, index);

	next = registry_attach(r, s->first_attach - 1);
	if (next)
		undo_set32(r, &next->prev_in_segment, index + 1);
	undo_set32(r, &s->first_attach, index + 1);
	count_up(r, &s->attaches);
	next = registry_attach(r, p->first_attach - 1);
	if (next)
		undo_set32(r, &next->prev_in_proc, index + 1);
	undo_set32(r, &p->first_attach, index + 1);
	count_up(r, &p->attaches);
	count_up(r, &r->h->nattaches);
	undo_set32(r, &a->state, ATTACH_LIVE);
	/* Undone or not: in doubt there is something to sync. */
	if (r->h->features & LAYOUT_DURABLE && !(piece->flags & SHM_RDONLY))
		(void)fetch_or(&s->flags, (uint32_t)SEG_UNSYNCED);

	if (e->pid) {
		undo_set_i64(r, &s->atime, e->now);
		undo_set_i32(r, &s->lpid, e->pid);
	}
	return 0;
}

/* Both neighbours, or the head, lead to the record. */
static bool in_segment_list(const struct registry *r, uint32_t index)
{
	const struct layout_attach *a = &r->attaches[index], *prev, *next;
	const struct layout_segment *s = registry_segment(r, a->segment);

	prev = registry_attach(r, a->prev_in_segment - 1);
	next = registry_attach(r, a->next_in_segment - 1);
	return s &&
	       (a->prev_in_segment == NO_INDEX
			? s->first_attach == index + 1
			: prev && prev->next_in_segment == index + 1) &&
	       (a->next_in_segment == NO_INDEX ||
		(next && next->prev_in_segment == index + 1));
}

static bool in_proc_list(const struct registry *r, uint32_t index)
{
	const struct layout_attach *a = &r->attaches[index], *prev, *next;
	const struct layout_proc *p = registry_proc(r, a->proc);

	prev = registry_attach(r, a->prev_in_proc - 1);
	next = registry_attach(r, a->next_in_proc - 1);
	return p &&
	       (a->prev_in_proc == NO_INDEX
			? p->first_attach == index + 1
			: prev && prev->next_in_proc == index + 1) &&
	       (a->next_in_proc == NO_INDEX ||
		(next && next->prev_in_proc == index + 1));
}

/* Can it be taken out of both lists? Only of damaged ones it cannot. */
static bool removable(const struct registry *r, uint32_t index)
{
	return in_segment_list(r, index) && in_proc_list(r, index);
}

void ledger_remove(struct registry *r, uint32_t index, uint32_t me,
		   const struct ledger_event *e)
{
	struct layout_attach *a = &r->attaches[index];
	struct layout_segment *s;
	struct layout_proc *p;

	/* Of a damaged list: it means nothing any more, but keeps its place,
	 * and nattch stays too high. */
	if (!removable(r, index)) {
		undo_set32(r, &a->state, ATTACH_FREE);
		return;
	}
	s = &r->segments[a->segment];
	p = &r->procs[a->proc];
	undo_guard(r, &s->guard);
	addr_delete(r, index);

	if (a->prev_in_segment != NO_INDEX)
		undo_set32(r,
			   &r->attaches[a->prev_in_segment - 1].next_in_segment,
			   a->next_in_segment);
	else
		undo_set32(r, &s->first_attach, a->next_in_segment);
	if (a->next_in_segment != NO_INDEX)
		undo_set32(r,
			   &r->attaches[a->next_in_segment - 1].prev_in_segment,
			   a->prev_in_segment);
	count_down(r, &s->attaches);

	if (a->prev_in_proc != NO_INDEX)
		undo_set32(r, &r->attaches[a->prev_in_proc - 1].next_in_proc,
			   a->next_in_proc);
	else
		undo_set32(r, &p->first_attach, a->next_in_proc);
	if (a->next_in_proc != NO_INDEX)
		undo_set32(r, &r->attaches[a->next_in_proc - 1].prev_in_proc,
			   a->prev_in_proc);
	count_down(r, &p->attaches);

	undo_set32(r, &a->state, ATTACH_FREE);
	undo_set32(r, &a->next_in_addr, r->h->free_attach);
	undo_set32(r, &r->h->free_attach, index + 1);
	count_down(r, &r->h->nattaches);

	if (e->pid) {
		undo_set_i64(r, &s->dtime, e->now);
		undo_set_i32(r, &s->lpid, e->pid);
	}
	if (segments_unattached(s) && load_relaxed(&s->flags) & SEG_UNSYNCED)
		undo_set32(r, &r->h->due, r->h->due + 1);
	if (segments_unattached(s) && s->state == SEG_LIVE &&
	    (s->mode & SHM_DEST || r->h->rmid_forced))
		segments_doom(r, a->segment, me);
}

void ledger_change(struct registry *r, uint32_t index,
		   const struct ledger_piece *piece)
{
	struct layout_attach *a = &r->attaches[index];

	if (a->addr != piece->addr) {
		addr_delete(r, index);
		undo_set64(r, &a->addr, piece->addr);
		addr_insert(r, index);
	}
	undo_set64(r, &a->length, piece->length);
	undo_set64(r, &a->offset, piece->offset);
	undo_set32(r, &a->flags, piece->flags);
}

uint32_t ledger_find(const struct registry *r, uint32_t proc, uint64_t addr)
{
	uint32_t link = *ledger_addr_head(r, proc, addr);

	for (uint32_t n = 0; link != NO_INDEX && n < r->max_attaches; n++) {
		const struct layout_attach *a = registry_attach(r, link - 1);

		if (!a)
			return NO_INDEX;
		if (a->proc == proc && a->addr == addr &&
		    a->state == ATTACH_LIVE && registry_segment(r, a->segment))
			return link;
		link = a->next_in_addr;
	}
	return NO_INDEX;
}

/*
 * A link of the list of 'proc', if the record that it leads to leads back to
 * 'from'. Only a damaged list has others; and where every link leads back
 * there is no circle.
 */
static uint32_t link_checked(const struct registry *r, uint32_t link,
			     uint32_t proc, uint32_t from)
{
	const struct layout_attach *a = registry_attach(r, link - 1);

	return a && a->prev_in_proc == from && a->proc == proc &&
			       a->state == ATTACH_LIVE &&
			       registry_segment(r, a->segment)
		       ? link
		       : NO_INDEX;
}

uint32_t ledger_first(const struct registry *r, uint32_t proc)
{
	return link_checked(r, r->procs[proc].first_attach, proc, NO_INDEX);
}

uint32_t ledger_next(const struct registry *r, uint32_t proc, uint32_t link)
{
	return link_checked(r, r->attaches[link - 1].next_in_proc, proc, link);
}

void ledger_sweep(struct registry *r, uint32_t slot, uint64_t claim,
		  uint32_t me, int64_t now)
{
	struct layout_proc *p = registry_proc(r, slot);
	struct ledger_event e = { claim_pid(claim), now };
	uint32_t link;

	if (!p || slot == me || !procs_condemn(r, slot, claim))
		return;
	step("ledger: condemned");
	if (load_relaxed(&p->exit_time))
		e.now = load_relaxed(&p->exit_time);
	while ((link = ledger_first(r, slot)) != NO_INDEX &&
	       removable(r, link - 1)) {
		ledger_remove(r, link - 1, me, &e);
		undo_commit(r);
		step("ledger: swept a record");
	}
	if (p->attaches || p->first_attach != NO_INDEX)
		return; /* damaged: it stays, and counts as attached */
	segments_inherit(r, slot, me);
	procs_free(r, slot);
}
