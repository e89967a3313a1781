/* SPDX-License-Identifier: MIT */
/* Each kind of damage is found, put in words, and repaired. */
#include "unit.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>

#include "core/space.h"
#include "store/publish.h"
#include "store/rebuild.h"
#include "store/verify.h"
#include "ushm.h"

enum { SEGMENTS = 12, KEY = 0x1000 };

static struct space *sp;
static int ids[SEGMENTS];

/* What verify_registry() said. */
static struct {
	uint64_t found;
	char text[20000];
	char codes[4000];
} said;

static void on_finding(void *arg, const struct verify_finding *f)
{
	size_t n = strlen(said.text), c = strlen(said.codes);

	(void)arg;
	CHECK(*f->code && *f->text && *f->remedy);
	snprintf(said.text + n, sizeof(said.text) - n, "%s: %s\n", f->code,
		 f->text);
	snprintf(said.codes + c, sizeof(said.codes) - c, "%s ", f->code);
}

static uint64_t verify(const struct registry *r)
{
	memset(&said, 0, sizeof(said));
	said.found = verify_registry(r, on_finding, NULL);
	return said.found;
}

/*
 * Segments 0-2 private, others with keys; segment i is attached i % 4 times
 * by us, and once by a child that waits; one is removed and attached; a few
 * were attached and let go.
 */
static void populate(void)
{
	struct ushm_problem problem;
	ushm_space *space;
	void *p[SEGMENTS];
	struct peer peer;

	REQUIRE(ushm_open(unit_dir(), USHM_CREATE, NULL, &space, &problem) ==
		0);
	sp = (struct space *)space;
	for (int i = 0; i < SEGMENTS; i++)
		REQUIRE(ushm_get(space, i < 3 ? IPC_PRIVATE : KEY + i,
				 (size_t)(i + 1) * 5000, IPC_CREAT | 0600,
				 &ids[i]) == 0);
	for (int i = 0; i < SEGMENTS; i++)
		REQUIRE(ushm_attach(space, ids[i], NULL, 0, &p[i]) == 0);
	for (int i = 0; i < SEGMENTS; i++) {
		for (int n = 1; n < i % 4; n++)
			REQUIRE(ushm_attach(space, ids[i], NULL, SHM_RDONLY,
					    &p[i]) == 0);
		if (i % 4 == 0)
			REQUIRE(ushm_detach(space, p[i]) == 0);
	}
	REQUIRE(ushm_remove(space, ids[7]) == 0);
	REQUIRE(ushm_lock(space, ids[5], 1) == 0);
	if (peer_start(&peer)) {
		pause(); /* until the end */
		child_exit();
	}
	REQUIRE(ushm_attach(space, ids[1], NULL, 0, &p[0]) == 0);
	REQUIRE(ushm_attach(space, ids[1], NULL, 0, &p[1]) == 0);
	REQUIRE(ushm_detach(space, p[0]) == 0);
	REQUIRE(ushm_detach(space, p[1]) == 0);
	REQUIRE(ushm_stat(space, ids[1], &(struct ushm_segment){ 0 }) == 0);
	if (verify(&sp->reg))
		fprintf(stderr, "%s", said.text);
	REQUIRE(said.found == 0);
}

/* With the lock: as core/check.c does. What is left afterwards. */
static uint64_t rebuild(struct rebuild_loss *ret)
{
	struct registry copy;
	uint64_t left;

	REQUIRE(registry_copy(&sp->reg, sp->dir.path, &copy) == 0);
	rebuild_registry(&copy, space_slot(sp), ret);
	left = verify(&copy);
	if (left)
		fprintf(stderr, "the copy: %s", said.text);
	publish_registry(&sp->reg, &copy);
	registry_close(&copy);
	left += verify(&sp->reg);
	if (left)
		fprintf(stderr, "published: %s", said.text);
	return left;
}

/* ------------------------------------------------- one field at a time */

#define SEG(i, field)                                                         \
	{                                                                     \
		&sp->reg.segments[i].field, sizeof(sp->reg.segments[i].field) \
	}
#define HEAD(field)                                         \
	{                                                   \
		&sp->reg.h->field, sizeof(sp->reg.h->field) \
	}
#define PROC(field)                                                     \
	{                                                               \
		&sp->reg.procs[0].field, sizeof(sp->reg.procs[0].field) \
	}
