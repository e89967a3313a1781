/* SPDX-License-Identifier: MIT */
/* Who is alive: nattch of a segment that another process holds. */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core/space.h"
#include "ushm.h"

static ushm_space *open_here(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	REQUIRE(ushm_open(unit_dir(), USHM_CREATE, NULL, &sp, &problem) == 0);
	return sp;
}

static unsigned long nattch(ushm_space *sp, int id)
{
	struct ushm_segment seg;

	REQUIRE(ushm_stat(sp, id, &seg) == 0);
	return (unsigned long)seg.nattch;
}

static int tell[2]; /* a child says that it is ready */

static void ready(void)
{
	REQUIRE(write(tell[1], "", 1) == 1);
}

static void *attach_in_thread(void *arg)
{
	void *p;

	REQUIRE(ushm_attach(open_here(), *(int *)arg, NULL, 0, &p) == 0);
	return NULL;
}

static void *wait_forever(void *arg)
{
	(void)arg;
	ready();
	for (;;)
		pause();
	return NULL;
}

/* What the holder does once it is attached. */
static void hold(const char *how, int id)
{
	pthread_t t;
	void *p;

	if (strcmp(how, "its thread ended") == 0) {
		/* The first call, which locks the life word, in a thread. */
		pthread_create(&t, NULL, attach_in_thread, &id);
		pthread_join(t, NULL);
		ready();
		for (;;)
			pause();
	}
	REQUIRE(ushm_attach(open_here(), id, NULL, 0, &p) == 0);
	if (strcmp(how, "its main thread ended") == 0) {
		pthread_create(&t, NULL, wait_forever, NULL);
		pthread_exit(NULL);
	}
	if (strcmp(how, "descriptors closed") == 0)
		for (int fd = 3; fd < 1024; fd++)
			if (fd != tell[1])
				close(fd);
	if (strcmp(how, "not dumpable") == 0)
		prctl(PR_SET_DUMPABLE, 0);
	ready();
	if (strcmp(how, "stopped") == 0)
		raise(SIGSTOP);
	if (strcmp(how, "exec") == 0)
		execlp("sleep", "sleep", "1000", (char *)NULL);
	if (strcmp(how, "failed exec") == 0)
		execl("/nonexistent", "x", (char *)NULL);
	if (strcmp(how, "exit") == 0)
		_exit(0);
	for (;;)
		pause();
}

CASE("life", living_are_counted_and_the_dead_are_not)
{
	static const struct {
		const char *how;
		unsigned long counted;
	} rows[] = {
		{ "waiting", 1 },
		{ "stopped", 1 },
		{ "its thread ended", 1 },
		{ "its main thread ended", 1 },
		{ "descriptors closed", 1 },
		{ "not dumpable", 1 },
		{ "failed exec", 1 },
		{ "exec", 0 },
		{ "exit", 0 }, /* and not reaped: a zombie */
	};
	ushm_space *sp;
	size_t i;
	int id;

	unit_dir();
	REQUIRE_OK(pipe(tell));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		siginfo_t info;
		char c;
		pid_t pid;

		NOTE("%s", rows[i].how);
		sp = open_here();
		REQUIRE(ushm_get(sp, IPC_PRIVATE, 4096, 0600, &id) == 0);
		pid = fork();
		if (pid == 0)
			hold(rows[i].how, id);
		REQUIRE(read(tell[0], &c, 1) == 1);
		if (strcmp(rows[i].how, "exit") == 0)
			waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
		if (strcmp(rows[i].how, "stopped") == 0)
			waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT);
		if (strcmp(rows[i].how, "exec") == 0)
			for (int n = 0; n < 1000 && nattch(sp, id); n++)
				usleep(1000);
		if (strcmp(rows[i].how, "its main thread ended") == 0 ||
		    strcmp(rows[i].how, "failed exec") == 0)
			usleep(20000);
		CHECK_EQ(nattch(sp, id), rows[i].counted);
		CHECK_EQ(nattch(sp, id), rows[i].counted);

		kill(pid, SIGKILL);
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
		NOTE("%s, killed, not reaped", rows[i].how);
		CHECK_EQ(nattch(sp, id), 0);
		waitpid(pid, NULL, 0);
		CHECK_EQ(ushm_remove(sp, id), 0);
	}
}

CASE("life", many_that_die_at_once_are_all_swept)
{
	enum { MANY = 200 };
	ushm_space *sp;
	struct ushm_info info;
	pid_t pids[MANY];
	char c;
	int id;

	unit_dir();
	REQUIRE_OK(pipe(tell));
	sp = open_here();
	REQUIRE(ushm_get(sp, 5, 4096, IPC_CREAT | 0600, &id) == 0);
	for (int i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			hold("waiting", id);
	}
	for (int i = 0; i < MANY; i++)
		REQUIRE(read(tell[0], &c, 1) == 1);
	CHECK_EQ(nattch(sp, id), MANY);
	for (int i = 0; i < MANY; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < MANY; i++)
		waitpid(pids[i], NULL, 0);
	CHECK_EQ(nattch(sp, id), 0);
	REQUIRE(ushm_info(sp, &info) == 0);
	CHECK_EQ(info.attachments, 0);
	CHECK(info.processes <= 1);
}

static const char *segment_file(int id)
{
	char name[40];

	snprintf(name, sizeof(name), "seg.%u.%d", (unsigned)geteuid(), id);
	return unit_path(name);
}

