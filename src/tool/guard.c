/* SPDX-License-Identifier: MIT */
/*
 * The lifetime of a private namespace: three processes around one directory.
 *
 *   launcher   stays as the parent of the command, hands signals on, ends as
 *              the command ended; removes the directory before that.
 *   command    the user's program.
 *   guard      a child of the launcher in a session of its own, with no
 *              descriptor but one end of a pipe. The launcher holds the other
 *              end, and so does the command until its exec. At end of file
 *              the launcher is gone and the command has noted itself in the
 *              record or never will: the guard waits for the command and
 *              removes the directory.
 *
 * SIGKILL of any one of them leaves the directory to another; if all three
 * are killed, the next private_sweep() finds it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool/guard.h"
#include "tool/message.h"
#include "tool/private.h"
#include "tool/process.h"

#define LAUNCHER_FAILED 125

static const int forwarded[] = {
	SIGINT,	 SIGTERM, SIGHUP,  SIGQUIT,  SIGUSR1,
	SIGUSR2, SIGCONT, SIGTSTP, SIGWINCH,
};

/* ------------------------------------------------------------ the guard */

static void close_from(int first)
{
	long max;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	max = sysconf(_SC_OPEN_MAX);
	for (int fd = first; fd < max && fd < 65536; fd++)
		close(fd);
}

/* Keep nothing of the caller's: descriptors, directory, signals, session. */
static void detach_from_caller(int pipe_fd)
{
	sigset_t all;
	int null;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);

	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd <= 2; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			close(fd);

	dup2(pipe_fd, 3);
	close_from(4);
	if (chdir("/") < 0)
		return;
}

/* Wait for the process to end; its zombie counts as an end. */
static void wait_for_end(pid_t pid, uint64_t start)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };

#ifdef SYS_pidfd_open
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
#endif
	while (process_alive(pid, start)) {
		/* A pid that was given to another between the two looks. */
		if (p.fd >= 0)
			(void)poll(&p, 1, 60 * 1000);
		else
			(void)poll(NULL, 0, 50);
	}
	if (p.fd >= 0)
		close(p.fd);
}

static void guard_main(const char *dir)
{
	struct private_record rec;
	char byte;
	ssize_t n;

	prctl(PR_SET_NAME, "ushm-guard", 0, 0, 0);
	do {
		n = read(3, &byte, 1);
	} while (n > 0 || (n < 0 && errno == EINTR));

	/* The launcher may have removed it just before; the name may even
	 * belong to another run by now, and that one has another guard. */
	if (private_read(dir, &rec) < 0 ||
	    rec.holder[PRIVATE_GUARD].pid != getpid())
		return;

	if (rec.holder[PRIVATE_COMMAND].pid > 0)
		wait_for_end(rec.holder[PRIVATE_COMMAND].pid,
			     rec.holder[PRIVATE_COMMAND].start);
	(void)private_remove(dir);
}

/* A pipe whose ends are none of the three standard descriptors. */
static int make_pipe(int fds[2])
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		fds[i] = low[i];
		if (low[i] < 3) {
			fds[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
			close(low[i]);
		}
	}
	if (fds[0] < 0 || fds[1] < 0)
		return -EMFILE;

	return 0;
}

struct guard {
	pid_t pid; /* 0: ended before us */
	int alive; /* as long as this end is open, we live */
};

/* Returns 0 when the guard has noted itself, or a negative errno. */
static int start_guard(const char *dir, struct guard *ret)
{
	int alive[2] = { -1, -1 }, noted[2] = { -1, -1 }, status, r;
	pid_t pid;
	char ok;

	r = make_pipe(alive);
	if (r < 0)
		return r;
	r = make_pipe(noted);
	if (r < 0)
		goto close_alive;

	pid = fork();
	if (pid < 0) {
		r = -errno;
		goto close_noted;
	}
	if (pid == 0) {
		setsid();
		if (private_note(dir, PRIVATE_GUARD) < 0 ||
		    write(noted[1], "k", 1) != 1)
			_exit(1);
		detach_from_caller(alive[0]);
		guard_main(dir);
		_exit(0);
	}

	close(alive[0]);
	close(noted[1]);
	do {
		r = (int)read(noted[0], &ok, 1);
	} while (r < 0 && errno == EINTR);
	close(noted[0]);
	if (r == 1) {
		ret->pid = pid;
		ret->alive = alive[1];
		return 0;
	}

	close(alive[1]);
	waitpid(pid, &status, 0);
	return -EIO;

close_noted:
	close(noted[0]);
	close(noted[1]);
close_alive:
	close(alive[0]);
	close(alive[1]);
	return r;
}

