/* SPDX-License-Identifier: MIT */
/*
 * Owns the mappings of segments in this process and their records.
 *
 * Invariant: a mapping that a program can use has a record from before shmat()
 * returns it until after it is unmapped, so nattch is never too low. Records
 * are pieces: what the kernel has as one VMA is one record.
 * Lock: the space's 'local' around the mapping and its record together; the
 * registry's for the record alone.
 * Crash: killed between the mapping and its record, or between unmapping and
 * removing the record, the process takes both along.
 */
#include "core/attach.h"

#include <string.h>
#include <sys/shm.h>

#include "base/procfs.h"
#include "base/step.h"
#include "core/pieces.h"
#include "core/sweep.h"
#include "store/perm.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define ALIGN (LAYOUT_PAGE - 1)

/* --------------------------------------------------------------- handles */

/*
 * A handle is one page of the segment, mapped where no program looks.
 * mremap() with an old size of 0 makes another mapping of the whole segment
 * from it: one system call, no descriptor. It is a mapping of its own, not
 * what the program had: that may carry protections and advice. Only for a
 * segment that this process attaches again and again: the first attach
 * remembers it, the second makes the handle. Guarded by 'local'.
 *
 * Each has its place in 'shelf', addresses that were never the program's: a
 * pointer that it should have forgotten, and unmaps, leads elsewhere.
 */
static void handle_drop(struct space_handle *h)
{
	/* The place stays ours. If it cannot be emptied, its next page does. */
	if (h->page)
		(void)sys_mmap(h->page, LAYOUT_PAGE, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				       MAP_NORESERVE,
			       -1, 0);
	*h = (struct space_handle){ 0 };
}

/* Put the page that was mapped for a handle where it belongs. */
static void handle_keep(struct space *sp, struct space_handle *h, void *page,
			uint64_t size)
{
	void *place = sp->shelf + (h - sp->handles) * LAYOUT_PAGE;

	h->page = sys_mremap(page, LAYOUT_PAGE, LAYOUT_PAGE,
			     MREMAP_MAYMOVE | MREMAP_FIXED, place);
	h->size = size;
	if (!sys_failed(h->page))
		return;
	/* The place may be anybody's now. */
	h->page = NULL;
	sp->no_handles = true;
	(void)sys_munmap(page, LAYOUT_PAGE);
}

static struct space_handle *handle_find(struct space *sp, uint32_t index,
					uint32_t seq)
{
	for (int i = 0; i < SPACE_HANDLES; i++) {
		struct space_handle *h = &sp->handles[i];

		if (h->used && h->index == index && h->seq == seq)
			return h;
	}
	return NULL;
}

static void handle_remember(struct space *sp, uint32_t index, uint32_t seq)
{
	struct space_handle *h = &sp->handles[sp->next_handle % SPACE_HANDLES];

	sp->next_handle++;
	handle_drop(h);
	*h = (struct space_handle){ .used = true, .index = index, .seq = seq };
}

/* Forget those of segments that are gone. */
static void handles_tidy(struct space *sp)
{
	for (int i = 0; i < SPACE_HANDLES; i++) {
		struct space_handle *h = &sp->handles[i];
		const struct layout_segment *s;

		if (!h->page)
			continue;
		s = &sp->reg.segments[h->index];
		if (load_relaxed(&s->state) != SEG_LIVE ||
		    load_relaxed(&s->seq) != h->seq)
			handle_drop(h);
	}
}

/* ---------------------------------------------------------------- attach */

static int segment_prot(int shmflg)
{
	return PROT_READ | (shmflg & SHM_RDONLY ? 0 : PROT_WRITE) |
	       (shmflg & SHM_EXEC ? PROT_EXEC : 0);
}

