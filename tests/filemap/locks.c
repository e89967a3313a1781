/* SPDX-License-Identifier: MIT */
/* A program's locks have nothing to do with mappings. */
#include "filemap/locks.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "filemap/scene.h"

#define LAST INT64_MAX

static char *map_page(int fd)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* ------------------------------------------------------------------ flock() */

static void need_kernel_locks(void)
{
	if (scene_server_locks())
		SKIP("the server keeps record locks: DF5");
}

/* A blocking one would wait for itself until the alarm. */
CASE("lock", flock_of_a_mapped_file_is_free)
{
	static const int operations[] = { LOCK_EX | LOCK_NB, LOCK_EX,
					  LOCK_SH | LOCK_NB, LOCK_SH };
	static struct scene s;

	need_kernel_locks();
	scene_make(&s, "flock", 2 * PAGE);
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		NOTE("operation %d", operations[i]);
		CHECK_OK(flock(s.fd, operations[i]));
		CHECK_OK(flock(s.fd, LOCK_UN));
		if (child()) {
			int fd = open(s.path, O_RDWR);

			CHECK_OK(flock(fd, operations[i]));
			child_exit();
		}
	}
	scene_store(&s, 10, 10, 'f');
	scene_check(&s);
}

CASE("lock", a_file_under_flock_is_mapped)
{
	static struct scene s;
	struct peer peer;

	need_kernel_locks();
	scene_make(&s, "flock-before", 2 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	REQUIRE_OK(flock(s.fd, LOCK_EX));
	if (peer_start(&peer)) {
		int fd = open(s.path, O_RDWR);

		CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
		scene_join(&s);
		scene_store(&s, 10, 1, 'p');
		peer_say(&peer);
		peer_hear(&peer);
		child_exit();
	}
	peer_hear(&peer);
	s.want[10] = 'p';
	scene_join(&s);
	scene_mapped(&s);
	peer_say(&peer);
	peer_join(&peer);
	scene_check(&s);
}

/* ------------------------------------------------------------ whole files */

static int set(int fd, int command, int type, int64_t from, int64_t length,
	       int whence)
{
	struct flock l = { .l_type = (short)type,
			   .l_whence = (short)whence,
			   .l_start = from,
			   .l_len = length };

	return fcntl(fd, command, &l);
}

static int by_fcntl(int fd, int type)
{
	return set(fd, F_SETLK, type, 0, 0, SEEK_SET);
}

static int by_waiting(int fd, int type)
{
	return set(fd, F_SETLKW, type, 0, 0, SEEK_SET);
}

static int by_description(int fd, int type)
{
	return set(fd, F_OFD_SETLK, type, 0, 0, SEEK_SET);
}

static int from_position(int fd, int type)
{
	return set(fd, F_SETLK, type, -5, 0, SEEK_CUR);
}

static int from_end(int fd, int type)
{
	return set(fd, F_SETLK, type, -2 * PAGE, 0, SEEK_END);
}

static int with_length(int fd, int type)
{
	return set(fd, F_SETLK, type, 1, LAST, SEEK_SET);
}

static int by_lockf(int fd, int type)
{
	return lockf(fd, type == F_UNLCK ? F_ULOCK : F_TLOCK, 0);
}

static int by_lockf_waiting(int fd, int type)
{
	return lockf(fd, type == F_UNLCK ? F_ULOCK : F_LOCK, 0);
}

static int by_number(int fd, int type)
{
	struct flock l = { .l_type = (short)type };

#ifdef SYS_fcntl64
	return (int)syscall(SYS_fcntl64, fd, F_SETLK, &l);
#else
	return (int)syscall(SYS_fcntl, fd, F_SETLK, &l);
#endif
}

/* The position is 5. */
static const struct {
	const char *name;
	int (*set)(int fd, int type);
	int64_t from;
	bool of_process;
} ways[] = {
	{ "F_SETLK", by_fcntl, 0, true },
	{ "F_SETLKW", by_waiting, 0, true },
	{ "F_OFD_SETLK", by_description, 0, false },
	{ "SEEK_CUR", from_position, 0, true },
	{ "SEEK_END", from_end, 0, true },
	{ "length", with_length, 1, true },
	{ "lockf F_TLOCK", by_lockf, 5, true },
	{ "lockf F_LOCK", by_lockf_waiting, 5, true },
	{ "by number", by_number, 0, true },
	{ "narrow F_SETLK", narrow_fcntl, 0, true },
	{ "narrow F_OFD_SETLK", narrow_description, 0, false },
	{ "narrow lockf", narrow_lockf, 5, true },
};
#define WAYS (sizeof(ways) / sizeof(*ways))

static bool ask(int fd, int type, int64_t from, int64_t length,
		struct whose *ret)
{
	struct flock l = { .l_type = (short)type,
			   .l_start = from,
			   .l_len = length,
			   .l_pid = 4711 };

	if (fcntl(fd, F_GETLK, &l) < 0)
		return false;
	*ret = (struct whose){ l.l_type, l.l_start, l.l_len, l.l_pid };
	return true;
}

static void check_whose(const struct whose *w, size_t way, pid_t pid)
{
	CHECK_EQ(w->type, F_WRLCK);
	CHECK_EQ(w->from, ways[way].from);
	CHECK_EQ(w->length, 0);
	if (!scene_server_locks())
		CHECK_EQ(w->pid, ways[way].of_process ? pid : -1);
}

static int open_at_five(const struct scene *s)
{
	int fd = open(s->path, O_RDWR);

	REQUIRE(fd >= 0 && lseek(fd, 5, SEEK_SET) == 5);
	return fd;
}

/* Another process sees the lock as it is, and cannot have it. */
static void check_held(const struct scene *s, size_t way)
{
	pid_t parent = getpid();
	struct whose w = { 0 };
	int fd;

	if (!child())
		return;
	fd = open_at_five(s);
	REQUIRE(ask(fd, F_WRLCK, 0, 0, &w));
	check_whose(&w, way, parent);
	REQUIRE(ask(fd, F_RDLCK, 100, 1, &w));
	check_whose(&w, way, parent);
	REQUIRE(narrow_ask(fd, &w));
	check_whose(&w, way, parent);
	for (size_t i = 0; i < WAYS; i++) {
		NOTE("%s against %s", ways[i].name, ways[way].name);
		if (ways[i].set != by_waiting &&
		    ways[i].set != by_lockf_waiting)
			CHECK_ERRNO(ways[i].set(fd, F_WRLCK), EAGAIN);
	}
	CHECK_ERRNO(set(fd, F_SETLK, F_RDLCK, LAST, 1, SEEK_SET), EAGAIN);
	child_exit();
}

static void check_free(const struct scene *s)
{
	struct whose w = { 0 };
	int fd;

	if (!child())
		return;
	fd = open_at_five(s);
	REQUIRE(ask(fd, F_WRLCK, 3, 0, &w));
	CHECK_EQ(w.type, F_UNLCK);
	CHECK_EQ(w.from, 3);
	CHECK_EQ(w.length, 0);
	CHECK_EQ(w.pid, 4711);
	REQUIRE(narrow_ask(fd, &w));
	CHECK_EQ(w.type, F_UNLCK);
	CHECK_EQ(w.from, 7);
	CHECK_EQ(w.pid, 4711);
	CHECK_OK(lockf(fd, F_TEST, 0));
	for (size_t i = 0; i < WAYS; i++) {
		NOTE("%s of another", ways[i].name);
		CHECK_OK(ways[i].set(fd, F_WRLCK));
		CHECK_OK(ways[i].set(fd, F_UNLCK));
	}
	child_exit();
}

CASE("lock", whole_mapped_files_are_locked)
{
	static struct scene s;

	scene_make(&s, "whole", 2 * PAGE);
	REQUIRE(lseek(s.fd, 5, SEEK_SET) == 5);
	check_free(&s);
	for (size_t i = 0; i < WAYS; i++) {
		NOTE("%s", ways[i].name);
		REQUIRE_OK(ways[i].set(s.fd, F_WRLCK));
		check_held(&s, i);
		s.map[i] = 'w';
		CHECK_OK(msync(s.map, PAGE, MS_SYNC));
		REQUIRE_OK(ways[i].set(s.fd, F_UNLCK));
		check_free(&s);
	}
	memset(s.want, 'w', WAYS);
	scene_check(&s);
}

CASE("lock", whole_locked_files_are_mapped)
{
	static struct scene s;
	char *p;

	scene_make(&s, "whole-before", 2 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	REQUIRE(lseek(s.fd, 5, SEEK_SET) == 5);
	for (size_t i = 0; i < WAYS; i++) {
		NOTE("%s, then a map", ways[i].name);
		REQUIRE_OK(ways[i].set(s.fd, F_WRLCK));
		p = map_page(s.fd);
		REQUIRE(p != MAP_FAILED);
		check_held(&s, i);
		if (child()) {
			/* The lock is not the child's; nor is it in the way. */
			char *q = map_page(open(s.path, O_RDWR));

			REQUIRE(q != MAP_FAILED);
			q[i] = 'c';
			child_exit();
		}
		CHECK_OK(munmap(p, PAGE));
		NOTE("%s, after the map", ways[i].name);
		check_held(&s, i);
		REQUIRE_OK(ways[i].set(s.fd, F_UNLCK));
		check_free(&s);
	}
	memset(s.want, 'c', WAYS);
	scene_join(&s);
	scene_check(&s);
}

CASE("lock", parts_of_files_are_locked_as_they_are_named)
{
	static const struct {
		int64_t from, length;
	} parts[] = {
		{ 0, 1 },	 { 10, 20 },	  { INT64_C(1) << 40, 7 },
		{ LAST - 9, 5 }, { LAST - 9, 8 }, { 100, -50 },
	};
	static struct scene s;
	struct whose w = { 0 };
	int fd;

	scene_make(&s, "parts", 2 * PAGE);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		int64_t n = parts[i].length;
		int64_t from = n < 0 ? parts[i].from + n : parts[i].from;

		NOTE("part %d", (int)i);
		REQUIRE_OK(set(s.fd, F_SETLK, F_WRLCK, parts[i].from, n,
			       SEEK_SET));
		if (child()) {
			fd = open(s.path, O_RDWR);
			REQUIRE(ask(fd, F_WRLCK, from, n < 0 ? -n : n, &w));
			CHECK_EQ(w.type, F_WRLCK);
			CHECK_EQ(w.from, from);
			CHECK_EQ(w.length, n < 0 ? -n : n);
			child_exit();
		}
		REQUIRE_OK(set(s.fd, F_SETLK, F_UNLCK, parts[i].from, n,
			       SEEK_SET));
	}
	NOTE("what is not valid");
	CHECK_ERRNO(set(s.fd, F_SETLK, F_WRLCK, -1, 0, SEEK_SET), EINVAL);
	CHECK_ERRNO(set(s.fd, F_SETLK, F_WRLCK, 0, 0, 9), EINVAL);
	CHECK_ERRNO(set(s.fd, F_SETLK, 77, 0, 0, SEEK_SET), EINVAL);
	CHECK_ERRNO(set(s.fd, F_SETLK, F_WRLCK, 2, LAST, SEEK_SET), EOVERFLOW);
	CHECK_ERRNO(set(-1, F_SETLK, F_WRLCK, 0, 0, SEEK_SET), EBADF);
	CHECK_ERRNO(fcntl(s.fd, F_SETLK, (struct flock *)8), EFAULT);
	CHECK_ERRNO(fcntl(s.fd, F_GETLK, (struct flock *)8), EFAULT);
	CHECK_EQ(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	scene_check(&s);
}

CASE("lock", who_waits_for_a_whole_file_gets_it)
{
	static struct scene s;
	struct peer peer;

	scene_make(&s, "waiting", 2 * PAGE);
	if (peer_start(&peer)) {
		scene_join(&s);
		REQUIRE_OK(by_fcntl(s.fd, F_WRLCK));
		peer_say(&peer);
		peer_hear(&peer);
		scene_store(&s, 0, 1, 'p');
		child_exit();
	}
	peer_hear(&peer);
	CHECK_ERRNO(by_fcntl(s.fd, F_WRLCK), EAGAIN);
	peer_say(&peer);
	CHECK_OK(by_waiting(s.fd, F_WRLCK));
	CHECK_EQ(s.map[0], 'p');
	s.want[0] = 'p';
	peer_join(&peer);
	scene_check(&s);
}
