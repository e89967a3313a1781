/* SPDX-License-Identifier: MIT */
/*
 * The ends of a program: exit(3) in its kinds, and exec.
 *
 * What was stored to mappings is in the file afterwards, as if the kernel had
 * mapped it. exec gives nothing up, for it may fail. A killed process comes by
 * none of this; whoever maps the file next then writes what it left.
 */
#include <alloca.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "edge/filemap.h"

/*
 * A vfork() child has our memory, and leaves it to its parent. It has seen no
 * fork handler, so it is not the process that the memory is of.
 */
static int self;

static void note_self(void)
{
	self = sys_getpid();
}

static void flush(bool ends)
{
	if (mapping_any() && sys_getpid() == self)
		mapping_flush(ends);
}

__attribute__((constructor)) static void watch_fork(void)
{
	note_self();
	(void)pthread_atfork(NULL, NULL, note_self);
}

/* ------------------------------------------------------------------ exit */

#ifdef __GLIBC__
/*
 * Destructors of libraries may still store. Those are a handler as well, which
 * libc registers after constructors like this one: ours, which belongs to no
 * library, runs after that.
 */
int at_exit_of(void (*fn)(void *arg), void *arg,
	       void *library) __asm__("__cxa_atexit");

static void at_last(void *unused)
{
	(void)unused;
	flush(true);
}

__attribute__((constructor)) static void watch_exit(void)
{
	(void)at_exit_of(at_last, NULL, NULL);
}
#else
__attribute__((destructor)) static void at_last(void)
{
	flush(true);
}
#endif

/* It runs no destructors, and ends without a call that could be replaced. */
static void at_quick_end(void)
{
	flush(true);
}

__attribute__((constructor)) static void watch_quick_exit(void)
{
	(void)at_quick_exit(at_quick_end);
}

typedef void exit_fn(int status);
NEXT(exit_fn, _exit)

_Noreturn void fm__exit(int status) EXPORT(_exit);
_Noreturn void fm__Exit(int status) EXPORT(_Exit);

_Noreturn void fm__exit(int status)
{
	flush(true);
	for (;;)
		real__exit()(status);
}

_Noreturn void fm__Exit(int status)
{
	fm__exit(status);
}

/* ------------------------------------------------------------------ exec */

typedef int execve_fn(const char *path, char *const argv[], char *const envp[]);
typedef int execv_fn(const char *path, char *const argv[]);
typedef int fexecve_fn(int fd, char *const argv[], char *const envp[]);
typedef int execveat_fn(int dir, const char *path, char *const argv[],
			char *const envp[], int flags);

execve_fn fm_execve EXPORT(execve);
execve_fn fm_execvpe EXPORT(execvpe);
execv_fn fm_execv EXPORT(execv);
execv_fn fm_execvp EXPORT(execvp);
fexecve_fn fm_fexecve EXPORT(fexecve);
execveat_fn fm_execveat EXPORT(execveat);

NEXT(execve_fn, execve)
NEXT(execve_fn, execvpe)
NEXT(execv_fn, execv)
NEXT(execv_fn, execvp)
NEXT(fexecve_fn, fexecve)
NEXT(execveat_fn, execveat)

int fm_execve(const char *path, char *const argv[], char *const envp[])
{
	flush(false);
	return real_execve()(path, argv, envp);
}

int fm_execvpe(const char *path, char *const argv[], char *const envp[])
{
	flush(false);
	return real_execvpe()(path, argv, envp);
}

int fm_execv(const char *path, char *const argv[])
{
	flush(false);
	return real_execv()(path, argv);
}

int fm_execvp(const char *path, char *const argv[])
{
	flush(false);
	return real_execvp()(path, argv);
}

int fm_fexecve(int fd, char *const argv[], char *const envp[])
{
	flush(false);
	return real_fexecve()(fd, argv, envp);
}

int fm_execveat(int dir, const char *path, char *const argv[],
		char *const envp[], int flags)
{
	flush(false);
	return real_execveat()(dir, path, argv, envp, flags);
}

/*
 * The forms with the arguments in a row. The array of the other forms lies on
 * the stack, as libc has it: in a child of a threaded program there may be
 * nothing else. 'args' is left behind the NULL: execle's environment is there.
 */
#define ROW(argv, arg, args)                                 \
	do {                                                 \
		size_t n_ = 1;                               \
		va_start((args), arg);                       \
		while (va_arg((args), char *))               \
			n_++;                                \
		va_end((args));                              \
		(argv) = alloca((n_ + 1) * sizeof(*(argv))); \
		(argv)[0] = (char *)(uintptr_t)(arg);        \
		va_start((args), arg);                       \
		for (size_t i_ = 1; i_ <= n_; i_++)          \
			(argv)[i_] = va_arg((args), char *); \
	} while (0)

typedef int row_fn(const char *path, const char *arg, ...);
row_fn fm_execl EXPORT(execl);
row_fn fm_execle EXPORT(execle);
row_fn fm_execlp EXPORT(execlp);

int fm_execl(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv;

	ROW(argv, arg, args);
	va_end(args);
	return fm_execv(path, argv);
}

int fm_execlp(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv;

	ROW(argv, arg, args);
	va_end(args);
	return fm_execvp(path, argv);
}

int fm_execle(const char *path, const char *arg, ...)
{
	char *const *envp;
	va_list args;
	char **argv;

	ROW(argv, arg, args);
	envp = va_arg(args, char *const *);
	va_end(args);
	return fm_execve(path, argv, envp);
}
