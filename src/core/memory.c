/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: makes the system call, then lets the pieces follow.
 *
 * Lock: every space's 'local' from before the call until the pieces have
 * followed, and the list of spaces, with signals blocked.
 * Crash: between the call and its record the process takes both along.
 */
#include "core/memory.h"

#include "base/signals.h"
#include "core/pieces.h"
#include "core/process.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define ALIGN (LAYOUT_PAGE - 1)

bool memory_touches(uintptr_t addr, size_t length)
{
	for (struct space *sp = space_first(); sp; sp = sp->next)
		if (pieces_touch(sp, addr, length))
			return true;
	return false;
}

/* Enter every space; the list does not change meanwhile. */
static void enter_all(struct space_entry *e)
{
	signals_block(&e->signals);
	space_list_hold(&e->signals);
	for (struct space *sp = space_first(); sp; sp = sp->next) {
		process_arrive(sp);
		space_local_take(sp, &e->signals);
	}
}

/* The same, and whatever the call makes of pieces there are records for it. */
static int enter_range(struct space_entry *e, const void *addr, size_t length)
{
	uint64_t from = (uintptr_t)addr & ~(uint64_t)ALIGN;
	uint64_t to = ((uintptr_t)addr + (uint64_t)length + ALIGN) &
		      ~(uint64_t)ALIGN;
	int r = 0;

	enter_all(e);
	for (struct space *sp = space_first(); sp && r == 0; sp = sp->next)
		if (sp->me && pieces_cut(sp, from, to))
			r = pieces_prepare(sp, PIECES_NEW);
	return r;
}

static void leave_all(const struct space_entry *e)
{
	for (struct space *sp = space_first(); sp; sp = sp->next)
		space_local_release(sp);
	space_list_release();
	signals_restore(&e->signals);
}

static void all_unmap(uintptr_t from, size_t length)
{
	uint64_t to = (uint64_t)from + ((length + ALIGN) & ~(uint64_t)ALIGN);

	for (struct space *sp = space_first(); sp; sp = sp->next)
		if (sp->me && pieces_touch(sp, from, length))
			pieces_unmap(sp, from, to, NO_INDEX);
}

int memory_munmap(void *addr, size_t length)
{
	struct space_entry e;
	int r;

	r = enter_range(&e, addr, length);
	if (r == 0)
		r = sys_munmap(addr, length);
	if (r == 0)
		all_unmap((uintptr_t)addr, length);
	leave_all(&e);
	return r;
}

void *memory_mmap(void *addr, size_t length, int prot, int flags, int fd,
		  uint64_t offset)
{
	struct space_entry e;
	void *p;

	p = (void *)(intptr_t)enter_range(&e, addr, length);
	if (!p)
		p = sys_mmap(addr, length, prot, flags, fd, offset);
	if (!sys_failed(p))
		all_unmap((uintptr_t)p, length);
	leave_all(&e);
	return p;
}

/* mremap() of a piece has succeeded; 'p' is where it is now. */
static void record_mremap(struct space *sp, uintptr_t old, size_t old_size,
			  uintptr_t p, size_t new_size, int flags)
{
	uint64_t grown = (new_size + ALIGN) & ~(uint64_t)ALIGN;
	uint64_t before = (old_size + ALIGN) & ~(uint64_t)ALIGN;
	const struct layout_attach *a;
	struct ledger_piece piece;
	struct piece_change c;
	uint32_t link;

	link = pieces_next(sp, NO_INDEX, old, old + 1);
	if (link == NO_INDEX)
		return;
	a = &sp->reg.attaches[link - 1];
	piece = (struct ledger_piece){ p, grown, a->offset + (old - a->addr),
				       a->flags, a->attach };
	c = (struct piece_change){ link,
				   a->segment,
				   { a->addr, a->length, a->offset, a->flags,
				     a->attach } };

	if (p == old && old_size) {
		if (grown < before) {
			pieces_unmap(sp, old + grown, old + before, NO_INDEX);
		} else if (grown > before) {
			c.piece.length += grown - before;
			(void)pieces_change(sp, &c);
			pieces_include(sp, old, old + (uintptr_t)grown);
		}
		return;
	}
	(void)pieces_add(sp, c.segment, &piece);
	if (old_size && !(flags & MREMAP_DONTUNMAP))
		pieces_unmap(sp, old, old + before, NO_INDEX);
}

