/* SPDX-License-Identifier: MIT */
/*
 * Mappings in processes that fork, end, close everything, and do many things
 * at once.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "filemap/scene.h"

/* ------------------------------------------------------------------- ends */

static void end_by_exit(void)
{
	exit(0);
}

static void end_by__exit(void)
{
	_exit(0);
}

static void end_by__Exit(void)
{
	_Exit(0);
}

static void end_by_quick_exit(void)
{
	quick_exit(0);
}

static void end_by_execv(void)
{
	char *argv[] = { (char *)"true", NULL };

	execv("/bin/true", argv);
	_exit(1);
}

static void end_by_execvp(void)
{
	char *argv[] = { (char *)"true", NULL };

	execvp("true", argv);
	_exit(1);
}

static void end_by_execl(void)
{
	execl("/bin/true", "true", "one", "two", (char *)NULL);
	_exit(1);
}

static void end_by_execlp(void)
{
	execlp("true", "true", (char *)NULL);
	_exit(1);
}

/* The environment comes behind the arguments. */
static void end_by_execle(void)
{
	char *envp[] = { (char *)"FILEMAP_TEST=1", NULL };

	execle("/bin/sh", "sh", "-c", "test \"$FILEMAP_TEST\" = 1",
	       (char *)NULL, envp);
	_exit(1);
}

extern char **environ;

static void end_by_execve(void)
{
	char *argv[] = { (char *)"true", NULL };

	execve("/bin/true", argv, environ);
	_exit(1);
}

static void end_by_fexecve(void)
{
	char *argv[] = { (char *)"true", NULL };

	fexecve(open("/bin/true", O_RDONLY | O_CLOEXEC), argv, environ);
	_exit(1);
}

#ifdef __GLIBC__
static void *leave(void *unused)
{
	(void)unused;
	return NULL;
}

/* The last thread ends the process. */
static void end_by_pthread_exit(void)
{
	pthread_t t;

	pthread_create(&t, NULL, leave, NULL);
	pthread_exit(NULL);
}
#endif

static const struct {
	const char *name;
	void (*run)(void);
} ends[] = {
	{ "exit", end_by_exit },
	{ "_exit", end_by__exit },
	{ "_Exit", end_by__Exit },
	{ "quick_exit", end_by_quick_exit },
	{ "execv", end_by_execv },
	{ "execvp", end_by_execvp },
	{ "execl", end_by_execl },
	{ "execlp", end_by_execlp },
	{ "execle", end_by_execle },
	{ "execve", end_by_execve },
	{ "fexecve", end_by_fexecve },
#ifdef __GLIBC__ /* the last one waits for ever in a child, with musl */
	{ "pthread_exit", end_by_pthread_exit },
#endif
};

CASE("end", what_an_ended_process_stored_is_in_the_file)
{
	static struct scene s;
	char name[64];
	int status;
	pid_t pid;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		NOTE("%s", ends[i].name);
		snprintf(name, sizeof(name), "end-%s", ends[i].name);
		pid = fork();
		REQUIRE(pid >= 0);
		if (pid == 0) {
			scene_make(&s, name, 4 * PAGE);
			scene_store(&s, 1000, PAGE, 'e');
			ends[i].run();
		}
		status = wait_status(pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

		if (child()) {
			scene_make(&s, "scratch", 4 * PAGE);
			strcpy(strrchr(s.path, '/') + 1, name);
			scene_expect(&s, 1000, PAGE, 'e');
			scene_stored(&s);
			child_exit();
		}
	}
}

/* A handler of the program's own, which libc calls before ours. */
static struct scene *late;

static void store_late(void)
{
	scene_store(late, 0, 10, 'l');
}

/* And what libraries do after that. */
static struct scene *latest;

__attribute__((destructor)) static void store_latest(void)
{
	if (latest)
		scene_store(latest, 20, 10, 'L');
}

CASE("end", handlers_and_destructors_may_still_store)
{
	static struct scene s;
	pid_t pid;

	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		scene_make(&s, "late", PAGE);
		late = latest = &s;
		atexit(store_late);
		exit(0);
	}
	CHECK_EQ(wait_status(pid), 0);
	if (child()) {
		scene_make(&s, "scratch", PAGE);
		strcpy(strrchr(s.path, '/') + 1, "late");
		scene_expect(&s, 0, 10, 'l');
		scene_expect(&s, 20, 10, 'L');
		scene_stored(&s);
		child_exit();
	}
}