#define REC(field)                                        \
	{                                                 \
		&sp->reg.attaches[first_of(6)].field,     \
			sizeof(sp->reg.attaches[0].field) \
	}

static uint32_t first_of(int segment)
{
	return sp->reg.segments[segment].first_attach - 1;
}

struct damage {
	const char *code, *words;
	struct {
		void *at;
		size_t size;
	} field;
	uint64_t value;
	bool same; /* all that counts is as before */
};

/* What must not change: the number of attachments and the keys. */
static void snapshot(uint32_t *nattch, int32_t *keys)
{
	for (int i = 0; i < SEGMENTS; i++) {
		nattch[i] = sp->reg.segments[i].attaches;
		keys[i] = sp->reg.segments[i].key;
	}
}

static void try_damage(const struct damage *d)
{
	uint32_t before[SEGMENTS], after[SEGMENTS];
	int32_t keys[SEGMENTS], keys_after[SEGMENTS];
	struct rebuild_loss loss;

	NOTE("%s", d->words);
	snapshot(before, keys);
	memcpy(d->field.at, &d->value, d->field.size);
	CHECK(verify(&sp->reg) > 0);
	if (!strstr(said.codes, d->code) || !strstr(said.text, d->words))
		fprintf(stderr, "'%s: %s' not in:\n%s", d->code, d->words,
			said.text);
	CHECK(strstr(said.codes, d->code) && strstr(said.text, d->words));
	CHECK_EQ(rebuild(&loss), 0);
	snapshot(after, keys_after);
	if (!d->same)
		return;
	CHECK_EQ(loss.attaches, 0);
	CHECK_EQ(loss.keys, 0);
	for (int i = 0; i < SEGMENTS; i++) {
		CHECK_EQ(after[i], before[i]);
		CHECK_EQ(keys_after[i], keys[i]);
		CHECK_EQ(sp->reg.segments[i].state, SEG_LIVE);
		CHECK_EQ(sp->reg.segments[i].size, (i + 1) * 5000);
	}
}

