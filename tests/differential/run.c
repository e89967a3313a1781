/* SPDX-License-Identifier: MIT */
/*
 * Runs a sequence. A conductor, who makes no call of shared memory himself,
 * forks workers and tells them over pipes, one at a time, which operations to
 * do; consecutive ones of a worker at once. All of them write what came of
 * each operation into memory that they share, and the conductor prints it.
 *
 * What is printed is the same for the kernel and for anything that does as
 * Linux does, in whatever processes and at whatever time it runs:
 *
 *   - ids are numbers: a fresh namespace gives the same ones;
 *   - a process is named by the order of birth;
 *   - a time is 0, or the number of OP_TICKs before it;
 *   - an address is told relative to the arena.
 *
 * Differences that are known (doc/semantics.md) are settled here:
 *
 *   D1	shmmni is not printed
 *   D10, D11	after each death, exec included, somebody looks at every
 *		segment before anything else happens
 *   D17, D24	who has become another user makes no call that opens a file,
 *		has made a call before, is not asked for pages present, and is
 *		himself again before another worker goes on
 *   D23	pages swapped out are printed together with those present
 */
#include "op.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Between the heap and the libraries; no sanitizer uses it. */
#if UINTPTR_MAX > 0xffffffff
#define ARENA ((char *)0x200000000000)
#else
#define ARENA ((char *)0x60000000)
#endif

enum {
	PAGE = 4096,
	ARENA_ROOM = 64, /* pages */
	OUT_ROOM = 1 << 20,
	OUT_LINE = 1 << 15, /* more than one operation prints */
	BIRTHS = 1 << 14,
	TICKS = 1 << 10,
	SECONDS_TO_ANSWER = 60,
};

static struct shared {
	pid_t conductor;
	int command[WORKERS][2], answer[2];
	int ids[SLOTS];
	struct {
		pid_t pid; /* 0: not there */
		bool here; /* has run since it was forked */
	} worker[WORKERS];
	pid_t births[BIRTHS];
	int nbirths;
	time_t ticks[TICKS]; /* the second in which each interval begins */
	int nticks;
	int done; /* the next operation */
	unsigned long calls;
	size_t used;
	char out[OUT_ROOM];
	bool with_known;
	int nops;
	struct op ops[];
} * sh;

static struct {
	int number; /* of this worker */
	int memory; /* the descriptor of the shared memory */
	struct {
		char *addr;
		size_t length;
	} floats[FLOATS];
	/* What each page of the arena belongs to: see one_piece(). */
	struct {
		int attach; /* 0: nothing, -1: memory of the worker's own */
		int piece;
		int start; /* page where offset 0 of the segment would be */
	} arena[ARENA_ROOM];
	int last; /* attach or piece */
} me;

/* -------------------------------------------------------------- printing */

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(sh->out + sh->used, OUT_ROOM - sh->used, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < OUT_ROOM - sh->used)
		sh->used += (size_t)n;
}

static const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ EACCES, "EACCES" }, { EAGAIN, "EAGAIN" },
		{ EEXIST, "EEXIST" }, { EFAULT, "EFAULT" },
		{ EIDRM, "EIDRM" },   { EINVAL, "EINVAL" },
		{ EMFILE, "EMFILE" }, { ENOENT, "ENOENT" },
		{ ENOMEM, "ENOMEM" }, { ENOSPC, "ENOSPC" },
		{ ENOSYS, "ENOSYS" }, { EPERM, "EPERM" },
	};
	static char other[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].error == error)
			return names[i].name;
	snprintf(other, sizeof(other), "error %d", error);
	return other;
}

static void say_result(long r)
{
	if (r == -1)
		say(" = %s\n", error_name(errno));
	else
		say(" = %ld\n", r);
}

static void say_address(const void *p, bool chosen)
{
	const char *c = p;

	if (p == (void *)-1)
		say(" = %s\n", error_name(errno));
	else if (c >= ARENA && c < ARENA + ARENA_ROOM * PAGE)
		say(" = page %ld\n", (long)(c - ARENA) / PAGE);
	else
		say(" = %s\n", chosen ? "somewhere" : "elsewhere");
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts.tv_sec;
}

