/* SPDX-License-Identifier: MIT */
/*
 * Owns the stepped process and its parent or child; all of them die with us.
 *
 * The process is a fork of this one, so its code is read here. Only a system
 * call changes files and says where the list of robust mutexes is: these are
 * looked at after one. Bytes of the registry are compared after every
 * instruction, through a mapping of our own.
 */
#include "stepper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS	    (PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK)
#define ROBUST_MOST 2048     /* the kernel's own limit */
#define ENDLESS	    10000000 /* instructions; a look through /proc is 1 % */

/* ---------------------------------------------------------- the process */

void stepper_mark(void)
{
	raise(SIGSTOP);
}

static void run(void (*act)(void))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	act();
	raise(SIGSTOP);
	_exit(0);
}

/* The next stop of 'pid'; false if it has ended. */
static bool wait_stop(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(*ret_status);
}

static bool is_fork(int status)
{
	return status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8);
}

/* It has forked: its child is ours as well, and stands still. */
static bool child_caught(struct stepper *s)
{
	unsigned long child = 0;
	int status;

	if (ptrace(PTRACE_GETEVENTMSG, s->pid, NULL, &child) < 0)
		return false;
	s->other = (pid_t)child;
	return wait_stop(s->other, &status);
}

/* Let the parent fork and come to its end, good or bad; step its child. */
static bool child_take(struct stepper *s, enum stepper_how how)
{
	pid_t parent = s->pid;
	int status;

	ptrace(PTRACE_CONT, parent, NULL, NULL);
	if (!wait_stop(parent, &status) || !is_fork(status) || !child_caught(s))
		return false;
	s->pid = s->other;
	s->other = parent;
	if (how == STEPPER_ORPHAN) {
		s->other = 0;
		return kill(parent, SIGKILL) == 0 &&
		       !wait_stop(parent, &status);
	}
	ptrace(PTRACE_CONT, parent, NULL, NULL);
	return wait_stop(parent, &status) && WSTOPSIG(status) == SIGSTOP;
}

/* ----------------------------------------------------------- what it sees */

static void registry_unmap(struct stepper *s)
{
	if (s->map)
		munmap((void *)(uintptr_t)s->map, s->now.size);
	s->map = NULL;
	s->ino = 0;
	s->now.size = 0;
}

/* It may come, go, and be replaced. True if it did. */
static bool registry_map(struct stepper *s)
{
	char path[100];
	struct stat st;
	void *p;
	int fd;

	image_registry(s->dir, path, sizeof(path));
	if (stat(path, &st) < 0)
		st.st_ino = 0;
	if (st.st_ino == s->ino)
		return false;
	registry_unmap(s);
	if (st.st_ino == 0)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED || st.st_size > IMAGE_ROOM) {
		s->sick = "has a registry that cannot be mapped";
		return true;
	}
	s->map = p;
	s->ino = st.st_ino;
	s->now.size = (size_t)st.st_size;
	return true;
}

/* What only a system call changes. True if it did. */
static bool look_after_call(struct stepper *s)
{
	static struct image files;
	bool changed = registry_map(s);
	size_t size;

	if (syscall(SYS_get_robust_list, s->pid, &s->robust_at, &size) < 0)
		s->robust_at = 0;
	image_take_files(&files, s->dir);
	if (image_same_files(&files, &s->now))
		return changed;
	s->now.directory = files.directory;
	s->now.nfiles = files.nfiles;
	memcpy(s->now.files, files.files, sizeof(files.files));
	return true;
}

static bool read_memory(const struct stepper *s, unsigned long at, void *to,
			size_t size)
{
	struct iovec local = { to, size }, remote = { (void *)at, size };

	return process_vm_readv(s->pid, &local, 1, &remote, 1, 0) ==
	       (ssize_t)size;
}

/* What any instruction may change. */
static bool look(struct stepper *s)
{
	struct robust_list_head robust = { 0 };
	bool changed = false;

	if (s->map && memcmp(s->map, s->now.bytes, s->now.size) != 0) {
		memcpy(s->now.bytes, s->map, s->now.size);
		changed = true;
	}
	if (s->pid && s->robust_at)
		read_memory(s, s->robust_at, &robust, sizeof(robust));
	if (memcmp(&robust, &s->robust, sizeof(robust)) != 0) {
		s->robust = robust;
		changed = true;
	}
	return changed;
}

