/* SPDX-License-Identifier: MIT */
/*
 * What shm_open() and shm_unlink() do. The same cases run on libc's own
 * functions, in /dev/shm, and under the preload: they see nothing of ushm.
 *
 * Each case leaves no object. Its names are those of object().
 */
#define CHECK_MAIN
#include "support/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/resource.h>

#define LEN(array) (sizeof(array) / sizeof(*(array)))
#define RDWR	   (O_RDWR | O_CREAT)
#define NEW	   (RDWR | O_EXCL)

#ifdef __GLIBC__
#define GLIBC 1
#else
#define GLIBC 0
#endif

static char prefix[64];

/* Unique to this run; cases use 'a' to 'c'. Good until the fourth call. */
static const char *object(char which)
{
	static char names[3][80];
	static unsigned next;
	char *name = names[next++ % 3];

	snprintf(name, sizeof(names[0]), "%s-%c", prefix, which);
	return name;
}

static void sweep(void)
{
	for (char which = 'a'; which <= 'c'; which++)
		CHECK_ERRNO(shm_unlink(object(which)), ENOENT);
}

__attribute__((constructor)) static void set_up(void)
{
	snprintf(prefix, sizeof(prefix), "/ushm-case-%d", (int)getpid());
	check_set_after(sweep);
}

static int make(char which, off_t size)
{
	int fd = shm_open(object(which), NEW, 0600);

	MUST(OK(fd));
	MUST(OK(ftruncate(fd, size)));
	return fd;
}

static char *map(int fd, size_t size, int prot)
{
	char *p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	MUST(p != MAP_FAILED);
	return p;
}

static struct stat stat_of(int fd)
{
	struct stat st;

	MUST(OK(fstat(fd, &st)));
	return st;
}

static void destroy(char which)
{
	OK(shm_unlink(object(which)));
}

#define make(which, size)   (CHECK_HERE, make(which, size))
#define map(fd, size, prot) (CHECK_HERE, map(fd, size, prot))
#define stat_of(fd)	    (CHECK_HERE, stat_of(fd))
#define destroy(which)	    (CHECK_HERE, destroy(which))

/* ------------------------------------------------------------------ names */

CASE("P1", slashes_in_front_do_not_count)
{
	static const unsigned skip[] = { 0, 1 };
	int fd = make('a', 10), other;
	char name[100];

	for (size_t i = 0; i < LEN(skip); i++) {
		other = shm_open(object('a') + skip[i], O_RDONLY, 0);
		CHECK_OK(other);
		CHECK_EQ(stat_of(other).st_ino, stat_of(fd).st_ino);
	}
	snprintf(name, sizeof(name), "///%s", object('a'));
	other = shm_open(name, O_RDONLY, 0);
	CHECK_OK(other);
	CHECK_EQ(stat_of(other).st_ino, stat_of(fd).st_ino);
	CHECK_OK(shm_unlink(name));
	CHECK_ERRNO(shm_unlink(object('a')), ENOENT);
}

CASE("P1", what_is_no_name_is_refused)
{
	static const struct {
		const char *name;
		int look, make, remove;
	} bad[] = {
		{ "", EINVAL, EINVAL, GLIBC ? ENOENT : EINVAL },
		{ "/", EINVAL, EINVAL, GLIBC ? ENOENT : EINVAL },
		{ "////", EINVAL, EINVAL, GLIBC ? ENOENT : EINVAL },
		{ "/a/b", EINVAL, EINVAL, GLIBC ? ENOENT : EINVAL },
		{ "a/", EINVAL, EINVAL, GLIBC ? ENOENT : EINVAL },
		{ "/../x", EINVAL, EINVAL, GLIBC ? ENOENT : EINVAL },
		/* to glibc the directory, which can be looked at */
		{ ".", GLIBC ? 0 : EINVAL, EINVAL, GLIBC ? EISDIR : EINVAL },
		{ "/..", GLIBC ? 0 : EINVAL, EINVAL, GLIBC ? EISDIR : EINVAL },
		{ "/ushm-there-is-no-such-object", ENOENT, 0, 0 },
		{ "...", ENOENT, 0, 0 },
	};

	for (size_t i = 0; i < LEN(bad); i++) {
		NOTE("'%s'", bad[i].name);
		CHECK_ERRNO(shm_open(bad[i].name, O_RDONLY, 0), bad[i].look);
		CHECK_ERRNO(shm_open(bad[i].name, RDWR, 0600), bad[i].make);
		CHECK_ERRNO(shm_unlink(bad[i].name), bad[i].remove);
	}
}

