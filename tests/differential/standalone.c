/* SPDX-License-Identifier: MIT */
/*
 * A sequence of System V calls by several processes, told one by one what to
 * do. Build it with "cc FILE.c", run it in a fresh IPC namespace ("unshare -i")
 * and on what is to be compared.
 *
 * Written by tests/differential/compare: this half is the same for all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Addresses that nothing else uses. */
#define PAGE(n) \
	((char *)(sizeof(long) == 8 ? 0x200000000000 : 0x60000000) + (n)*4096L)

static struct {
	int ids[12]; /* what shmget() returned; all processes see it */
	pid_t pid[6];
	int command[6][2], answer[2];
} * all;
#define ids all->ids

static int me, memory;
static struct {
	char *addr;
	size_t length;
} floats[4]; /* attached where the system likes it */

/* What worker 'me' does in step 'n': the second half. */
static void step(int n);

static void told(const char *call, long r)
{
	if (r == -1)
		dprintf(1, "worker %d: %s = %s\n", me, call, strerror(errno));
	else if (r >= (long)PAGE(0) && r < (long)PAGE(64))
		dprintf(1, "worker %d: %s = page %ld\n", me, call,
			(r - (long)PAGE(0)) / 4096);
	else if (r > INT_MAX)
		dprintf(1, "worker %d: %s = somewhere\n", me, call);
	else
		dprintf(1, "worker %d: %s = %ld\n", me, call, r);
}

#define CALL(expr) told(#expr, (long)(expr))

static void show(const char *call, int r, const struct shmid_ds *d)
{
	told(call, r);
	if (r >= 0)
		dprintf(1,
			"    key %d mode %#o uid %u gid %u size %lu nattch %lu cpid %d lpid %d atime %ld dtime %ld ctime %ld\n",
			(int)d->shm_perm.__key, d->shm_perm.mode,
			d->shm_perm.uid, d->shm_perm.gid,
			(unsigned long)d->shm_segsz,
			(unsigned long)d->shm_nattch, (int)d->shm_cpid,
			(int)d->shm_lpid, (long)d->shm_atime,
			(long)d->shm_dtime, (long)d->shm_ctime);
}

#define STAT(id, cmd)                                       \
	do {                                                \
		struct shmid_ds d_ = { 0 };                 \
		int r_ = shmctl(id, cmd, &d_);              \
		show("shmctl(" #id ", " #cmd ")", r_, &d_); \
	} while (0)

static inline void get(int slot, const char *call, int id)
{
	told(call, id);
	if (id >= 0)
		ids[slot] = id;
}

#define GET(slot, expr) get(slot, "ids[" #slot "] = " #expr, expr)

static inline void set(int id, uid_t uid, gid_t gid, int mode)
{
	struct shmid_ds d = { .shm_perm = { .uid = uid,
					    .gid = gid,
					    .mode = (unsigned short)mode } };

	dprintf(1, "to %d, %d, %#o: ", (int)uid, (int)gid, mode);
	told("shmctl(IPC_SET)", shmctl(id, IPC_SET, &d));
}

static inline void audit(void)
{
	struct shm_info info;
	int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);

	for (int i = 0; i <= highest; i++) {
		struct shmid_ds d;
		int r = shmctl(i, SHM_STAT_ANY, &d);

		if (r >= 0)
			show("shmctl(SHM_STAT_ANY)", r, &d);
	}
}

static inline void attach_float(int n, int id, int flags)
{
	struct shmid_ds d;
	char *p;

	if (floats[n].addr)
		return;
	p = shmat(id, NULL, flags);
	told("shmat(..., NULL, ...)", (long)p);
	if (p == (char *)-1)
		return;
	shmctl(id & 32767, SHM_STAT_ANY, &d);
	floats[n].addr = p;
	floats[n].length = (d.shm_segsz + 4095) & ~4095UL;
}

static sigjmp_buf touching;

static void touched(int sig)
{
	siglongjmp(touching, sig);
}

static inline void touch(const char *what, char *p, int value)
{
	int sig = sigsetjmp(touching, 1);

	if (sig)
		dprintf(1, "worker %d: %s: signal %d\n", me, what, sig);
	else if (value >= 0)
		dprintf(1, "worker %d: %s = %d\n", me, what,
			*(volatile unsigned char *)p = (unsigned char)value);
	else
		dprintf(1, "worker %d: %s is %d\n", me, what,
			*(volatile unsigned char *)p);
}

#define PUT(p, value) touch("*(" #p ")", p, value)
#define LOOK(p)	      touch("*(" #p ")", p, -1)

static void work(int number)
{
	int n;

	me = number;
	signal(SIGSEGV, touched);
	signal(SIGBUS, touched);
	while (read(all->command[me][0], &n, sizeof(n)) == sizeof(n)) {
		step(n);
		if (write(all->answer[1], "", 1) != 1)
			break;
	}
	_exit(1);
}

static inline void become(int number)
{
	pid_t pid = all->pid[number] ? -1 : fork();

	if (pid == 0)
		work(number);
	if (pid > 0)
		all->pid[number] = pid;
	dprintf(1, "fork: worker %d is %d\n", number, (int)pid);
}

static inline void exec(void)
{
	char number[16], fd[16];

	snprintf(number, sizeof(number), "%d", me);
	snprintf(fd, sizeof(fd), "%d", memory);
	execl("/proc/self/exe", "sequence", number, fd, (char *)NULL);
}

static void begin(int argc, char **argv)
{
	memory = argc > 2 ? atoi(argv[2]) : memfd_create("sequence", 0);
	if (argc < 3 && ftruncate(memory, 4096) < 0)
		exit(1);
	all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (all == MAP_FAILED)
		exit(1);
	if (argc > 2) {
		if (write(all->answer[1], "", 1) != 1)
			exit(1);
		work(atoi(argv[1]));
	}
	memset(ids, 0x3f, sizeof(ids));
	for (int w = 0; w < 6; w++)
		if (pipe(all->command[w]) < 0)
			exit(1);
	if (pipe(all->answer) < 0)
		exit(1);
}

static inline void spawn(int w)
{
	me = -1;
	become(w);
}

static inline void dead(int w)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	all->pid[w] = 0;
}

/* Worker 'w' does step 'n', unless it is dead. */
static inline void run(int w, int n)
{
	struct pollfd p[2] = { { .fd = all->answer[0], .events = POLLIN },
			       { .events = POLLIN } };
	char c;

	if (!all->pid[w])
		return;
	p[1].fd = (int)syscall(SYS_pidfd_open, all->pid[w], 0);
	if (write(all->command[w][1], &n, sizeof(n)) != sizeof(n))
		exit(1);
	poll(p, 2, -1);
	close(p[1].fd);
	if (!(p[0].revents & POLLIN))
		dead(w);
	else if (read(p[0].fd, &c, 1) != 1)
		exit(1);
}

static inline void end(int w)
{
	struct pollfd p = { .events = POLLIN };

	if (!all->pid[w])
		return;
	p.fd = (int)syscall(SYS_pidfd_open, all->pid[w], 0);
	kill(all->pid[w], SIGKILL);
	poll(&p, 1, -1);
	close(p.fd);
	dead(w);
}

/* ---------------------------------------------------------- the sequence */
