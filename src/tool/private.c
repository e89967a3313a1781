/* SPDX-License-Identifier: MIT */
/*
 * Directories of `ushm run --private`, and the record inside each of who still
 * needs it.
 *
 * The record is a text file that only grows, one write(2) a line:
 *
 *	pidns 4026531836
 *	launcher 811 3312907
 *	guard 813 3312907
 *	command 814 3312908
 *
 * with pid and start time in clock ticks. Each process notes itself: the
 * launcher before anyone else exists, the command before it becomes the
 * user's program. A kill in between leaves a directory whose noted holders
 * are all dead, or an unreadable record; the first goes with the next
 * `ushm run --private`, the second an hour later.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool/private.h"
#include "tool/process.h"

#define RECORD	       ".private"
#define GRACE_SECONDS  3600
#define REMOVAL_PASSES 8

static const char *const role_name[PRIVATE_ROLES] = {
	[PRIVATE_LAUNCHER] = "launcher",
	[PRIVATE_GUARD] = "guard",
	[PRIVATE_COMMAND] = "command",
};

/* Where the default namespace may be, in the same order. */
static const char *parent_dir(int n)
{
	const char *tmp;

	switch (n) {
	case 0:
		return "/dev/shm";
	case 1:
		return "/tmp";
	case 2:
		tmp = secure_getenv("TMPDIR");
		if (tmp && tmp[0] == '/' && strcmp(tmp, "/tmp") != 0)
			return tmp;
		break;
	}

	return NULL;
}

static void name_prefix(char *buf, size_t len)
{
	snprintf(buf, len, "ushm-%u.private-", (unsigned)geteuid());
}

/* Open a directory that must be ours and no link; -errno if it is not. */
static int open_own(int parent, const char *name)
{
	struct stat st;
	int fd;

	fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		close(fd);
		return -EACCES;
	}

	return fd;
}

static uint64_t own_pidns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

static int append(const char *dir, int flags, const char *text)
{
	int dirfd, fd, r = 0;
	ssize_t n;

	dirfd = open_own(AT_FDCWD, dir);
	if (dirfd < 0)
		return dirfd;
	fd = openat(dirfd, RECORD,
		    O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
			    flags,
		    0600);
	if (fd < 0)
		r = -errno;
	close(dirfd);
	if (fd < 0)
		return r;

	n = write(fd, text, strlen(text));
	if (n < 0)
		r = -errno;
	else if ((size_t)n != strlen(text))
		r = -ENOSPC;
	close(fd);

	return r;
}

int private_make(char ret_dir[PATH_MAX])
{
	char dir[PATH_MAX], prefix[64], line[64];
	int error = ENOENT, r;

	name_prefix(prefix, sizeof(prefix));
	for (int i = 0; i < 3; i++) {
		const char *parent = parent_dir(i);

		if (!parent || snprintf(dir, sizeof(dir), "%s/%sXXXXXX", parent,
					prefix) >= (int)sizeof(dir))
			continue;
		if (!mkdtemp(dir)) {
			error = errno;
			continue;
		}

		snprintf(line, sizeof(line), "pidns %" PRIu64 "\n",
			 own_pidns());
		r = append(dir, O_CREAT | O_EXCL, line);
		if (r == 0)
			r = private_note(dir, PRIVATE_LAUNCHER);
		if (r == 0) {
			memcpy(ret_dir, dir, sizeof(dir));
			return 0;
		}
		private_remove(dir);
		error = -r;
	}

	return -error;
}

int private_note(const char *dir, enum private_role role)
{
	struct process self = { 0 };
	char line[80];

	(void)process_read(getpid(), &self);
	snprintf(line, sizeof(line), "%s %d %" PRIu64 "\n", role_name[role],
		 (int)getpid(), self.start_ticks);

	return append(dir, 0, line);
}

static int parse_record(FILE *f, struct private_record *ret)
{
	struct private_record rec = { 0 };
	char line[80], name[16];
	uint64_t start;
	int pid;

	if (!fgets(line, sizeof(line), f) ||
	    sscanf(line, "pidns %" SCNu64, &rec.pidns) != 1)
		return -EPROTO;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%15s %d %" SCNu64, name, &pid, &start) != 3)
			return -EPROTO;
		for (int i = 0; i < PRIVATE_ROLES; i++)
			if (strcmp(name, role_name[i]) == 0) {
				rec.holder[i].pid = pid;
				rec.holder[i].start = start;
			}
	}
	if (rec.holder[PRIVATE_LAUNCHER].pid <= 0)
		return -EPROTO;

	*ret = rec;
	return 0;
}

static int read_record(int dirfd, struct private_record *ret)
{
	FILE *f;
	int fd, r;

	fd = openat(dirfd, RECORD,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "r");
	if (!f) {
		r = -errno;
		close(fd);
		return r;
	}
	r = parse_record(f, ret);
	fclose(f);

	return r;
}

