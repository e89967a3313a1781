/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: it concludes what was meant from what is there.
 *
 * Three kinds of records are believed: segments, attachments, process slots.
 * Where one of them cannot be, what points at it decides: a list that is whole
 * and as long as it says is right about its members. Everything else, lists,
 * tables, bitmap and sums, is made anew from them. An attachment that names a
 * segment and a process is never dropped, so no nattch becomes lower than the
 * number of attachments that are known.
 *
 * Lock: the registry's, from the copy to the end of publish_registry().
 * Crash: nothing has happened: all this is done in a private copy.
 */
#include "store/rebuild.h"

#include <string.h>
#include <sys/shm.h>

#include "store/ledger.h"
#include "store/segments.h"
#include "store/verify.h"

#define FLAGS (SEG_HUGE | SEG_NORESERVE | SEG_HANDLES | SEG_UNSYNCED)

struct rebuild {
	struct registry *r; /* the copy */
	uint32_t me;
	uint32_t segments, procs, attaches; /* in use */
	struct rebuild_loss *loss;
};

/* ----------------------------------------------------------- the header */

static void even(uint32_t *guard)
{
	*guard += *guard & 1;
}

/* What is used ends behind the last record that is. */
static void mend_used(struct rebuild *b)
{
	struct registry *r = b->r;
	struct layout_header *h = r->h;
	struct verify_extent e;

	e = verify_extent(r, &h->segments, r->max_segments);
	for (uint32_t i = e.used; i < e.ready; i++)
		if (r->segments[i].state != SEG_FREE)
			e.used = i + 1;
	b->segments = h->segments.used = e.used;

	e = verify_extent(r, &h->procs, r->max_procs);
	for (uint32_t i = e.used; i < e.ready; i++)
		if (r->procs[i].claim)
			e.used = i + 1;
	b->procs = h->procs.used = e.used;

	e = verify_extent(r, &h->attaches, r->max_attaches);
	for (uint32_t i = e.used; i < e.ready; i++)
		if (r->attaches[i].state != ATTACH_FREE)
			e.used = i + 1;
	b->attaches = h->attaches.used = e.used;
}

static void mend_header(struct rebuild *b)
{
	struct layout_header *h = b->r->h;

	h->undo_count = 0;
	h->guard_count = 0;
	even(&h->key_guard);
	if (h->shmmni > b->r->max_segments)
		h->shmmni = b->r->max_segments;
	if (h->next_id < -1)
		h->next_id = -1;
	if (h->rmid_forced > 1)
		h->rmid_forced = 0;
	if (h->next_index > b->r->max_segments ||
	    h->last_index > b->r->max_segments)
		h->next_index = h->last_index = 0;
	if (h->seq >= (uint32_t)INT32_MAX >> b->r->seq_shift)
		h->seq = 0;
}

/* ------------------------------------------------------------ the records */

/*
 * A claim in no state is one that asks: whoever looks at it looks for the
 * process, and while it lives it counts. Without a pid it is a child's.
 */
static void mend_claim(struct layout_proc *p)
{
	if (!verify_claim_bad(p->claim))
		return;
	if (claim_pid(p->claim) > 0)
		p->claim = claim_make(p->claim, PROC_CLAIMING,
				      claim_pid(p->claim));
	else
		p->claim = claim_make(p->claim,
				      p->parent ? PROC_UNBORN : PROC_FREE, 0);
}

/*
 * What is on the way has an owner. What has none, but attachments, a key or a
 * bit, is a segment; one that is taken for it by mistake has no file.
 */
static void mend_state(const struct registry *r, uint32_t i)
{
	struct layout_segment *s = &r->segments[i];
	const struct layout_attach *a = registry_attach(r, s->first_attach - 1);
	bool bit = r->bitmap[i / 64] >> i % 64 & 1;
	bool attached = s->attaches && a && a->segment == i;

	if (s->state == SEG_LIVE)
		return;
	if (attached || ((s->state == SEG_FREE || !s->owner) &&
			 verify_size_good(s->size) && (bit || s->key))) {
		if (s->state == SEG_FREE && !s->key)
			s->first_key = IPC_PRIVATE; /* of the one before it */
		s->state = SEG_LIVE;
	} else if (s->state > SEG_DOOMED) {
		s->state = s->owner ? SEG_DOOMED : SEG_FREE;
	}
}