CASE("end", what_a_killed_process_stored_is_found)
{
	static struct scene s;
	struct peer peer;

	scene_make(&s, "killed", 4 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	REQUIRE_OK(close(s.fd));
	if (peer_start(&peer)) {
		scene_join(&s);
		scene_store(&s, 1000, PAGE, 'k');
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	peer_kill(&peer);
	scene_expect(&s, 1000, PAGE, 'k');
	scene_join(&s);
	scene_check(&s);
	REQUIRE_OK(msync(s.map, ROOM, MS_SYNC));
	scene_stored(&s);
}

CASE("end", what_a_killed_process_stored_is_read)
{
	static struct scene s;
	struct peer peer;

	scene_need_no_filter();
	scene_make(&s, "killed-read", 4 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	REQUIRE_OK(close(s.fd));
	if (peer_start(&peer)) {
		scene_join(&s);
		scene_store(&s, 1000, PAGE, 'k');
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	peer_kill(&peer);
	scene_expect(&s, 1000, PAGE, 'k');
	scene_read(&s);
	scene_stored(&s);
}

/* ----------------------------------------------------------------- children */

CASE("fork", a_child_shares_the_mapping)
{
	static struct scene s;

	scene_make(&s, "fork", 4 * PAGE);
	scene_store(&s, 0, 10, 'p');
	if (child()) {
		scene_mapped(&s);
		scene_store(&s, 10, 10, 'c');
		CHECK_EQ(pwrite(s.fd, "written", 7, PAGE), 7);
		CHECK_OK(msync(s.map, PAGE, MS_SYNC));
		child_exit();
	}
	scene_expect(&s, 10, 10, 'c');
	memcpy(s.want + PAGE, "written", 7);
	scene_check(&s);

	/* The parent goes, the child stays. */
	REQUIRE_OK(munmap(s.map, ROOM));
	scene_join(&s);
	scene_check(&s);
}

CASE("fork", a_vfork_child_leaves_its_parent_alone)
{
	static struct scene s;
	char *argv[] = { (char *)"true", NULL };
	pid_t pid;

	scene_make(&s, "vfork", 4 * PAGE);
	scene_store(&s, 0, 10, 'v');
	pid = vfork();
	if (pid == 0)
		_exit(0);
	REQUIRE(pid > 0);
	CHECK_EQ(wait_status(pid), 0);
	pid = vfork();
	if (pid == 0) {
		execv("/bin/true", argv);
		_exit(1);
	}
	REQUIRE(pid > 0);
	CHECK_EQ(wait_status(pid), 0);
	REQUIRE(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0);
	CHECK_EQ(wait_status(pid), 0);
	scene_store(&s, 10, 10, 'w');
	scene_check(&s);
	scene_stored(&s);
}

/* ------------------------------------------------------------- descriptors */

static void close_by_loop(void)
{
	for (int fd = 3; fd < 4096; fd++)
		(void)close(fd);
}

static void close_over_by_dup2(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 3; fd < 1024; fd++)
		if (fd != null)
			(void)dup2(null, fd);
	for (int fd = 3; fd < 1024; fd++)
		(void)close(fd);
}

#ifdef CLOSE_RANGE_UNSHARE /* with glibc 2.34 */
static void close_by_closefrom(void)
{
	closefrom(3);
}

static void close_by_range(void)
{
	CHECK_OK(close_range(3, ~0u, 0));
}
#endif

static const struct {
	const char *name;
	void (*run)(void);
} closers[] = {
	{ "loop", close_by_loop },
	{ "dup2", close_over_by_dup2 },
#ifdef CLOSE_RANGE_UNSHARE /* with glibc 2.34 */
	{ "closefrom", close_by_closefrom },
	{ "close_range", close_by_range },
#endif
};

CASE("close", mappings_outlive_all_descriptors)
{
	static struct scene s;
	char name[64];

	for (size_t i = 0; i < sizeof(closers) / sizeof(closers[0]); i++) {
		NOTE("%s", closers[i].name);
		snprintf(name, sizeof(name), "close-%s", closers[i].name);
		if (child()) {
			scene_make(&s, name, 4 * PAGE);
			closers[i].run();
			scene_store(&s, 1000, PAGE, 'c');
			CHECK_OK(msync(s.map, ROOM, MS_SYNC));
			scene_stored(&s);
			scene_store(&s, 0, 100, 'd');
			scene_check(&s);
			CHECK_OK(munmap(s.map, ROOM));
			scene_stored(&s);
			child_exit();
		}
	}
}

CASE("close", the_next_descriptor_is_the_lowest)
{
	static struct scene s;
	int next;

	scene_make(&s, "lowest", PAGE);
	next = dup(s.fd);
	CHECK_EQ(next, s.fd + 1);
	CHECK_OK(close(next));
	if (child()) {
		CHECK_EQ(dup(s.fd), next);
		scene_store(&s, 0, 10, 'c');
		CHECK_OK(msync(s.map, PAGE, MS_SYNC));
		child_exit();
	}
	scene_expect(&s, 0, 10, 'c');
	scene_check(&s);
	CHECK_EQ(dup(s.fd), next);
}

static int lock(int fd, int type)
{
	struct flock l = { .l_type = (short)type, .l_whence = SEEK_SET };

	return fcntl(fd, F_SETLK, &l);
}

/* By whom is the file locked, as another process sees it? */
static bool is_locked(const char *path)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(path, O_RDWR);

		_exit(fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK);
	}
	status = wait_status(pid);
	return WEXITSTATUS(status) == 1;
}

CASE("lock", posix_locks_survive_what_is_done_with_mappings)
{
	static struct scene s;
	char *p;

	scene_make(&s, "locks", 2 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	REQUIRE_OK(lock(s.fd, F_WRLCK));
	for (int i = 0; i < 3; i++) {
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s.fd,
			 0);
		REQUIRE(p != MAP_FAILED);
		CHECK(is_locked(s.path));
		p[i] = 'x';
		s.want[i] = 'x';
		CHECK_OK(msync(p, PAGE, MS_SYNC));
		CHECK_EQ(pwrite(s.fd, "y", 1, 100 + i), 1);
		s.want[100 + i] = 'y';
		CHECK(is_locked(s.path));
		CHECK_OK(munmap(p, PAGE));
		CHECK(is_locked(s.path));
		CHECK_OK(truncate(s.path, 2 * PAGE));
		CHECK(is_locked(s.path));
	}
	/* Another description of the file drops them, as ever. */
	CHECK_OK(close(open(s.path, O_RDONLY)));
	CHECK(!is_locked(s.path));
	scene_join(&s);
	scene_check(&s);
}

CASE("lock", posix_locks_survive_calls_without_a_mapping)
{
	static struct scene s;
	struct peer peer;
	char c;

	scene_need_no_filter();
	scene_make(&s, "locks-beside", 2 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	if (peer_start(&peer)) {
		scene_join(&s);
		scene_store(&s, 10, 1, 'p');
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_EQ(s.map[0], 'w');
		child_exit();
	}
	peer_hear(&peer);
	REQUIRE_OK(lock(s.fd, F_WRLCK));
	CHECK_EQ(pread(s.fd, &c, 1, 10), 1);
	CHECK_EQ(c, 'p');
	CHECK(is_locked(s.path));
	CHECK_EQ(pwrite(s.fd, "w", 1, 0), 1);
	CHECK(is_locked(s.path));
	peer_say(&peer);
	peer_join(&peer);
	CHECK(is_locked(s.path));
	scene_expect(&s, 0, 1, 'w');
	scene_expect(&s, 10, 1, 'p');
	scene_join(&s);
	scene_check(&s);
}

/* ------------------------------------------------------------ all at once */

static struct scene *busy;
static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	char c = (char)('A' + ticks % 26);

	(void)sig;
	if (pwrite(busy->fd, &c, 1, PAGE) == 1)
		ticks++;
}

CASE("busy", signal_handlers_write_while_msync_runs)
{
	static struct scene s;
	struct itimerval often = { { 0, 700 }, { 0, 700 } }, never = { 0 };

	scene_make(&s, "signals", 4 * PAGE);
	busy = &s;
	signal(SIGALRM, on_tick);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 100000 && ticks < 200; i++) {
		s.map[0] = (char)i;
		CHECK_OK(msync(s.map, ROOM, MS_SYNC));
	}
	setitimer(ITIMER_REAL, &never, NULL);
	CHECK(ticks >= 200);
	s.want[0] = s.map[0];
	s.want[PAGE] = (char)('A' + (ticks - 1) % 26);
	scene_check(&s);
}

