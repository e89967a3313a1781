/* SPDX-License-Identifier: MIT */
/*
 * Attaches and the lives of processes: fork, vfork, exec, exit, kill, threads;
 * and what each event writes into which field of a segment.
 */
#include "conformance.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>

extern char **environ;

/* ------------------------------------------------------------------ fork */

CASE("C84", child_inherits_every_attach_at_its_address)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0), *r = attach(id, SHM_RDONLY);

	p[0] = 1;
	if (child()) {
		CHECK_EQ(nattch_of(id), 4);
		CHECK_EQ(p[0], 1);
		CHECK_EQ(r[0], 1);
		CHECK_EQ(touch_write(r), FAULT(SIGSEGV, SEGV_ACCERR));
		p[0] = 2;
		child_exit();
	}
	CHECK_EQ(p[0], 2);
	CHECK_EQ(nattch_of(id), 2);
	detach(p);
	detach(r);
	destroy(id);
}

CASE("C84 C87", count_follows_each_child_exactly)
{
	enum { N = 8 };
	struct peer peers[N];
	int id = make(4096, 0600), i;
	char *p = attach(id, 0);

	for (i = 0; i < N; i++) {
		if (peer_start(&peers[i])) {
			peer_hear(&peers[i]);
			child_exit();
		}
		CHECK_EQ(nattch_of(id), i + 2);
	}
	for (i = 0; i < N; i++) {
		if (i % 2) {
			peer_kill(&peers[i]);
		} else {
			peer_say(&peers[i]);
			peer_join(&peers[i]);
		}
		CHECK_EQ(nattch_of(id), N - i);
	}
	detach(p);
	destroy(id);
}

CASE("C84", child_counts_at_once_when_fork_returns)
{
	int id = make(4096, 0600), i;
	char *p = attach(id, 0);

	for (i = 0; i < 50; i++) {
		pid_t pid = fork();

		REQUIRE(pid >= 0);
		if (pid == 0) {
			pause();
			_exit(0);
		}
		CHECK_EQ(nattch_of(id), 2);
		kill(pid, SIGKILL);
		wait_status(pid);
		CHECK_EQ(nattch_of(id), 1);
	}
	detach(p);
	destroy(id);
}

CASE("C84", child_detaches_its_own_attach_only)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	struct peer peer;

	if (peer_start(&peer)) {
		CHECK_OK(shmdt(p));
		CHECK_ERRNO(shmdt(p), EINVAL);
		CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
		peer_say(&peer);
		peer_hear(&peer);
		child_exit();
	}
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p), 0);
	peer_say(&peer);
	peer_join(&peer);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C84", parent_detaches_and_the_child_keeps_its_own)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	struct peer peer;

	if (peer_start(&peer)) {
		peer_hear(&peer);
		CHECK_EQ(nattch_of(id), 1);
		CHECK_EQ(touch_write(p), 0);
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 0);
		child_exit();
	}
	detach(p);
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	peer_join(&peer);
	destroy(id);
}

CASE("C84 C87", grandchild_keeps_what_its_dead_parent_handed_down)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	struct peer peer;
	pid_t pid;

	if (peer_start(&peer)) {
		pid = fork();
		REQUIRE(pid >= 0);
		if (pid > 0)
			child_exit();
		peer_hear(&peer);
		CHECK_EQ(nattch_of(id), 2);
		CHECK_EQ(touch_write(p), 0);
		CHECK_OK(shmdt(p));
		peer_say(&peer);
		peer_hear(&peer);
		child_exit();
	}
	join(peer.pid);
	CHECK_EQ(nattch_of(id), 2);
	peer_say(&peer);
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	detach(p);
	destroy(id);
}

CASE("C84", range_not_to_be_forked_is_not_the_childs)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0), *q = attach(id, 0);

	CHECK_OK(madvise(p, page, MADV_DONTFORK));
	if (child()) {
		CHECK_EQ(nattch_of(id), 3);
		CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
		CHECK_EQ(touch_read(q), 0);
		CHECK_ERRNO(shmdt(p), EINVAL);
		CHECK_OK(shmdt(q));
		child_exit();
	}
	CHECK_EQ(nattch_of(id), 2);
	detach(p);
	detach(q);
	destroy(id);
}

CASE("C84", parts_left_of_an_attach_are_inherited)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0);

	REQUIRE_OK(munmap(p + page, page));
	if (child()) {
		CHECK_EQ(nattch_of(id), 4);
		CHECK_EQ(touch_write(p + 2 * page), 0);
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 2);
		child_exit();
	}
	CHECK_EQ(nattch_of(id), 2);
	detach(p);
	destroy(id);
}

