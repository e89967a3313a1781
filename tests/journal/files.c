/* SPDX-License-Identifier: MIT */
/*
 * The journal over real files: where it lies, whose it is, who waits, who is
 * killed, and what fails.
 */
#define CHECK_MAIN
#include "support/check.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backing/journal.h"
#include "base/checksum.h"
#include "base/step.h"
#include "base/text.h"

#define SIZE 40000

static char dir[64], path[100], sidecar[200];
static struct journal_place place = { AT_FDCWD, sidecar };

static void remove_dir(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (*dir && system(command) != 0)
		perror(command);
}

static void name_files(void)
{
	snprintf(path, sizeof(path), "%s/data", dir);
	snprintf(sidecar, sizeof(sidecar), "%s" JOURNAL_SUFFIX, path);
}

/* A data file of SIZE bytes 'a' in a directory of its own, on a disk. */
static int begin(void)
{
	static char bytes[SIZE];
	int fd;

	strcpy(dir, "/var/tmp/ushm-journal.XXXXXX");
	REQUIRE(mkdtemp(dir));
	atexit(remove_dir);
	name_files();
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	REQUIRE(fd >= 0);
	memset(bytes, 'a', SIZE);
	REQUIRE(write(fd, bytes, SIZE) == SIZE);
	return fd;
}

/* Three places become 'c'; the file gets 'size' bytes. */
static int commit(int fd, char c, uint64_t size)
{
	char bytes[5000];
	struct journal_run runs[] = { { 0, bytes, 10 },
				      { 4096, bytes, 5000 },
				      { 20000, bytes, 1 } };

	memset(bytes, c, sizeof(bytes));
	return journal_commit(&place, fd, runs, 3, size);
}

/* The character of all three, or 0. */
static char content(int fd)
{
	static const long at[] = { 0, 9, 4096, 9095, 20000 };
	char first = 0, c = 0;

	for (int i = 0; i < 5; i++) {
		if (pread(fd, &c, 1, at[i]) != 1 || (i && c != first))
			return 0;
		first = c;
	}
	if (pread(fd, &c, 1, 10) != 1 || c != 'a')
		return 0;
	return first;
}

static long size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -1 : (long)st.st_size;
}

/* --------------------------------------------------------------- checksum */

CASE("journal", checksum_is_the_same_however_it_is_cut)
{
	unsigned char bytes[300];
	struct checksum c;
	uint64_t whole;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37);
	for (size_t n = 0; n < 100; n++) {
		whole = checksum_of(bytes, n, 5);
		for (size_t cut = 0; cut <= n; cut++) {
			checksum_begin(&c, 5);
			checksum_add(&c, bytes, cut);
			checksum_add(&c, bytes + cut, (n - cut) / 2);
			checksum_add(&c, bytes + cut + (n - cut) / 2,
				     n - cut - (n - cut) / 2);
			CHECK(checksum_end(&c) == whole);
		}
	}
}

CASE("journal", checksum_sees_each_bit_the_length_the_order_and_the_seed)
{
	unsigned char bytes[256] = { 0 }, swapped[256];
	uint64_t sum = checksum_of(bytes, 200, 1);

	for (size_t bit = 0; bit < 200 * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		CHECK(checksum_of(bytes, 200, 1) != sum);
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	CHECK(checksum_of(bytes, 199, 1) != sum);
	CHECK(checksum_of(bytes, 201, 1) != sum);
	CHECK(checksum_of(bytes, 200, 2) != sum);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * i);
	for (size_t a = 0; a < 256; a += 8)
		for (size_t b = a + 8; b < 256; b += 8) {
			memcpy(swapped, bytes, 256);
			memcpy(swapped + a, bytes + b, 8);
			memcpy(swapped + b, bytes + a, 8);
			if (memcmp(swapped, bytes, 256) == 0)
				continue;
			CHECK(checksum_of(swapped, 256, 1) !=
			      checksum_of(bytes, 256, 1));
		}
}

/* ------------------------------------------------------------------ place */