/* The directory is gone: so may the guard be. Leaves no zombie behind. */
static void end_guard(struct guard *g)
{
	if (g->pid > 0) {
		kill(g->pid, SIGKILL);
		waitpid(g->pid, NULL, 0);
	}
	close(g->alive);
}

/* --------------------------------------------------------- the launcher */

/*
 * Signals from the terminal went to the whole process group and those that
 * the command sent to its group reached it too: only the others are handed
 * on. A hangup is the exception: the kernel tells session leaders alone.
 */
static bool should_forward(const siginfo_t *si, pid_t command)
{
	if (si->si_code > 0)
		return si->si_signo == SIGHUP && getsid(0) == getpid();

	return si->si_pid != command;
}

/* Stop as the command did, so that the shell sees its job stopped. */
static void stop_with(pid_t command)
{
	sigset_t pending;

	/* Somebody continued the job in the meantime. */
	if (sigpending(&pending) == 0 && sigismember(&pending, SIGCONT))
		return;

	kill(getpid(), SIGSTOP);
	kill(command, SIGCONT);
}

static int wait_for_command(pid_t command, struct guard *guard,
			    const sigset_t *set)
{
	siginfo_t si;
	int status;
	pid_t pid;

	for (;;) {
		/* All children: we may be the init of a container. */
		while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
			if (pid == guard->pid && !WIFSTOPPED(status))
				guard->pid = 0;
			if (pid != command)
				continue;
			if (!WIFSTOPPED(status))
				return status;
			stop_with(command);
		}
		if (pid < 0 && errno == ECHILD)
			return LAUNCHER_FAILED << 8;

		if (sigwaitinfo(set, &si) < 0 || si.si_signo == SIGCHLD)
			continue;
		if (should_forward(&si, command))
			kill(command, si.si_signo);
	}
}

static int end_by_signal(int sig)
{
	const struct rlimit none = { 0, 0 };
	sigset_t set;

	/* The command's core is the one that tells something. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);

	return 128 + sig; /* process 1 of a container cannot kill itself */
}

int guard_run(const char *dir, guard_start *start, void *arg)
{
	const struct sigaction by_default = { .sa_handler = SIG_DFL };
	struct sigaction old_child;
	sigset_t set, old_mask;
	struct guard guard = { .pid = -1, .alive = -1 };
	int status, r;
	pid_t command;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, &old_mask);
	sigaction(SIGCHLD, &by_default, &old_child);

	r = start_guard(dir, &guard);
	if (r < 0) {
		message_error("cannot start the process that guards %s: %s",
			      dir, message_errno(r));
		private_remove(dir);
		return LAUNCHER_FAILED;
	}

	command = fork();
	if (command == 0) {
		r = private_note(dir, PRIVATE_COMMAND);
		if (r < 0) {
			message_error("cannot write to %s: %s", dir,
				      message_errno(r));
			_exit(LAUNCHER_FAILED);
		}
		sigaction(SIGCHLD, &old_child, NULL);
		sigprocmask(SIG_SETMASK, &old_mask, NULL);
		_exit(start(arg));
	}
	if (command < 0) {
		message_error("cannot fork: %s", message_errno(errno));
		private_remove(dir);
		end_guard(&guard);
		return LAUNCHER_FAILED;
	}

	status = wait_for_command(command, &guard, &set);

	r = private_remove(dir);
	if (r < 0)
		message_error("cannot remove %s: %s", dir, message_errno(r));
	end_guard(&guard);

	return WIFSIGNALED(status) ? end_by_signal(WTERMSIG(status))
				   : WEXITSTATUS(status);
}