static int map_segment(struct space *sp, uint32_t index,
		       const struct layout_segment *s, uintptr_t addr,
		       bool fixed, int shmflg, void **ret_addr)
{
	uint64_t unit = s->flags & SEG_HUGE ? BACKING_HUGE_SIZE : LAYOUT_PAGE;
	uint64_t size = (s->size + unit - 1) & ~(unit - 1);
	int prot = segment_prot(shmflg), flags = 0, r;
	struct space_handle *h;
	struct directory_file file;
	void *p, *page = NULL;
	bool want_handle;

	if (fixed && addr & (unit - 1))
		return -EINVAL;
	if (fixed)
		flags = shmflg & SHM_REMAP || !addr ? MAP_FIXED
						    : MAP_FIXED_NOREPLACE;

	h = handle_find(sp, index, s->seq);
	if (h && h->page && h->size == size && !fixed &&
	    prot == (PROT_READ | PROT_WRITE)) {
		p = sys_mremap(h->page, 0, (size_t)size, MREMAP_MAYMOVE, NULL);
		if (!sys_failed(p)) {
			*ret_addr = p;
			return 0;
		}
		/* The program has unmapped it, or this Linux is an emulation
		 * that cannot duplicate a mapping: it is a short cut only. */
		if ((intptr_t)p == -EFAULT)
			h->page = NULL;
		sp->no_handles |= (intptr_t)p == -EINVAL;
		handle_drop(h);
		h = NULL;
	}
	if (!h)
		handle_remember(sp, index, s->seq);
	want_handle = h && !h->page && !sp->no_handles &&
		      !(s->flags & SEG_HUGE);

	r = directory_file_hold(&sp->dir, &sp->reg, index, s->seq, &file);
	if (r < 0)
		return r;
	r = sp->backing->map(file.path, sp->reg.uid, (void *)addr, size, prot,
			     flags, s->flags & SEG_HUGE ? BACKING_HUGE : 0, &p,
			     want_handle ? &page : NULL);
	directory_file_release(&file);
	if (r == -EEXIST)
		return -EINVAL; /* the range is not free */
	if (r < 0)
		return r;
	/* Whoever destroys the segment must know that its memory is held. */
	if (page)
		handle_keep(sp, h, page, size);
	if (want_handle && h->page)
		(void)fetch_or(&sp->reg.segments[index].flags,
			       (uint32_t)SEG_HANDLES);
	if (flags == MAP_FIXED_NOREPLACE && p != (void *)addr) {
		/* A kernel before 4.17 takes the flag for a mere wish. */
		(void)sys_munmap(p, (size_t)size);
		return -EINVAL;
	}
	*ret_addr = p;
	return 0;
}

/*
 * What shmat(2) has for what open(2) and mmap(2) say. It passes on mmap's
 * EAGAIN (mlockall) and EPERM (mmap_min_addr), which are not in its page.
 */
static int map_error(int r)
{
	switch (r) {
	case -EACCES:
	case -EAGAIN:
	case -EINVAL:
	case -EIDRM:
	case -EPERM:
		return r;
	case -EROFS:
	case -ESTALE:
		return -EACCES;
	default:
		return -ENOMEM;
	}
}

/* 'copy' is the segment as it was when it was found and allowed. */
static int attach_entered(struct space *sp, uint32_t index,
			  const struct layout_segment *copy, uintptr_t addr,
			  bool fixed, int shmflg, void **ret_addr)
{
	struct registry *r = &sp->reg;
	struct layout_segment *s = &r->segments[index];
	struct ledger_event e = { sp->self.pid, 0 };
	struct ledger_piece piece = { 0 };
	uint64_t unit;
	void *p = NULL;
	int ret;

	handles_tidy(sp);
	if (shmflg & SHM_REMAP && pieces_prepare(sp, PIECES_NEW) < 0)
		return -ENOMEM;
	ret = map_segment(sp, index, copy, addr, fixed, shmflg, &p);
	if (ret == -EIDRM && (load_acquire(&s->state) != SEG_LIVE ||
			      load_relaxed(&s->seq) != copy->seq))
		return -EINVAL; /* removed a moment ago */
	if (ret < 0)
		return map_error(ret);
	step("attach: mapped");

	unit = copy->flags & SEG_HUGE ? BACKING_HUGE_SIZE : LAYOUT_PAGE;
	piece.addr = (uintptr_t)p;
	piece.length = (copy->size + unit - 1) & ~(unit - 1);
	piece.flags = ((uint32_t)shmflg & PIECE_ATTACHED) |
		      (uint32_t)segment_prot(shmflg);

	/* Nobody can use the mapping yet: if the segment went meanwhile, it
	 * was never attached. */
	for (;;) {
		space_lock(sp);
		ret = -EINVAL;
		if (s->state == SEG_LIVE && s->seq == copy->seq) {
			e.now = sys_now();
			ret = ledger_add(r, space_slot(sp), index, &piece, &e);
		}
		if (ret == 0)
			undo_commit(r);
		else
			undo_rollback(r);
		space_unlock(sp);
		if (ret != -EAGAIN)
			break;
		ret = -ENOMEM;
		if (space_grow(sp, &r->h->attaches) < 0)
			break;
	}
	/* What it was mapped over goes after it came: it may have been the last
	 * attachment of this very segment. */
	if (shmflg & SHM_REMAP)
		pieces_unmap(sp, piece.addr, piece.addr + piece.length,
			     ret < 0 ? NO_INDEX
				     : ledger_first(r, space_slot(sp)));
	if (ret < 0) {
		(void)sys_munmap(p, (size_t)piece.length);
		return ret;
	}
	step("attach: recorded");

	/* The kernel's segments are in core files; to it ours are files. */
	if (!sp->dumped) {
		sp->dumped = true;
		procfs_dump_shared_files();
	}
	pieces_include(sp, (uintptr_t)p,
		       (uintptr_t)(piece.addr + piece.length));
	*ret_addr = p;
	return 0;
}

