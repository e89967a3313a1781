/* SPDX-License-Identifier: MIT */
/*
 * The names of libc that an unmodified program calls.
 *
 * Owns nothing: each function decides whether a call concerns shared memory
 * and passes it on unchanged if not. Until the first shared memory call no
 * file is opened and no memory allocated. Mapping calls are made directly, so
 * that they work at any moment of a program's start.
 *
 * Functions are defined under names of our own with the libc name as their
 * assembler name: libc's headers redirect some of them.
 */
#undef _FILE_OFFSET_BITS
#include "ushm.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "base/user.h"
#include "core/memory.h"
#include "core/process.h"
#include "edge/ipc.h"
#include "edge/next.h"
#include "edge/procfile.h"

/* To musl's headers these are other words for the plain names. */
#undef mmap64
#undef open64
#undef openat64
#undef fopen64

static void *result(void *p)
{
	if (!sys_failed(p))
		return p;
	errno = (int)-(intptr_t)p;
	return MAP_FAILED;
}

/* ---------------------------------------------------------- shared memory */

int pre_shmget(key_t key, size_t size, int shmflg) EXPORT(shmget);
void *pre_shmat(int shmid, const void *addr, int shmflg) EXPORT(shmat);
int pre_shmdt(const void *addr) EXPORT(shmdt);
int pre_shmctl(int shmid, int cmd, struct shmid_ds *buf) EXPORT(shmctl);

int pre_shmget(key_t key, size_t size, int shmflg)
{
	procfile_settle();
	return ushm_shmget(key, size, shmflg);
}

void *pre_shmat(int shmid, const void *addr, int shmflg)
{
	procfile_settle();
	return ushm_shmat(shmid, addr, shmflg);
}

int pre_shmdt(const void *addr)
{
	procfile_settle();
	return ushm_shmdt(addr);
}

int pre_shmctl(int shmid, int cmd, struct shmid_ds *buf)
{
	procfile_settle();
	return ushm_shmctl(shmid, cmd, buf);
}

/*
 * syscall(2) by number. Six arguments and no more: the real one is then
 * reached by a jump, as if we had not been there.
 */
typedef long syscall_fn(long n, long a, long b, long c, long d, long e, long f);
syscall_fn pre_syscall EXPORT(syscall);
NEXT(syscall_fn, syscall)

/* Does the call make a process with a copy of our memory and of our stack? */
static bool forks(long n, long a, long b)
{
	switch (n) {
	case SYS_fork:
		return true;
	case SYS_clone:
		return !(a & CLONE_VM) && !b;
	default:
		return false;
	}
}

__attribute__((noinline)) static long fork_by_number(long n, long a, long b,
						     long c, long d, long e)
{
	long pid = process_room();

	if (pid < 0)
		return (long)result((void *)pid);
	process_before_fork();
	pid = sys_call6(n, a, b, c, d, e, 0);
	process_after_fork((int)pid);
	return pid < 0 ? (long)result((void *)pid) : pid;
}

/* The meaning of the arguments is that of ipc/syscall.c in the kernel. */
static long ipc_by_number(long call, long first, long second, long third,
			  long ptr)
{
	void *p;
	int r;

	switch (IPC_CALL(call)) {
	case IPC_CALL_SHMGET:
		return ushm_shmget((key_t)first, (size_t)second, (int)third);
	case IPC_CALL_SHMDT:
		return ushm_shmdt((const void *)ptr);
	case IPC_CALL_SHMCTL:
		/* Nobody uses the old structures; EINVAL is what they get. */
		if (!(second & IPC_CMD_64) && ipc_has_buffer(second))
			return (long)result((void *)-EINVAL);
		return ushm_shmctl((int)first, (int)second & ~IPC_CMD_64,
				   (struct shmid_ds *)ptr);
	default:
		p = ushm_shmat((int)first, (const void *)ptr, (int)second);
		if (p == MAP_FAILED)
			return -1;
		r = user_write((void *)third, &p, sizeof(p));
		return r < 0 ? (long)result((void *)(intptr_t)r) : 0;
	}
}

long pre_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	if (forks(n, a, b))
		return fork_by_number(n, a, b, c, d, e);
	switch (n) {
	case SYS_shmget:
		return ushm_shmget((key_t)a, (size_t)b, (int)c);
	case SYS_shmat:
		return (long)ushm_shmat((int)a, (const void *)b, (int)c);
	case SYS_shmdt:
		return ushm_shmdt((const void *)a);
	case SYS_shmctl:
		return ushm_shmctl((int)a, (int)b, (struct shmid_ds *)c);
	case SYS_ipc:
		if (ipc_is_memory(a))
			return ipc_by_number(a, b, c, d, e);
		return real_syscall()(n, a, b, c, d, e, f);
	default:
		return real_syscall()(n, a, b, c, d, e, f);
	}
}

/* ----------------------------------------------------------------- memory */

int pre_munmap(void *addr, size_t length) EXPORT(munmap);
void *pre_mmap(void *addr, size_t length, int prot, int flags, int fd,
	       long offset) EXPORT(mmap);
