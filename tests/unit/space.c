/* SPDX-License-Identifier: MIT */
/* Room: too little of it is an errno at shmget(), never a signal later. */
#include "unit.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ushm.h"

static ushm_space *open_here(const char *dir)
{
	struct ushm_problem problem = { 0 };
	ushm_space *sp;

	if (ushm_open(dir, USHM_CREATE, NULL, &sp, &problem) < 0) {
		fprintf(stderr, "%s\n", problem.text);
		REQUIRE(!"open");
	}
	return sp;
}

static void unmount(void)
{
	umount2(unit_dir(), MNT_DETACH);
}

/* A small tmpfs of our own over the directory. */
static void small_tmpfs(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("ushm", unit_dir(), "tmpfs", 0, options) < 0)
		SKIP("no mount namespace of our own");
	atexit(unmount);
	REQUIRE_OK(chmod(unit_dir(), 0700));
}

CASE_IF("space", NEEDS_ROOT, full_file_system_is_enomem_and_never_sigbus)
{
	enum { SIZE = 100000 };
	ushm_space *sp;
	char *p[100];
	void *at;
	int id, n, r = 0;

	small_tmpfs("size=1m");
	sp = open_here(unit_dir());
	CHECK_EQ(ushm_get(sp, IPC_PRIVATE, 4 << 20, 0600, &id), -ENOMEM);
	for (n = 0; n < 100; n++) {
		r = ushm_get(sp, IPC_PRIVATE, SIZE, 0600, &id);
		if (r < 0)
			break;
		REQUIRE(ushm_attach(sp, id, NULL, 0, &at) == 0);
		p[n] = at;
	}
	CHECK_EQ(r, -ENOMEM);
	CHECK(n >= 5);
	while (n-- > 0)
		memset(p[n], 1, SIZE); /* SIGBUS would end us here */
}

CASE_IF("space", NEEDS_ROOT, records_need_no_room_that_was_not_there)
{
	ushm_space *sp;
	void *at;
	int id, n, r = 0;

	/* The registry itself must not hit the wall either. */
	small_tmpfs("size=200k");
	sp = open_here(unit_dir());
	for (n = 0; n < 40000; n++) {
		r = ushm_get(sp, IPC_PRIVATE, 1, SHM_NORESERVE | 0600, &id);
		if (r < 0)
			break;
		r = ushm_attach(sp, id, NULL, 0, &at);
		if (r < 0)
			break;
	}
	CHECK(r == -ENOMEM || r == -ENOSPC);
	CHECK(n > 50);
}

CASE_IF("space", NEEDS_ROOT, no_room_for_the_registry_says_so)
{
	struct ushm_problem problem;
	ushm_space *sp;

	small_tmpfs("size=16k");
	CHECK_EQ(ushm_open(unit_dir(), USHM_CREATE, NULL, &sp, &problem),
		 -ENOSPC);
	CHECK(strstr(problem.text, "no space left") != NULL);
}

static volatile sig_atomic_t got_xfsz;

static void on_xfsz(int sig)
{
	(void)sig;
	got_xfsz = 1;
}

CASE("space", hard_file_size_limit_is_an_errno_without_a_signal)
{
	struct rlimit limit = { 65536, 65536 };
	ushm_space *sp;
	int id;

	sp = open_here(unit_dir());
	signal(SIGXFSZ, on_xfsz);
	REQUIRE_OK(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_EQ(ushm_get(sp, IPC_PRIVATE, 1 << 20, 0600, &id), -ENOMEM);
	CHECK_EQ(ushm_get(sp, IPC_PRIVATE, 4096, 0600, &id), 0);
	CHECK(!got_xfsz);
}

CASE_IF("space", NEEDS_ROOT, directory_that_cannot_be_written_says_so)
{
	struct ushm_problem problem;
	ushm_space *sp;
	char dir[200];

	REQUIRE_OK(mkdir(unit_path("closed"), 0755));
	strcpy(dir, unit_path("closed/inner"));
	REQUIRE_OK(chmod(unit_dir(), 0711));
	REQUIRE_OK(setresuid(OTHER_USER, OTHER_USER, 0));
	CHECK_EQ(ushm_open(dir, USHM_CREATE, NULL, &sp, &problem), -EACCES);
	CHECK(strstr(problem.text, "permission denied") != NULL);
	REQUIRE_OK(setresuid(0, 0, 0));
}

CASE("space", same_directory_twice_is_one_namespace)
{
	ushm_space *a = open_here(unit_dir()), *b;
	char odd[200];
	int id, again;

	snprintf(odd, sizeof(odd), "%s/.///", unit_dir());
	b = open_here(odd);
	CHECK(a == b);
	CHECK_EQ(ushm_get(a, 7, 10, IPC_CREAT | 0600, &id), 0);
	ushm_close(b);
	CHECK_EQ(ushm_get(a, 7, 10, 0, &again), 0);
	CHECK_EQ(id, again);
	ushm_close(a);
}

CASE("space", namespaces_do_not_see_each_other)
{
	ushm_space *a, *b;
	char name[200];
	void *pa, *pb;
	int ia, ib;

	strcpy(name, unit_path("a"));
	a = open_here(name);
	strcpy(name, unit_path("b"));
	b = open_here(name);
	CHECK_EQ(ushm_get(a, 7, 10, IPC_CREAT | 0600, &ia), 0);
	CHECK_EQ(ushm_get(b, 7, 10, 0, &ib), -ENOENT);
	CHECK_EQ(ushm_get(b, 7, 20, IPC_CREAT | IPC_EXCL | 0600, &ib), 0);
	REQUIRE(ushm_attach(a, ia, NULL, 0, &pa) == 0);
	REQUIRE(ushm_attach(b, ib, NULL, 0, &pb) == 0);
	strcpy(pa, "a");
	strcpy(pb, "b");
	CHECK(strcmp(pa, "a") == 0);
	CHECK_EQ(ushm_detach(a, pb), -EINVAL);
	CHECK_EQ(ushm_detach(b, pb), 0);
	CHECK_EQ(ushm_detach(a, pa), 0);
}

CASE("space", everything_works_without_a_descriptor)
{
	struct rlimit limit;
	ushm_space *sp;
	void *at;
	int id;

	unit_dir();
	REQUIRE_OK(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 0;
	REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
	sp = open_here(unit_dir());
	CHECK_EQ(ushm_get(sp, 5, 10000, IPC_CREAT | 0600, &id), 0);
	REQUIRE(ushm_attach(sp, id, NULL, 0, &at) == 0);
	memset(at, 1, 10000);
	CHECK_EQ(ushm_detach(sp, at), 0);
	CHECK_EQ(ushm_remove(sp, id), 0);
	limit.rlim_cur = limit.rlim_max;
	REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
}