#define THREADS 4
#define ROUNDS	200

static void *hurry(void *arg)
{
	size_t me = (size_t)(uintptr_t)arg;
	char *p;

	for (int i = 0; i < ROUNDS; i++) {
		char c = (char)('a' + i % 26), got;

		busy->map[me * PAGE] = c;
		CHECK_EQ(pwrite(busy->fd, &c, 1, (off_t)(me * PAGE + 100)), 1);
		CHECK_EQ(busy->map[me * PAGE + 100], c);
		CHECK_EQ(pread(busy->fd, &got, 1, (off_t)(me * PAGE)), 1);
		CHECK_EQ(got, c);
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 busy->fd, (off_t)(me * PAGE));
		REQUIRE(p != MAP_FAILED);
		CHECK_EQ(p[100], c);
		p[200] = c;
		CHECK_OK(munmap(p, PAGE));
		CHECK_EQ(busy->map[me * PAGE + 200], c);
	}
	return NULL;
}

CASE("busy", threads_and_processes_at_once)
{
	static struct scene s;
	struct peer peer;
	pthread_t t[THREADS];
	char last = (char)('a' + (ROUNDS - 1) % 26);

	scene_make(&s, "threads", 2 * THREADS * PAGE);
	busy = &s;
	if (peer_start(&peer)) {
		scene_join(&s);
		for (size_t i = 0; i < THREADS; i++)
			(void)hurry((void *)(THREADS + i));
		peer_say(&peer);
		child_exit();
	}
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&t[i], NULL, hurry, (void *)i) == 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	peer_hear(&peer);
	peer_join(&peer);
	for (size_t i = 0; i < 2 * THREADS; i++) {
		s.want[i * PAGE] = last;
		s.want[i * PAGE + 100] = last;
		s.want[i * PAGE + 200] = last;
	}
	scene_check(&s);
	REQUIRE_OK(munmap(s.map, ROOM));
	scene_stored(&s);
}