CASE("P1", a_name_has_255_bytes_at_most)
{
	static const struct {
		size_t length;
		int open, remove;
	} lengths[] = {
		{ 254, 0, 0 },
		{ 255, 0, 0 },
		{ 256, ENAMETOOLONG, ENAMETOOLONG },
		{ 259, ENAMETOOLONG, ENAMETOOLONG },
		{ 260, GLIBC ? EINVAL : ENAMETOOLONG,
		  GLIBC ? ENOENT : ENAMETOOLONG },
		{ 5000, GLIBC ? EINVAL : ENAMETOOLONG,
		  GLIBC ? ENOENT : ENAMETOOLONG },
	};
	char name[5010];

	for (size_t i = 0; i < LEN(lengths); i++)
		for (size_t slashes = 0; slashes < 3; slashes++) {
			size_t end = slashes + lengths[i].length;

			NOTE("%zu slashes, %zu bytes", slashes,
			     lengths[i].length);
			memset(name, '/', slashes);
			memset(name + slashes, 'n', lengths[i].length);
			name[end] = '\0';
			CHECK_ERRNO(shm_open(name, RDWR, 0600),
				    lengths[i].open);
			CHECK_ERRNO(shm_unlink(name), lengths[i].remove);
			name[end - 2] = '/';
			CHECK_ERRNO(shm_open(name, RDWR, 0600), EINVAL);
		}
}

CASE("P1", any_other_byte_may_be_in_a_name)
{
	static const char *const names[] = {
		"a b",	   "\\",    "\n",	  "\xff\xfe",
		".hidden", "sem.x", "registry.0", "posix.0",
	};
	char name[200];

	for (size_t i = 0; i < LEN(names); i++) {
		NOTE("%s", names[i]);
		snprintf(name, sizeof(name), "%s%s", names[i], prefix + 1);
		CHECK_OK(shm_open(name, NEW, 0600));
		CHECK_ERRNO(shm_open(name, NEW, 0600), EEXIST);
		CHECK_OK(shm_unlink(name));
	}
}

/* ---------------------------------------------------------------- opening */

CASE("P2", new_object_is_empty_and_has_the_mode_less_the_umask)
{
	static const mode_t modes[] = { 0600, 0666, 0777, 0400, 0, 01666 };
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	struct stat st;
	int fd;

	for (size_t i = 0; i < LEN(modes); i++)
		for (size_t j = 0; j < LEN(masks); j++) {
			NOTE("mode %o, umask %o", modes[i], masks[j]);
			umask(masks[j]);
			fd = shm_open(object('a'), NEW, modes[i]);
			REQUIRE_OK(fd);
			st = stat_of(fd);
			CHECK(S_ISREG(st.st_mode));
			CHECK_EQ(st.st_mode & 07777, modes[i] & ~masks[j]);
			CHECK_EQ(st.st_size, 0);
			CHECK_EQ(st.st_nlink, 1);
			CHECK_EQ(st.st_uid, geteuid());
			CHECK_EQ(st.st_gid, getegid());
			CHECK_OK(ftruncate(fd, 100)); /* whatever the mode */
			CHECK_OK(close(fd));
			destroy('a');
		}
}

