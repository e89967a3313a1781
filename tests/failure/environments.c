/* SPDX-License-Identifier: MIT */
/* Owns what it uses up, until it is lifted. */
#include "failure/environments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure/operations.h"

/* "<the namespace's parent>/<name>" */
static const char *beside(const char *name)
{
	static char path[120];
	size_t n = (size_t)(strrchr(stage.dir, '/') - stage.dir);

	snprintf(path, sizeof(path), "%.*s/%s", (int)n, stage.dir, name);
	return path;
}

static bool fill_up(void)
{
	static const char block[65536];
	size_t size = sizeof(block);
	struct rlimit limit;
	int fd;

	/* An operation with a limit of its own. */
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 ||
	    limit.rlim_cur != RLIM_INFINITY)
		return false;
	fd = open(beside("filler"), O_WRONLY | O_CREAT, 0600);
	while (fd >= 0 && size)
		if (write(fd, block, size) < 0)
			size /= 2;
	return fd >= 0 && close(fd) == 0;
}

static void clear_up(void)
{
	unlink(beside("filler"));
}

static bool use_up_inodes(void)
{
	char name[20];
	int fd = 0;

	for (int i = 0; fd >= 0; i++) {
		snprintf(name, sizeof(name), "node%d", i);
		fd = open(beside(name), O_WRONLY | O_CREAT, 0600);
		if (fd >= 0)
			close(fd);
	}
	return errno == ENOSPC;
}

static void give_inodes_back(void)
{
	char name[20];
	int i = 0;

	do
		snprintf(name, sizeof(name), "node%d", i++);
	while (unlink(beside(name)) == 0);
}

static struct rlimit before;

static bool limit_soft(int what, rlim_t value)
{
	struct rlimit limit;

	getrlimit(what, &before);
	limit = before;
	limit.rlim_cur = value;
	return setrlimit(what, &limit) == 0;
}

static bool no_descriptor(void)
{
	int fd = dup(2);

	close(fd);
	return limit_soft(RLIMIT_NOFILE, (rlim_t)fd);
}

static void descriptors(void)
{
	setrlimit(RLIMIT_NOFILE, &before);
}

static bool no_address_space(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f || fscanf(f, "%ld", &pages) != 1)
		return false;
	fclose(f);
	return limit_soft(RLIMIT_AS, (rlim_t)pages * 4096);
}

static void address_space(void)
{
	setrlimit(RLIMIT_AS, &before);
}

static bool small_files(void)
{
	return limit_soft(RLIMIT_FSIZE, 1);
}

static bool small_files_for_good(void)
{
	struct rlimit limit = { 1, 1 };

	getrlimit(RLIMIT_FSIZE, &before);
	return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

static void large_files(void)
{
	setrlimit(RLIMIT_FSIZE, &before);
}

/* CAP_SYS_RESOURCE has a way back; without it there is no lifting. */
static bool small_files_can_be_lifted(void)
{
	return small_files_for_good() &&
	       setrlimit(RLIMIT_FSIZE, &before) == 0 && small_files_for_good();
}

/* The namespace's directory if there is one, else that where it would be. */
static const char *directory(void)
{
	return access(stage.dir, F_OK) == 0 ? stage.dir : beside("");
}

static bool write_protected(void)
{
	return chmod(directory(), 0500) == 0;
}

static void writable(void)
{
	chmod(directory(), 0700);
}

/* Not while a file is mapped to be written. */
static bool read_only(void)
{
	return mount(NULL, beside(""), NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

static void read_write(void)
{
	mount(NULL, beside(""), NULL, MS_REMOUNT, NULL);
}

const struct environment environments[] = {
	{ "full file system", "small", false, true, fill_up, clear_up },
	{ "no inodes", "nodes", false, true, use_up_inodes, give_inodes_back },
	{ "no descriptor", NULL, false, false, no_descriptor, descriptors },
	{ "no address space", NULL, false, false, no_address_space,
	  address_space },
	{ "RLIMIT_FSIZE, soft", NULL, false, false, small_files, large_files },
	{ "RLIMIT_FSIZE, hard", NULL, false, false, small_files_can_be_lifted,
	  large_files },
	{ "read-only directory", "user", true, true, write_protected,
	  writable },
	{ "read-only mount", "small", false, true, read_only, read_write },
};

const size_t nenvironments = sizeof(environments) / sizeof(environments[0]);