int private_read(const char *dir, struct private_record *ret)
{
	int fd, r;

	fd = open_own(AT_FDCWD, dir);
	if (fd < 0)
		return fd;
	r = read_record(fd, ret);
	close(fd);

	return r;
}

/* The directory of POSIX shared memory objects: the only one in a namespace. */
static void name_posix(char *buf, size_t len)
{
	snprintf(buf, len, "posix.%u", (unsigned)geteuid());
}

static DIR *open_list(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d && copy >= 0)
		close(copy);
	return d;
}

static bool is_entry(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int remove_held(int parent, const char *name, int fd);

static int remove_entry(int parent, const char *name)
{
	char posix[32];
	int fd, r;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	r = -errno;
	name_posix(posix, sizeof(posix));
	if (r != -EISDIR || strcmp(name, posix) != 0)
		return r;

	fd = open_own(parent, name);
	if (fd < 0)
		return fd;
	r = remove_held(parent, name, fd);
	close(fd);

	return r;
}

/* One pass over the entries; 0 or the last failure. */
static int empty_directory(int fd)
{
	DIR *d = open_list(fd);
	struct dirent *e;
	int one, r = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		one = is_entry(e) ? remove_entry(fd, e->d_name) : 0;
		if (one < 0)
			r = one;
	}
	closedir(d);

	return r;
}

/* 'fd' is the directory, held: the name may become another's. */
static int remove_held(int parent, const char *name, int fd)
{
	int r = 0;

	/* What still runs in there may make files while we remove them. */
	for (int pass = 0; pass < REMOVAL_PASSES; pass++) {
		r = empty_directory(fd);
		if (r < 0)
			break;
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 ||
		    errno == ENOENT) {
			r = 0;
			break;
		}
		r = -errno;
		if (r != -ENOTEMPTY && r != -EEXIST)
			break;
	}

	return r;
}

int private_remove(const char *dir)
{
	int fd, r;

	fd = open_own(AT_FDCWD, dir);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = remove_held(AT_FDCWD, dir, fd);
	close(fd);

	return r;
}

/* The bytes of the files in a directory; '*ret_files' of them. */
static uint64_t bytes_in(int fd, unsigned *ret_files)
{
	DIR *d = open_list(fd);
	uint64_t bytes = 0;
	struct dirent *e;
	struct stat st;

	*ret_files = 0;
	while (d && (e = readdir(d))) {
		if (!is_entry(e))
			continue;
		++*ret_files;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_blocks * 512;
	}
	if (d)
		closedir(d);

	return bytes;
}

/* The same with the objects. */
static uint64_t bytes_of(int fd, unsigned *ret_files)
{
	uint64_t bytes = bytes_in(fd, ret_files);
	unsigned objects;
	char posix[32];
	int sub;

	name_posix(posix, sizeof(posix));
	sub = open_own(fd, posix);
	if (sub >= 0) {
		bytes += bytes_in(sub, &objects);
		close(sub);
	}
	return bytes;
}

/* An abandoned attempt holds nothing but the record. What holds more was never
 * ours, whoever gave it the name. */
static bool is_attempt(int dirfd, unsigned files)
{
	struct stat st;

	return (files == 0 ||
		(files == 1 &&
		 fstatat(dirfd, RECORD, &st, AT_SYMLINK_NOFOLLOW) == 0)) &&
	       fstat(dirfd, &st) == 0 &&
	       time(NULL) - st.st_mtime > GRACE_SECONDS;
}

static bool is_stale(const struct private_record *rec)
{
	/* Pids of another container say nothing here. */
	if (rec->pidns != own_pidns())
		return false;
	for (int i = 0; i < PRIVATE_ROLES; i++)
		if (process_alive(rec->holder[i].pid, rec->holder[i].start))
			return false;

	return true;
}

struct sweep {
	bool remove;
	private_told *told;
	void *arg;
};

static void sweep_one(const struct sweep *s, const char *parent, int parent_fd,
		      const char *name)
{
	struct private_record rec = { 0 };
	char path[PATH_MAX];
	int fd = open_own(parent_fd, name), r = 0;
	unsigned files;
	uint64_t bytes;

	if (fd < 0)
		return;
	bytes = bytes_of(fd, &files);
	if (read_record(fd, &rec) < 0 ? is_attempt(fd, files)
				      : is_stale(&rec)) {
		if (s->remove)
			r = remove_held(parent_fd, name, fd);
		snprintf(path, sizeof(path), "%s/%s", parent, name);
		if (s->told)
			s->told(s->arg, path, bytes, r);
	}
	close(fd);
}

void private_sweep(bool remove, private_told *told, void *arg)
{
	const struct sweep s = { remove, told, arg };
	char prefix[64];

	name_prefix(prefix, sizeof(prefix));
	for (int i = 0; i < 3; i++) {
		const char *parent = parent_dir(i);
		struct dirent *e;
		DIR *d;

		d = parent ? opendir(parent) : NULL;
		if (!d)
			continue;
		while ((e = readdir(d)))
			if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
				sweep_one(&s, parent, dirfd(d), e->d_name);
		closedir(d);
	}
}