/* Each row begins with an object of 10 bytes and mode 0640, or with none. */
CASE("P2", flags_mean_what_they_mean_to_open)
{
	static const struct {
		const char *what;
		int flags, there, absent;
		off_t size; /* afterwards, if it was there */
	} rows[] = {
		{ "RDONLY", O_RDONLY, 0, ENOENT, 10 },
		{ "RDWR", O_RDWR, 0, ENOENT, 10 },
		{ "WRONLY", O_WRONLY, 0, ENOENT, 10 },
		{ "RDONLY CREAT", O_RDONLY | O_CREAT, 0, 0, 10 },
		{ "RDWR CREAT", RDWR, 0, 0, 10 },
		{ "RDWR CREAT EXCL", NEW, EEXIST, 0, 10 },
		{ "RDWR CREAT EXCL TRUNC", NEW | O_TRUNC, EEXIST, 0, 10 },
		{ "RDWR EXCL", O_RDWR | O_EXCL, 0, ENOENT, 10 },
		{ "RDWR TRUNC", O_RDWR | O_TRUNC, 0, ENOENT, 0 },
		{ "RDWR CREAT TRUNC", RDWR | O_TRUNC, 0, 0, 0 },
		{ "RDONLY TRUNC", O_RDONLY | O_TRUNC, 0, ENOENT, 0 },
		{ "DIRECTORY", O_RDONLY | O_DIRECTORY, ENOTDIR, ENOENT, 10 },
		{ "APPEND", O_RDWR | O_APPEND, 0, ENOENT, 10 },
		{ "PATH", O_PATH, 0, ENOENT, 10 },
	};
	struct stat st;
	int first, fd, flags;

	for (size_t i = 0; i < LEN(rows); i++) {
		NOTE("%s", rows[i].what);
		first = make('a', 10);
		CHECK_OK(fchmod(first, 0640));
		errno = 0;
		fd = shm_open(object('a'), rows[i].flags, 0600);
		CHECK_EQ(fd < 0 ? errno : 0, rows[i].there);
		CHECK_EQ(stat_of(first).st_size, rows[i].size);
		CHECK_EQ(stat_of(first).st_mode & 07777, 0640);
		if (fd >= 0) {
			st = stat_of(fd);
			CHECK_EQ(st.st_ino, stat_of(first).st_ino);
			flags = fcntl(fd, F_GETFL);
			CHECK_EQ(flags & (O_ACCMODE | O_APPEND),
				 rows[i].flags & (O_ACCMODE | O_APPEND));
			CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
			CHECK_OK(close(fd));
		}
		CHECK_OK(close(first));
		destroy('a');

		CHECK_ERRNO(fd = shm_open(object('a'), rows[i].flags, 0600),
			    rows[i].absent);
		if (fd >= 0) {
			CHECK_EQ(stat_of(fd).st_size, 0);
			CHECK_OK(close(fd));
			destroy('a');
		}
	}
}

CASE("P2", flags_of_the_descriptor_are_those_of_libc)
{
	int fd = make('a', 10), flags = fcntl(fd, F_GETFL);

	CHECK_EQ(flags & O_NONBLOCK, GLIBC ? 0 : O_NONBLOCK);
	CHECK_EQ(flags & O_NOFOLLOW, O_NOFOLLOW);
	destroy('a');
}

CASE("P2", descriptor_is_the_lowest_free_one)
{
	int low = dup(0), high = dup(0);

	CHECK_OK(close(low));
	CHECK_EQ(make('a', 10), low);
	CHECK_EQ(shm_open(object('a'), O_RDONLY, 0), high + 1);
	CHECK_OK(close(0));
	CHECK_EQ(shm_open(object('a'), O_RDONLY, 0), 0);
	destroy('a');
}

CASE("P2", success_leaves_errno_alone)
{
	errno = 4711;
	CHECK(shm_open(object('a'), NEW, 0600) >= 0);
	CHECK_EQ(errno, 4711);
	CHECK(shm_unlink(object('a')) == 0);
	CHECK_EQ(errno, 4711);
}

CASE("P2", without_a_free_descriptor_it_is_emfile)
{
	int last = -1, fd;

	CHECK_OK(close(make('a', 10)));
	while ((fd = dup(0)) >= 0)
		last = fd;
	CHECK_ERRNO(shm_open(object('a'), O_RDWR, 0), EMFILE);
	CHECK_ERRNO(shm_open(object('b'), NEW, 0600), EMFILE);
	CHECK_OK(close(last));
	CHECK_EQ(shm_open(object('a'), O_RDWR, 0), last);
	destroy('a');
}