CASE("rebuild", damage_of_one_field_is_found_and_repaired)
{
	populate();
	const struct damage rows[] = {
		{ "free-list", "leads astray after 0", HEAD(free_attach), 5,
		  true },
		{ "free-list", "0 in the list of free ones", HEAD(free_attach),
		  0, true },
		{ "unfinished", "unfinished (3 steps)", HEAD(undo_count), 3,
		  true },
		{ "unfinished", "noted as unfinished", HEAD(undo_count), ~0u,
		  true },
		{ "unfinished", "2 guards", HEAD(guard_count), 2, true },
		{ "guard", "the key table is marked as changing",
		  HEAD(key_guard), 77, true },
		{ "guard", "segment 3 is marked as changing", SEG(3, guard), 99,
		  true },
		{ "limit", "room for 32768 segments", HEAD(shmmni), 32769,
		  true },
		{ "limit", "shm_next_id is 0xfffffff0", HEAD(next_id),
		  (uint32_t)-16, true },
		{ "limit", "shm_rmid_forced is 7", HEAD(rmid_forced), 7, true },
		{ "cursor", "behind the last of them", HEAD(next_index), 40000,
		  true },
		{ "cursor", "sequence 4294967295", HEAD(seq), ~0u, true },
		{ "cursor", "though the next is to be 1", HEAD(next_attach), 1,
		  true },
		{ "used", "only 7 are said to be used", HEAD(segments.used), 7,
		  true },
		{ "used", "99999999 segments are said to be used",
		  HEAD(segments.used), 99999999, true },
		{ "used", "99999999 attachments", HEAD(attaches.used), 99999999,
		  true },
		{ "used", "but only 2 are said to be used", HEAD(attaches.used),
		  2, true },
		{ "used", "slot 1 has a process", HEAD(procs.used), 1, true },
		{ "segment-state", "index 4 has state 66", SEG(4, state), 66,
		  true },
		{ "bitmap", "index 6 is marked as taken", SEG(6, state),
		  SEG_FREE, true },
		{ "bitmap", "index 1 is marked as taken", SEG(1, state),
		  SEG_FREE, true },
		{ "attach-count", "index 5 is no segment, but has 2",
		  SEG(5, state), SEG_DOOMED, true },
		{ "segment-owner", "no process is left to remove",
		  SEG(8, state), SEG_DOOMED, true },
		{ "segment-record", "segment 3 of 20000 bytes says",
		  SEG(3, pages), 9, true },
		{ "segment-record", "with bits that no mode has", SEG(3, mode),
		  0100600, true },
		{ "segment-record", "has key 0x1234, but was made with key",
		  SEG(4, key), 0x1234, true },
		{ "segment-record", "but was made with key 0x1234",
		  SEG(4, first_key), 0x1234, true },
		{ "segment-record", "has lost its key 0x1004", SEG(4, key), 0,
		  true },
		{ "segment-record", "marked as removed, but has its key",
		  SEG(4, mode), 01600, true },
		{ "segment-left", "segment 0 is marked as removed",
		  SEG(0, mode), 01600, true },
		{ "key-table", "leads astray", SEG(4, next_in_key), 5, true },
		{ "key-table", "leads astray", SEG(4, next_in_key), 31000,
		  true },
		{ "key-table",
		  "cannot be found by its key 0x1005",
		  { segments_key_head(&sp->reg, KEY + 5), 4 },
		  0,
		  true },
		{ "bitmap",
		  "segment 0 has no mark in the bitmap",
		  { sp->reg.bitmap, 8 },
		  0,
		  true },
		{ "bitmap",
		  "index 30000 is marked as taken, but was never",
		  { sp->reg.bitmap + 30000 / 64, 8 },
		  UINT64_C(1) << 30000 % 64,
		  true },
		{ "totals", "9 segments are said to be in use", HEAD(in_use), 9,
		  true },
		{ "totals", "1 segments are said to be on the way",
		  HEAD(unsettled), 1, true },
		{ "totals", "said to have 1 pages", HEAD(pages), 1, true },
		{ "totals", "3 pages are said to be locked", HEAD(locked), 3,
		  true },
		{ "totals", "0 attachments are said to be there",
		  HEAD(nattaches), 0, true },
		{ "process-state", "has state 200", PROC(claim),
		  (uint64_t)getpid() << 32 | 0x1c8, true },
		{ "process-state", "has state 0, which cannot be", PROC(claim),
		  (uint64_t)getpid() << 32 | 0x100, true },
		{ "attach-list", "process", PROC(first_attach), 0x7fffffff,
		  true },
		{ "attach-count", "says 1 attachments", PROC(attaches), 1,
		  true },
		{ "attach-count", "segment 6 says 1 attachments, but 4 are",
		  SEG(6, attaches), 1, true },
		{ "attach-list", "segment 6's attachments leads astray",
		  SEG(6, first_attach), 1, true },
		{ "attach-record", "has state 5", REC(state), 5, true },
		{ "attach-list", "leads astray", REC(state), ATTACH_FREE,
		  true },
		{ "attach-record", "of index 99, sequence 0", REC(segment), 99,
		  true },
		{ "attach-list", "segment 6's attachments leads astray",
		  REC(segment), 5, true },
		{ "attach-record", "sequence 8", REC(seq), 8, true },
		{ "attach-record", "of process slot 77", REC(proc), 77, true },
		{ "attach-record", "there is no such segment", REC(registry), 1,
		  true },
		{ "attach-list", "leads astray", REC(next_in_segment), 3,
		  true },
		{ "attach-list", "leads astray", REC(prev_in_proc), 3, true },
		{ "address-table", "leads astray", REC(addr), 0x1000, true },
		/* These cannot be concluded from anything else. */
		{ "segment-record", "says that it has 0 bytes", SEG(2, size), 0,
		  false },
		{ "segment-record", "index 4 has sequence 4294967295",
		  SEG(4, seq), ~0u, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		try_damage(&rows[i]);
}

CASE("rebuild", of_two_segments_with_one_key_the_attached_keeps_it)
{
	struct rebuild_loss loss;

	populate();
	sp->reg.segments[4].key = sp->reg.segments[4].first_key = KEY + 5;
	CHECK(verify(&sp->reg) > 0);
	sp->reg.segments[4].next_in_key = 6;
	*segments_key_head(&sp->reg, KEY + 5) = 5;
	CHECK(verify(&sp->reg) > 0);
	CHECK(strstr(said.text, "segments 4 and 5 have the same key 0x1005"));
	CHECK_EQ(rebuild(&loss), 0);
	CHECK_EQ(loss.keys, 1);
	CHECK_EQ(sp->reg.segments[5].key, KEY + 5);
	CHECK_EQ(sp->reg.segments[4].key, IPC_PRIVATE);
	CHECK_EQ(sp->reg.segments[4].state, SEG_LIVE);
}

/* ------------------------------------------------------------- in full */

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* 32768 segments, each attached 'times', without files. */
static void fill(int times)
{
	struct registry *r = &sp->reg;
	struct ledger_event e = { getpid(), 1 };
	struct segment_reservation res;
	struct space_entry entry;

	REQUIRE(space_enter(sp, &entry) == 0);
	while (space_grow(sp, &r->h->segments) == 0)
		;
	while (space_grow(sp, &r->h->attaches) == 0)
		;
	space_lock(sp);
	while (segments_reserve(r, space_slot(sp), 1, &res) == 0) {
		struct segment_new n = { .key = (int)res.index + KEY * 2,
					 .size = 4096,
					 .mode = 0600 };

		segments_publish(r, res.index, &n);
		undo_commit(r);
		for (int i = 0; i < times; i++) {
			struct ledger_piece p = {
				.addr = (res.index * UINT64_C(8) + i) << 12,
				.length = 4096,
			};

			REQUIRE(ledger_add(r, space_slot(sp), res.index, &p,
					   &e) == 0);
			undo_commit(r);
		}
	}
	undo_rollback(r);
	lock_release(r);
	space_leave(sp, &entry);
}

/* However it is damaged, it is looked at in time. */
CASE("rebuild", full_of_segments_is_checked_and_rebuilt_in_time)
{
	struct rebuild_loss loss;
	struct registry copy;
	double t;

	populate();
	fill(0);
	t = now_ms();
	CHECK_EQ(verify(&sp->reg), 0);
	fprintf(stderr, "32768 segments: verified in %.1f ms\n", now_ms() - t);
	sp->reg.h->in_use = 1;
	t = now_ms();
	REQUIRE(registry_copy(&sp->reg, sp->dir.path, &copy) == 0);
	rebuild_registry(&copy, space_slot(sp), &loss);
	publish_registry(&sp->reg, &copy);
	fprintf(stderr, "and rebuilt in %.1f ms\n", now_ms() - t);
	CHECK_EQ(verify(&sp->reg), 0);
}

CASE("rebuild", full_registry_is_checked_and_rebuilt_in_time)
{
	struct rebuild_loss loss;
	double t;

	populate();
	fill(7);
	t = now_ms();
	CHECK_EQ(verify(&sp->reg), 0);
	fprintf(stderr, "verified in %.1f ms\n", now_ms() - t);

	sp->reg.h->in_use = 1;
	t = now_ms();
	CHECK_EQ(rebuild(&loss), 0);
	fprintf(stderr, "rebuilt, and verified twice, in %.1f ms\n",
		now_ms() - t);
	CHECK_EQ(loss.attaches, 0);
	CHECK_EQ(sp->reg.h->in_use, 32768);

	NOTE("every chain in a circle, every list astray");
	for (uint32_t i = 0; i < 32768; i++) {
		sp->reg.segments[i].next_in_key = i + 1;
		sp->reg.segments[i].first_attach = 1;
	}
	for (uint32_t i = 0; i < 200000; i++) {
		sp->reg.attaches[i].next_in_segment = i + 1;
		sp->reg.attaches[i].next_in_proc = 1;
		sp->reg.attaches[i].next_in_addr = i + 1;
		sp->reg.attaches[i].state += i % 3;
	}
	t = now_ms();
	CHECK(verify(&sp->reg) > 100000);
	t = now_ms() - t;
	fprintf(stderr, "hostile: %llu things found in %.1f ms\n",
		(unsigned long long)said.found, t);
	CHECK(t < 5000);
	t = now_ms();
	CHECK_EQ(rebuild(&loss), 0);
	t = now_ms() - t;
	fprintf(stderr, "and rebuilt in %.1f ms\n", t);
	CHECK(t < 5000);
}

/* ---------------------------------------------------------- at random */

static uint64_t seed;

static uint64_t any(uint64_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 20) % n;
}

/* One word of what is in use, but for the geometry, life words and our own
 * slot: who repairs has just claimed it. */
static void hit(void)
{
	struct registry *r = &sp->reg;
	const struct {
		void *at;
		size_t words;
	} parts[] = {
		{ (char *)r->h + offsetof(struct layout_header, key_guard),
		  (sizeof(*r->h) - offsetof(struct layout_header, key_guard)) /
			  4 },
		{ &r->h->shmmni, 24 },
		{ r->bitmap, 2 },
		{ r->key_heads, r->key_mask + 1 },
		{ r->addr_heads, r->addr_mask + 1 },
		{ r->segments, 20 * sizeof(*r->segments) / 4 },
		{ r->attaches, 40 * sizeof(*r->attaches) / 4 },
		{ &r->procs[1 + any(2)].claim,
		  (sizeof(*r->procs) - offsetof(struct layout_proc, claim)) /
			  4 },
		{ &r->h->segments.used, 1 },
		{ &r->h->attaches.used, 1 },
		{ &r->h->procs.used, 1 },
	};
	size_t n = any(sizeof(parts) / sizeof(parts[0]));
	uint32_t *word = (uint32_t *)parts[n].at + any(parts[n].words);

	switch (any(4)) {
	case 0:
		*word ^= 1u << any(32);
		break;
	case 1:
		*word = (uint32_t)any(50);
		break;
	case 2:
		*word = (uint32_t)any(UINT32_MAX);
		break;
	default:
		*word = 0;
	}
}

/* What populate() made, or back to it. */
static void keep(bool back)
{
	const struct {
		void *at;
		size_t size;
	} parts[] = {
		{ sp->reg.h, 73728 }, /* up to the process slots */
		{ &sp->reg.procs[1], 2 * sizeof(*sp->reg.procs) },
		{ sp->reg.segments, 64 * sizeof(*sp->reg.segments) },
		{ sp->reg.attaches, 64 * sizeof(*sp->reg.attaches) },
	};
	static char kept[200000];
	char *at = kept;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		memcpy(back ? parts[i].at : at, back ? at : parts[i].at,
		       parts[i].size);
		at += parts[i].size;
	}
}