static void say_time(const char *name, time_t t)
{
	int i = sh->nticks;

	if (t == 0) {
		say(" %s=0", name);
		return;
	}
	while (i > 0 && t < sh->ticks[i - 1])
		i--;
	say(" %s=%s%d", name, t > now() ? "late" : "t", i);
}

static void say_process(const char *name, pid_t pid)
{
	int i = sh->nbirths;

	while (i > 0 && sh->births[i - 1] != pid)
		i--;
	say(" %s=%s%d", name, pid && !i ? "unknown" : "p", i);
}

static void say_segment(const struct shmid_ds *d)
{
	say(" key=%d mode=%#o uid=%u gid=%u cuid=%u cgid=%u seq=%u size=%lu"
	    " nattch=%lu",
	    (int)d->shm_perm.__key, d->shm_perm.mode, d->shm_perm.uid,
	    d->shm_perm.gid, d->shm_perm.cuid, d->shm_perm.cgid,
	    d->shm_perm.__seq, (unsigned long)d->shm_segsz,
	    (unsigned long)d->shm_nattch);
	say_process("cpid", d->shm_cpid);
	say_process("lpid", d->shm_lpid);
	say_time("atime", d->shm_atime);
	say_time("dtime", d->shm_dtime);
	say_time("ctime", d->shm_ctime);
}

/* --------------------------------------------------- pieces in the arena */

static void arena_clear(long page, size_t length)
{
	long end = page + (long)((length + PAGE - 1) / PAGE);
	int piece;

	/* What lies behind the hole is another piece from now on. */
	if (end < ARENA_ROOM) {
		piece = me.arena[end].piece;
		me.last++;
		for (long i = end; i < ARENA_ROOM && me.arena[i].attach &&
				   me.arena[i].piece == piece;
		     i++)
			me.arena[i].piece = me.last;
	}
	for (long i = page; i < end && i < ARENA_ROOM; i++)
		me.arena[i].attach = 0;
}

static void arena_add(const char *p, size_t length, int attach, int start)
{
	long page = (p - ARENA) / PAGE;

	arena_clear(page, length);
	me.last++;
	for (size_t i = 0; i < (length + PAGE - 1) / PAGE; i++) {
		me.arena[(size_t)page + i].attach = attach;
		me.arena[(size_t)page + i].piece = me.last;
		me.arena[(size_t)page + i].start = start;
	}
}

/* shmdt(): the first piece in place, and others of the same attach. */
static void arena_detach(long page)
{
	int attach = 0;

	for (int i = (int)page; i < ARENA_ROOM; i++) {
		if (me.arena[i].attach <= 0 || me.arena[i].start != page)
			continue;
		if (!attach)
			attach = me.arena[i].attach;
		if (me.arena[i].attach == attach)
			me.arena[i].attach = 0;
	}
}

/*
 * Moving with_known mappings, and gaps, at once is new in Linux 6.17, and there
 * the kernel refuses for its own segments (EFAULT) what it does for files:
 * known/ has what comes of that. Until it is settled, a range is one piece of
 * an attachment, or all of the worker's own, or nothing.
 */
static bool one_piece(long page, long pages)
{
	for (long i = page + 1; i < page + pages; i++)
		if (me.arena[i].attach != me.arena[page].attach ||
		    (me.arena[i].attach > 0 &&
		     me.arena[i].piece != me.arena[page].piece))
			return false;
	return true;
}

/*
 * Linux makes one mapping of two when one of them is moved to where it
 * continues the other; ushm counts two: known/mremap-back-together.
 */
static bool would_join(const long *a)
{
	int attach = me.arena[a[0]].attach;
	int start = me.arena[a[0]].start + (int)(a[4] - a[0]);
	long before = a[4] - 1, behind = a[4] + a[2];

	if (attach <= 0 || !(a[3] & MREMAP_FIXED))
		return false;
	return (before >= 0 && me.arena[before].attach == attach &&
		me.arena[before].start == start) ||
	       (behind < ARENA_ROOM && me.arena[behind].attach == attach &&
		me.arena[behind].start == start);
}