/* ------------------------------------------------------------ permissions */

/* root is then an ordinary user; others are it already. */
static void drop_capabilities(void)
{
	uint32_t header[2] = { 0x20080522, 0 }, data[6] = { 0 };

	MUST(OK(syscall(SYS_capset, header, data)));
}

CASE("P3", mode_decides_who_may_open)
{
	static const struct {
		mode_t mode;
		int ro, rw, wo;
	} rows[] = {
		{ 0600, 0, 0, 0 },
		{ 0400, 0, EACCES, EACCES },
		{ 0200, EACCES, EACCES, 0 },
		{ 0066, EACCES, EACCES, EACCES },
		{ 0, EACCES, EACCES, EACCES },
	};

	drop_capabilities();
	for (size_t i = 0; i < LEN(rows); i++) {
		NOTE("mode %o", rows[i].mode);
		umask(0);
		CHECK_OK(shm_open(object('a'), NEW, rows[i].mode));
		CHECK_ERRNO(shm_open(object('a'), O_RDONLY, 0), rows[i].ro);
		CHECK_ERRNO(shm_open(object('a'), O_RDWR, 0), rows[i].rw);
		CHECK_ERRNO(shm_open(object('a'), O_WRONLY, 0), rows[i].wo);
		CHECK_ERRNO(shm_open(object('a'), RDWR, 0777), rows[i].rw);
		CHECK_ERRNO(shm_open(object('a'), NEW, 0777), EEXIST);
		CHECK_ERRNO(shm_open(object('a'), O_RDONLY | O_TRUNC, 0),
			    rows[i].ro ? rows[i].ro : rows[i].wo);
		destroy('a'); /* whatever its mode */
	}
}

CASE("P3", read_only_descriptor_gives_read_only_mappings)
{
	char *p;
	int fd;

	CHECK_OK(close(make('a', 4096)));
	fd = shm_open(object('a'), O_RDONLY, 0);
	CHECK_ERRNO(ftruncate(fd, 8192), EINVAL);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	p = map(fd, 4096, PROT_READ);
	CHECK_ERRNO(mprotect(p, 4096, PROT_READ | PROT_WRITE), EACCES);
	destroy('a');
}

/* ------------------------------------------------------------------- life */

CASE("P4", object_outlives_its_maker)
{
	int fd;

	if (child()) {
		*map(make('a', 4096), 4096, PROT_READ | PROT_WRITE) = 'm';
		child_exit();
	}
	fd = shm_open(object('a'), O_RDONLY, 0);
	REQUIRE_OK(fd);
	CHECK_EQ(*map(fd, 4096, PROT_READ), 'm');
	destroy('a');
}

CASE("P4", unlinked_object_stays_where_it_is_mapped)
{
	int fd = make('a', 4096), other;
	char *p = map(fd, 4096, PROT_READ | PROT_WRITE), *q;

	destroy('a');
	*p = 'o';
	CHECK_EQ(stat_of(fd).st_nlink, 0);
	CHECK_ERRNO(shm_open(object('a'), O_RDWR, 0), ENOENT);
	CHECK_ERRNO(shm_unlink(object('a')), ENOENT);

	/* The name is free, and the next one is another object. */
	other = make('a', 4096);
	q = map(other, 4096, PROT_READ);
	CHECK_EQ(*q, 0);
	CHECK_EQ(*p, 'o');
	CHECK_OK(close(fd));
	CHECK_EQ(*p, 'o');
	destroy('a');
}

CASE("P4", mapping_is_shared_with_a_child)
{
	char *p = map(make('a', 4096), 4096, PROT_READ | PROT_WRITE);

	destroy('a');
	if (child()) {
		*p = 'c';
		child_exit();
	}
	CHECK_EQ(*p, 'c');
}

