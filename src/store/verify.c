/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing and trusts nothing: an index is checked before it is followed,
 * and a walk ends where a record does not belong to its list or comes round
 * again. Each record has one place in a list, so all walks together take as
 * many steps as there are records.
 */
#include "store/verify.h"

#include <sys/shm.h>

#include "store/ledger.h"
#include "store/segments.h"

enum code {
	UNFINISHED,
	GUARD,
	LIMIT,
	CURSOR,
	USED,
	SEGMENT_STATE,
	SEGMENT_RECORD,
	SEGMENT_KEY,
	SEGMENT_OWNER,
	SEGMENT_LEFT,
	KEY_TABLE,
	BITMAP,
	TOTALS,
	PROCESS_STATE,
	ATTACH_RECORD,
	ATTACH_LIST,
	ATTACH_COUNT,
	ADDRESS_TABLE,
	FREE_LIST,
	CODES
};

static const struct {
	const char *name, *remedy;
} codes[CODES] = {
	[UNFINISHED] = { "unfinished", "forgets the change" },
	[GUARD] = { "guard", "makes the number even" },
	[LIMIT] = { "limit", "sets the value that new namespaces have" },
	[CURSOR] = { "cursor", "sets one that can be" },
	[USED] = { "used", "sets the number anew" },
	[SEGMENT_STATE] = { "segment-state",
			    "concludes it from what else names the segment" },
	[SEGMENT_RECORD] = { "segment-record",
			     "sets it from the segment's other fields" },
	[SEGMENT_KEY] = { "segment-key",
			  "leaves the key to one segment; the others keep "
			  "their ids and their memory" },
	[SEGMENT_OWNER] = { "segment-owner", "removes the segment itself" },
	[SEGMENT_LEFT] = { "segment-left",
			   "removes it, if it has given up a key, else takes "
			   "the mark away" },
	[KEY_TABLE] = { "key-table", "makes the table anew" },
	[BITMAP] = { "bitmap", "makes the bitmap anew" },
	[TOTALS] = { "totals", "counts anew" },
	[PROCESS_STATE] = { "process-state",
			    "has the process looked for; while it lives, it "
			    "counts" },
	[ATTACH_RECORD] = { "attach-record",
			    "sets it from the lists that the record is in, or "
			    "drops the record" },
	[ATTACH_LIST] = { "attach-list", "makes the lists anew" },
	[ATTACH_COUNT] = { "attach-count", "counts anew" },
	[ADDRESS_TABLE] = { "address-table", "makes the table anew" },
	[FREE_LIST] = { "free-list", "makes the list anew" },
};

struct verifier {
	const struct registry *r;
	verify_report *report;
	void *arg;
	uint64_t wrong;
	struct verify_extent segments, procs, attaches;
};

/* 'words' as text_words() has them. */
static void wrong(struct verifier *v, enum code code, const char *words,
		  uint64_t a, uint64_t b, uint64_t c)
{
	struct verify_finding finding;
	char buf[VERIFY_TEXT];
	struct text t;

	if (v->wrong++ >= VERIFY_TOLD)
		return;
	text_init(&t, buf, sizeof(buf));
	text_words(&t, words, (const uint64_t[]){ a, b, c });
	finding.code = codes[code].name;
	finding.text = buf;
	finding.remedy = codes[code].remedy;
	if (v->report)
		v->report(v->arg, &finding);
}

/* Notices when a chain runs in a circle, at one comparison a step (Brent). */
struct walk {
	uint32_t mark, steps, power;
};

static bool walk_circles(struct walk *w, uint32_t link)
{
	if (link == w->mark)
		return true;
	if (++w->steps > w->power) {
		w->mark = link;
		w->steps = 0;
		w->power = w->power * 2 + 1;
	}
	return false;
}

struct verify_extent verify_extent(const struct registry *r,
				   const struct layout_array *array,
				   uint32_t capacity)
{
	struct verify_extent e = { registry_ready(r, array, capacity),
				   load_relaxed(&array->used) };

	if (e.used > e.ready)
		e.used = e.ready;
	return e;
}

struct layout_segment *verify_segment_of(const struct registry *r,
					 const struct layout_attach *a)
{
	struct layout_segment *s = registry_segment(r, a->segment);

	return s && s->state == SEG_LIVE && s->seq == a->seq && a->registry == 0
		       ? s
		       : NULL;
}

