/* SPDX-License-Identifier: MIT */
/* Owns the stepped process, which dies with us. */
#include "kills.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARTS	8
#define ENDLESS 20000000 /* instructions */
#define ALIKE	256	 /* of a long copy by one instruction, one in so many */

static struct watched {
	const struct kills_part *part;
	const unsigned char *map;
	unsigned char *last;
	ino_t ino;
} watched[PARTS];

/* ---------------------------------------------------------- the process */

void kills_mark(void)
{
	raise(SIGSTOP);
}

/* The next stop; false if it has ended. */
static bool wait_stop(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(*ret_status);
}

/* One that stands at its mark, or 0. */
static pid_t start(void (*act)(void))
{
	int stopped;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		act();
		_exit(0);
	}
	if (pid < 0 || !wait_stop(pid, &stopped) ||
	    WSTOPSIG(stopped) != SIGSTOP)
		return 0;
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
	return pid;
}

static int status; /* of the one that has ended */

/* True while it goes on: a signal of its own is delivered. */
static bool go_on(pid_t pid, int how)
{
	int sig = 0;

	for (;;) {
		ptrace(how, pid, NULL, (void *)(long)sig);
		if (!wait_stop(pid, &status))
			return false;
		sig = WSTOPSIG(status) & ~0x80;
		if (sig == SIGTRAP)
			return true;
	}
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (wait_stop(pid, &status))
		;
}

#ifdef __x86_64__
#define CAN_STEP true
static unsigned long where(pid_t pid)
{
	return (unsigned long)ptrace(PTRACE_PEEKUSER, pid,
				     (void *)offsetof(struct user, regs.rip),
				     NULL);
}

static bool is_call(unsigned long at)
{
	/* A fork of this process: its code is ours. */
	const unsigned char *code = (const void *)at;

	return code[0] == 0x0f && code[1] == 0x05;
}
#else
#define CAN_STEP false
static unsigned long where(pid_t pid)
{
	(void)pid;
	return 0;
}

static bool is_call(unsigned long at)
{
	(void)at;
	return false;
}
#endif

/* ------------------------------------------------------- what is watched */

static void forget(struct watched *w)
{
	if (w->map)
		munmap((void *)(uintptr_t)w->map, w->part->length);
	w->map = NULL;
	w->ino = 0;
}

/* It may come, go, be replaced and cut by a system call. */
static void follow(struct watched *w)
{
	size_t end_of = w->part->offset + w->part->length;
	struct stat st = { 0 };
	void *p;
	int fd;

	if (stat(w->part->path, &st) < 0 || (size_t)st.st_size < end_of)
		st.st_ino = 0;
	if (w->ino == st.st_ino)
		return;
	forget(w);
	fd = st.st_ino ? open(w->part->path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	p = mmap(NULL, w->part->length, PROT_READ, MAP_SHARED, fd,
		 (off_t)w->part->offset);
	close(fd);
	if (p == MAP_FAILED)
		return;
	w->map = p;
	w->ino = st.st_ino;
	memcpy(w->last, w->map, w->part->length);
}

static bool has_changed(struct watched *w)
{
	if (!w->map || memcmp(w->last, w->map, w->part->length) == 0)
		return false;
	memcpy(w->last, w->map, w->part->length);
	return true;
}

/* -------------------------------------------------------------- the walks */

static bool look(size_t n, bool call)
{
	bool changed = call;

	for (size_t i = 0; i < n; i++) {
		if (call)
			follow(&watched[i]);
		changed |= has_changed(&watched[i]);
	}
	return changed;
}

long kills_find(void (*act)(void), const struct kills_part *parts, size_t n,
		struct kills_point *ret, size_t room)
{
	struct kills_point at = { 0, 0 };
	pid_t pid = CAN_STEP ? start(act) : 0;
	unsigned long rip, last = 0;
	long found = 0, alike = 0;
	bool call, goes = pid != 0;

	if (!goes)
		return -1;
	for (size_t i = 0; i < n; i++) {
		watched[i] = (struct watched){ &parts[i], NULL,
					       malloc(parts[i].length), 0 };
		follow(&watched[i]);
	}
	for (long total = 0; goes && total < ENDLESS; total++) {
		rip = where(pid);
		call = is_call(rip);
		goes = go_on(pid, PTRACE_SINGLESTEP);
		at = call ? (struct kills_point){ at.calls + 1, 0 }
			  : (struct kills_point){ at.calls, at.steps + 1 };
		if (!goes || !look(n, call))
			continue;
		alike = rip == last ? alike + 1 : 0;
		last = rip;
		if (alike % ALIKE > 1)
			continue;
		if ((size_t)found < room)
			ret[found] = at;
		found++;
	}
	if (goes)
		end(pid);
	if (goes || status) {
		printf("the operation ends otherwise, at call %ld: %x\n",
		       at.calls, (unsigned)status);
		found = -2;
	}
	for (size_t i = 0; i < n; i++) {
		forget(&watched[i]);
		free(watched[i].last);
	}
	return found;
}

bool kills_at(void (*act)(void), const struct kills_point *at)
{
	pid_t pid = start(act);
	bool goes = pid != 0;

	for (long i = 0; goes && i < 2 * at->calls; i++)
		goes = go_on(pid, PTRACE_SYSCALL);
	for (long i = 0; goes && i < at->steps; i++)
		goes = go_on(pid, PTRACE_SINGLESTEP);
	if (goes)
		end(pid);
	return goes;
}
