/* SPDX-License-Identifier: MIT */
/*
 * check.h - a test program in one header.
 *
 *	#define CHECK_MAIN        (in exactly one file of the program)
 *	#include "check.h"
 *
 *	CASE("C54", second_detach_is_refused)
 *	{
 *		CHECK_ERRNO(shmdt(p), EINVAL);
 *	}
 *
 * A case registers itself, is named as a statement and runs in a process of
 * its own, in a process group of its own, with an alarm. What a check finds
 * goes into a page that all forked processes share: a failed check in a
 * grandchild fails the case, even when every descriptor is closed. The runner
 * kills and reaps whatever a case left running.
 *
 * CHECK... notes a failure and goes on; REQUIRE... ends the process. NOTE(text)
 * names the row of a table that the next checks are about.
 *
 * A case that passes no longer belongs in the list of expected differences:
 * it is then reported as a failure, so that the list cannot rot.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* What a case needs besides the four calls: a case is skipped without it. */
enum check_needs {
	NEEDS_NOTHING = 0,
	/* root, who can become others and drop his capabilities */
	NEEDS_ROOT = 1 << 0,
	/* several users in one namespace; implies NEEDS_ROOT */
	NEEDS_USERS = 1 << 1,
	/* the calls by number, through syscall(2) */
	NEEDS_RAW = 1 << 2,
	/* the files of /proc */
	NEEDS_PROC = 1 << 3,
};

struct check_case {
	const char *clause;
	const char *name;
	const char *file;
	unsigned needs;
	void (*run)(void);
	struct check_case *next;
};

/* A small program that a case can exec: see check_exec(). */
struct check_program {
	const char *name;
	int (*run)(int argc, char **argv);
	struct check_program *next;
};

void check_add_case(struct check_case *c);
void check_add_program(struct check_program *p);

/* Runs in a child after every case; its checks count for the case. */
void check_set_after(void (*after)(void));

#define CASE(clause_, name_) CASE_IF(clause_, NEEDS_NOTHING, name_)

#define CASE_IF(clause_, needs_, name_)                                    \
	static void name_(void);                                           \
	__attribute__((constructor)) static void check_reg_##name_(void)   \
	{                                                                  \
		static struct check_case c_ = { clause_, #name_, __FILE__, \
						needs_,	 name_,	 NULL };   \
		check_add_case(&c_);                                       \
	}                                                                  \
	static void name_(void)

#define PROGRAM(name_)                                                   \
	static int prog_##name_(int argc, char **argv);                  \
	__attribute__((constructor)) static void preg_##name_(void)      \
	{                                                                \
		static struct check_program p_ = { #name_, prog_##name_, \
						   NULL };               \
		check_add_program(&p_);                                  \
	}                                                                \
	static int prog_##name_(int argc, char **argv)

/* -------------------------------------------------------------- checks */

void check_at(const char *file, int line);
void check_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void check_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool check_true(const char *file, int line, bool ok, const char *text);
bool check_equal(const char *file, int line, const char *ta, const char *tb,
		 long long a, long long b);
bool check_errno(const char *file, int line, const char *text, intptr_t got,
		 int want);
void check_stop(void) __attribute__((noreturn));
void check_skip(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));
int check_failures(void);

#define NOTE(...) check_note(__VA_ARGS__)
#define SKIP(...) check_skip(__VA_ARGS__)