/* A fork that the C library does not see. */
static pid_t raw_fork(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

CASE("C84", child_of_a_bare_clone_counts_when_it_calls)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	pid_t pid = raw_fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		CHECK_EQ(nattch_of(id), 2);
		CHECK_EQ(touch_write(p), 0);
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 1);
		child_exit();
	}
	join(pid);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C84", child_of_a_bare_clone_counts_before_it_calls)
{
	int id = make(4096, 0600), fd[2];
	char *p = attach(id, 0), c;
	pid_t pid;

	REQUIRE_OK(pipe(fd));
	pid = raw_fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		close(fd[1]);
		_exit(read(fd[0], &c, 1) != 0);
	}
	CHECK_EQ(nattch_of(id), 2);
	close(fd[1]);
	join(pid);
	detach(p);
	destroy(id);
}

/* ------------------------------------------------------ vfork, exec, spawn */

/* Attach the segment argv[1] and tell its nattch as exit status. */
PROGRAM(attacher)
{
	int id = atoi(argv[1]);
	struct shmid_ds ds;

	if (argc < 2 || shmat(id, NULL, 0) == FAILED_ATTACH)
		return 100;
	return shmctl(id, IPC_STAT, &ds) < 0 ? 101 : (int)ds.shm_nattch;
}

/* Say a byte on descriptor argv[1] and wait for one. */
PROGRAM(talker)
{
	int fd = atoi(argv[1]);
	char c = '!';

	return argc < 2 || write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1;
}

static char *text(char *buf, int n)
{
	sprintf(buf, "%d", n);
	return buf;
}

CASE("C86", exec_detaches_everything)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0), number[16];
	struct peer peer;

	if (peer_start(&peer)) {
		attach(id, 0);
		CHECK_EQ(nattch_of(id), 3);
		fcntl(peer.fd, F_SETFD, 0);
		check_exec("talker", text(number, peer.fd), NULL);
		_exit(9);
	}
	peer_hear(&peer); /* the new image lives */
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	peer_join(&peer);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C86", new_image_may_attach_again)
{
	int id = make(4096, 0600), status;
	char number[16];
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		attach(id, 0);
		attach(id, 0);
		check_exec("attacher", text(number, id), NULL);
		_exit(99);
	}
	status = wait_status(pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 1);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C86", exec_destroys_a_removed_segment)
{
	char number[16];
	struct peer peer;
	int id = make(4096, 0600);

	if (peer_start(&peer)) {
		attach(id, 0);
		destroy(id);
		peer_say(&peer);
		peer_hear(&peer);
		fcntl(peer.fd, F_SETFD, 0);
		check_exec("talker", text(number, peer.fd), NULL);
		_exit(9);
	}
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	peer_hear(&peer);
	CHECK(!exists(id));
	peer_say(&peer);
	peer_join(&peer);
}

CASE("C86", failed_exec_changes_nothing)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	struct shmid_ds before = stat_of(id), after;

	CHECK_ERRNO(execl("/nonexistent/program", "program", (char *)NULL),
		    ENOENT);
	after = stat_of(id);
	CHECK_EQ(after.shm_nattch, 1);
	CHECK_EQ(after.shm_lpid, before.shm_lpid);
	CHECK_EQ(after.shm_dtime, 0);
	CHECK_EQ(touch_write(p), 0);
	detach(p);
	destroy(id);
}

CASE("C85", vfork_child_that_exits_changes_nothing)
{
	int id = make(4096, 0600), i;
	char *p = attach(id, 0);
	struct shmid_ds before = stat_of(id), after;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		pid = vfork();
		REQUIRE(pid >= 0);
		if (pid == 0)
			_exit(0);
		wait_status(pid);
		after = stat_of(id);
		CHECK_EQ(after.shm_nattch, 1);
		CHECK_EQ(after.shm_lpid, before.shm_lpid);
		CHECK_EQ(after.shm_dtime, 0);
	}
	CHECK_EQ(touch_write(p), 0);
	detach(p);
	destroy(id);
}

CASE("C85", vfork_and_exec_change_nothing)
{
	int id = make(4096, 0600), fd[2], i;
	char *p = attach(id, 0), number[16], c;
	char *argv[] = CHECK_ARGV("talker", number, NULL);
	struct shmid_ds ds;
	pid_t pid;

	for (i = 0; i < 5; i++) {
		REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
		text(number, fd[1]);
		pid = vfork();
		REQUIRE(pid >= 0);
		if (pid == 0) {
			execv(check_self(), argv);
			_exit(9);
		}
		close(fd[1]);
		REQUIRE(read(fd[0], &c, 1) == 1);
		ds = stat_of(id);
		CHECK_EQ(ds.shm_nattch, 1);
		CHECK_EQ(ds.shm_lpid, getpid());
		CHECK_EQ(ds.shm_dtime, 0);
		REQUIRE(write(fd[0], &c, 1) == 1);
		join(pid);
		CHECK_EQ(nattch_of(id), 1);
		CHECK_EQ(touch_write(p), 0);
		close(fd[0]);
	}
	detach(p);
	destroy(id);
}