CASE("journal", place_is_beside_the_file_and_follows_a_rename)
{
	char buf[PATH_ROOM], other[150];
	struct journal_place p;
	int fd = begin();

	CHECK_EQ(journal_place(fd, buf, &p), 0);
	CHECK(strcmp(p.name, sidecar) == 0);
	snprintf(other, sizeof(other), "%s/other", dir);
	REQUIRE(rename(path, other) == 0);
	CHECK_EQ(journal_place(fd, buf, &p), 0);
	CHECK(strcmp(p.name + strlen(dir), "/other" JOURNAL_SUFFIX) == 0);
}

CASE("journal", file_without_one_name_has_no_place)
{
	char buf[PATH_ROOM], other[150];
	struct journal_place p;
	int pipes[2], fd = begin();

	snprintf(other, sizeof(other), "%s/other", dir);
	REQUIRE(link(path, other) == 0);
	CHECK_EQ(journal_place(fd, buf, &p), -EMLINK);
	unlink(other);
	unlink(path);
	CHECK_EQ(journal_place(fd, buf, &p), -ENOENT);

	/* A file that is really called so. */
	snprintf(other, sizeof(other), "%s/data (deleted)", dir);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	CHECK_EQ(journal_place(fd, buf, &p), -ENOENT);
	fd = open(other, O_RDWR);
	CHECK_EQ(journal_place(fd, buf, &p), 0);

	REQUIRE(pipe(pipes) == 0);
	CHECK_EQ(journal_place(pipes[0], buf, &p), -ENOENT);
	CHECK_EQ(journal_place(999, buf, &p), -EBADF);
}

CASE("journal", place_may_be_relative_to_a_directory)
{
	int fd = begin(), d = open(dir, O_RDONLY | O_DIRECTORY);
	struct journal_run run = { 3, "x", 1 };
	struct journal_place p = { d, "beside" };

	CHECK_EQ(journal_commit(&p, fd, &run, 1, SIZE), 0);
	CHECK_EQ(faccessat(d, "beside", F_OK, 0), 0);
	CHECK_EQ(journal_retire(&p, fd, 0), 0);
	CHECK_EQ(faccessat(d, "beside", F_OK, 0), -1);
}

CASE("journal", sidecar_of_another_file_system_is_refused)
{
	struct journal_run run = { 3, "x", 1 };
	struct journal_place p = { AT_FDCWD, "/dev/shm/ushm-journal-test" };
	struct stat a, b;
	int fd = begin();

	if (stat(dir, &a) < 0 || stat("/dev/shm", &b) < 0 ||
	    a.st_dev == b.st_dev || access("/dev/shm", W_OK) < 0)
		SKIP("one file system only");
	CHECK_EQ(journal_commit(&p, fd, &run, 1, SIZE), -EXDEV);
	CHECK_EQ(content(fd), 'a');
	CHECK_EQ(access(p.name, F_OK), -1);
}

/* ----------------------------------------------------------------- rights */