#define CHECK(cond) \
	(CHECK_HERE, check_true(__FILE__, __LINE__, !!(cond), #cond))

#define REQUIRE(cond)                 \
	do {                          \
		if (!CHECK(cond))     \
			check_stop(); \
	} while (0)

/*
 * For helpers that check on behalf of the case: a macro of the helper's own
 * name says CHECK_HERE before the call, and the helper uses OK() and MUST(),
 * whose failures are then shown at the line of the case.
 */
#define CHECK_HERE check_at(__FILE__, __LINE__)
#define OK(expr)   check_errno(NULL, 0, #expr, (intptr_t)(expr), 0)
#define MUST(cond)                                         \
	do {                                               \
		if (!check_true(NULL, 0, !!(cond), #cond)) \
			check_stop();                      \
	} while (0)

/* Integers of any type; both values are printed. */
#define CHECK_EQ(a, b)                                                       \
	(CHECK_HERE, check_equal(__FILE__, __LINE__, #a, #b, (long long)(a), \
				 (long long)(b)))

#define CHECK_PTR(a, b)                                                    \
	(CHECK_HERE,                                                       \
	 check_equal(__FILE__, __LINE__, #a, #b, (long long)(intptr_t)(a), \
		     (long long)(intptr_t)(b)))

/* The call returns -1 (or (void *)-1) and sets errno to 'want'. */
#define CHECK_ERRNO(expr, want)                \
	check_errno(__FILE__, __LINE__, #expr, \
		    (CHECK_HERE, errno = 0, (intptr_t)(expr)), want)

/* The call does not return -1. */
#define CHECK_OK(expr)                                                         \
	check_errno(__FILE__, __LINE__, #expr, (CHECK_HERE, (intptr_t)(expr)), \
		    0)

#define REQUIRE_OK(expr)              \
	do {                          \
		if (!CHECK_OK(expr))  \
			check_stop(); \
	} while (0)

/* ------------------------------------------------------------ processes */

/*
 * Fork, and run what follows in the child:
 *
 *	if (child()) {
 *		CHECK(...);
 *		child_exit();
 *	}
 *
 * The parent waits inside child() and fails when the child does.
 */
bool child(void);
void child_exit(void) __attribute__((noreturn));

/* The same as another user, in all ids and with no capability. */
bool child_as(uid_t uid, gid_t gid);
#define OTHER_USER 65534

/* Wait for 'pid' and check that it exited with 0. */
void join(pid_t pid);

/* Wait for 'pid' and return its wait status. */
int wait_status(pid_t pid);

/*
 * A child that runs beside the case and talks to it a byte at a time:
 *
 *	struct peer peer;
 *
 *	if (peer_start(&peer)) {
 *		...
 *		peer_say(&peer);      "I am attached"
 *		peer_hear(&peer);     until the case says so
 *		child_exit();
 *	}
 *	peer_hear(&peer);
 */
struct peer {
	pid_t pid;
	int fd;
};

bool peer_start(struct peer *p);
void peer_say(struct peer *p);
void peer_hear(struct peer *p);
void peer_join(struct peer *p); /* exits with 0 */
void peer_kill(struct peer *p); /* SIGKILL, and reaps it */

/* Replace this process by PROGRAM 'name'; returns only on failure. */
void check_exec(const char *name, const char *arg1, const char *arg2);

/* The arguments to start PROGRAM 'name' with: path is check_self(). */
#define CHECK_ARGV(name, arg1, arg2)                                           \
	{                                                                      \
		(char *)"check", (char *)"-x", (char *)(name), (char *)(arg1), \
			(char *)(arg2), NULL                                   \
	}
const char *check_self(void);

/* -------------------------------------------------------------- the rest */

#ifdef CHECK_MAIN

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHECK_SECONDS 90
#define CHECK_SKIPPED 77

struct check_page {
	atomic_int failures;
	atomic_uint used;
	const char *file; /* where a check was last begun */
	int line;
	char reason[256]; /* why the case was skipped */
	char text[15000]; /* lines: what failed */
};

struct check_difference {
	char flavour[32], name[128], reason[256];
	int line;
	bool used;
};

static struct check_case *check_cases, **check_cases_tail = &check_cases;
static struct check_program *check_programs;
static void (*check_after)(void);
static struct check_page *check_page;
static char check_noted[256];
static bool check_is_child;
static char check_path[PATH_MAX];

static struct check_difference check_differences[512];
static unsigned check_ndifferences;

void check_add_case(struct check_case *c)
{
	*check_cases_tail = c;
	check_cases_tail = &c->next;
}

void check_add_program(struct check_program *p)
{
	p->next = check_programs;
	check_programs = p;
}

void check_set_after(void (*after)(void))
{
	check_after = after;
}

/* --- noting what happens; usable in signal handlers and without descriptors */

void check_at(const char *file, int line)
{
	check_page->file = file;
	check_page->line = line;
}

void check_fail(const char *file, int line, const char *fmt, ...)
{
	char buf[700];
	va_list ap;
	size_t n;
	unsigned at;

	if (!file) {
		file = check_page->file;
		line = check_page->line;
	}

	n = (size_t)snprintf(buf, sizeof(buf), "%s:%d: %s%s", file, line,
			     check_noted, *check_noted ? ": " : "");
	if (n > 400)
		n = 400;

	va_start(ap, fmt);
	vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
	va_end(ap);

	n = strlen(buf);
	buf[n++] = '\n';

	/* The text may be cut, the count never. */
	atomic_fetch_add(&check_page->failures, 1);
	at = atomic_fetch_add(&check_page->used, (unsigned)n);
	if (at + n < sizeof(check_page->text))
		memcpy(check_page->text + at, buf, n);
}

void check_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(check_noted, sizeof(check_noted), fmt, ap);
	va_end(ap);
}

bool check_true(const char *file, int line, bool ok, const char *text)
{
	if (!ok)
		check_fail(file, line, "%s", text);
	return ok;
}

bool check_equal(const char *file, int line, const char *ta, const char *tb,
		 long long a, long long b)
{
	if (a == b)
		return true;

	if (a > 65536 || a < -65536)
		check_fail(file, line, "%s is 0x%llx, not %s (0x%llx)", ta, a,
			   tb, b);
	else
		check_fail(file, line, "%s is %lld, not %s (%lld)", ta, a, tb,
			   b);
	return false;
}

static const char *check_errno_name(int err)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ EACCES, "EACCES" },	    { EAGAIN, "EAGAIN" },
		{ EEXIST, "EEXIST" },	    { EFAULT, "EFAULT" },
		{ EFBIG, "EFBIG" },	    { EIDRM, "EIDRM" },
		{ EINVAL, "EINVAL" },	    { EMFILE, "EMFILE" },
		{ ENOENT, "ENOENT" },	    { ENOMEM, "ENOMEM" },
		{ ENOSPC, "ENOSPC" },	    { ENOSYS, "ENOSYS" },
		{ EPERM, "EPERM" },	    { EPROTO, "EPROTO" },
		{ EOVERFLOW, "EOVERFLOW" }, { ENOTDIR, "ENOTDIR" },
		{ ELOOP, "ELOOP" },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (names[i].err == err)
			return names[i].name;
	}
	return strerror(err);
}