uint32_t verify_find_key(const struct registry *r, int32_t key, uint32_t *steps)
{
	uint32_t link = *segments_key_head(r, key);

	for (; link != NO_INDEX && *steps; --*steps) {
		const struct layout_segment *s = registry_segment(r, link - 1);

		if (!s)
			return NO_INDEX;
		if (s->key == key && s->state == SEG_LIVE)
			return link;
		link = s->next_in_key;
	}
	return NO_INDEX;
}

/* What people call the segment. */
static uint64_t name_of(const struct verifier *v, uint32_t index)
{
	uint64_t seq = v->r->segments[index].seq;

	return index + (seq << v->r->seq_shift);
}

/* ---------------------------------------------------------------- header */

static void check_header(struct verifier *v)
{
	const struct registry *r = v->r;
	const struct layout_header *h = r->h;

	if (h->undo_count)
		wrong(v, UNFINISHED,
		      "nobody is changing anything, but a change is noted as "
		      "unfinished (% steps)",
		      h->undo_count, 0, 0);
	if (h->guard_count)
		wrong(v, UNFINISHED,
		      "nobody is changing anything, but % guards are noted as "
		      "changing",
		      h->guard_count, 0, 0);
	if (h->key_guard & 1)
		wrong(v, GUARD,
		      "the key table is marked as changing (%): every search "
		      "for a key takes the long way",
		      h->key_guard, 0, 0);
	if (h->shmmni > r->max_segments)
		wrong(v, LIMIT, "shmmni is %; there is room for % segments",
		      h->shmmni, r->max_segments, 0);
	if (h->next_id < -1)
		wrong(v, LIMIT, "shm_next_id is #, which is no id",
		      (uint32_t)h->next_id, 0, 0);
	if (h->rmid_forced > 1)
		wrong(v, LIMIT, "shm_rmid_forced is %, not 0 or 1",
		      h->rmid_forced, 0, 0);
	if (h->next_index > r->max_segments || h->last_index > r->max_segments)
		wrong(v, CURSOR,
		      "new ids are to be looked for behind the last of them "
		      "(%, %)",
		      h->next_index, h->last_index, 0);
	if (h->seq >= (uint32_t)INT32_MAX >> r->seq_shift)
		wrong(v, CURSOR, "sequence % is too high for an id", h->seq, 0,
		      0);
}

/* --------------------------------------------------------------- segments */

static void check_segment_record(struct verifier *v, uint32_t i)
{
	const struct layout_segment *s = &v->r->segments[i];
	uint64_t id = name_of(v, i);

	if (s->seq > (uint32_t)INT32_MAX >> v->r->seq_shift)
		wrong(v, SEGMENT_RECORD,
		      "the segment of index % has sequence %, too high for an "
		      "id",
		      i, s->seq, 0);
	if (!verify_size_good(s->size))
		wrong(v, SEGMENT_RECORD,
		      "segment % says that it has % bytes and % pages", id,
		      s->size, s->pages);
	else if (s->pages != verify_pages(s->size))
		wrong(v, SEGMENT_RECORD,
		      "segment % of % bytes says that these are % pages", id,
		      s->size, s->pages);
	if (s->mode & ~VERIFY_MODES)
		wrong(v, SEGMENT_RECORD,
		      "segment % has mode #, with bits that no mode has", id,
		      s->mode, 0);
	if (s->key != IPC_PRIVATE && s->key != s->first_key)
		wrong(v, SEGMENT_RECORD,
		      "segment % has key #, but was made with key #", id,
		      (uint32_t)s->key, (uint32_t)s->first_key);
	if (s->key != IPC_PRIVATE && s->mode & SHM_DEST)
		wrong(v, SEGMENT_RECORD,
		      "segment % is marked as removed, but has its key # still",
		      id, (uint32_t)s->key, 0);
	if (s->key == IPC_PRIVATE && s->first_key && !(s->mode & SHM_DEST))
		wrong(v, SEGMENT_RECORD,
		      "segment % has lost its key #, but was not removed", id,
		      (uint32_t)s->first_key, 0);
	if (s->mode & SHM_DEST && s->attaches == 0)
		wrong(v, SEGMENT_LEFT,
		      "segment % is marked as removed, and nobody has it "
		      "attached, but it is there",
		      id, 0, 0);
}

