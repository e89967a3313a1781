/* SPDX-License-Identifier: MIT */
/* Mappings of which the file sees all or nothing. */
#include "mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "backing/journal.h"
#include "base/sys.h"
#include "core/mapping.h"
#include "ushm.h"

#define PAGES 40
#define MANY  (PAGES * PAGE)

static char *share_atomic(int fd)
{
	void *p = NULL;

	CHECK_HERE;
	MUST(ushm_map(NULL, MANY, RW, MAP_SHARED, fd, 0, USHM_ATOMIC, &p) == 0);
	return p;
}

/* Every other page, so that a commit has many parts, has the same first byte:
 * which; or 0. */
static char state_of(int fd)
{
	char first = (char)byte_of(fd, 0);

	for (int i = 2; i < PAGES; i += 2)
		if (byte_of(fd, i * PAGE) != first)
			return 0;
	return first;
}

static void store_all(char *p, char c)
{
	for (int i = 0; i < PAGES; i += 2)
		p[i * PAGE] = c;
}

static bool is_sidecar_there(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s" JOURNAL_SUFFIX, work_path("f"));
	return access(path, F_OK) == 0;
}

CASE("atomic", only_a_sync_changes_the_file)
{
	int fd = file_of("f", MANY);
	char *p, c;

	store_all(p = share_atomic(fd), '0');
	CHECK_EQ(ushm_sync(p, MANY, MS_SYNC), 0);
	CHECK_EQ(file_read(fd, &c, 1, 2 * PAGE), 1);
	CHECK_EQ(c, pattern(2 * PAGE));
	CHECK_EQ(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC), 0);
	CHECK_EQ(state_of(fd), '0');
	CHECK_EQ(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC), 0);

	store_all(p, '1');
	mapping_flush(false);
	CHECK_EQ(state_of(fd), '0');
	NOTE("what is not synced is dropped");
	CHECK_EQ(ushm_unmap(p, MANY), 0);
	CHECK_EQ(state_of(fd), '0');
	CHECK(!is_sidecar_there());
	p = share_atomic(fd);
	CHECK_EQ(p[2 * PAGE], '0');
	CHECK_EQ(ushm_unmap(p, MANY), 0);
	CHECK_EQ(size_of(fd), MANY);
}

CASE("atomic", a_large_file_is_tracked)
{
	enum { SIZE = 4 << 20 };
	int fd = file_of("f", SIZE);
	void *q = NULL;
	char *p;

	REQUIRE(ushm_map(NULL, SIZE, RW, MAP_SHARED, fd, 0, USHM_ATOMIC, &q) ==
		0);
	p = q;
	for (int round = 0; round < 10; round++) {
		int step = 1 + round * 3;

		for (int i = 0; i < SIZE; i += step * PAGE)
			p[i] = (char)('A' + round);
		CHECK_EQ(ushm_sync(p, SIZE, MS_SYNC | USHM_ATOMIC), 0);
		for (int i = 0; i < SIZE; i += PAGE)
			if (byte_of(fd, i) != p[i])
				CHECK_EQ(i, -1);
	}
	CHECK_EQ(ushm_unmap(p, SIZE), 0);
}

CASE("atomic", by_all_or_by_none)
{
	int fd = file_of("f", MANY);
	void *q = NULL;
	char *p = share_atomic(fd);

	CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &q), -EBUSY);
	if (child()) {
		fd = open(work_path("f"), O_RDWR);
		CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED, fd, 0, &q), -EBUSY);
		share_atomic(fd)[PAGE] = 'c';
		child_exit();
	}
	CHECK_EQ(p[PAGE], 'c');
	CHECK_EQ(ushm_unmap(p, MANY), 0);

	p = share(fd, PAGE, RW, 0);
	CHECK_EQ(ushm_sync(p, PAGE, MS_SYNC | USHM_ATOMIC), -EINVAL);
	CHECK_EQ(ushm_map(NULL, PAGE, RW, MAP_SHARED, fd, 0, USHM_ATOMIC, &q),
		 -EBUSY);
	CHECK_EQ(unmap(p, PAGE), 0);
}

CASE("atomic", a_sync_by_name_is_a_commit)
{
	int fd = file_of("f", MANY);
	char *p = share_atomic(fd);

	store_all(p, '1');
	if (child()) {
		CHECK_EQ(ushm_unmap(p, MANY), 0);
		CHECK_EQ(ushm_sync_file(open(work_path("f"), O_RDWR)), 0);
		child_exit();
	}
	CHECK_EQ(state_of(fd), '1');
	CHECK_EQ(ushm_unmap(p, MANY), 0);
	CHECK_EQ(state_of(fd), '1');
}

CASE("atomic", the_ends_of_files_are_kept)
{
	static const int sizes[] = { 1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE };

	for (size_t i = 0; i < LEN(sizes); i++) {
		int fd = file_of("f", (size_t)sizes[i]);
		char *p = share_atomic(fd);

		NOTE("%d bytes", sizes[i]);
		memset(p, '!', (size_t)(sizes[i] + PAGE - 1) / PAGE * PAGE);
		CHECK_EQ(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC), 0);
		CHECK_EQ(size_of(fd), sizes[i]);
		CHECK_EQ(byte_of(fd, 0), '!');
		CHECK_EQ(byte_of(fd, sizes[i] - 1), '!');
		CHECK_EQ(ushm_unmap(p, MANY), 0);
		CHECK_EQ(size_of(fd), sizes[i]);
		close(fd);
	}
}

