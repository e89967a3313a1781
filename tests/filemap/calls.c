/* SPDX-License-Identifier: MIT */
/*
 * Each call on a file beside a mapping of it.
 *
 * Three processes may make the call: the one that maps the file, its child
 * that has unmapped it, and a program that never mapped anything. Two look at
 * their mappings: the one that made the file, and a peer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "filemap/scene.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --------------------------------------------------------------- writing */

/* Each writes LENGTH bytes 'w' at AT, across a page's end. */
#define AT     3000
#define LENGTH 5000

static char data[LENGTH];

static ssize_t by_write(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0 ? -1 : write(fd, data, LENGTH);
}

static ssize_t by_pwrite(int fd)
{
	return pwrite(fd, data, LENGTH, AT);
}

static struct iovec *vector(void)
{
	static struct iovec v[3];

	v[0] = (struct iovec){ data, 100 };
	v[1] = (struct iovec){ data, 0 };
	v[2] = (struct iovec){ data, LENGTH - 100 };
	return v;
}

static ssize_t by_writev(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0 ? -1 : writev(fd, vector(), 3);
}

static ssize_t by_pwritev(int fd)
{
	return pwritev(fd, vector(), 3, AT);
}

#ifdef __GLIBC__
static ssize_t by_pwritev2(int fd)
{
	return pwritev2(fd, vector(), 3, AT, 0);
}

static ssize_t by_pwritev2_at_the_position(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0 ? -1
					   : pwritev2(fd, vector(), 3, -1, 0);
}
#endif

/* A file with the data, not mapped. */
static int source(void)
{
	char path[] = "/tmp/filemap-source-XXXXXX";
	int fd = mkstemp(path);

	MUST(fd >= 0);
	(void)unlink(path);
	MUST(pwrite(fd, data, LENGTH, 0) == LENGTH);
	return fd;
}

static ssize_t by_copy_file_range(int fd)
{
	off_t to = AT;
	int from = source();
	ssize_t n = copy_file_range(from, NULL, fd, &to, LENGTH, 0);

	if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP))
		n = pwrite(fd, data, LENGTH, AT); /* not between these */
	close(from);
	return n;
}

static ssize_t by_sendfile(int fd)
{
	int from = source();
	ssize_t n = lseek(fd, AT, SEEK_SET) < 0
			    ? -1
			    : sendfile(fd, from, NULL, LENGTH);

	close(from);
	return n;
}

static ssize_t by_splice(int fd)
{
	loff_t to = AT;
	int ends[2];
	ssize_t n;

	MUST(pipe(ends) == 0);
	MUST(write(ends[1], data, LENGTH) == LENGTH);
	n = splice(ends[0], NULL, fd, &to, LENGTH, 0);
	close(ends[0]);
	close(ends[1]);
	return n;
}

static ssize_t by_number(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0
		       ? -1
		       : syscall(SYS_write, fd, data, (size_t)LENGTH);
}

#ifdef __LP64__
static ssize_t by_number_at(int fd)
{
	return syscall(SYS_pwrite64, fd, data, (size_t)LENGTH, (long)AT);
}
#endif

struct call {
	const char *name;
	ssize_t (*run)(int fd);
};

static const struct call writers[] = {
	{ "write", by_write },
	{ "pwrite", by_pwrite },
	{ "writev", by_writev },
	{ "pwritev", by_pwritev },
#ifdef __GLIBC__
	{ "pwritev2", by_pwritev2 },
	{ "pwritev2-position", by_pwritev2_at_the_position },
#endif
	{ "copy_file_range", by_copy_file_range },
	{ "sendfile", by_sendfile },
	{ "splice", by_splice },
	{ "syscall-write", by_number },
#ifdef __LP64__
	{ "syscall-pwrite64", by_number_at },
#endif
};

/* --------------------------------------------------------------- reading */

/* Each reads LENGTH bytes at AT into 'data'. */
static ssize_t with_read(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0 ? -1 : read(fd, data, LENGTH);
}

static ssize_t with_pread(int fd)
{
	return pread(fd, data, LENGTH, AT);
}