/* Returns how many records are in the segment's list. */
static uint32_t check_segment_list(struct verifier *v, uint32_t index)
{
	const struct layout_segment *s = &v->r->segments[index];
	uint32_t link = s->first_attach, before = NO_INDEX, n = 0;

	for (; link != NO_INDEX; n++) {
		const struct layout_attach *a = registry_attach(v->r, link - 1);

		/* Its 'prev' lets a record be in one place only. */
		if (!a || a->state != ATTACH_LIVE || a->segment != index ||
		    a->prev_in_segment != before) {
			wrong(v, ATTACH_LIST,
			      "the list of segment %'s attachments leads astray "
			      "after % of %",
			      name_of(v, index), n, s->attaches);
			return n;
		}
		before = link;
		link = a->next_in_segment;
	}
	if (n != s->attaches)
		wrong(v, ATTACH_COUNT,
		      "segment % says % attachments, but % are in its list",
		      name_of(v, index), s->attaches, n);
	return n;
}

struct totals {
	uint64_t in_use, unsettled, pages, locked, keyed;
	uint64_t live, free, in_segments, in_procs;
};

static void check_segment(struct verifier *v, uint32_t i, struct totals *sum)
{
	const struct layout_segment *s = &v->r->segments[i];
	bool bit = v->r->bitmap[i / 64] >> i % 64 & 1;

	if (s->guard & 1)
		wrong(v, GUARD,
		      "segment % is marked as changing: every look at it takes "
		      "the long way",
		      name_of(v, i), 0, 0);
	if (s->state > SEG_DOOMED)
		wrong(v, SEGMENT_STATE,
		      "the segment of index % has state %, which there is not",
		      i, s->state, 0);
	else if (bit != (s->state != SEG_FREE))
		wrong(v, BITMAP,
		      bit ? "index % is marked as taken, but there is no "
			    "segment"
			  : "segment % has no mark in the bitmap: no list shows "
			    "it, and its index may be given away",
		      bit ? i : name_of(v, i), 0, 0);
	if (verify_ownerless(v->r, s))
		wrong(v, SEGMENT_OWNER,
		      s->state == SEG_DOOMED
			      ? "segment % is gone, but no process is left to "
				"remove its memory"
			      : "segment % is being made by a process that is "
				"not there",
		      name_of(v, i), 0, 0);
	if (s->state != SEG_LIVE && (s->attaches || s->first_attach))
		wrong(v, ATTACH_COUNT,
		      "index % is no segment, but has % attachments", i,
		      s->attaches, 0);

	sum->unsettled += s->state == SEG_RESERVED || s->state == SEG_DOOMED;
	if (s->state == SEG_RESERVED || s->state == SEG_LIVE) {
		sum->in_use++;
		sum->pages += s->pages;
	}
	if (s->state != SEG_LIVE)
		return;
	sum->locked += s->mode & SHM_LOCKED ? s->pages : 0;
	sum->keyed += s->key != IPC_PRIVATE;
	check_segment_record(v, i);
	sum->in_segments += check_segment_list(v, i);
}

static void check_segments(struct verifier *v, struct totals *sum)
{
	const struct registry *r = v->r;

	if (r->h->segments.used > v->segments.ready)
		wrong(v, USED, "% segments are said to be used, of %",
		      r->h->segments.used, v->segments.ready, 0);
	for (uint32_t i = 0; i < v->segments.used; i++)
		check_segment(v, i, sum);
	for (uint32_t i = v->segments.used; i < v->segments.ready; i++)
		if (r->segments[i].state != SEG_FREE)
			wrong(v, USED,
			      "index % has a segment, but only % are said to be "
			      "used",
			      i, v->segments.used, 0);

	for (uint32_t i = v->segments.used; i < r->max_segments; i++) {
		uint64_t bits = r->bitmap[i / 64] >> i % 64;

		if (bits & 1)
			wrong(v, BITMAP,
			      "index % is marked as taken, but was never used",
			      i, 0, 0);
		else if (!bits)
			i |= 63; /* no more in this word */
	}
}

/* --------------------------------------------------------------- the keys */

static uint64_t check_key_chain(struct verifier *v, uint32_t *head)
{
	struct walk w = { 0 };
	uint32_t link = *head;
	uint64_t found = 0;

	for (; link != NO_INDEX; found++) {
		const struct layout_segment *s = registry_segment(v->r,
								  link - 1);

		if (!s || s->state != SEG_LIVE || s->key == IPC_PRIVATE ||
		    segments_key_head(v->r, s->key) != head ||
		    walk_circles(&w, link)) {
			wrong(v, KEY_TABLE,
			      "chain % of the key table leads astray after %",
			      (uint64_t)(head - v->r->key_heads), found, 0);
			return found;
		}
		link = s->next_in_key;
	}
	return found;
}

