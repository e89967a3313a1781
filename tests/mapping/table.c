/* SPDX-License-Identifier: MIT */
/*
 * What mmap(2), msync(2) and their family do with files: one table for the
 * kernel's mappings and for objects. A case passes on the kernel first.
 */
#include "mapping.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>

#define MANY (8 * PAGE)

/* --------------------------------------------------------------- refusals */

CASE("mmap", refusals_have_their_errno)
{
	int rw = file_of("f", MANY), ro = open(work_path("f"), O_RDONLY);
	int wo = open(work_path("f"), O_WRONLY), pipes[2];
	int dir = open(work_path("."), O_RDONLY);
	int path = open(work_path("f"), O_PATH);
	char *taken = share(rw, PAGE, RW, 0);
	const size_t most = SIZE_MAX - PAGE + 1;
	const int64_t far = INT64_MAX - PAGE + 1;
	const struct {
		const char *why;
		void *addr;
		size_t length;
		int prot, flags, fd;
		int64_t offset;
		int want;
	} bad[] = {
		{ "bad descriptor", NULL, PAGE, RW, MAP_SHARED, -1, 0, EBADF },
		{ "closed one", NULL, PAGE, RW, MAP_SHARED, 999, 0, EBADF },
		{ "O_PATH", NULL, PAGE, RW, MAP_SHARED, path, 0, EBADF },
		{ "no length", NULL, 0, RW, MAP_SHARED, rw, 0, EINVAL },
		{ "odd offset", NULL, PAGE, RW, MAP_SHARED, rw, 1, EINVAL },
		{ "odd offset, bad descriptor", NULL, PAGE, RW, MAP_SHARED, -1,
		  1, EINVAL },
		{ "length rounds to 0", NULL, SIZE_MAX, RW, MAP_SHARED, rw, 0,
		  ENOMEM },
		{ "no such space", NULL, most, RW, MAP_SHARED, rw, 0, ENOMEM },
		{ "beyond all files", NULL, 2 * PAGE, RW, MAP_SHARED, rw, far,
		  EOVERFLOW },
		{ "to write, of one to read", NULL, PAGE, RW, MAP_SHARED, ro, 0,
		  EACCES },
		{ "only to write, of one to read", NULL, PAGE, PROT_WRITE,
		  MAP_SHARED, ro, 0, EACCES },
		{ "to read, of one to write", NULL, PAGE, PROT_READ, MAP_SHARED,
		  wo, 0, EACCES },
		{ "both, of one to write", NULL, PAGE, RW, MAP_SHARED, wo, 0,
		  EACCES },
		{ "nothing, of one to write", NULL, PAGE, PROT_NONE, MAP_SHARED,
		  wo, 0, EACCES },
		{ "a directory", NULL, PAGE, PROT_READ, MAP_SHARED, dir, 0,
		  ENODEV },
		{ "a directory, to write", NULL, PAGE, RW, MAP_SHARED, dir, 0,
		  EACCES },
		{ "neither shared nor private", NULL, PAGE, RW, 0, rw, 0,
		  EINVAL },
		{ "fixed, odd address", (char *)taken + 1, PAGE, RW,
		  MAP_SHARED | MAP_FIXED, rw, 0, EINVAL },
		{ "taken", taken, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE,
		  rw, 0, EEXIST },
		{ "not synchronous", NULL, PAGE, RW,
		  MAP_SHARED_VALIDATE | MAP_SYNC, rw, 0, EOPNOTSUPP },
		{ "flags unknown", NULL, PAGE, RW,
		  MAP_SHARED_VALIDATE | 1 << 24, rw, 0, EOPNOTSUPP },
	};
	void *p = NULL;

	REQUIRE(pipe(pipes) == 0);
	for (size_t i = 0; i < LEN(bad); i++) {
		NOTE("%s", bad[i].why);
		CHECK_EQ(map(bad[i].addr, bad[i].length, bad[i].prot,
			     bad[i].flags, bad[i].fd, bad[i].offset, &p),
			 -bad[i].want);
		CHECK(p == NULL);
	}
	NOTE("a pipe");
	CHECK_EQ(map(NULL, PAGE, PROT_READ, MAP_SHARED, pipes[0], 0, &p),
		 -ENODEV);
	NOTE("what was there is there");
	CHECK(holds_pattern(taken, PAGE, 0));
	CHECK_EQ(unmap(taken, PAGE), 0);
}

CASE("mmap", success_leaves_errno_alone)
{
	int fd = file_of("f", MANY);
	char *p;

	errno = 4711;
	p = share(fd, MANY, RW, 0);
	p[0] = '!';
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(errno, 4711);
}