static ssize_t with_readv(int fd)
{
	struct iovec v[] = { { data, 100 }, { data + 100, LENGTH - 100 } };

	return lseek(fd, AT, SEEK_SET) < 0 ? -1 : readv(fd, v, 2);
}

static ssize_t with_preadv(int fd)
{
	struct iovec v[] = { { data, 100 }, { data + 100, LENGTH - 100 } };

	return preadv(fd, v, 2, AT);
}

#ifdef __GLIBC__
static ssize_t with_preadv2(int fd)
{
	struct iovec v[] = { { data, 100 }, { data + 100, LENGTH - 100 } };

	return preadv2(fd, v, 2, AT, 0);
}

ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t n, int64_t at, size_t room);

static ssize_t with_read_checked(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0
		       ? -1
		       : __read_chk(fd, data, LENGTH, sizeof(data));
}

static ssize_t with_pread_checked(int fd)
{
	return __pread64_chk(fd, data, LENGTH, AT, sizeof(data));
}
#endif

static ssize_t with_sendfile(int fd)
{
	off_t from = AT;
	int to = source();
	ssize_t n;

	memset(data, 0, sizeof(data));
	n = sendfile(to, fd, &from, LENGTH);
	if (n > 0)
		n = pread(to, data, (size_t)n, LENGTH - LENGTH);
	close(to);
	return n;
}

static ssize_t with_copy_file_range(int fd)
{
	char path[] = "/tmp/filemap-copy-XXXXXX";
	off_t from = AT;
	int to = mkstemp(path);
	ssize_t n;

	MUST(to >= 0);
	(void)unlink(path);
	n = copy_file_range(fd, &from, to, NULL, LENGTH, 0);
	n = n < 0 && (errno == EXDEV || errno == EOPNOTSUPP)
		    ? pread(fd, data, LENGTH, AT)
		    : pread(to, data, LENGTH, 0);
	close(to);
	return n;
}

static ssize_t with_splice(int fd)
{
	loff_t from = AT;
	int ends[2];
	ssize_t n;

	MUST(pipe(ends) == 0);
	n = splice(fd, &from, ends[1], NULL, LENGTH, 0);
	if (n > 0)
		n = read(ends[0], data, (size_t)n);
	close(ends[0]);
	close(ends[1]);
	return n;
}

static ssize_t with_number(int fd)
{
	return lseek(fd, AT, SEEK_SET) < 0
		       ? -1
		       : syscall(SYS_read, fd, data, (size_t)LENGTH);
}

static const struct call readers[] = {
	{ "read", with_read },
	{ "pread", with_pread },
	{ "readv", with_readv },
	{ "preadv", with_preadv },
#ifdef __GLIBC__
	{ "preadv2", with_preadv2 },
	{ "read-checked", with_read_checked },
	{ "pread-checked", with_pread_checked },
#endif
	{ "sendfile-from", with_sendfile },
	{ "copy_file_range-from", with_copy_file_range },
	{ "splice-from", with_splice },
	{ "syscall-read", with_number },
};

/* ----------------------------------------------------------------- roles */

enum role { MAPPER, UNMAPPED_CHILD, STRANGER, NROLES };

static int roles(void)
{
	return scene_is_filtered() ? MAPPER + 1 : NROLES;
}

static const char *const role_names[] = { "the mapper", "a child that unmapped",
					  "a stranger" };

static bool write_by(const struct call *call, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	ssize_t n;

	MUST(fd >= 0);
	memset(data, 'w', sizeof(data));
	errno = 0;
	n = call->run(fd);
	if (n != LENGTH)
		check_fail(__FILE__, __LINE__, "%s returned %zd, errno %d",
			   call->name, n, errno);
	close(fd);
	return n == LENGTH;
}