static void check_keys(struct verifier *v, const struct totals *sum)
{
	const struct registry *r = v->r;
	uint32_t steps = VERIFY_KEY_STEPS;
	uint64_t found = 0;

	for (uint32_t i = 0; i <= r->key_mask; i++)
		found += check_key_chain(v, &r->key_heads[i]);
	if (found != sum->keyed)
		wrong(v, KEY_TABLE, "% segments have a key, the table has %",
		      sum->keyed, found, 0);

	for (uint32_t i = 0; i < v->segments.used && steps; i++) {
		const struct layout_segment *s = &r->segments[i];
		uint32_t link;

		if (s->state != SEG_LIVE || s->key == IPC_PRIVATE)
			continue;
		link = verify_find_key(r, s->key, &steps);
		if (steps && link == NO_INDEX)
			wrong(v, KEY_TABLE,
			      "segment % cannot be found by its key #",
			      name_of(v, i), (uint32_t)s->key, 0);
		else if (steps && link != i + 1)
			wrong(v, SEGMENT_KEY,
			      "segments % and % have the same key #",
			      name_of(v, link - 1), name_of(v, i),
			      (uint32_t)s->key);
	}
}

/* -------------------------------------------------------------- processes */

static void check_process(struct verifier *v, uint32_t slot, struct totals *sum)
{
	const struct layout_proc *p = &v->r->procs[slot];
	uint64_t claim = load_relaxed(&p->claim);
	uint32_t link = p->first_attach, before = NO_INDEX, n = 0;
	uint32_t pid = (uint32_t)claim_pid(claim);

	if (verify_claim_bad(claim))
		wrong(v, PROCESS_STATE,
		      "slot % of process % has state %, which cannot be", slot,
		      pid, claim_state(claim));
	else if (!verify_owner(claim) && (p->attaches || link))
		wrong(v, ATTACH_COUNT,
		      "slot % is of no process, but has % attachments", slot,
		      p->attaches, 0);

	for (; link != NO_INDEX; n++) {
		const struct layout_attach *a = registry_attach(v->r, link - 1);

		if (!a || a->state != ATTACH_LIVE || a->proc != slot ||
		    a->prev_in_proc != before) {
			wrong(v, ATTACH_LIST,
			      "the list of process %'s attachments leads astray "
			      "after % of %",
			      pid, n, p->attaches);
			sum->in_procs += n;
			return;
		}
		before = link;
		link = a->next_in_proc;
	}
	sum->in_procs += n;
	if (n != p->attaches)
		wrong(v, ATTACH_COUNT,
		      "process % says % attachments, but % are in its list",
		      pid, p->attaches, n);
}

static void check_processes(struct verifier *v, struct totals *sum)
{
	uint32_t used = load_relaxed(&v->r->h->procs.used);

	if (used > v->procs.ready)
		wrong(v, USED, "% process slots are said to be used, of %",
		      used, v->procs.ready, 0);
	for (uint32_t i = 0; i < v->procs.used; i++)
		check_process(v, i, sum);
	for (uint32_t i = v->procs.used; i < v->procs.ready; i++) {
		const struct layout_proc *p = &v->r->procs[i];

		/* Claimed this moment, or that is what is wrong with it. */
		if (load_relaxed(&p->claim) &&
		    i >= load_acquire(&v->r->h->procs.used))
			wrong(v, USED,
			      "slot % has a process, but only % are said to be "
			      "used",
			      i, v->procs.used, 0);
	}
}

/* ------------------------------------------------------------ attachments */

static void check_record(struct verifier *v, uint32_t i, struct totals *sum)
{
	const struct layout_attach *a = &v->r->attaches[i];
	const struct layout_proc *p;

	if (a->state > ATTACH_LIVE)
		wrong(v, ATTACH_RECORD,
		      "attachment % has state %, which there is not", i,
		      a->state, 0);
	if (a->state != ATTACH_LIVE)
		return;
	sum->live++;
	if (!verify_segment_of(v->r, a))
		wrong(v, ATTACH_RECORD,
		      "attachment % is of index %, sequence %, and there is no "
		      "such segment",
		      i, a->segment, a->seq);
	p = registry_proc(v->r, a->proc);
	if (!p || !verify_owner(load_relaxed(&p->claim)))
		wrong(v, ATTACH_RECORD,
		      "attachment % is of process slot %, which has no process",
		      i, a->proc, 0);
	if (a->attach >= v->r->h->next_attach)
		wrong(v, CURSOR,
		      "attachment % has number %, though the next is to be %",
		      i, a->attach, v->r->h->next_attach);
}

