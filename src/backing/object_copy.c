/* SPDX-License-Identifier: MIT */
/*
 * Owns the bytes of an object: three versions of each page of a file.
 *
 * The page is what programs see and store into, at any time. The shadow is what
 * the file is known to hold. Invariant: where page and shadow are equal nothing
 * is to be written; where they differ, the page is newer. A page is written
 * from a copy, and the copy becomes the shadow: a store that comes meanwhile
 * differs from it and goes next time.
 * Lock: the object's, for all but the programs' own stores.
 * Crash: while a range of the file may hold neither page nor shadow, the header
 * says so (the intent); object_recover.c finishes it. The header's
 * size grows after its bytes came, and shrinks after they went.
 */
#include "backing/object_copy.h"

#include <string.h>

#include "backing/linger.h"
#include "base/fsize.h"
#include "base/step.h"
#include "base/transfer.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MASK (uint64_t)(OBJECT_PAGE - 1)

static uint64_t whole(uint64_t size)
{
	return (size + MASK) & ~MASK;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void copy_intend(struct object *o, enum object_intent what, uint64_t from,
		 uint64_t to)
{
	store_release(&o->h->intent, INTENT_NONE);
	o->h->from = from;
	o->h->to = to;
	store_release(&o->h->intent, (uint32_t)what);
}

/* As many bytes as there are, which may be fewer; or -errno. */
static int64_t read_all(int fd, char *buf, uint64_t size, uint64_t at)
{
	uint64_t done = 0;

	while (done < size) {
		long n = sys_pread(fd, buf + done, (size_t)(size - done),
				   at + done);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

/* --------------------------------------------------------------- the size */

void *copy_map_control(const struct object *o, uint64_t offset, uint64_t length)
{
	int prot = o->may_share ? PROT_READ | PROT_WRITE : PROT_READ;
	int fd = linger_raise(
		linger_reopen(o->ctl, o->may_share ? O_RDWR : O_RDONLY));
	void *p;

	p = sys_mmap(NULL, (size_t)length, prot, MAP_SHARED,
		     fd < 0 ? o->ctl : fd, offset);
	if (fd >= 0)
		(void)sys_close(fd);
	return p;
}

int copy_view(struct object *o, uint64_t size)
{
	uint64_t room = whole(size);
	void *page, *shadow;
	int prot = o->may_share ? PROT_READ | PROT_WRITE : PROT_READ;

	if (room <= o->room)
		return 0;
	if (room > SIZE_MAX / 4)
		return -ENOMEM;
	page = sys_mmap(NULL, (size_t)room, prot, MAP_SHARED, o->pages, 0);
	if (sys_failed(page))
		return (int)(intptr_t)page;
	shadow = copy_map_control(o, OBJECT_PAGE, room);
	if (sys_failed(shadow)) {
		(void)sys_munmap(page, (size_t)room);
		return (int)(intptr_t)shadow;
	}
	if (o->room) {
		(void)sys_munmap(o->page, (size_t)o->room);
		(void)sys_munmap(o->shadow, (size_t)o->room);
	}
	o->page = page;
	o->shadow = shadow;
	o->room = room;
	return 0;
}

/* What lies beyond the end of the file in its last page is zero. */
static void shrink(struct object *o, uint64_t size)
{
	uint64_t end = lesser(whole(size), o->room);

	if (end > size) {
		memset(o->page + size, 0, (size_t)(end - size));
		memset(o->shadow + size, 0, (size_t)(end - size));
	}
	step("object: tail cleared");
	store_release(&o->h->size, size);
	o->size = size;
}

/* One page, or a part: the file's bytes win, but for what was stored since. */
static void merge(struct object *o, uint64_t at, const char *bytes, uint64_t n)
{
	char *page = o->page + at, *shadow = o->shadow + at;

	if (memcmp(shadow, bytes, (size_t)n) == 0)
		return;
	for (uint64_t i = 0; i < n; i++) {
		/* Not even the same byte: it may be stored to just now. */
		if (shadow[i] == bytes[i])
			continue;
		if (page[i] == shadow[i])
			page[i] = bytes[i];
		shadow[i] = bytes[i];
	}
}

/* All memory that 'size' bytes need, now: a full /dev/shm is no SIGBUS. */
static int reserve(struct object *o, uint64_t size)
{
	int r = fsize_allocate(o->ctl, OBJECT_PAGE, whole(size));

	if (r == 0)
		r = fsize_reserve(o->pages, 0, whole(size));
	return r;
}

/* All that is about to be touched comes in by one call, not by a fault for each
 * page. Without Linux 5.14 it comes by faults. */
static void populate(char *memory, uint64_t at, uint64_t size)
{
	at &= ~MASK;
	(void)sys_madvise(memory + at, (size_t)(whole(size) - at),
			  MADV_POPULATE_WRITE);
}

/* The next bytes of the file where a page is there already: somebody who sees
 * the file's new size may have stored to it. */
static int64_t fill_there(struct object *o, uint64_t at, uint64_t n)
{
	int64_t got = read_all(o->file, o->scratch, n, at);

	if (got > 0)
		merge(o, at, o->scratch, (uint64_t)got);
	return got;
}

/* And where none is: it comes with its bytes, for it can be touched at once. */
static int64_t fill_new(struct object *o, uint64_t at, uint64_t n)
{
	int64_t got = read_all(o->file, o->shadow + at, n, at);
	struct iovec iov = { o->shadow + at, (size_t)(got > 0 ? got : 0) };
	int r;

	if (got <= 0)
		return got;
	r = fsize_pwritev(o->pages, &iov, 1, at, (uint64_t)got);
	/* There are whole pages only. */
	if (r >= 0 && (at + (uint64_t)got) & MASK)
		r = fsize_truncate(o->pages, whole(at + (uint64_t)got));
	return r < 0 ? r : got;
}

/*
 * How far there are pages that may be newer than the file. Where the shadow is
 * missing nobody can tell: those go. Else there is a shadow for each page.
 */
static int pages_there(struct object *o, uint64_t *ret_there)
{
	struct sys_stat pages, ctl;
	uint64_t room;
	int r;

	r = sys_fstat(o->pages, &pages);
	if (r == 0)
		r = sys_fstat(o->ctl, &ctl);
	if (r < 0)
		return r;
	room = ctl.size < OBJECT_PAGE ? 0 : whole(ctl.size - OBJECT_PAGE);
	*ret_there = lesser(whole(pages.size), room);
	return pages.size > room ? sys_ftruncate(o->pages, room) : 0;
}

/* Fill from the file what came since. */
static int grow(struct object *o, uint64_t size)
{
	uint64_t at = o->size, begin = at, there = 0;
	int r;

	r = pages_there(o, &there);
	if (r == 0)
		r = reserve(o, size);
	if (r == 0)
		r = copy_view(o, size);
	if (r < 0) {
		/* Give back what was got of it. */
		(void)sys_ftruncate(o->pages, whole(at));
		(void)sys_ftruncate(o->ctl, OBJECT_PAGE + whole(at));
		return r == -ENOSPC || r == -EFBIG ? -ENOMEM : r;
	}
	step("object: memory reserved");
	populate(o->shadow, at, size);
	while (at < size) {
		uint64_t want = lesser(OBJECT_SCRATCH - (at & MASK), size - at);
		int64_t n;

		if (at < there)
			want = lesser(want, there - at);
		n = at < there ? fill_there(o, at, want)
			       : fill_new(o, at, want);
		if (n < 0)
			return (int)n;
		at += (uint64_t)n;
		store_release(&o->h->size, at);
		o->size = at;
		step("object: filled");
		if ((uint64_t)n < want)
			break; /* it is shrinking under us */
	}
	populate(o->page, begin, at);
	return 0;
}

/* The header may hold anything: what is here is what can be touched. */
static uint64_t here(const struct object *o, const struct sys_stat *pages,
		     const struct sys_stat *ctl)
{
	uint64_t room = ctl->size < OBJECT_PAGE ? 0 : ctl->size - OBJECT_PAGE;

	return lesser(load_acquire(&o->h->size), lesser(pages->size, room));
}

void copy_clear_tail(struct object *o)
{
	if (o->may_share)
		shrink(o, o->size);
}

int copy_measure(struct object *o)
{
	struct sys_stat pages, ctl;
	uint64_t size;
	int r;

	r = sys_fstat(o->pages, &pages);
	if (r == 0)
		r = sys_fstat(o->ctl, &ctl);
	if (r < 0)
		return r;
	size = here(o, &pages, &ctl);
	if (size > o->max)
		return -EFBIG;
	r = copy_view(o, size);
	if (r == 0)
		o->size = size;
	return r;
}

int copy_follow(struct object *o, bool ask)
{
	int64_t now = sys_file_size(o->file, ask);
	struct sys_stat pages, ctl;
	uint64_t size, want;
	int r;

	if (now < 0)
		return (int)now;
	r = sys_fstat(o->pages, &pages);
	if (r == 0)
		r = sys_fstat(o->ctl, &ctl);
	if (r < 0)
		return r;

	want = lesser((uint64_t)now, o->max);
	o->strange = load_acquire(&o->h->size) != (uint64_t)now;
	size = lesser(here(o, &pages, &ctl), o->max);
	r = copy_view(o, size);
	if (r < 0)
		return r;
	o->size = size;
	if (!o->may_share)
		return 0;
	if (want < size || size != load_relaxed(&o->h->size))
		shrink(o, lesser(want, size));
	if (pages.size > whole(want))
		(void)sys_ftruncate(o->pages, whole(want));
	if (ctl.size > OBJECT_PAGE + whole(want))
		(void)sys_ftruncate(o->ctl, OBJECT_PAGE + whole(want));
	return want > o->size ? grow(o, want) : 0;
}

/* ------------------------------------------------------------------- pull */

static uint64_t page_end(const struct object *o, uint64_t at)
{
	return lesser((at & ~MASK) + OBJECT_PAGE, o->size);
}

int copy_read(struct object *o, uint64_t from, uint64_t to, copy_page *f)
{
	to = lesser(to, o->size);
	while (from < to) {
		uint64_t want = lesser(OBJECT_SCRATCH, to - from), done = 0;
		int64_t n = read_all(o->file, o->scratch, want, from);

		if (n < 0)
			return (int)n;
		while (done < (uint64_t)n) {
			uint64_t length = page_end(o, from + done) -
					  (from + done);

			length = lesser(length, (uint64_t)n - done);
			f(o, from + done, o->scratch + done, length);
			done += length;
		}
		if (done < want)
			break; /* it is shrinking: the next look follows */
		from += done;
	}
	return 0;
}

int copy_pull(struct object *o, uint64_t from, uint64_t to)
{
	int r;

	if (!o->may_share)
		return 0;
	r = copy_read(o, from, to, merge);
	step("object: pulled");
	return r;
}

/* ------------------------------------------------------------------- push */

size_t copy_newer(const struct object *o, uint64_t at)
{
	size_t n = (size_t)(page_end(o, at) - at);

	return memcmp(o->page + at, o->shadow + at, n) != 0 ? n : 0;
}

/* Write what is in the scratch, and know that the file holds it. */
static int write_run(struct object *o, uint64_t at, uint64_t length)
{
	int r;

	copy_intend(o, INTENT_PUSH, at, at + length);
	step("object: push intended");
	r = transfer_put(o->file, at, o->scratch, (size_t)length);
	step("object: pushed");
	if (r == 0)
		memcpy(o->shadow + at, o->scratch, (size_t)length);
	step("object: shadow follows");
	/* After an error the pages stay newer. */
	store_release(&o->h->intent, INTENT_NONE);
	return r;
}

/* How much from there on is to be written in one piece. */
static uint64_t newer_run(const struct object *o, uint64_t at, uint64_t to,
			  bool all)
{
	uint64_t run = 0;

	while (at + run < to && run + OBJECT_PAGE <= OBJECT_SCRATCH &&
	       (all || copy_newer(o, at + run)))
		run += page_end(o, at + run) - (at + run);
	return run;
}

/*
 * From a page boundary on; 'all': also what does not differ. The file may have
 * been written to by who does not ask us: what is changed there stays.
 */
static int push_pages(struct object *o, uint64_t at, uint64_t to, bool all)
{
	int r = 0, failed = 0;

	to = lesser(to, o->size);
	while (at < to) {
		uint64_t run = newer_run(o, at, to, all);

		if (run == 0) {
			at += OBJECT_PAGE;
			continue;
		}
		r = all ? 0 : copy_read(o, at, at + run, merge);
		if (r == 0) {
			memcpy(o->scratch, o->page + at, (size_t)run);
			r = write_run(o, at, run);
		}
		if (r < 0)
			failed = r; /* the others all the same */
		at = whole(at + run);
	}
	return failed;
}

int copy_push(struct object *o, uint64_t from, uint64_t to)
{
	if (!o->may_share || o->h->atomic)
		return 0;
	from &= ~MASK;
	if (o->may_write)
		return push_pages(o, from, to, false);
	for (to = lesser(to, o->size); from < to; from += OBJECT_PAGE)
		if (copy_newer(o, from))
			return -EACCES;
	return 0;
}

int copy_push_again(struct object *o, uint64_t from, uint64_t to)
{
	return push_pages(o, from & ~MASK, to, true);
}

/* The page where the next byte is that has memory. */
static uint64_t next_data(int fd, uint64_t from)
{
	int64_t at = sys_lseek(fd, (int64_t)from, SEEK_DATA);

	if (at == -ENXIO)
		return UINT64_MAX & ~MASK;
	return at < 0 ? from : (uint64_t)at & ~MASK;
}

/* Whoever may write to an object can make it as long as he likes: to look at a
 * hole would give it memory. */
int copy_dirty(struct object *o)
{
	uint64_t at = 0, shadow;
	int n = 0;

	for (; at < o->size; at += OBJECT_PAGE) {
		shadow = next_data(o->ctl, at + OBJECT_PAGE) - OBJECT_PAGE;
		at = lesser(next_data(o->pages, at), shadow);
		if (at >= o->size)
			break;
		n += copy_newer(o, at) != 0;
	}
	return n;
}