static bool read_by(const struct call *call, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	MUST(fd >= 0);
	memset(data, 0, sizeof(data));
	errno = 0;
	n = call->run(fd);
	if (n != LENGTH)
		check_fail(__FILE__, __LINE__, "%s returned %zd, errno %d",
			   call->name, n, errno);
	for (size_t i = 0; n == LENGTH && i < LENGTH; i++)
		if (data[i] != 'r') {
			check_fail(__FILE__, __LINE__, "%s: byte %zu is 0x%02x",
				   call->name, i, (unsigned char)data[i]);
			break;
		}
	close(fd);
	return n == LENGTH;
}

PROGRAM(write_stranger)
{
	return argc < 3 || !write_by(&writers[atoi(argv[1])], argv[2]);
}

PROGRAM(read_stranger)
{
	return argc < 3 || !read_by(&readers[atoi(argv[1])], argv[2]);
}

/* Make the call in a process of that role. */
static void play(enum role role, struct scene *s, const char *program,
		 size_t which,
		 bool (*run)(const struct call *call, const char *path),
		 const struct call *call)
{
	char number[16];

	switch (role) {
	case MAPPER:
		(void)run(call, s->path);
		break;
	case UNMAPPED_CHILD:
		if (child()) {
			MUST(munmap(s->map, ROOM) == 0);
			(void)run(call, s->path);
			child_exit();
		}
		break;
	default:
		if (child()) {
			snprintf(number, sizeof(number), "%zu", which);
			check_exec(program, number, s->path);
			_exit(1);
		}
	}
}

/* A peer that maps the file as well, and looks when told to. */
static void look_on(struct scene *s, struct peer *peer)
{
	if (peer_start(peer)) {
		scene_join(s);
		peer_say(peer);
		peer_hear(peer);
		scene_store(s, 2000, 1, '2');
		scene_expect(s, 2999, 1, '<');
		scene_expect(s, AT, LENGTH, 'w');
		scene_expect(s, AT + LENGTH, 1, '>');
		scene_mapped(s);
		child_exit();
	}
	peer_hear(peer);
}

CASE("write", what_is_written_is_in_the_mappings)
{
	static struct scene s;
	struct peer peer;
	char name[64];

	for (int role = 0; role < roles(); role++)
		for (size_t i = 0; i < COUNT(writers); i++) {
			NOTE("%s by %s", writers[i].name, role_names[role]);
			snprintf(name, sizeof(name), "%s.%d", writers[i].name,
				 role);
			scene_make(&s, name, 4 * PAGE);
			look_on(&s, &peer);

			/* Stores beside it, in the same pages, stay. */
			scene_store(&s, AT - 1, 1, '<');
			scene_store(&s, AT + LENGTH, 1, '>');
			play(role, &s, "write_stranger", i, write_by,
			     &writers[i]);
			scene_expect(&s, AT, LENGTH, 'w');
			scene_mapped(&s);
			peer_say(&peer);
			peer_join(&peer);
			scene_expect(&s, 2000, 1, '2');
			scene_check(&s);
			munmap(s.map, ROOM);
			close(s.fd);
		}
}

CASE("write", what_is_appended_is_in_the_mappings)
{
	static struct scene s;
	int fd;

	scene_make(&s, "append", PAGE + 100);
	fd = open(s.path, O_WRONLY | O_APPEND);
	REQUIRE(fd >= 0);
	CHECK_EQ(write(fd, "0123456789", 10), 10);
	memcpy(s.want + s.size, "0123456789", 10);
	s.size += 10;
	scene_check(&s);

	/* Our own descriptor is none that appends: a store is in its place. */
	scene_store(&s, 50, 10, '#');
	CHECK_OK(msync(s.map, ROOM, MS_SYNC));
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1); /* appends on Linux */
	memcpy(s.want + s.size, "x", 1);
	s.size++;
	scene_check(&s);

	/* Across the end of the page that was the last. */
	memset(data, 'w', sizeof(data));
	CHECK_EQ(write(fd, data, LENGTH), LENGTH);
	scene_expect(&s, s.size, LENGTH, 'w');
	scene_check(&s);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), s.size);
}

