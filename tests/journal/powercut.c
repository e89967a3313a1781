/* SPDX-License-Identifier: MIT */
/*
 * Every state that a power cut can leave, and a recovery from each.
 *
 * Commits are made on the disk of disk.c. Before each flush, and when a call
 * returns, all that the disk may hold by then is tried: each combination of
 * what each sector, size and name may be, up to a number, and beyond it each
 * subset of the writes and random combinations of sectors; and each sector of
 * the sidecar torn at each byte. After recovery the data file is one of the
 * states that it may have, a second recovery changes nothing, and the next
 * commit works. The recovery is itself cut in the same way.
 *
 * The same after a kill at each change, when the kernel's memory survives and
 * another process goes on, and after each call that fails. Without -a there are
 * fewer combinations of these.
 *
 * With -m, what the journal does for safety is left out, one thing at a time:
 * each must be found.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backing/journal.h"
#include "base/checksum.h"
#include "base/sys.h"
#include "journal/disk.h"

#ifndef USHM_WATCHED
int main(void)
{
	printf("no stub between the library and the kernel on this machine\n");
	return 77;
}
#else

static struct journal_place place = { FD_DIR, SIDECAR_NAME, false };
static const char *doing = "";
static long failures, states;

static void fail(const char *what, long detail)
{
	if (failures++ < 10 && mutation == SOUND)
		fprintf(stderr, "FAIL %s, change %ld, call %ld: %s (%ld)\n",
			doing, fate.changes, fate.calls, what, detail);
	if (mutation != SOUND)
		_exit(1); /* found */
}

static uint32_t rnd(uint32_t below)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)((x >> 20) % below);
}

/* -------------------------------------------------- what the file may be */

struct content {
	uint64_t size;
	uint8_t bytes[ROOM];
};

static struct content allowed[3];
static unsigned nallowed;

static void data_now(struct content *ret)
{
	*ret = (struct content){ .size = disk.file[DATA].size };
	memcpy(ret->bytes, disk.file[DATA].bytes, ret->size);
}