CASE("mmap", protections_are_as_asked)
{
	static const struct {
		int prot, read, write;
	} all[] = {
		{ PROT_NONE, SIGSEGV, SIGSEGV },
		{ PROT_READ, 0, SIGSEGV },
		{ PROT_WRITE, 0, 0 }, /* the machine reads what it writes */
		{ RW, 0, 0 },
		{ PROT_READ | PROT_EXEC, 0, SIGSEGV },
		{ RW | PROT_EXEC, 0, 0 },
	};
	int fd = file_of("f", PAGE);

	for (size_t i = 0; i < LEN(all); i++) {
		char *p = share(fd, PAGE, all[i].prot, 0);

		NOTE("protection %d", all[i].prot);
		CHECK_EQ(touch_read(p), all[i].read);
		CHECK_EQ(touch_write(p, 'x'), all[i].write);
		CHECK_EQ(unmap(p, PAGE), 0);
		CHECK_EQ(touch_read(p), SIGSEGV);
	}
}

CASE("mmap", harmless_flags_do_no_harm)
{
	static const int flags[] = {
		MAP_POPULATE, MAP_NORESERVE, MAP_LOCKED,
		MAP_NONBLOCK, MAP_STACK,     MAP_DENYWRITE
	};
	int fd = file_of("f", MANY);

	for (size_t i = 0; i < LEN(flags); i++) {
		void *p = NULL;

		NOTE("flag %x", (unsigned)flags[i]);
		CHECK_EQ(map(NULL, MANY, RW, MAP_SHARED | flags[i], fd, 0, &p),
			 0);
		CHECK(p && holds_pattern(p, MANY, 0));
		CHECK_EQ(unmap(p, MANY), 0);
		p = NULL;
		CHECK_EQ(map(NULL, MANY, RW, MAP_SHARED_VALIDATE | flags[i], fd,
			     0, &p),
			 0);
		CHECK_EQ(unmap(p, MANY), 0);
	}
}

/* ------------------------------------------------------- sizes and the end */

CASE("mmap", a_byte_is_a_page)
{
	int fd = file_of("f", 2 * PAGE);
	char *p = share(fd, 1, RW, 0);

	CHECK_EQ(touch_write(p + PAGE - 1, 'x'), 0);
	CHECK_EQ(unmap(p, 1), 0);
	CHECK_EQ(touch_read(p + PAGE - 1), SIGSEGV);
	CHECK_EQ(byte_of(fd, PAGE - 1), 'x');
}

CASE("mmap", offsets_begin_where_they_say)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, 2 * PAGE, RW, 3 * PAGE);

	CHECK(holds_pattern(p, 2 * PAGE, 3 * PAGE));
	p[0] = '!';
	p[2 * PAGE - 1] = '?';
	CHECK_EQ(sync_range(p, 2 * PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 3 * PAGE), '!');
	CHECK_EQ(byte_of(fd, 5 * PAGE - 1), '?');
	CHECK_EQ(byte_of(fd, 3 * PAGE - 1), pattern(3 * PAGE - 1));
	CHECK_EQ(byte_of(fd, 5 * PAGE), pattern(5 * PAGE));
	CHECK_EQ(unmap(p, 2 * PAGE), 0);
}

CASE("mmap", last_page_ends_in_zeros_that_are_not_written)
{
	int fd = file_of("f", PAGE + 100);
	char *p = share(fd, 2 * PAGE, RW, 0);

	CHECK(holds_pattern(p, PAGE + 100, 0));
	for (int i = PAGE + 100; i < 2 * PAGE; i++)
		if (p[i])
			CHECK_EQ(i, -1);
	memset(p + PAGE + 90, '#', 1000);
	CHECK_EQ(sync_range(p, 2 * PAGE, MS_SYNC), 0);
	CHECK_EQ(size_of(fd), PAGE + 100);
	CHECK_EQ(byte_of(fd, PAGE + 99), '#');
	CHECK_EQ(unmap(p, 2 * PAGE), 0);
	CHECK_EQ(size_of(fd), PAGE + 100);

	p = share(fd, 2 * PAGE, RW, 0);
	CHECK_EQ(p[PAGE + 99], '#');
	CHECK_EQ(unmap(p, 2 * PAGE), 0);
}