bool check_errno(const char *file, int line, const char *text, intptr_t got,
		 int want)
{
	int err = errno; /* of the call that was the argument */

	if (want == 0 && got != -1)
		return true;
	if (want != 0 && got == -1 && err == want)
		return true;

	if (got == -1 && want == 0)
		check_fail(file, line, "%s failed: %s", text,
			   check_errno_name(err));
	else if (got == -1)
		check_fail(file, line, "%s gave %s, not %s", text,
			   check_errno_name(err), check_errno_name(want));
	else
		check_fail(file, line, "%s returned %lld, not %s", text,
			   (long long)got, check_errno_name(want));
	return false;
}

void check_stop(void)
{
	_exit(1);
}

void check_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(check_page->reason, sizeof(check_page->reason), fmt, ap);
	va_end(ap);
	_exit(CHECK_SKIPPED);
}

int check_failures(void)
{
	return atomic_load(&check_page->failures);
}

/* --- processes */

void child_exit(void)
{
	_exit(0);
}

int wait_status(pid_t pid)
{
	int status;
	pid_t r;

	do {
		r = waitpid(pid, &status, 0);
	} while (r < 0 && errno == EINTR);

	MUST(r == pid);
	return status;
}

void join(pid_t pid)
{
	int status = wait_status(pid);

	if (WIFSIGNALED(status))
		check_fail(NULL, 0, "the child was killed by signal %d",
			   WTERMSIG(status));
	else if (WEXITSTATUS(status) == CHECK_SKIPPED)
		_exit(CHECK_SKIPPED);
	else if (WEXITSTATUS(status) != 0)
		check_fail(NULL, 0, "the child exited with %d",
			   WEXITSTATUS(status));
}

