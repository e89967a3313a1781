/* SPDX-License-Identifier: MIT */
/*
 * Killed at every step.
 *
 * Each scenario is played again and again; the N-th time its process kills
 * itself with SIGKILL at the N-th step() that it comes to, until it comes
 * through. After each death a fresh process makes the next call and checks:
 * the operation happened wholly or not at all, nattch is the number of living
 * attachments, every invariant of the registry holds, and the directory holds
 * one file for each segment and nothing else.
 *
 * With "twice", the process that repairs is itself killed at each of its
 * steps, and a third one checks.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
#include "core/space.h"
#include "check.h"

#define KEY  0x5eed
#define SIZE 8192

/* Shared by all processes of the test. */
static struct {
	int failures;
	pid_t forked; /* the child of the scenario "fork", once it runs */
	int go_on;    /* it may end */
} * shared;

static char dir[64];
static const char *scenario_name;
static long kill_at, steps;
static pid_t victim; /* or 0: any process but 'spared' */
static pid_t spared;

static void fail(const char *what, long a, long b)
{
	fprintf(stderr, "FAIL %s, killed at step %ld: %s (%ld, %ld)\n",
		scenario_name, kill_at, what, a, b);
	shared->failures++;
}

static void on_step(const char *name)
{
	pid_t pid = getpid();

	(void)name;
	if ((victim ? pid == victim : pid != spared) && ++steps == kill_at)
		kill(getpid(), SIGKILL);
}

static ushm_space *open_space(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(dir, USHM_CREATE, NULL, &sp, &problem) < 0) {
		fail(problem.text, problem.error, 0);
		_exit(1);
	}
	return sp;
}

/* From here on the steps of this process count. */
static void arm(void)
{
	victim = getpid();
	steps = 0;
	ushm_step_hook = on_step;
}

/* ------------------------------------------------------------- scenarios */

static int get(ushm_space *sp, int flags)
{
	int id, r = ushm_get(sp, KEY, SIZE, flags, &id);

	return r < 0 ? r : id;
}

static void act_open(void)
{
	arm();
	open_space();
}

static void act_create(void)
{
	ushm_space *sp = open_space();

	arm();
	get(sp, IPC_CREAT | 0600);
}

static void *attach(ushm_space *sp)
{
	void *p = NULL;

	ushm_attach(sp, get(sp, IPC_CREAT | 0600), NULL, 0, &p);
	return p;
}

static void act_attach(void)
{
	ushm_space *sp = open_space();

	arm();
	attach(sp);
}

static void act_attach_thrice(void)
{
	ushm_space *sp = open_space();

	/* The third time through a handle. */
	ushm_detach(sp, attach(sp));
	ushm_detach(sp, attach(sp));
	arm();
	ushm_detach(sp, attach(sp));
}

static void act_detach(void)
{
	ushm_space *sp = open_space();
	void *p = attach(sp);

	attach(sp);
	arm();
	ushm_detach(sp, p);
}

static void act_split(void)
{
	ushm_space *sp = open_space();
	int id;
	void *p;

	ushm_get(sp, KEY + 1, 5 * 4096, IPC_CREAT | 0600, &id);
	ushm_attach(sp, id, NULL, 0, &p);
	arm();
	ushm_munmap((char *)p + 4096, 4096);
	ushm_munmap((char *)p + 3 * 4096, 4096);
	ushm_detach(sp, p);
	ushm_remove(sp, id);
}

static void act_set(void)
{
	ushm_space *sp = open_space();

	arm();
	ushm_set(sp, get(sp, 0), getuid(), 1234, 0640);
}

static void act_remove(void)
{
	ushm_space *sp = open_space();

	arm();
	ushm_remove(sp, get(sp, 0));
}

static void act_remove_attached(void)
{
	ushm_space *sp = open_space();
	void *p = attach(sp);

	arm();
	ushm_remove(sp, get(sp, 0));
	ushm_detach(sp, p);
}

static void act_fork(void)
{
	ushm_space *sp = open_space();

	attach(sp);
	attach(sp);
	arm();
	if (fork() == 0) {
		shared->forked = getpid();
		while (!shared->go_on)
			usleep(200);
		_exit(0);
	}
	while (!shared->forked)
		usleep(100);
}