CASE("rebuild", random_damage_is_always_repaired)
{
	enum { ROUNDS = 20000 };
	struct rebuild_loss loss;
	double worst = 0, t;

	populate();
	keep(false);
	seed = 1;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t was = seed;

		if (i % 4 == 0)
			keep(true);

		NOTE("seed %llu", (unsigned long long)was);
		for (uint64_t n = any(20) ? 1 + any(4) : 1 + any(200); n; n--)
			hit();
		t = now_ms();
		verify(&sp->reg);
		if (rebuild(&loss)) {
			CHECK(!"repaired");
			break;
		}
		t = now_ms() - t;
		worst = t > worst ? t : worst;
	}
	fprintf(stderr, "the slowest took %.1f ms\n", worst);
}

/* ushm(7): a damaged registry leads to wrong answers, but to nothing worse. */
CASE("rebuild", damage_hurts_no_program)
{
	enum { ROUNDS = 3000 };
	ushm_space *space;
	struct ushm_segment seg;
	void *p[3];
	int id;

	populate();
	space = (ushm_space *)sp;
	keep(false);
	seed = 7;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t was = seed;
		uint32_t cursor = 0;

		NOTE("seed %llu", (unsigned long long)was);
		keep(true);
		for (uint64_t n = 1 + any(6); n; n--)
			hit();
		for (int n = 0; n < 3; n++)
			if (ushm_attach(space, ids[any(SEGMENTS)], NULL, 0,
					&p[n]) < 0)
				p[n] = NULL;
		for (int n = 0; n < SEGMENTS; n++)
			(void)ushm_get(space, KEY + n, 0, 0, &id);
		while (ushm_next(space, &cursor, &seg) > 0)
			;
		cursor = 0;
		while (ushm_next_attachment(space, -1, &cursor,
					    &(struct ushm_attachment){ 0 }) > 0)
			;
		for (int n = 0; n < 3; n++)
			if (p[n] && ushm_detach(space, p[n]) < 0)
				munmap(p[n], 1 << 16);
		if (ushm_get(space, IPC_PRIVATE, 4096, 0600, &id) == 0)
			(void)ushm_remove(space, id);
	}
}
