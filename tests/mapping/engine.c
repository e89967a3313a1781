/* SPDX-License-Identifier: MIT */
/*
 * What objects promise beyond the table: what becomes of the stores of killed
 * processes, whom an object is believed, what there is no room for, and that a
 * program's own locks and descriptors are left alone.
 */
#include "mapping.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "backing/object.h"
#include "core/mapping.h"
#include "ushm.h"

#define MANY (8 * PAGE)

static const char *object_path(int fd, bool ctl)
{
	static char path[2][100];
	struct sys_identity id;

	REQUIRE(sys_identity(fd, "", AT_EMPTY_PATH, &id) == 0);
	snprintf(path[ctl], sizeof(path[ctl]), "/dev/shm/ushm-file.%llx-%llx%s",
		 (unsigned long long)id.dev, (unsigned long long)id.ino,
		 ctl ? ".ctl" : "");
	return path[ctl];
}

static bool there_is_an_object(int fd)
{
	return access(object_path(fd, false), F_OK) == 0 ||
	       access(object_path(fd, true), F_OK) == 0;
}

/* A process stores '!' into the first byte of some pages, and is killed. */
static void store_and_die(const char *name, unsigned pages)
{
	struct peer peer;

	if (peer_start(&peer)) {
		int fd = open(work_path(name), O_RDWR);
		char *p = share(fd, MANY, RW, 0);

		for (int i = 0; i < 8; i++)
			if (pages >> i & 1)
				p[i * PAGE] = '!';
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	peer_kill(&peer);
}

/* Map and unmap: what the next user of a file does. *ret_said: on stderr. */
static void next_user(const char *name, char *ret_said, size_t size)
{
	char path[200];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s.said", work_path(name));
	if (child()) {
		setenv("USHM_LOG", "1", 1);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 2);
		fd = open(work_path(name), O_RDWR);
		unmap(share(fd, MANY, RW, 0), MANY);
		child_exit();
	}
	fd = open(path, O_RDONLY);
	n = read(fd, ret_said, size - 1);
	ret_said[n < 0 ? 0 : n] = 0;
	close(fd);
}

/* ---------------------------------------------------------------- recovery */

CASE("recovery", the_next_user_writes_what_a_killed_one_stored)
{
	int fd = file_of("f", MANY);
	char said[300];

	store_and_die("f", 0x24);
	CHECK_EQ(byte_of(fd, 2 * PAGE), pattern(2 * PAGE));
	CHECK(there_is_an_object(fd));
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, 2 * PAGE), '!');
	CHECK_EQ(byte_of(fd, 5 * PAGE), '!');
	CHECK_EQ(byte_of(fd, 3 * PAGE), pattern(3 * PAGE));
	CHECK_EQ(said[0], 0);
	CHECK(!there_is_an_object(fd));
}

CASE("recovery", a_sync_by_name_writes_what_others_have_stored)
{
	int fd = file_of("f", MANY);
	char *p;

	NOTE("nobody has ever mapped it");
	CHECK_EQ(ushm_sync_file(fd), 0);
	CHECK(!there_is_an_object(fd));

	NOTE("left by a killed one");
	store_and_die("f", 1 << 2);
	CHECK_EQ(byte_of(fd, 2 * PAGE), pattern(2 * PAGE));
	CHECK_EQ(ushm_sync_file(fd), 0);
	CHECK_EQ(byte_of(fd, 2 * PAGE), '!');
	CHECK(!there_is_an_object(fd));

	NOTE("mapped, here and by a child");
	p = share(fd, MANY, RW, 0);
	p[0] = 'p';
	if (child()) {
		p[PAGE] = 'c';
		CHECK_EQ(ushm_sync_file(open(work_path("f"), O_RDWR)), 0);
		child_exit();
	}
	CHECK_EQ(byte_of(fd, 0), 'p');
	CHECK_EQ(byte_of(fd, PAGE), 'c');
	CHECK_EQ(unmap(p, MANY), 0);

	CHECK_EQ(ushm_sync_file(open(work_path("f"), O_RDONLY)), -EBADF);
	CHECK_EQ(ushm_sync_file(-1), -EBADF);
}

