/* SPDX-License-Identifier: MIT */
/*
 * Calls and stores of several processes at the same moment: nothing of either
 * is lost.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "filemap/scene.h"

static void join_all(int n)
{
	int status;

	for (; n > 0; n--) {
		REQUIRE(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
}

/* ----------------------------------------------- a position that is shared */

enum { RECORD = 512, RECORDS = ROOM / RECORD };

CASE("write", writers_may_share_a_position)
{
	static struct scene s;
	char record[RECORD], c;

	for (int turn = 0; turn < 20; turn++) {
		scene_make(&s, "position", ROOM);
		for (int i = 0; i < 2; i++) {
			if (fork())
				continue;
			memset(record, 'A' + turn, sizeof(record));
			for (int n = 0; n < RECORDS / 2; n++)
				if (write(s.fd, record, RECORD) != RECORD)
					_exit(1);
			_exit(0);
		}
		join_all(2);
		/* Each page is stored to: what is not in it would be undone. */
		scene_expect(&s, 0, ROOM, 'A' + turn);
		REQUIRE_OK(lseek(s.fd, 0, SEEK_SET));
		for (int page = 0; page < ROOM / PAGE; page++)
			scene_store(&s, (size_t)page * PAGE, 1, 'x');
		scene_check(&s);
		REQUIRE(read(s.fd, &c, 1) == 1 && c == 'x');
		munmap(s.map, ROOM);
		close(s.fd);
	}
}

CASE("read", readers_may_share_a_position)
{
	static struct scene s;
	char record[RECORD];

	for (int turn = 0; turn < 20; turn++) {
		scene_make(&s, "readers", ROOM);
		scene_store(&s, 0, ROOM, 'A' + turn);
		REQUIRE_OK(lseek(s.fd, 0, SEEK_SET));
		for (int i = 0; i < 3; i++) {
			if (fork())
				continue;
			while (read(s.fd, record, RECORD) == RECORD)
				for (int at = 0; at < RECORD; at++)
					if (record[at] != 'A' + turn)
						_exit(1);
			_exit(0);
		}
		join_all(3);
		munmap(s.map, ROOM);
		close(s.fd);
	}
}

/* ------------------------------------------------------------------- sizes */

static int by_open(const char *path)
{
	return close(open(path, O_WRONLY | O_TRUNC | O_CLOEXEC));
}

static int by_creat(const char *path)
{
	return close(creat(path, 0600));
}

static int by_truncate(const char *path)
{
	return truncate(path, 0);
}

static int by_fopen(const char *path)
{
	FILE *f = fopen(path, "we");

	return f ? fclose(f) : -1;
}

/* Another process stores and syncs all the time: it must not make it long. */
CASE("size", a_file_that_is_cut_off_is_empty)
{
	static int (*const ways[])(const char *path) = { by_open, by_creat,
							 by_truncate,
							 by_fopen };
	static struct scene s;
	struct stat st;
	pid_t pid;

	scene_make(&s, "cut", ROOM);
	pid = fork();
	if (pid == 0) {
		for (unsigned n = 1;; n++) {
			for (int page = 0; page < ROOM / PAGE; page++)
				if (!scene_faults(s.map + page * PAGE))
					*(volatile char *)s.map = (char)n;
			(void)msync(s.map, ROOM, MS_ASYNC);
		}
	}
	for (int i = 0; i < 400; i++) {
		REQUIRE_OK(ways[i % 4](s.path));
		REQUIRE_OK(fstat(s.fd, &st));
		NOTE("way %d, turn %d", i % 4, i);
		CHECK_EQ(st.st_size, 0);
		REQUIRE_OK(ftruncate(s.fd, ROOM));
	}
	kill(pid, SIGKILL);
	REQUIRE(wait(NULL) == pid);
}

/* Who sees the new size stores at once, while the other one's call still runs.
 */
CASE("size", what_is_stored_as_the_file_grows_stays)
{
	static struct scene s;
	struct stat st;

	for (int turn = 0; turn < 8; turn++) {
		scene_make(&s, "grows", 100);
		if (fork() == 0) {
			for (off_t size = 200; size <= PAGE; size += 100) {
				do
					if (fstat(s.fd, &st) < 0)
						_exit(1);
				while (st.st_size < size);
				*(volatile char *)(s.map + size - 100) = 'x';
				*(volatile char *)(s.map + size - 1) = 'y';
			}
			_exit(0);
		}
		for (long size = 200; size <= PAGE; size += 100) {
			REQUIRE_OK(ftruncate(s.fd, size));
			sched_yield();
		}
		join_all(1);
		scene_resize(&s, PAGE / 100 * 100);
		for (size_t size = 200; size <= PAGE; size += 100) {
			scene_expect(&s, size - 100, 1, 'x');
			scene_expect(&s, size - 1, 1, 'y');
		}
		scene_check(&s);
		munmap(s.map, ROOM);
		close(s.fd);
	}
}

/* ------------------------------------------------------------------- pages */

/* Only to be read, read by a call as well, then written to after all. */
CASE("write", a_mapping_that_becomes_writable_is_shared)
{
	static struct scene s;
	char *p, got[10];
	int ready[2];
	pid_t pid;

	scene_make(&s, "becomes", 2 * PAGE);
	munmap(s.map, ROOM);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, s.fd, 0);
	REQUIRE(p != MAP_FAILED);
	REQUIRE_OK(pipe(ready));
	pid = fork();
	if (pid == 0) {
		scene_join(&s);
		scene_store(&s, PAGE, 10, 'o');
		REQUIRE(write(ready[1], "", 1) == 1);
		pause();
	}
	REQUIRE(read(ready[0], got, 1) == 1);
	REQUIRE(pread(s.fd, got, 10, PAGE) == 10);
	REQUIRE_OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	memset(p + 100, 'x', 10);
	scene_expect(&s, PAGE, 10, 'o');
	scene_expect(&s, 100, 10, 'x');
	scene_read(&s);
	kill(pid, SIGKILL);
	REQUIRE(wait(NULL) == pid);
}

/* What a library writes for itself is not seen, but it is not undone either. */
CASE("write", what_was_written_unseen_is_not_undone)
{
	static struct scene s;

	scene_make(&s, "unseen", 2 * PAGE);
	REQUIRE_OK(lseek(s.fd, 50, SEEK_SET));
	REQUIRE(dprintf(s.fd, "unseen") == 6);
	memcpy(s.want + 50, "unseen", 6);
	scene_store(&s, 100, 10, 'x');
	REQUIRE_OK(msync(s.map, PAGE, MS_SYNC));
	scene_check(&s);
}
