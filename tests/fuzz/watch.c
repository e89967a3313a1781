/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/step.h"
#include "base/sys.h"

/*
 * For one input, in CPU time, so that a busy machine does not matter. 100 ms
 * is what a call may take; the sanitizers make code up to five times slower.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 5
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 5
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif
#define MAX_NS	   (100000000L * SLOWER)
#define MAX_CALLS  60000u /* system calls */
#define MAX_STEPS  50000u /* step()s, stores under the lock above all */
#define MAX_RANGES 512

struct watch watch;

static bool watching;
static int64_t began;
static struct range {
	uintptr_t from, to;
} ranges[MAX_RANGES];
static unsigned nranges;

void watch_fail(const char *what, const char *detail)
{
	fprintf(stderr, "== the library %s: %s\n", what, detail);
	abort();
}

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uintptr_t watch_mapped(uintptr_t at)
{
	for (unsigned i = 0; i < nranges; i++)
		if (at >= ranges[i].from && at < ranges[i].to)
			return ranges[i].to;
	return 0;
}

unsigned watch_pieces(void)
{
	return nranges;
}

#ifdef USHM_WATCHED

/* ----------------------------------------------------------------- paths */

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]) &&
	       !strstr(path, "/..");
}

/* Two at once, in renameat2() and linkat(). */
static long stand_in(long path)
{
	static char buf[2][4200];
	static unsigned turn;
	const char *name = (const char *)path;
	size_t n = below(name, "/dev/shm") ? 8 : below(name, "/tmp") ? 4 : 0;

	if (!watch.shm || n == 0 || below(name, watch.dir))
		return path;
	turn = !turn;
	snprintf(buf[turn], sizeof(buf[turn]), "%s%s", watch.shm, name + n);
	return (long)buf[turn];
}

/*
 * 0, or the error that the library sees. Only to name a file, O_PATH, does
 * nothing with it.
 */
static long check_path(int dir, const char *path, bool changes, bool names)
{
	if (dir != AT_FDCWD && !strchr(path, '/'))
		return 0; /* in a directory that it has opened */
	if (watch.dir && below(path, watch.dir))
		return 0;
	if (!changes && below(path, "/proc"))
		return 0;
	if (strcmp(path, "/proc/self/coredump_filter") == 0 ||
	    below(path, "/proc/self/fd"))
		return 0;
	if (!watch.deny && !names)
		watch_fail("left its directory", path);
	return -EACCES;
}

/* ---------------------------------------------------------------- memory */

static void range_add(uintptr_t from, uintptr_t to)
{
	if (nranges == MAX_RANGES)
		watch_fail("maps too much", "");
	ranges[nranges++] = (struct range){ from, to };
}

/* True if all of it was there. */
static bool range_remove(uintptr_t from, uintptr_t to)
{
	uintptr_t covered = 0;

	for (unsigned i = nranges; i-- > 0;) {
		struct range r = ranges[i];
		uintptr_t start = r.from > from ? r.from : from;
		uintptr_t end = r.to < to ? r.to : to;

		if (start >= end)
			continue;
		covered += end - start;
		ranges[i] = ranges[--nranges];
		if (r.from < start)
			range_add(r.from, start);
		if (r.to > end)
			range_add(end, r.to);
	}
	return covered >= to - from;
}

static long do_munmap(long addr, long length)
{
	uintptr_t from = (uintptr_t)addr, to = from + (uintptr_t)length;

	to = (to + 4095) & ~(uintptr_t)4095;
	if (from & 4095 || to <= from)
		return -EINVAL;
	if (range_remove(from, to))
		return sys_enter3(SYS_munmap, addr, length, 0);

	/* The address was read from the registry. */
	if (!watch.low || from < *watch.low || to > *watch.high)
		watch_fail("unmaps what is not its own", "");
	return 0;
}

/* ----------------------------------------------------------------- calls */

static long do_open(long dir, long path, long flags, long mode)
{
	const char *name = (const char *)path, *other = NULL;
	bool changes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
	long r = check_path((int)dir, name, changes, flags & O_PATH);

	if (r < 0)
		return r;
	if (flags & O_CREAT)
		watch.dir_changed = true;
	if (watch.instead)
		other = watch.instead(name);
	if (other)
		return sys_enter6(SYS_openat, AT_FDCWD, (long)other,
				  flags & ~O_NOFOLLOW, 0, 0, 0);
	return sys_enter6(SYS_openat, dir, path, flags, mode, 0, 0);
}