static bool same(const struct content *a, const struct content *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static bool is_allowed(void)
{
	static struct content now;

	data_now(&now);
	for (unsigned i = 0; i < nallowed; i++)
		if (same(&now, &allowed[i]))
			return true;
	return false;
}

/* ------------------------------------------------------------- a recovery */

static unsigned depth; /* of recoveries that are cut */
static bool nested;    /* this one is */
static void explore(void);

/* On what 'disk' is now. */
static void recover(void)
{
	static struct disk before[3];
	int r;

	disk_moment = depth == 0 && nested ? explore : NULL;
	depth++;
	r = journal_replay(&place, FD_DATA, 0);
	depth--;
	disk_moment = NULL;
	if (r < 0)
		fail("recovery", r);
	if (!is_allowed())
		fail("a state that never was", (long)disk.file[DATA].size);

	before[depth] = disk;
	r = journal_replay(&place, FD_DATA, 0);
	if (r != 0)
		fail("a second recovery", r);
	if (memcmp(&before[depth], &disk, sizeof(disk)) != 0)
		fail("a second recovery changes something", 0);

	/* Now and then: life goes on. */
	if (rnd(16) == 0) {
		const uint64_t size = disk.file[DATA].size;
		uint8_t byte = (uint8_t)(disk.file[DATA].bytes[0] + 1);
		struct journal_run run = { 0, &byte, 1 };

		r = journal_commit(&place, FD_DATA, &run, size ? 1 : 0, size);
		if (r != 0 || (size && disk.file[DATA].bytes[0] != byte))
			fail("a commit after recovery", r);
	}
}

/* -------------------------------------------------------- all that may be */

struct unit {
	int file;	 /* FILES: the name */
	unsigned sector; /* SECTORS: the size */
	const struct maybe *is;
};

#define UNITS (FILES * (SECTORS + 1) + 1)

struct view {
	struct disk disk; /* as it was */
	struct disk_fate fate;
	struct unit unit[UNITS];
	unsigned n, choice[UNITS];
	int torn;	  /* unit, or -1 */
	unsigned torn_at; /* its bytes before that are of 'choice' */
	unsigned torn_to; /* the others of this one */
};

static void view_add(struct view *v, int file, unsigned sector,
		     const struct maybe *m)
{
	if (m->n > 1)
		v->unit[v->n++] = (struct unit){ file, sector, m };
}

static void view_make(struct view *v)
{
	v->disk = disk;
	v->fate = fate;
	v->n = 0;
	v->torn = -1;
	for (int f = 0; f < FILES; f++) {
		for (unsigned i = 0; i < SECTORS; i++)
			view_add(v, f, i, &v->disk.file[f].sectors[i]);
		view_add(v, f, SECTORS, &v->disk.file[f].sizes);
	}
	view_add(v, FILES, 0, &v->disk.names);
}

/* Power comes back with these choices. */
static void boot(const struct view *v)
{
	uint8_t sector[SECTOR];

	memset(&fate, 0, sizeof(fate));
	disk = v->disk;
	for (unsigned i = 0; i < v->n; i++) {
		const struct unit *u = &v->unit[i];
		uint32_t value = u->is->value[v->choice[i]];

		if (u->file == FILES) {
			disk_set_named(value != 0);
		} else if (u->sector == SECTORS) {
			disk_set_size(u->file, value);
		} else {
			memcpy(sector, disk_sector(value), SECTOR);
			if ((int)i == v->torn)
				memcpy(sector + v->torn_at,
				       disk_sector(u->is->value[v->torn_to]) +
					       v->torn_at,
				       SECTOR - v->torn_at);
			disk_set_sector(u->file, u->sector, sector);
		}
	}
}

static bool thorough; /* torn sectors too, and all combinations up to 2^14 */
static bool all;      /* -a */

#define SEEN (1u << 17)
static uint64_t seen[2][SEEN], generation[2];

/* Once for each state. */
static void try(const struct view *v)
{
	uint64_t key = generation[depth], *at;
	uint32_t mark;

	for (unsigned i = 0; i < v->n; i++)
		key = (key ^ v->choice[i]) * 0x9e3779b97f4a7c15u,
		key ^= key >> 31;
	key ^= (uint64_t)(v->torn + 1) << 40 ^ (uint64_t)v->torn_at << 20 ^
	       (uint64_t)v->torn_to << 10;
	key = key * 0x9e3779b97f4a7c15u | 1;
	at = &seen[depth][(key >> 40) % SEEN];
	if (*at == key)
		return;
	*at = key;

	states++;
	mark = disk_mark();
	boot(v);
	nested = v->torn < 0 && rnd(thorough ? 4 : 16) == 0;
	recover();
	disk_release(mark);
}

static void choose_all(struct view *v, bool new)
{
	for (unsigned i = 0; i < v->n; i++)
		v->choice[i] = new ? v->unit[i].is->n - 1u : 0;
}

static void choose_any(struct view *v)
{
	for (unsigned i = 0; i < v->n; i++)
		v->choice[i] = rnd(v->unit[i].is->n);
}

/* Each sector has the last of those writes that arrived. */
static void choose_writes(struct view *v, const uint32_t *serials, unsigned n,
			  uint32_t arrived)
{
	for (unsigned i = 0; i < v->n; i++) {
		const struct maybe *m = v->unit[i].is;

		v->choice[i] = 0;
		for (unsigned k = 1; k < m->n; k++)
			for (unsigned s = 0; s < n; s++)
				if (serials[s] == m->serial[k] &&
				    arrived >> s & 1)
					v->choice[i] = k;
	}
}

static void try_products(struct view *v)
{
	unsigned i;

	choose_all(v, false);
	do {
		try(v);
		for (i = 0; i < v->n; i++) {
			if (++v->choice[i] < v->unit[i].is->n)
				break;
			v->choice[i] = 0;
		}
	} while (i < v->n);
}

static void try_writes(struct view *v)
{
	uint32_t serials[12];
	unsigned n = 0, most = thorough ? 12 : 4;

	for (unsigned i = 0; i < v->n; i++)
		for (unsigned k = 1; k < v->unit[i].is->n; k++) {
			uint32_t serial = v->unit[i].is->serial[k];
			unsigned s = 0;

			while (s < n && serials[s] != serial)
				s++;
			if (s == n && n < most)
				serials[n++] = serial;
		}
	for (uint32_t arrived = 0; arrived < 1u << n; arrived++) {
		choose_writes(v, serials, n, arrived);
		try(v);
	}
}

static void try_but_one(struct view *v)
{
	for (int new = 0; new < 2; new ++)
		for (unsigned i = 0; i < v->n; i++) {
			if (!thorough && rnd(v->n) > 6)
				continue;
			choose_all(v, new);
			v->choice[i] = new ? 0 : v->unit[i].is->n - 1u;
			try(v);
		}
}

static void try_torn_at(struct view *v, unsigned unit, unsigned byte)
{
	const struct maybe *m = v->unit[unit].is;

	v->torn = (int)unit;
	v->torn_at = byte;
	for (unsigned how = 0; how < 5; how++) {
		if (how < 4)
			choose_all(v, how & 2);
		else
			choose_any(v);
		v->choice[unit] = how & 1 ? 0 : m->n - 1u;
		v->torn_to = how & 1 ? m->n - 1u : 0;
		try(v);
	}
	v->torn = -1;
}

/* The sidecar at every byte, the data file anywhere. */
static void try_torn(struct view *v)
{
	unsigned torn = 0;

	for (unsigned i = 0; i < v->n; i++) {
		if (v->unit[i].file == FILES || v->unit[i].sector == SECTORS)
			continue;
		/* With many, a few of them; the header always. */
		if (v->unit[i].sector != 0 && torn > 20 && rnd(8) != 0)
			continue;
		torn++;
		for (unsigned b = 1; b < SECTOR; b++)
			if (v->unit[i].file == SIDECAR || rnd(16) == 0)
				try_torn_at(v, i, b);
	}
}

/* Whatever a power cut would leave now. */
static void explore(void)
{
	static struct view views[2];
	struct view *v = &views[depth];
	void (*moment)(void) = disk_moment;
	double limit = depth	  ? 32
		       : thorough ? 1 << 14
		       : all	  ? 64
				  : 16,
	       every = 1;

	view_make(v);
	generation[depth] += 1u << 20;
	for (unsigned i = 0; i < v->n; i++)
		every *= v->unit[i].is->n;
	if (every <= limit) {
		try_products(v);
	} else {
		try_but_one(v);
		if (depth == 0)
			try_writes(v);
		for (unsigned i = 0; i < limit / 4; i++) {
			choose_any(v);
			try(v);
		}
	}
	if (thorough && depth == 0)
		try_torn(v);
	disk = v->disk;
	fate = v->fate;
	disk_moment = moment;
}

/* ------------------------------------------------------------ the commits */

#define RUNS   600

struct scene {
	const char *name;
	uint64_t size; /* afterwards */
	unsigned n;
	struct {
		uint64_t offset;
		size_t length;
	} run[8];
	unsigned every; /* or: one byte at each multiple of this */
};

static const struct scene script[] = {
	{ "one sector", 4096, 1, { { 512, 512 } } },
	{ "one byte", 4096, 1, { { 4095, 1 } } },
	{ "neighbours", 4096, 3, { { 0, 512 }, { 512, 100 }, { 612, 412 } } },
	{ "two places", 4096, 2, { { 0, 700 }, { 2048, 512 } } },
	{ "across sectors", 4096, 2, { { 300, 700 }, { 1500, 600 } } },
	{ "growing", 6000, 2, { { 100, 100 }, { 4096, 1904 } } },
	{ "shrinking", 3000, 1, { { 100, 50 } } },
	{ "growing with a hole", 9000, 1, { { 8192, 808 } } },
	{ "shrinking only", 700, 0, { { 0, 0 } } },
	{ "to nothing", 0, 0, { { 0, 0 } } },
	{ "from nothing", 1500, 1, { { 0, 1500 } } },
	{ "whole pages", 16384, 2, { { 0, 4096 }, { 8192, 8192 } } },
	{ "many bytes", 16384, 0, { { 0, 0 } }, 31 },
	{ "small again", 16384, 1, { { 8000, 600 } } },
};
#define SCENES (sizeof(script) / sizeof(script[0]))

/* A commit, and what comes of it. */
struct plan {
	struct journal_run runs[RUNS];
	size_t n;
	uint8_t fresh[ROOM]; /* what is written */
	struct content after;
};

static void plan_add(struct plan *p, uint64_t offset, size_t length)
{
	p->runs[p->n++] = (struct journal_run){ offset, p->fresh + offset,
						length };
	memcpy(p->after.bytes + offset, p->fresh + offset, length);
}

/* From what the data file is now. */
static void plan_make(struct plan *p, const struct scene *s)
{
	p->n = 0;
	data_now(&p->after);
	if (s->size < p->after.size)
		memset(p->after.bytes + s->size, 0, ROOM - s->size);
	p->after.size = s->size;
	for (size_t i = 0; i < ROOM; i++)
		p->fresh[i] = (uint8_t)rnd(256);
	for (unsigned i = 0; i < s->n; i++)
		plan_add(p, s->run[i].offset, s->run[i].length);
	for (uint64_t at = 0; s->every && at < s->size; at += s->every)
		plan_add(p, at, 1);
}

static int plan_commit(const struct plan *p)
{
	return journal_commit(&place, FD_DATA, p->runs, p->n, p->after.size);
}

static void begin(void)
{
	static uint8_t bytes[4096];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rnd(256);
	disk_begin(bytes, sizeof(bytes));
	disk_moment = NULL;
	depth = 0;
}

/* What is there by now is all that may be. */
static void expect(const struct content *only)
{
	allowed[0] = *only;
	nallowed = 1;
}

/* Up to the scene before 'scene', without a look. */
static void play_until(size_t scene)
{
	static struct plan p;
	int r;

	begin();
	for (size_t i = 0; i < scene; i++) {
		plan_make(&p, &script[i]);
		r = plan_commit(&p);
		if (r != 0)
			fail("commit", r);
	}
	fate.changes = fate.calls = 0;
}

/* One after the other, cut at any moment. */
static void power_cuts(void)
{
	static struct plan p;
	int r;

	begin();
	for (size_t i = 0; i < SCENES; i++) {
		doing = script[i].name;
		data_now(&allowed[0]);
		plan_make(&p, &script[i]);
		allowed[1] = p.after;
		nallowed = 2;
		thorough = true;
		disk_moment = explore;
		r = plan_commit(&p);
		disk_moment = NULL;
		if (r != 0)
			fail("commit", r);
		expect(&p.after);
		if (!is_allowed())
			fail("the file is not what was committed", 0);
		explore();
		thorough = false;
	}
	doing = "retire";
	disk_moment = explore;
	r = journal_retire(&place, FD_DATA, 0);
	disk_moment = NULL;
	if (r != 0 || disk.named)
		fail("retire", r);
	explore();
}

/* What others write once a commit has returned is not undone. */
static void plain_writes(void)
{
	static struct plan p;
	static struct content now;

	doing = "a plain write after a commit";
	play_until(1);
	plan_make(&p, &script[0]);
	if (plan_commit(&p) != 0)
		fail("commit", 0);
	disk_write_plainly(600, "written by others", 17);
	data_now(&now);
	expect(&now);
	explore();
}

/* The same after the clean end, even if a power cut brings the name back. */
static void retired(void)
{
	static struct plan p;
	static struct content now;

	doing = "a plain write after retire";
	play_until(1);
	plan_make(&p, &script[0]);
	if (plan_commit(&p) != 0 || journal_retire(&place, FD_DATA, 0) != 0)
		fail("retire", 0);
	disk_write_plainly(600, "written by others", 17);
	data_now(&now);
	expect(&now);
	explore();
}

/* -------------------------------------------------------- kills, failures */

/* Another process comes and commits; the power is cut there, too. */
static void go_on(const struct content *before, const struct content *after,
		  bool replay)
{
	static struct plan p;
	int r;

	allowed[0] = *before;
	allowed[1] = *after;
	nallowed = 2;
	disk_moment = NULL;
	if (replay) {
		disk_moment = explore;
		r = journal_replay(&place, FD_DATA, 0);
		disk_moment = NULL;
		if (r < 0)
			fail("replay after a kill", r);
		if (!is_allowed())
			fail("a state that never was, after a kill", 0);
		return;
	}

	/* The new commit begins with the end of the old one: so look at what
	 * that end is first. */
	{
		static struct disk saved;

		saved = disk;
		r = journal_replay(&place, FD_DATA, 0);
		if (r < 0)
			fail("replay", r);
		plan_make(&p, &script[3]);
		disk = saved;
	}
	allowed[2] = p.after;
	nallowed = 3;
	disk_moment = explore;
	r = plan_commit(&p);
	disk_moment = NULL;
	if (r != 0)
		fail("commit after a kill", r);
	expect(&p.after);
	if (!is_allowed())
		fail("the file is not what was committed after a kill", 0);
	explore();
}

static void kills(void)
{
	static const uint64_t parts[] = { 0, 100, 4700, UINT64_MAX };
	static struct content before;
	static struct plan p;
	static char name[100];
	volatile bool alive;

	for (volatile size_t i = 0; i < SCENES; i++)
		for (volatile unsigned part = 0; part < 4; part++)
			for (volatile long at = 1;; at++) {
				play_until(i);
				snprintf(name, sizeof(name),
					 "%s, killed at change %ld",
					 script[i].name, at);
				doing = name;
				data_now(&before);
				plan_make(&p, &script[i]);
				fate.die_at = at;
				fate.die_after = parts[part];
				alive = setjmp(fate.dead) == 0;
				if (alive)
					(void)plan_commit(&p);
				memset(&fate, 0, sizeof(fate));
				if (alive)
					break;
				go_on(&before, &p.after, (at + part) & 1);
			}
}

/* The next commit writes the same bytes, but means another size: it must not
 * complete the one that was killed. */
static void retries(void)
{
	static const uint64_t parts[] = { 512, 600, 1024, 4096, 4700, 5632 };
	static struct disk saved;
	static struct plan p;
	volatile bool alive;
	int r;

	doing = "a killed commit, tried again with another size";
	for (volatile unsigned part = 0; part < 6; part++)
		for (volatile long at = 1;; at++) {
			play_until(5);
			data_now(&allowed[0]);
			nallowed = 1;
			plan_make(&p, &script[5]);
			fate.die_at = at;
			fate.die_after = parts[part];
			alive = setjmp(fate.dead) == 0;
			if (alive)
				(void)plan_commit(&p);
			memset(&fate, 0, sizeof(fate));
			if (alive)
				break;

			saved = disk;
			r = journal_replay(&place, FD_DATA, 0);
			disk = saved;
			if (r == 1 || !is_allowed())
				allowed[nallowed++] = p.after;
			p.after.size += 100;
			allowed[nallowed++] = p.after;
			disk_moment = explore;
			r = plan_commit(&p);
			disk_moment = NULL;
			if (r != 0)
				fail("commit", r);
		}
}

static void errors(void)
{
	static const int with[] = { EIO, ENOSPC, 0 };
	static struct content before;
	static struct plan p;
	static char name[100];
	bool failed;
	int r;

	for (size_t i = 0; i < SCENES; i++)
		for (unsigned e = 0; e < 3; e++)
			for (long at = 1;; at++) {
				play_until(i);
				snprintf(name, sizeof(name),
					 "%s, call %ld fails with %d",
					 script[i].name, at, with[e]);
				doing = name;
				data_now(&before);
				plan_make(&p, &script[i]);
				fate.fail_at = at;
				fate.fail_with = with[e];
				r = plan_commit(&p);
				failed = fate.failed;
				memset(&fate, 0, sizeof(fate));
				if (!failed)
					break;
				if (r == 0)
					before = p.after;
				else if (with[e] == 0)
					fail("too short is an error", r);
				go_on(&before, &p.after, at & 1);
			}
}

/* The disk refuses from one moment on, and the process is killed later. */
static void error_and_kill(void)
{
	static struct content before;
	static struct plan p;
	volatile bool dead;

	doing = "a failed flush, then a kill";
	for (volatile long call = 1; call < 40; call++)
		for (volatile long at = 1; at < 12; at++) {
			play_until(5);
			data_now(&before);
			plan_make(&p, &script[5]);
			fate.fail_at = call;
			fate.fail_with = EIO;
			fate.die_at = at;
			fate.die_after = 0;
			dead = setjmp(fate.dead) != 0;
			if (!dead)
				(void)plan_commit(&p);
			memset(&fate, 0, sizeof(fate));
			if (dead)
				go_on(&before, &p.after, at & 1);
		}
}

/* ------------------------------------------------------- whose journal? */

/* A commit whose journal is complete, and nothing else. */
static void leave_full(struct plan *p)
{
	play_until(2);
	plan_make(p, &script[5]);
	for (volatile long at = 1; at < 20; at++) {
		fate.changes = 0;
		fate.die_at = at;
		if (setjmp(fate.dead) == 0)
			(void)plan_commit(p);
		memset(&fate, 0, sizeof(fate));
		/* It says FULL, and was flushed. */
		if (disk.file[SIDECAR].bytes[12] == 2 &&
		    disk.file[SIDECAR].sectors[0].n == 1)
			return;
	}
	fail("the journal is never full", 0);
}

static void other_files(void)
{
	static struct content before;
	static struct plan p;
	static const struct {
		const char *what;
		uint64_t ino, size;
	} cases[] = {
		{ "another inode", 70, 4096 },
		{ "another size", 7, 5000 },
		{ "shorter", 7, 100 },
	};
	int r;

	for (size_t i = 0; i < 3; i++) {
		for (unsigned adopt = 0; adopt < 2; adopt++) {
			doing = cases[i].what;
			leave_full(&p);
			disk.file[DATA].ino = cases[i].ino;
			disk_set_size(DATA, cases[i].size);
			data_now(&before);
			r = journal_replay(&place, FD_DATA, 0);
			if (r != -ESTALE)
				fail("replayed", r);
			r = plan_commit(&p);
			if (r != -ESTALE)
				fail("committed", r);
			r = journal_retire(&place, FD_DATA, 0);
			if (r != -ESTALE)
				fail("retired", r);
			expect(&before);
			if (!is_allowed())
				fail("touched", 0);
			if (adopt) {
				r = journal_replay(&place, FD_DATA,
						   JOURNAL_ADOPT);
				if (r != 1 ||
				    disk.file[DATA].size != p.after.size)
					fail("not adopted", r);
				continue;
			}
			r = journal_retire(&place, FD_DATA, JOURNAL_DISCARD);
			if (r != 0 || !is_allowed())
				fail("not discarded", r);
			r = journal_replay(&place, FD_DATA, 0);
			if (r != 0)
				fail("still there", r);
			explore();
		}
	}
}

/* -------------------------------------------------------------------- main */

static void everything(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
		bool alone;
	} parts[] = {
		{ "plain writes", plain_writes, false },
		{ "plain writes after the end", retired, true },
		{ "power cuts", power_cuts, false },
		{ "other files", other_files, false },
		{ "the same again", retries, false },
		{ "power cuts, alone", power_cuts, true },
		{ "failing calls", errors, false },
		{ "failing calls, then kills", error_and_kill, true },
		{ "kills", kills, false },
		{ "kills, alone", kills, true },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		long before = states;

		/* The longest. */
		if (parts[i].alone && parts[i].run == kills && !all)
			continue;
		place.alone = parts[i].alone;
		parts[i].run();
		if (mutation == SOUND)
			printf("%s: %ld states, %ld s\n", parts[i].name,
			       states - before, clock() / CLOCKS_PER_SEC);
	}
}

