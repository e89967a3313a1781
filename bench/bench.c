/* SPDX-License-Identifier: MIT */
/*
 * ushm-bench - the kernel's System V segments and ushm's, side by side.
 *
 * Both do the same within milliseconds of each other, in rounds whose order
 * alternates. What counts is the median of the rounds' ratios; brackets hold
 * the least and the largest.
 *
 * The kernel's side makes the system calls itself, in an IPC namespace of its
 * own where it may; ushm's calls the drop-ins on a new directory. Both are
 * gone at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "series.h"
#include "stage.h"
#include "ushm.h"

#define KEY  0x62656e63
#define PAGE 4096

extern char **environ;

static int fixed_id[2] = { -1, -1 }; /* KERNEL and USHM: under KEY */

/* ----------------------------------------------------------- two systems */

enum { KERNEL, USHM };

struct api {
	int side;
	const char *name;
	int (*get)(key_t key, size_t size, int flags);
	void *(*at)(int id, const void *addr, int flags);
	int (*dt)(const void *addr);
	int (*ctl)(int id, int cmd, struct shmid_ds *buf);
};

/* The library's own functions could be a preload's. */
static int kernel_get(key_t key, size_t size, int flags)
{
	return (int)syscall(SYS_shmget, key, size, flags);
}

static void *kernel_at(int id, const void *addr, int flags)
{
	return (void *)syscall(SYS_shmat, id, addr, flags);
}

static int kernel_dt(const void *addr)
{
	return (int)syscall(SYS_shmdt, addr);
}

static int kernel_ctl(int id, int cmd, struct shmid_ds *buf)
{
#ifndef __LP64__
	cmd |= 0x100; /* IPC_64: the structure of today */
#endif
	return (int)syscall(SYS_shmctl, id, cmd, buf);
}

static const struct api apis[2] = {
	{ KERNEL, "kernel", kernel_get, kernel_at, kernel_dt, kernel_ctl },
	{ USHM, "ushm", ushm_shmget, ushm_shmat, ushm_shmdt, ushm_shmctl },
};

/* -------------------------------------------------------------- clean-up */

static void clean_up(void)
{
	for (int side = KERNEL; side <= USHM; side++)
		if (fixed_id[side] != -1)
			apis[side].ctl(fixed_id[side], IPC_RMID, NULL);
}

static void check(bool ok, const struct api *a, const char *call)
{
	if (!ok)
		die("%s: %s: %s", a->name, call, strerror(errno));
}

/* ----------------------------------------------------------------- cases */

static void find_key(const struct api *a, unsigned n)
{
	while (n--)
		check(a->get(KEY, 0, 0) == fixed_id[a->side], a, "shmget");
}

static void stat_segment(const struct api *a, unsigned n)
{
	struct shmid_ds ds;

	while (n--)
		check(a->ctl(fixed_id[a->side], IPC_STAT, &ds) == 0, a,
		      "IPC_STAT");
}

static void attach_detach(const struct api *a, unsigned n)
{
	void *p;

	while (n--) {
		p = a->at(fixed_id[a->side], NULL, 0);
		check(p != (void *)-1, a, "shmat");
		check(a->dt(p) == 0, a, "shmdt");
	}
}

