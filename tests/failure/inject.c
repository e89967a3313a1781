/* SPDX-License-Identifier: MIT */
/*
 * Which calls can fail, and how. A call that is not in the table cannot
 * (getpid) and does not count.
 */
#include "failure/inject.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/step.h"

#define CHOICES 8

static const struct row {
	long call;
	const char *name;
	bool harmless; /* whatever it was for, the operation goes on */
	int errors[CHOICES];
} rows[] = {
	{ SYS_openat,
	  "openat",
	  false,
	  { EACCES, EMFILE, ENFILE, ENOMEM, EIO, EINTR, EPERM } },
	{ SYS_close, "close", true, { EIO, EINTR } },
	{ SYS_read, "read", false, { EIO, EINTR, EAGAIN } },
	{ SYS_write, "write", false, { EIO, ENOSPC, EAGAIN } },
	{ SYS_unlinkat, "unlinkat", false, { EACCES, EIO, EBUSY, EROFS } },
	{ SYS_mkdirat, "mkdirat", false, { EACCES, ENOSPC, EROFS, EDQUOT } },
	{ SYS_linkat, "linkat", false, { EPERM, EACCES, ENOSPC, EIO, EROFS } },
	{ SYS_symlinkat, "symlinkat", true, { EPERM, EACCES, ENOSPC, EROFS } },
	{ SYS_renameat2, "renameat2", false, { EINVAL, ENOSPC, EIO, EROFS } },
	{ SYS_ftruncate, "ftruncate", false, { EFBIG, EIO, EINTR, EPERM } },
	{ SYS_fallocate,
	  "fallocate",
	  false,
	  { ENOSPC, EDQUOT, EFBIG, EIO, EINTR, EOPNOTSUPP } },
	{ SYS_fchmod, "fchmod", false, { EPERM, EIO, EROFS } },
	{ SYS_newfstatat, "newfstatat", false, { EACCES, ENOMEM, EIO } },
	{ SYS_statfs, "statfs", false, { EACCES, EIO, EINTR, ENOSYS } },
	{ SYS_flock, "flock", false, { EINTR, ENOLCK } },
	{ SYS_getdents64, "getdents64", false, { EIO } },
	{ SYS_getcwd, "getcwd", false, { ENOENT, ERANGE, ENOMEM } },
	{ SYS_mmap, "mmap", false, { ENOMEM, EACCES, EAGAIN, ENODEV, EPERM } },
	/* Not EFAULT: it says that nothing is mapped, which is believed. */
	{ SYS_mremap, "mremap", false, { ENOMEM, EAGAIN, EINVAL, EPERM } },
	{ SYS_munmap, "munmap", false, { ENOMEM, EPERM } },
	{ SYS_mprotect, "mprotect", false, { ENOMEM, EACCES } },
	{ SYS_mlock, "mlock", false, { ENOMEM, EPERM, EAGAIN } },
	{ SYS_munlock, "munlock", false, { ENOMEM, EPERM } },
	{ SYS_madvise, "madvise", false, { EINVAL, ENOMEM, EAGAIN, EPERM } },
	{ SYS_rt_sigprocmask, "rt_sigprocmask", false, { EPERM } },
	{ SYS_rt_sigpending, "rt_sigpending", true, { EPERM } },
	{ SYS_rt_sigtimedwait, "rt_sigtimedwait", true, { EAGAIN, EPERM } },
	{ SYS_prlimit64, "prlimit64", false, { EPERM } },
	{ SYS_sysinfo, "sysinfo", true, { EPERM } },
	{ SYS_capget, "capget", false, { EPERM } },
	{ SYS_futex, "futex", true, { EINTR, EAGAIN } },
	{ SYS_kill, "kill", true, { EPERM } },
	{ SYS_wait4, "wait4", true, { EINTR } },
	{ SYS_get_robust_list, "get_robust_list", false, { EPERM } },
	{ SYS_set_robust_list, "set_robust_list", false, { EPERM } },
	{ CALL_CLONE, "clone", false, { EAGAIN, ENOMEM, EPERM } },
	{ CALL_MUTEX, "pthread_mutex", false, { ENOMEM, EAGAIN } },
	{ CALL_THREAD, "pthread_key", true, { ENOMEM, EAGAIN } },
	{ CALL_ATFORK, "pthread_atfork", true, { ENOMEM } },
};