static long watched(long n, long a, long b, long c, long d, long e, long f)
{
	long r = 0;

	switch (n) {
	case SYS_linkat:
	case SYS_renameat2:
		d = stand_in(d);
		/* fall through */
	case SYS_openat:
	case SYS_newfstatat:
	case SYS_readlinkat:
	case SYS_unlinkat:
	case SYS_mkdirat:
		b = stand_in(b);
		break;
	case SYS_symlinkat:
		c = stand_in(c);
		break;
	case SYS_statfs:
		a = stand_in(a);
		break;
	default:
		break;
	}
	switch (n) {
	case SYS_openat:
		return do_open(a, b, c, d);
	case SYS_newfstatat:
		/* Who may change the way to the directory is asked. */
		if (d & AT_SYMLINK_NOFOLLOW && watch.dir &&
		    below(watch.dir, (const char *)b))
			break;
		/* fall through */
	case SYS_readlinkat:
		r = check_path((int)a, (const char *)b, false, false);
		break;
	case SYS_symlinkat:
		watch.dir_changed = true;
		r = check_path((int)b, (const char *)c, true, false);
		break;
	case SYS_statfs:
		r = check_path(AT_FDCWD, (const char *)a, false, false);
		break;
	case SYS_linkat:
	case SYS_renameat2:
		r = check_path((int)c, (const char *)d, true, false);
		/* fall through */
	case SYS_unlinkat:
	case SYS_mkdirat:
		watch.dir_changed = true;
		if (r == 0)
			r = check_path((int)a, (const char *)b, true, false);
		break;
	case SYS_ftruncate:
	case SYS_fallocate:
		watch.dir_changed = true;
		break;
	case SYS_munmap:
		return do_munmap(a, b);
	case SYS_mmap: /* over what the program asks for: only its own */
		if (d & MAP_FIXED &&
		    watch_mapped((uintptr_t)a) < (uintptr_t)a + (uintptr_t)b)
			return -ENOMEM;
		break;
	case SYS_rt_sigprocmask:
		/* The fuzzer's own alarm must come through. */
		if (a != SIG_SETMASK || !b)
			break;
		if (c)
			*(uint64_t *)c = 0;
		return 0;
	case SYS_futex:
		if ((b & FUTEX_CMD_MASK) != FUTEX_WAIT)
			break;
		watch.waits++;
		if (watch.waited)
			watch.waited(watch.waits);
		return -ETIMEDOUT;
	case SYS_kill:
		if (b)
			watch_fail("signals a process", "");
		break;
	default:
		break;
	}
	if (r < 0)
		return r;
	r = sys_enter6(n, a, b, c, d, e, f);
	if (n == SYS_mmap && !sys_failed((void *)r))
		range_add((uintptr_t)r,
			  (uintptr_t)r + (((uintptr_t)b + 4095) & ~4095ul));
	if (n == SYS_mremap && !sys_failed((void *)r)) {
		if ((uintptr_t)b && !(d & MREMAP_DONTUNMAP))
			(void)range_remove(
				(uintptr_t)a,
				(uintptr_t)a +
					(((uintptr_t)b + 4095) & ~4095ul));
		range_add((uintptr_t)r,
			  (uintptr_t)r + (((uintptr_t)c + 4095) & ~4095ul));
	}
	return r;
}

long watch_call(long n, long a, long b, long c, long d, long e, long f)
{
	if (!watching)
		return sys_enter6(n, a, b, c, d, e, f);
	if (++watch.calls > MAX_CALLS)
		watch_fail("does not come to an end", "system calls");
	return watched(n, a, b, c, d, e, f);
}

static void unmap_rest(void)
{
	for (unsigned i = 0; i < nranges; i++)
		(void)sys_enter3(SYS_munmap, (long)ranges[i].from,
				 (long)(ranges[i].to - ranges[i].from), 0);
	nranges = 0;
}

bool watch_works(void)
{
	return true;
}

#else /* a machine whose system calls cannot be watched */

bool watch_works(void)
{
	return false;
}

static void unmap_rest(void)
{
}

#endif

static void on_step(const char *name)
{
	(void)name;
	if (++watch.steps > MAX_STEPS)
		watch_fail("does not come to an end", "steps");
}

void watch_begin(void)
{
	watch.calls = watch.steps = watch.waits = 0;
	watch.dir_changed = false;
	ushm_step_hook = on_step;
	watching = true;
	began = cpu_ns();
}

void watch_end(void)
{
	int64_t took = cpu_ns() - began;
	char text[32];

	watching = false;
	ushm_step_hook = NULL;
	if (!watch.keep)
		unmap_rest();
	if (took > MAX_NS) {
		snprintf(text, sizeof(text), "%ld us", (long)(took / 1000));
		watch_fail("takes too long", text);
	}
}
