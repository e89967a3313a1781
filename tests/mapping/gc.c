/* SPDX-License-Identifier: MIT */
/*
 * What `ushm gc` does with objects that killed programs have left. Each case
 * has a /dev/shm of its own: all that is there is looked at.
 */
#include "mapping.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "backing/object.h"
#include "base/sys.h"
#include "ushm.h"

#define MANY (8 * PAGE)

static void own(void)
{
	own_dev_shm("mode=1777");
	unsetenv("USHM_DIR");
}

/* How many names of objects there are. */
static int names(void)
{
	DIR *dir = opendir("/dev/shm");
	struct dirent *d;
	int n = 0;

	REQUIRE(dir);
	while ((d = readdir(dir)))
		n += strncmp(d->d_name, "ushm-file.", 10) == 0;
	closedir(dir);
	return n;
}

/* A process stores '!' into the first 'pages' pages, and is killed. */
static void leave(const char *name, int pages, unsigned options)
{
	struct peer peer;

	if (peer_start(&peer)) {
		int fd = open(work_path(name), O_RDWR);
		void *p = NULL;

		REQUIRE(ushm_map(NULL, MANY, RW, MAP_SHARED, fd, 0, options,
				 &p) == 0);
		for (int i = 0; i < pages; i++)
			((char *)p)[i * PAGE] = '!';
		peer_say(&peer);
		peer_hear(&peer);
	}
	peer_hear(&peer);
	peer_kill(&peer);
}

/* What was said of objects. */
static struct {
	int n;
	enum ushm_fate fate; /* of the last */
	char text[5000];
	uint64_t bytes;
} said;

static void on_finding(void *arg, const struct ushm_finding *f)
{
	(void)arg;
	if (strcmp(f->code, "object") != 0)
		return;
	said.n++;
	said.fate = f->fate;
	said.bytes = f->bytes;
	snprintf(said.text, sizeof(said.text), "%s", f->text);
}

static void collect(unsigned flags)
{
	said.n = 0;
	said.fate = USHM_NOTED;
	said.text[0] = '\0';
	/* There is no namespace. */
	CHECK_EQ(ushm_collect(NULL, flags, on_finding, NULL, NULL), -ENOENT);
}

static bool says(const char *words)
{
	return strstr(said.text, words);
}

static void rename_file(const char *from, const char *to)
{
	char old[200];

	strcpy(old, work_path(from));
	REQUIRE(rename(old, work_path(to)) == 0);
}

/* The object's header, to write into. */
static struct object_header *header_of(int fd)
{
	struct sys_identity id = { 0 };
	char path[100];
	void *p;
	int ctl;

	REQUIRE(sys_identity(fd, "", AT_EMPTY_PATH, &id) == 0);
	snprintf(path, sizeof(path), "/dev/shm/ushm-file.%llx-%llx.ctl",
		 (unsigned long long)id.dev, (unsigned long long)id.ino);
	ctl = open(path, O_RDWR);
	REQUIRE(ctl >= 0);
	p = mmap(NULL, PAGE, RW, MAP_SHARED, ctl, 0);
	REQUIRE(p != MAP_FAILED);
	close(ctl);
	return p;
}

/* Both files of the object end there. */
static void stretch(int fd, off_t size)
{
	struct sys_identity id = { 0 };
	char path[100];

	REQUIRE(sys_identity(fd, "", AT_EMPTY_PATH, &id) == 0);
	snprintf(path, sizeof(path), "/dev/shm/ushm-file.%llx-%llx.ctl",
		 (unsigned long long)id.dev, (unsigned long long)id.ino);
	CHECK_EQ(truncate(path, size), 0);
	*strrchr(path, '.') = '\0';
	CHECK_EQ(truncate(path, size), 0);
}