CASE("C85", posix_spawn_changes_nothing)
{
	int id = make(4096, 0600), fd[2];
	char *p = attach(id, 0), number[16], c;
	char *argv[] = CHECK_ARGV("talker", number, NULL);
	struct shmid_ds ds;
	pid_t pid;

	REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	text(number, fd[1]);
	REQUIRE(posix_spawn(&pid, check_self(), NULL, NULL, argv, environ) ==
		0);
	close(fd[1]);
	REQUIRE(read(fd[0], &c, 1) == 1);
	ds = stat_of(id);
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_EQ(ds.shm_dtime, 0);
	REQUIRE(write(fd[0], &c, 1) == 1);
	join(pid);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C85", system_and_popen_change_nothing)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0), line[16];
	FILE *f;

	CHECK_EQ(system("true"), 0);
	CHECK_EQ(nattch_of(id), 1);
	f = popen("echo hello", "r");
	REQUIRE(f);
	CHECK_EQ(nattch_of(id), 1);
	CHECK(fgets(line, sizeof(line), f));
	CHECK_EQ(pclose(f), 0);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

/* ----------------------------------------------------------------- death */

static void die_return(void)
{
	exit(0);
}

static void die_exit(void)
{
	_exit(3);
}

static void die_quick(void)
{
	quick_exit(0);
}

static void die_abort(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void die_kill(void)
{
	raise(SIGKILL);
}

static void die_term(void)
{
	raise(SIGTERM);
}

static void die_segv(void)
{
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)page_with(PROT_NONE) = 1;
}

static void *die_in_thread_body(void *arg)
{
	(void)arg;
	_exit(0);
}

static void die_in_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, die_in_thread_body, NULL);
	pause();
}

static void die_last_thread(void)
{
	pthread_exit(NULL);
}

static const struct {
	const char *why;
	void (*die)(void);
} deaths[] = {
	{ "exit", die_return },
	{ "_exit", die_exit },
	{ "quick_exit", die_quick },
	{ "abort", die_abort },
	{ "SIGKILL", die_kill },
	{ "SIGTERM", die_term },
	{ "SIGSEGV", die_segv },
	{ "_exit of another thread", die_in_thread },
	{ "pthread_exit of the last thread", die_last_thread },
};

CASE("C87", every_death_detaches_before_wait_returns)
{
	struct rlimit no_core = { 0, 0 };
	int id = make(4096, 0600);
	struct shmid_ds ds;
	time_t before;
	size_t i;
	pid_t pid;

	setrlimit(RLIMIT_CORE, &no_core);
	for (i = 0; i < LEN(deaths); i++) {
		NOTE("%s", deaths[i].why);
		before = now();
		pid = fork();
		REQUIRE(pid >= 0);
		if (pid == 0) {
			attach(id, 0);
			attach(id, SHM_RDONLY);
			CHECK_EQ(nattch_of(id), 2);
			deaths[i].die();
			_exit(9);
		}
		wait_status(pid);
		ds = stat_of(id);
		CHECK_EQ(ds.shm_nattch, 0);
		CHECK_EQ(ds.shm_lpid, pid);
		CHECK_STAMP(ds.shm_dtime, before);
	}
	destroy(id);
}

CASE("C77 C87", every_death_destroys_a_removed_segment)
{
	struct rlimit no_core = { 0, 0 };
	struct shm_info info;
	size_t i;
	pid_t pid;
	int id;

	setrlimit(RLIMIT_CORE, &no_core);
	for (i = 0; i < LEN(deaths); i++) {
		NOTE("%s", deaths[i].why);
		id = make(4096, 0600);
		pid = fork();
		REQUIRE(pid >= 0);
		if (pid == 0) {
			attach(id, 0);
			destroy(id);
			deaths[i].die();
			_exit(9);
		}
		wait_status(pid);
		CHECK(!exists(id));
		CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
		CHECK_EQ(info.used_ids, 0);
	}
}

CASE("C87", zombie_holds_nothing)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	siginfo_t info;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		_exit(0);
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	CHECK_EQ(nattch_of(id), 1);
	wait_status(pid);
	detach(p);
	destroy(id);
}

