/* SPDX-License-Identifier: MIT */
/*
 * Stops workers at random until it has one that holds the lock, and sees what
 * that is to others: readers of what it does not change go on, whoever wants
 * to change something waits until it goes on or is dead.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/space.h"
#include "soak/soak.h"
#include "ushm.h"

#define HELD_FOR UINT64_C(60000000) /* ns */

/* The pid of whoever holds the lock, or 0. */
static int holder(const struct registry *r)
{
	uint32_t owner = load_acquire(&r->h->lock) & INT_MAX;
	const struct layout_proc *p = owner ? registry_proc(r, owner - 1)
					    : NULL;

	return p ? claim_pid(load_acquire(&p->claim)) : 0;
}

static int quiet_segment(ushm_space *sp)
{
	int id = -1;

	if (ushm_get(sp, QUIET_KEY, 4096, IPC_CREAT | 0600, &id) < 0)
		fail("no segment for the reader");
	return id;
}

/* In a process of its own: it may have to wait for the stopped one. */
static void read_all_the_time(ushm_space *sp, int id)
{
	struct ushm_segment s;

	for (;;) {
		uint32_t stop = load_acquire(&shared->held_stops);
		uint64_t start = now_ns(), took;

		if (ushm_stat(sp, id, &s) < 0)
			fail("the reader's segment is gone");
		took = now_ns() - start;
		if (took > HELD_FOR / 2)
			shared->reader_waits++;
		if (stop != load_acquire(&shared->held_stops) ||
		    load_acquire(&shared->holding))
			if (took > shared->reader_waited)
				shared->reader_waited = took;
		usleep(200);
	}
}

static ushm_space *open_space(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(shared->dir, USHM_CREATE, NULL, &sp, &problem) < 0) {
		fail("%s", problem.text);
		_exit(1);
	}
	return sp;
}

static void start_reader(void)
{
	ushm_space *sp;

	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sp = open_space();
	read_all_the_time(sp, quiet_segment(sp));
}

static void kill_and_take_over(ushm_space *sp, int id, unsigned index)
{
	uint64_t start = now_ns();
	uint32_t n;

	if (!crowd_kill(index))
		return;
	if (ushm_set(sp, id, geteuid(), getegid(), 0600) < 0)
		fail("IPC_SET after a takeover");
	n = shared->takeovers++;
	if (n < sizeof(shared->takeover) / sizeof(shared->takeover[0]))
		shared->takeover[n] = now_ns() - start;
}

static struct worker *worker_of(int pid)
{
	for (uint32_t i = 0; i < shared->used; i++)
		if (shared->workers[i].pid == pid &&
		    load_acquire(&shared->workers[i].state) == LIVE)
			return &shared->workers[i];
	return NULL;
}

static void stop_one(ushm_space *sp, int id, struct worker *w)
{
	const struct registry *r = &((struct space *)sp)->reg;
	int pid = w->pid;

	store_release(&w->stopped, 1u);
	kill(pid, SIGSTOP);
	usleep(100);
	shared->stops++;
	if (holder(r) == pid) {
		shared->held_stops++;
		store_release(&shared->holding, 1u);
		usleep(HELD_FOR / 1000);
		store_release(&shared->holding, 0u);
		if (shared->held_stops % 4)
			kill_and_take_over(sp, id,
					   (unsigned)(w - shared->workers));
	}
	kill(pid, SIGCONT);
	store_release(&w->stopped, 0u);
}

pid_t stopped_start(void)
{
	unsigned seed = (unsigned)now_ns();
	ushm_space *sp;
	pid_t child = fork();
	int id;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	start_reader();
	sp = open_space();
	id = quiet_segment(sp);
	for (;;) {
		struct worker *w;
		int pid = 0;

		/* Quickly, or at any moment. */
		if (rand_r(&seed) % 8)
			for (int i = 0; i < 10000 && !pid; i++)
				pid = holder(&((struct space *)sp)->reg);
		else if (shared->used)
			pid = shared->workers[(unsigned)rand_r(&seed) %
					      shared->used]
				      .pid;
		w = pid ? worker_of(pid) : NULL;
		if (w && !load_acquire(&shared->park))
			stop_one(sp, id, w);
		else
			usleep(100);
	}
}