static void act_birth(void)
{
	ushm_space *sp = open_space();
	int status;
	pid_t pid;

	attach(sp);

	/* The child is the victim, from its first step on. */
	victim = 0;
	spared = getpid();
	ushm_step_hook = on_step;
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, &status, 0);
	_exit(WIFSIGNALED(status) ? 9 : 0);
}

static void act_exit(void)
{
	ushm_space *sp = open_space();

	attach(sp);
	ushm_remove(sp, get(sp, 0));
	arm();
	exit(0);
}

static void on_told(void *arg, const struct ushm_finding *finding)
{
	(void)arg;
	(void)finding;
}

/* Wrong in several places, while a process has the segment attached twice. */
static void damage(ushm_space *sp)
{
	struct registry *r = &((struct space *)sp)->reg;
	struct layout_segment *s = registry_segment(r, 0);

	s->first_attach = 4711;
	s->attaches = 2;
	s->guard |= 1;
	r->h->in_use = 55;
	r->h->pages = 1;
	r->h->undo_count = 9;
	r->h->key_guard |= 1;
	r->h->free_attach = 1;
	r->bitmap[0] = 6;
	*segments_key_head(r, KEY) = 0;
}

static int fsck(void)
{
	struct ushm_problem problem;

	return ushm_check(dir, USHM_REPAIR, on_told, NULL, &problem);
}

static void act_fsck(void)
{
	ushm_space *sp = open_space();
	int ready[2];
	char c;

	if (pipe(ready) < 0)
		_exit(1);
	if (fork() == 0) {
		attach(sp);
		attach(sp);
		shared->forked = getpid();
		if (write(ready[1], "!", 1) != 1)
			_exit(1);
		while (!shared->go_on)
			usleep(200);
		_exit(0);
	}
	if (read(ready[0], &c, 1) != 1)
		_exit(1);
	damage(sp);
	arm();
	fsck();
}

/* What the key may be afterwards. */
enum outcome { EXISTS = 1, ABSENT = 2 };

static const struct scenario {
	const char *name;
	bool prepared; /* the segment exists before */
	void (*act)(void);
	int outcome;   /* EXISTS, ABSENT or both */
	bool finished; /* what must be true only when it came through */
	int when_finished;
} scenarios[] = {
	{ "open", false, act_open, ABSENT, true, ABSENT },
	{ "create", false, act_create, EXISTS | ABSENT, true, EXISTS },
	{ "attach", true, act_attach, EXISTS, true, EXISTS },
	{ "attach a third time", true, act_attach_thrice, EXISTS, true,
	  EXISTS },
	{ "detach", true, act_detach, EXISTS, true, EXISTS },
	{ "split", true, act_split, EXISTS, true, EXISTS },
	{ "set", true, act_set, EXISTS, true, EXISTS },
	{ "remove", true, act_remove, EXISTS | ABSENT, true, ABSENT },
	{ "remove attached", true, act_remove_attached, EXISTS | ABSENT, true,
	  ABSENT },
	{ "fork", true, act_fork, EXISTS, true, EXISTS },
	{ "birth", true, act_birth, EXISTS, true, EXISTS },
	{ "exit", true, act_exit, ABSENT, true, ABSENT },
	{ "fsck", true, act_fsck, EXISTS, true, EXISTS },
};

/* ------------------------------------------------------------- the check */