CASE("C87", killed_crowd_leaves_nothing)
{
	enum { N = 30 };
	struct peer peers[N];
	int id = make(4096, 0600), i;

	for (i = 0; i < N; i++) {
		if (peer_start(&peers[i])) {
			attach(id, 0);
			attach(id, 0);
			peer_say(&peers[i]);
			pause();
			child_exit();
		}
	}
	for (i = 0; i < N; i++)
		peer_hear(&peers[i]);
	CHECK_EQ(nattch_of(id), 2 * N);

	for (i = 0; i < N; i++)
		kill(peers[i].pid, SIGKILL);
	for (i = 0; i < N; i++)
		wait_status(peers[i].pid);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

/* More than any call looks at by the way: the first answer must be exact. */
CASE("C87", hundreds_killed_at_once_leave_nothing)
{
	enum { N = 500 };
	int id = make(4096, 0600), i;
	pid_t pids[N];
	char *p = attach(id, 0);

	for (i = 0; i < N; i++) {
		pids[i] = fork();
		REQUIRE(pids[i] >= 0);
		if (pids[i] == 0) {
			attach(id, 0);
			*(volatile char *)p = 1;
			pause();
			_exit(0);
		}
		while (!*(volatile char *)p)
			sched_yield();
		*p = 0;
	}
	CHECK_EQ(nattch_of(id), 2 * N + 1);
	for (i = 0; i < N; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < N; i++)
		wait_status(pids[i]);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C87", death_in_the_midst_of_calls_leaves_nothing)
{
	enum { N = 40 };
	int id = make(4096, 0600), i, j;
	struct peer peer;

	for (i = 0; i < N; i++) {
		if (peer_start(&peer)) {
			for (;;) {
				char *p = attach(id, 0);

				peer_say(&peer);
				detach(attach(id, SHM_RDONLY));
				detach(p);
			}
		}
		for (j = 0; j <= i % 7; j++)
			peer_hear(&peer);
		peer_kill(&peer);
		CHECK_EQ(nattch_of(id), 0);
	}
	destroy(id);
}

CASE("C84", failed_fork_changes_nothing)
{
	struct rlimit limit;
	int id = make(4096, 0644);
	char *p = attach(id, 0);
	pid_t pid;

	if (child()) {
		CHECK_EQ(nattch_of(id), 2);
		REQUIRE_OK(getrlimit(RLIMIT_NPROC, &limit));
		limit.rlim_cur = 0;
		REQUIRE_OK(setrlimit(RLIMIT_NPROC, &limit));
		if (geteuid() == 0)
			REQUIRE_OK(
				setresuid(OTHER_USER, OTHER_USER, OTHER_USER));

		CHECK_ERRNO(pid = fork(), EAGAIN);
		if (pid == 0)
			_exit(0);
		CHECK_EQ(nattch_of(id), 2);
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 1);
		child_exit();
	}
	detach(p);
	destroy(id);
}

CASE("C88", child_alone_keeps_a_removed_segment_alive)
{
	int id = make(4096, 0600);
	struct peer outer, inner;

	/* outer makes the attach, inner inherits it, outer dies. */
	if (peer_start(&outer)) {
		char *p = attach(id, 0);

		strcpy(p, "inherited");
		if (peer_start(&inner)) {
			peer_hear(&outer);
			CHECK_EQ(nattch_of(id), 1);
			CHECK(strcmp(p, "inherited") == 0);
			peer_say(&outer);
			peer_hear(&outer);
			child_exit();
		}
		destroy(id);
		child_exit();
	}
	join(outer.pid);
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&outer);
	peer_hear(&outer);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_DEST | 0600);

	/* Its death ends the conversation, then it is gone. */
	peer_say(&outer);
	while (exists(id))
		sched_yield();
}

CASE("C89", segment_outlives_every_process_that_knew_it)
{
	int id;

	if (child()) {
		char *p = attach(make_key(4096, 0600), 0);

		strcpy(p, "left behind");
		child_exit();
	}
	id = shmget(KEY, 0, 0);
	REQUIRE_OK(id);
	CHECK_EQ(nattch_of(id), 0);
	if (child()) {
		char *p = attach(id, SHM_RDONLY);

		CHECK(strcmp(p, "left behind") == 0);
		child_exit();
	}
	destroy(id);
}

/* --------------------------------------------------------------- threads */

static void *attach_body(void *id)
{
	return shmat(*(int *)id, NULL, 0);
}

static void *detach_body(void *p)
{
	CHECK_OK(shmdt(p));
	return NULL;
}

static void *in_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;
	void *result;

	REQUIRE(pthread_create(&thread, NULL, body, arg) == 0);
	REQUIRE(pthread_join(thread, &result) == 0);
	return result;
}

