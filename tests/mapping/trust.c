/* SPDX-License-Identifier: MIT */
/*
 * Whom an object is believed: anybody can make files in /dev/shm.
 */
#include "mapping.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"

#define OTHER 12345

static char name[2][100];

static void find_names(int fd)
{
	struct sys_identity id;

	REQUIRE(sys_identity(fd, "", AT_EMPTY_PATH, &id) == 0);
	for (int ctl = 0; ctl <= 1; ctl++)
		snprintf(name[ctl], sizeof(name[ctl]),
			 "/dev/shm/ushm-file.%llx-%llx%s",
			 (unsigned long long)id.dev, (unsigned long long)id.ino,
			 ctl ? ".ctl" : "");
}

static void remove_names(void)
{
	for (int ctl = 0; ctl <= 1; ctl++)
		if (remove(name[ctl]) < 0)
			unlink(name[ctl]);
}

static int try(int fd)
{
	void *p = NULL;
	int r = map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &p);

	if (r == 0)
		unmap(p, PAGE);
	return r;
}

static void by_other(void (*make)(const char *))
{
	if (child_as(OTHER, OTHER)) {
		make(name[0]);
		make(name[1]);
		child_exit();
	}
}

static void plain(const char *path)
{
	close(open(path, O_RDWR | O_CREAT, 0666));
	chmod(path, 0666);
}

static void to_file(const char *path)
{
	CHECK(symlink("/etc/hostname", path) == 0);
}

static void fifo(const char *path)
{
	CHECK(mkfifo(path, 0666) == 0);
}

static void directory(const char *path)
{
	CHECK(mkdir(path, 0777) == 0);
}

CASE_IF("trust", NEEDS_ROOT, what_others_made_is_refused)
{
	static const struct {
		const char *why;
		void (*make)(const char *);
	} all[] = { { "a file", plain },
		    { "a link", to_file },
		    { "a pipe", fifo },
		    { "a directory", directory } };
	int fd = file_of("f", PAGE);

	find_names(fd);
	for (size_t i = 0; i < LEN(all); i++) {
		NOTE("%s of another user", all[i].why);
		by_other(all[i].make);
		CHECK(try(fd) < 0);
		remove_names();
		CHECK_EQ(try(fd), 0);

		NOTE("%s instead of the pages", all[i].why);
		if (child_as(OTHER, OTHER)) {
			all[i].make(name[0]);
			child_exit();
		}
		CHECK(try(fd) < 0);
		CHECK(access(name[1], F_OK) < 0);
		remove_names();
	}
	CHECK_EQ(byte_of(fd, 0), pattern(0));
}

CASE("trust", links_and_kinds_are_refused_even_of_ours)
{
	static const struct {
		const char *why;
		void (*make)(const char *);
	} all[] = { { "a link", to_file },
		    { "a pipe", fifo },
		    { "a directory", directory } };
	int fd = file_of("f", PAGE);

	find_names(fd);
	for (size_t i = 0; i < LEN(all); i++) {
		NOTE("%s", all[i].why);
		all[i].make(name[1]);
		CHECK(try(fd) < 0);
		remove_names();
	}
	NOTE("with two names");
	plain(name[1]);
	CHECK(link(name[1], name[0]) == 0);
	CHECK(try(fd) < 0);
	remove_names();
}

CASE("trust", an_object_has_the_files_rights)
{
	static const mode_t modes[] = { 0600, 0640, 0644, 0660, 0664, 0666 };
	int fd = file_of("f", PAGE);
	struct stat st;

	find_names(fd);
	for (size_t i = 0; i < LEN(modes); i++) {
		char *p;

		NOTE("mode %o", modes[i]);
		REQUIRE(fchmod(fd, modes[i]) == 0);
		p = share(fd, PAGE, RW, 0);
		for (int ctl = 0; ctl <= 1; ctl++) {
			CHECK(stat(name[ctl], &st) == 0);
			CHECK_EQ(st.st_mode & 07777, modes[i]);
		}
		CHECK_EQ(unmap(p, PAGE), 0);
	}

	NOTE("what was made wider than the file is by now is narrowed");
	REQUIRE(fchmod(fd, 0666) == 0);
	{
		char *p = share(fd, PAGE, RW, 0);

		REQUIRE(fchmod(fd, 0600) == 0);
		CHECK_EQ(try(fd), 0);
		if (child()) {
			CHECK_EQ(try(fd), 0);
			child_exit();
		}
		CHECK_EQ(unmap(p, PAGE), 0);
	}
}

CASE_IF("trust", NEEDS_ROOT, root_gives_an_object_to_the_files_owner)
{
	int fd = file_of("f", PAGE), other;
	struct stat st;
	char *p;

	REQUIRE(fchown(fd, OTHER, OTHER) == 0 && fchmod(fd, 0640) == 0);
	find_names(fd);
	p = share(fd, PAGE, RW, 0);
	CHECK(stat(name[0], &st) == 0);
	CHECK_EQ(st.st_uid, OTHER);
	CHECK_EQ(st.st_gid, OTHER);
	CHECK_EQ(st.st_mode & 07777, 0640);
	p[0] = 'r';
	if (child_as(OTHER, OTHER)) {
		other = open(work_path("f"), O_RDWR);
		p = share(other, PAGE, RW, 0);
		CHECK_EQ(p[0], 'r');
		p[1] = 'o';
		CHECK_EQ(unmap(p, PAGE), 0);
		child_exit();
	}
	CHECK_EQ(p[1], 'o');
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK_EQ(byte_of(fd, 1), 'o');
}

CASE_IF("trust", NEEDS_ROOT, who_may_read_the_file_reads_the_object)
{
	int fd = file_of("f", PAGE), ro;
	void *q = NULL;
	char *p;

	REQUIRE(fchmod(fd, 0644) == 0);
	p = share(fd, PAGE, RW, 0);
	p[0] = '!';
	if (child_as(OTHER, OTHER)) {
		ro = open(work_path("f"), O_RDONLY);
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, ro, 0, &q), -EACCES);
		p = share(ro, PAGE, PROT_READ, 0);
		CHECK_EQ(p[0], '!');
		CHECK_EQ(protect(p, PAGE, RW), -EACCES);
		CHECK_EQ(sync_range(p, PAGE, MS_ASYNC), 0);
		CHECK_EQ(unmap(p, PAGE), 0);
		child_exit();
	}
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK_EQ(byte_of(fd, 0), '!');
}

CASE_IF("trust", NEEDS_ROOT, a_secret_of_the_file_is_one_of_the_object)
{
	int fd = file_of("f", PAGE);
	char *p;

	REQUIRE(fchmod(fd, 0600) == 0);
	find_names(fd);
	p = share(fd, PAGE, RW, 0);
	if (child_as(OTHER, OTHER)) {
		CHECK_ERRNO(open(name[0], O_RDONLY), EACCES);
		CHECK_ERRNO(open(name[1], O_RDONLY), EACCES);
		child_exit();
	}
	CHECK_EQ(unmap(p, PAGE), 0);
}
