/* SPDX-License-Identifier: MIT */
/*
 * ushm-bench-mapping - the kernel's mapping of a file, and ushm's three ways
 * to bring memory to the disk, side by side.
 *
 * A file, or segment, of 64 MiB each on the same file system:
 *
 *	sync	      ushm_sync() of an object, as a file has one that the
 *		      kernel refuses to map; the kernel's msync() may, as this,
 *		      leave half of the pages on the disk
 *	atomic sync   with USHM_ATOMIC: all of them or none
 *	segment sync  ushm_sync_segment() of a durable segment: the same
 *
 * A round stores into as many pages as the row says, spread evenly, and syncs.
 * All do it within milliseconds of each other, in rounds whose order
 * alternates. What counts is the median of the rounds' ratios; brackets hold
 * the least and the largest.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "series.h"
#include "stage.h"
#include "ushm.h"

#define PAGE  4096
#define PAGES 16384
#define SIZE  ((size_t)PAGES * PAGE)

/* Of the kernel's file, an object's, an atomic object's, and a segment. */
enum { KERNEL, PLAIN, ATOMIC, SEGMENT, SIDES };

static const char *const names[SIDES] = { "kernel", "sync", "atomic sync",
					  "segment sync" };
static char space_dir[PATH_MAX], work_dir[PATH_MAX];
static int file[SEGMENT] = { -1, -1, -1 }, segment = -1;
static void *memory[SIDES];
static ushm_space *space;
static unsigned rounds = 15;

/* -------------------------------------------------------------- clean-up */

/* What is unmapped last takes its object along. */
static void unmap(int side)
{
	if (memory[side] && side == SEGMENT)
		ushm_detach(space, memory[side]);
	else if (memory[side])
		ushm_unmap(memory[side], SIZE);
	memory[side] = NULL;
}

static void clean_up(void)
{
	if (segment != -1)
		ushm_remove(space, segment);
	for (int side = KERNEL; side < SIDES; side++)
		unmap(side);
	if (space)
		ushm_close(space);
	stage_remove(work_dir);
	stage_remove(space_dir);
}

/* -------------------------------------------------------------- the sides */

static void map(int side)
{
	static const unsigned options[] = { 0, USHM_MAP_OBJECT, USHM_ATOMIC };
	int prot = PROT_READ | PROT_WRITE, r;
	void *p;

	if (side == KERNEL) {
		p = mmap(NULL, SIZE, prot, MAP_SHARED, file[side], 0);
		if (p == MAP_FAILED)
			die("mmap: %s", strerror(errno));
		memory[side] = p;
		return;
	}
	r = ushm_map(NULL, SIZE, prot, MAP_SHARED, file[side], 0, options[side],
		     &memory[side]);
	if (r < 0)
		die("ushm_map: %s", strerror(-r));
}

static void sync_side(int side)
{
	int r;

	switch (side) {
	case KERNEL:
		r = msync(memory[side], SIZE, MS_SYNC) == -1 ? -errno : 0;
		break;
	case SEGMENT:
		r = ushm_sync_segment(space, segment, 0);
		break;
	default:
		r = ushm_sync(memory[side], SIZE,
			      MS_SYNC | (side == ATOMIC ? USHM_ATOMIC : 0));
	}
	if (r < 0)
		die("%s: %s", names[side], strerror(-r));
}

/* Page 'i' of 'n' that change: anywhere in its share of the file. */
static size_t changed(unsigned i, unsigned n, unsigned round)
{
	unsigned share = PAGES / n;

	return (size_t)i * share + (round * 7 + i) % share;
}

static double time_sync(const void *arg, int side, unsigned round)
{
	unsigned n = *(const unsigned *)arg;
	unsigned char *p = memory[side];
	double begin = now_us();

	for (unsigned i = 0; i < n; i++)
		p[changed(i, n, round) * PAGE] ^= 1;
	sync_side(side);
	return now_us() - begin;
}

/* All of the file is in memory already: in the kernel's, or in the object. */
static double time_touch(const void *arg, int side, unsigned round)
{
	const volatile unsigned char *p;
	double begin = now_us(), us;

	(void)arg;
	(void)round;
	map(side);
	p = memory[side];
	for (unsigned i = 0; i < PAGES; i++)
		(void)p[(size_t)i * PAGE];
	us = now_us() - begin;
	unmap(side);
	return us;
}

/* ------------------------------------------------------- another process */