CASE("recovery", a_number_that_is_used_again_is_another_file)
{
	struct stat before, after;
	char said[300];
	int fd = file_of("f", MANY), tries = 0;

	fstat(fd, &before);
	store_and_die("f", 0x05);
	close(fd);
	do {
		unlink(work_path("f"));
		fd = file_of("f", MANY);
		fstat(fd, &after);
	} while (after.st_ino != before.st_ino && ++tries < 100 &&
		 close(fd) == 0);
	if (after.st_ino != before.st_ino)
		SKIP("no inode number is used again here");
	CHECK(there_is_an_object(fd));
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, 0), pattern(0));
	CHECK_EQ(byte_of(fd, 2 * PAGE), pattern(2 * PAGE));
	CHECK(strstr(said, "2 pages"));
	CHECK(!there_is_an_object(fd));
}

/* As of a file system that does not say when a file was born. */
static void forget_birth(int fd)
{
	int ctl = open(object_path(fd, true), O_RDWR);
	struct object_header h;

	REQUIRE(pread(ctl, &h, sizeof(h), 0) == sizeof(h));
	h.born = 0;
	REQUIRE(pwrite(ctl, &h, sizeof(h), 0) == sizeof(h));
	close(ctl);
}

CASE("recovery", without_a_birth_any_strange_page_forbids_all)
{
	int fd = file_of("f", MANY);
	char said[300];

	store_and_die("f", 0x0a);
	forget_birth(fd);
	REQUIRE(pwrite(fd, "?", 1, 6 * PAGE) == 1);
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, PAGE), pattern(PAGE));
	CHECK_EQ(byte_of(fd, 3 * PAGE), pattern(3 * PAGE));
	CHECK(strstr(said, "2 pages"));

	NOTE("the same, but untouched");
	store_and_die("f", 0x0a);
	forget_birth(fd);
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, PAGE), '!');
	CHECK_EQ(byte_of(fd, 3 * PAGE), '!');
	CHECK_EQ(said[0], 0);

	NOTE("the same, but shorter");
	store_and_die("f", 0xc0);
	CHECK_EQ(byte_of(fd, 6 * PAGE), '?');
	forget_birth(fd);
	REQUIRE(ftruncate(fd, 7 * PAGE) == 0);
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, 6 * PAGE), '?');
}

CASE("recovery", a_page_that_others_changed_is_theirs)
{
	int fd = file_of("f", MANY);
	char said[300];

	store_and_die("f", 0x0a);
	REQUIRE(pwrite(fd, "?", 1, PAGE) == 1);
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, PAGE), '?');
	CHECK_EQ(byte_of(fd, 3 * PAGE), '!');
	CHECK(strstr(said, "1 pages"));
}

CASE("recovery", sizes_are_the_files)
{
	static const int64_t sizes[] = { 0,    100,	 2 * PAGE, 3 * PAGE + 1,
					 MANY, 20 * PAGE };
	char said[300];

	for (size_t i = 0; i < LEN(sizes); i++) {
		int fd = file_of("f", MANY);
		char *p;

		NOTE("%d bytes", (int)sizes[i]);
		store_and_die("f", 0x09);
		REQUIRE(ftruncate(fd, sizes[i]) == 0);
		next_user("f", said, sizeof(said));
		CHECK_EQ(size_of(fd), sizes[i]);
		if (sizes[i])
			CHECK_EQ(byte_of(fd, 0), '!');
		if (sizes[i] > 3 * PAGE)
			CHECK_EQ(byte_of(fd, 3 * PAGE), '!');
		p = share(fd, 21 * PAGE, RW, 0);
		CHECK_EQ(touch_read(p + (sizes[i] + PAGE - 1) / PAGE * PAGE),
			 SIGBUS);
		CHECK_EQ(unmap(p, 21 * PAGE), 0);
		close(fd);
	}
}