CASE("write", a_write_from_the_mapping_itself)
{
	static struct scene s;

	scene_make(&s, "from-itself", 4 * PAGE);
	scene_store(&s, 0, 100, 'm');
	CHECK_EQ(pwrite(s.fd, s.map, 100, 2 * PAGE), 100);
	scene_expect(&s, 2 * PAGE, 100, 'm');
	scene_check(&s);

	CHECK_EQ(pread(s.fd, s.map + PAGE, 100, 2 * PAGE), 100);
	memset(s.want + PAGE, 'm', 100);
	scene_check(&s);
}

CASE("write", errors_are_those_of_the_call)
{
	static struct scene s;
	void *volatile wild = (void *)1;
	int ro;

	scene_make(&s, "errors", PAGE);
	ro = open(s.path, O_RDONLY);
	REQUIRE(ro >= 0);
	CHECK_ERRNO(write(ro, "x", 1), EBADF);
	CHECK_ERRNO(pwrite(s.fd, "x", 1, -1), EINVAL);
	CHECK_ERRNO(write(s.fd, wild, 1), EFAULT);
	CHECK_ERRNO(read(s.fd, wild, 1), EFAULT);
	CHECK_ERRNO(ftruncate(ro, 0), EINVAL);
	CHECK_ERRNO(ftruncate(s.fd, -1), EINVAL);
	CHECK_ERRNO(write(-1, "x", 1), EBADF);
	CHECK_ERRNO(read(-1, data, 1), EBADF);
	CHECK_ERRNO(pread(-1, data, 1, 0), EBADF);
	CHECK_ERRNO(close(-1), EBADF);
	errno = 4711;
	CHECK_EQ(pwrite(s.fd, "x", 1, 0), 1);
	CHECK_EQ(pread(s.fd, data, 1, 0), 1);
	CHECK_EQ(errno, 4711);
	scene_expect(&s, 0, 1, 'x');
	scene_check(&s);
}

CASE("read", what_is_stored_is_read)
{
	static struct scene s;
	char name[64];

	for (int role = 0; role < roles(); role++)
		for (size_t i = 0; i < COUNT(readers); i++) {
			NOTE("%s by %s", readers[i].name, role_names[role]);
			snprintf(name, sizeof(name), "%s.%d", readers[i].name,
				 role);
			scene_make(&s, name, 4 * PAGE);
			scene_store(&s, AT, LENGTH, 'r');
			play(role, &s, "read_stranger", i, read_by,
			     &readers[i]);
			scene_check(&s);
			munmap(s.map, ROOM);
			close(s.fd);
		}
}

/* -------------------------------------------------------------- resizing */

static int by_ftruncate_down(struct scene *s)
{
	return ftruncate(s->fd, PAGE + 100);
}

static int by_ftruncate_up(struct scene *s)
{
	return ftruncate(s->fd, 5 * PAGE + 1);
}

static int by_truncate(struct scene *s)
{
	return truncate(s->path, PAGE + 100);
}

static int by_open(struct scene *s)
{
	int fd = open(s->path, O_RDWR | O_TRUNC);

	return fd < 0 ? -1 : close(fd);
}

static int by_openat(struct scene *s)
{
	int fd = openat(AT_FDCWD, s->path, O_WRONLY | O_TRUNC);

	return fd < 0 ? -1 : close(fd);
}

static int by_creat(struct scene *s)
{
	int fd = creat(s->path, 0600);

	return fd < 0 ? -1 : close(fd);
}

static int by_fopen(struct scene *s)
{
	FILE *f = fopen(s->path, "w");

	return f ? fclose(f) : -1;
}

static int by_freopen(struct scene *s)
{
	FILE *f = fopen(s->path, "r");

	f = f ? freopen(s->path, "w", f) : NULL;
	return f ? fclose(f) : -1;
}

static int by_fallocate(struct scene *s)
{
	return fallocate(s->fd, 0, 4 * PAGE, PAGE);
}

static int by_posix_fallocate(struct scene *s)
{
	int r = posix_fallocate(s->fd, 0, 5 * PAGE);

	errno = r;
	return r ? -1 : 0;
}