CASE("atomic", a_file_without_a_name_cannot_be_synced)
{
	int fd = file_of("f", MANY);
	char *p = share_atomic(fd);

	store_all(p, '1');
	CHECK_EQ(unlink(work_path("f")), 0);
	CHECK_EQ(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC), -ENOENT);
	CHECK_EQ(byte_of(fd, 0), pattern(0));
	CHECK_EQ(ushm_unmap(p, MANY), 0);
}

static long failing_at, calls;

static long on_call(long n, long a, long b)
{
	(void)a;
	(void)b;
	if (n == SYS_munmap || n == SYS_close || n == SYS_getpid)
		return 0;
	return ++calls == failing_at ? -EIO : 0;
}

CASE("atomic", after_a_failure_the_file_is_one_of_the_two)
{
	int fd = file_of("f", MANY), r = -1;
	char *p = share_atomic(fd), seen;

	store_all(p, 'a');
	CHECK_EQ(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC), 0);
	for (failing_at = 1; r < 0 && failing_at < 500; failing_at++) {
		char c = (char)('b' + failing_at % 20);

		NOTE("call %d fails", (int)failing_at);
		seen = p[0];
		store_all(p, c);
		calls = 0;
		ushm_call_hook = on_call;
		r = ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC);
		ushm_call_hook = NULL;
		if (calls < failing_at)
			break;
		CHECK_EQ(p[2 * PAGE], c);
		CHECK_EQ(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC), 0);
		CHECK_EQ(state_of(fd), c);
		(void)seen;
		r = -1;
	}
	CHECK(failing_at > 10);
	CHECK_EQ(ushm_unmap(p, MANY), 0);
}

static long kill_at;

static void on_step(const char *name)
{
	(void)name;
	if (++calls == kill_at)
		raise(SIGKILL);
}

static long on_any_call(long n, long a, long b)
{
	(void)n;
	(void)a;
	(void)b;
	on_step(NULL);
	return 0;
}

/* In turns: the next user comes when all are dead, or was there all the time.
 */
static void kill_at_every_step(bool beside)
{
	int fd = file_of("f", MANY), status;
	char *p = share_atomic(fd), *q = p, got;

	store_all(p, 'A');
	REQUIRE(ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC) == 0);
	if (!beside)
		REQUIRE(ushm_unmap(p, MANY) == 0);
	for (kill_at = 1, status = 1; status && kill_at < 1000; kill_at++) {
		char old = (char)byte_of(fd, 0);
		char new = old == 'Z' ? 'A' : (char)(old + 1);
		pid_t pid = fork();

		NOTE("killed at %d", (int)kill_at);
		if (pid == 0) {
			int own = open(work_path("f"), O_RDWR);

			p = share_atomic(own);
			store_all(p, new);
			calls = 0;
			ushm_step_hook = on_step;
			ushm_call_hook = on_any_call;
			ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC);
			ushm_unmap(p, MANY);
			if (!beside)
				_exit(state_of(fd) != new);
			_exit(0);
		}
		status = wait_status(pid);
		CHECK(status == 0 || WTERMSIG(status) == SIGKILL);
		if (!beside)
			q = share_atomic(fd);
		/* A read makes the living finish what the dead began. */
		CHECK_EQ(file_read(fd, &got, 1, 0), 1);
		got = state_of(fd);
		CHECK(got == old || got == new);
		if (beside) {
			CHECK_EQ(q[0], new);
			CHECK_EQ(ushm_sync(q, MANY, MS_SYNC | USHM_ATOMIC), 0);
			CHECK_EQ(state_of(fd), new);
		} else {
			CHECK_EQ(q[0], got);
			CHECK_EQ(q[(PAGES - 2) * PAGE], got);
			CHECK_EQ(ushm_unmap(q, MANY), 0);
			CHECK_EQ(state_of(fd), got);
		}
	}
	CHECK(kill_at > 20 && kill_at < 1000);
	if (beside)
		CHECK_EQ(ushm_unmap(q, MANY), 0);
	CHECK(!is_sidecar_there());
}

CASE("atomic", killed_at_every_step_it_is_one_of_the_two)
{
	kill_at_every_step(false);
}

CASE("atomic", and_beside_another_user_too)
{
	kill_at_every_step(true);
}

CASE("atomic", a_plain_user_finds_a_finished_file)
{
	int fd = file_of("f", MANY), status;

	for (kill_at = 1, status = 1; status && kill_at < 1000; kill_at++) {
		char old = (char)byte_of(fd, 0), new = (char)(old ^ 1), got;
		pid_t pid = fork();

		NOTE("killed at %d", (int)kill_at);
		if (pid == 0) {
			char *p = share_atomic(fd);

			store_all(p, new);
			calls = 0;
			ushm_step_hook = on_step;
			ushm_call_hook = on_any_call;
			ushm_sync(p, MANY, MS_SYNC | USHM_ATOMIC);
			_exit(0);
		}
		status = wait_status(pid);
		CHECK_EQ(unmap(share(fd, MANY, RW, 0), MANY), 0);
		got = (char)byte_of(fd, 0);
		CHECK(got == old || got == new);
		/* Before the first commit they are not all the same. */
		if (got == new || kill_at > 1)
			CHECK(state_of(fd) == got ||
			      byte_of(fd, PAGE) == pattern(PAGE));
		close(fd);
		fd = file_of("f", MANY);
	}
	CHECK(kill_at > 20 && kill_at < 1000);
}