CASE("recovery", any_bytes_may_be_in_a_header)
{
	int fd = file_of("f", MANY), ctl;
	char noise[PAGE], said[300], *p;

	for (unsigned seed = 0; seed < 200; seed++) {
		unsigned state = seed * 2654435761u;
		size_t from = seed % 3 ? 8 * (seed % 14) : 0;

		store_and_die("f", 0);
		ctl = open(object_path(fd, true), O_RDWR);
		REQUIRE(ctl >= 0);
		for (size_t i = 0; i < PAGE; i++)
			noise[i] =
				(char)((state = state * 1664525 + 1013904223) >>
				       24);
		REQUIRE(pwrite(ctl, noise, seed % 3 ? 8 : PAGE, (off_t)from) >
			0);
		if (seed % 5 == 0)
			REQUIRE(ftruncate(ctl, seed * 100) == 0);
		if (seed % 7 == 0)
			REQUIRE(truncate(object_path(fd, false), seed * 50) ==
				0);
		close(ctl);
		next_user("f", said, sizeof(said));
		p = share(fd, MANY, RW, 0);
		if (!CHECK(holds_pattern(p, MANY, 0)))
			break;
		CHECK_EQ(unmap(p, MANY), 0);
		CHECK_EQ(size_of(fd), MANY);
		CHECK(!there_is_an_object(fd));
	}
}

/* At this step, do that. */
static const char *at_step;
static void (*do_there)(void);
static char *there;

static void on_step(const char *name)
{
	if (at_step && strcmp(name, at_step) == 0) {
		at_step = NULL;
		do_there();
	}
}

static void when(const char *name, void (*what)(void))
{
	at_step = name;
	do_there = what;
	ushm_step_hook = on_step;
}

static void die(void)
{
	raise(SIGKILL);
}

static void store_there(void)
{
	*there = '?';
}

CASE("recovery", what_was_stored_after_a_torn_write_is_written)
{
	int fd = file_of("f", MANY);
	struct peer peer;
	char said[300];
	pid_t pid;

	if (peer_start(&peer)) {
		char *p = share(fd, MANY, RW, 0);

		peer_say(&peer);
		peer_hear(&peer);
		p[PAGE + 1] = '2';
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	pid = fork();
	if (pid == 0) {
		char *p = share(fd, MANY, RW, 0);

		p[PAGE] = '1';
		when("object: pushed", die);
		sync_range(p, MANY, MS_SYNC);
		_exit(1);
	}
	CHECK_EQ(WTERMSIG(wait_status(pid)), SIGKILL);
	CHECK_EQ(byte_of(fd, PAGE), '1');
	peer_say(&peer);
	peer_hear(&peer);
	peer_kill(&peer);
	next_user("f", said, sizeof(said));
	CHECK_EQ(byte_of(fd, PAGE), '1');
	CHECK_EQ(byte_of(fd, PAGE + 1), '2');
	CHECK_EQ(said[0], 0);
}

CASE("race", a_store_during_the_write_goes_next_time)
{
	static const char *const steps[] = { "object: push intended",
					     "object: pushed",
					     "object: shadow follows" };
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	there = p + PAGE + 1;
	for (size_t i = 0; i < LEN(steps); i++) {
		NOTE("at %s", steps[i]);
		p[PAGE] = '!';
		*there = '.';
		when(steps[i], store_there);
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
		CHECK_EQ(byte_of(fd, PAGE + 1), '?');
	}
	CHECK_EQ(unmap(p, MANY), 0);
}

CASE("race", stores_beside_a_change_of_unknown_place_stay)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);
	struct mapping_change c;

	p[0] = '0';
	REQUIRE(mapping_before_change(&c, fd, 0, MAPPING_ALL));
	CHECK_EQ(byte_of(fd, 0), '0');
	p[PAGE] = '1';
	p[2 * PAGE] = '2';
	CHECK_EQ(pwrite(fd, "ww", 2, 2 * PAGE + 1), 2);
	mapping_after_change(&c);
	CHECK_EQ(p[PAGE], '1');
	CHECK(memcmp(p + 2 * PAGE, "2ww", 3) == 0);
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, PAGE), '1');
	CHECK_EQ(byte_of(fd, 2 * PAGE), '2');
}

static volatile int *flag;
static pid_t forker;

static void sleep_in_child(void)
{
	if (getpid() == forker)
		return;
	while (!*flag)
		sched_yield();
}

