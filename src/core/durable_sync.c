/* SPDX-License-Identifier: MIT */
/*
 * Owns the way of contents between a working file and a data file.
 *
 * Invariant: a data file is always one of the states that were synced. Changed
 * pages are found by comparison, copied, since programs go on writing, and
 * committed by a redo journal (backing/journal.h). A segment that nobody has
 * attached, and that is not marked UNSYNCED, is on disk as it is in memory.
 * Lock: a lock on the data file from the comparison to the end of the commit,
 * so that no sync writes what it saw before another one, and none that is under
 * way leaves a journal where its segment is gone; 'local' around all. CHANGING
 * may be held when it is taken, and is not taken under it.
 * The registry's only to look, and to take the mark away: if nobody has been
 * attached since before the comparison, which the segment's guard tells.
 * Crash: the journal is complete, and whoever syncs or restores next finishes,
 * or it is void. The mark stays until then, and 'due' with it, so the next
 * call in the namespace syncs what a killed process should have.
 */
#include "core/durable_sync.h"

#include <string.h>
#include <sys/shm.h>

#include "backing/journal.h"
#include "base/step.h"
#include "base/transfer.h"
#include "core/durable_change.h"

#define PAGE	  LAYOUT_PAGE
#define CHUNK	  (UINT64_C(256) << 10)
#define TRY_AGAIN INT64_C(10000000000) /* ns after a sync that failed */

/* ----------------------------------------------------------------- files */