static void *blocked_read(void *arg)
{
	char c;

	(void)!read(*(int *)arg, &c, 1);
	return NULL;
}

/* With a file of ours in the process, calls on others are what they were. */
CASE("busy", calls_on_other_files_are_cancelled)
{
	static struct scene s;
	pthread_t t;
	int pipe_ends[2];
	void *result;

	scene_make(&s, "cancel", PAGE);
	REQUIRE_OK(pipe(pipe_ends));
	REQUIRE(pthread_create(&t, NULL, blocked_read, &pipe_ends[0]) == 0);
	REQUIRE(pthread_cancel(t) == 0);
	REQUIRE(pthread_join(t, &result) == 0);
	CHECK_PTR(result, PTHREAD_CANCELED);
	scene_check(&s);
}

/* ----------------------------------------------------------------- streams */

CASE("stream", streams_see_and_are_seen_when_flushed)
{
	static struct scene s;
	char buf[16] = "";
	FILE *f;

	scene_make(&s, "stream", 2 * PAGE);
	scene_store(&s, 0, 10, 's');
	f = fopen(s.path, "r+");
	REQUIRE(f != NULL);
	CHECK_EQ(fread(buf, 1, 10, f), 10);
	CHECK(memcmp(buf, s.want, 10) == 0);
	CHECK_OK(fseek(f, PAGE, SEEK_SET));
	CHECK_EQ(fwrite("flushed", 1, 7, f), 7);
	scene_store(&s, PAGE + 100, 10, 't');
	CHECK_OK(fflush(f));
	memcpy(s.want + PAGE, "flushed", 7);
	scene_mapped(&s);
	CHECK_EQ(fwrite("closed", 1, 6, f), 6);
	scene_store(&s, PAGE + 200, 10, 'u');
	CHECK_OK(fclose(f));
	memcpy(s.want + PAGE + 7, "closed", 6);
	scene_check(&s);
}
