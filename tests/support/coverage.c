/* SPDX-License-Identifier: MIT */
/*
 * Linked into the tests when coverage is counted (USHM_COVERAGE).
 *
 * gcc's counts are written at exit(), by a later destructor than this one. Most
 * of our processes end by _exit() or kill themselves: both write them here
 * before. A process that another one kills writes nothing; its counts are lost,
 * never wrong.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

void __gcov_dump(void);

void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);

/* Written against a test's limit, half a file would lose the counts of all. */
__attribute__((destructor)) static void lift(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_FSIZE, &none) < 0)
		signal(SIGXFSZ, SIG_IGN);
}

static void dump(void)
{
	lift();
	__gcov_dump();
}

void __wrap__exit(int status)
{
	dump();
	__real__exit(status);
}

int __wrap_kill(pid_t pid, int sig)
{
	if (sig == SIGKILL && pid == getpid())
		dump();
	return __real_kill(pid, sig);
}
