/* SPDX-License-Identifier: MIT */
/*
 * Killed at every step and every system call; and, with -i N, at every N-th of
 * the points where a system call returns or an instruction changed a byte of
 * the object.
 *
 * Each scenario is played again and again; the N-th time its process kills
 * itself with SIGKILL at the N-th step() or system call of ushm that it comes
 * to, until it comes through. Then a fresh process maps the file and unmaps it,
 * and the file must hold all that was stored and written, byte by byte; of the
 * object nothing is left. With "twice" that process is killed as well, at each
 * of its steps, and a third one checks; with "beside", another process has the
 * file mapped all the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backing/journal.h"
#include "base/step.h"
#include "base/sys.h"
#include "core/mapping.h"
#include "crash/kills.h"
#include "ushm.h"

#define PAGE  4096
#define PAGES 8
#define SIZE  (PAGES * PAGE)

/* Shared by all processes of the test: what must be in the file. */
static struct {
	unsigned char want[SIZE], or [SIZE]; /* either, while it changes */
	long size, or_size;
	int failures, go_on, ready;
	bool atomic; /* all as in 'want' or all as in 'or' */
} * shared;

static char path[64];
static const char *scenario_name;
static long kill_at, steps;
static char *p; /* the mapping */
static bool by_instruction;
static int fd;

static void fail(const char *what, long a, long b)
{
	fprintf(stderr, "FAIL %s, killed at %ld: %s (%ld, %ld)\n",
		scenario_name, kill_at, what, a, b);
	shared->failures++;
}

static void count(void)
{
	if (!by_instruction && ++steps == kill_at)
		kill((pid_t)syscall(SYS_getpid), SIGKILL);
}

static void on_step(const char *name)
{
	(void)name;
	count();
}

static long on_call(long n, long a, long b)
{
	(void)n;
	(void)a;
	(void)b;
	count();
	return 0;
}

static void arm(void)
{
	if (by_instruction) {
		kills_mark();
		return;
	}
	steps = 0;
	ushm_step_hook = on_step;
	ushm_call_hook = on_call;
}

/* ------------------------------------------------------------- scenarios */

static void map_it(void)
{
	void *q = NULL;
	int r = ushm_map(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0,
			 shared->atomic ? USHM_ATOMIC : USHM_MAP_OBJECT, &q);

	if (r < 0) {
		fail("map", -r, 0);
		_exit(1);
	}
	p = q;
}

static void store(long at, char c)
{
	shared->or [at] = (unsigned char)c;
	p[at] = c;
	if (!shared->atomic)
		shared->want[at] = (unsigned char)c;
}

static void stores(void)
{
	for (int i = 0; i < PAGES; i++)
		if (i != 4)
			store(i * PAGE + i, (char)('A' + i));
}

static void act_map(void)
{
	arm();
	map_it();
}

static void act_sync(void)
{
	map_it();
	stores();
	arm();
	ushm_sync(p, SIZE, MS_SYNC);
	store(PAGE, 'x');
	store(4 * PAGE, 'y');
	ushm_sync(p, SIZE, MS_SYNC | MS_INVALIDATE);
}

static void act_unmap(void)
{
	map_it();
	stores();
	arm();
	ushm_unmap(p, SIZE);
}

static void change(long at, const char *bytes, long n)
{
	struct mapping_change c;
	bool held = mapping_before_change(&c, fd, (uint64_t)at, (uint64_t)n);

	for (long i = 0; i < n; i++)
		shared->or [at + i] = (unsigned char)bytes[i];
	count();
	if (pwrite(fd, bytes, (size_t)n, at) != n)
		fail("pwrite", errno, at);
	for (long i = 0; i < n; i++)
		shared->want[at + i] = (unsigned char)bytes[i];
	count();
	if (held)
		mapping_after_change(&c);
}

static void act_write(void)
{
	map_it();
	stores();
	arm();
	change(2 * PAGE - 3, "across", 6);
	store(2 * PAGE - 1, '1');
	change(2 * PAGE - 2, "again", 5);
	ushm_sync(p, SIZE, MS_SYNC);
}

static void resize(long size)
{
	struct mapping_change c;
	bool held = mapping_before_change(&c, fd, (uint64_t)size, MAPPING_ALL);

	shared->or_size = size;
	count();
	if (ftruncate(fd, size) < 0)
		fail("ftruncate", errno, size);
	if (size < shared->size) {
		memset(shared->want + size, 0, (size_t)(SIZE - size));
		memset(shared->or +size, 0, (size_t)(SIZE - size));
	}
	shared->size = size;
	count();
	if (held)
		mapping_after_change(&c);
}

static void act_resize(void)
{
	map_it();
	stores();
	arm();
	resize(3 * PAGE + 7);
	store(3 * PAGE + 1, 'r');
	resize(6 * PAGE + 1);
	store(5 * PAGE, 's');
	resize(SIZE);
	ushm_unmap(p, SIZE);
}

