/* SPDX-License-Identifier: MIT */
/* The lock: one at a time, and never held by the dead. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ------------------------------------------------ an owner that is stopped */

static volatile sig_atomic_t got_term;

static void on_term(int sig)
{
	got_term = sig;
}

/* Returns the process; it has the lock until it gets SIGCONT. */
static pid_t stopped_owner(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct space *sp = open_here();
		struct space_entry e;

		REQUIRE(space_enter(sp, &e) == 0);
		space_lock(sp);
		raise(SIGSTOP);
		space_unlock(sp);
		space_leave(sp, &e);
		_exit(0);
	}
	REQUIRE(waitpid(pid, NULL, WUNTRACED) == pid);
	return pid;
}

/* A process that waits for the lock, with SIGTERM as it is here. */
static pid_t waiter(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		ushm_space *sp = (ushm_space *)open_here();
		int id;

		_exit(ushm_get(sp, IPC_PRIVATE, 1, 0600, &id) < 0 ? 1
		      : got_term				  ? 2
								  : 0);
	}
	usleep(50000);
	return pid;
}

static int end_of(pid_t pid)
{
	int status = 0;

	REQUIRE(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

CASE("lock", who_waits_for_a_stopped_owner_can_be_killed)
{
	pid_t owner, pid;

	unit_dir();
	owner = stopped_owner();
	pid = waiter();
	kill(pid, SIGTERM);
	CHECK_EQ(end_of(pid), -SIGTERM);

	pid = waiter();
	kill(owner, SIGCONT);
	CHECK_EQ(end_of(pid), 0);
	CHECK_EQ(end_of(owner), 0);
}

CASE("lock", handlers_and_blocked_signals_come_after_the_wait)
{
	pid_t owner, handles, blocks;
	sigset_t term;

	unit_dir();
	owner = stopped_owner();
	signal(SIGTERM, on_term);
	handles = waiter();
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	blocks = waiter();
	kill(handles, SIGTERM);
	kill(blocks, SIGTERM);
	usleep(400000);
	CHECK_EQ(waitpid(handles, NULL, WNOHANG), 0);
	CHECK_EQ(waitpid(blocks, NULL, WNOHANG), 0);
	kill(owner, SIGCONT);
	CHECK_EQ(end_of(handles), 2);
	CHECK_EQ(end_of(blocks), 0);
	CHECK_EQ(end_of(owner), 0);
}

CASE("lock", patience_with_a_stopped_owner_ends)
{
	pid_t owner = (unit_dir(), stopped_owner());
	struct space *sp = open_here();
	struct space_entry e;

	REQUIRE(space_enter_quietly(sp, &e) >= 0);
	alarm(5);
	CHECK(!lock_try(&sp->reg, &sp->self, space_slot(sp), &sp->signals,
			5000000));
	CHECK(lock_owner(&sp->reg) != 0);
	space_leave(sp, &e);
	kill(owner, SIGCONT);
	CHECK_EQ(end_of(owner), 0);
}

CASE("lock", who_looks_does_not_wait_for_a_stopped_owner)
{
	struct ushm_segment s;
	ushm_space *sp;
	pid_t owner;
	int id, r;

	unit_dir();
	sp = (ushm_space *)open_here();
	REQUIRE(ushm_get(sp, 5, 1, IPC_CREAT | 0600, &id) == 0);
	owner = stopped_owner();
	alarm(5);
	CHECK_EQ(ushm_get(sp, 5, 1, 0, &r), 0);
	CHECK_EQ(ushm_stat(sp, id, &s), 0);
	kill(owner, SIGKILL);
	CHECK_EQ(end_of(owner), -SIGKILL);
	CHECK_EQ(ushm_remove(sp, id), 0);
}