CASE("P4", mapping_is_shared_by_name)
{
	char *p = map(make('a', 4096), 4096, PROT_READ | PROT_WRITE);
	struct peer peer;
	char *q;

	*p = 'p';
	if (peer_start(&peer)) {
		q = map(shm_open(object('a'), O_RDWR, 0), 4096,
			PROT_READ | PROT_WRITE);
		CHECK_EQ(*q, 'p');
		*q = 'q';
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_EQ(*q, 'r');
		child_exit();
	}
	peer_hear(&peer);
	CHECK_EQ(*p, 'q');
	*p = 'r';
	peer_say(&peer);
	peer_join(&peer);
	destroy('a');
}

PROGRAM(looks)
{
	int fd = argc > 1 ? shm_open(argv[1], O_RDWR, 0) : -1;
	char c;

	return fd >= 0 && pread(fd, &c, 1, 9) == 1 && c == 'x' &&
			       fcntl(atoi(argv[2]), F_GETFD) < 0
		       ? 0
		       : 1;
}

CASE("P4", name_outlives_exec_and_the_descriptor_does_not)
{
	int fd = make('a', 10);
	char number[20];

	CHECK_EQ(pwrite(fd, "x", 1, 9), 1);
	CHECK_EQ(dup2(fd, 700), 700);
	CHECK_OK(fcntl(700, F_SETFD, FD_CLOEXEC));
	snprintf(number, sizeof(number), "%d", 700);
	if (child())
		check_exec("looks", object('a'), number);
	destroy('a');
}

/* For command.sh: an object of that many bytes, none of them missing. */
PROGRAM(makes)
{
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	int fd = argc > 2 ? shm_open(argv[1], NEW, 0640) : -1;

	if (fd < 0 || posix_fallocate(fd, 0, (off_t)size) != 0) {
		perror("shm_open");
		return 1;
	}
	return 0;
}

CASE("P4", one_of_many_makers_makes_it)
{
	int won[2], n = 0;
	char c;

	MUST(pipe(won) == 0);
	for (int i = 0; i < 8; i++)
		if (fork() == 0) {
			if (shm_open(object('a'), NEW, 0600) >= 0)
				(void)!write(won[1], "!", 1);
			else
				CHECK_EQ(errno, EEXIST);
			_exit(0);
		}
	close(won[1]);
	while (read(won[0], &c, 1) == 1)
		n++;
	CHECK_EQ(n, 1);
	destroy('a');
}

/* ----------------------------------------------------------------- memory */

CASE("P5", its_length_is_set_by_ftruncate)
{
	int fd = make('a', 100);
	char *p = map(fd, 8192, PROT_READ | PROT_WRITE);
	struct rlimit core = { 0, 0 };
	int status;
	pid_t pid;

	memset(p, 'x', 4096); /* up to the end of the page */
	CHECK_EQ(stat_of(fd).st_size, 100);
	CHECK_OK(ftruncate(fd, 50));
	CHECK_OK(ftruncate(fd, 4096));
	CHECK_EQ(p[49], 'x');
	CHECK_EQ(p[50], 0);
	CHECK_EQ(p[4095], 0);

	setrlimit(RLIMIT_CORE, &core);
	pid = fork();
	if (pid == 0) {
		signal(SIGBUS, SIG_DFL);
		p[4096] = 'y';
		_exit(0);
	}
	status = wait_status(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK_OK(ftruncate(fd, 8192));
	p[4096] = 'y';
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	destroy('a');
}

CASE("P5", it_can_be_read_and_written_beside_its_mapping)
{
	int fd = make('a', 4096);
	char *p = map(fd, 4096, PROT_READ | PROT_WRITE), c = 0;

	CHECK_EQ(pwrite(fd, "w", 1, 4000), 1);
	CHECK_EQ(p[4000], 'w');
	p[4001] = 'm';
	CHECK_EQ(pread(fd, &c, 1, 4001), 1);
	CHECK_EQ(c, 'm');
	CHECK_EQ(pwrite(fd, "e", 1, 9999), 1);
	CHECK_EQ(stat_of(fd).st_size, 10000);
	destroy('a');
}