CASE("race", a_child_that_is_not_awake_yet_counts)
{
	int fd = file_of("f", PAGE);
	char *p = share(fd, PAGE, RW, 0);
	pid_t pid;

	flag = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	forker = getpid();
	when("object: forked", sleep_in_child);
	pid = fork();
	if (pid == 0) {
		p[0] = '!';
		CHECK_EQ(unmap(p, PAGE), 0);
		_exit(there_is_an_object(fd));
	}
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK(there_is_an_object(fd));
	*flag = 1;
	join(pid);
	CHECK_EQ(byte_of(fd, 0), '!');
}

static void let_others_try(void)
{
	flag[0] = 1;
	while (!flag[1])
		sched_yield();
	/* Time enough to do it, if it were possible. */
	for (int i = 0; i < 20000; i++)
		sched_yield();
	CHECK(!flag[2]);
}

CASE("race", one_at_a_time_works_on_an_object)
{
	int fd = file_of("f", MANY);
	struct peer peer;
	char *p;

	flag = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (peer_start(&peer)) {
		p = share(fd, MANY, RW, 0);
		peer_say(&peer);
		while (!flag[0])
			sched_yield();
		flag[1] = 1;
		CHECK_EQ(sync_range(p, MANY, MS_ASYNC), 0);
		flag[2] = 1;
		CHECK_EQ(unmap(p, MANY), 0);
		child_exit();
	}
	peer_hear(&peer);
	p = share(fd, MANY, RW, 0);
	p[0] = '!';
	when("object: push intended", let_others_try);
	CHECK_EQ(sync_range(p, MANY, MS_ASYNC), 0);
	CHECK_EQ(unmap(p, MANY), 0);
	peer_join(&peer);
	CHECK(flag[2]);
}

CASE("race", a_killed_parent_does_not_count)
{
	int fd = file_of("f", PAGE);
	struct peer peer;

	flag = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (peer_start(&peer)) {
		char *p = share(fd, PAGE, RW, 0);

		if (fork() == 0) {
			while (!flag[0])
				sched_yield();
			p[0] = '!';
			CHECK_EQ(unmap(p, PAGE), 0);
			CHECK(!there_is_an_object(fd));
			flag[1] = 1;
			_exit(0);
		}
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	peer_kill(&peer);
	flag[0] = 1;
	while (!flag[1])
		sched_yield();
	CHECK_EQ(byte_of(fd, 0), '!');
}

/* -------------------------------------------------------- what goes wrong */

static long failing, fail_with;

static long fail(long n, long a, long b)
{
	(void)a;
	(void)b;
	return n == failing ? fail_with : 0;
}

CASE("errors", what_cannot_be_written_stays_newer)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT };
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	for (size_t i = 0; i < LEN(errors); i++) {
		char c = (char)('0' + i);

		NOTE("errno %d", errors[i]);
		p[3 * PAGE] = c;
		failing = SYS_pwritev;
		fail_with = -errors[i];
		ushm_call_hook = fail;
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), -errors[i]);
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), -errors[i]);
		ushm_call_hook = NULL;
		CHECK_EQ(p[3 * PAGE], c);
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
		CHECK_EQ(byte_of(fd, 3 * PAGE), c);
	}

	NOTE("at the last unmap: for the next user");
	p[4 * PAGE] = '!';
	ushm_call_hook = fail;
	CHECK_EQ(unmap(p, MANY), 0);
	ushm_call_hook = NULL;
	CHECK_EQ(byte_of(fd, 4 * PAGE), pattern(4 * PAGE));
	CHECK(there_is_an_object(fd));
	CHECK_EQ(unmap(share(fd, MANY, RW, 0), MANY), 0);
	CHECK_EQ(byte_of(fd, 4 * PAGE), '!');
	CHECK(!there_is_an_object(fd));
}

static long calls, failing_at;

static long fail_one(long n, long a, long b)
{
	(void)a;
	(void)b;
	if (n != SYS_openat && n != SYS_mmap)
		return 0;
	return ++calls == failing_at ? -EMFILE : 0;
}