CASE("mmap", beyond_the_last_page_is_sigbus)
{
	static const struct {
		size_t size;
		int pages; /* that can be touched */
	} all[] = { { 0, 0 },	 { 1, 1 },	  { PAGE - 1, 1 },
		    { PAGE, 1 }, { PAGE + 1, 2 }, { 3 * PAGE, 3 } };

	for (size_t i = 0; i < LEN(all); i++) {
		int fd = file_of("f", all[i].size);
		char *p = share(fd, 4 * PAGE, RW, 0);

		NOTE("a file of %zu", all[i].size);
		for (int page = 0; page < 4; page++) {
			int want = page < all[i].pages ? 0 : SIGBUS;

			CHECK_EQ(touch_read(p + page * PAGE), want);
			CHECK_EQ(touch_write(p + (page + 1) * PAGE - 1, 'x'),
				 want);
		}
		CHECK_EQ(sync_range(p, 4 * PAGE, MS_SYNC), 0);
		CHECK_EQ(unmap(p, 4 * PAGE), 0);
		CHECK_EQ(size_of(fd), all[i].size);
		close(fd);
	}
}

CASE("mmap", an_offset_beyond_the_end_can_be_mapped)
{
	int fd = file_of("f", PAGE);
	char *p = share(fd, PAGE, RW, 5 * PAGE);

	CHECK_EQ(touch_read(p), SIGBUS);
	CHECK_EQ(file_resize(fd, 6 * PAGE), 0);
	CHECK_EQ(touch_write(p + 7, 'x'), 0);
	CHECK_EQ(sync_range(p, PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 5 * PAGE + 7), 'x');
	CHECK_EQ(unmap(p, PAGE), 0);
}

CASE("mmap", a_mapping_follows_a_growing_file)
{
	int fd = file_of("f", 100);
	char *p = share(fd, MANY, RW, 0);

	CHECK_EQ(touch_read(p + PAGE), SIGBUS);
	CHECK_EQ(file_resize(fd, 3 * PAGE), 0);
	CHECK_EQ(touch_write(p + PAGE, 'x'), 0);
	CHECK_EQ(p[2 * PAGE], 0);
	CHECK_EQ(p[200], 0);
	CHECK_EQ(touch_read(p + 3 * PAGE), SIGBUS);

	NOTE("by a write at its end");
	CHECK_EQ(file_write(fd, "end", 3, 5 * PAGE), 3);
	CHECK_EQ(p[5 * PAGE], 'e');
	CHECK_EQ(p[4 * PAGE], 0);
	CHECK_EQ(p[PAGE], 'x');
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(size_of(fd), 5 * PAGE + 3);
	CHECK_EQ(byte_of(fd, PAGE), 'x');
}

CASE("mmap", a_mapping_follows_a_shrinking_file)
{
	int fd = file_of("f", 4 * PAGE);
	char *p = share(fd, 4 * PAGE, RW, 0);

	memset(p, '#', 4 * PAGE);
	CHECK_EQ(file_resize(fd, PAGE + 10), 0);
	CHECK_EQ(touch_read(p + PAGE), 0);
	CHECK_EQ(touch_read(p + 2 * PAGE), SIGBUS);
	CHECK_EQ(p[PAGE + 9], '#');
	CHECK_EQ(p[PAGE + 10], 0);

	NOTE("and back");
	CHECK_EQ(file_resize(fd, 4 * PAGE), 0);
	CHECK_EQ(p[PAGE + 9], '#');
	CHECK_EQ(p[PAGE + 10], 0);
	CHECK_EQ(p[3 * PAGE], 0);
	CHECK_EQ(sync_range(p, 4 * PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, PAGE + 9), '#');
	CHECK_EQ(byte_of(fd, PAGE + 10), 0);
	CHECK_EQ(byte_of(fd, 3 * PAGE), 0);
	CHECK_EQ(unmap(p, 4 * PAGE), 0);
	CHECK_EQ(size_of(fd), 4 * PAGE);
}

CASE("mmap", a_file_can_be_emptied_and_filled)
{
	int fd = file_of("f", 2 * PAGE);
	char *p = share(fd, 2 * PAGE, RW, 0);

	p[0] = '!';
	CHECK_EQ(file_resize(fd, 0), 0);
	CHECK_EQ(touch_read(p), SIGBUS);
	CHECK_EQ(file_write(fd, "new", 3, 0), 3);
	CHECK_EQ(p[0], 'n');
	CHECK_EQ(p[3], 0);
	CHECK_EQ(unmap(p, 2 * PAGE), 0);
	CHECK_EQ(byte_of(fd, 0), 'n');
	CHECK_EQ(size_of(fd), 3);
}