/*
 * May the range be moved? The kernel refuses more than one mapping at once,
 * if one of them is a segment's; since Linux 6.17 not if all are files'.
 */
static bool may_move(const struct space *sp, uintptr_t old, size_t old_size)
{
	uint64_t to = ((uint64_t)old + old_size + ALIGN) & ~(uint64_t)ALIGN;
	const struct layout_attach *a;
	uint32_t link;

	link = pieces_next(sp, NO_INDEX, old, to);
	if (link == NO_INDEX)
		return true;
	a = &sp->reg.attaches[link - 1];
	return a->addr <= old && a->addr + a->length >= to;
}

/* Is all of the range mapped? MS_ASYNC does nothing else. */
static bool all_mapped(uintptr_t addr, size_t length)
{
	return sys_msync((void *)(addr & ~(uintptr_t)ALIGN),
			 length + (addr & ALIGN), MS_ASYNC) != -ENOMEM;
}

/* What a FIXED mremap() that failed has unmapped all the same. */
static void settle_target(struct space *sp, uintptr_t from, size_t length)
{
	uint64_t to = ((uint64_t)from + length + ALIGN) & ~(uint64_t)ALIGN;
	uint32_t link = NO_INDEX;

	while ((link = pieces_next(sp, link, from, to)) != NO_INDEX) {
		const struct layout_attach *a = &sp->reg.attaches[link - 1];
		uint64_t start = a->addr > from ? a->addr : from;
		uint64_t end = a->addr + a->length;

		if (end > to)
			end = to;
		if (all_mapped((uintptr_t)start, (size_t)(end - start)))
			continue;
		/* All of the target went, or nothing. */
		pieces_unmap(sp, from, to, NO_INDEX);
		return;
	}
}

/* What the kernel refuses before it looks at any mapping: mremap(2). */
static bool mremap_invalid(uintptr_t old, size_t old_size, size_t new_size,
			   int flags, uintptr_t target)
{
	uint64_t from = old, length = (old_size + ALIGN) & ~(uint64_t)ALIGN;
	uint64_t size = (new_size + ALIGN) & ~(uint64_t)ALIGN;

	if (old & ALIGN || size == 0 ||
	    flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return true;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) &&
	    !(flags & MREMAP_MAYMOVE))
		return true;
	if (flags & MREMAP_DONTUNMAP && length != size)
		return true;
	return flags & MREMAP_FIXED &&
	       (target & ALIGN ||
		(from + length > target && (uint64_t)target + size > from));
}

/* 0: it is for the kernel to decide; else what the kernel would say. */
static int mremap_refused(uintptr_t old, size_t old_size, size_t new_size,
			  int flags, uintptr_t target)
{
	bool refused = false;

	if (mremap_invalid(old, old_size, new_size, flags, target))
		return 0;
	for (struct space *sp = space_first(); sp; sp = sp->next) {
		if (!sp->me)
			continue;
		if ((pieces_touch(sp, old, old_size + 1) ||
		     pieces_touch(sp, target, new_size)) &&
		    pieces_prepare(sp, PIECES_NEW) < 0)
			return -ENOMEM;
		if (old_size == 0)
			continue;
		refused |= !may_move(sp, old, old_size);

		/* What lies under a gap would stay mapped at the target. */
		refused |= flags & MREMAP_FIXED &&
			   pieces_touch(sp, target, new_size) &&
			   !all_mapped(old, old_size);
	}
	return refused ? -EFAULT : 0;
}