CASE("errors", what_a_killed_one_stored_outlives_a_map_that_fails)
{
	int fd = file_of("f", MANY), r;
	void *p = NULL;

	calls = failing_at = 0;
	do {
		NOTE("call %ld fails", ++failing_at);
		CHECK(pwrite(fd, "a", 1, PAGE) == 1);
		store_and_die("f", 2);
		calls = 0;
		ushm_call_hook = fail_one;
		r = map(NULL, MANY, RW, MAP_SHARED, fd, 0, &p);
		ushm_call_hook = NULL;
		CHECK_EQ(unmap(r == 0 ? p : share(fd, MANY, RW, 0), MANY), 0);
		CHECK_EQ(byte_of(fd, PAGE), '!');
		CHECK(!there_is_an_object(fd));
	} while (calls >= failing_at);
	CHECK(failing_at > 10);
}

CASE("errors", a_file_size_limit_does_not_matter)
{
	struct rlimit limit = { PAGE, RLIM_INFINITY };
	int fd = file_of("f", MANY);
	char *p;

	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	p = share(fd, MANY, RW, 0);
	p[5 * PAGE] = '!';
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 5 * PAGE), '!');
	CHECK_EQ(unmap(p, MANY), 0);
}

CASE("errors", without_descriptors_nothing_is_left)
{
	struct rlimit limit;
	int fd = file_of("f", MANY), failed = 0, r;
	char *p = share(fd, MANY, RW, 0);
	void *q = NULL;

	NOTE("what is mapped works on");
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 3;
	p[PAGE] = '!';
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, PAGE), '!');
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK(!there_is_an_object(fd));

	for (limit.rlim_cur = (rlim_t)fd + 1; limit.rlim_cur < (rlim_t)fd + 10;
	     limit.rlim_cur++) {
		REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		NOTE("%d descriptors", (int)limit.rlim_cur);
		r = map(NULL, MANY, RW, MAP_SHARED, fd, 0, &q);
		if (r == 0) {
			CHECK_EQ(unmap(q, MANY), 0);
		} else {
			CHECK_EQ(r, -EMFILE);
			failed++;
		}
		CHECK(!there_is_an_object(fd));
	}
	CHECK(failed > 2 && failed < 9);
}

/* A /dev/shm of our own. */
CASE("limits", a_full_dev_shm_is_enomem_and_leaves_nothing)
{
	static const int sizes[] = { 1, 8, 40, 100, 128, 200, 255, 256, 300 };
	int fd = file_of("f", 256 * PAGE), r, refused = 0;
	char size[40];
	void *p = NULL;

	for (size_t i = 0; i < LEN(sizes); i++) {
		if (i == 0)
			own_dev_shm("size=64k,mode=1777");
		snprintf(size, sizeof(size), "remount,size=%dk",
			 2 * 4 * sizes[i]);
		snprintf(size, sizeof(size), "size=%dk,mode=1777",
			 2 * 4 * sizes[i]);
		REQUIRE(mount(NULL, "/dev/shm", NULL, MS_REMOUNT, size) == 0);
		NOTE("room for %d pages twice", sizes[i]);
		r = map(NULL, 256 * PAGE, RW, MAP_SHARED, fd, 0, &p);
		if (r == 0) {
			for (int page = 0; page < 256; page++)
				if (touch_write((char *)p + page * PAGE, '!'))
					CHECK(!"room");
			CHECK_EQ(sync_range(p, 256 * PAGE, MS_SYNC), 0);
			CHECK_EQ(unmap(p, 256 * PAGE), 0);
		} else {
			CHECK_EQ(r, -ENOMEM);
			refused++;
		}
		CHECK(!there_is_an_object(fd));
	}
	CHECK_EQ(refused, 8); /* the header needs a page */
	CHECK_EQ(byte_of(fd, 255 * PAGE), '!');
}