/* -------------------------------------------------------- who sees what */

CASE("mmap", stores_reach_the_file_by_msync_and_munmap)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	p[1] = '1';
	p[5 * PAGE] = '5';
	CHECK_EQ(sync_range(p, PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 1), '1');
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, 5 * PAGE), '5');
	CHECK_EQ(byte_of(fd, 2), pattern(2));
}

CASE("mmap", two_mappings_of_a_process_are_one)
{
	int fd = file_of("f", MANY), ro = open(work_path("f"), O_RDONLY);
	char *a = share(fd, MANY, RW, 0),
	     *b = share(fd, 4 * PAGE, RW, 2 * PAGE);
	char *c = share(ro, MANY, PROT_READ, 0);

	CHECK(a != b && a != c);
	a[2 * PAGE] = 'x';
	CHECK_EQ(b[0], 'x');
	CHECK_EQ(c[2 * PAGE], 'x');
	b[1] = 'y';
	CHECK_EQ(a[2 * PAGE + 1], 'y');
	CHECK_EQ(unmap(a, MANY), 0);
	b[2] = 'z';
	CHECK_EQ(c[2 * PAGE + 2], 'z');
	CHECK_EQ(unmap(c, MANY), 0);
	CHECK_EQ(unmap(b, 4 * PAGE), 0);
	CHECK_EQ(byte_of(fd, 2 * PAGE + 2), 'z');
}

CASE("mmap", two_processes_share_at_once)
{
	int fd = file_of("f", MANY);
	struct peer peer;
	char *p;

	if (peer_start(&peer)) {
		fd = open(work_path("f"), O_RDWR);
		p = share(fd, MANY, RW, 0);
		p[PAGE] = 'p';
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_EQ(p[PAGE + 1], 'c');
		CHECK_EQ(unmap(p, MANY), 0);
		child_exit();
	}
	peer_hear(&peer);
	p = share(fd, MANY, RW, 0);
	CHECK_EQ(p[PAGE], 'p');
	p[PAGE + 1] = 'c';
	peer_say(&peer);
	peer_join(&peer);
	CHECK_EQ(p[PAGE + 1], 'c');
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, PAGE), 'p');
	CHECK_EQ(byte_of(fd, PAGE + 1), 'c');
}

CASE("mmap", a_child_inherits_and_shares)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	p[0] = '1';
	if (child()) {
		CHECK_EQ(p[0], '1');
		p[1] = '2';
		CHECK_EQ(sync_range(p, PAGE, MS_SYNC), 0);
		CHECK_EQ(byte_of(fd, 1), '2');
		p[2] = '3';
		CHECK_EQ(unmap(p, MANY), 0);
		child_exit();
	}
	CHECK_EQ(p[1], '2');
	CHECK_EQ(p[2], '3');
	p[3] = '4';
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, 0), '1');
	CHECK_EQ(byte_of(fd, 2), '3');
	CHECK_EQ(byte_of(fd, 3), '4');
}

CASE("mmap", a_child_goes_on_without_its_parent)
{
	int fd = file_of("f", PAGE);
	struct peer peer;

	if (peer_start(&peer)) {
		char *p = share(fd, PAGE, RW, 0);
		pid_t pid = fork();

		if (pid == 0) {
			/* The parent's mapping is gone when we are told. */
			peer_hear(&peer);
			p[1] = '2';
			CHECK_EQ(unmap(p, PAGE), 0);
			peer_say(&peer);
			_exit(0);
		}
		p[0] = '1';
		CHECK_EQ(unmap(p, PAGE), 0);
		peer_say(&peer);
		join(pid);
		child_exit();
	}
	peer_hear(&peer);
	peer_say(&peer);
	peer_hear(&peer);
	peer_join(&peer);
	CHECK_EQ(byte_of(fd, 0), '1');
	CHECK_EQ(byte_of(fd, 1), '2');
}

CASE("mmap", exit_is_an_unmap)
{
	int fd = file_of("f", PAGE);
	pid_t pid = fork();

	if (pid == 0) {
		share(fd, PAGE, RW, 0)[5] = 'x';
		exit(0);
	}
	join(pid);
	CHECK_EQ(byte_of(fd, 5), 'x');
}

CASE("mmap", what_a_killed_process_stored_is_seen)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);
	struct peer peer;

	if (peer_start(&peer)) {
		char *q = share(fd, MANY, RW, 0);

		for (int i = 0; i < 8; i++)
			q[i * PAGE + i] = '!';
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	peer_kill(&peer);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(p[i * PAGE + i], '!');
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(byte_of(fd, i * PAGE + i), '!');
	CHECK_EQ(unmap(p, MANY), 0);
}

