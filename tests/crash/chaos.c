/* SPDX-License-Identifier: MIT */
/*
 * Many processes at random, many of them killed.
 *
 *	chaos SECONDS [SEED]
 *
 * In each round workers create, attach, fork, split, detach and remove for a
 * while; the test kills them with SIGKILL one by one, at any moment. All the
 * while one process holds segment HELD with a known number of attachments:
 * its nattch must never be seen below that. After the round, with all workers
 * dead: nattch is exact, removed segments are gone, every invariant of the
 * registry holds, and the directory has one file for each segment.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/space.h"
#include "store/verify.h"
#include "ushm.h"

enum { WORKERS = 12, KEYS = 6, HELD = 77, HOLDS = 3, SLOTS = 8 };

static char dir[64];
static unsigned long failures, rounds, kills;

static struct {
	unsigned long calls;
} * shared;

static void fail(const char *what, unsigned long a, unsigned long b)
{
	printf("FAIL round %lu: %s (%lu, %lu)\n", rounds, what, a, b);
	failures++;
}

static ushm_space *open_space(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(dir, USHM_CREATE, NULL, &sp, &problem) < 0) {
		printf("FAIL %s\n", problem.text);
		_exit(1);
	}
	return sp;
}

/* -------------------------------------------------------------- workers */

static void one_step(ushm_space *sp, void **held, int depth)
{
	int slot = rand() % SLOTS, key = 1 + rand() % KEYS, id;
	struct ushm_segment seg;
	uint32_t cursor = 0;
	void *p;

	switch (rand() % 12) {
	case 0:
		(void)ushm_get(sp, key, 20000, IPC_CREAT | 0600, &id);
		break;
	case 1:
		if (ushm_get(sp, key, 0, 0, &id) == 0)
			(void)ushm_remove(sp, id);
		break;
	case 2:
		if (ushm_get(sp, IPC_PRIVATE, 100, 0600, &id) == 0)
			(void)ushm_remove(sp, id);
		break;
	case 3:
		if (held[slot]) {
			(void)ushm_munmap((char *)held[slot] + 4096, 4096);
			(void)ushm_detach(sp, held[slot]);
			held[slot] = NULL;
		}
		break;
	case 4:
		(void)ushm_next(sp, &cursor, &seg);
		break;
	case 5:
		if (depth < 2 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (int i = rand() % 20; i > 0; i--)
				one_step(sp, held, depth + 1);
			_exit(0);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		break;
	case 6:
		if (ushm_get(sp, key, 0, 0, &id) == 0)
			(void)ushm_set(sp, id, geteuid(), getegid(), 0600);
		break;
	case 7:
		if (ushm_get(sp, HELD, 0, 0, &id) == 0 &&
		    ushm_attach(sp, id, NULL, 0, &p) == 0)
			(void)ushm_detach(sp, p);
		break;
	default:
		if (held[slot]) {
			int r = ushm_detach(sp, held[slot]);

			if (r < 0) {
				fail("detach", (unsigned long)-r,
				     (unsigned long)depth);
				kill(getpid(), SIGABRT);
			}
			held[slot] = NULL;
		} else if (ushm_get(sp, key, 0, 0, &id) == 0 &&
			   ushm_attach(sp, id, NULL, 0, &p) == 0) {
			held[slot] = p;
			memset(p, slot, 20000);
		}
	}
	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
}

/* Workers and their children are one process group, behind this leader. */
static pid_t start_leader(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	setpgid(pid, pid);
	return pid;
}

static pid_t start_worker(pid_t group, unsigned seed)
{
	pid_t pid = fork();

	if (pid == 0) {
		void *held[SLOTS] = { NULL };
		ushm_space *sp;

		setpgid(0, group);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		srand(seed);
		sp = open_space();
		for (;;)
			one_step(sp, held, 0);
	}
	setpgid(pid, group);
	return pid;
}

static pid_t start_holder(void)
{
	int ready[2], id;
	pid_t pid;
	void *p;
	char c;

	if (pipe(ready) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		ushm_space *sp = open_space();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < HOLDS; i++)
			if (ushm_get(sp, HELD, 8192, IPC_CREAT | 0600, &id) <
				    0 ||
			    ushm_attach(sp, id, NULL, 0, &p) < 0)
				_exit(1);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		exit(1);
	close(ready[0]);
	return pid;
}

/* -------------------------------------------------------------- checking */

static unsigned long files_in_dir(void)
{
	unsigned long n = 0;
	struct dirent *d;
	DIR *list = opendir(dir);

	while (list && (d = readdir(list)))
		n += strncmp(d->d_name, "seg.", 4) == 0;
	if (list)
		closedir(list);
	return n;
}

static void on_finding(void *arg, const struct verify_finding *finding)
{
	(void)arg;
	fail(finding->text, 0, 0);
}

/* In a process of its own: the test itself has nothing open. */
static void check_after_round(void)
{
	ushm_space *sp = open_space();
	struct ushm_segment seg;
	unsigned long before = failures, n = 0;
	uint32_t cursor = 0;
	int id, r;

	r = ushm_get(sp, 1, 20000, IPC_CREAT | 0600, &id);
	if (r < 0)
		fail("a new segment", (unsigned long)-r, 0);
	while (ushm_next(sp, &cursor, &seg) == 1) {
		n++;
		if (seg.nattch != (seg.key == HELD ? HOLDS : 0))
			fail("nattch", seg.nattch, (unsigned long)seg.key);
		if (seg.mode & SHM_DEST)
			fail("a removed segment stays", (unsigned long)seg.id,
			     0);
	}
	if (files_in_dir() != n)
		fail("files", files_in_dir(), n);
	verify_registry(&((struct space *)sp)->reg, on_finding, NULL);
	_exit(failures != before);
}

/* Watches HELD while the workers work. */
static pid_t start_watcher(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		ushm_space *sp = open_space();
		struct ushm_segment seg;
		int id;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ushm_get(sp, HELD, 0, 0, &id) < 0)
			_exit(1);
		for (;;) {
			if (ushm_stat(sp, id, &seg) < 0 || seg.nattch < HOLDS) {
				fail("nattch seen too low", seg.nattch, HOLDS);
				fflush(stdout);
				_exit(1);
			}
		}
	}
	return pid;
}