CASE("limits", what_grows_beyond_the_room_can_still_be_used)
{
	int fd = file_of("f", 4 * PAGE);
	char *p;
	void *q = NULL;

	own_dev_shm("size=64k,mode=1777");
	p = share(fd, 64 * PAGE, RW, 0);
	CHECK_EQ(file_resize(fd, 64 * PAGE), 0);
	CHECK_EQ(touch_write(p + 3 * PAGE, '!'), 0);
	CHECK_EQ(touch_read(p + 63 * PAGE), SIGBUS);
	CHECK_EQ(map(NULL, 64 * PAGE, RW, MAP_SHARED, fd, 0, &q), -ENOMEM);
	CHECK_EQ(sync_range(p, 64 * PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 3 * PAGE), '!');
	CHECK_EQ(file_resize(fd, 5 * PAGE), 0);
	CHECK_EQ(touch_write(p + 4 * PAGE, '?'), 0);
	CHECK_EQ(unmap(p, 64 * PAGE), 0);
	CHECK_EQ(size_of(fd), 5 * PAGE);
	CHECK_EQ(byte_of(fd, 4 * PAGE), '?');
}

CASE("limits", a_file_above_the_cap_is_refused)
{
	int fd = file_of("f", 1);
	void *p = NULL;

	setenv("USHM_FILEMAP_MAX", "1M", 1);
	REQUIRE(ftruncate(fd, (1 << 20) + 1) == 0);
	CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &p), -EFBIG);
	CHECK(!there_is_an_object(fd));
	REQUIRE(ftruncate(fd, 1 << 20) == 0);
	CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &p), 0);
	CHECK_EQ(unmap(p, PAGE), 0);
}

CASE("limits", another_dev_shm_is_refused)
{
	int fd = file_of("f", PAGE);
	char *p = share(fd, PAGE, RW, 0);
	void *q = NULL;

	if (child()) {
		/* Its own use ends, and its mapping of the parent's object. */
		CHECK_EQ(unmap(p, PAGE), 0);
		own_dev_shm("mode=1777");
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &q), -EBUSY);
		CHECK(!there_is_an_object(fd));
		child_exit();
	}
	p[0] = '!';
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK_EQ(byte_of(fd, 0), '!');
	NOTE("once nobody has it");
	if (child()) {
		own_dev_shm("mode=1777");
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &q), 0);
		CHECK_EQ(unmap(q, PAGE), 0);
		child_exit();
	}
}

/* -------------------------------------------------------------- the program */

static bool is_locked_by_us(const char *name, off_t at)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = at, .l_len = 1 };
	pid_t parent = getpid();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(work_path(name), O_RDWR);

		fcntl(fd, F_GETLK, &lock);
		_exit(lock.l_type != F_UNLCK && lock.l_pid == parent);
	}
	status = wait_status(pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

CASE("program", its_posix_locks_survive)
{
	static const short types[] = { F_WRLCK, F_RDLCK };
	int fd = file_of("f", MANY), before = descriptors();

	for (size_t i = 0; i < LEN(types); i++) {
		struct flock lock = { .l_type = types[i],
				      .l_start = 7,
				      .l_len = 1 };
		char *p;

		NOTE("lock %d, before it maps", types[i]);
		REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
		p = share(fd, MANY, RW, 0);
		CHECK(is_locked_by_us("f", 7));
		p[0] = '!';
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
		CHECK(is_locked_by_us("f", 7));
		CHECK_EQ(unmap(p, MANY), 0);
		CHECK(is_locked_by_us("f", 7));
		p = share(fd, MANY, RW, 0);
		CHECK_EQ(unmap(p, MANY), 0);
		CHECK(is_locked_by_us("f", 7));
		lock.l_type = F_UNLCK;
		REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
		mapping_after_close();
		CHECK_EQ(descriptors(), before);

		NOTE("lock %d, while it is mapped", types[i]);
		p = share(fd, MANY, RW, 0);
		lock.l_type = types[i];
		REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
		CHECK_EQ(unmap(p, MANY), 0);
		CHECK(is_locked_by_us("f", 7));
		lock.l_type = F_UNLCK;
		REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
		mapping_after_close();
		CHECK_EQ(descriptors(), before);
	}
}

/* The token of another is not taken for somebody's lock. */
CASE("program", no_descriptor_waits_for_another_user)
{
	int fd = file_of("f", PAGE), before;
	struct peer peer;

	if (peer_start(&peer)) {
		int own = open(work_path("f"), O_RDWR);

		share(own, PAGE, RW, 0);
		peer_say(&peer);
		peer_hear(&peer);
		child_exit();
	}
	peer_hear(&peer);
	before = descriptors();
	CHECK_EQ(unmap(share(fd, PAGE, RW, 0), PAGE), 0);
	CHECK_EQ(descriptors(), before);
	peer_say(&peer);
	peer_join(&peer);
}

/*
 * Without the preload nobody ends it before the token. What an earlier file of
 * that number has left may be there still.
 */
CASE("program", its_lock_of_a_whole_file_is_in_the_way)
{
	static const short types[] = { F_WRLCK, F_RDLCK };
	struct flock lock = { .l_whence = SEEK_SET };
	int fd = file_of("f", PAGE), before = descriptors();
	void *p = NULL;
	bool old = there_is_an_object(fd);

	for (size_t i = 0; i < LEN(types); i++) {
		NOTE("lock %d", types[i]);
		lock.l_type = types[i];
		REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &p), -EBUSY);
		CHECK_EQ(there_is_an_object(fd), old);
		lock.l_type = F_UNLCK;
		REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
		mapping_after_close();
		CHECK_EQ(descriptors(), before);
	}
	p = share(fd, PAGE, RW, 0);
	lock.l_type = F_WRLCK;
	CHECK_ERRNO(fcntl(fd, F_SETLK, &lock), EAGAIN);
	lock.l_type = F_RDLCK;
	CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
	CHECK_EQ(unmap(p, PAGE), 0);
}

