/* SPDX-License-Identifier: MIT */
/*
 * Owns the way of an atomic object's pages into its file: copied, then
 * committed by the journal.
 *
 * The copy is what is committed, and becomes the shadow: stores that come
 * meanwhile wait for the next commit.
 * Crash: the intent tells those who still use the object, and the journal
 * itself tells the next first user, that there may be something to finish.
 */
#include "backing/object_commit.h"

#include <string.h>

#include "backing/journal.h"
#include "backing/object_copy.h"
#include "base/step.h"
#include "base/text.h"
#include "base/transfer.h"

struct part {
	uint64_t from, to;
};

#define PARTS (unsigned)(OBJECT_SCRATCH / sizeof(struct part))

/* Room for all pages, of which only what is used is ever touched. */
struct commit {
	char *copy; /* the pages; the list of runs lies behind them */
	size_t taken, bytes;
	struct journal_run *runs;
	size_t nruns;
};

static int allocate(const struct object *o, struct commit *c)
{
	uint64_t pages = (o->size + OBJECT_PAGE - 1) / OBJECT_PAGE;
	/* No two runs touch. */
	uint64_t runs = (pages + 1) / 2 * sizeof(*c->runs);
	uint64_t bytes = pages * OBJECT_PAGE + runs;
	void *p;

	if (bytes > SIZE_MAX / 2)
		return -ENOMEM;
	p = sys_mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(p) || !p)
		return -ENOMEM;
	c->bytes = (size_t)bytes;
	c->copy = p;
	c->runs = (void *)(c->copy + pages * OBJECT_PAGE);
	return 0;
}

/* Copy what is newer now; neighbours are one run. */
static void gather(const struct object *o, struct commit *c,
		   const struct part *p)
{
	for (uint64_t at = p->from; at < p->to; at += OBJECT_PAGE) {
		struct journal_run *last = c->runs + c->nruns - 1;
		char *to = c->copy + c->taken * OBJECT_PAGE;
		size_t n = copy_newer(o, at);

		if (n == 0)
			continue;
		memcpy(to, o->page + at, n);
		if (c->nruns && last->offset + last->length == at)
			last->length += n;
		else
			c->runs[c->nruns++] = (struct journal_run){ at, to, n };
		c->taken++;
	}
}

int commit_note(struct object *o, uint64_t from, uint64_t to)
{
	struct part *parts = (void *)o->scratch, *last = parts + o->notes - 1;

	from &= ~(uint64_t)(OBJECT_PAGE - 1);
	to = to < o->size ? to : o->size;
	if (from >= to)
		return 0;
	/* In order, and without the same page twice; or as many as there is
	 * room for, and then what lies between them too. */
	if (o->notes && from <= last->to && from >= last->from) {
		last->to = to > last->to ? to : last->to;
		return 0;
	}
	if ((o->notes && from < last->from) || o->notes == PARTS) {
		parts[0] = (struct part){ 0, o->size };
		o->notes = 1;
		return 0;
	}
	parts[o->notes++] = (struct part){ from, to };
	return 0;
}

/* All or nothing of it; then it is what the file is known to hold. */
static int commit_runs(struct object *o, const struct journal_place *place,
		       const struct commit *c, uint64_t size)
{
	int r;

	copy_intend(o, INTENT_COMMIT, 0, 0);
	step("object: commit intended");
	r = journal_commit(place, o->file, c->runs, c->nruns, size);
	step("object: committed");
	for (size_t i = 0; r == 0 && i < c->nruns; i++)
		memcpy(o->shadow + c->runs[i].offset, c->runs[i].data,
		       c->runs[i].length);
	/* A failure may have left a complete journal. */
	if (r == 0)
		store_release(&o->h->intent, INTENT_NONE);
	return r;
}

static int commit_gathered(struct object *o, const struct commit *c)
{
	int64_t size = sys_file_size(o->file, true);
	struct journal_place place = { 0 };
	char path[PATH_ROOM];
	int r;

	if (c->nruns == 0)
		return 0;
	if (size < 0)
		return (int)size;
	if (!o->may_write || !o->may_share)
		return -EACCES;
	r = journal_place(o->file, path, &place);
	return r < 0 ? r : commit_runs(o, &place, c, (uint64_t)size);
}

int commit_pages(struct object *o)
{
	const struct part *parts = (void *)o->scratch;
	struct commit c = { 0 };
	int r;

	if (o->notes == 0)
		return 0;
	r = allocate(o, &c);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < o->notes; i++)
		gather(o, &c, &parts[i]);
	r = commit_gathered(o, &c);
	(void)sys_munmap(c.copy, c.bytes);
	return r;
}

int commit_replay(struct object *o)
{
	struct journal_place place = { 0 };
	char path[PATH_ROOM];
	int r;

	if (!o->may_write || !o->may_share)
		return 0;
	r = journal_place(o->file, path, &place);
	/* Without a name there is no journal beside it. */
	if (r < 0)
		return r == -ENOENT || r == -EMLINK ? 0 : r;
	r = journal_replay(&place, o->file, 0);
	return r < 0 ? r : 0;
}

int commit_finish(int fd)
{
	struct journal_place place = { 0 };
	char path[PATH_ROOM];
	int r = journal_place(fd, path, &place);

	/* Without a name there is no journal beside it. */
	if (r == -ENOENT || r == -EMLINK)
		r = 0;
	else if (r == 0)
		r = journal_replay(&place, fd, 0);
	return r < 0 ? r : transfer_flush(fd, true);
}

void commit_end(struct object *o)
{
	struct journal_place place = { 0 };
	char path[PATH_ROOM];

	if (o->may_write && journal_place(o->file, path, &place) == 0)
		(void)journal_retire(&place, o->file, 0);
}