/* -------------------------------------------------------------- stepping */

#ifdef __x86_64__
static bool at_system_call(const struct stepper *s)
{
	unsigned long at = (unsigned long)ptrace(
		PTRACE_PEEKUSER, s->pid,
		(void *)offsetof(struct user, regs.rip), NULL);
	const unsigned char *code = (const void *)at;

	return code[0] == 0x0f && code[1] == 0x05;
}
#define CAN_STEP true
#else
/* Elsewhere atomic operations may be loops that no stepped process leaves. */
static bool at_system_call(const struct stepper *s)
{
	(void)s;
	return true;
}
#define CAN_STEP false
#endif

bool stepper_start(struct stepper *s, const char *dir, void (*act)(void),
		   enum stepper_how how)
{
	int status;

	memset(s, 0, sizeof(*s));
	s->dir = dir;
	fflush(stdout);
	s->pid = CAN_STEP ? fork() : -1;
	if (s->pid == 0)
		run(act);
	if (s->pid < 0 || !wait_stop(s->pid, &status) ||
	    ptrace(PTRACE_SETOPTIONS, s->pid, NULL, (void *)OPTIONS) < 0)
		return false;
	if (how != STEPPER_SELF && !child_take(s, how))
		return false;
	look_after_call(s);
	look(s);
	return true;
}

bool stepper_next(struct stepper *s)
{
	int status;

	while (s->pid && !s->sick) {
		bool call = at_system_call(s), changed = false;

		ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL);
		if (!wait_stop(s->pid, &status)) {
			/* Through exit(): the kernel has said what it says. */
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
				s->sick = "died by itself";
			s->pid = 0;
		} else if (is_fork(status)) {
			if (!child_caught(s))
				s->sick = "has a child that got away";
			changed = true;
		} else if (WSTOPSIG(status) == SIGSTOP) {
			return false;
		} else if (status >> 8 != SIGTRAP) {
			s->sick = "got a signal";
		}
		if (++s->position == ENDLESS)
			s->sick = "never comes to its end";
		if (call)
			changed |= look_after_call(s);
		changed |= look(s);
		if (changed)
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------- death */

/* Where the registry lies in its memory, or 0. */
static unsigned long registry_base(const struct stepper *s)
{
	char path[100], line[300];
	unsigned long base = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", s->pid);
	maps = fopen(path, "re");
	image_registry(s->dir, path, sizeof(path));
	while (maps && !base && fgets(line, sizeof(line), maps))
		if (strstr(line, path))
			base = strtoul(line, NULL, 16);
	if (maps)
		fclose(maps);
	return base;
}

/* handle_futex_death() of the kernel. */
static void futex_death(const struct stepper *s, struct image *im,
			unsigned long base, unsigned long entry)
{
	unsigned long at = (entry & ~1ul) +
			   (unsigned long)s->robust.futex_offset - base;
	uint32_t *word = (uint32_t *)(void *)(im->bytes + at);

	if (at >= im->size || at % 4 ||
	    (*word & FUTEX_TID_MASK) != (uint32_t)s->pid)
		return;
	*word = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
}

/* exit_robust_list() of the kernel. */
void stepper_dead(const struct stepper *s, struct image *ret)
{
	unsigned long entry = (unsigned long)s->robust.list.next, next, base;
	unsigned long pending = (unsigned long)s->robust.list_op_pending;

	memcpy(ret, &s->now, sizeof(*ret));
	ret->child = s->other != 0;
	base = s->pid && entry ? registry_base(s) : 0;
	if (!base)
		return;
	for (int i = 0; i < ROBUST_MOST && (entry & ~1ul) != s->robust_at;
	     i++) {
		bool more = read_memory(s, entry & ~1ul, &next, sizeof(next));

		if (entry != pending)
			futex_death(s, ret, base, entry);
		if (!more)
			break;
		entry = next;
	}
	if (pending)
		futex_death(s, ret, base, pending);
}

void stepper_kill(struct stepper *s)
{
	int status;

	if (s->pid > 0 && kill(s->pid, SIGKILL) == 0)
		while (wait_stop(s->pid, &status))
			;
	s->pid = 0;
}

void stepper_end(struct stepper *s)
{
	stepper_kill(s);
	s->pid = s->other;
	stepper_kill(s);
	s->other = 0;
	registry_unmap(s);
}