static struct {
	ino_t inode; /* whose locks fail */
	int error;
} lockless;

static long refuse_lock(long n, long a, long b)
{
	struct stat st;

#ifdef SYS_fcntl64
	if (n != SYS_fcntl64)
		return 0;
#else
	if (n != SYS_fcntl)
		return 0;
#endif
	if ((b == F_OFD_SETLK || b == F_OFD_GETLK) && fstat((int)a, &st) == 0 &&
	    st.st_ino == lockless.inode)
		return -lockless.error;
	return 0;
}

static void *no_mmap(void *addr, size_t length, int prot, int flags, int fd,
		     uint64_t offset)
{
	if (!(flags & MAP_ANONYMOUS) && flags & MAP_SHARED && fd >= 0 &&
	    fd < 100)
		return (void *)(intptr_t)-ENODEV;
	return sys_mmap(addr, length, prot, flags, fd, offset);
}

CASE("limits", a_file_that_cannot_be_locked_is_refused)
{
	static const struct mapping_setup setup = {
		.kernel = { no_mmap, sys_munmap, sys_mremap, sys_mprotect },
		.max = MAPPING_MAX,
	};
	static const int errors[] = { ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL, EIO };
	int fd = file_of("f", PAGE), before = descriptors();
	struct mapping_request q = { NULL, PAGE, RW, MAP_SHARED, fd, 0, 0 };
	struct stat st;
	void *p = NULL;
	bool old = there_is_an_object(fd);

	REQUIRE(fstat(fd, &st) == 0);
	lockless.inode = st.st_ino;
	for (size_t i = 0; i < LEN(errors); i++) {
		NOTE("error %d", errors[i]);
		lockless.error = errors[i];
		ushm_call_hook = refuse_lock;
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &p),
			 -errors[i]);
		mapping_configure(&setup);
		CHECK_EQ(mapping_mmap(&q, &p), -ENODEV);
		ushm_call_hook = NULL;
		CHECK(p == NULL);
		CHECK_EQ(there_is_an_object(fd), old);
		mapping_after_close();
		CHECK_EQ(descriptors(), before);
	}
	CHECK_EQ(mapping_mmap(&q, &p), 0);
	CHECK_EQ(unmap(p, PAGE), 0);
}

CASE("program", its_position_and_flags_are_its_own)
{
	int fd = file_of("f", MANY), append;
	char *p, c;

	append = open(work_path("f"), O_RDWR | O_APPEND);
	REQUIRE(lseek(append, 10, SEEK_SET) == 10);
	p = share(append, MANY, RW, 0);
	p[PAGE] = '!';
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	CHECK_EQ(size_of(fd), MANY);
	CHECK_EQ(byte_of(fd, PAGE), '!');
	CHECK_EQ(lseek(append, 0, SEEK_CUR), 10);
	CHECK_EQ(read(append, &c, 1), 1);
	CHECK_EQ(c, pattern(10));
	CHECK_EQ(unmap(p, MANY), 0);
}