bool child(void)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid == 0) {
		check_is_child = true;
		return true;
	}

	join(pid);
	return false;
}

static int check_become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0)
		return -1;
	return setresuid(uid, uid, uid);
}

bool child_as(uid_t uid, gid_t gid)
{
	if (!child())
		return false;

	MUST(check_become(uid, gid) == 0);
	return true;
}

bool peer_start(struct peer *p)
{
	int fd[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);

	p->pid = fork();
	MUST(p->pid >= 0);
	if (p->pid == 0) {
		check_is_child = true;
		close(fd[0]);
		p->fd = fd[1];
		return true;
	}

	close(fd[1]);
	p->fd = fd[0];
	return false;
}

void peer_say(struct peer *p)
{
	MUST(send(p->fd, "!", 1, MSG_NOSIGNAL) == 1);
}

void peer_hear(struct peer *p)
{
	char c;
	ssize_t n;

	do {
		n = read(p->fd, &c, 1);
	} while (n < 0 && errno == EINTR);

	MUST(n == 1);
}

void peer_join(struct peer *p)
{
	join(p->pid);
	close(p->fd);
}

void peer_kill(struct peer *p)
{
	int status;

	MUST(kill(p->pid, SIGKILL) == 0);
	status = wait_status(p->pid);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(p->fd);
}

const char *check_self(void)
{
	return check_path;
}

void check_exec(const char *name, const char *arg1, const char *arg2)
{
	execl(check_path, "check", "-x", name, arg1, arg2, (char *)NULL);
}

static int check_run_program(int argc, char **argv)
{
	const struct check_program *p;

	for (p = check_programs; argc > 0 && p; p = p->next) {
		if (strcmp(p->name, argv[0]) == 0)
			return p->run(argc, argv);
	}

	fprintf(stderr, "no such program\n");
	return 2;
}

/* --- the runner */

/* get.c of whatever/directory/get.c is the group "get". */
static bool check_in_group(const struct check_case *c, const char *group)
{
	const char *base = strrchr(c->file, '/');
	size_t n;

	base = base ? base + 1 : c->file;
	n = strcspn(base, ".");
	return strlen(group) == n && strncmp(base, group, n) == 0;
}

/* Can we be somebody else? Asked in a child: it changes the asker. */
static bool check_can_switch(void)
{
	static int known = -1;
	int status;
	pid_t pid;

	if (known >= 0)
		return known;

	known = 0;
	if (geteuid() != 0)
		return false;

	pid = fork();
	if (pid == 0)
		_exit(check_become(OTHER_USER, OTHER_USER) < 0);
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		known = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return known;
}

static const char *check_missing(const struct check_case *c, unsigned without)
{
	unsigned lack = c->needs & without;

	if (lack & NEEDS_USERS)
		return "needs a shared namespace";
	if (lack & NEEDS_RAW)
		return "raw system calls are not redirected here";
	if (lack & NEEDS_PROC)
		return "files of /proc are not answered here";
	if ((c->needs & (NEEDS_ROOT | NEEDS_USERS)) && !check_can_switch())
		return "needs root, and other users to become";
	return NULL;
}