/* ------------------------------------------------------------ operations */

static int run_id(long slot, long twist)
{
	int id = sh->ids[slot];

	switch (twist) {
	case 0:
		return id;
	case 1:
		return id + 32768; /* same index, another sequence number */
	case 2:
		return id & 32767; /* the index */
	case 3:
		return -1;
	case 4:
		return INT_MAX;
	case 5:
		return id + 1;
	default:
		return INT_MIN + id;
	}
}

static bool is_other_user(void)
{
	return geteuid() != getuid() || getegid() != getgid();
}

static void audit_entry(int index)
{
	struct shmid_ds d;
	int r;

	memset(&d, 0, sizeof(d));
	sh->calls++;
	r = shmctl(index, SHM_STAT_ANY, &d);
	if (r == -1 && errno == EINVAL)
		return;
	say("  [%d] %d %s", index, r, r == -1 ? error_name(errno) : "");
	if (r >= 0)
		say_segment(&d);
	say("\n");
}

static void say_totals(void)
{
	struct shm_info i;
	int r;

	memset(&i, 0, sizeof(i));
	sh->calls++;
	r = shmctl(0, SHM_INFO, (struct shmid_ds *)&i);
	say(" used=%d total=%lu", i.used_ids, i.shm_tot);
	/* After a pause Linux may have taken back pages that were only read. */
	if (!is_other_user() && sh->nticks == 1)
		say(" present=%lu", i.shm_rss + i.shm_swp);
	say_result(r);
}

static int highest_index(void)
{
	struct shm_info i;

	sh->calls++;
	return shmctl(0, SHM_INFO, (struct shmid_ds *)&i);
}

static void audit(void)
{
	int highest = highest_index();

	for (int i = 0; i <= highest; i++)
		audit_entry(i);
	say("  all");
	say_totals();
}

static void run_info(int cmd)
{
	struct shminfo i;
	int r;

	if (cmd == SHM_INFO) {
		say_totals();
		return;
	}
	memset(&i, 0, sizeof(i));
	sh->calls++;
	r = shmctl(0, cmd, (struct shmid_ds *)&i);
	say(" shmmax=%lu shmmin=%lu shmseg=%s shmall=%lu", i.shmmax, i.shmmin,
	    i.shmseg == i.shmmni ? "shmmni" : "other", i.shmall);
	say_result(r);
}

static void run_stat(const long *a)
{
	struct shmid_ds d;
	int r;

	memset(&d, 0, sizeof(d));
	sh->calls++;
	r = shmctl(run_id(a[0], a[1]), (int)a[2], &d);
	if (r >= 0)
		say_segment(&d);
	say_result(r);
}

static void run_set(const long *a)
{
	struct shmid_ds d;

	memset(&d, 0xa5, sizeof(d));
	d.shm_perm.uid = (uid_t)a[2];
	d.shm_perm.gid = (gid_t)a[3];
	d.shm_perm.mode = (unsigned short)a[4];
	sh->calls++;
	say_result(shmctl(run_id(a[0], a[1]), IPC_SET, &d));
}

static void run_control(const long *a)
{
	static const char read_only[sizeof(struct shmid_ds)];
	struct shmid_ds d, *buf[] = { &d, NULL, (struct shmid_ds *)16,
				      (struct shmid_ds *)(uintptr_t)read_only };

	memset(&d, 0, sizeof(d));
	sh->calls++;
	say_result(shmctl(run_id(a[0], a[1]), (int)a[2], buf[a[3] & 3]));
}

/* Only pages of the arena, so that nothing else of the worker is hit. */
static bool in_arena(long page, size_t length)
{
	if (page >= 0 && page < ARENA_ROOM &&
	    length <= (size_t)(ARENA_ROOM - page) * PAGE)
		return true;
	say(" not in the arena\n");
	return false;
}

