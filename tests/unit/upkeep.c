/* SPDX-License-Identifier: MIT */
/*
 * ushm_check() and ushm_collect() where no program of tests/tool gets: what
 * killed processes leave half-made, and directories that cannot be looked at.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/space.h"
#include "ushm.h"

/* What was reported, a line a finding: "FATE code text". */
static char said[8192];

static void on_finding(void *arg, const struct ushm_finding *f)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "%d %s %s\n", (int)f->fate,
		 f->code, f->text);
}

static int collect(const char *dir, unsigned flags)
{
	*said = '\0';
	return ushm_collect(dir, flags, on_finding, NULL, NULL);
}

static int check(const char *dir, unsigned flags)
{
	*said = '\0';
	return ushm_check(dir, flags, on_finding, NULL, NULL);
}

#define SAYS(words)  \
	(CHECK_HERE, \
	 check_true(__FILE__, __LINE__, strstr(said, words), "says " words))

static struct space *open_here(void)
{
	ushm_space *sp;

	REQUIRE(ushm_open(unit_dir(), USHM_CREATE, NULL, &sp, NULL) == 0);
	return (struct space *)sp;
}

static void make_file(const char *name, size_t size)
{
	int fd = open(unit_path(name), O_CREAT | O_RDWR, 0600);

	REQUIRE(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
}

/* Name of a file of ours: "seg.<uid>.<number>" and the like. */
static const char *own(const char *noun, const char *rest)
{
	static char name[80];

	snprintf(name, sizeof(name), "%s.%u%s", noun, geteuid(), rest);
	return name;
}

/* A segment stays in 'state', as if its process was killed just then. */
static void left_in(uint32_t state)
{
	int status;
	pid_t pid;

	(void)unit_dir();
	pid = fork();
	if (pid == 0) {
		struct space *sp = open_here();
		struct segment_reservation res;
		struct space_entry e;
		int id;

		REQUIRE(ushm_get((ushm_space *)sp, IPC_PRIVATE, 4096, 0600,
				 &id) == 0);
		REQUIRE(space_enter(sp, &e) == 0);
		space_lock(sp);
		if (state == SEG_DOOMED)
			segments_doom(&sp->reg, (uint32_t)id, space_slot(sp));
		else
			REQUIRE(segments_reserve(&sp->reg, space_slot(sp), 1,
						 &res) == 0);
		undo_commit(&sp->reg);
		lock_release(&sp->reg); /* space_unlock() would finish it */
		kill(getpid(), SIGKILL);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

CASE("upkeep", half_removed_segment_of_the_killed_is_told_and_goes)
{
	left_in(SEG_DOOMED);
	CHECK_EQ(collect(unit_dir(), USHM_DRY_RUN), 0);
	SAYS("was being removed by a process");
	CHECK_EQ(collect(unit_dir(), 0), 0);
	SAYS("was being removed by a process");
	CHECK_EQ(collect(unit_dir(), 0), 0);
	CHECK_EQ(*said, 0);
	CHECK(access(unit_path(own("seg", ".0")), F_OK) < 0);
}

CASE("upkeep", half_made_segment_of_the_killed_is_told_and_goes)
{
	left_in(SEG_RESERVED);
	CHECK_EQ(collect(unit_dir(), USHM_DRY_RUN), 0);
	SAYS("was being made by a process");
	CHECK_EQ(collect(unit_dir(), 0), 0);
	SAYS("was being made by a process");
	CHECK_EQ(collect(unit_dir(), 0), 0);
	CHECK_EQ(*said, 0);
	CHECK_EQ(check(unit_dir(), 0), 0);
}

CASE("upkeep", segment_without_a_registry_stays)
{
	make_file(own("seg", ".7"), 8192);
	CHECK_EQ(collect(unit_dir(), 0), 0);
	SAYS("has no registry and stays");
	CHECK_EQ(access(unit_path(own("seg", ".7")), F_OK), 0);
}

CASE("upkeep", what_cleanings_and_makers_left_is_removed)
{
	static const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	char path[200], gone[200];

	ushm_close((ushm_space *)open_here());
	make_file(own("seg", ".7.gone"), 8192);
	strcpy(gone, unit_path(own("seg", ".7.gone")));
	make_file(own("registry", ".new-2147483646"), 100);
	strcpy(path, unit_path(own("registry", ".new-2147483646")));

	/* It may be being made. */
	CHECK_EQ(check(unit_dir(), 0), USHM_CHECK_LEFT);
	CHECK(!strstr(said, "unfinished-registry"));
	REQUIRE(utimensat(AT_FDCWD, path, old, 0) == 0);

	CHECK_EQ(check(unit_dir(), 0), USHM_CHECK_LEFT);
	SAYS("was left by a cleaning");
	SAYS("unfinished-registry");
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_EQ(check(unit_dir(), USHM_REPAIR), USHM_CHECK_CORRECTED);
	CHECK(access(path, F_OK) < 0);
	CHECK(access(gone, F_OK) < 0);
	CHECK_EQ(check(unit_dir(), 0), 0);
}

CASE("upkeep", what_is_no_directory_is_refused)
{
	char loop[200];

	make_file("file", 0);
	CHECK_EQ(check(unit_path("file"), USHM_REPAIR), -ENOTDIR);
	CHECK_EQ(collect(unit_path("file"), 0), -ENOTDIR);
	CHECK_EQ(check(unit_path("none"), 0), -ENOENT);
	strcpy(loop, unit_path("loop"));
	REQUIRE(symlink("loop", loop) == 0);
	CHECK(check(loop, 0) < 0);
}

CASE_IF("upkeep", NEEDS_ROOT, directory_of_another_user_is_not_looked_at)
{
	ushm_close((ushm_space *)open_here());
	REQUIRE(chmod(unit_dir(), 0777) == 0);
	REQUIRE(mkdir(unit_path("theirs"), 0700) == 0);
	REQUIRE(chown(unit_path("theirs"), OTHER_USER, OTHER_USER) == 0);
	CHECK_EQ(check(unit_path("theirs"), USHM_REPAIR), -EACCES);
	if (child_as(OTHER_USER, OTHER_USER)) {
		REQUIRE(mkdir(unit_path("closed"), 0) == 0);
		CHECK_EQ(check(unit_path("closed"), 0), -EACCES);
		CHECK_EQ(collect(unit_path("closed"), 0), -EACCES);
		child_exit();
	}
}

/* Records and keys that nothing else knows of: programs have to restart. */
CASE("upkeep", lost_attachment_is_corrected_with_a_warning)
{
	struct space *sp = open_here();
	struct layout_attach *a;
	void *p;
	int id;

	REQUIRE(ushm_get((ushm_space *)sp, 1, 4096, IPC_CREAT | 0600, &id) ==
		0);
	REQUIRE(ushm_attach((ushm_space *)sp, id, NULL, 0, &p) == 0);
	a = registry_attach(
		&sp->reg,
		registry_segment(&sp->reg, (uint32_t)id)->first_attach - 1);
	REQUIRE(a);
	a->segment = 12345;
	CHECK(check(unit_dir(), 0) & USHM_CHECK_LEFT);
	CHECK(check(unit_dir(), USHM_REPAIR) > 0);
	CHECK_EQ(check(unit_dir(), 0), 0);
}

/* Which it is of, neither the record says nor a list. */
CASE("upkeep", attachment_of_nobody_is_told_as_lost)
{
	struct space *sp = open_here();
	struct layout_segment *s;
	void *p;
	int id;

	REQUIRE(ushm_get((ushm_space *)sp, 1, 4096, IPC_CREAT | 0600, &id) ==
		0);
	REQUIRE(ushm_attach((ushm_space *)sp, id, NULL, 0, &p) == 0);
	s = registry_segment(&sp->reg, (uint32_t)id);
	registry_attach(&sp->reg, s->first_attach - 1)->segment = 12345;
	s->first_attach = 0;
	s->attaches = 0;
	CHECK(check(unit_dir(), USHM_REPAIR) & USHM_CHECK_RESTART);
	SAYS("1 attachments could not be told");
	CHECK_EQ(check(unit_dir(), 0), 0);
}

CASE("upkeep", second_segment_of_a_key_loses_it)
{
	struct space *sp = open_here();
	struct layout_segment *s;
	int one, two, id;

	REQUIRE(ushm_get((ushm_space *)sp, 1, 1, IPC_CREAT | 0600, &one) == 0);
	REQUIRE(ushm_get((ushm_space *)sp, 2, 1, IPC_CREAT | 0600, &two) == 0);
	s = registry_segment(&sp->reg, (uint32_t)two);
	s->key = s->first_key = 1;
	CHECK(check(unit_dir(), USHM_REPAIR) & USHM_CHECK_RESTART);
	SAYS("had the key of another");
	CHECK_EQ(check(unit_dir(), 0), 0);
	CHECK_EQ(ushm_get((ushm_space *)sp, 1, 1, 0, &id), 0);
	CHECK_EQ(id, one);
}

CASE("upkeep", short_file_of_an_attached_segment_asks_for_a_restart)
{
	struct space *sp = open_here();
	void *p;
	int id;

	REQUIRE(ushm_get((ushm_space *)sp, 1, 8192, IPC_CREAT | 0600, &id) ==
		0);
	REQUIRE(ushm_attach((ushm_space *)sp, id, NULL, 0, &p) == 0);
	REQUIRE_OK(truncate(unit_path(own("seg", ".0")), 0));
	CHECK_EQ(check(unit_dir(), USHM_REPAIR),
		 USHM_CHECK_CORRECTED | USHM_CHECK_RESTART);
	memset(p, 1, 8192);
}

CASE("upkeep", file_that_cannot_be_removed_is_told)
{
	left_in(SEG_DOOMED);
	REQUIRE_OK(unlink(unit_path(own("seg", ".0"))));
	REQUIRE_OK(mkdir(unit_path(own("seg", ".0")), 0700));
	CHECK(collect(unit_dir(), 0) > 0);
	SAYS("cannot be removed");
}

CASE("upkeep", namespace_full_of_processes_cannot_be_looked_at)
{
	const struct ushm_options one = { .max_processes = 1 };
	ushm_space *sp;
	int id, status;
	pid_t pid;

	REQUIRE(ushm_open(unit_dir(), USHM_CREATE, &one, &sp, NULL) == 0);
	REQUIRE(ushm_get(sp, 1, 1, IPC_CREAT | 0600, &id) == 0);
	pid = fork();
	if (pid == 0)
		_exit(check(unit_dir(), 0) != -ENOMEM ||
		      collect(unit_dir(), 0) != -ENOMEM);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}