CASE("journal", sidecar_has_the_rights_of_the_file)
{
	struct stat st;
	int fd = begin();

	umask(0);
	CHECK_EQ(commit(fd, 'b', SIZE), 0);
	CHECK_EQ(content(fd), 'b');
	REQUIRE(stat(sidecar, &st) == 0);
	CHECK_EQ(st.st_mode & 07777, 0640);
	REQUIRE(fchmod(fd, 0600) == 0);
	CHECK_EQ(commit(fd, 'c', SIZE), 0);
	REQUIRE(stat(sidecar, &st) == 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
}

CASE_IF("journal", NEEDS_ROOT, sidecar_belongs_to_the_files_owner)
{
	struct stat st;
	int fd = begin();

	REQUIRE(fchown(fd, 1234, 4321) == 0);
	CHECK_EQ(commit(fd, 'b', SIZE), 0);
	REQUIRE(stat(sidecar, &st) == 0);
	CHECK_EQ(st.st_uid, 1234);
	CHECK_EQ(st.st_gid, 4321);

	/* Somebody else's is not looked at. */
	REQUIRE(chown(sidecar, 99, 99) == 0);
	CHECK_EQ(commit(fd, 'c', SIZE), -EACCES);
	CHECK_EQ(journal_replay(&place, fd, 0), -EACCES);
	CHECK_EQ(content(fd), 'b');
}

CASE("journal", what_is_no_sidecar_is_refused)
{
	char other[150];
	int fd = begin();

	snprintf(other, sizeof(other), "%s/other", dir);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	for (int kind = 0; kind < 5; kind++) {
		NOTE("kind %d", kind);
		switch (kind) {
		case 0:
			REQUIRE(symlink(other, sidecar) == 0);
			break;
		case 1:
			REQUIRE(link(other, sidecar) == 0);
			break;
		case 2:
			REQUIRE(mkfifo(sidecar, 0600) == 0);
			break;
		case 3:
			REQUIRE(mkdir(sidecar, 0700) == 0);
			break;
		default: /* others may write it */
			close(open(sidecar, O_CREAT | O_WRONLY, 0600));
			REQUIRE(chmod(sidecar, 0666) == 0);
		}
		CHECK_EQ(commit(fd, 'b', SIZE), -EACCES);
		CHECK_EQ(journal_replay(&place, fd, 0), -EACCES);
		CHECK_EQ(journal_retire(&place, fd, 0), -EACCES);
		CHECK_EQ(content(fd), 'a');
		if (remove(sidecar) < 0)
			CHECK(false);
	}
}

CASE("journal", wrong_calls_are_refused_and_change_nothing)
{
	int fd = begin(), other;
	static const struct {
		const char *why;
		uint64_t offset[2], length[2], size;
		int want;
	} bad[] = {
		{ "beyond the end", { 0, 39999 }, { 1, 2 }, SIZE, -EINVAL },
		{ "beyond all", { 0, UINT64_MAX }, { 1, 2 }, SIZE, -EINVAL },
		{ "overlap", { 0, 5 }, { 6, 2 }, SIZE, -EINVAL },
		{ "descending", { 100, 5 }, { 1, 1 }, SIZE, -EINVAL },
		{ "nothing", { 0, 5 }, { 1, 0 }, SIZE, -EINVAL },
		{ "too large", { 0, 5 }, { 1, 1 }, UINT64_MAX, -EFBIG },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct journal_run runs[2] = {
			{ bad[i].offset[0], "xxxxxx", bad[i].length[0] },
			{ bad[i].offset[1], "xxxxxx", bad[i].length[1] },
		};

		NOTE("%s", bad[i].why);
		CHECK_EQ(journal_commit(&place, fd, runs, 2, bad[i].size),
			 bad[i].want);
	}
	other = open(path, O_RDONLY);
	CHECK_EQ(commit(other, 'b', SIZE), -EBADF);
	CHECK_EQ(journal_replay(&place, other, 0), 0);
	other = open(path, O_RDWR | O_APPEND);
	CHECK_EQ(commit(other, 'b', SIZE), -EINVAL);
	other = open(dir, O_RDONLY);
	CHECK_EQ(journal_replay(&place, other, 0), -EINVAL);
	CHECK_EQ(access(sidecar, F_OK), -1);
	CHECK_EQ(content(fd), 'a');
}

CASE("journal", commit_and_replay_work_past_a_file_size_limit)
{
	struct rlimit limit = { 4096, RLIM_INFINITY };
	int fd = begin();

	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHECK_EQ(commit(fd, 'b', SIZE + 5000), 0);
	CHECK_EQ(content(fd), 'b');
	CHECK_EQ(size_of(fd), SIZE + 5000);
}

CASE("journal", offsets_have_64_bits)
{
	const uint64_t at = (UINT64_C(5) << 30) + 7;
	struct journal_run runs[] = { { 1, "x", 1 }, { at, "yz", 2 } };
	char c[2] = { 0 };
	int fd = begin();

	CHECK_EQ(journal_commit(&place, fd, runs, 2, at + 100), 0);
	CHECK_EQ(pread(fd, c, 2, (off_t)at), 2);
	CHECK(c[0] == 'y' && c[1] == 'z');
	CHECK_EQ(pread(fd, c, 1, 7), 1);
	CHECK_EQ(c[0], 'a');
	CHECK_EQ(pread(fd, c, 1, 1), 1);
	CHECK_EQ(c[0], 'x');
}

/* A program that must not exceed it is told so, before anything happens. */
CASE_IF("journal", NEEDS_USERS, hard_file_size_limit_refuses)
{
	struct rlimit limit = { 4096, 4096 };
	int fd = begin();

	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	REQUIRE(chown(dir, OTHER_USER, OTHER_USER) == 0);
	REQUIRE(fchown(fd, OTHER_USER, OTHER_USER) == 0);
	REQUIRE(setgid(OTHER_USER) == 0 && setuid(OTHER_USER) == 0);
	CHECK_EQ(commit(fd, 'b', SIZE), -EFBIG);
	CHECK_EQ(content(fd), 'a');
}

/* ------------------------------------------------------- many, and killed */

/* The sidecar's header: 1 empty, 2 full; or 0. */
static uint32_t state(void)
{
	uint32_t s = 0;
	int fd = open(sidecar, O_RDONLY);

	if (fd < 0 || pread(fd, &s, 4, 12) != 4)
		s = 0;
	close(fd);
	return s;
}

CASE("journal", processes_commit_one_after_the_other)
{
	int fd = begin();
	pid_t pids[4];
	char c;

	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		for (int n = 0; n < 30; n++) {
			CHECK_EQ(commit(fd, (char)('b' + i), SIZE), 0);
			if (n % 7 == 0)
				CHECK_EQ(journal_retire(&place, fd, 0), 0);
		}
		_exit(0);
	}
	for (int i = 0; i < 4; i++)
		CHECK_EQ(waitpid(pids[i], NULL, 0), pids[i]);
	c = content(fd);
	CHECK(c >= 'b' && c <= 'e');
	CHECK_EQ(journal_replay(&place, fd, 0), 0);
}