CASE("life", removed_segment_of_a_killed_process_goes_with_the_next_call)
{
	ushm_space *sp;
	char c;
	int id, other;
	pid_t pid;

	unit_dir();
	REQUIRE_OK(pipe(tell));
	sp = open_here();
	REQUIRE(ushm_get(sp, IPC_PRIVATE, 4096, 0600, &id) == 0);
	REQUIRE(ushm_get(sp, 5, 4096, IPC_CREAT | 0600, &other) == 0);
	pid = fork();
	if (pid == 0)
		hold("waiting", id);
	REQUIRE(read(tell[0], &c, 1) == 1);
	CHECK_EQ(ushm_remove(sp, id), 0);
	CHECK_EQ(nattch(sp, id), 1);
	CHECK(access(segment_file(0), F_OK) == 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	/* A call about something else altogether. */
	CHECK_EQ(ushm_get(sp, 5, 0, 0, &other), 0);
	CHECK(access(segment_file(0), F_OK) < 0);
}

/*
 * A slot that names a process which does not exist, as if 'pid_ns' were its
 * pid namespace.
 */
static uint64_t nobody_in(struct space *sp, uint32_t slot, uint32_t state,
			  uint64_t pid_ns)
{
	struct layout_proc *p = registry_proc(&sp->reg, slot);

	p->pid_ns = pid_ns;
	p->time_ns = sp->self.time_ns;
	p->forked_at = sys_monotonic_ns();
	p->claim = claim_make(0x100, state, 1 << 30);
	return p->claim;
}

CASE("life", number_of_another_pid_namespace_is_not_looked_up)
{
	static const uint32_t states[] = { PROC_CLAIMING, PROC_UNBORN };
	struct layout_proc *p;
	struct space *sp;
	uint64_t claim;
	int id;

	unit_dir();
	sp = (struct space *)open_here();
	REQUIRE(ushm_get((ushm_space *)sp, 5, 4096, IPC_CREAT | 0600, &id) ==
		0);
	p = registry_proc(&sp->reg, 1);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		claim = nobody_in(sp, 1, states[i], sp->self.pid_ns);
		CHECK(life_is_dead(&sp->reg, &sp->self, 1, claim));

		/* On its way, for all that we know. A child whose parent is
		 * gone does not come for ever. */
		claim = nobody_in(sp, 1, states[i], sp->self.pid_ns + 1);
		CHECK(!life_is_dead(&sp->reg, &sp->self, 1, claim));
		p->forked_at -= INT64_C(10000000000);
		CHECK_EQ(life_is_dead(&sp->reg, &sp->self, 1, claim),
			 states[i] == PROC_UNBORN);
	}

	/* Taken a moment ago, by whom it does not say yet: told only where
	 * all are of one namespace. */
	claim = nobody_in(sp, 1, PROC_CLAIMING, 0);
	CHECK(procs_is_suspect(&sp->reg, 1, &claim));
	CHECK(life_is_dead(&sp->reg, &sp->self, 1, claim));
	sp->reg.h->pid_ns = LIFE_SEVERAL_NS;
	CHECK(!procs_is_suspect(&sp->reg, 1, &claim));
}

CASE("life", sweep_of_a_killed_sweeper_is_finished_at_once)
{
	struct space *sp;
	uint64_t claim;
	int id;

	unit_dir();
	sp = (struct space *)open_here();
	REQUIRE(ushm_get((ushm_space *)sp, 5, 4096, IPC_CREAT | 0600, &id) ==
		0);

	/* Found dead; meanwhile another has condemned it, and was killed. */
	claim = nobody_in(sp, 1, PROC_UNBORN, sp->self.pid_ns);
	registry_proc(&sp->reg, 1)->claim = claim_make(claim, PROC_DYING,
						       claim_pid(claim));
	CHECK(procs_condemn(&sp->reg, 1, claim));

	/* Nor is the slot's next owner condemned. */
	claim = claim_next(claim, PROC_UNBORN, 1 << 30);
	registry_proc(&sp->reg, 1)->claim = claim;
	CHECK(!procs_condemn(&sp->reg, 1,
			     nobody_in(sp, 2, PROC_UNBORN, sp->self.pid_ns)));
}

/* Attaches, says so, and waits; the last one in the midst of a change. */
static void be_attached(int id, volatile int *ready, bool changing)
{
	struct space *sp = (struct space *)open_here();
	struct space_entry e;
	void *p;

	if (ushm_attach((ushm_space *)sp, id, NULL, 0, &p) < 0)
		_exit(1);
	if (changing && space_enter(sp, &e) == 0) {
		space_lock(sp);
		undo_guard(&sp->reg, &sp->reg.segments[0].guard);
	}
	*ready = 1;
	for (;;)
		pause();
}

/* More slots than a call looks at by the way, the victim's behind them. */
CASE("life", writer_killed_in_a_crowd_does_not_count)
{
	enum { CROWD = 450 };
	pid_t pids[CROWD];
	struct ushm_segment s;
	volatile int *ready;
	ushm_space *sp;
	int id;

	unit_dir();
	ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(ready != MAP_FAILED);
	sp = open_here();
	REQUIRE(ushm_get(sp, 5, 4096, IPC_CREAT | 0600, &id) == 0);
	for (int i = 0; i < CROWD; i++) {
		*ready = 0;
		pids[i] = fork();
		REQUIRE(pids[i] >= 0);
		if (pids[i] == 0)
			be_attached(id, ready, i == CROWD - 1);
		while (!*ready)
			usleep(100);
	}
	kill(pids[CROWD - 1], SIGKILL);
	REQUIRE(waitpid(pids[CROWD - 1], NULL, 0) == pids[CROWD - 1]);
	CHECK_EQ(ushm_stat(sp, id, &s), 0);
	CHECK_EQ(s.nattch, CROWD - 1);
	for (int i = 0; i < CROWD - 1; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	CHECK_EQ(ushm_stat(sp, id, &s), 0);
	CHECK_EQ(s.nattch, 0);
}