static struct injection *injection;
static pid_t the_process;
static bool any_but, no_links, borrowing;
static long calls;

static const struct row *row_of(long call)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].call == call)
			return &rows[i];
	return NULL;
}

const char *inject_name(long call)
{
	const struct row *row = row_of(call);

	return row ? row->name : "none";
}

/* What /proc says is for better answers only. */
static bool advisory(const char *path)
{
	return path && strncmp(path, "/proc/", 6) == 0 &&
	       strncmp(path, "/proc/self/fd/", 14) != 0;
}

/* What passes is tried again, as it should be. */
static bool lasts(int error)
{
	return error != EINTR && error != EAGAIN;
}

/* 0, or the errno that this call has to fail with. */
static int asked(long call, const char *path)
{
	const struct row *row = row_of(call);
	pid_t me = (pid_t)syscall(SYS_getpid);
	struct injection *in = injection;

	if (!in || !row || (!borrowing && (me == the_process) == any_but))
		return 0;
	if (no_links && call == SYS_linkat)
		return EPERM;
	if (in->met)
		return in->lasting && lasts(in->error) && call == in->call &&
				       advisory(path) == advisory(in->path)
			       ? in->error
			       : 0;
	if (++calls != in->at)
		return 0;
	in->met = true;
	in->call = call;
	in->error = row->errors[in->which];
	for (in->choices = 0; in->choices < CHOICES; in->choices++)
		if (!row->errors[in->choices])
			break;
	in->harmless = row->harmless || advisory(path) ||
		       (in->error == EMFILE && !borrowing && !in->lasting);
	/* No stdio here: the stack of a borrowed process is small. */
	strncpy(in->path, path ? path : "", sizeof(in->path) - 1);
	return in->error;
}

static long on_call(long call, long a, long b)
{
	const char *path = NULL;
	int error;

	if (call == SYS_openat || call == SYS_newfstatat ||
	    call == SYS_unlinkat)
		path = (const char *)b;
	error = asked(call, path);

	/* On Linux the descriptor is gone all the same. */
	if (error && call == SYS_close)
		(void)syscall(SYS_close, a);
	return -error;
}

void inject_arm(struct injection *in, pid_t victim, bool any_but_it)
{
	injection = in;
	the_process = victim;
	any_but = any_but_it;
	calls = 0;
	ushm_call_hook = on_call;
}

void inject_disarm(void)
{
	injection = NULL;
}

void inject_without_links(void)
{
	no_links = true;
}

/* ------------------------------------------- libc's: linked with --wrap */

#define WRAP(call, name, parameters, arguments) \
	int __real_##name parameters;           \
	int __wrap_##name parameters;           \
	int __wrap_##name parameters            \
	{                                       \
		int error = asked(call, NULL);  \
                                                \
		if (error)                      \
			return error;           \
		return __real_##name arguments; \
	}

WRAP(CALL_MUTEX, pthread_mutexattr_init, (pthread_mutexattr_t * a), (a))
WRAP(CALL_MUTEX, pthread_mutexattr_setpshared, (pthread_mutexattr_t * a, int v),
     (a, v))
WRAP(CALL_MUTEX, pthread_mutexattr_setrobust, (pthread_mutexattr_t * a, int v),
     (a, v))
WRAP(CALL_MUTEX, pthread_mutex_init,
     (pthread_mutex_t * m, const pthread_mutexattr_t *a), (m, a))
WRAP(CALL_MUTEX, pthread_mutex_lock, (pthread_mutex_t * m), (m))
WRAP(CALL_MUTEX, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
WRAP(CALL_THREAD, pthread_key_create, (pthread_key_t * k, void (*f)(void *)),
     (k, f))
WRAP(CALL_THREAD, pthread_setspecific, (pthread_key_t k, const void *v), (k, v))
WRAP(CALL_ATFORK, pthread_atfork,
     (void (*a)(void), void (*b)(void), void (*c)(void)), (a, b, c))

int __real_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
int __wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

/* The library passes no more than these. */
int __wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	int error = asked(CALL_CLONE, NULL);

	int pid;

	if (error) {
		errno = error;
		return -1;
	}
	/* It runs in our memory, and we wait: its calls are ours. */
	borrowing = true;
	pid = __real_clone(fn, stack, flags, arg);
	borrowing = false;
	return pid;
}