static int by_growing_write(struct scene *s)
{
	return pwrite(s->fd, "", 1, 6 * PAGE - 1) == 1 ? 0 : -1;
}

static int by_syscall(struct scene *s)
{
	return (int)syscall(SYS_ftruncate, s->fd, (long)PAGE + 100);
}

static const struct {
	const char *name;
	int (*run)(struct scene *s);
	size_t size;
} resizers[] = {
	{ "ftruncate-down", by_ftruncate_down, PAGE + 100 },
	{ "ftruncate-up", by_ftruncate_up, 5 * PAGE + 1 },
	{ "truncate", by_truncate, PAGE + 100 },
	{ "open", by_open, 0 },
	{ "openat", by_openat, 0 },
	{ "creat", by_creat, 0 },
	{ "fopen", by_fopen, 0 },
	{ "freopen", by_freopen, 0 },
	{ "fallocate", by_fallocate, 5 * PAGE },
	{ "posix_fallocate", by_posix_fallocate, 5 * PAGE },
	{ "growing-write", by_growing_write, 6 * PAGE },
	{ "syscall-ftruncate", by_syscall, PAGE + 100 },
};

CASE("size", mappings_follow_the_size)
{
	static struct scene s;
	struct peer peer;
	char name[64];
	size_t pages;

	for (size_t i = 0; i < COUNT(resizers); i++) {
		NOTE("%s", resizers[i].name);
		snprintf(name, sizeof(name), "size-%s", resizers[i].name);
		scene_make(&s, name, 4 * PAGE);
		pages = (resizers[i].size + PAGE - 1) / PAGE;
		if (peer_start(&peer)) {
			scene_join(&s);
			peer_say(&peer);
			peer_hear(&peer);
			scene_resize(&s, resizers[i].size);
			scene_mapped(&s);
			CHECK(scene_faults(s.map + pages * PAGE));
			peer_say(&peer);
			peer_hear(&peer);
			scene_resize(&s, 7 * PAGE);
			scene_mapped(&s);
			child_exit();
		}
		peer_hear(&peer);

		scene_store(&s, PAGE + 200, 100, 'x'); /* to be cut off */
		REQUIRE_OK(resizers[i].run(&s));
		scene_resize(&s, resizers[i].size);
		if (s.size >= 4 * PAGE)
			memset(s.want + PAGE + 200, 'x', 100);
		scene_mapped(&s);
		scene_read(&s);
		CHECK(scene_faults(s.map + pages * PAGE));
		if (pages)
			CHECK(!scene_faults(s.map + pages * PAGE - 1));

		if (s.size < 4 * PAGE) {
			peer_say(&peer);
			peer_hear(&peer);
		} else {
			peer_kill(&peer);
		}
		/* What was cut off is zero when the file grows again. */
		REQUIRE_OK(ftruncate(s.fd, 7 * PAGE));
		scene_resize(&s, 7 * PAGE);
		scene_check(&s);
		if (resizers[i].size < 4 * PAGE) {
			peer_say(&peer);
			peer_join(&peer);
		}
		munmap(s.map, ROOM);
		close(s.fd);
	}
}

CASE("size", a_punched_hole_is_in_the_mapping)
{
	static struct scene s;

	scene_make(&s, "hole", 4 * PAGE);
	scene_store(&s, PAGE, 10, 'x');
	if (fallocate(s.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100,
		      2 * PAGE) < 0)
		SKIP("no holes here: %s", strerror(errno));
	scene_expect(&s, 100, 2 * PAGE, 0);
	scene_check(&s);
}

CASE("size", stores_behind_the_end_are_lost)
{
	static struct scene s;

	scene_make(&s, "behind", 100);
	memset(s.map + 100, 'x', PAGE - 100);
	CHECK_OK(msync(s.map, PAGE, MS_SYNC));
	scene_read(&s);
	REQUIRE_OK(ftruncate(s.fd, 0));
	REQUIRE_OK(ftruncate(s.fd, PAGE));
	scene_resize(&s, 0);
	scene_resize(&s, PAGE);
	scene_check(&s);
}