static int data_open(int disk, int id)
{
	char name[RECORD_NAME];
	int fd;

	record_segment_name(id, "data", name);
	fd = sys_openat(disk, name,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	return fd == -ELOOP || fd == -EISDIR || fd == -ENXIO ? -EPROTO : fd;
}

int durable_data_lock(int disk, int id, const uint64_t *signals)
{
	int data = data_open(disk, id), r;

	if (data < 0)
		return data;
	r = durable_lock(data, F_WRLCK, 0, signals);
	if (r == 0)
		return data;
	(void)sys_close(data);
	return r;
}

void durable_data_unlock(int data)
{
	(void)sys_lock(data, F_UNLCK, 0, 1, false);
	(void)sys_close(data);
}

/* The file is ours alone: a regular one of this size. */
static int data_check(int fd, uint64_t size)
{
	struct sys_stat st;
	int r = sys_fstat(fd, &st);

	if (r < 0)
		return r;
	if (st.nlink == 0) /* the segment went before we got the lock */
		return -ENOENT;
	return S_ISREG(st.mode) && st.size == size ? 0 : -EPROTO;
}

/* The files of the directory belong together, also in a copy of it. */
int durable_replay(int disk, int id, int data)
{
	char name[RECORD_NAME];
	struct journal_place place = { disk, name };
	int r;

	record_segment_name(id, "journal", name);
	r = journal_replay(&place, data, JOURNAL_ADOPT);
	return r < 0 ? r : 0;
}

/*
 * The same, of contents that must be all there: no commit changes the size.
 * What is missing is lost, and the journal, which may have some of it, would
 * hide that.
 */
static int replay(int disk, int id, int data, uint64_t size)
{
	int r = data_check(data, size);

	if (r == 0)
		r = durable_replay(disk, id, data);
	return r < 0 ? r : data_check(data, size);
}

/* Where the next byte is that somebody wrote: 'end' if none. */
static uint64_t next_data(int fd, uint64_t from, uint64_t end)
{
	int64_t at = sys_lseek(fd, (int64_t)from, SEEK_DATA);

	if (at == -ENXIO)
		return end;
	if (at < 0 || (uint64_t)at < from) /* the file system cannot tell */
		return from;
	return (uint64_t)at < end ? (uint64_t)at & ~(uint64_t)(PAGE - 1) : end;
}

/* ------------------------------------------------------------ comparison */

/* Memory that grows, to twice as much each time, and may move then. */
struct heap {
	char *base;
	size_t room;
};

static int heap_reach(struct heap *h, uint64_t size)
{
	size_t room = h->room ? h->room : CHUNK;
	char *base;

	if (size <= h->room)
		return 0;
	if (size > SIZE_MAX / 4)
		return -ENOMEM;
	while (room < size)
		room *= 2;
	if (h->base)
		base = sys_mremap(h->base, h->room, room, MREMAP_MAYMOVE, NULL);
	else
		base = sys_mmap(NULL, room, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(base))
		return (int)(intptr_t)base;
	h->base = base;
	h->room = room;
	return 0;
}

static void heap_end(struct heap *h)
{
	if (h->base)
		(void)sys_munmap(h->base, h->room);
}

/* One sync. */
struct copy {
	int from, data;
	uint64_t size;
	struct heap chunks; /* one of each file */
	struct heap pages;  /* copies of those that differ ... */
	uint64_t used;	    /* ... so far, in bytes */
	struct heap runs;
	size_t nruns;
};

static struct journal_run *runs_of(const struct copy *c)
{
	return (void *)c->runs.base;
}

static void copy_end(struct copy *c)
{
	heap_end(&c->chunks);
	heap_end(&c->pages);
	heap_end(&c->runs);
}

/* Does the last run end at 'offset'? */
static struct journal_run *run_before(const struct copy *c, uint64_t offset)
{
	struct journal_run *last;

	if (!c->nruns)
		return NULL;
	last = runs_of(c) + c->nruns - 1;
	return last->offset + last->length == offset ? last : NULL;
}

/* The page at 'offset' differs. */
static int keep_page(struct copy *c, const char *page, uint64_t offset)
{
	struct journal_run *run = run_before(c, offset);
	int r = heap_reach(&c->pages, c->used + PAGE);

	if (r == 0 && !run)
		r = heap_reach(&c->runs, (c->nruns + 1) * sizeof(*run));
	if (r < 0)
		return r;
	memcpy(c->pages.base + c->used, page, PAGE);
	c->used += PAGE;
	if (run)
		run->length += PAGE;
	else
		runs_of(c)[c->nruns++] = (struct journal_run){ offset, NULL,
							       PAGE };
	return 0;
}

/* Now that the pages do not move any more. */
static void place_runs(struct copy *c)
{
	const char *at = c->pages.base;

	for (size_t i = 0; i < c->nruns; i++) {
		runs_of(c)[i].data = at;
		at += runs_of(c)[i].length;
	}
}

/* 'n' bytes at 'at'. What the disk cannot read any more differs: it can be
 * written, and may be read then. */
static int compare_chunk(struct copy *c, uint64_t at, uint64_t n)
{
	char *ours = c->chunks.base, *theirs = ours + CHUNK;
	bool lost;
	int r;

	r = transfer_get(c->from, at, ours, (size_t)n);
	if (r < 0)
		return r;
	r = transfer_get(c->data, at, theirs, (size_t)n);
	lost = r == -EIO;
	if (lost)
		r = 0;
	for (uint64_t p = 0; r == 0 && p < n; p += PAGE)
		if (lost || memcmp(ours + p, theirs + p, PAGE) != 0)
			r = keep_page(c, ours + p, at + p);
	return r;
}

static int compare(struct copy *c)
{
	uint64_t at = 0, theirs, n;
	int r = heap_reach(&c->chunks, 2 * CHUNK);

	for (; r == 0 && at < c->size; at += n) {
		/* Where both have holes, both are zeros. */
		theirs = next_data(c->data, at, c->size);
		at = next_data(c->from, at, c->size);
		at = at < theirs ? at : theirs;
		n = c->size - at < CHUNK ? c->size - at : CHUNK;
		r = compare_chunk(c, at, n);
	}
	place_runs(c);
	return r;
}

static int copy_locked(struct copy *c, int disk, int id)
{
	char name[RECORD_NAME];
	/* Nobody else writes the data file. */
	struct journal_place place = { disk, name, .alone = true };
	int r;

	r = replay(disk, id, c->data, c->size);
	if (r < 0)
		return r;
	r = compare(c);
	step("durable: compared");
	record_segment_name(id, "journal", name);
	if (r == 0 && c->nruns)
		r = journal_commit(&place, c->data, runs_of(c), c->nruns,
				   c->size);
	copy_end(c);
	return r;
}

int durable_copy(int disk, int id, int from, uint64_t size,
		 const uint64_t *signals)
{
	struct copy c = { .from = from, .size = size };
	int r;

	c.data = durable_data_lock(disk, id, signals);
	if (c.data < 0)
		return c.data;
	r = copy_locked(&c, disk, id);
	durable_data_unlock(c.data);
	return r;
}

int durable_fill(int disk, int id, int to, uint64_t size)
{
	int data = data_open(disk, id), r;
	uint64_t at, n;
	char *buf;

	if (data < 0)
		return data;
	r = replay(disk, id, data, size);
	buf = sys_mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r == 0 && sys_failed(buf))
		r = -ENOMEM;
	for (at = 0; r == 0 && (at = next_data(data, at, size)) < size;
	     at += n) {
		n = size - at < CHUNK ? size - at : CHUNK;
		r = transfer_get(data, at, buf, (size_t)n);
		if (r == 0)
			r = transfer_put(to, at, buf, (size_t)n);
	}
	if (!sys_failed(buf))
		(void)sys_munmap(buf, CHUNK);
	(void)sys_close(data);
	return r;
}

/* ------------------------------------------------------------- a segment */

