/* SPDX-License-Identifier: MIT */
/* A registry that is not as it should be is refused, and left untouched. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/layout.h"
#include "ushm.h"

static char name[32];

static const char *registry_path(void)
{
	snprintf(name, sizeof(name), "registry.%u", (unsigned)geteuid());
	return unit_path(name);
}

static int try_open(struct ushm_problem *problem)
{
	ushm_space *sp;
	int r = ushm_open(unit_dir(), USHM_CREATE, NULL, &sp, problem);

	if (r == 0)
		ushm_close(sp);
	return r;
}

/* Opening it must fail with 'error' and say 'words'. */
static void refused(int error, const char *words)
{
	struct ushm_problem problem = { 0 };

	CHECK_EQ(try_open(&problem), -error);
	CHECK_EQ(problem.error, error);
	if (!strstr(problem.text, words))
		fprintf(stderr, "it says: %s\n", problem.text);
	CHECK(strstr(problem.text, words) != NULL);
}

static void make_good(void)
{
	struct ushm_problem problem;

	REQUIRE(try_open(&problem) == 0);
}

CASE("registry", damaged_header_is_refused_and_left_alone)
{
	static const struct {
		const char *why, *words;
		long offset;
		size_t size;
		uint64_t value;
	} rows[] = {
		{ "magic", "not a ushm registry",
		  offsetof(struct layout_header, magic), 8, 1 },
		{ "version", "version 7",
		  offsetof(struct layout_header, version), 4, 7 },
		{ "features", "features",
		  offsetof(struct layout_header, features), 8, 2 },
		{ "the feature of another kind", "durable",
		  offsetof(struct layout_header, features), 8, 1 },
		{ "header size", "damaged",
		  offsetof(struct layout_header, header_size), 4, 12 },
		{ "user", "another user", offsetof(struct layout_header, uid),
		  4, 4242 },
		{ "capacity", "damaged",
		  offsetof(struct layout_header, segments.capacity), 4,
		  UINT32_MAX },
		{ "no capacity", "damaged",
		  offsetof(struct layout_header, attaches.capacity), 4, 0 },
		{ "offset", "damaged",
		  offsetof(struct layout_header, procs.offset), 8, 64 },
		{ "record size", "damaged",
		  offsetof(struct layout_header, segments.size), 4, 64 },
		{ "ready beyond capacity", "damaged",
		  offsetof(struct layout_header, segments.ready), 4, 1u << 30 },
		{ "used beyond ready", "damaged",
		  offsetof(struct layout_header, attaches.used), 4, 1u << 30 },
		{ "shift", "damaged", offsetof(struct layout_header, seq_shift),
		  4, 31 },
		{ "file size", "damaged",
		  offsetof(struct layout_header, file_size), 8, 1u << 20 },
	};
	struct layout_header before, after;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		NOTE("%s", rows[i].why);
		unlink(registry_path());
		make_good();
		fd = open(registry_path(), O_RDWR);
		REQUIRE(fd >= 0);
		REQUIRE(pwrite(fd, &rows[i].value, rows[i].size,
			       rows[i].offset) == (ssize_t)rows[i].size);
		REQUIRE(pread(fd, &before, sizeof(before), 0) ==
			sizeof(before));
		refused(EPROTO, rows[i].words);
		REQUIRE(pread(fd, &after, sizeof(after), 0) == sizeof(after));
		CHECK(memcmp(&before, &after, sizeof(after)) == 0);
		close(fd);
	}
}

CASE("registry", truncated_registry_is_refused)
{
	static const long sizes[] = { 0, 1, 4095, 4096, 100000 };
	struct stat st;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		NOTE("%ld bytes", sizes[i]);
		unlink(registry_path());
		make_good();
		REQUIRE_OK(truncate(registry_path(), sizes[i]));
		refused(EPROTO, "truncated");
		REQUIRE_OK(stat(registry_path(), &st));
		CHECK_EQ(st.st_size, sizes[i]);
	}
}

CASE("registry", anything_but_a_file_of_our_own_is_refused)
{
	make_good();
	REQUIRE_OK(chmod(registry_path(), 0660));
	refused(EACCES, "written by other users");
	REQUIRE_OK(unlink(registry_path()));

	REQUIRE_OK(symlink("/etc/passwd", registry_path()));
	refused(ELOOP, "symbolic link");
	REQUIRE_OK(unlink(registry_path()));

	NOTE("a FIFO must not block us");
	REQUIRE_OK(mkfifo(registry_path(), 0600));
	refused(EPROTO, "not a regular file");
	REQUIRE_OK(unlink(registry_path()));

	REQUIRE_OK(mkdir(registry_path(), 0700));
	refused(EISDIR, "cannot be opened");
}