static void check(const struct scenario *sc, bool survived)
{
	const struct check c = { dir, sc->act == act_open, fail };
	int want = survived ? sc->when_finished : sc->outcome;
	ushm_space *sp = open_space();
	int left = sc->act == act_fsck && !survived ? fsck() : 0;
	struct ushm_segment seg;
	uint32_t cursor = 0;
	uint64_t expected = 0;
	int id = get(sp, 0);

	if (left < 0 || left & (USHM_CHECK_LEFT | USHM_CHECK_RESTART))
		fail("the next fsck", left, 0);
	if (id < 0 && id != -ENOENT)
		fail("lookup", -id, 0);
	if (!(want & (id < 0 ? ABSENT : EXISTS)))
		fail("the key's existence", id, want);
	if (shared->forked && kill(shared->forked, 0) == 0)
		expected = 2;

	/* Reading it once is the next call: it sweeps what it meets. */
	if (id >= 0 && ushm_stat(sp, id, &seg) < 0)
		fail("stat", id, 0);
	if (id >= 0 && (seg.size != SIZE || seg.uid != geteuid() ||
			(seg.mode & 0777) != (seg.gid == 1234 ? 0640 : 0600)))
		fail("torn fields", (long)seg.size, (long)seg.mode);
	if (id >= 0 && seg.nattch != expected)
		fail("nattch", (long)seg.nattch, (long)expected);
	while (ushm_next(sp, &cursor, &seg) == 1)
		if (seg.key != KEY && seg.key != KEY + 1)
			fail("a segment without its key is left", seg.id,
			     seg.key);
	if (id >= 0)
		check_zeroed(&c, sp, id, SIZE);
	check_directory(&c, sp);
	check_registry(&c, sp);
}

/* --------------------------------------------------------------- playing */

static void fresh(const struct scenario *sc)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		exit(1);
	shared->forked = 0;
	shared->go_on = 0;
	if (sc->prepared && fork() == 0) {
		get(open_space(), IPC_CREAT | 0600);
		_exit(0);
	}
	wait(NULL);
}

/* Run 'act' in a child that is killed at step 'at'; true if it survived. */
static bool play(void (*act)(void), long at)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		kill_at = at;
		act();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (act == act_birth && WIFEXITED(status) && WEXITSTATUS(status) == 9)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("ended otherwise", status, 0);
	return false;
}

static void run_check(const struct scenario *sc, long at, bool survived)
{
	pid_t pid = fork();
	int status;

	kill_at = at;
	if (pid == 0) {
		alarm(20);
		/* A child that died before it was born is believed to be
		 * about to run for 20 ms. */
		if (sc->act == act_birth)
			usleep(25000);
		check(sc, survived);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		fail("the check itself failed", status, 0);
	shared->go_on = 1;
}

/* A next call that only repairs. */
static void act_repair(void)
{
	ushm_space *sp = open_space();
	struct ushm_segment seg;
	int id;

	arm();
	id = get(sp, 0);
	if (id >= 0)
		ushm_stat(sp, id, &seg);
	attach(sp);
}

static long run(const struct scenario *sc)
{
	long at;
	bool survived = false;

	scenario_name = sc->name;
	for (at = 1; !survived; at++) {
		fresh(sc);
		survived = play(sc->act, at);
		run_check(sc, at, survived);
		if (at > 5000) {
			fail("never comes through", at, 0);
			break;
		}
	}
	return at - 1;
}

/* The repairer is killed as well, at each of its steps. */
static long run_twice(const struct scenario *sc)
{
	long cases = 0, at, again;
	bool survived = false, repaired;
	struct scenario open_end = *sc;

	/* The repairing process creates the key itself. */
	open_end.outcome = EXISTS | ABSENT;
	scenario_name = sc->name;
	for (at = 1; !survived; at += 3) {
		repaired = false;
		for (again = 1; !repaired; again += 2) {
			fresh(sc);
			survived = play(sc->act, at);
			repaired = play(act_repair, again);
			run_check(&open_end, at * 1000 + again, false);
			cases++;
		}
	}
	return cases;
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	long total = 0, n;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(dir, sizeof(dir), "%s/ushm-crash.%d",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
		 (int)getpid());

	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (only && strcmp(only, scenarios[i].name) != 0)
			continue;
		n = run(&scenarios[i]);
		printf("%-20s killed at %ld steps\n", scenarios[i].name, n);
		fflush(stdout);
		total += n;
	}
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (scenarios[i].act != act_create &&
		    scenarios[i].act != act_remove_attached)
			continue;
		if (only && strcmp(only, "twice") != 0)
			continue;
		n = run_twice(&scenarios[i]);
		printf("%-20s and its repairer: %ld pairs\n", scenarios[i].name,
		       n);
		fflush(stdout);
		total += n;
	}
	kill_at = 0;
	fresh(&scenarios[0]);
	rmdir(dir);
	printf("%ld passed, %d failed\n", total - shared->failures,
	       shared->failures);
	return shared->failures != 0;
}