void *memory_mremap(void *old, size_t old_size, size_t new_size, int flags,
		    void *new_addr)
{
	uintptr_t from = (uintptr_t)old;
	struct space_entry e;
	void *p;

	enter_all(&e);
	p = (void *)(intptr_t)mremap_refused(from, old_size, new_size, flags,
					     (uintptr_t)new_addr);
	if (!p)
		p = sys_mremap(old, old_size, new_size, flags, new_addr);
	for (struct space *sp = space_first(); sp; sp = sp->next) {
		if (!sp->me)
			continue;
		if (sys_failed(p)) {
			if (flags & MREMAP_FIXED &&
			    (uintptr_t)new_addr % 4096 == 0)
				settle_target(sp, (uintptr_t)new_addr,
					      new_size);
			continue;
		}
		if (flags & MREMAP_FIXED)
			pieces_unmap(sp, (uintptr_t)p,
				     ((uintptr_t)p + new_size + ALIGN) &
					     ~(uint64_t)ALIGN,
				     NO_INDEX);
		record_mremap(sp, from, old_size, (uintptr_t)p, new_size,
			      flags);
	}
	leave_all(&e);
	return p;
}

/* ------------------------------------------------------------ properties */

/* The call returned 'r'; if it succeeded, the range is marked. */
static int mark(const struct space_entry *e, int r, uintptr_t addr,
		size_t length, uint32_t mask, uint32_t value)
{
	uint64_t from = addr & ~(uint64_t)ALIGN;
	uint64_t to = ((uint64_t)addr + length + ALIGN) & ~(uint64_t)ALIGN;

	for (struct space *sp = space_first(); sp && r == 0 && mask;
	     sp = sp->next)
		if (sp->me &&
		    pieces_touch(sp, (uintptr_t)from, (size_t)(to - from)))
			pieces_mark(sp, from, to, mask, value);
	leave_all(e);
	return r;
}

int memory_mprotect(void *addr, size_t length, int prot)
{
	struct space_entry e;
	int r = enter_range(&e, addr, length);

	if (r == 0)
		r = (int)SYS3(SYS_mprotect, addr, length, prot);
	return mark(&e, r, (uintptr_t)addr, length, PIECE_PROT,
		    (uint32_t)prot & PIECE_PROT);
}

int memory_mlock(void *addr, size_t length, int flags)
{
	struct space_entry e;
	int r = enter_range(&e, addr, length);

	if (r == 0)
		r = flags ? (int)SYS3(SYS_mlock2, addr, length, flags)
			  : (int)SYS3(SYS_mlock, addr, length, 0);
	return mark(&e, r, (uintptr_t)addr, length, PIECE_LOCKED, PIECE_LOCKED);
}

int memory_munlock(void *addr, size_t length)
{
	struct space_entry e;
	int r = enter_range(&e, addr, length);

	if (r == 0)
		r = (int)SYS3(SYS_munlock, addr, length, 0);
	return mark(&e, r, (uintptr_t)addr, length, PIECE_LOCKED, 0);
}

int memory_madvise(void *addr, size_t length, int advice)
{
	static const struct {
		int advice;
		uint32_t mask, value;
	} rows[] = {
		{ MADV_NORMAL, PIECE_SEQ | PIECE_RANDOM, 0 },
		{ MADV_RANDOM, PIECE_SEQ | PIECE_RANDOM, PIECE_RANDOM },
		{ MADV_SEQUENTIAL, PIECE_SEQ | PIECE_RANDOM, PIECE_SEQ },
		{ MADV_DONTFORK, PIECE_DONTFORK, PIECE_DONTFORK },
		{ MADV_DOFORK, PIECE_DONTFORK, 0 },
		{ MADV_DONTDUMP, PIECE_DONTDUMP, PIECE_DONTDUMP },
		{ MADV_DODUMP, PIECE_DONTDUMP, 0 },
		{ MADV_HUGEPAGE, PIECE_HUGE | PIECE_NOHUGE, PIECE_HUGE },
		{ MADV_NOHUGEPAGE, PIECE_HUGE | PIECE_NOHUGE, PIECE_NOHUGE },
	};
	uint32_t mask = 0, value = 0;
	struct space_entry e;
	int r;

	/* The rest leaves the mappings as they are. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].advice == advice) {
			mask = rows[i].mask;
			value = rows[i].value;
		}
	}
	r = enter_range(&e, addr, length);
	if (r == 0)
		r = sys_madvise(addr, length, advice);
	return mark(&e, r, (uintptr_t)addr, length, mask, value);
}