CASE_IF("registry", NEEDS_ROOT, foreign_registry_and_directory_are_refused)
{
	make_good();
	REQUIRE_OK(chown(registry_path(), OTHER_USER, OTHER_USER));
	refused(EACCES, "belongs to another user");
	REQUIRE_OK(unlink(registry_path()));

	REQUIRE_OK(chown(unit_dir(), OTHER_USER, OTHER_USER));
	refused(EACCES, "belongs to another user");
}

CASE("registry", directory_that_others_may_write_is_refused)
{
	static const mode_t modes[] = { 0770, 0702, 0777, 01777 };
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		REQUIRE_OK(chmod(unit_dir(), modes[i]));
		refused(EACCES, "may be written by group or others");
	}
	REQUIRE_OK(chmod(unit_dir(), 0700));
	make_good();
}

CASE("registry", absent_namespace_is_not_made_without_asking)
{
	struct ushm_problem problem;
	ushm_space *sp;
	char dir[200];

	strcpy(dir, unit_path("none"));
	CHECK_EQ(ushm_open(dir, 0, NULL, &sp, &problem), -ENOENT);
	CHECK(access(dir, F_OK) < 0);
	CHECK_EQ(ushm_open(unit_dir(), 0, NULL, &sp, &problem), -ENOENT);
	CHECK(strstr(problem.text, "does not exist") != NULL);
}

CASE("registry", long_path_is_refused_with_a_reason)
{
	struct ushm_problem problem;
	ushm_space *sp;
	char dir[3000];

	memset(dir, 'x', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	CHECK_EQ(ushm_open(dir, 0, NULL, &sp, &problem), -ENAMETOOLONG);
	CHECK(strstr(problem.text, "xxx...: cannot be opened: name too long"));
}

CASE("registry", capacities_are_chosen_when_it_is_made)
{
	struct ushm_options big = { .max_segments = 100000,
				    .max_processes = 100,
				    .max_attachments = 1000 };
	struct ushm_options absurd = { .max_segments = 1u << 25 };
	struct ushm_problem problem;
	struct ushm_info info;
	ushm_space *sp;
	char dir[200];
	int id, last = -1;

	strcpy(dir, unit_path("big"));
	REQUIRE(ushm_open(dir, USHM_CREATE, &big, &sp, &problem) == 0);
	REQUIRE(ushm_info(sp, &info) == 0);
	CHECK_EQ(info.shmmni, 100000);

	/* More than Linux's 32768: the index takes 24 bits of an id. */
	for (int i = 0; i < 33000; i++) {
		REQUIRE(ushm_get(sp, IPC_PRIVATE, 1, SHM_NORESERVE | 0600,
				 &id) == 0);
		CHECK(id > last);
		last = id;
	}
	CHECK_EQ(last, 32999);
	REQUIRE(ushm_info(sp, &info) == 0);
	CHECK_EQ(info.used_ids, 33000);
	CHECK_EQ(ushm_remove(sp, last), 0);
	CHECK_EQ(ushm_get(sp, IPC_PRIVATE, 1, 0600, &id), 0);
	CHECK_EQ(id, 33000);

	strcpy(dir, unit_path("absurd"));
	CHECK_EQ(ushm_open(dir, USHM_CREATE, &absurd, &sp, &problem), -EINVAL);
}

CASE("registry", full_namespace_is_enospc_and_loses_nothing)
{
	struct ushm_options small = { .max_segments = 70 };
	struct ushm_problem problem;
	struct ushm_info info;
	ushm_space *sp;
	int id, i;

	REQUIRE(ushm_open(unit_dir(), USHM_CREATE, &small, &sp, &problem) == 0);
	for (i = 0; i < 70; i++)
		CHECK_EQ(ushm_get(sp, 100 + i, 10, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_get(sp, 999, 10, IPC_CREAT | 0600, &id), -ENOSPC);
	for (i = 0; i < 70; i++)
		CHECK_EQ(ushm_get(sp, 100 + i, 10, 0, &id), 0);
	CHECK_EQ(ushm_remove(sp, id), 0);
	CHECK_EQ(ushm_get(sp, 999, 10, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_info(sp, &info), 0);
	CHECK_EQ(info.used_ids, 70);
}