void *pre_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		 int64_t offset) EXPORT(mmap64);
void *pre_mremap(void *old, size_t old_size, size_t new_size, int flags,
		 void *new_addr) EXPORT(mremap);

int pre_munmap(void *addr, size_t length)
{
	return ushm_munmap(addr, length);
}

void *pre_mmap64(void *addr, size_t length, int prot, int flags, int fd,
		 int64_t offset)
{
	if (flags & MAP_FIXED && memory_touches((uintptr_t)addr, length))
		return result(memory_mmap(addr, length, prot, flags, fd,
					  (uint64_t)offset));
	return result(
		sys_mmap(addr, length, prot, flags, fd, (uint64_t)offset));
}

void *pre_mmap(void *addr, size_t length, int prot, int flags, int fd,
	       long offset)
{
	return pre_mmap64(addr, length, prot, flags, fd, offset);
}

/* The fifth argument is looked at only if the flags say that it is there. */
void *pre_mremap(void *old, size_t old_size, size_t new_size, int flags,
		 void *new_addr)
{
	return ushm_mremap(old, old_size, new_size, flags, new_addr);
}

int pre_mprotect(void *addr, size_t length, int prot) EXPORT(mprotect);
int pre_mlock(const void *addr, size_t length) EXPORT(mlock);
int pre_mlock2(const void *addr, size_t length, unsigned flags) EXPORT(mlock2);
int pre_munlock(const void *addr, size_t length) EXPORT(munlock);
int pre_madvise(void *addr, size_t length, int advice) EXPORT(madvise);

int pre_mprotect(void *addr, size_t length, int prot)
{
	return ushm_mprotect(addr, length, prot);
}

int pre_mlock(const void *addr, size_t length)
{
	return ushm_mlock(addr, length);
}

int pre_mlock2(const void *addr, size_t length, unsigned flags)
{
	int r;

	if (!flags)
		return ushm_mlock(addr, length);
	r = memory_touches((uintptr_t)addr, length)
		    ? memory_mlock((void *)(uintptr_t)addr, length, (int)flags)
		    : (int)SYS3(SYS_mlock2, addr, length, flags);
	return r < 0 ? (int)(intptr_t)result((void *)(intptr_t)r) : r;
}

int pre_munlock(const void *addr, size_t length)
{
	return ushm_munlock(addr, length);
}

int pre_madvise(void *addr, size_t length, int advice)
{
	return ushm_madvise(addr, length, advice);
}

/* -------------------------------------------------------------- processes */

typedef pid_t fork_fn(void);
fork_fn pre_fork EXPORT(fork);
fork_fn pre__Fork EXPORT(_Fork);
NEXT(fork_fn, fork)
NEXT(fork_fn, _Fork)

static int no_room(void)
{
	errno = ENOMEM;
	return -1;
}

pid_t pre_fork(void)
{
	pid_t pid;
	int saved;

	procfile_settle();
	if (process_room() < 0)
		return no_room();
	pid = real_fork()();
	saved = errno;

	/* The fork handlers have run; only here the outcome is known. */
	if (pid != 0)
		process_forked(pid);
	errno = saved;
	return pid;
}

pid_t pre__Fork(void)
{
	fork_fn *f = real__Fork();
	pid_t pid;
	int saved;

	if (!f) {
		errno = ENOSYS;
		return -1;
	}
	if (process_room() < 0)
		return no_room();
	process_before_fork();
	pid = f();
	saved = errno;
	process_after_fork(pid);
	errno = saved;
	return pid;
}

typedef int clone_fn(int (*fn)(void *), void *stack, int flags, void *arg,
		     void *ptid, void *tls, void *ctid);
clone_fn pre_clone EXPORT(clone);
NEXT(clone_fn, clone)

struct clone_start {
	int (*fn)(void *);
	void *arg;
};

static int clone_child(void *p)
{
	struct clone_start start = *(struct clone_start *)p;

	process_after_fork(0);
	return start.fn(start.arg);
}

int pre_clone(int (*fn)(void *), void *stack, int flags, void *arg, void *ptid,
	      void *tls, void *ctid)
{
	/* The child has a copy of this. */
	struct clone_start start = { fn, arg };
	int pid, saved;

	if (flags & CLONE_VM || !fn || !stack)
		return real_clone()(fn, stack, flags, arg, ptid, tls, ctid);
	if (process_room() < 0)
		return no_room();
	process_before_fork();
	pid = real_clone()(clone_child, stack, flags, &start, ptid, tls, ctid);
	saved = errno;
	process_after_fork(pid);
	errno = saved;
	return pid;
}

_Noreturn void pre__exit(int status) EXPORT(_exit);
_Noreturn void pre__Exit(int status) EXPORT(_Exit);

_Noreturn void pre__exit(int status)
{
	procfile_settle();
	process_exit();
	for (;;)
		(void)SYS3(SYS_exit_group, status, 0, 0);
}

_Noreturn void pre__Exit(int status)
{
	pre__exit(status);
}

/* ---------------------------------------------------------------- loading */