static void act_exit(void)
{
	map_it();
	stores();
	arm();
	exit(0);
}

static void act_fork(void)
{
	pid_t pid;
	int status;

	map_it();
	stores();
	arm();
	pid = fork();
	if (pid == 0) {
		ushm_step_hook = NULL;
		ushm_call_hook = NULL;
		store(4 * PAGE, 'f');
		ushm_unmap(p, SIZE);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	/* It counts as well, from fork() on. */
	if (status && WTERMSIG(status) != SIGKILL)
		fail("the child", status, 0);
	ushm_unmap(p, SIZE);
}

static void commit(void)
{
	if (ushm_sync(p, SIZE, MS_SYNC | USHM_ATOMIC) < 0)
		fail("commit", 0, 0);
	memcpy(shared->want, shared->or, SIZE);
}

static void act_commit(void)
{
	shared->atomic = true;
	map_it();
	stores();
	arm();
	commit();
	store(PAGE, 'x');
	store(4 * PAGE, 'y');
	commit();
	store(7 * PAGE, 'z'); /* is never committed */
	ushm_unmap(p, SIZE);
}

static const struct scenario {
	const char *name;
	void (*act)(void);
} scenarios[] = {
	{ "map", act_map },	  { "sync", act_sync },
	{ "unmap", act_unmap },	  { "write", act_write },
	{ "resize", act_resize }, { "exit", act_exit },
	{ "fork", act_fork },	  { "commit", act_commit },
};

/* -------------------------------------------------------------- the check */

static void open_it(void)
{
	fd = open(path, O_RDWR);
	if (fd < 0) {
		fail("open", errno, 0);
		_exit(1);
	}
}

static bool is_object_left(void)
{
	struct sys_identity id;
	char name[100];

	if (sys_identity(fd, "", AT_EMPTY_PATH, &id) < 0)
		return true;
	snprintf(name, sizeof(name), "/dev/shm/ushm-file.%llx-%llx",
		 (unsigned long long)id.dev, (unsigned long long)id.ino);
	if (access(name, F_OK) == 0)
		return true;
	strcat(name, ".ctl");
	return access(name, F_OK) == 0;
}

static void compare(const unsigned char *got, const char *where)
{
	if (shared->atomic) {
		if (memcmp(got, shared->want, SIZE) != 0 &&
		    memcmp(got, shared->or, SIZE) != 0)
			fail("neither before nor after, in ", 0, 0);
		return;
	}
	for (long i = 0; i < shared->size; i++)
		if (got[i] != shared->want[i] && got[i] != shared->or [i]) {
			fail(where, i, got[i]);
			break;
		}
}

static void check(void)
{
	static unsigned char got[SIZE];
	struct stat st;

	open_it();
	map_it();
	fstat(fd, &st);
	if (st.st_size != shared->size && st.st_size != shared->or_size)
		fail("size", st.st_size, shared->size);
	else
		shared->size = st.st_size;
	compare((unsigned char *)p, "the mapping");
	ushm_unmap(p, SIZE);
	if (pread(fd, got, SIZE, 0) != shared->size)
		fail("short", shared->size, 0);
	compare(got, "the file");
	if (is_object_left())
		fail("an object is left", 0, 0);
}

/* -------------------------------------------------------------- playing */

static void remove_files(void)
{
	char journal[100];

	snprintf(journal, sizeof(journal), "%s" JOURNAL_SUFFIX, path);
	unlink(journal);
	unlink(path);
}

static void fresh(void)
{
	static char bytes[SIZE];
	int f;

	remove_files();
	f = open(path, O_RDWR | O_CREAT, 0644);
	for (long i = 0; i < SIZE; i++)
		bytes[i] = (char)('a' + i % 26);
	if (write(f, bytes, SIZE) != SIZE)
		exit(1);
	close(f);
	memcpy(shared->want, bytes, SIZE);
	memcpy(shared->or, bytes, SIZE);
	shared->size = shared->or_size = SIZE;
	shared->atomic = false;
	shared->go_on = shared->ready = 0;
}

/* True if it came through. */
static bool play(void (*act)(void), long at)
{
	int alive[2], status;
	pid_t pid;
	char c;

	if (pipe(alive) < 0)
		exit(1);
	pid = fork();
	if (pid == 0) {
		kill_at = at;
		open_it();
		act();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	/* Its own child may live on for a moment. */
	close(alive[1]);
	if (read(alive[0], &c, 1) != 0)
		fail("read", errno, 0);
	close(alive[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("ended otherwise", status, 0);
	return false;
}

static void run_check(long at)
{
	pid_t pid = fork();
	int status;

	kill_at = at;
	if (pid == 0) {
		alarm(20);
		check();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		fail("the check itself failed", status, 0);
}

/* Another process that has the file mapped, and looks at it in the end. */
static pid_t bystander(void)
{
	pid_t pid = fork();

	if (pid > 0) {
		while (!*(volatile int *)&shared->ready)
			usleep(50);
		return pid;
	}
	alarm(20);
	open_it();
	map_it();
	shared->ready = 1;
	while (!*(volatile int *)&shared->go_on)
		usleep(50);
	ushm_sync(p, SIZE, MS_SYNC);
	compare((unsigned char *)p, "the bystander's mapping");
	_exit(0);
}

static long run(const struct scenario *sc, bool beside)
{
	bool survived = false;
	long at;

	for (at = 1; !survived && at < 5000; at++) {
		pid_t pid = 0;
		int status;

		fresh();
		if (beside)
			pid = bystander();
		survived = play(sc->act, at);
		kill_at = at;
		if (beside) {
			shared->go_on = 1;
			waitpid(pid, &status, 0);
			if (status)
				fail("the bystander", status, 0);
		}
		run_check(at);
	}
	return at - 1;
}

static void act_settle(void)
{
	arm();
	map_it();
	ushm_unmap(p, SIZE);
}

static long run_twice(const struct scenario *sc)
{
	/* Commits flush, which takes its time. */
	long stride = sc->act == act_commit ? 13 : 3, cases = 0;
	bool survived = false, settled;

	for (long at = 1; !survived; at += stride) {
		settled = false;
		for (long again = 1; !settled; again += 2) {
			fresh();
			survived = play(sc->act, at);
			settled = play(act_settle, again);
			run_check(at * 1000 + again);
			cases++;
		}
	}
	return cases;
}

/* ------------------------------------------------------ every instruction */

#define MOST 65536

static const struct scenario *playing;

static void open_and_act(void)
{
	open_it();
	playing->act();
}

static void object_of(char ret[2][100])
{
	struct sys_identity id = { 0 };

	open_it();
	(void)sys_identity(fd, "", AT_EMPTY_PATH, &id);
	close(fd);
	for (int ctl = 0; ctl <= 1; ctl++)
		snprintf(ret[ctl], 100, "/dev/shm/ushm-file.%llx-%llx%s",
			 (unsigned long long)id.dev, (unsigned long long)id.ino,
			 ctl ? ".ctl" : "");
}

static long find_points(struct kills_point *ret)
{
	char names[2][100];

	fresh();
	object_of(names);
	{
		const struct kills_part parts[] = {
			{ names[0], 0, SIZE },
			{ names[1], 0, PAGE },
			{ names[1], PAGE, SIZE },
		};

		return kills_find(open_and_act, parts, 3, ret, MOST);
	}
}

/* -1 where no process can be stepped. */
static long run_instructions(const struct scenario *sc, long part)
{
	static struct kills_point points[MOST];
	long n, done = 0;

	playing = sc;
	n = find_points(points);
	if (n == -1)
		return -1;
	if (n < 10 || n >= MOST)
		fail("too many points", n, MOST);
	for (long i = (sc - scenarios) % part; i < n && i < MOST; i += part) {
		kill_at = i;
		fresh();
		(void)kills_at(open_and_act, &points[i]);
		run_check(i);
		done++;
	}
	printf("%-10s %ld points, %ld kills\n", sc->name, n, done);
	fflush(stdout);
	return done;
}

static int every_instruction(const char *only, long part)
{
	long total = 0, n;

	by_instruction = true;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		const struct scenario *sc = &scenarios[i];

		/* A child of it would not be stepped. */
		if ((only && strcmp(only, sc->name) != 0) ||
		    sc->act == act_fork)
			continue;
		scenario_name = sc->name;
		n = run_instructions(sc, part);
		if (n < 0)
			return 77;
		total += n;
	}
	remove_files();
	printf("%ld passed, %d failed\n", total - shared->failures,
	       shared->failures);
	return shared->failures != 0;
}

int main(int argc, char **argv)
{
	long part = 0, total = 0, n;
	const char *only;

	if (argc > 2 && strcmp(argv[1], "-i") == 0) {
		part = atol(argv[2]);
		argv += 2;
		argc -= 2;
	}
	only = argc > 1 ? argv[1] : NULL;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "/var/tmp/ushm-mapping-crash.%d",
		 (int)getpid());
	if (part > 0)
		return every_instruction(only, part);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		const struct scenario *sc = &scenarios[i];

		if (only && strcmp(only, sc->name) != 0)
			continue;
		scenario_name = sc->name;
		n = run(sc, false);
		total += n;
		printf("%-10s killed at %ld steps", sc->name, n);
		fflush(stdout);
		/* Another one sees what is not committed, too. */
		if (sc->act != act_commit) {
			n = run(sc, true);
			total += n;
			printf(", beside another %ld", n);
		}
		if (sc->act == act_sync || sc->act == act_write ||
		    sc->act == act_commit) {
			n = run_twice(sc);
			total += n;
			printf(", and its heir: %ld pairs", n);
		}
		printf("\n");
		fflush(stdout);
	}
	remove_files();
	printf("%ld passed, %d failed\n", total - shared->failures,
	       shared->failures);
	return shared->failures != 0;
}