/* Maps both files, and keeps them until the other end of *ret_fd closes. */
static pid_t start_mapper(int *ret_fd)
{
	int ready[2], end[2];
	char byte;
	pid_t pid;

	if (pipe(ready) == -1 || pipe(end) == -1)
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid == -1)
		die("fork: %s", strerror(errno));
	if (pid != 0) {
		close(ready[1]);
		close(end[0]);
		if (read(ready[0], &byte, 1) != 1)
			die("the other process: %s", strerror(ECHILD));
		close(ready[0]);
		*ret_fd = end[1];
		return pid;
	}

	/* It ends after its parent, however that ends. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	close(ready[0]);
	close(end[1]);
	map(KERNEL);
	map(PLAIN);
	if (write(ready[1], "", 1) == 1)
		(void)!read(end[0], &byte, 1);
	unmap(PLAIN);
	_exit(0);
}

static void end_mapper(pid_t pid, int fd)
{
	close(fd);
	while (waitpid(pid, NULL, 0) == -1)
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
}

/* ------------------------------------------------------------------ cases */

static struct contest contest;

static void run_touch(const char *name)
{
	contest_run(&contest, 2, rounds, time_touch, NULL);
	contest_print(&contest, name, PLAIN);
}

static void run_touches(void)
{
	pid_t pid;
	int fd;

	run_touch("map, touch all, the first to map it");
	pid = start_mapper(&fd);
	run_touch("map, touch all, another one has it");
	end_mapper(pid, fd);
}

static void run_sync(unsigned n)
{
	char name[40];

	/* The journals grow in the round that does not count. */
	contest_run(&contest, SIDES, rounds, time_sync, &n);
	for (int side = PLAIN; side < SIDES; side++) {
		snprintf(name, sizeof(name), "%s, %u pages changed",
			 names[side], n);
		contest_print(&contest, name, side);
	}
}

/* ------------------------------------------------------------------ setup */

static void make_file(int side, const char *chunk, size_t length)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d", stage_dir, side);
	file[side] = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file[side] == -1)
		die("%s: %s", path, strerror(errno));
	for (size_t at = 0; at < SIZE; at += length)
		if (pwrite(file[side], chunk, length, (off_t)at) !=
		    (ssize_t)length)
			die("%s: %s", path, strerror(errno));
	if (fsync(file[side]) == -1)
		die("%s: %s", path, strerror(errno));
}

static void make_segment(void)
{
	struct ushm_problem problem;
	int r;

	snprintf(space_dir, sizeof(space_dir), "%s/segments", stage_dir);
	r = ushm_open(space_dir, USHM_CREATE | USHM_DURABLE, NULL, &space,
		      &problem);
	if (r < 0)
		die("%s: %s", problem.text, strerror(-r));
	snprintf(work_dir, sizeof(work_dir), "%s", ushm_work_dir(space));
	r = ushm_get(space, IPC_PRIVATE, SIZE, IPC_CREAT | 0600, &segment);
	if (r < 0)
		die("ushm_get: %s", strerror(-r));
	r = ushm_attach(space, segment, NULL, 0, &memory[SEGMENT]);
	if (r < 0)
		die("ushm_attach: %s", strerror(-r));
	memset(memory[SEGMENT], 'a', SIZE);
	sync_side(SEGMENT);
}

static void make_files(void)
{
	static char chunk[1 << 20];

	memset(chunk, 'a', sizeof(chunk));
	for (int side = KERNEL; side < SEGMENT; side++)
		make_file(side, chunk, sizeof(chunk));
}

static void usage(FILE *f)
{
	fprintf(f, "usage: ushm-bench-mapping [-r ROUNDS] [DIR]\n"
		   "  -r   rounds that count (15)\n"
		   "  DIR  on the file system to be measured (/var/tmp)\n");
}

int main(int argc, char **argv)
{
	static const unsigned cases[] = { 0, 1, 16, 256, 4096 };
	int opt;

	while ((opt = getopt(argc, argv, "hr:")) != -1) {
		switch (opt) {
		case 'h':
			usage(stdout);
			return 0;
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

	stage_make(argv[optind] ? argv[optind] : "/var/tmp", clean_up);
	make_files();

	printf("%u rounds with 64 MiB each in %s; medians.\n\n", rounds,
	       stage_dir);
	contest_print_head("microseconds [least-largest]", "   kernel",
			   "     ushm", "ushm/kernel");
	run_touches();

	make_segment();
	for (int side = KERNEL; side < SEGMENT; side++)
		map(side);
	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++)
		run_sync(cases[c]);
	return 0;
}