CASE("mmap", reads_and_writes_beside_are_coherent)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0), buf[8] = "";

	p[3 * PAGE] = '!';
	CHECK_EQ(file_read(fd, buf, 1, 3 * PAGE), 1);
	CHECK_EQ(buf[0], '!');
	CHECK_EQ(file_write(fd, "written", 7, 4 * PAGE - 3), 7);
	CHECK(memcmp(p + 4 * PAGE - 3, "written", 7) == 0);
	CHECK_EQ(p[3 * PAGE], '!');

	NOTE("a store, then a write, then a store");
	memset(p + 100, 'a', 100);
	CHECK_EQ(file_write(fd, "bbbb", 4, 150), 4);
	p[151] = 'c';
	CHECK_EQ(file_read(fd, buf, 6, 149), 6);
	CHECK(memcmp(buf, "abcbba", 6) == 0);
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, 151), 'c');
	CHECK_EQ(byte_of(fd, 152), 'b');
}

CASE("mmap", another_process_reads_and_writes_beside)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	p[PAGE] = '!';
	if (child()) {
		int own = open(work_path("f"), O_RDWR);
		char c = 0;

		CHECK_EQ(unmap(p, 2 * PAGE), 0);
		CHECK_EQ(file_read(own, &c, 1, PAGE), 1);
		CHECK_EQ(c, '!');
		CHECK_EQ(file_write(own, "w", 1, PAGE + 1), 1);
		CHECK_EQ(file_resize(own, 9 * PAGE), 0);
		child_exit();
	}
	CHECK_EQ(p[PAGE + 1], 'w');
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(size_of(fd), 9 * PAGE);
}

CASE("mmap", private_ones_are_isolated)
{
	int fd = file_of("f", MANY);
	void *private = NULL;
	char *p = share(fd, MANY, RW, 0), *q;

	CHECK_EQ(map(NULL, MANY, RW, MAP_PRIVATE, fd, 0, &private), 0);
	q = private;
	q[0] = 'p';
	CHECK_EQ(p[0], pattern(0));
	CHECK_EQ(sync_range(q, MANY, MS_SYNC), 0);
	CHECK_EQ(unmap(q, MANY), 0);
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, 0), pattern(0));

	NOTE("to write, of one to read");
	fd = open(work_path("f"), O_RDONLY);
	CHECK_EQ(map(NULL, MANY, RW, MAP_PRIVATE, fd, 0, &private), 0);
	*(char *)private = 'x';
	CHECK_EQ(byte_of(fd, 0), pattern(0));
	CHECK_EQ(unmap(private, MANY), 0);
}

CASE("mmap", anonymous_ones_are_of_relatives)
{
	void *p = NULL, *q = NULL;
	char *shared, *own;

	CHECK_EQ(map(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0, &p), 0);
	CHECK_EQ(map(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &q),
		 0);
	shared = p;
	own = q;
	CHECK(!shared[0] && !own[0]);
	if (child()) {
		shared[0] = 'c';
		own[0] = 'c';
		child_exit();
	}
	CHECK_EQ(shared[0], 'c');
	CHECK_EQ(own[0], 0);
	CHECK_EQ(sync_range(p, PAGE, MS_SYNC), 0);
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK_EQ(unmap(q, PAGE), 0);
}