/* The two kinds of lists that a record is in. */
struct list {
	size_t owner, prev, next; /* in a record */
};

static const struct list of_segment = {
	offsetof(struct layout_attach, segment),
	offsetof(struct layout_attach, prev_in_segment),
	offsetof(struct layout_attach, next_in_segment),
};

static const struct list of_process = {
	offsetof(struct layout_attach, proc),
	offsetof(struct layout_attach, prev_in_proc),
	offsetof(struct layout_attach, next_in_proc),
};

static uint32_t *word(struct layout_attach *a, size_t offset)
{
	return (uint32_t *)(void *)((char *)a + offset);
}

static bool owner_good(const struct registry *r, const struct list *l,
		       struct layout_attach *a)
{
	const struct layout_proc *p;

	if (l == &of_segment)
		return verify_segment_of(r, a) != NULL;
	p = registry_proc(r, a->proc);
	return p && verify_owner(p->claim);
}

/* Does what stands before the record in its list say the same as itself? */
static bool owner_backed(const struct registry *r, const struct list *l,
			 struct layout_attach *a, uint32_t link)
{
	uint32_t owner = *word(a, l->owner), prev = *word(a, l->prev);
	struct layout_attach *before;

	if (!owner_good(r, l, a))
		return false;
	if (prev == NO_INDEX)
		return link == (l == &of_segment
					? r->segments[owner].first_attach
					: r->procs[owner].first_attach);
	before = registry_attach(r, prev - 1);
	return before && *word(before, l->next) == link &&
	       *word(before, l->owner) == owner;
}

/* A record that is free is in no chain of addresses. */
static bool has_address(const struct registry *r, const struct layout_attach *a,
			uint32_t link)
{
	uint32_t at = *ledger_addr_head(r, a->proc, a->addr);

	for (int n = 0; at != NO_INDEX && at != link && n < 1000; n++) {
		const struct layout_attach *other = registry_attach(r, at - 1);

		at = other ? other->next_in_addr : NO_INDEX;
	}
	return at == link;
}

/*
 * The members of a whole list belong to its owner, unless another list backs
 * what they say themselves: two links agree about each of them, and the count.
 */
static void mend_owners(struct rebuild *b, const struct list *l, uint32_t owner,
			uint32_t first, uint32_t count)
{
	uint32_t link = first, before = NO_INDEX, n = 0;
	struct registry *r = b->r;

	for (; link != NO_INDEX; n++) {
		struct layout_attach *a;

		if (link > b->attaches)
			return;
		a = &r->attaches[link - 1];
		if (*word(a, l->prev) != before)
			return;
		before = link;
		link = *word(a, l->next);
	}
	for (link = first; link != NO_INDEX;) {
		struct layout_attach *a = &r->attaches[link - 1];

		if (a->state > ATTACH_LIVE ||
		    (n == count && has_address(r, a, link)))
			a->state = ATTACH_LIVE;
		if (n == count ? !owner_backed(r, l, a, link)
			       : !owner_good(r, l, a))
			*word(a, l->owner) = owner;
		link = *word(a, l->next);
	}
}

static void mend_record(struct rebuild *b, struct layout_attach *a)
{
	const struct layout_segment *s = registry_segment(b->r, a->segment);

	if (a->state == ATTACH_FREE)
		return;
	a->registry = 0;
	if (s && s->state == SEG_LIVE)
		a->seq = s->seq;
	if (owner_good(b->r, &of_segment, a) &&
	    owner_good(b->r, &of_process, a)) {
		a->state = ATTACH_LIVE;
		return;
	}
	b->loss->attaches += a->state == ATTACH_LIVE;
	a->state = ATTACH_FREE;
}