/*
 * With RTLD_DEEPBIND a library would find libc's names before ours. The real
 * function looks at its caller's address: it must be reached by a jump.
 */
typedef void *dlopen_fn(const char *path, int flags);
dlopen_fn pre_dlopen EXPORT(dlopen);
NEXT(dlopen_fn, dlopen)

void *pre_dlopen(const char *path, int flags)
{
#ifdef RTLD_DEEPBIND
	flags &= ~RTLD_DEEPBIND;
#endif
	return real_dlopen()(path, flags);
}

/* ------------------------------------------------------------ files in /proc
 */

/* A descriptor, or -1 and errno. */
static int proc_open(int which, int flags)
{
	int fd = procfile_open(which, flags);

	if (fd >= 0)
		return fd;
	errno = -fd;
	return -1;
}

/* The mode is looked at only if the flags say that it is there. */
typedef int open_fn(const char *path, int flags, unsigned mode);
typedef int openat_fn(int dir, const char *path, int flags, unsigned mode);
typedef int open_2_fn(const char *path, int flags);
typedef int openat_2_fn(int dir, const char *path, int flags);
typedef FILE *fopen_fn(const char *path, const char *mode);

#define WRAP_OPEN(name, other)                                     \
	open_fn pre_##name EXPORT(name);                           \
	NEXT_OR(open_fn, name, other)                              \
	int pre_##name(const char *path, int flags, unsigned mode) \
	{                                                          \
		int which = procfile_find(AT_FDCWD, path);         \
                                                                   \
		if (which >= 0)                                    \
			return proc_open(which, flags);            \
		return real_##name()(path, flags, mode);           \
	}

#define WRAP_OPENAT(name, other)                                            \
	openat_fn pre_##name EXPORT(name);                                  \
	NEXT_OR(openat_fn, name, other)                                     \
	int pre_##name(int dir, const char *path, int flags, unsigned mode) \
	{                                                                   \
		int which = procfile_find(dir, path);                       \
                                                                            \
		if (which >= 0)                                             \
			return proc_open(which, flags);                     \
		return real_##name()(dir, path, flags, mode);               \
	}

#define WRAP_OPEN_2(name)                                  \
	open_2_fn pre_##name EXPORT(name);                 \
	NEXT(open_2_fn, name)                              \
	int pre_##name(const char *path, int flags)        \
	{                                                  \
		int which = procfile_find(AT_FDCWD, path); \
                                                           \
		if (which >= 0)                            \
			return proc_open(which, flags);    \
		return real_##name()(path, flags);         \
	}

#define WRAP_OPENAT_2(name)                                  \
	openat_2_fn pre_##name EXPORT(name);                 \
	NEXT(openat_2_fn, name)                              \
	int pre_##name(int dir, const char *path, int flags) \
	{                                                    \
		int which = procfile_find(dir, path);        \
                                                             \
		if (which >= 0)                              \
			return proc_open(which, flags);      \
		return real_##name()(dir, path, flags);      \
	}

#define WRAP_FOPEN(name, other)                              \
	fopen_fn pre_##name EXPORT(name);                    \
	NEXT_OR(fopen_fn, name, other)                       \
	FILE *pre_##name(const char *path, const char *mode) \
	{                                                    \
		int which = procfile_find(AT_FDCWD, path);   \
                                                             \
		if (which >= 0)                              \
			return proc_fopen(which, mode);      \
		return real_##name()(path, mode);            \
	}

static FILE *proc_fopen(int which, const char *mode)
{
	int flags = strchr(mode, '+') ? O_RDWR
		    : mode[0] == 'r'  ? O_RDONLY
				      : O_WRONLY;
	FILE *f;
	int fd;

	if (strchr(mode, 'e'))
		flags |= O_CLOEXEC;
	fd = proc_open(which, flags);
	if (fd < 0)
		return NULL;
	f = fdopen(fd, mode);
	if (!f)
		(void)sys_close(fd);
	return f;
}

/* What was written to a limit counts at the latest when it is closed. */
typedef int close_fn(int fd);
typedef int fclose_fn(FILE *f);
close_fn pre_close EXPORT(close);
fclose_fn pre_fclose EXPORT(fclose);
NEXT(close_fn, close)
NEXT(fclose_fn, fclose)

int pre_close(int fd)
{
	procfile_settle();
	return real_close()(fd);
}

int pre_fclose(FILE *f)
{
	int r = real_fclose()(f), saved = errno;

	procfile_settle();
	errno = saved;
	return r;
}

/* The names with 64 are missing where off_t never had but 64 bits. */
WRAP_OPEN(open, open)
WRAP_OPEN(open64, open)
WRAP_OPENAT(openat, openat)
WRAP_OPENAT(openat64, openat)
WRAP_OPEN_2(__open_2)
WRAP_OPEN_2(__open64_2)
WRAP_OPENAT_2(__openat_2)
WRAP_OPENAT_2(__openat64_2)
WRAP_FOPEN(fopen, fopen)
WRAP_FOPEN(fopen64, fopen)

__attribute__((destructor)) static void last_settle(void)
{
	procfile_settle();
}