CASE("mmap", a_mapping_outlives_descriptor_and_name)
{
	int fd = file_of("f", PAGE), other;
	char *p = share(fd, PAGE, RW, 0);

	REQUIRE(link(work_path("f"), "/dev/null") < 0);
	other = open(work_path("f"), O_RDONLY);
	close(fd);
	CHECK_EQ(unlink(work_path("f")), 0);
	p[9] = '!';
	CHECK_EQ(sync_range(p, PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(other, 9), '!');
	CHECK_EQ(unmap(p, PAGE), 0);
	close(other);

	NOTE("a new file of the name is another");
	fd = file_of("f", PAGE);
	p = share(fd, PAGE, RW, 0);
	CHECK_EQ(p[9], pattern(9));
	CHECK_EQ(unmap(p, PAGE), 0);
}

CASE("mmap", hard_links_are_one_file)
{
	int fd = file_of("f", PAGE), other;
	char from[200], *p, *q;

	strcpy(from, work_path("f"));
	REQUIRE(link(from, work_path("g")) == 0);
	other = open(work_path("g"), O_RDWR);
	p = share(fd, PAGE, RW, 0);
	q = share(other, PAGE, RW, 0);
	p[0] = '!';
	CHECK_EQ(q[0], '!');
	CHECK_EQ(unmap(p, PAGE), 0);
	CHECK_EQ(unmap(q, PAGE), 0);
	CHECK_EQ(byte_of(other, 0), '!');
}

/* ------------------------------------------------------ parts of mappings */

CASE("munmap", a_hole_leaves_both_sides)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	CHECK_EQ(unmap(p + 2 * PAGE, 3 * PAGE), 0);
	CHECK_EQ(touch_read(p + 2 * PAGE), SIGSEGV);
	CHECK_EQ(touch_read(p + 4 * PAGE), SIGSEGV);
	CHECK(holds_pattern(p, 2 * PAGE, 0));
	CHECK(holds_pattern(p + 5 * PAGE, 3 * PAGE, 5 * PAGE));
	p[0] = 'l';
	p[5 * PAGE] = 'r';
	NOTE("a sync does what it can");
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), -ENOMEM);
	CHECK_EQ(byte_of(fd, 0), 'l');
	CHECK_EQ(byte_of(fd, 5 * PAGE), 'r');
	CHECK_EQ(unmap(p, 2 * PAGE), 0);
	p[6 * PAGE] = 'x';
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, 6 * PAGE), 'x');
}

CASE("munmap", refusals_have_their_errno_too)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	CHECK_EQ(unmap(p + 1, PAGE), -EINVAL);
	CHECK_EQ(unmap(p, 0), -EINVAL);
	CHECK(holds_pattern(p, MANY, 0));
	CHECK_EQ(unmap(p, MANY), 0);
	NOTE("what is not mapped");
	CHECK_EQ(unmap(p, MANY), 0);
}

CASE("mmap", fixed_ones_replace_what_is_there)
{
	int f = file_of("f", MANY), g = file_of("g", 2 * PAGE);
	char *p = share(f, MANY, RW, 0);
	void *q = NULL;

	p[0] = 'l';
	p[3 * PAGE] = 'm';
	p[7 * PAGE] = 'r';
	CHECK_EQ(map(p + 3 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, g, 0,
		     &q),
		 0);
	CHECK(q == p + 3 * PAGE);
	CHECK(holds_pattern(q, 2 * PAGE, 0));
	p[3 * PAGE] = 'g';
	CHECK_EQ(map(p + 6 * PAGE, PAGE, RW,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, &q),
		 0);
	p[6 * PAGE] = 'a';
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	CHECK_EQ(byte_of(f, 0), 'l');
	CHECK_EQ(byte_of(f, 6 * PAGE), pattern(6 * PAGE));
	CHECK_EQ(byte_of(f, 7 * PAGE), 'r');
	CHECK_EQ(byte_of(g, 0), 'g');

	NOTE("another part of the same file");
	CHECK_EQ(map(p, PAGE, RW, MAP_SHARED | MAP_FIXED, f, 5 * PAGE, &q), 0);
	CHECK(holds_pattern(p, PAGE, 5 * PAGE));
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(f, 3 * PAGE), 'm');
	CHECK_EQ(size_of(g), 2 * PAGE);
}

CASE("mmap", noreplace_takes_what_is_free)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);
	void *q = NULL;

	CHECK_EQ(unmap(p + PAGE, PAGE), 0);
	CHECK_EQ(map(p + PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE,
		     fd, 0, &q),
		 -EEXIST);
	CHECK_EQ(map(p + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
		     0, &q),
		 0);
	CHECK(q == p + PAGE);
	CHECK(holds_pattern(q, PAGE, 0));
	CHECK_EQ(unmap(p, MANY), 0);
}

/* ------------------------------------------------------------------ msync */