CASE("program", our_descriptors_can_be_told_and_moved)
{
	int fd = file_of("f", MANY), own, n = 0;
	char *p = share(fd, MANY, RW, 0);

	for (own = mapping_next_descriptor(0); own >= 0;
	     own = mapping_next_descriptor(own + 1)) {
		CHECK(own > fd);
		CHECK_EQ(fcntl(own, F_GETFD), FD_CLOEXEC);
		n++;
	}
	CHECK_EQ(n, 3);
	for (int i = 0; i < 20; i++) {
		own = mapping_next_descriptor(i % 2 ? 0 : fd);
		mapping_vacate(own);
		REQUIRE(dup2(fd, own) == own);
		close(own);
		p[PAGE] = (char)('A' + i);
		CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
		CHECK_EQ(byte_of(fd, PAGE), 'A' + i);
	}
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(mapping_next_descriptor(0), -1);
	CHECK(!there_is_an_object(fd));
}

CASE("program", a_bare_clone_is_not_the_last_user)
{
	int fd = file_of("f", PAGE), status;
	char *p = share(fd, PAGE, RW, 0);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		p[0] = '1';
		unmap(p, PAGE);
		_exit(there_is_an_object(fd) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	p[1] = '2';
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK_EQ(byte_of(fd, 0), '1');
	CHECK_EQ(byte_of(fd, 1), '2');
}

CASE("program", flush_writes_all_and_the_last_removes)
{
	int fd = file_of("f", MANY);
	struct peer peer;
	void *q = NULL;
	char *p;

	if (peer_start(&peer)) {
		peer_hear(&peer);
		fd = open(work_path("f"), O_RDWR);
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &q), -EBUSY);
		CHECK(!there_is_an_object(fd));
		peer_say(&peer);
		child_exit();
	}
	p = share(fd, MANY, RW, 0);

	p[0] = '1';
	mapping_flush(false);
	CHECK_EQ(byte_of(fd, 0), '1');
	CHECK(there_is_an_object(fd));
	p[PAGE] = '2';
	mapping_flush(true);
	CHECK_EQ(byte_of(fd, PAGE), '2');
	CHECK(!there_is_an_object(fd));
	NOTE("it comes back all the same");
	p[PAGE] = '3';
	CHECK_EQ(share(fd, PAGE, RW, PAGE)[0], '3');
	peer_say(&peer);
	peer_hear(&peer);
	CHECK_EQ(unmap(p, MANY), 0);
	mapping_flush(true);
	CHECK_EQ(byte_of(fd, PAGE), '3');
}

/* A file that only a program without a mapping works on. */
static long unknown_file_system(long n, long a, long b)
{
	(void)a;
	(void)b;
#ifdef SYS_fstatfs64
	if (n == SYS_fstatfs64)
		return -EIO;
#endif
	return n == SYS_fstatfs ? -EIO : 0;
}

CASE("program", who_has_not_mapped_a_file_joins_for_a_call)
{
	int fd = file_of("f", MANY);
	struct peer peer;
	char c = 0;

	ushm_call_hook = unknown_file_system;
	if (peer_start(&peer)) {
		char *p = share(fd, 10 * PAGE, RW, 0);

		p[PAGE] = '!';
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_EQ(p[PAGE + 1], 'w');
		CHECK_EQ(p[9 * PAGE], 0);
		p[2 * PAGE] = '?';
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	CHECK_EQ(file_read(fd, &c, 1, PAGE), 1);
	CHECK_EQ(c, '!');
	CHECK_EQ(file_write(fd, "w", 1, PAGE + 1), 1);
	CHECK_EQ(file_resize(fd, 10 * PAGE), 0);
	CHECK(!mapping_any());
	peer_say(&peer);
	peer_hear(&peer);
	peer_kill(&peer);
	NOTE("and settles what the dead left");
	CHECK_EQ(file_read(fd, &c, 1, 2 * PAGE), 1);
	CHECK_EQ(c, '?');
	CHECK(!there_is_an_object(fd));
}