static long kill_at, counted;

static void count(void)
{
	if (++counted == kill_at)
		kill(getpid(), SIGKILL);
}

static void on_step(const char *name)
{
	(void)name;
	count();
}

static long on_call(long n, long a, long b)
{
	(void)n;
	(void)a;
	(void)b;
	count();
	return 0;
}

/* Killed at the step, or call, 'at' of 'act'; false: it came through. */
static bool killed(void (*act)(int fd), int fd, long at)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		kill_at = at;
		ushm_step_hook = on_step;
		ushm_call_hook = on_call;
		act(fd);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) || status == 0);
	return WIFSIGNALED(status);
}

static void act_commit(int fd)
{
	(void)commit(fd, 'b', SIZE + 1000);
}

static void act_replay(int fd)
{
	(void)journal_replay(&place, fd, 0);
}

static void act_retire(int fd)
{
	(void)journal_retire(&place, fd, 0);
}

static void check_whole(int fd, bool old, bool new)
{
	int r = journal_replay(&place, fd, 0);
	char c = content(fd);

	CHECK(r >= 0);
	CHECK((old && c == 'a' && size_of(fd) == SIZE) ||
	      (new &&c == 'b' && size_of(fd) == SIZE + 1000));
	CHECK_EQ(journal_replay(&place, fd, 0), 0);
}

static void reset(int fd)
{
	CHECK(journal_retire(&place, fd, JOURNAL_DISCARD) == 0);
	CHECK_EQ(commit(fd, 'a', SIZE), 0);
}

CASE("journal", kill_at_each_step_and_call_leaves_one_of_two_states)
{
	int fd = begin();
	long at, again;

	for (at = 1; killed(act_commit, fd, at); at++) {
		NOTE("commit, killed at %ld", at);
		/* The replay is killed, too. */
		for (again = 1; killed(act_replay, fd, again); again++)
			;
		check_whole(fd, true, true);
		reset(fd);
		if (at % 2)
			CHECK(journal_retire(&place, fd, 0) == 0);
	}
	check_whole(fd, false, true);
	CHECK(at > 20);

	for (at = 1; killed(act_retire, fd, at); at++) {
		NOTE("retire, killed at %ld", at);
		check_whole(fd, false, true);
	}
	CHECK_EQ(access(sidecar, F_OK), -1);
}

static int leave_full(void)
{
	int fd = begin();

	for (long at = 1; killed(act_commit, fd, at); at++) {
		/* Half applied. */
		if (state() == 2 && content(fd) == 0)
			break;
		reset(fd);
	}
	CHECK_EQ(state(), 2);
	return fd;
}