int attach_segment(struct space *sp, int id, uintptr_t addr, int flags,
		   void **ret_addr)
{
	bool fixed = addr != 0;
	struct layout_segment s;
	struct space_entry e;
	unsigned want;
	int r;

	if (id < 0)
		return -EINVAL;
	if (addr & ALIGN) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		addr &= ~(uintptr_t)ALIGN;
	}
	/* Rounded to 0 stays an address to the kernel: it maps page 0. */
	if (!addr && flags & SHM_REMAP)
		return -EINVAL;

	r = space_read_id(sp, id, &s);
	if (r < 0)
		return r;
	want = flags & SHM_RDONLY ? 04 : 06;
	if (flags & SHM_EXEC)
		want |= 01;
	r = perm_check(&s, want);
	if (r < 0)
		return r;
	if (addr && addr + s.size < addr)
		return flags & SHM_REMAP ? -ENOMEM : -EINVAL;

	r = space_enter(sp, &e);
	if (r < 0)
		return r;
	r = attach_entered(sp, registry_index(&sp->reg, id), &s, addr, fixed,
			   flags, ret_addr);
	if (r < 0)
		sweep_unattachable(sp, registry_index(&sp->reg, id), s.seq);
	space_leave(sp, &e);
	return r;
}

/* ---------------------------------------------------------------- detach */

/* Where nothing of ours was ever attached, a damaged record unmaps nothing. */
static bool is_ours(const struct space *sp, const struct layout_attach *a)
{
	return a->addr >= sp->low && a->addr < sp->high &&
	       a->length <= sp->high - a->addr;
}

/*
 * The kernel's rule: the lowest piece at or above 'addr' that lies where it
 * would lie had the whole been attached at 'addr'.
 */
static uint32_t detach_find(const struct space *sp, uint64_t addr)
{
	const struct registry *r = &sp->reg;
	uint32_t found = NO_INDEX, link;

	for (link = ledger_first(r, space_slot(sp)); link != NO_INDEX;
	     link = ledger_next(r, space_slot(sp), link)) {
		const struct layout_attach *a = &r->attaches[link - 1];

		if (a->addr >= addr && a->addr - addr == a->offset &&
		    is_ours(sp, a) &&
		    (found == NO_INDEX ||
		     a->addr < r->attaches[found - 1].addr))
			found = link;
	}
	return found;
}

static void detach_piece(struct space *sp, uint32_t link)
{
	const struct layout_attach *a = &sp->reg.attaches[link - 1];
	struct piece_change c = { link, a->segment, { 0 } };

	/* What stays mapped stays counted. shmdt(2) succeeds all the same. */
	if (sys_munmap((void *)(uintptr_t)a->addr, (size_t)a->length) < 0)
		return;
	step("attach: unmapped");
	(void)pieces_change(sp, &c);
}

static int detach_entered(struct space *sp, uint64_t addr)
{
	struct registry *r = &sp->reg;
	uint64_t attach, end;
	uint32_t link;

	space_lock(sp);
	link = ledger_find(r, space_slot(sp), addr);
	space_unlock(sp);
	if (link == NO_INDEX || r->attaches[link - 1].offset != 0 ||
	    !is_ours(sp, &r->attaches[link - 1]))
		link = detach_find(sp, addr);
	if (link == NO_INDEX)
		return -EINVAL;

	attach = r->attaches[link - 1].attach;
	end = r->segments[r->attaches[link - 1].segment].size;
	end = addr + ((end + ALIGN) & ~(uint64_t)ALIGN);
	if (load_relaxed(&r->segments[r->attaches[link - 1].segment].flags) &
	    SEG_HUGE)
		end = UINT64_MAX;

	/* It, and the later pieces of the same attach that lie in place. */
	if (r->attaches[link - 1].addr + r->attaches[link - 1].length >= end) {
		detach_piece(sp, link);
		return 0;
	}
	detach_piece(sp, link);
	for (link = ledger_first(r, space_slot(sp)); link != NO_INDEX;) {
		const struct layout_attach *a = &r->attaches[link - 1];
		uint32_t next = ledger_next(r, space_slot(sp), link);

		if (a->attach == attach && a->addr >= addr &&
		    a->addr - addr == a->offset && is_ours(sp, a) &&
		    a->addr + a->length <= end)
			detach_piece(sp, link);
		link = next;
	}
	return 0;
}

int attach_detach(struct space *sp, uintptr_t addr)
{
	struct space_entry e;
	int r;

	if (addr & ALIGN)
		return -EINVAL;
	r = space_enter(sp, &e);
	if (r < 0)
		return r;
	r = detach_entered(sp, addr);
	space_leave(sp, &e);
	return r;
}
