/* SPDX-License-Identifier: MIT */
/*
 * A real file system on a disk that loses power.
 *
 * The disk is a file of a FUSE file system of our own, below a loop device. It
 * keeps what was flushed, and apart from it the writes since. While commits are
 * made on the ext4 above it, the power is cut at one of its writes or flushes:
 * what was flushed stays, and of each other sector the old content or one that
 * was written since. Then that disk is mounted, the journal replayed, and the
 * file has to be what the last acknowledged commit has made of it, or the one
 * that was under way.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backing/journal.h"

#define DISK	(12 << 20)
#define SECTOR	512
#define LOG	8192 /* sectors written since a flush */
#define COMMITS 24
#define ROOM	(64 << 10)

/* Between the disk and who uses it. */
static struct {
	uint8_t now[DISK], flushed[DISK], cut[DISK];
	struct {
		uint32_t at;
		uint8_t bytes[SECTOR];
	} log[LOG];
	unsigned logged;
	long ops, cut_at;      /* of this round */
	int done, done_at_cut; /* commits that have returned */
	bool is_cut;
	unsigned seed;
} * disk;

static char dir[64], front[100], mnt[100], image[100], path[120];
static int failures, rounds_cut;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* -------------------------------------------------------------- the disk */

static void cut_power(void)
{
	unsigned chance = (unsigned)rand_r(&disk->seed) % 5; /* in quarters */

	memcpy(disk->cut, disk->flushed, DISK);
	for (unsigned i = 0; i < disk->logged; i++)
		if ((unsigned)rand_r(&disk->seed) % 4 < chance)
			memcpy(disk->cut + disk->log[i].at, disk->log[i].bytes,
			       SECTOR);
	disk->done_at_cut = disk->done;
	disk->is_cut = true;
}

static void count_op(void)
{
	if (++disk->ops == disk->cut_at)
		cut_power();
}