static void mend_records(struct rebuild *b)
{
	struct registry *r = b->r;

	for (uint32_t i = 0; i < b->segments; i++)
		if (r->segments[i].state == SEG_LIVE)
			mend_owners(b, &of_segment, i,
				    r->segments[i].first_attach,
				    r->segments[i].attaches);
	for (uint32_t i = 0; i < b->procs; i++)
		if (verify_owner(r->procs[i].claim))
			mend_owners(b, &of_process, i, r->procs[i].first_attach,
				    r->procs[i].attaches);
	for (uint32_t i = 0; i < b->attaches; i++)
		mend_record(b, &r->attaches[i]);
}

/* ----------------------------------------------------------- the segments */

static void doom(struct rebuild *b, struct layout_segment *s)
{
	s->state = SEG_DOOMED;
	s->owner = b->me + 1;
	s->key = IPC_PRIVATE;
}

static bool found_by(const struct registry *r, uint32_t index, int32_t key,
		     uint32_t *steps)
{
	uint32_t link = *segments_key_head(r, key);

	for (; link != NO_INDEX && *steps; --*steps) {
		const struct layout_segment *s = registry_segment(r, link - 1);

		if (!s || link == index + 1)
			return s != NULL;
		link = s->next_in_key;
	}
	return false;
}

/* A key is the one of its creation, or none once it was removed. */
static void mend_key(const struct registry *r, uint32_t index, uint32_t *steps)
{
	struct layout_segment *s = &r->segments[index];

	if (s->key != IPC_PRIVATE) {
		if (s->key != s->first_key && s->first_key &&
		    found_by(r, index, s->first_key, steps))
			s->key = s->first_key;
		s->first_key = s->key;
		s->mode &= ~(uint32_t)SHM_DEST;
	} else if (!(s->mode & SHM_DEST)) {
		s->key = s->first_key;
	}
}

static void mend_segment(struct rebuild *b, uint32_t i, uint32_t *steps)
{
	struct layout_segment *s = &b->r->segments[i];

	even(&s->guard);
	if (verify_ownerless(b->r, s))
		doom(b, s);
	if (s->state != SEG_LIVE) {
		s->key = IPC_PRIVATE;
		return;
	}
	s->seq &= (uint32_t)INT32_MAX >> b->r->seq_shift;
	if (!verify_size_good(s->size))
		s->size = s->pages && s->pages <= VERIFY_MAX_SIZE >> 12
				  ? s->pages << 12
				  : LAYOUT_PAGE;
	s->pages = verify_pages(s->size);
	s->mode &= VERIFY_MODES;
	s->flags &= FLAGS;
	s->owner = 0;
	mend_key(b->r, i, steps);
}

/* ------------------------------------------------------- all that follows */

static void link_record(struct registry *r, uint32_t i)
{
	struct layout_header *h = r->h;
	struct layout_attach *a = &r->attaches[i];
	struct layout_segment *s;
	struct layout_proc *p;
	uint32_t *head;

	if (a->state != ATTACH_LIVE) {
		a->next_in_addr = h->free_attach;
		h->free_attach = i + 1;
		return;
	}
	s = &r->segments[a->segment];
	a->prev_in_segment = NO_INDEX;
	a->next_in_segment = s->first_attach;
	if (s->first_attach)
		r->attaches[s->first_attach - 1].prev_in_segment = i + 1;
	s->first_attach = i + 1;
	s->attaches++;

	p = &r->procs[a->proc];
	a->prev_in_proc = NO_INDEX;
	a->next_in_proc = p->first_attach;
	if (p->first_attach)
		r->attaches[p->first_attach - 1].prev_in_proc = i + 1;
	p->first_attach = i + 1;
	p->attaches++;

	head = ledger_addr_head(r, a->proc, a->addr);
	a->next_in_addr = *head;
	*head = i + 1;

	h->nattaches++;
	if (a->attach >= h->next_attach)
		h->next_attach = a->attach + 1;
	if (!h->next_attach) /* it had the last number that there is */
		h->next_attach = a->attach = 1;
}