CASE("gc", what_a_killed_program_stored_is_written)
{
	int fd = file_of("f", MANY);

	own();
	leave("f", 3, USHM_MAP_OBJECT);
	collect(USHM_DRY_RUN);
	CHECK_EQ(said.n, 1);
	CHECK_EQ(said.fate, USHM_FOUND);
	CHECK(says("/dev/shm/ushm-file.") && !says("0x"));
	CHECK(says("3 pages go to /var/tmp/") && says("/f"));
	CHECK(said.bytes >= 2 * MANY);
	CHECK_EQ(byte_of(fd, 0), pattern(0));
	CHECK_EQ(names(), 2);

	collect(0);
	CHECK_EQ(said.n, 1);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK_EQ(byte_of(fd, 2 * PAGE), '!');
	CHECK_EQ(byte_of(fd, 3 * PAGE), pattern(3 * PAGE));
	CHECK_EQ(names(), 0);
	collect(0);
	CHECK_EQ(said.n, 0);
}

CASE("gc", objects_in_use_are_left_alone)
{
	int fd = file_of("f", MANY);
	char *p;

	own();
	p = share(fd, MANY, RW, 0);
	p[0] = '!';
	if (child()) {
		unmap(p, MANY);
		collect(USHM_FORGET);
		CHECK_EQ(said.n, 0);
		child_exit();
	}
	collect(USHM_FORGET);
	CHECK_EQ(said.n, 0);
	CHECK_EQ(names(), 2);
	CHECK_EQ(unmap(p, MANY), 0);
	CHECK_EQ(byte_of(fd, 0), '!');
	CHECK_EQ(names(), 0);
}

CASE("gc", of_a_named_namespace_is_not_of_the_machine)
{
	file_of("f", MANY);
	own();
	leave("f", 1, USHM_MAP_OBJECT);
	said.n = 0;
	CHECK_EQ(ushm_collect(work_path("none"), 0, on_finding, NULL, NULL),
		 -ENOENT);
	CHECK_EQ(said.n, 0);
	CHECK_EQ(names(), 2);
}

CASE("gc", what_has_lost_its_file_stays_until_it_is_given_up)
{
	int fd = file_of("f", MANY), other;

	own();
	leave("f", 2, USHM_MAP_OBJECT);
	rename_file("f", "g");
	collect(0);
	CHECK_EQ(said.n, 1);
	CHECK_EQ(said.fate, USHM_LEFT);
	CHECK(says("2 pages") && says("/f, which is not there"));
	CHECK_EQ(names(), 2);

	NOTE("another file is there");
	other = file_of("f", MANY);
	collect(0);
	CHECK_EQ(said.fate, USHM_LEFT);
	CHECK_EQ(byte_of(other, 0), pattern(0));

	NOTE("a link to it is there");
	REQUIRE(unlink(work_path("f")) == 0);
	REQUIRE(symlink("g", work_path("f")) == 0);
	collect(0);
	CHECK_EQ(said.fate, USHM_LEFT);
	CHECK_EQ(names(), 2);

	NOTE("given up");
	collect(USHM_FORGET | USHM_DRY_RUN);
	CHECK_EQ(said.fate, USHM_FOUND);
	CHECK_EQ(names(), 2);
	collect(USHM_FORGET);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK_EQ(names(), 0);
	CHECK_EQ(byte_of(fd, 0), pattern(0));
}

CASE("gc", a_file_that_is_back_gets_its_pages)
{
	int fd = file_of("f", MANY);

	own();
	leave("f", 2, USHM_MAP_OBJECT);
	rename_file("f", "g");
	collect(0);
	CHECK_EQ(said.fate, USHM_LEFT);
	rename_file("g", "f");
	collect(USHM_FORGET);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK_EQ(byte_of(fd, PAGE), '!');
	CHECK_EQ(names(), 0);
}

CASE("gc", without_anything_newer_the_file_need_not_be_there)
{
	file_of("f", MANY);
	own();
	leave("f", 0, USHM_MAP_OBJECT);
	REQUIRE(unlink(work_path("f")) == 0);
	collect(0);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK(says("nothing that is newer than"));
	CHECK_EQ(names(), 0);
}