static void run_attach(const long *a)
{
	int id = run_id(a[0], a[1]);
	struct shmid_ds d = { 0 };
	char *p;

	if (is_other_user()) {
		say(" not as another user\n");
		return;
	}
	/* known/remap-last: replacing its last attachments destroys it. */
	sh->calls++;
	if (shmctl(id & 32767, SHM_STAT_ANY, &d) >= 0 && a[4] & SHM_REMAP &&
	    d.shm_perm.mode & SHM_DEST &&
	    d.shm_nattch * PAGE <= d.shm_segsz + PAGE - 1 && !sh->with_known) {
		say(" not over the last attachment\n");
		return;
	}
	sh->calls++;
	p = shmat(id, ARENA + a[2] * PAGE + a[3], (int)a[4]);
	say_address(p, false);
	if (p != (char *)-1 && in_arena(a[2], d.shm_segsz))
		arena_add(p, d.shm_segsz, ++me.last, (int)a[2]);
}

static void run_attach_float(const long *a)
{
	struct shmid_ds d;
	char *p;

	if (me.floats[a[0]].addr || is_other_user()) {
		say(" not now\n");
		return;
	}
	sh->calls++;
	p = shmat(sh->ids[a[1]], NULL, (int)a[2]);
	say_address(p, true);
	if (p == (char *)-1)
		return;
	/* For its size. */
	sh->calls++;
	if (shmctl(sh->ids[a[1]] & 32767, SHM_STAT_ANY, &d) < 0)
		say("  lost: %s\n", error_name(errno));
	me.floats[a[0]].addr = p;
	me.floats[a[0]].length = (d.shm_segsz + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static sigjmp_buf touching;

static void touched(int sig)
{
	siglongjmp(touching, sig);
}

/* value < 0: read. */
static void touch(volatile unsigned char *p, long value)
{
	int sig = sigsetjmp(touching, 0);
	long seen = value;

	if (sig) {
		say(" = %s\n", sig == SIGBUS ? "SIGBUS" : "SIGSEGV");
		return;
	}
	if (value >= 0)
		*p = (unsigned char)value;
	else
		seen = *p;
	say(" = %ld\n", seen);
}

static void touch_float(const long *a, long value)
{
	char *p = me.floats[a[0]].addr;

	if (p && (size_t)a[1] * PAGE < me.floats[a[0]].length)
		touch((unsigned char *)p + a[1] * PAGE, value);
	else
		say(" not there\n");
}

static void run_remap(const long *a)
{
	size_t old = (size_t)a[1] * PAGE, new = (size_t)a[2] * PAGE;
	int was, start;
	char *p;

	if (!in_arena(a[0], old) || !in_arena(a[0], new) ||
	    !in_arena(a[4], new))
		return;
	if (!sh->with_known && !one_piece(a[0], a[1])) {
		say(" not of one piece\n");
		return;
	}
	if (!sh->with_known && would_join(a)) {
		say(" not where it would join another\n");
		return;
	}
	/* known/mremap-of-nothing-onto-itself: it fails, and is unmapped. */
	if (!sh->with_known && old == 0 && a[3] & MREMAP_FIXED &&
	    a[4] <= a[0] && a[0] < a[4] + a[2]) {
		say(" not onto itself\n");
		return;
	}
	was = me.arena[a[0]].attach;
	start = me.arena[a[0]].start;
	sh->calls++;
	p = mremap(ARENA + a[0] * PAGE, old, new, (int)a[3],
		   ARENA + a[4] * PAGE);
	say_address(p, false);
	if (p == MAP_FAILED)
		return;
	if (p == ARENA + a[0] * PAGE) {
		if (new < old)
			arena_clear(a[0] + a[2], old - new);
		for (long i = a[0] + a[1]; i < a[0] + a[2]; i++)
			me.arena[i] = me.arena[a[0]];
		return;
	}
	/* With 4, MREMAP_DONTUNMAP, the old mapping stays. */
	if (!(a[3] & 4))
		arena_clear(a[0], old);
	if (was)
		arena_add(p, new, was, start + (int)(a[4] - a[0]));
	else
		arena_clear(a[4], new);
}

/* What became of a float: detached, unmapped, moved to 'page'. */
static void run_float(int code, int number, long page)
{
	char *p = me.floats[number].addr;
	size_t length = me.floats[number].length;

	if (!p) {
		say(" not there\n");
		return;
	}
	sh->calls++;
	if (code == OP_DTF)
		say_result(shmdt(p));
	else if (code == OP_UNMAPF)
		say_result(munmap(p, length));
	else if (in_arena(page, length)) {
		p = mremap(p, length, length, MREMAP_MAYMOVE | MREMAP_FIXED,
			   ARENA + page * PAGE);
		say_address(p, false);
		if (p != MAP_FAILED)
			arena_add(p, length, ++me.last, (int)page);
	} else
		return;
	/* The system may put something else there: it is not to be named. */
	me.floats[number].addr = NULL;
}

static void run_user(int code, long id)
{
	if (getuid() != 0) {
		say(" not root\n");
		return;
	}
	/* The namespace is open from now on, should it need to be. */
	(void)shmctl(INT_MAX, SHM_UNLOCK, NULL);
	say_result(code == OP_EUID ? seteuid((uid_t)id) : setegid((gid_t)id));
}

/*
 * Nobody else works while a worker is another user: what he destroys then has
 * a file that he may not remove (D24), and an index that is in use until he
 * is himself again and calls.
 */
static void restore_user(void)
{
	if (!is_other_user())
		return;
	if (seteuid(getuid()) < 0 || setegid(getgid()) < 0)
		say("cannot be myself again: %s\n", error_name(errno));
	(void)shmctl(INT_MAX, SHM_UNLOCK, NULL);
}

static void work(void) __attribute__((noreturn));

static void born(int number, pid_t pid)
{
	sh->worker[number].pid = pid;
	if (sh->nbirths < BIRTHS)
		sh->births[sh->nbirths++] = pid;
}

static void run_fork(int number)
{
	pid_t pid;

	if (sh->worker[number].pid) {
		say(" not now\n");
		return;
	}
	__atomic_store_n(&sh->worker[number].here, false, __ATOMIC_RELAXED);
	pid = fork();
	if (pid == 0) {
		me.number = number;
		__atomic_store_n(&sh->worker[number].here, true,
				 __ATOMIC_RELEASE);
		work();
	}
	/*
	 * `linked` does not know a child's pid until it runs: killed before,
	 * it may be counted for some 20 ms, and is not the lpid.
	 */
	while (pid > 0 && !sh->with_known &&
	       !__atomic_load_n(&sh->worker[number].here, __ATOMIC_ACQUIRE))
		sched_yield();
	if (pid > 0)
		born(number, pid);
	say(" = %s\n", pid > 0 ? "born" : error_name(errno));
}

static void run_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	say(" = %s\n", pid > 0 ? "done" : error_name(errno));
}

static void run_exec(void)
{
	char number[16], memory[16];

	restore_user(); /* D17: the new image opens the namespace */
	snprintf(number, sizeof(number), "%d", me.number);
	snprintf(memory, sizeof(memory), "%d", me.memory);
	say("\n");
	execl("/proc/self/exe", "differential", "-W", number, memory,
	      (char *)NULL);
	say(" failed: %s\n", error_name(errno));
}

static void run_exit(long how)
{
	say("\n");
	restore_user();
	switch (how) {
	case 0:
		exit(0);
	case 1:
		_exit(0);
	case 2:
		kill(getpid(), SIGKILL);
		break;
	case 3:
		kill(getpid(), SIGTERM);
		break;
	default:
		quick_exit(0);
	}
	for (;;)
		pause();
}

static void run_op(const struct op *op)
{
	const long *a = op->arg;
	char *p;
	int r;

	switch ((enum op_code)op->code) {
	case OP_GET:
		if (is_other_user() && a[3] & IPC_CREAT) {
			say(" not as another user\n");
			break;
		}
		if (is_other_user() && a[1] == IPC_PRIVATE) {
			say(" not as another user\n");
			break;
		}
		sh->calls++;
		r = shmget((key_t)a[1], (size_t)a[2], (int)a[3]);
		say_result(r);
		if (r >= 0)
			sh->ids[a[0]] = r;
		break;
	case OP_AT:
		run_attach(a);
		break;
	case OP_ATF:
		run_attach_float(a);
		break;
	case OP_DT:
		sh->calls++;
		r = shmdt(ARENA + a[0] * PAGE + a[1]);
		say_result(r);
		if (r == 0)
			arena_detach(a[0]);
		break;
	case OP_DTF:
	case OP_UNMAPF:
	case OP_REMAPF:
		run_float(op->code, (int)a[0], a[1]);
		break;
	case OP_CTL:
		run_control(a);
		break;
	case OP_STAT:
		run_stat(a);
		break;
	case OP_SET:
		run_set(a);
		break;
	case OP_INFO:
		run_info((int)a[0]);
		break;
	case OP_AUDIT:
		say("\n");
		audit();
		break;
	case OP_PUT:
		touch((unsigned char *)ARENA + a[0] * PAGE + a[1], a[2]);
		break;
	case OP_LOOK:
		touch((unsigned char *)ARENA + a[0] * PAGE + a[1], -1);
		break;
	case OP_PUTF:
		touch_float(a, a[2]);
		break;
	case OP_LOOKF:
		touch_float(a, -1);
		break;
	case OP_UNMAP:
		if (!in_arena(a[0], (size_t)a[1]))
			break;
		sh->calls++;
		r = munmap(ARENA + a[0] * PAGE, (size_t)a[1]);
		say_result(r);
		if (r == 0)
			arena_clear(a[0], (size_t)a[1]);
		break;
	case OP_MAP:
		if (!in_arena(a[0], (size_t)a[1] * PAGE))
			break;
		sh->calls++;
		p = mmap(ARENA + a[0] * PAGE, (size_t)a[1] * PAGE,
			 PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS |
				 (a[2] ? MAP_FIXED_NOREPLACE : MAP_FIXED),
			 -1, 0);
		say_address(p, false);
		if (p != MAP_FAILED)
			arena_add(p, (size_t)a[1] * PAGE, -1, 0);
		break;
	case OP_REMAP:
		run_remap(a);
		break;
	case OP_EUID:
	case OP_EGID:
		run_user(op->code, a[0]);
		break;
	case OP_FORK:
		run_fork((int)a[0]);
		break;
	case OP_VFORK:
		run_vfork();
		break;
	case OP_EXEC:
		run_exec();
		break;
	case OP_NOEXEC:
		execl("/dev/null/nothing", "nothing", (char *)NULL);
		say(" = %s\n", error_name(errno));
		break;
	case OP_REAP:
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		say("\n");
		break;
	case OP_EXIT:
		run_exit(a[0]);
		break;
	case OP_SPAWN:
	case OP_KILL:
	case OP_TICK:
	case OP_CODES:
		break;
	}
}

/* --------------------------------------------------------------- workers */

/* What a worker is told: the operations from .. to - 1, or (-1) an audit. */
struct order {
	int from, to;
};

/* "12: 0 get 3 1 4096 0600", the operation and its number from 1. */
static void say_op(int i)
{
	say("%d: ", i + 1);
	sh->used += (size_t)op_print(&sh->ops[i], sh->out + sh->used, 200);
}

static void answer(void)
{
	if (write(sh->answer[1], "", 1) != 1)
		_exit(1);
}

static void obey(const struct order *o)
{
	if (o->from < 0) {
		audit();
		return;
	}
	for (int i = o->from; i < o->to; i++) {
		sh->done = i + 1;
		say_op(i);
		run_op(&sh->ops[i]);
		if (sh->used > OUT_ROOM - OUT_LINE)
			break;
	}
}

static void work(void)
{
	int fd = sh->command[me.number][0];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sigaction sa = { .sa_handler = touched, .sa_flags = SA_NODEFER };
	struct order o;

	restore_user();
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	for (;;) {
		/* All of us have all ends of the pipes: no end of file. */
		while (poll(&p, 1, 1000 * SECONDS_TO_ANSWER) <= 0)
			if (kill(sh->conductor, 0) < 0)
				_exit(1);
		if (read(fd, &o, sizeof(o)) != sizeof(o))
			_exit(1);
		obey(&o);
		restore_user();
		answer();
	}
}

static bool share(int fd, size_t size)
{
	sh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (sh == MAP_FAILED) {
		perror("differential: mmap");
		return false;
	}
	me.memory = fd;
	return true;
}

static size_t shared_size(int nops)
{
	return sizeof(*sh) + (size_t)nops * sizeof(struct op);
}

int run_again(int argc, char **argv)
{
	int nops, fd;

	if (argc < 3)
		return 2;
	fd = atoi(argv[2]);
	if (!share(fd, sizeof(*sh)))
		return 1;
	nops = sh->nops;
	munmap(sh, sizeof(*sh));
	if (!share(fd, shared_size(nops)))
		return 1;
	me.number = atoi(argv[1]);
	audit();
	answer();
	work();
}

/* ------------------------------------------------------------- conductor */

static struct {
	int fd;	   /* becomes readable when the process is dead */
	pid_t pid; /* to which it belongs; 0: none yet */
} watch[WORKERS];

static void flush_out(void)
{
	size_t at = 0;
	ssize_t n;

	while (at < sh->used) {
		n = write(1, sh->out + at, sh->used - at);
		if (n < 0)
			exit(1);
		at += (size_t)n;
	}
	sh->used = 0;
}

static void kill_all(void)
{
	for (int w = 0; w < WORKERS; w++)
		if (sh->worker[w].pid)
			kill(sh->worker[w].pid, SIGKILL);
}

__attribute__((noreturn)) static void give_up(const char *what, int w)
{
	say("\nworker %d %s\n", w, what);
	flush_out();
	kill_all();
	exit(1);
}

static void watch_worker(int w)
{
	if (watch[w].pid == sh->worker[w].pid)
		return;
	if (watch[w].pid)
		close(watch[w].fd);
	watch[w].pid = sh->worker[w].pid;
	watch[w].fd = (int)syscall(SYS_pidfd_open, watch[w].pid, 0);
	if (watch[w].fd < 0) {
		perror("differential: pidfd_open");
		kill_all();
		exit(77);
	}
}

/* True: it has answered; false: it is dead. */
static bool await(int w)
{
	struct pollfd p[2] = { { .fd = sh->answer[0], .events = POLLIN },
			       { .fd = watch[w].fd, .events = POLLIN } };
	char c;

	if (poll(p, 2, 1000 * SECONDS_TO_ANSWER) <= 0)
		give_up("does not answer", w);
	if (!(p[0].revents & POLLIN))
		return false;
	if (read(sh->answer[0], &c, 1) != 1)
		give_up("is not heard", w);
	return true;
}

static bool tell(int w, int from, int to)
{
	struct order o = { from, to };

	watch_worker(w);
	if (write(sh->command[w][1], &o, sizeof(o)) != sizeof(o))
		give_up("cannot be told", w);
	return await(w);
}

static void spawn(int w)
{
	pid_t pid;

	if (sh->worker[w].pid)
		return;
	pid = fork();
	if (pid == 0) {
		me.number = w;
		work();
	}
	if (pid < 0)
		give_up("cannot be born", w);
	born(w, pid);
}

/* Whoever lives looks at everything: the dead are noticed (D10, D11). */
static void have_audit(void)
{
	int w = 0;

	while (w < WORKERS && !sh->worker[w].pid)
		w++;
	if (w == WORKERS)
		spawn(w = 0);
	if (!tell(w, -1, 0))
		give_up("died by itself", w);
}

static void dead(int w, bool zombie)
{
	sh->worker[w].pid = 0;
	while (!zombie && waitpid(-1, NULL, WNOHANG) > 0)
		;
	have_audit();
}

static void kill_worker(int w, bool zombie)
{
	struct pollfd p;

	if (!sh->worker[w].pid)
		return;
	watch_worker(w);
	kill(sh->worker[w].pid, SIGKILL);
	p = (struct pollfd){ .fd = watch[w].fd, .events = POLLIN };
	if (poll(&p, 1, 1000 * SECONDS_TO_ANSWER) <= 0)
		give_up("cannot be killed", w);
	dead(w, zombie);
}

static void tick(void)
{
	struct timespec ts = { .tv_nsec = 20 * 1000 * 1000 };
	time_t before = now();

	while (now() == before)
		nanosleep(&ts, NULL);
	if (sh->nticks < TICKS)
		sh->ticks[sh->nticks++] = now();
}

static void conduct_op(int i)
{
	const struct op *op = &sh->ops[i];

	say_op(i);
	say("\n");
	switch (op->code) {
	case OP_SPAWN:
		spawn((int)op->arg[0]);
		break;
	case OP_KILL:
		kill_worker((int)op->arg[0], op->arg[1] != 0);
		break;
	case OP_TICK:
		tick();
		break;
	}
}

/* Operations from 'i' on that can be done without the conductor. */
static int end_of_burst(int i)
{
	int w = sh->ops[i].worker;

	while (i < sh->nops && sh->ops[i].worker == w &&
	       !op_is_conductors(&sh->ops[i])) {
		i++;
		if (op_is_last(&sh->ops[i - 1]))
			break;
	}
	return i;
}

static void conduct(void)
{
	int i = 0, end, w;

	while (i < sh->nops) {
		w = sh->ops[i].worker;
		if (op_is_conductors(&sh->ops[i])) {
			conduct_op(i++);
			continue;
		}
		end = end_of_burst(i);
		if (!sh->worker[w].pid) {
			i = end;
			continue;
		}
		if (!tell(w, i, end)) {
			if (sh->ops[sh->done - 1].code != OP_EXIT)
				give_up("died by itself", w);
			dead(w, false);
		}
		i = sh->done;
		if (sh->used > OUT_ROOM / 2)
			flush_out();
	}
}

/* The namespace is empty in the end, on both sides. */
static void clean(void)
{
	pid_t pid;
	int status = 1;

	for (int w = 0; w < WORKERS; w++)
		kill_worker(w, false);
	say("end\n");
	pid = fork();
	if (pid == 0) {
		int highest = highest_index();

		for (int i = 0; i <= highest; i++) {
			struct shmid_ds d;
			int id = shmctl(i, SHM_STAT_ANY, &d);

			if (id >= 0)
				say("%d: %d\n", id, shmctl(id, IPC_RMID, NULL));
		}
		audit();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		give_up("could not clean up", -1);
	flush_out();
}

int run(const struct op *ops, int n, bool with_known)
{
	int fd = memfd_create("differential", 0);
	void *p;

	p = mmap(ARENA, ARENA_ROOM * PAGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (p != ARENA) {
		fprintf(stderr, "differential: no room for the arena\n");
		return 77;
	}
	munmap(p, ARENA_ROOM * PAGE);
	if (fd < 0 || ftruncate(fd, (off_t)shared_size(n)) < 0 ||
	    !share(fd, shared_size(n)))
		return 1;
	memcpy(sh->ops, ops, (size_t)n * sizeof(*ops));
	sh->nops = n;
	sh->with_known = with_known;
	sh->conductor = getpid();
	sh->ticks[sh->nticks++] = now();
	memset(sh->ids, 0x3f, sizeof(sh->ids)); /* ids that never were */
	if (pipe(sh->answer) < 0)
		return 1;
	for (int w = 0; w < WORKERS; w++)
		if (pipe(sh->command[w]) < 0)
			return 1;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	conduct();
	clean();
	fprintf(stderr, "%d operations, %lu calls\n", n, sh->calls);
	return 0;
}