CASE("msync", refusals_are_the_kernels)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);
	const struct {
		const char *why;
		char *addr;
		size_t length;
		int flags, want;
	} all[] = {
		{ "odd address", p + 1, PAGE, MS_SYNC, EINVAL },
		{ "both", p, PAGE, MS_SYNC | MS_ASYNC, EINVAL },
		{ "unknown", p, PAGE, 64, EINVAL },
		{ "no length", p, 0, MS_SYNC, 0 },
		{ "no flags", p, PAGE, 0, 0 },
		{ "invalidate", p, PAGE, MS_INVALIDATE, 0 },
		{ "invalidate and sync", p, PAGE, MS_SYNC | MS_INVALIDATE, 0 },
		{ "async", p, PAGE, MS_ASYNC, 0 },
		{ "odd length", p, 10, MS_SYNC, 0 },
		{ "wraps", p, SIZE_MAX - PAGE, MS_SYNC, ENOMEM },
		{ "beyond", p + MANY, PAGE, MS_SYNC, ENOMEM },
	};

	/* What lies behind is free. */
	CHECK_EQ(unmap(p + 6 * PAGE, 2 * PAGE), 0);
	for (size_t i = 0; i < LEN(all); i++) {
		char *addr = all[i].addr == p + MANY ? p + 6 * PAGE
						     : all[i].addr;

		NOTE("%s", all[i].why);
		CHECK_EQ(sync_range(addr, all[i].length, all[i].flags),
			 -all[i].want);
	}
	/* Not by a function that a sanitizer may have replaced. */
	NOTE("locked pages are not invalidated");
	if (syscall(SYS_mlock, p, PAGE) == 0) {
		CHECK_EQ(sync_range(p, PAGE, MS_SYNC | MS_INVALIDATE), -EBUSY);
		syscall(SYS_munlock, p, PAGE);
	}
	CHECK_EQ(unmap(p, MANY), 0);
}

CASE("msync", a_range_is_synced_page_by_page)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);

	for (int i = 0; i < 8; i++)
		p[i * PAGE + 1] = '!';
	CHECK_EQ(sync_range(p + 2 * PAGE, 1, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 2 * PAGE + 1), '!');
	CHECK_EQ(sync_range(p, MANY, MS_SYNC), 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(byte_of(fd, i * PAGE + 1), '!');
	CHECK_EQ(unmap(p, MANY), 0);
}

/* --------------------------------------------------------------- mprotect */

CASE("mprotect", what_may_be_written_is_the_descriptors)
{
	int fd = file_of("f", MANY), ro = open(work_path("f"), O_RDONLY);
	char *p = share(fd, MANY, PROT_READ, 0);
	char *q = share(ro, MANY, PROT_READ, 0);

	CHECK_EQ(touch_write(p, 'x'), SIGSEGV);
	CHECK_EQ(protect(p, MANY, RW), 0);
	CHECK_EQ(touch_write(p, 'x'), 0);
	CHECK_EQ(q[0], 'x');
	CHECK_EQ(protect(q, MANY, RW), -EACCES);
	CHECK_EQ(touch_write(q, 'y'), SIGSEGV);
	CHECK_EQ(protect(q, MANY, PROT_NONE), 0);
	CHECK_EQ(touch_read(q), SIGSEGV);
	CHECK_EQ(protect(q, MANY, PROT_READ), 0);
	CHECK_EQ(q[0], 'x');

	NOTE("a part");
	CHECK_EQ(protect(p + PAGE, PAGE, PROT_READ), 0);
	CHECK_EQ(touch_write(p + PAGE, 'x'), SIGSEGV);
	CHECK_EQ(touch_write(p + 2 * PAGE, 'x'), 0);

	NOTE("refusals");
	CHECK_EQ(protect(p + 1, PAGE, PROT_READ), -EINVAL);
	CHECK_EQ(protect(p, 0, PROT_READ), 0);
	CHECK_EQ(unmap(p + PAGE, PAGE), 0);
	CHECK_EQ(protect(p, 3 * PAGE, RW), -ENOMEM);
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(unmap(q, MANY), 0);
	CHECK_EQ(byte_of(fd, 2 * PAGE), 'x');
}

/* ----------------------------------------------------------------- mremap */

CASE("mremap", mappings_move_grow_and_shrink)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, 2 * PAGE, RW, PAGE), *place;
	void *q = NULL, *r = NULL;

	NOTE("grown");
	p[0] = '0';
	CHECK_EQ(remap(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, NULL, &q), 0);
	p = q;
	CHECK_EQ(p[0], '0');
	CHECK(holds_pattern(p + PAGE, 3 * PAGE, 2 * PAGE));
	p[3 * PAGE] = '3';
	CHECK_EQ(sync_range(p, 4 * PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 4 * PAGE), '3');

	NOTE("shrunk");
	CHECK_EQ(remap(p, 4 * PAGE, 3 * PAGE, 0, NULL, &q), 0);
	CHECK(q == p);
	CHECK_EQ(touch_read(p + 3 * PAGE), SIGSEGV);

	NOTE("moved");
	CHECK_EQ(map(NULL, MANY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
		     &r),
		 0);
	place = r;
	CHECK_EQ(remap(p, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       place + PAGE, &q),
		 0);
	CHECK(q == place + PAGE);
	CHECK_EQ(touch_read(p), SIGSEGV);
	p = q;
	p[1] = '1';
	CHECK_EQ(sync_range(p, 3 * PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, PAGE + 1), '1');

	NOTE("duplicated");
	CHECK_EQ(remap(p, 0, 3 * PAGE, MREMAP_MAYMOVE, NULL, &q), 0);
	CHECK(q != p);
	((char *)q)[2] = '2';
	CHECK_EQ(p[2], '2');
	CHECK_EQ(unmap(p, 3 * PAGE), 0);
	CHECK_EQ(sync_range(q, 3 * PAGE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, PAGE + 2), '2');
	((char *)q)[3] = '3';
	CHECK_EQ(unmap(q, 3 * PAGE), 0);
	CHECK_EQ(byte_of(fd, PAGE + 3), '3');
	CHECK_EQ(unmap(place, MANY), 0);
}