static int do_getattr(const char *name, struct stat *st,
		      struct fuse_file_info *info)
{
	(void)info;
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	if (strcmp(name, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		return 0;
	}
	if (strcmp(name, "/disk") != 0)
		return -ENOENT;
	st->st_mode = S_IFREG | 0600;
	st->st_size = DISK;
	return 0;
}

static int do_open(const char *name, struct fuse_file_info *info)
{
	(void)name;
	info->direct_io = 1;
	return 0;
}

static int do_read(const char *name, char *buf, size_t size, off_t at,
		   struct fuse_file_info *info)
{
	(void)name;
	(void)info;
	if (at >= DISK)
		return 0;
	if (size > (size_t)(DISK - at))
		size = (size_t)(DISK - at);
	memcpy(buf, disk->now + at, size);
	return (int)size;
}

static int do_write(const char *name, const char *buf, size_t size, off_t at,
		    struct fuse_file_info *info)
{
	(void)name;
	(void)info;
	if (at % SECTOR || size % SECTOR || at + (off_t)size > DISK)
		return -EINVAL;
	memcpy(disk->now + at, buf, size);
	for (size_t done = 0; done < size; done += SECTOR) {
		if (disk->logged == LOG)
			return -EIO;
		disk->log[disk->logged].at = (uint32_t)((size_t)at + done);
		memcpy(disk->log[disk->logged++].bytes, buf + done, SECTOR);
	}
	count_op();
	return (int)size;
}

static int do_fsync(const char *name, int data, struct fuse_file_info *info)
{
	(void)name;
	(void)data;
	(void)info;
	count_op();
	for (unsigned i = 0; i < disk->logged; i++)
		memcpy(disk->flushed + disk->log[i].at, disk->log[i].bytes,
		       SECTOR);
	disk->logged = 0;
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = do_getattr,
	.open = do_open,
	.read = do_read,
	.write = do_write,
	.fsync = do_fsync,
};

static pid_t serve(void)
{
	char *argv[] = { (char *)"losing", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse *fuse;
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
		if (!fuse || fuse_mount(fuse, front) != 0 ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		(void)fuse_loop(fuse);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		printf("no FUSE file system can be mounted here\n");
		exit(77);
	}
	close(ready[0]);
	return pid;
}

/* ------------------------------------------------------------ the commits */

static uint8_t state[COMMITS + 1][ROOM];
static size_t size[COMMITS + 1];

/* Commit 'i': a few places, another size now and then. */
static int commit(const struct journal_place *place, int fd, int i)
{
	static uint8_t fresh[ROOM];
	struct journal_run runs[8];
	size_t n = 0, at = (size_t)(i * 1777 % 5000);

	size[i] = 30000 + (size_t)(i % 4) * 5000;
	memset(state[i], 0, ROOM);
	memcpy(state[i], state[i - 1],
	       size[i] < size[i - 1] ? size[i] : size[i - 1]);
	memset(fresh, 'a' + i, ROOM);
	for (; n < 8 && at < size[i]; n++) {
		size_t length = (size_t)(1 + i * 311 % 4096);

		if (length > size[i] - at)
			length = size[i] - at;
		runs[n] = (struct journal_run){ at, fresh + at, length };
		memcpy(state[i] + at, fresh + at, length);
		at += length + (size_t)(i % 3) * 2500;
	}
	return journal_commit(place, fd, runs, n, size[i]);
}

static void commit_all(bool alone)
{
	char sidecar[150];
	struct journal_place place = { AT_FDCWD, sidecar, alone };
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	snprintf(sidecar, sizeof(sidecar), "%s" JOURNAL_SUFFIX, path);
	for (int i = 1; i <= COMMITS; i++) {
		r = commit(&place, fd, i);
		if (r != 0) {
			fprintf(stderr, "FAIL commit %d: %d\n", i, r);
			failures++;
		}
		disk->done = i;
	}
	close(fd);
}

static void check(long round)
{
	char sidecar[150];
	struct journal_place place = { AT_FDCWD, sidecar, false };
	static uint8_t bytes[ROOM];
	int fd = open(path, O_RDWR | O_CLOEXEC), r, done = disk->done_at_cut;
	ssize_t n;

	snprintf(sidecar, sizeof(sidecar), "%s" JOURNAL_SUFFIX, path);
	r = journal_replay(&place, fd, 0);
	n = pread(fd, bytes, ROOM, 0);
	for (int i = done; r >= 0 && i <= done + 1 && i <= COMMITS; i++)
		if (n == (ssize_t)size[i] &&
		    memcmp(bytes, state[i], size[i]) == 0) {
			close(fd);
			return;
		}
	fprintf(stderr,
		"FAIL round %ld, cut at operation %ld, after %d commits: replay "
		"%d, %zd bytes\n",
		round, disk->cut_at, done, r, n);
	failures++;
	close(fd);
}

/* ------------------------------------------------------------------ rounds */

static bool shell(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool mount_on(const char *file)
{
	char command[400];

	snprintf(command, sizeof(command), "mount -o loop %s %s 2>/dev/null",
		 file, mnt);
	return shell(command);
}

static void put_image(const uint8_t *bytes)
{
	int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, DISK) != DISK)
		die(image);
	close(fd);
}

static void begin_disk(const uint8_t *bytes)
{
	memcpy(disk->now, bytes, DISK);
	memcpy(disk->flushed, bytes, DISK);
	disk->logged = 0;
	disk->ops = 0;
	disk->done = 0;
	disk->is_cut = false;
}

/* The number of operations it took. */
static long play(const uint8_t *fresh, long cut_at, bool alone)
{
	char front_disk[120];
	long ops;

	snprintf(front_disk, sizeof(front_disk), "%s/disk", front);
	begin_disk(fresh);
	disk->cut_at = -1;
	if (!mount_on(front_disk)) {
		printf("no loop device can be mounted here\n");
		exit(77);
	}
	disk->ops = 0;
	disk->cut_at = cut_at;
	commit_all(alone);
	ops = disk->ops;
	if (umount(mnt) < 0)
		die("umount");
	return ops;
}

static void make_fresh(uint8_t *fresh)
{
	char command[400];
	int fd;

	snprintf(command, sizeof(command),
		 "truncate -s %d %s && mkfs.ext4 -q -b 4096 -J size=4 %s "
		 "2>/dev/null",
		 DISK, image, image);
	if (!shell(command) || !mount_on(image)) {
		printf("no ext4 on a loop device here\n");
		exit(77);
	}
	size[0] = 20000;
	memset(state[0], 'A', size[0]);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, state[0], size[0]) != (ssize_t)size[0] ||
	    fsync(fd) < 0)
		die(path);
	close(fd);
	if (umount(mnt) < 0)
		die("umount");
	fd = open(image, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, fresh, DISK) != DISK)
		die(image);
	close(fd);
}

static pid_t server, owner;

static void clean_up(void)
{
	char command[200];

	if (getpid() != owner)
		return;
	(void)umount2(mnt, MNT_DETACH);
	(void)umount2(front, MNT_DETACH);
	if (server > 0)
		kill(server, SIGKILL);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	(void)shell(command);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 40, ops;
	static uint8_t fresh[DISK];

	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0 ||
	    unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("needs root, /dev/fuse and mounts of its own\n");
		return 77;
	}
	disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (disk == MAP_FAILED)
		die("mmap");
	disk->seed = (unsigned)rounds;
	owner = getpid();
	strcpy(dir, "/var/tmp/ushm-losing.XXXXXX");
	if (!mkdtemp(dir))
		die(dir);
	atexit(clean_up);
	snprintf(front, sizeof(front), "%s/front", dir);
	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(path, sizeof(path), "%s/mnt/data", dir);
	if (mkdir(front, 0700) < 0 || mkdir(mnt, 0700) < 0)
		die(dir);

	make_fresh(fresh);
	server = serve();
	ops = play(fresh, -1, false);
	for (long round = 0; round < rounds && failures < 10; round++) {
		(void)play(fresh, 1 + rand_r(&disk->seed) % ops, round & 1);
		if (!disk->is_cut)
			continue; /* two flushes a commit: over before that */
		rounds_cut++;
		put_image(disk->cut);
		if (!mount_on(image)) {
			fprintf(stderr, "FAIL ext4 cannot be mounted\n");
			failures++;
			continue;
		}
		check(round);
		if (umount(mnt) < 0)
			die("umount");
	}
	printf("%ld writes and flushes a round, %d power cuts, %d failures\n",
	       ops, rounds_cut, failures);
	return failures != 0;
}
