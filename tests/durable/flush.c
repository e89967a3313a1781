/* SPDX-License-Identifier: MIT */
/*
 * Watches what an operation does on disk, call by call, as a disk would that
 * loses whatever was not flushed: each name and each file for itself.
 *
 *   A file is renamed to its place when its bytes are flushed.
 *   A record comes into being when the name of its contents is flushed.
 *   Contents go when the going of their record is flushed.
 *   When the operation returns, nothing is left to lose.
 */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/step.h"
#include "kill.h"
#include "world.h"

#define MOST 32

struct name {
	char name[64];
	ino_t ino;
};

struct listing {
	struct name at[MOST];
	unsigned n;
};

static struct listing flushed; /* the names that a power cut leaves */
static ino_t dirty[MOST];      /* files that have bytes to lose */
static unsigned ndirty, calls;

static void list(struct listing *ret)
{
	DIR *d = opendir(world_dir);
	struct dirent *e;

	ret->n = 0;
	while (d && (e = readdir(d)) && ret->n < MOST) {
		struct name *to = &ret->at[ret->n];

		/* Not of what the journal sees to, nor of what is of no use
		 * after a reboot. */
		if (e->d_name[0] == '.' || strstr(e->d_name, ".new") ||
		    strcmp(e->d_name, "work") == 0 ||
		    strstr(e->d_name, ".journal"))
			continue;
		snprintf(to->name, sizeof(to->name), "%.60s", e->d_name);
		to->ino = e->d_ino;
		ret->n++;
	}
	closedir(d);
}

static const struct name *look_up(const struct listing *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->at[i].name, name) == 0)
			return &l->at[i];
	return NULL;
}

/* Is the name 'name' as it would be after a power cut? */
static bool name_flushed(const struct listing *now, const char *name)
{
	const struct name *a = look_up(now, name), *b = look_up(&flushed, name);

	return a ? b && a->ino == b->ino : !b;
}

static bool is_dirty(ino_t ino)
{
	for (unsigned i = 0; i < ndirty; i++)
		if (dirty[i] == ino)
			return true;
	return false;
}

static void set_dirty(ino_t ino, bool on)
{
	for (unsigned i = 0; i < ndirty; i++)
		if (dirty[i] == ino)
			dirty[i--] = dirty[--ndirty];
	if (on && ndirty < MOST)
		dirty[ndirty++] = ino;
}

/* "seg.3.record" to "seg.3.data"; false if it is no such name. */
static bool sibling(const char *name, const char *from, const char *to,
		    char buf[64])
{
	size_t n = strlen(name), m = strlen(from);

	if (n < m || strcmp(name + n - m, from) != 0)
		return false;
	snprintf(buf, 64, "%.*s%s", (int)(n - m), name, to);
	return true;
}

/* Descriptor 'fd': 1 is the directory, 2 a file in it, else 0. */
static int which(long fd, ino_t *ret)
{
	char link[64], path[256];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%ld", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || fstat((int)fd, &st) < 0)
		return 0;
	path[n] = '\0';
	*ret = st.st_ino;
	if (strcmp(path, world_dir) == 0)
		return 1;
	return strncmp(path, world_dir, strlen(world_dir)) == 0 &&
			       !strstr(path, ".journal") &&
			       !strstr(path, "/work")
		       ? 2
		       : 0;
}

static void before_rename(const char *from)
{
	char path[400], final[64], data[64];
	struct listing now;
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", world_dir, from);
	if (stat(path, &st) == 0 && is_dirty(st.st_ino))
		FAIL("%s is renamed before it is flushed", from);
	list(&now);
	if (sibling(from, ".new", "", final) &&
	    sibling(final, ".record", ".data", data) &&
	    !name_flushed(&now, data))
		FAIL("%s before the name of %s is flushed", final, data);
}

static void before_unlink(const char *name)
{
	struct listing now;
	char record[64];

	list(&now);
	if (sibling(name, ".data", ".record", record) &&
	    look_up(&flushed, name) && !name_flushed(&now, record))
		FAIL("%s goes before it is flushed that %s went", name, record);
}