static void check_run_in_child(void (*run)(void), bool after)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		check_fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
		return;
	}

	if (pid == 0) {
		setpgid(0, 0);
		alarm(CHECK_SECONDS);
		run();
		if (check_is_child)
			check_fail(__FILE__, __LINE__,
				   "a child ran past its child_exit()");
		exit(0);
	}

	setpgid(pid, pid);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;

	/* Orphans of the case come to us: we are their subreaper. */
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		check_fail(NULL, 0, "took more than %d seconds (about here)",
			   CHECK_SECONDS);
	else if (WIFSIGNALED(status))
		check_fail(NULL, 0, "killed by signal %d (about here)",
			   WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0 &&
		 (after || WEXITSTATUS(status) != CHECK_SKIPPED) &&
		 check_failures() == 0)
		check_fail(NULL, 0, "exited with %d (about here)",
			   WEXITSTATUS(status));
}

/* What is listed for a flavour is also that of its variants: linked-m32. */
static bool check_is_flavour(const char *flavour, const char *listed)
{
	size_t n = strlen(listed);

	return strncmp(flavour, listed, n) == 0 &&
	       (flavour[n] == '\0' || flavour[n] == '-');
}

/* Lines "flavour case reason"; '#' begins a comment line. */
static int check_read_differences(const char *path, const char *flavour)
{
	struct check_difference d;
	const struct check_case *c;
	char buf[512];
	int line = 0, bad = 0;
	FILE *f = fopen(path, "re");

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}

	while (fgets(buf, sizeof(buf), f)) {
		line++;
		if (buf[0] == '#' || buf[0] == '\n')
			continue;

		memset(&d, 0, sizeof(d));
		d.line = line;
		if (sscanf(buf, "%31s %127s %255[^\n]", d.flavour, d.name,
			   d.reason) != 3) {
			printf("FAIL %s:%d: not 'flavour case reason'\n", path,
			       line);
			bad++;
			continue;
		}

		for (c = check_cases; c && strcmp(c->name, d.name); c = c->next)
			;
		if (!c) {
			printf("FAIL %s:%d: no case %s\n", path, line, d.name);
			bad++;
		} else if (check_is_flavour(flavour, d.flavour) &&
			   check_ndifferences < 512) {
			check_differences[check_ndifferences++] = d;
		}
	}

	fclose(f);
	return bad;
}

static const char *check_difference(const struct check_case *c)
{
	unsigned i;

	for (i = 0; i < check_ndifferences; i++) {
		if (strcmp(check_differences[i].name, c->name) == 0)
			return check_differences[i].reason;
	}
	return NULL;
}

enum check_outcome { PASSED, FAILED, DIFFERS, SKIPPED, NOUTCOMES };

static enum check_outcome check_run_case(const struct check_case *c,
					 unsigned without)
{
	const char *missing = check_missing(c, without);
	const char *difference = check_difference(c);
	char *s, *end;

	memset(check_page, 0, sizeof(*check_page));
	check_page->file = c->file;

	if (missing) {
		printf("skip %s: %s\n", c->name, missing);
		return SKIPPED;
	}

	check_run_in_child(c->run, false);
	if (check_after)
		check_run_in_child(check_after, true);

	if (check_failures() == 0 && check_page->reason[0]) {
		printf("skip %s: %s\n", c->name, check_page->reason);
		return SKIPPED;
	}

	if (check_failures() == 0 && difference) {
		printf("FAIL %s: %s [%s] passes: remove it from the list of "
		       "differences\n",
		       c->file, c->name, c->clause);
		return FAILED;
	}

	if (check_failures() == 0) {
		printf("ok %s [%s]\n", c->name, c->clause);
		return PASSED;
	}

	if (difference)
		printf("expected difference %s [%s]: %s\n", c->name, c->clause,
		       difference);
	else
		printf("FAIL %s [%s]\n", c->name, c->clause);

	check_page->text[sizeof(check_page->text) - 1] = 0;
	for (s = check_page->text; (end = strchr(s, '\n')); s = end + 1)
		printf("    %s%.*s\n", difference ? "" : "FAIL ",
		       (int)(end - s), s);

	return difference ? DIFFERS : FAILED;
}

