/* SPDX-License-Identifier: MIT */
/* The lock: one at a time, and never held by the dead. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/signals.h"
#include "core/space.h"
#include "ushm.h"

static struct space *open_here(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	REQUIRE(ushm_open(unit_dir(), USHM_CREATE, NULL, &sp, &problem) == 0);
	return (struct space *)sp;
}

/* Any word of the registry that nothing else uses. */
static uint32_t *spare_word(struct space *sp)
{
	return &sp->reg.h->unused;
}

CASE("lock", only_one_holds_it)
{
	enum { PROCESSES = 4, ROUNDS = 20000 };
	struct space *sp;
	uint32_t *word;

	unit_dir();
	for (int i = 0; i < PROCESSES; i++) {
		if (fork() == 0) {
			struct space_entry e;

			sp = open_here();
			word = spare_word(sp);
			for (int n = 0; n < ROUNDS; n++) {
				REQUIRE(space_enter(sp, &e) == 0);
				space_lock(sp);
				/* Not atomic: the lock must make it so. */
				*(volatile uint32_t *)word += 1;
				space_unlock(sp);
				space_leave(sp, &e);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < PROCESSES; i++)
		wait(NULL);
	sp = open_here();
	CHECK_EQ(*spare_word(sp), PROCESSES * ROUNDS);
	CHECK_EQ(sp->reg.h->repairs, 0);
}

/* A process that dies within the lock, with a change half done. */
static void die_holding(bool commit)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct space *sp = open_here();
		struct space_entry e;

		REQUIRE(space_enter(sp, &e) == 0);
		space_lock(sp);
		undo_guard(&sp->reg, &sp->reg.h->key_guard);
		undo_set32(&sp->reg, spare_word(sp), 77);
		undo_set64(&sp->reg, &sp->reg.h->next_attach, 4711);
		if (commit)
			undo_commit(&sp->reg);
		kill(getpid(), SIGKILL);
	}
	REQUIRE(waitpid(pid, NULL, 0) == pid);
}

CASE("lock", dead_owner_is_taken_over_and_its_change_undone)
{
	struct space_entry e;
	struct space *sp;

	unit_dir();
	die_holding(false);
	sp = open_here();
	CHECK(sp->reg.h->lock != 0);
	CHECK(sp->reg.h->key_guard & 1);
	REQUIRE(space_enter(sp, &e) == 0);
	space_lock(sp);
	CHECK_EQ(*spare_word(sp), 0);
	CHECK_EQ(sp->reg.h->next_attach, 1);
	CHECK_EQ(sp->reg.h->undo_count, 0);
	CHECK(!(sp->reg.h->key_guard & 1));
	CHECK_EQ(sp->reg.h->repairs, 1);
	space_unlock(sp);
	space_leave(sp, &e);
}

CASE("lock", committed_change_of_a_dead_owner_stays)
{
	struct space_entry e;
	struct space *sp;

	unit_dir();
	die_holding(true);
	sp = open_here();
	REQUIRE(space_enter(sp, &e) == 0);
	space_lock(sp);
	CHECK_EQ(*spare_word(sp), 77);
	CHECK_EQ(sp->reg.h->next_attach, 4711);
	space_unlock(sp);
	space_leave(sp, &e);
}

CASE("lock", word_that_names_nobody_is_taken_over)
{
	static const uint32_t words[] = { 5, 30000, 0x7fffffff, 0xffffffff };
	struct space_entry e;
	struct space *sp;
	size_t i;

	unit_dir();
	sp = open_here();
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		NOTE("%x", words[i]);
		sp->reg.h->lock = words[i];
		REQUIRE(space_enter(sp, &e) == 0);
		space_lock(sp);
		space_unlock(sp);
		space_leave(sp, &e);
		CHECK_EQ(sp->reg.h->lock, 0);
	}
}

CASE("lock", undo_log_full_of_nonsense_harms_nobody)
{
	struct space_entry e;
	struct space *sp;

	unit_dir();
	die_holding(false);
	sp = open_here();
	sp->reg.h->undo_count = 5000;
	for (int i = 0; i < UNDO_ENTRIES; i++) {
		sp->reg.h->undo[i].offset = 0xfffffff0u + (unsigned)i % 7;
		sp->reg.h->undo[i].width = (unsigned)i % 10;
	}
	sp->reg.h->guard_count = 1000;
	sp->reg.h->guards[0] = UINT32_MAX;
	REQUIRE(space_enter(sp, &e) == 0);
	space_lock(sp);
	CHECK_EQ(sp->reg.h->undo_count, 0);
	CHECK_EQ(sp->reg.h->guard_count, 0);
	space_unlock(sp);
	space_leave(sp, &e);
}
