/* SPDX-License-Identifier: MIT */
/*
 * What a scribbled registry must not lead to, where tests/fuzz could not see
 * it: another segment's end, a wrong answer.
 */
#include "unit.h"

#include <stdio.h>
#include <sys/shm.h>

#include "core/space.h"
#include "ushm.h"

static ushm_space *space;
static struct registry *reg;

static int make(key_t key, size_t size)
{
	int id = -1;

	if (!space) {
		REQUIRE(ushm_open(unit_dir(), USHM_CREATE, NULL, &space,
				  NULL) == 0);
		reg = &((struct space *)space)->reg;
	}
	REQUIRE(ushm_get(space, key, size, IPC_CREAT | 0600, &id) == 0);
	return id;
}

CASE("damage", count_of_0_does_not_destroy_what_is_attached)
{
	int id = make(1, 4096);
	struct ushm_segment seg;
	void *p;

	REQUIRE(ushm_attach(space, id, NULL, 0, &p) == 0);
	reg->segments[id].attaches = 0;
	CHECK_EQ(ushm_remove(space, id), 0);
	CHECK_EQ(ushm_stat(space, id, &seg), 0);
	CHECK(seg.mode & SHM_DEST);
}

CASE("damage", count_stays_at_its_ends)
{
	int id = make(1, 4096);
	struct ushm_segment seg;
	void *p, *q;

	REQUIRE(ushm_attach(space, id, NULL, 0, &p) == 0);
	reg->segments[id].attaches = UINT32_MAX;
	REQUIRE(ushm_attach(space, id, NULL, 0, &q) == 0);
	CHECK_EQ(ushm_stat(space, id, &seg), 0);
	CHECK_EQ(seg.nattch, UINT32_MAX);

	reg->segments[id].attaches = 0;
	CHECK_EQ(ushm_detach(space, q), 0);
	CHECK_EQ(ushm_stat(space, id, &seg), 0);
	CHECK_EQ(seg.nattch, 0);
}

CASE("damage", cleared_bit_gives_no_index_away)
{
	int id = make(1, 4096), other;
	struct ushm_segment seg;

	reg->bitmap[id / 64] = 0;
	reg->h->next_index = 0;
	other = make(IPC_PRIVATE, 8192);
	CHECK(other % 32768 != id);
	CHECK_EQ(ushm_stat(space, id, &seg), 0);
	CHECK_EQ(seg.size, 4096);
}

CASE("damage", odd_guard_hides_no_segment)
{
	int id = make(1, 4096), again;
	struct ushm_segment seg;

	reg->segments[id].guard |= 1;
	reg->h->key_guard |= 1;
	CHECK_EQ(ushm_get(space, 1, 0, 0, &again), 0);
	CHECK_EQ(again, id);
	CHECK_EQ(ushm_stat(space, id, &seg), 0);
	CHECK_EQ(reg->segments[id].guard & 1, 0);
	CHECK_EQ(reg->h->key_guard & 1, 0);
}

CASE("damage", handle_maps_no_more_than_the_file)
{
	int id = make(1, 4096);
	void *p;

	for (int i = 0; i < 3; i++)
		REQUIRE(ushm_attach(space, id, NULL, 0, &p) == 0);
	reg->segments[id].size = 65536;
	CHECK_EQ(ushm_attach(space, id, NULL, 0, &p), -EIDRM);
}

CASE("damage", undo_log_does_not_reach_claims)
{
	int id = make(1, 4096);
	struct layout_header *h = reg->h;
	struct layout_proc *p = reg->procs;
	uint64_t claim = p->claim;
	struct ushm_info info;

	h->undo[0].offset = (uint32_t)((char *)&p->claim - (char *)h);
	h->undo[0].width = 8;
	h->undo[0].before = 0;
	h->undo_count = 1;
	h->lock = 99999; /* nobody's: taken over, and undone */
	CHECK_EQ(ushm_set(space, id, geteuid(), getegid(), 0600), 0);
	CHECK_EQ(h->undo_count, 0);
	CHECK(p->claim == claim);
	CHECK_EQ(ushm_info(space, &info), 0);
	CHECK_EQ(info.processes, 1);
}
