/* SPDX-License-Identifier: MIT */
/*
 * Owns the records of this process's mappings of segments.
 *
 * A record is a piece: what the kernel has as one VMA. What splits a VMA
 * splits a piece, for good: the kernel does not merge those of a segment
 * again. A split counts as an attach (atime, lpid), a piece that goes as a
 * detach (dtime, lpid).
 * Lock: the space's 'local' around a mapping and its pieces together; the
 * registry's for each record. Our own list changes under 'local' only.
 * Crash: new pieces are recorded before old ones shrink or go, so there are
 * never fewer than mappings; the process takes them along.
 */
#include "core/pieces.h"

void pieces_include(struct space *sp, uintptr_t from, uintptr_t to)
{
	if (from < sp->low)
		store_release(&sp->low, from);
	if (to > sp->high)
		store_release(&sp->high, to);
}

bool pieces_touch(const struct space *sp, uintptr_t addr, size_t length)
{
	return addr < load_acquire(&sp->high) &&
	       addr + length > load_acquire(&sp->low);
}

/* One change to a record, all or nothing; grows the array when needed. */
int pieces_change(struct space *sp, const struct piece_change *c)
{
	struct ledger_event e = { sp->self.pid, sys_now() };
	struct registry *r = &sp->reg;
	int ret = 0;

	for (;;) {
		space_lock(sp);
		if (c->link == NO_INDEX)
			ret = ledger_add(r, space_slot(sp), c->segment,
					 &c->piece, &e);
		else if (c->piece.length == 0)
			ledger_remove(r, c->link - 1, space_slot(sp), &e);
		else
			ledger_change(r, c->link - 1, &c->piece);
		if (ret == 0)
			undo_commit(r);
		else
			undo_rollback(r);
		space_unlock(sp);
		if (ret != -EAGAIN)
			return ret;
		if (space_grow(sp, &r->h->attaches) < 0)
			return -ENOMEM;
	}
}

int pieces_add(struct space *sp, uint32_t segment,
	       const struct ledger_piece *piece)
{
	struct piece_change c = { NO_INDEX, segment, *piece };
	int r = pieces_change(sp, &c);

	if (r == 0)
		pieces_include(sp, (uintptr_t)piece->addr,
			       (uintptr_t)(piece->addr + piece->length));
	return r;
}

/* The first record of ours after 'link' that touches the range. */
uint32_t pieces_next(const struct space *sp, uint32_t link, uint64_t from,
		     uint64_t to)
{
	const struct registry *r = &sp->reg;

	/* Our own list changes only under our own 'local'. */
	link = link == NO_INDEX ? ledger_first(r, space_slot(sp))
				: ledger_next(r, link);
	for (; link != NO_INDEX; link = ledger_next(r, link)) {
		const struct layout_attach *a = &r->attaches[link - 1];

		if (a->addr < to && a->addr + a->length > from)
			break;
	}
	return link;
}

/* A piece of ours in the range, but not 'keep'. */
static uint32_t piece_other(const struct space *sp, uint64_t from, uint64_t to,
			    uint32_t keep)
{
	uint32_t link = pieces_next(sp, NO_INDEX, from, to);

	if (link != NO_INDEX && link == keep)
		link = pieces_next(sp, link, from, to);
	return link;
}

/*
 * The range is unmapped: records of pieces within go, others shrink, one that
 * sticks out on both sides becomes two. As the kernel, a split counts as an
 * attach (atime) and what goes as a detach (dtime).
 */
void pieces_unmap(struct space *sp, uint64_t from, uint64_t to, uint32_t keep)
{
	struct registry *r = &sp->reg;
	uint32_t link;

	while ((link = piece_other(sp, from, to, keep)) != NO_INDEX) {
		struct layout_attach *a = &r->attaches[link - 1];
		uint64_t start = a->addr, end = a->addr + a->length;
		struct ledger_piece whole = { start, a->length, a->offset,
					      a->flags, a->attach };
		struct piece_change c = { link, a->segment, whole };
		struct ledger_piece part;

		/* The parts that stay are new records; then the old one goes:
		 * never fewer than there are. */
		if (end > to) {
			part = whole;
			part.addr = to;
			part.length = end - to;
			part.offset = whole.offset + (to - start);
			(void)pieces_add(sp, c.segment, &part);
		}
		if (start < from) {
			part = whole;
			part.length = from - start;
			(void)pieces_add(sp, c.segment, &part);
		}
		c.piece.length = 0;
		(void)pieces_change(sp, &c);
	}
}

/* A piece of ours in the range whose 'mask' bits are not 'value'. */
static uint32_t piece_unlike(const struct space *sp, uint64_t from, uint64_t to,
			     uint32_t mask, uint32_t value)
{
	uint32_t link = NO_INDEX;

	while ((link = pieces_next(sp, link, from, to)) != NO_INDEX)
		if ((sp->reg.attaches[link - 1].flags & mask) != value)
			break;
	return link;
}

void pieces_mark(struct space *sp, uint64_t from, uint64_t to, uint32_t mask,
		 uint32_t value)
{
	uint32_t link;

	while ((link = piece_unlike(sp, from, to, mask, value)) != NO_INDEX) {
		const struct layout_attach *a = &sp->reg.attaches[link - 1];
		uint64_t start = a->addr, end = a->addr + a->length;
		struct ledger_piece whole = { start, a->length, a->offset,
					      a->flags, a->attach };
		struct piece_change c = { link, a->segment, whole };
		struct ledger_piece part = whole;

		if (start < from) {
			part.length = from - start;
			if (pieces_add(sp, c.segment, &part) < 0)
				return;
			c.piece.addr = from;
			c.piece.offset += from - start;
			c.piece.length -= from - start;
		}
		if (end > to) {
			part = whole;
			part.addr = to;
			part.length = end - to;
			part.offset += to - start;
			if (pieces_add(sp, c.segment, &part) < 0)
				return;
			c.piece.length -= end - to;
		}
		c.piece.flags = (whole.flags & ~mask) | value;
		(void)pieces_change(sp, &c);
	}
}