CASE("gc", what_was_not_committed_goes)
{
	int fd = file_of("f", MANY);

	own();
	leave("f", 2, USHM_ATOMIC);
	collect(0);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK_EQ(names(), 0);
	CHECK_EQ(byte_of(fd, 0), pattern(0));
}

CASE("gc", a_page_that_others_changed_is_theirs)
{
	int fd = file_of("f", MANY);

	own();
	leave("f", 3, USHM_MAP_OBJECT);
	REQUIRE(pwrite(fd, "o", 1, PAGE) == 1);
	collect(0);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK(says("1 pages of it were not written"));
	CHECK_EQ(byte_of(fd, 0), '!');
	CHECK_EQ(byte_of(fd, PAGE), 'o');
	CHECK_EQ(names(), 0);
}

CASE("gc", any_path_may_be_in_a_header)
{
	static const char *const paths[] = {
		"",	   "f",		 "/",	 "/dev/null", "/dev/full",
		"/proc/1", "/none/none", "\033", "/var/tmp",
	};
	int fd = file_of("f", MANY);
	struct object_header *h;

	own();
	leave("f", 1, USHM_MAP_OBJECT);
	h = header_of(fd);
	REQUIRE(chdir("/var/tmp") == 0);
	for (size_t i = 0; i < LEN(paths); i++) {
		NOTE("%s", paths[i]);
		strcpy(h->path, paths[i]);
		collect(0);
		CHECK_EQ(said.fate, USHM_LEFT);
		CHECK(!says("\033"));
	}
	NOTE("not an end");
	memset(h->path, '/', sizeof(h->path));
	collect(0);
	CHECK_EQ(said.fate, USHM_LEFT);
	NOTE("a pipe");
	REQUIRE(mkfifo(work_path("pipe"), 0600) == 0);
	strcpy(h->path, work_path("pipe"));
	collect(0);
	CHECK_EQ(said.fate, USHM_LEFT);
	NOTE("the file");
	strcpy(h->path, work_path("f"));
	collect(0);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK_EQ(byte_of(fd, 0), '!');
	CHECK_EQ(names(), 0);
}

CASE("gc", any_bytes_may_be_in_a_header)
{
	struct object_header *h;
	int fd = file_of("f", MANY);

	own();
	leave("f", 1, USHM_MAP_OBJECT);
	h = header_of(fd);

	NOTE("of a newer ushm");
	h->version = 2;
	collect(USHM_FORGET);
	CHECK_EQ(said.fate, USHM_NOTED);
	CHECK_EQ(said.n, 1);
	CHECK_EQ(names(), 2);
	h->version = 1;

	NOTE("of another file");
	h->ino++;
	collect(0);
	CHECK_EQ(said.fate, USHM_LEFT);
	h->ino--;

	NOTE("larger than it is");
	h->size = UINT64_MAX;
	collect(USHM_DRY_RUN);
	CHECK_EQ(said.fate, USHM_FOUND);
	CHECK(says("1 pages"));

	NOTE("with a hole in it that memory cannot hold");
	stretch(fd, (off_t)1 << 42);
	collect(USHM_DRY_RUN);
	CHECK_EQ(said.fate, USHM_FOUND);
	CHECK(says("1 pages"));
	CHECK(said.bytes < 1 << 20);

	NOTE("never used");
	h->magic = 0;
	collect(0);
	CHECK_EQ(said.fate, USHM_CORRECTED);
	CHECK_EQ(names(), 0);
	CHECK_EQ(byte_of(fd, 0), pattern(0));
}

CASE_IF("gc", NEEDS_ROOT, other_users_objects_are_left_alone)
{
	int fd = file_of("f", MANY);

	REQUIRE(fchown(fd, 65534, 65534) == 0);
	own();
	leave("f", 1, USHM_MAP_OBJECT);
	collect(USHM_FORGET);
	CHECK_EQ(said.n, 0);
	CHECK_EQ(names(), 2);
}