static int check_usage(void)
{
	fprintf(stderr,
		"usage: [-l] [-g GROUP]... [-f FLAVOUR -d DIFFERENCES]\n"
		"       [-w users|raw|proc]... [CASE]...\n"
		"  -l  list the cases    -g  only those of GROUP.c\n"
		"  -w  run without: skip what needs it\n");
	return 2;
}

int main(int argc, char **argv)
{
	const char *groups[32], *flavour = "none", *differences = NULL;
	unsigned count[NOUTCOMES] = { 0 }, without = 0, ngroups = 0, i;
	const struct check_case *c;
	bool list = false, wanted;
	ssize_t n;
	int opt, a;

	check_page = mmap(NULL, sizeof(*check_page), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (check_page == MAP_FAILED) {
		perror("mmap");
		return 2;
	}

	n = readlink("/proc/self/exe", check_path, sizeof(check_path) - 1);
	if (n > 0)
		check_path[n] = 0;

	if (argc > 1 && strcmp(argv[1], "-x") == 0)
		return check_run_program(argc - 2, argv + 2);

	while ((opt = getopt(argc, argv, "lg:f:d:w:")) != -1) {
		if (opt == 'l')
			list = true;
		else if (opt == 'g' && ngroups < 32)
			groups[ngroups++] = optarg;
		else if (opt == 'f')
			flavour = optarg;
		else if (opt == 'd')
			differences = optarg;
		else if (opt == 'w' && strcmp(optarg, "users") == 0)
			without |= NEEDS_USERS;
		else if (opt == 'w' && strcmp(optarg, "raw") == 0)
			without |= NEEDS_RAW;
		else if (opt == 'w' && strcmp(optarg, "proc") == 0)
			without |= NEEDS_PROC;
		else
			return check_usage();
	}

	if (differences)
		count[FAILED] += (unsigned)check_read_differences(differences,
								  flavour);

	for (a = optind; a < argc; a++) {
		for (c = check_cases; c && strcmp(c->name, argv[a]);
		     c = c->next)
			;
		if (!c) {
			fprintf(stderr, "no case %s\n", argv[a]);
			return 2;
		}
	}

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);

	for (c = check_cases; c; c = c->next) {
		wanted = ngroups == 0;
		for (i = 0; i < ngroups; i++)
			wanted |= check_in_group(c, groups[i]);
		if (optind < argc) {
			wanted = false;
			for (a = optind; a < argc; a++)
				wanted |= strcmp(c->name, argv[a]) == 0;
		}
		if (!wanted)
			continue;

		if (list)
			printf("%s [%s]\n", c->name, c->clause);
		else
			count[check_run_case(c, without)]++;
	}

	if (list)
		return 0;

	printf("%u passed, %u failed, %u skipped", count[PASSED], count[FAILED],
	       count[SKIPPED]);
	if (count[DIFFERS])
		printf(", %u expected differences", count[DIFFERS]);
	printf("\n");

	if (count[FAILED])
		return 1;
	return count[SKIPPED] && !count[PASSED] && !count[DIFFERS]
		       ? CHECK_SKIPPED
		       : 0;
}

#endif /* CHECK_MAIN */

/* Failures inside these are shown at the line of the case. */
#define child()		   (CHECK_HERE, child())
#define child_as(uid, gid) (CHECK_HERE, child_as(uid, gid))
#define join(pid)	   (CHECK_HERE, join(pid))
#define wait_status(pid)   (CHECK_HERE, wait_status(pid))
#define peer_start(p)	   (CHECK_HERE, peer_start(p))
#define peer_say(p)	   (CHECK_HERE, peer_say(p))
#define peer_hear(p)	   (CHECK_HERE, peer_hear(p))
#define peer_join(p)	   (CHECK_HERE, peer_join(p))
#define peer_kill(p)	   (CHECK_HERE, peer_kill(p))

#endif