static void relink(struct rebuild *b)
{
	struct registry *r = b->r;

	for (uint32_t i = 0; i < b->segments; i++)
		r->segments[i].first_attach = r->segments[i].attaches = 0;
	for (uint32_t i = 0; i < b->procs; i++)
		r->procs[i].first_attach = r->procs[i].attaches = 0;
	memset(r->addr_heads, 0, (r->addr_mask + 1) * sizeof(*r->addr_heads));
	r->h->free_attach = NO_INDEX;
	r->h->nattaches = 0;
	for (uint32_t i = b->attaches; i-- > 0;)
		link_record(r, i);
}

/* What was removed goes with its last attachment. Without a key to have given
 * up, the mark itself may be the damage. */
static void settle_removed(struct rebuild *b, struct layout_segment *s)
{
	if (s->state != SEG_LIVE || s->attaches || !(s->mode & SHM_DEST))
		return;
	if (s->first_key)
		doom(b, s);
	else
		s->mode &= ~(uint32_t)SHM_DEST;
}

static void key_insert(struct rebuild *b, uint32_t i, uint32_t *steps)
{
	struct layout_segment *s = &b->r->segments[i];
	uint32_t *head = segments_key_head(b->r, s->key);

	if (verify_find_key(b->r, s->key, steps)) {
		s->key = s->first_key = IPC_PRIVATE;
		b->loss->keys++;
		return;
	}
	s->next_in_key = *head;
	*head = i + 1;
}

/* Of two with one key, the one that is attached has it. */
static void keys_insert(struct rebuild *b)
{
	uint32_t steps = VERIFY_KEY_STEPS;
	struct registry *r = b->r;

	memset(r->key_heads, 0, (r->key_mask + 1) * sizeof(*r->key_heads));
	for (uint32_t i = 0; i < b->segments; i++)
		r->segments[i].next_in_key = NO_INDEX;
	for (int attached = 1; attached >= 0; attached--)
		for (uint32_t i = 0; i < b->segments; i++) {
			const struct layout_segment *s = &r->segments[i];

			if (s->state == SEG_LIVE && s->key != IPC_PRIVATE &&
			    !!s->attaches == attached)
				key_insert(b, i, &steps);
		}
}

static void sum_up(struct rebuild *b)
{
	struct registry *r = b->r;
	struct layout_header *h = r->h;

	memset(r->bitmap, 0, (r->max_segments + 63) / 64 * sizeof(*r->bitmap));
	h->in_use = h->unsettled = 0;
	h->pages = h->locked = 0;
	for (uint32_t i = 0; i < b->segments; i++) {
		const struct layout_segment *s = &r->segments[i];

		if (s->state == SEG_FREE)
			continue;
		r->bitmap[i / 64] |= UINT64_C(1) << i % 64;
		h->unsettled += s->state != SEG_LIVE;
		if (s->state == SEG_DOOMED)
			continue;
		h->in_use++;
		h->pages += s->pages;
		if (s->state == SEG_LIVE && s->mode & SHM_LOCKED)
			h->locked += s->pages;
	}
}

void rebuild_registry(struct registry *copy, uint32_t me,
		      struct rebuild_loss *ret)
{
	struct rebuild b = { .r = copy, .me = me, .loss = ret };
	uint32_t steps = VERIFY_KEY_STEPS;

	*ret = (struct rebuild_loss){ 0 };
	mend_used(&b);
	mend_header(&b);
	for (uint32_t i = 0; i < b.procs; i++)
		mend_claim(&copy->procs[i]);
	for (uint32_t i = 0; i < b.segments; i++)
		mend_state(copy, i);
	mend_records(&b);
	for (uint32_t i = 0; i < b.segments; i++)
		mend_segment(&b, i, &steps);
	for (uint32_t i = 0; i < b.attaches; i++) /* of a mended sequence */
		mend_record(&b, &copy->attaches[i]);
	relink(&b);
	for (uint32_t i = 0; i < b.segments; i++)
		settle_removed(&b, &copy->segments[i]);
	keys_insert(&b);
	sum_up(&b);
}
