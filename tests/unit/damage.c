/* SPDX-License-Identifier: MIT */
/*
 * What a scribbled registry must not lead to, where tests/fuzz could not see
 * it: another segment's end, a wrong answer.
 */
#include "unit.h"

#include <stdio.h>
#include <sys/shm.h>

#include "core/space.h"
#include "store/death.h"
#include "store/ledger.h"
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

/* Whatever is read from shared bytes may be no index at all. */
CASE("damage", slot_that_does_not_exist_is_nobodys)
{
	const struct procs_child child = { .slot = UINT32_MAX };
	int id = make(1, 4096);
	struct space *sp = (struct space *)space;
	struct segment_reservation res;
	uint32_t slot, used = reg->h->segments.used;

	CHECK_EQ(ledger_suspects(reg, UINT32_MAX, &slot, 1), -EINVAL);
	CHECK_EQ(procs_be_born(reg, &sp->self, &child), -ESRCH);
	procs_forked(reg, &child, 1);
	CHECK(!procs_condemn(reg, UINT32_MAX, 0));
	CHECK(!death_is_certain(reg, &sp->self, UINT32_MAX,
			    claim_make(0, PROC_DYING, 1)));
	CHECK(!death_is_certain(reg, &sp->self, 0, claim_make(0, PROC_FREE, 1)));
	CHECK(death_is_certain(reg, &sp->self, 0, claim_make(0, PROC_DYING, 1)));
	CHECK_EQ(segments_reserve(reg, 0, UINT64_MAX, &res), -ENOSPC);
	reg->h->shmall = 0;
	CHECK_EQ(segments_reserve(reg, 0, 1, &res), -ENOSPC);

	reg->h->unsettled = 1;
	reg->h->segments.used = UINT32_MAX;
	reg->bitmap[1] = UINT64_MAX;
	CHECK_EQ(segments_next_doomed(reg, 0, 0), UINT32_MAX);
	reg->h->segments.used = used;
	reg->bitmap[1] = 0;
	reg->h->unsettled = 0;
	CHECK_EQ(ushm_remove(space, id), 0);
}

CASE("damage", full_undo_log_is_not_left)
{
	int id = make(1, 4096);
	struct space *sp = (struct space *)space;
	uint32_t mode = reg->segments[id].mode;
	uint32_t guard = reg->segments[id].guard;
	struct space_entry e;

	REQUIRE(space_enter(sp, &e) == 0);
	space_lock(sp);
	reg->h->undo_count = UINT32_MAX;
	reg->h->guard_count = UINT32_MAX;
	undo_guard(reg, &reg->segments[id].guard);
	undo_set32(reg, &reg->segments[id].mode, 0640);
	CHECK_EQ(reg->h->undo_count, UINT32_MAX);
	reg->h->undo_count = 0;
	reg->h->guard_count = 0;
	reg->segments[id].mode = mode;
	reg->segments[id].guard = guard;
	space_unlock(sp);
	space_leave(sp, &e);
	CHECK_EQ(ushm_remove(space, id), 0);
}

CASE("damage", sequence_numbers_begin_again)
{
	int id;

	(void)make(1, 4096);
	(void)make(2, 4096);
	REQUIRE(ushm_remove(space, 0) == 0);
	reg->h->next_index = 0;
	reg->h->seq = ((uint32_t)INT32_MAX >> reg->seq_shift) - 1;
	id = make(3, 4096);
	CHECK_EQ(id, 0);
	CHECK_EQ(reg->h->seq, 0);
}