/* Reap whatever has ended; only what we killed may have. */
static void reap(const pid_t *workers, pid_t holder)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == holder)
			fail("the holder died", (unsigned long)status, 0);
		for (int i = 0; i < WORKERS; i++)
			if (pid == workers[i])
				fail("a worker died by itself",
				     (unsigned long)status, 0);
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			fail("a process died of a signal",
			     (unsigned long)WTERMSIG(status), 0);
	}
}

static void round_of_chaos(unsigned seed, pid_t holder)
{
	pid_t workers[WORKERS], watcher, leader = start_leader();
	int status;

	watcher = start_watcher();
	for (int i = 0; i < WORKERS; i++)
		workers[i] = start_worker(leader, seed + (unsigned)i);
	for (int i = 0; i < 40; i++) {
		int victim = rand() % WORKERS;

		usleep((useconds_t)(rand() % 1000));
		kill(workers[victim], SIGKILL);
		waitpid(workers[victim], &status, 0);
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			fail("a worker died of a signal",
			     (unsigned long)WTERMSIG(status), 0);
		kills++;
		workers[victim] = start_worker(leader, seed * 31 + (unsigned)i);
		reap(workers, holder);
	}

	/* All of them, then every child of ours but the holder. */
	kill(-leader, SIGKILL);
	kills += WORKERS;
	kill(watcher, SIGKILL);
	waitpid(watcher, &status, 0);
	if (WIFEXITED(status))
		failures++;
	do
		errno = 0;
	while (waitpid(-leader, &status, 0) > 0 || errno == EINTR);
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2])
				 : (unsigned)time(NULL);
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	char command[100];
	pid_t holder, pid;
	int status;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(dir, sizeof(dir), "%s/ushm-chaos.%d",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
		 (int)getpid());
	setvbuf(stdout, NULL, _IOLBF, 0);
	srand(seed);

	/* Orphaned grandchildren become ours: then we can wait for them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	holder = start_holder();
	while (time(NULL) < end && !failures) {
		rounds++;
		round_of_chaos(seed + (unsigned)rounds * 1000, holder);
		pid = fork();
		if (pid == 0)
			check_after_round();
		while (waitpid(-1, &status, 0) != pid)
			;
		if (status)
			failures++;
	}
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	if (!failures) {
		snprintf(command, sizeof(command), "rm -rf %s", dir);
		if (system(command) != 0)
			failures++;
	}
	printf("seed %u: %lu rounds, %lu killed, %lu calls\n", seed, rounds,
	       kills, shared->calls);
	printf("%lu passed, %lu failed\n", rounds - (failures > 0), failures);
	return failures != 0;
}