static const char *const names[MUTATIONS] = {
	[NO_JOURNAL_FLUSH] = "no flush of the journal",
	[NO_DATA_FLUSH] = "no flush of the data file",
	[NO_EMPTY_FLUSH] = "no flush of the emptied journal",
	[NO_NAME_FLUSH] = "no flush of the directory",
	[NO_EMPTYING] = "the journal not emptied",
	[NO_REWRITING] = "a found journal not written again",
	[NO_BODY_CHECKSUM] = "no checksum of the bytes",
	[NO_HEADER_CHECKSUM] = "no checksum of the header",
	[NO_IDENTITY] = "no identity",
};

static void mutants(void)
{
	int status;
	bool found;
	pid_t pid;

	for (int m = SOUND + 1; m < MUTATIONS; m++) {
		pid = fork();
		if (pid == 0) {
			mutation = (enum mutation)m;
			alarm(120);
			everything();
			_exit(0);
		}
		waitpid(pid, &status, 0);
		found = WIFEXITED(status) && WEXITSTATUS(status) == 1;
		printf("%-36s %s\n", names[m], found ? "found" : "NOT FOUND");
		if (!found)
			failures++;
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "-a") == 0)
		all = true;
	if (argc > 1 && strcmp(argv[1], "-m") == 0)
		mutants();
	else
		everything();
	printf("%ld states, %ld failures\n", states, failures);
	return failures != 0;
}
#endif
