/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of ranges: an array in the order of addresses, which do not
 * overlap.
 *
 * Lock: the mapping lock. The bounds only ever widen, and are read without it.
 * A process that dies takes it along.
 */
#include "core/ranges.h"

#include <string.h>

#include "base/atomic.h"
#include "base/sys.h"
#include "core/mapping_parts.h"

static struct range *ranges;
static unsigned count, room;

static uintptr_t low = UINTPTR_MAX, high;

bool ranges_touch(uintptr_t addr, size_t length)
{
	return addr < load_acquire(&high) &&
	       (addr + length > load_acquire(&low) || addr + length < addr);
}

int ranges_reserve(unsigned n)
{
	size_t size = room * sizeof(struct range), more;
	void *p;

	if (count + n <= room)
		return 0;
	more = size ? 2 * size : 4096;
	p = size ? sys_mremap(ranges, size, more, MREMAP_MAYMOVE, NULL)
		 : sys_mmap(NULL, more, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(p))
		return -ENOMEM;
	ranges = p;
	room = (unsigned)(more / sizeof(struct range));
	return ranges_reserve(n);
}

/* The index of the first that ends after 'addr'. */
static unsigned find(uintptr_t addr)
{
	unsigned from = 0, to = count;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (ranges[middle].to > addr)
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

struct range *ranges_after(uintptr_t addr)
{
	unsigned i = find(addr);

	return i < count ? &ranges[i] : NULL;
}

/* What is written there is not tracked, or what was is not known any more. */
static void forget_tracks(const struct mapping_file *f)
{
	if (f->object)
		f->object->tracked = 0;
}

void ranges_add(const struct range *r)
{
	unsigned i = find(r->from);

	memmove(&ranges[i + 1], &ranges[i], (count - i) * sizeof(*r));
	ranges[i] = *r;
	count++;
	r->file->ranges++;
	forget_tracks(r->file);
	if (r->from < low)
		store_release(&low, r->from);
	if (r->to > high)
		store_release(&high, r->to);
}

void ranges_cut(uintptr_t at)
{
	struct range *r = ranges_after(at), rest;

	if (!r || r->from >= at)
		return;
	rest = *r;
	rest.from = at;
	rest.offset += at - r->from;
	r->to = at;
	ranges_add(&rest);
}

void ranges_remove(uintptr_t from, uintptr_t to)
{
	unsigned first, end;

	if (from >= to)
		return;
	ranges_cut(from);
	ranges_cut(to);
	first = end = find(from);
	while (end < count && ranges[end].from < to) {
		struct mapping_file *f = ranges[end++].file;

		f->ranges--;
		forget_tracks(f);
	}
	memmove(&ranges[first], &ranges[end], (count - end) * sizeof(*ranges));
	count -= end - first;
}