static void check_records(struct verifier *v, struct totals *sum)
{
	const struct registry *r = v->r;

	if (r->h->attaches.used > v->attaches.ready)
		wrong(v, USED, "% attachments are said to be used, of %",
		      r->h->attaches.used, v->attaches.ready, 0);
	for (uint32_t i = 0; i < v->attaches.used; i++)
		check_record(v, i, sum);
	for (uint32_t i = v->attaches.used; i < v->attaches.ready; i++)
		if (r->attaches[i].state != ATTACH_FREE)
			wrong(v, USED,
			      "record % has an attachment, but only % are said "
			      "to be used",
			      i, v->attaches.used, 0);
	if (sum->in_segments != sum->live || sum->in_procs != sum->live)
		wrong(v, ATTACH_LIST,
		      "of % attachments, segments list % and processes %",
		      sum->live, sum->in_segments, sum->in_procs);
}

static void check_free_list(struct verifier *v, struct totals *sum)
{
	uint32_t link = v->r->h->free_attach;
	struct walk w = { 0 };

	for (; link != NO_INDEX; sum->free++) {
		const struct layout_attach *a = registry_attach(v->r, link - 1);

		if (!a || a->state != ATTACH_FREE ||
		    link - 1 >= v->attaches.used || walk_circles(&w, link)) {
			wrong(v, FREE_LIST,
			      "the list of free attachments leads astray after "
			      "%",
			      sum->free, 0, 0);
			return;
		}
		link = a->next_in_addr;
	}
	if (sum->live + sum->free != v->attaches.used)
		wrong(v, FREE_LIST,
		      "of % attachment records, % are in use and % in the list "
		      "of free ones",
		      v->attaches.used, sum->live, sum->free);
}

static void check_addresses(struct verifier *v, const struct totals *sum)
{
	const struct registry *r = v->r;
	uint64_t found = 0;

	for (uint32_t i = 0; i <= r->addr_mask; i++) {
		uint32_t link = r->addr_heads[i];
		struct walk w = { 0 };

		for (; link != NO_INDEX; found++) {
			const struct layout_attach *a =
				registry_attach(r, link - 1);

			if (!a || a->state != ATTACH_LIVE ||
			    ledger_addr_head(r, a->proc, a->addr) !=
				    &r->addr_heads[i] ||
			    walk_circles(&w, link)) {
				wrong(v, ADDRESS_TABLE,
				      "chain % of the address table leads "
				      "astray",
				      i, 0, 0);
				break;
			}
			link = a->next_in_addr;
		}
	}
	if (found != sum->live)
		wrong(v, ADDRESS_TABLE,
		      "of % attachments, the address table has %", sum->live,
		      found, 0);
}

static void check_total(struct verifier *v, const char *words, uint64_t have,
			uint64_t counted)
{
	if (have != counted)
		wrong(v, TOTALS, words, have, counted, 0);
}

uint64_t verify_registry(const struct registry *r, verify_report *report,
			 void *arg)
{
	const struct layout_header *h = r->h;
	struct verifier v = {
		.r = r,
		.report = report,
		.arg = arg,
		.segments = verify_extent(r, &h->segments, r->max_segments),
		.procs = verify_extent(r, &h->procs, r->max_procs),
		.attaches = verify_extent(r, &h->attaches, r->max_attaches),
	};
	struct totals sum = { 0 };

	check_header(&v);
	check_segments(&v, &sum);
	check_keys(&v, &sum);
	check_processes(&v, &sum);
	check_records(&v, &sum);
	check_free_list(&v, &sum);
	check_addresses(&v, &sum);
	check_total(&v, "% segments are said to be in use, but there are %",
		    h->in_use, sum.in_use);
	check_total(&v, "% segments are said to be on the way, but there are %",
		    h->unsettled, sum.unsettled);
	check_total(&v, "all segments are said to have % pages, but have %",
		    h->pages, sum.pages);
	check_total(&v, "% pages are said to be locked, but there are %",
		    h->locked, sum.locked);
	check_total(&v, "% attachments are said to be there, but there are %",
		    h->nattaches, sum.live);
	return v.wrong;
}