CASE("C61 C85", attach_belongs_to_the_process_not_the_thread)
{
	int id = make(4096, 0600);
	char *p = in_thread(attach_body, &id);

	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(stat_of(id).shm_lpid, getpid());
	CHECK_EQ(touch_write(p), 0);
	in_thread(detach_body, p);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C61", attach_of_a_first_thread_that_is_gone_still_counts)
{
	struct peer peer;
	int id, ids[2];

	REQUIRE_OK(pipe(ids));
	if (peer_start(&peer)) {
		REQUIRE(read(ids[0], &id, sizeof(id)) == sizeof(id));
		/* The first call of this process is a thread's. */
		in_thread(attach_body, &id);
		peer_say(&peer);
		peer_hear(&peer);
		child_exit();
	}

	id = make(4096, 0600);
	REQUIRE(write(ids[1], &id, sizeof(id)) == sizeof(id));
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	peer_join(&peer);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

static struct peer main_gone_peer;

/* Is the thread that main() ran in a zombie? */
static bool main_gone(void)
{
	char buf[512], *s;
	ssize_t n;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	REQUIRE_OK(fd);
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	REQUIRE(n > 0);
	buf[n] = 0;
	s = strrchr(buf, ')');
	return s && s[2] == 'Z';
}

static void *main_gone_body(void *arg)
{
	(void)arg;
	while (!main_gone())
		sched_yield();
	peer_say(&main_gone_peer);
	peer_hear(&main_gone_peer);
	_exit(0);
}

CASE("C61", attach_counts_after_the_main_thread_has_exited)
{
	int id = make(4096, 0600);
	struct peer peer;
	pthread_t thread;

	if (peer_start(&peer)) {
		attach(id, 0);
		main_gone_peer = peer;
		REQUIRE(pthread_create(&thread, NULL, main_gone_body, NULL) ==
			0);
		pthread_exit(NULL);
	}
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	peer_join(&peer);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

static void *fork_body(void *arg)
{
	int id = *(int *)arg;

	if (child()) {
		CHECK_EQ(nattch_of(id), 2);
		child_exit();
	}
	return NULL;
}

CASE("C84", fork_in_a_thread_counts_like_any_other)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);

	in_thread(fork_body, &id);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

static void *exec_body(void *arg)
{
	char number[16];

	check_exec("talker", text(number, *(int *)arg), NULL);
	_exit(9);
}

CASE("C86", exec_in_a_thread_detaches_everything)
{
	int id = make(4096, 0600);
	struct peer peer;

	if (peer_start(&peer)) {
		attach(id, 0);
		fcntl(peer.fd, F_SETFD, 0);
		in_thread(exec_body, &peer.fd);
		_exit(9);
	}
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 0);
	peer_say(&peer);
	peer_join(&peer);
	destroy(id);
}

static void *pause_body(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

CASE("C87", killed_process_of_many_threads_leaves_nothing)
{
	int id = make(4096, 0600), i;
	pthread_t thread;
	struct peer peer;

	if (peer_start(&peer)) {
		for (i = 0; i < 4; i++) {
			in_thread(attach_body, &id);
			pthread_create(&thread, NULL, pause_body, NULL);
		}
		peer_say(&peer);
		pause();
		child_exit();
	}
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 4);
	peer_kill(&peer);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

static int shared_memory_body(void *arg)
{
	return shmat(*(int *)arg, NULL, 0) == FAILED_ATTACH;
}

CASE("C85", attach_of_a_process_that_shares_our_memory_is_ours)
{
	static char stack[65536] __attribute__((aligned(16)));
	int id = make(4096, 0600), before, after;
	pid_t pid;

	before = (int)nattch_of(id);
	pid = clone(shared_memory_body, stack + sizeof(stack),
		    CLONE_VM | SIGCHLD, &id);
	REQUIRE_OK(pid);
	join(pid);
	after = (int)nattch_of(id);
	CHECK_EQ(before, 0);
	CHECK_EQ(after, 1);
	destroy(id);
}

/* ------------------------------------------------------------- hard times */

CASE("C90", closing_every_descriptor_changes_nothing)
{
	int id = make(4096, 0600), fd;
	char *p = attach(id, 0), *q;

	if (child()) {
		for (fd = 0; fd < 1024; fd++)
			close(fd);
		CHECK_EQ(touch_write(p), 0);
		CHECK_EQ(nattch_of(id), 2);
		q = attach(id, 0);
		CHECK_EQ(nattch_of(id), 3);
		CHECK_OK(shmdt(q));
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 1);
		if (child()) {
			q = attach(id, 0);
			CHECK_EQ(nattch_of(id), 2);
			child_exit();
		}
		child_exit();
	}
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C90", daemon_keeps_its_attaches)
{
	int id = make(4096, 0600);
	struct peer peer;
	char *p;

	if (peer_start(&peer)) {
		p = attach(id, 0);
		if (fork() != 0)
			_exit(0);
		setsid();
		if (fork() != 0)
			_exit(0);
		CHECK_OK(chdir("/"));
		CHECK_EQ(touch_write(p), 0);
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_OK(shmdt(p));
		peer_say(&peer);
		child_exit();
	}
	join(peer.pid);
	peer_hear(&peer);
	while (nattch_of(id) > 1) /* the one between may still be dying */
		sched_yield();
	CHECK_EQ(nattch_of(id), 1);
	peer_say(&peer);
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

/* ---------------------------------------------------------- field by field */

/* What an event is done to: a segment and what prepare() made of it. */
struct scene {
	int id;
	char *p;   /* attached, when the row says so */
	pid_t pid; /* a child, made by prepare() */
	int fd;	   /* a socket to it */
};

enum { A = 1, D = 2, C = 4 }; /* stamps: atime, dtime, ctime */

static void start_child(struct scene *s, void (*body)(struct scene *s))
{
	int fd[2];
	char c;

	REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	s->pid = fork();
	REQUIRE(s->pid >= 0);
	if (s->pid == 0) {
		close(fd[0]);
		s->fd = fd[1];
		REQUIRE(read(s->fd, &c, 1) == 1);
		body(s);
		_exit(0);
	}
	close(fd[1]);
	s->fd = fd[0];
}

static void body_exit(struct scene *s)
{
	(void)s;
}

static void body_kill(struct scene *s)
{
	(void)s;
	raise(SIGKILL);
}

static void body_segv(struct scene *s)
{
	(void)s;
	die_segv();
}

static void body_exec(struct scene *s)
{
	char number[16];

	check_exec("talker", text(number, s->fd), NULL);
}

static void prepare_exit(struct scene *s)
{
	start_child(s, body_exit);
}

static void prepare_kill(struct scene *s)
{
	start_child(s, body_kill);
}

static void prepare_segv(struct scene *s)
{
	struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	start_child(s, body_segv);
}

static void prepare_exec(struct scene *s)
{
	start_child(s, body_exec);
}

/* Each event returns the pid that lpid should then be, or 0: unchanged. */

static pid_t ev_attach(struct scene *s)
{
	s->p = attach(s->id, 0);
	return getpid();
}

static pid_t ev_attach_fails(struct scene *s)
{
	CHECK_ERRNO(shmat(s->id, page_with(PROT_READ), 0), EINVAL);
	return 0;
}

static pid_t ev_detach(struct scene *s)
{
	detach(s->p);
	return getpid();
}

static pid_t ev_detach_fails(struct scene *s)
{
	CHECK_ERRNO(shmdt(s->p + 1), EINVAL);
	CHECK_ERRNO(shmdt(s->p + page_size()), EINVAL);
	return 0;
}

static pid_t ev_unmap_all(struct scene *s)
{
	CHECK_OK(munmap(s->p, 3 * page_size()));
	return getpid();
}

static pid_t ev_unmap_tail(struct scene *s)
{
	CHECK_OK(munmap(s->p + 2 * page_size(), page_size()));
	return getpid();
}

static pid_t ev_unmap_middle(struct scene *s)
{
	CHECK_OK(munmap(s->p + page_size(), page_size()));
	return getpid();
}

static pid_t ev_protect_middle(struct scene *s)
{
	CHECK_OK(mprotect(s->p + page_size(), page_size(), PROT_READ));
	return getpid();
}

static pid_t ev_protect_all(struct scene *s)
{
	CHECK_OK(mprotect(s->p, 3 * page_size(), PROT_READ));
	return 0;
}

static pid_t ev_move(struct scene *s)
{
	size_t size = 3 * page_size();
	char *to = hole(3);

	CHECK_PTR(mremap(s->p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to),
		  to);
	s->p = to;
	return getpid();
}

static pid_t ev_fork(struct scene *s)
{
	start_child(s, body_exit);
	return getpid();
}

static pid_t ev_vfork(struct scene *s)
{
	pid_t pid = vfork();

	(void)s;
	REQUIRE(pid >= 0);
	if (pid == 0)
		_exit(0);
	wait_status(pid);
	return 0;
}

static void *no_body(void *arg)
{
	return arg;
}

static pid_t ev_thread(struct scene *s)
{
	in_thread(no_body, s);
	return 0;
}

static pid_t ev_child_dies(struct scene *s)
{
	pid_t pid = s->pid;

	REQUIRE(write(s->fd, "!", 1) == 1);
	wait_status(pid);
	s->pid = 0;
	return pid;
}

static pid_t ev_child_execs(struct scene *s)
{
	char c;

	REQUIRE(write(s->fd, "!", 1) == 1);
	REQUIRE(read(s->fd, &c, 1) == 1);
	return s->pid;
}

static pid_t ev_exec_fails(struct scene *s)
{
	(void)s;
	execl("/nonexistent", "nonexistent", (char *)NULL);
	return 0;
}

static pid_t ev_set(struct scene *s)
{
	struct shmid_ds ds = stat_of(s->id);

	CHECK_OK(shmctl(s->id, IPC_SET, &ds)); /* to what it is */
	return 0;
}

static pid_t ev_remove(struct scene *s)
{
	destroy(s->id);
	destroy(s->id);
	return 0;
}

static pid_t ev_lock(struct scene *s)
{
	CHECK_OK(shmctl(s->id, SHM_LOCK, NULL));
	return 0;
}

static pid_t ev_unlock(struct scene *s)
{
	CHECK_OK(shmctl(s->id, SHM_UNLOCK, NULL));
	return 0;
}

static pid_t ev_look(struct scene *s)
{
	struct shmid_ds ds;

	stat_of(s->id);
	CHECK_OK(shmctl(index_of(s->id), SHM_STAT, &ds));
	CHECK_OK(shmctl(index_of(s->id), SHM_STAT_ANY, &ds));
	CHECK_EQ(shmget(ds.shm_perm.__key, 0, 0), s->id);
	CHECK_ERRNO(shmget(ds.shm_perm.__key, (size_t)-1, 0), EINVAL);
	return 0;
}

static pid_t ev_write(struct scene *s)
{
	memset(s->p, 1, 3 * page_size());
	return 0;
}

struct row {
	const char *why;
	bool attached; /* beforehand */
	void (*prepare)(struct scene *s);
	pid_t (*event)(struct scene *s);
	int delta;  /* of nattch */
	int stamps; /* A, D, C */
};

static const struct row plain_rows[] = {
	{ "shmat", false, NULL, ev_attach, 1, A },
	{ "second shmat", true, NULL, ev_attach, 1, A },
	{ "failed shmat", false, NULL, ev_attach_fails, 0, 0 },
	{ "shmdt", true, NULL, ev_detach, -1, D },
	{ "failed shmdt", true, NULL, ev_detach_fails, 0, 0 },
	{ "munmap of it all", true, NULL, ev_unmap_all, -1, D },
	{ "fork", true, NULL, ev_fork, 1, A },
	{ "vfork", true, NULL, ev_vfork, 0, 0 },
	{ "thread", true, NULL, ev_thread, 0, 0 },
	{ "exit of a child", true, prepare_exit, ev_child_dies, -1, D },
	{ "kill -9 of a child", true, prepare_kill, ev_child_dies, -1, D },
	{ "fault of a child", true, prepare_segv, ev_child_dies, -1, D },
	{ "exec of a child", true, prepare_exec, ev_child_execs, -1, D },
	{ "failed exec", true, NULL, ev_exec_fails, 0, 0 },
	{ "IPC_SET", false, NULL, ev_set, 0, C },
	{ "IPC_SET, attached", true, NULL, ev_set, 0, C },
	{ "IPC_RMID", true, NULL, ev_remove, 0, 0 },
	{ "SHM_LOCK", false, NULL, ev_lock, 0, 0 },
	{ "SHM_UNLOCK", false, NULL, ev_unlock, 0, 0 },
	{ "looking", false, NULL, ev_look, 0, 0 },
	{ "writing to the memory", true, NULL, ev_write, 0, 0 },
};

static const struct row part_rows[] = {
	{ "munmap of the tail", true, NULL, ev_unmap_tail, 0, A | D },
	{ "munmap of the middle", true, NULL, ev_unmap_middle, 1, A | D },
	{ "mprotect of it all", true, NULL, ev_protect_all, 0, 0 },
	{ "mremap", true, NULL, ev_move, 0, A | D },
};

static const struct row split_rows[] = {
	{ "mprotect of the middle", true, NULL, ev_protect_middle, 2, A },
};

/*
 * One row, in a process of its own. A helper has attached and detached before,
 * so that no time is 0 and lpid is a stranger; then the clock moves on.
 */
static void play(const struct row *row, int n)
{
	struct scene s = { .id = -1, .fd = -1 };
	struct shmid_ds was, is;
	struct peer helper;
	time_t before;
	pid_t lpid;

	NOTE("%s", row->why);
	s.id = shmget(KEY + n, 3 * page_size(), IPC_CREAT | IPC_EXCL | 0600);
	REQUIRE_OK(s.id);

	if (peer_start(&helper)) {
		peer_hear(&helper);
		detach(attach(s.id, 0));
		child_exit();
	}
	if (row->attached)
		s.p = attach(s.id, 0);
	if (row->prepare)
		row->prepare(&s);
	peer_say(&helper);
	peer_join(&helper);

	was = stat_of(s.id);
	CHECK_EQ(was.shm_lpid, helper.pid);
	CHECK(was.shm_atime && was.shm_dtime && was.shm_ctime);

	before = next_second();
	lpid = row->event(&s);
	is = stat_of(s.id);

	CHECK_EQ((long)is.shm_nattch - (long)was.shm_nattch, row->delta);
	CHECK_EQ(is.shm_lpid, lpid ? lpid : was.shm_lpid);
	CHECK_EQ(is.shm_cpid, was.shm_cpid);
	CHECK_EQ(is.shm_segsz, was.shm_segsz);
	if (row->stamps & A)
		CHECK_STAMP(is.shm_atime, before);
	else
		CHECK_EQ(is.shm_atime, was.shm_atime);
	if (row->stamps & D)
		CHECK_STAMP(is.shm_dtime, before);
	else
		CHECK_EQ(is.shm_dtime, was.shm_dtime);
	if (row->stamps & C)
		CHECK_STAMP(is.shm_ctime, before);
	else
		CHECK_EQ(is.shm_ctime, was.shm_ctime);

	if (s.pid) {
		CHECK(write(s.fd, "!", 1) == 1);
		wait_status(s.pid);
	}
	if (!(is.shm_perm.mode & SHM_DEST))
		destroy(s.id);
}

/* All rows at once: they wait for the same second. */
static void play_all(const struct row *rows, size_t n)
{
	pid_t pids[32];
	size_t i;

	for (i = 0; i < n; i++) {
		pids[i] = fork();
		REQUIRE(pids[i] >= 0);
		if (pids[i] == 0) {
			play(&rows[i], (int)i);
			child_exit();
		}
	}
	for (i = 0; i < n; i++)
		join(pids[i]);
}

CASE("C46 C75 C76 C80 C83 C84 C85 C86 C87", each_event_writes_its_fields_only)
{
	play_all(plain_rows, LEN(plain_rows));
}

CASE("C56 C57", memory_calls_on_a_part_write_their_fields_only)
{
	play_all(part_rows, LEN(part_rows));
}

CASE("C57", protecting_a_part_counts_as_an_attach)
{
	play_all(split_rows, LEN(split_rows));
}

CASE("C83", pids_are_kept_after_the_process_is_dead)
{
	int id, fd[2];
	pid_t pid;

	REQUIRE_OK(pipe(fd));
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		id = make(1, 0600);
		detach(attach(id, 0));
		REQUIRE(write(fd[1], &id, sizeof(id)) == sizeof(id));
		child_exit();
	}
	REQUIRE(read(fd[0], &id, sizeof(id)) == sizeof(id));
	join(pid);
	CHECK_EQ(stat_of(id).shm_cpid, pid);
	CHECK_EQ(stat_of(id).shm_lpid, pid);
	destroy(id);
}

static void *make_body(void *ret_id)
{
	*(int *)ret_id = make(1, 0600);
	return NULL;
}

CASE("C83", pid_of_a_threads_call_is_the_process)
{
	int id;

	in_thread(make_body, &id);
	CHECK_EQ(stat_of(id).shm_cpid, getpid());
	destroy(id);
}

static long rss_shmem(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");

	REQUIRE(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "RssShmem: %ld", &kib);
	fclose(f);
	return kib;
}

CASE("C101", touched_pages_are_shared_memory_of_the_process)
{
	size_t size = 256 * page_size();
	int id = make(size, 0600);
	char *p = attach(id, 0);
	long before = rss_shmem();

	REQUIRE(before >= 0);
	memset(p, 1, size);
	CHECK(rss_shmem() - before >= (long)(size / 1024));
	detach(p);
	CHECK(rss_shmem() - before < (long)(size / 2048));
	destroy(id);
}

CASE_IF("C102", NEEDS_ROOT, new_namespace_is_empty_and_old_mappings_stay)
{
	int id = make_key(4096, 0600);
	char *p = attach(id, 0);
	struct peer peer;

	if (peer_start(&peer)) {
		REQUIRE_OK(unshare(CLONE_NEWIPC));
		CHECK_ERRNO(shmget(KEY, 0, 0), ENOENT);
		CHECK(!exists(id));
		CHECK_EQ(touch_write(p), 0);
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_OK(shmdt(p));
		child_exit();
	}
	peer_hear(&peer);
	CHECK_EQ(nattch_of(id), 2);
	peer_say(&peer);
	peer_join(&peer);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE_IF("C104", NEEDS_ROOT, pids_are_those_of_the_readers_namespace)
{
	int id = make(4096, 0600);
	struct shmid_ds ds;
	pid_t pid;

	if (child()) {
		REQUIRE_OK(unshare(CLONE_NEWPID));
		pid = fork();
		REQUIRE_OK(pid);
		if (pid == 0) {
			/* Of the creator nothing can be seen here. */
			ds = stat_of(id);
			CHECK_EQ(ds.shm_cpid, 0);
			detach(attach(id, 0));
			CHECK_EQ(stat_of(id).shm_lpid, 1);
			child_exit();
		}
		join(pid);
		CHECK_EQ(stat_of(id).shm_lpid, pid);
		child_exit();
	}
	destroy(id);
}

CASE_IF("C105", NEEDS_ROOT, unmapped_owner_is_shown_as_nobody)
{
	int id = make(4096, 0666);

	if (child()) {
		struct shmid_ds ds;

		if (unshare(CLONE_NEWUSER) < 0)
			SKIP("no user namespace");
		ds = stat_of(id);
		CHECK_EQ(ds.shm_perm.uid, 65534);
		CHECK_EQ(ds.shm_perm.cuid, 65534);
		CHECK_EQ(ds.shm_perm.gid, 65534);
		CHECK_ERRNO(shmctl(id, IPC_SET, &ds), EINVAL);
		child_exit();
	}
	destroy(id);
}