static long on_call(long n, long a, long b)
{
	ino_t ino;
	int kind;

	switch (n) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_ftruncate:
		if (which(a, &ino) == 2)
			set_dirty(ino, true);
		break;
	case SYS_fsync:
	case SYS_fdatasync:
		kind = which(a, &ino);
		if (kind == 1)
			list(&flushed);
		else if (kind == 2)
			set_dirty(ino, false);
		calls++;
		break;
	case SYS_renameat2:
		if (which(a, &ino) == 1 && strcmp((char *)b, "work.new") != 0)
			before_rename((char *)b);
		break;
	case SYS_unlinkat:
		if (which(a, &ino) == 1)
			before_unlink((char *)b);
		break;
	default:
		break;
	}
	return 0;
}

static void arm(void)
{
	list(&flushed);
	ndirty = calls = 0;
	ushm_call_hook = on_call;
}

static void done(void)
{
	struct listing now;
	char record[64];

	list(&now);
	for (unsigned i = 0; i < now.n; i++) {
		if (!name_flushed(&now, now.at[i].name))
			FAIL("the name of %s is not flushed", now.at[i].name);
		if (is_dirty(now.at[i].ino))
			FAIL("%s is not flushed", now.at[i].name);
	}
	/* Contents alone may come back: nobody looks at them. */
	for (unsigned i = 0; i < flushed.n; i++)
		if (!look_up(&now, flushed.at[i].name) &&
		    !sibling(flushed.at[i].name, ".data", "", record))
			FAIL("%s may come back", flushed.at[i].name);
	CHECK(calls > 0);
	printf("%u flushes, ", calls);
	fflush(stdout);
}

/* ------------------------------------------------ what others left undone */

static const char *die_at;

static void die_there(const char *name)
{
	if (strcmp(name, die_at) == 0)
		kill(getpid(), SIGKILL);
}

static void create_and_die(void)
{
	ushm_space *sp = world_open();
	int id;

	ushm_step_hook = die_there;
	(void)ushm_get(sp, 7, 4096, IPC_CREAT | 0600, &id);
}

static void create(void)
{
	ushm_space *sp = world_open();
	int id;

	ushm_call_hook = on_call;
	CHECK_EQ(ushm_get(sp, 7, 4096, IPC_CREAT | 0600, &id), 0);
	done();
}

/* A killed process has removed a record, and did not come to flush that: the
 * disk may have it still. */
static void flush_for_the_killed(void)
{
	world_now = "what the killed removed";
	world_anew();
	die_at = "record: in place";
	CHECK_EQ(world_run(create_and_die), -SIGKILL);
	CHECK_EQ(world_count("*.record"), 1);
	list(&flushed);
	die_at = "record: removed";
	CHECK_EQ(world_run(create_and_die), -SIGKILL);
	CHECK_EQ(world_count("*.record"), 0);
	CHECK_EQ(world_run(create), 0);
	printf("%s\n", world_now);
}

static bool parent_flushed;

static long on_parent(long n, long a, long b)
{
	char link[64], path[256];
	ssize_t length;

	(void)b;
	if (n != SYS_fsync)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%ld", a);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = '\0';
	if (strncmp(path, world_dir, strlen(path)) == 0 &&
	    world_dir[strlen(path)] == '/')
		parent_flushed = true;
	return 0;
}

static void make_it(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	ushm_call_hook = on_parent;
	CHECK_EQ(ushm_open(world_dir, USHM_CREATE | USHM_DURABLE, NULL, &sp,
			   &problem),
		 0);
	CHECK(parent_flushed);
}

/* The directory itself has a name too. */
static void flush_the_name_of_a_new_one(void)
{
	world_now = "a new one";
	world_nowhere();
	CHECK_EQ(world_run(make_it), 0);
}

void flush_before_return(void)
{
	kill_begin();
	flush_the_name_of_a_new_one();
	flush_for_the_killed();
	operation_arm = arm;
	operation_done = done;
	for (unsigned i = 0; i < noperations; i++) {
		world_now = operations[i].name;
		operation_done = NULL;
		world_anew();
		CHECK_EQ(world_run(operations[i].prepare), 0);
		operation_done = done;
		world_run(operations[i].act);
		printf("%s\n", operations[i].name);
		fflush(stdout);
	}
}