/* The contents of what is LIVE as 's'. */
static int sync_contents(struct space *sp, uint32_t index,
			 const struct layout_segment *s, int disk)
{
	struct directory_file file;
	int from, r;

	r = directory_file_hold(&sp->dir, &sp->reg, index, s->seq, &file);
	if (r < 0)
		return r;
	from = sys_openat(AT_FDCWD, file.path,
			  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	directory_file_release(&file);
	if (from < 0)
		return from;
	r = durable_copy(disk, registry_id(&sp->reg, index, s->seq), from,
			 backing_size(s->size, s->flags & SEG_HUGE),
			 &sp->signals);
	(void)sys_close(from);
	return r;
}

/* The segment as it is; locked, so that it holds still. */
static int read_live(struct space *sp, uint32_t index, uint32_t seq,
		     struct layout_segment *ret)
{
	const struct layout_segment *s;
	int r = -EINVAL;

	lock_take(&sp->reg, &sp->self, space_slot(sp), &sp->signals);
	s = registry_segment(&sp->reg, index);
	if (s && s->state == SEG_LIVE && s->seq == seq) {
		*ret = *s;
		r = s->mode & SHM_DEST ? -EIDRM : 0;
	}
	lock_release(&sp->reg);
	return r;
}

/* It is on disk as 'before' was, unless somebody came since. */
static void unmark(struct space *sp, uint32_t index,
		   const struct layout_segment *before)
{
	struct layout_segment *s = &sp->reg.segments[index];

	lock_take(&sp->reg, &sp->self, space_slot(sp), &sp->signals);
	if (segments_unattached(before) && s->state == SEG_LIVE &&
	    s->seq == before->seq && s->guard == before->guard)
		(void)fetch_and(&s->flags, ~(uint32_t)SEG_UNSYNCED);
	lock_release(&sp->reg);
}

int durable_sync_index(struct space *sp, uint32_t index, uint32_t seq)
{
	struct layout_segment before;
	int r;

	if (!sp->durable.on)
		return -EOPNOTSUPP;
	r = read_live(sp, index, seq, &before);
	if (r < 0)
		return r;
	r = durable_disk_hold(sp);
	if (r < 0)
		return r;
	r = sync_contents(sp, index, &before, sp->durable.dir);
	step("durable: contents synced");
	if (r == 0)
		r = durable_note_sync(sp, index, seq);
	durable_disk_release(sp);
	if (r == 0)
		unmark(sp, index, &before);
	if (r == -ENOENT) /* that is how it looks when it goes meanwhile */
		r = read_live(sp, index, seq, &before) ?: r;
	return r;
}

int durable_sync(struct space *sp, int id)
{
	struct layout_segment s;
	struct space_entry e;
	int r;

	if (!sp->durable.on)
		return -EOPNOTSUPP;
	r = space_read_id(sp, id, &s);
	if (r == 0)
		r = space_enter(sp, &e);
	if (r < 0)
		return r;
	r = durable_sync_index(sp, registry_index(&sp->reg, id),
			       registry_seq(&sp->reg, id));
	space_leave(sp, &e);
	return r;
}

/* ------------------------------------------------------ what is due by now */

static bool is_due(const struct layout_segment *s)
{
	return s->state == SEG_LIVE && !(s->mode & SHM_DEST) &&
	       s->flags & SEG_UNSYNCED && segments_unattached(s);
}

/* The next that is due at or after 'from'. When there is none at all any more,
 * nobody need look. */
static uint32_t next_due(struct space *sp, uint32_t from, uint32_t *ret_seq)
{
	struct registry *r = &sp->reg;
	uint32_t index = from;

	lock_take(r, &sp->self, space_slot(sp), &sp->signals);
	while ((index = segments_next(r, index)) != UINT32_MAX &&
	       !is_due(&r->segments[index]))
		index++;
	if (index != UINT32_MAX)
		*ret_seq = r->segments[index].seq;
	else if (from == 0)
		store_release(&r->h->due, 0);
	lock_release(r);
	return index;
}

static bool failed_lately(const struct durable *d)
{
	return d->failed_at && sys_monotonic_ns() - d->failed_at < TRY_AGAIN;
}

void durable_tidy(struct space *sp)
{
	struct durable *d = &sp->durable;
	uint32_t index = 0, seq;
	bool failed = false;
	int r;

	if (!load_relaxed(&sp->reg.h->due) || d->tidying || failed_lately(d))
		return;
	d->tidying = true;
	while ((index = next_due(sp, index, &seq)) != UINT32_MAX) {
		r = durable_sync_index(sp, index, seq);
		failed |= r < 0 && r != -EINVAL && r != -EIDRM; /* it went */
		index++;
	}
	if (!failed)
		(void)next_due(sp, 0, &seq);
	d->failed_at = failed ? sys_monotonic_ns() : 0;
	d->tidying = false;
}

void durable_end(struct space *sp, uint32_t index)
{
	struct registry *r = &sp->reg;
	const struct layout_segment *s = registry_segment(r, index);
	bool last = s != NULL;
	uint32_t link, seq = 0;

	lock_take(r, &sp->self, space_slot(sp), &sp->signals);
	if (last) {
		last = s->state == SEG_LIVE && s->flags & SEG_UNSYNCED;
		seq = s->seq;
		link = s->first_attach;
		for (uint32_t n = 0; last && link != NO_INDEX; n++) {
			const struct layout_attach *a =
				registry_attach(r, link - 1);
			const struct layout_proc *p =
				a ? registry_proc(r, a->proc) : NULL;

			last = p && load_relaxed(&p->exit_time) &&
			       n < r->max_attaches;
			link = a ? a->next_in_segment : NO_INDEX;
		}
	}
	lock_release(r);
	if (last)
		(void)durable_sync_index(sp, index, seq);
}
