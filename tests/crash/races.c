/* SPDX-License-Identifier: MIT */
/*
 * What tests/model found: others act between two steps of one process.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
#include "core/space.h"
#include "ushm.h"

#define WAITERS 0x80000000u

static struct {
	volatile int asked, go_on, failures;
	volatile pid_t parent, child;
} * shared;

static char dir[64];
static pid_t self;
static const char *pause_at;

static void fail(const char *what, long value)
{
	fprintf(stderr, "FAIL %s (%ld)\n", what, value);
	shared->failures++;
}

static void until(volatile int *flag)
{
	while (!*flag)
		usleep(200);
}

static struct space *open_space(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(dir, USHM_CREATE, NULL, &sp, &problem) < 0)
		_exit(3);
	return (struct space *)sp;
}

static void on_step(const char *name)
{
	if (getpid() != self || strcmp(name, pause_at) != 0 || shared->asked)
		return;
	shared->asked = 1;
	if (shared->parent) {
		/* The parent dies now, and its child gets another. */
		kill(shared->parent, SIGKILL);
		waitpid(shared->parent, NULL, 0);
		return;
	}
	until(&shared->go_on);
}

static void pause_here(const char *name)
{
	self = getpid();
	pause_at = name;
	ushm_step_hook = on_step;
}

/* --------------------------------------------------------- the lock word */

static void enter(struct space *sp)
{
	struct space_entry e;

	if (space_enter(sp, &e) < 0)
		_exit(3);
}

/*
 * A waiter finds the owner dead and is slow. Meanwhile the dead one is swept,
 * and a newcomer has its slot and the lock: the word is the same again.
 */
static void slow_waiter_robs_nobody(void)
{
	struct space *sp;
	uint32_t word;
	pid_t waiter, pid;

	pid = fork();
	if (pid == 0) {
		sp = open_space();
		enter(sp);
		space_lock(sp);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);

	waiter = fork();
	if (waiter == 0) {
		sp = open_space();
		pause_here("lock: owner found dead");
		enter(sp); /* sweeps, and for that wants the lock */
		space_lock(sp);
		space_unlock(sp);
		_exit(0);
	}
	until(&shared->asked);

	pid = fork();
	if (pid == 0) {
		enter(open_space());
		_exit(0);
	}
	waitpid(pid, NULL, 0);

	pid = fork();
	if (pid == 0) {
		sp = open_space();
		enter(sp);
		space_lock(sp);
		word = (space_slot(sp) + 1) | WAITERS;
		if (space_slot(sp) != 0)
			fail("the newcomer got another slot", space_slot(sp));
		sp->reg.h->lock = word; /* another one waits */
		shared->go_on = 1;
		usleep(100000);
		if (sp->reg.h->lock != word)
			fail("a living owner was robbed", sp->reg.h->lock);
		space_unlock(sp);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	waitpid(waiter, NULL, 0);
}

/* ---------------------------------------------------------------- a child */

static void slow_child(void)
{
	if (!shared->parent)
		return;
	shared->child = getpid();
	until(&shared->go_on);
}

/*
 * A child that has not run yet is searched for among its parent's children;
 * just then the parent is killed.
 */
static void child_of_a_dying_parent_is_counted(void)
{
	struct ushm_segment seg;
	struct space *sp;
	void *p;
	int id;

	/* Before the library's own handler. */
	pthread_atfork(NULL, NULL, slow_child);
	sp = open_space();
	if (ushm_get((ushm_space *)sp, IPC_PRIVATE, 4096, 0600, &id) < 0)
		_exit(3);
	if (fork() == 0) {
		ushm_attach((ushm_space *)sp, id, NULL, 0, &p);
		shared->parent = getpid();
		if (fork() == 0)
			_exit(0);
		for (;;)
			pause();
	}
	while (!shared->child)
		usleep(200);
	usleep(30000); /* for 20 ms it is believed */
	pause_here("death: looking for a child");
	if (ushm_stat((ushm_space *)sp, id, &seg) < 0 || seg.nattch < 1)
		fail("nattch", (long)seg.nattch);
	if (!shared->asked)
		fail("nobody looked for the child", 0);
	shared->go_on = 1;
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "slow_waiter_robs_nobody", slow_waiter_robs_nobody },
	{ "child_of_a_dying_parent_is_counted",
	  child_of_a_dying_parent_is_counted },
};

int main(void)
{
	int passed = 0, failed = 0;
	char command[100];

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(dir, sizeof(dir), "%s/ushm-races.%d",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
		 (int)getpid());
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t pid;
		int status = -1;

		memset(shared, 0, sizeof(*shared));
		pid = fork();
		if (pid == 0) {
			alarm(20);
			cases[i].run();
			_exit(shared->failures != 0);
		}
		waitpid(pid, &status, 0);
		shared->go_on = 1;
		if (status)
			failed++;
		else
			passed++;
		printf("%s %s\n", status ? "FAIL" : "ok", cases[i].name);
		if (system(command) != 0)
			failed++;
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