static void create_remove(const struct api *a, unsigned n)
{
	int id;

	while (n--) {
		id = a->get(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
		check(id != -1, a, "shmget");
		check(a->ctl(id, IPC_RMID, NULL) == 0, a, "IPC_RMID");
	}
}

static void whole_cycle(const struct api *a, unsigned n)
{
	volatile char *p;
	int id;

	while (n--) {
		id = a->get(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
		check(id != -1, a, "shmget");
		p = a->at(id, NULL, 0);
		check(p != (void *)-1, a, "shmat");
		*p = 1;
		check(a->dt((const void *)p) == 0, a, "shmdt");
		check(a->ctl(id, IPC_RMID, NULL) == 0, a, "IPC_RMID");
	}
}

static const struct {
	const char *name;
	void (*run)(const struct api *a, unsigned n);
	unsigned n; /* a round */
} cases[] = {
	{ "shmget, key exists", find_key, 20000 },
	{ "shmctl IPC_STAT", stat_segment, 20000 },
	{ "shmat, shmdt", attach_detach, 4000 },
	{ "create, remove", create_remove, 3000 },
	{ "create, attach, touch, detach, remove", whole_cycle, 2000 },
};

/* ---------------------------------------------------------------- rounds */

static unsigned rounds = 15, divisor = 1;
static int first = USHM; /* KERNEL if it has segments for us */
static struct contest contest;

static double time_case(const void *arg, int side, unsigned round)
{
	size_t c = *(const size_t *)arg;
	unsigned n = cases[c].n / divisor + 1;
	double begin = now_us();

	(void)round;
	cases[c].run(&apis[first + side], n);
	return (now_us() - begin) * 1000 / n;
}

static void run_case(size_t c)
{
	contest_run(&contest, USHM - first + 1, rounds, time_case, &c);
	contest_print(&contest, cases[c].name, USHM - first);
}

/* ------------------------------------------------------ what a start costs */

static double time_start(const void *arg, int side, unsigned round)
{
	char *const *argv = ((char *const *const *)arg)[side];
	unsigned n = 60 / divisor + 1;
	double begin = now_us();
	int r, status;
	pid_t pid;

	(void)round;
	for (unsigned i = 0; i < n; i++) {
		r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
		if (r != 0)
			die("%s: %s", argv[0], strerror(r));
		while (waitpid(pid, &status, 0) == -1)
			if (errno != EINTR)
				die("waitpid: %s", strerror(errno));
		if (status != 0)
			die("%s %s: status %d", argv[0], argv[1] ? argv[1] : "",
			    status);
	}
	return (now_us() - begin) / n;
}

static void run_starts(void)
{
	static struct series added;
	char ushm[PATH_MAX], run[] = "run", prog[] = "true";
	char *bare[] = { prog, NULL }, *with[] = { ushm, run, prog, NULL };
	char **starts[] = { bare, with };
	ssize_t len;
	char *slash;

	/* beside ourselves, as in the build directory */
	len = readlink("/proc/self/exe", ushm, sizeof(ushm) - sizeof("ushm"));
	if (len < 0)
		return;
	ushm[len] = '\0';
	slash = strrchr(ushm, '/');
	if (!slash)
		return;
	strcpy(slash + 1, "ushm");
	if (access(ushm, X_OK) == -1) {
		printf("\nNo %s: what a start costs is left out.\n", ushm);
		return;
	}

	contest_run(&contest, 2, rounds, time_start, starts);
	for (unsigned i = 0; i < rounds; i++)
		series_add(&added, contest.time[1].v[i] - contest.time[0].v[i]);

	putchar('\n');
	contest_print_head("microseconds [least-largest]", "     true",
			   "     ushm run true", "added");
	printf("%-38s", "start and end of a program");
	series_print(&contest.time[0], 8, 0);
	series_print(&contest.time[1], 8, 0);
	series_print(&added, 5, 0);
	putchar('\n');
}

/* ----------------------------------------------------------------- setup */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	if (write(fd, text, strlen(text)) == -1)
		fprintf(stderr, "ushm-bench: %s: %s\n", path, strerror(errno));
	close(fd);
}

/* An IPC namespace of our own; in a user namespace if we may not otherwise. */
static bool leave_ipc_namespace(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWIPC) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC) == -1)
		return false;

	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	write_text("/proc/self/uid_map", map);
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	write_text("/proc/self/gid_map", map);
	return true;
}

static void make_fixed(const struct api *a)
{
	int id = a->get(KEY, PAGE, IPC_CREAT | IPC_EXCL | 0600);

	check(id != -1, a, "shmget");
	fixed_id[a->side] = id;
}

/* One processor: the caches are the same for both. */
static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void usage(FILE *f)
{
	fprintf(f, "usage: ushm-bench [-q] [-r ROUNDS]\n"
		   "  -q  quick: a tenth of the calls in each round\n"
		   "  -r  rounds that count (15)\n");
}

int main(int argc, char **argv)
{
	bool own;
	int opt, id;

	while ((opt = getopt(argc, argv, "hqr:")) != -1) {
		switch (opt) {
		case 'h':
			usage(stdout);
			return 0;
		case 'q':
			divisor = 10;
			break;
		case 'r':
			rounds = contest_rounds(optarg);
			if (rounds)
				break;
			/* fall through */
		default:
			usage(stderr);
			return 2;
		}
	}

	own = leave_ipc_namespace();
	stay_here();
	stage_make(NULL, clean_up);
	if (setenv("USHM_DIR", stage_dir, 1) == -1)
		die("setenv: %s", strerror(errno));

	id = kernel_get(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	if (id == -1) {
		printf("The kernel has no System V shared memory for us (%s): "
		       "ushm alone.\n",
		       strerror(errno));
	} else {
		kernel_ctl(id, IPC_RMID, NULL);
		first = KERNEL;
		make_fixed(&apis[KERNEL]);
		if (!own)
			printf("The kernel's side runs in the system's IPC "
			       "namespace.\n");
	}
	make_fixed(&apis[USHM]);

	printf("%u rounds, one after the other on one processor; medians.\n\n",
	       rounds);
	if (first == KERNEL)
		contest_print_head("nanoseconds [least-largest]", "   kernel",
				   "     ushm", "ushm/kernel");
	else
		contest_print_head("nanoseconds [least-largest]", "     ushm",
				   "", "");
	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++)
		run_case(c);
	run_starts();
	return 0;
}