CASE("journal", replaced_file_is_not_touched_and_a_copy_can_be_adopted)
{
	char other[150], command[1000], byte = 0;
	int fd = leave_full(), copy;
	struct stat st;

	/* Both copied together. */
	snprintf(other, sizeof(other), "%s/data2", dir);
	snprintf(command, sizeof(command),
		 "cp %s %s && cp %s %s" JOURNAL_SUFFIX, path, other, sidecar,
		 other);
	REQUIRE(system(command) == 0);
	copy = open(other, O_RDWR);
	REQUIRE(copy >= 0);
	snprintf(sidecar, sizeof(sidecar), "%s" JOURNAL_SUFFIX, other);
	CHECK_EQ(journal_replay(&place, copy, 0), -ESTALE);
	CHECK_EQ(commit(copy, 'x', SIZE), -ESTALE);
	CHECK_EQ(journal_replay(&place, copy, JOURNAL_ADOPT), 1);
	CHECK_EQ(content(copy), 'b');
	CHECK_EQ(size_of(copy), SIZE + 1000);

	/* Another file under the name. */
	name_files();
	CHECK_EQ(unlink(path), 0);
	copy = open(path, O_RDWR | O_CREAT, 0640);
	REQUIRE(copy >= 0 && ftruncate(copy, SIZE) == 0);
	CHECK_EQ(journal_replay(&place, copy, 0), -ESTALE);
	CHECK_EQ(pread(copy, &byte, 1, 4096), 1);
	CHECK_EQ(byte, 0);
	CHECK_EQ(stat(sidecar, &st), 0);
	CHECK_EQ(journal_retire(&place, copy, JOURNAL_DISCARD), 0);
	CHECK_EQ(access(sidecar, F_OK), -1);
	close(fd);
}

CASE("journal", read_only_descriptor_cannot_replay)
{
	int fd = leave_full(), reader = open(path, O_RDONLY);

	CHECK_EQ(journal_replay(&place, reader, 0), -EBADF);
	CHECK_EQ(journal_replay(&place, fd, 0), 1);
	CHECK_EQ(content(fd), 'b');
	CHECK_EQ(journal_replay(&place, reader, 0), 0);
}

/* ------------------------------------------------------------- disk is full */

CASE_IF("journal", NEEDS_ROOT, full_disk_changes_nothing)
{
	char image[150], command[600], fill[200];
	int fd, full, r;
	struct stat st;

	fd = begin();
	close(fd);
	snprintf(image, sizeof(image), "%s.image", dir);
	snprintf(command, sizeof(command),
		 "truncate -s 4M %s && mkfs.ext4 -q -O ^has_journal %s "
		 "2>/dev/null && mount -o loop %s %s",
		 image, image, image, dir);
	r = unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    system(command) != 0;
	unlink(image);
	if (r)
		SKIP("no loop device or no ext4 here");

	fd = open(path, O_RDWR | O_CREAT, 0600);
	REQUIRE(fd >= 0);
	snprintf(fill, sizeof(fill), "%s/fill", dir);
	for (int room = 0; room < 30; room++) {
		NOTE("%d blocks free", room);
		REQUIRE(ftruncate(fd, 0) == 0 && ftruncate(fd, SIZE) == 0);
		REQUIRE(pwrite(fd, "aaaaaaaaaaa", 11, 0) == 11);
		(void)journal_retire(&place, fd, 0);
		full = open(fill, O_RDWR | O_CREAT, 0600);
		REQUIRE(full >= 0);
		while (write(full, command, sizeof(command)) > 0)
			;
		fstat(full, &st);
		CHECK_EQ(ftruncate(full, st.st_size - room * 4096), 0);
		fsync(full);
		r = commit(fd, 'b', SIZE);
		CHECK(r == 0 || r == -ENOSPC);
		if (r == 0)
			CHECK_EQ(content(fd), 'b');
		CHECK_EQ(journal_replay(&place, fd, 0), 0);
		if (r != 0) {
			char c[20000] = { 0 };

			CHECK_EQ(pread(fd, c, sizeof(c), 0), sizeof(c));
			CHECK(c[0] == 'a' && c[4096] == 0 && c[9095] == 0);
		}
		close(full);
		unlink(fill);
	}
	CHECK_EQ(r, 0);
	close(fd);
	CHECK_EQ(umount2(dir, MNT_DETACH), 0);
}