CASE("mremap", the_middle_of_a_mapping_moves)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0), *q;
	void *moved = NULL;

	CHECK_EQ(remap(p + 2 * PAGE, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE, NULL,
		       &moved),
		 0);
	q = moved;
	CHECK(holds_pattern(q, 3 * PAGE, 2 * PAGE));
	CHECK_EQ(touch_read(p + 2 * PAGE), SIGSEGV);
	CHECK(holds_pattern(p + 4 * PAGE, 4 * PAGE, 4 * PAGE));
	q[2 * PAGE] = '!';
	CHECK_EQ(p[4 * PAGE], '!');
	CHECK_EQ(unmap(p, MANY), 0);
	q[0] = '?';
	CHECK_EQ(unmap(q, 3 * PAGE), 0);
	CHECK_EQ(byte_of(fd, 4 * PAGE), '!');
	CHECK_EQ(byte_of(fd, 2 * PAGE), '?');
}

CASE("mremap", refusals_are_the_kernels_too)
{
	int fd = file_of("f", MANY);
	char *p = share(fd, MANY, RW, 0);
	void *q = NULL;

	CHECK_EQ(remap(p + 1, PAGE, PAGE, 0, NULL, &q), -EINVAL);
	CHECK_EQ(remap(p, PAGE, 0, 0, NULL, &q), -EINVAL);
	CHECK_EQ(remap(p, PAGE, PAGE, 64, NULL, &q), -EINVAL);
	CHECK_EQ(remap(p, PAGE, 2 * PAGE, 0, NULL, &q), -ENOMEM);
	CHECK_EQ(unmap(p + PAGE, PAGE), 0);
	CHECK_EQ(remap(p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE, NULL, &q),
		 -EFAULT);
	CHECK(holds_pattern(p, PAGE, 0));
	CHECK_EQ(unmap(p, MANY), 0);
}

/* ------------------------------------------------------------------- locks */

/* A blocking one that waited for the mapping would wait until the alarm. */
CASE("lock", flock_has_nothing_to_do_with_mappings)
{
	static const int operations[] = { LOCK_EX | LOCK_NB, LOCK_EX, LOCK_SH };
	int fd = file_of("f", PAGE), other;
	char *p;

	for (size_t i = 0; i < LEN(operations); i++) {
		NOTE("operation %d, before the map", operations[i]);
		REQUIRE(flock(fd, operations[i]) == 0);
		p = share(fd, PAGE, RW, 0);
		if (child()) {
			other = open(work_path("f"), O_RDWR);
			p = share(other, PAGE, RW, 0);
			p[i] = '!';
			CHECK_EQ(unmap(p, PAGE), 0);
			child_exit();
		}
		CHECK_EQ(p[i], '!');
		REQUIRE(flock(fd, LOCK_UN) == 0);
		NOTE("operation %d, of what is mapped", operations[i]);
		CHECK_EQ(flock(fd, operations[i]), 0);
		REQUIRE(flock(fd, LOCK_UN) == 0);
		if (child()) {
			other = open(work_path("f"), O_RDWR);
			CHECK_EQ(flock(other, operations[i]), 0);
			child_exit();
		}
		CHECK_EQ(unmap(p, PAGE), 0);
	}
}

/* All but the last byte that a file could have. */
CASE("lock", parts_can_be_locked_beside_mappings)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = INT64_MAX };
	int fd = file_of("f", PAGE);
	char *p;

	REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
	p = share(fd, PAGE, RW, 0);
	lock.l_type = F_UNLCK;
	CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
	lock.l_type = F_WRLCK;
	CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
	CHECK_EQ(unmap(p, PAGE), 0);
}
