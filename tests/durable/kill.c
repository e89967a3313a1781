/* SPDX-License-Identifier: MIT */
/*
 * What is left of an operation that was cut off: by a kill at any of its
 * steps, or instructions, by a system call that failed. And what bytes in the
 * files may be.
 *
 * Each operation makes one state of another. Whatever happens in it, one of
 * the two is there afterwards, in memory and after a reboot; the new one once
 * it has returned; and a check finds nothing wrong.
 */
#include "kill.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/step.h"
#include "crash/kills.h"
#include "store/header.h"
#include "world.h"

#define PAGES 6
#define KEY   0x5eed

/* Of the process that acts. */
static struct acted {
	bool met;      /* it was killed, or a call failed */
	bool returned; /* the operation did ... */
	int result;    /* ... with that */
	char at[64];
} * acted;

static long at, count; /* which step or call, from 1 on */
static int with;       /* errno */

static void on_step(const char *name)
{
	if (++count != at)
		return;
	acted->met = true;
	snprintf(acted->at, sizeof(acted->at), "%s", name);
	kill(getpid(), SIGKILL);
}

/* Those that a full or broken disk, or a full process, makes fail. */
static long on_call(long n, long a, long b)
{
	(void)a;
	(void)b;
	switch (n) {
	case SYS_openat:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_renameat2:
	case SYS_unlinkat:
	case SYS_fchmod:
	case SYS_fcntl:
	case SYS_newfstatat:
	case SYS_statx:
	case SYS_mmap:
		break;
	default:
		return 0;
	}
	/* A lock that cannot be given back is no failure of a disk. */
	if (n == SYS_fcntl && with == ENOSPC)
		return 0;
	if (++count != at)
		return 0;
	acted->met = true;
	snprintf(acted->at, sizeof(acted->at), "system call %ld", n);
	return -with;
}

/* Is it about a file of the directory on disk, or that itself? */
static bool is_on_disk(long n, long a, long b)
{
	bool named = n == SYS_openat || n == SYS_unlinkat ||
		     n == SYS_renameat2 || n == SYS_newfstatat ||
		     n == SYS_statx;
	char link[64], path[256];
	ssize_t length;

	if (named && (int)a == AT_FDCWD)
		return strncmp((char *)b, world_dir, strlen(world_dir)) == 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", (int)a);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = '\0';
	return strncmp(path, world_dir, strlen(world_dir)) == 0;
}

/* From one write or flush on, the disk takes nothing any more. */
static long on_disk_call(long n, long a, long b)
{
	switch (n) {
	case SYS_openat:
	case SYS_write:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_renameat2:
	case SYS_unlinkat:
	case SYS_fchmod:
		break;
	default:
		return 0;
	}
	if (!is_on_disk(n, a, b) || ++count < at)
		return 0;
	acted->met = true;
	return -with;
}

void (*operation_arm)(void), (*operation_done)(void);

static void returned(int r)
{
	if (operation_done)
		operation_done();
	ushm_step_hook = NULL;
	ushm_call_hook = NULL;
	acted->result = r;
	acted->returned = true;
}

static void arm_kill(void)
{
	count = 0;
	ushm_step_hook = on_step;
}

static void arm_failure(void)
{
	count = 0;
	ushm_call_hook = on_call;
}

static void arm_death(void)
{
	count = 0;
	ushm_call_hook = on_disk_call;
}

/* ------------------------------------------------------------- operations */

static char *attach(ushm_space *sp)
{
	void *p = NULL;
	int id;

	CHECK_EQ(ushm_get(sp, KEY, 0, 0, &id), 0);
	CHECK_EQ(ushm_attach(sp, id, NULL, 0, &p), 0);
	return p;
}

static void write_pages(char *p, char letter)
{
	for (int i = 0; i < PAGES; i++)
		memset(p + (size_t)i * 4096, letter, 4096);
}

static int id_of(ushm_space *sp)
{
	int id = -1;

	CHECK_EQ(ushm_get(sp, KEY, 0, 0, &id), 0);
	return id;
}

static void make_none(void)
{
}

static void make_one(void)
{
	ushm_space *sp = world_open();
	char *p;
	int id;

	CHECK_EQ(ushm_get(sp, KEY, PAGES * 4096, IPC_CREAT | 0600, &id), 0);
	p = attach(sp);
	write_pages(p, 'a');
	CHECK_EQ(ushm_detach(sp, p), 0);
}

static void act_create(void)
{
	ushm_space *sp = world_open();
	int id;

	operation_arm();
	returned(ushm_get(sp, KEY, PAGES * 4096, IPC_CREAT | 0600, &id));
}

static void act_set(void)
{
	ushm_space *sp = world_open();
	int id = id_of(sp);

	operation_arm();
	returned(ushm_set(sp, id, getuid(), 1234, 0640));
}

static void act_remove(void)
{
	ushm_space *sp = world_open();
	int id = id_of(sp);

	operation_arm();
	returned(ushm_remove(sp, id));
}

static void act_remove_attached(void)
{
	ushm_space *sp = world_open();
	int id = id_of(sp);

	attach(sp);
	operation_arm();
	returned(ushm_remove(sp, id));
}

static void act_sync(void)
{
	ushm_space *sp = world_open();
	int id = id_of(sp);
	char *p = attach(sp);

	write_pages(p, 'b');
	operation_arm();
	returned(ushm_sync_segment(sp, id, 0));
	_exit(0);
}

static void act_detach(void)
{
	ushm_space *sp = world_open();
	char *p = attach(sp);

	write_pages(p, 'b');
	operation_arm();
	returned(ushm_detach(sp, p));
	_exit(0);
}

/* Another one of the same key. */
static void act_recreate(void)
{
	ushm_space *sp = world_open();
	int id = id_of(sp), r;

	operation_arm();
	r = ushm_remove(sp, id);
	if (r == 0)
		r = ushm_get(sp, KEY, 4096, IPC_CREAT | 0600, &id);
	returned(r);
}

static void act_limits(void)
{
	ushm_space *sp = world_open();

	operation_arm();
	returned(ushm_limit_set(sp, USHM_SHMMAX, 1 << 20));
}

static void act_open(void)
{
	struct ushm_problem problem = { 0 };
	ushm_space *sp;

	operation_arm();
	returned(ushm_open(world_dir, 0, NULL, &sp, &problem));
}

static void make_one_and_reboot(void)
{
	CHECK_EQ(world_run(make_one), 0);
	world_reboot(REMOVED);
}

/* It is killed while it has other contents than are synced. */
static void write_and_be_killed(void)
{
	write_pages(attach(world_open()), 'b');
	kill(getpid(), SIGKILL);
}

static void make_one_and_tear(void)
{
	CHECK_EQ(world_run(make_one), 0);
	CHECK_EQ(world_run(write_and_be_killed), -SIGKILL);
	world_reboot(TORN);
}

const struct operation operations[] = {
	{ "create", make_none, act_create },
	{ "set", make_one, act_set },
	{ "remove", make_one, act_remove },
	{ "remove attached", make_one, act_remove_attached },
	{ "recreate", make_one, act_recreate },
	{ "sync", make_one, act_sync },
	{ "detach", make_one, act_detach },
	{ "limits", make_none, act_limits },
};
const unsigned noperations = sizeof(operations) / sizeof(operations[0]);

/* ---------------------------------------------------------------- verdicts */

enum state { OLD, NEW, NEITHER };

static int find(ushm_space *sp, struct ushm_segment *ret)
{
	int id, r = ushm_get(sp, KEY, 0, 0, &id);

	return r < 0 ? r : ushm_stat(sp, id, ret);
}

static enum state see_existence(ushm_space *sp)
{
	struct ushm_segment seg;
	void *p;

	if (find(sp, &seg) == -ENOENT)
		return OLD;
	if (seg.size != PAGES * 4096 || (seg.mode & 0777) != 0600 ||
	    ushm_attach(sp, seg.id, NULL, 0, &p) < 0)
		return NEITHER;
	for (size_t i = 0; i < seg.size; i++)
		if (((char *)p)[i] != ((char *)p)[0])
			return NEITHER;
	ushm_detach(sp, p);
	return NEW;
}

static enum state see_other(ushm_space *sp)
{
	struct ushm_segment seg;
	void *p;
	int r = find(sp, &seg);

	if (r == -ENOENT || (r == 0 && seg.size == PAGES * 4096))
		return OLD;
	if (r < 0 || seg.size != 4096 ||
	    ushm_attach(sp, seg.id, NULL, 0, &p) < 0)
		return NEITHER;
	for (size_t i = 0; i < seg.size; i++)
		if (((char *)p)[i] != 0)
			return NEITHER;
	ushm_detach(sp, p);
	return NEW;
}

static enum state see_absence(ushm_space *sp)
{
	enum state s = see_existence(sp);

	return s == NEITHER ? s : s == OLD ? NEW : OLD;
}

static enum state see_owner(ushm_space *sp)
{
	struct ushm_segment seg = { 0 };

	if (find(sp, &seg) < 0)
		return NEITHER;
	if (seg.gid == 1234 && seg.mode == 0640)
		return NEW;
	return seg.gid == getgid() && seg.mode == 0600 ? OLD : NEITHER;
}

static enum state see_contents(ushm_space *sp)
{
	char *p = attach(sp), first = p[0];

	for (size_t i = 0; i < (size_t)PAGES * 4096; i++)
		if (p[i] != first)
			return NEITHER;
	ushm_detach(sp, p);
	return first == 'b' ? NEW : first == 'a' ? OLD : NEITHER;
}

static enum state see_limits(ushm_space *sp)
{
	uint64_t value;

	ushm_limit_get(sp, USHM_SHMMAX, &value);
	return value == 1 << 20 ? NEW : value > 1 << 20 ? OLD : NEITHER;
}

enum { MEMORY = 1, LATE = 2 }; /* see struct scenario */

static const struct scenario {
	const char *name;
	void (*prepare)(void);
	void (*act)(void);
	enum state (*see)(ushm_space *sp);
	bool in_memory; /* what it writes to disk is in memory already */
	bool mute;	/* whether that was written it does not return */
	bool new_only;	/* whatever becomes of it, the new state is there */
} scenarios[] = {
	{ "create", make_none, act_create, see_existence, false, false, false },
	{ "set", make_one, act_set, see_owner, false, false, false },
	{ "remove", make_one, act_remove, see_absence, false, false, false },
	{ "remove attached", make_one, act_remove_attached, see_absence, false,
	  false, false },
	{ "recreate", make_one, act_recreate, see_other, false, false, false },
	{ "sync", make_one, act_sync, see_contents, true, false, false },
	{ "detach", make_one, act_detach, see_contents, true, true, false },
	{ "limits", make_none, act_limits, see_limits, false, false, false },
	{ "restore", make_one_and_reboot, act_open, see_existence, false, false,
	  true },
	{ "rescue", make_one_and_tear, act_open, see_contents, true, false,
	  true },
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static const struct scenario *playing;
static enum reboot rebooted;
static bool certain;   /* it is the new state by now */
static bool uncertain; /* whether it failed says nothing */

static void judge(void)
{
	ushm_space *sp = world_open();
	enum state s = playing->see(sp);
	bool must_be_new = certain ||
			   (playing->new_only &&
			    (rebooted == NOT_AT_ALL || !playing->in_memory)) ||
			   (acted->returned && acted->result == 0 &&
			    !playing->mute) ||
			   (playing->in_memory && rebooted == NOT_AT_ALL);

	if (s == NEITHER)
		FAIL("neither the old nor the new state");
	if (s == OLD && must_be_new)
		FAIL("still the old state");
	if (s == NEW && !must_be_new && acted->returned &&
	    !playing->in_memory && !uncertain)
		FAIL("failed with %d, and yet the new state", acted->result);
	CHECK_RIGHT();
	if (rebooted == REMOVED)
		CHECK_EQ(world_count("*.new*"), 0);
	CHECK_EQ(world_count("*.data"), world_count("*.record"));
}

/* The operation can be done now, if it was not. */
static void do_it_again(void)
{
	ushm_space *sp = world_open();
	int id;

	CHECK_EQ(ushm_get(sp, KEY, 4096, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_sync_segment(sp, id, 0), 0);
	CHECK_EQ(ushm_remove(sp, id), 0);
	CHECK_EQ(world_count("seg.*.record"), 0);
	CHECK_RIGHT();
}

static const struct kills_point *point; /* or NULL: at a step or call */

/* False when the operation came through without being cut off. */
static bool play(const struct scenario *s, enum reboot kind)
{
	char name[200];
	bool met;

	playing = s;
	rebooted = kind;
	memset(acted, 0, sizeof(*acted));
	world_now = s->name;
	world_anew();
	CHECK_EQ(world_run(s->prepare), 0);
	if (point) {
		met = kills_at(s->act, point);
		snprintf(acted->at, sizeof(acted->at),
			 "call %ld, instruction %ld", point->calls,
			 point->steps);
	} else {
		world_run(s->act);
		met = acted->met;
	}
	snprintf(name, sizeof(name), "%s, at %ld (%s, errno %d), %s", s->name,
		 at, acted->at, with, reboot_names[kind]);
	world_now = name;
	world_reboot(kind);
	CHECK_EQ(world_run(judge), 0);
	/* And seen to by somebody, it stays as it was. */
	if (met && (!s->in_memory || kind == NOT_AT_ALL)) {
		world_reboot(REMOVED);
		rebooted = REMOVED;
		certain = s->in_memory; /* synced when who judged let go */
		CHECK_EQ(world_run(judge), 0);
		certain = false;
	}
	if (at % 4 == 1)
		CHECK_EQ(world_run(do_it_again), 0);
	return met;
}

void kill_begin(void)
{
	acted = mmap(NULL, sizeof(*acted), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void kill_every_step(void)
{
	kill_begin();
	operation_arm = arm_kill;
	for (size_t i = 0; i < SCENARIOS; i++) {
		for (at = 1; play(&scenarios[i], NOT_AT_ALL); at++)
			(void)play(&scenarios[i], REMOVED);
		printf("%-16s %ld steps\n", scenarios[i].name, at - 1);
		fflush(stdout);
	}
}

/* ------------------------------------------------------ every instruction */

#define MOST 4096

/* What of the registry a change of one segment touches. */
static void watch_registry(struct kills_part parts[4])
{
	static char path[200];
	struct geometry g;

	(void)header_geometry(&(struct registry_shape){ HEADER_SEGMENTS,
							HEADER_PROCS,
							HEADER_ATTACHES },
			      &g);
	world_registry(path, sizeof(path));
	parts[0] = (struct kills_part){ path, 0, 4096 };
	parts[1] = (struct kills_part){ path, g.bitmap.offset, 4096 };
	parts[2] = (struct kills_part){ path, g.segments.offset, 4096 };
	parts[3] = (struct kills_part){ path, g.attaches.offset, 4096 };
}

static long find_points(const struct scenario *s, struct kills_point *ret)
{
	struct kills_part parts[4];

	world_now = s->name;
	world_anew();
	CHECK_EQ(world_run(s->prepare), 0);
	watch_registry(parts);
	return kills_find(s->act, parts, 4, ret, MOST);
}

int kill_every_instruction(unsigned part)
{
	static struct kills_point points[MOST];

	kill_begin();
	operation_arm = kills_mark;
	for (size_t i = 0; i < SCENARIOS; i++) {
		long n = find_points(&scenarios[i], points), done = 0;

		if (n == -1)
			return 77;
		CHECK(n > 20 && n < MOST);
		/* Always the same ones, but not of all scenarios. */
		for (long p = (long)(i % part); p < n; p += part, done++) {
			at = p + 1;
			point = &points[p];
			(void)play(&scenarios[i], NOT_AT_ALL);
			if (!scenarios[i].in_memory || p % 2)
				(void)play(&scenarios[i], REMOVED);
		}
		point = NULL;
		printf("%-16s %ld points, %ld kills\n", scenarios[i].name, n,
		       done);
		fflush(stdout);
	}
	return 0;
}

/* ------------------------------------------------------------ every failure */

void fail_every_call(void)
{
	static const int errors[] = { EIO, ENOSPC, EMFILE };

	kill_begin();
	operation_arm = arm_failure;
	for (size_t i = 0; i < SCENARIOS; i++) {
		for (at = 1;; at++) {
			with = errors[at % 3];
			if (!play(&scenarios[i], at & 1 ? NOT_AT_ALL : REMOVED))
				break;
		}
		printf("%-16s %ld calls\n", scenarios[i].name, at - 1);
		fflush(stdout);
	}
}

/*
 * What a call that failed had written already may be on the disk: nothing could
 * take it back. But whoever opens the namespace finds one of the two states.
 */
void lose_the_disk(void)
{
	kill_begin();
	operation_arm = arm_death;
	uncertain = true;
	for (size_t i = 0; i < SCENARIOS; i++) {
		for (at = 1;; at++) {
			with = at & 2 ? EROFS : EIO;
			if (!play(&scenarios[i], at & 1 ? NOT_AT_ALL : REMOVED))
				break;
		}
		printf("%-16s %ld calls\n", scenarios[i].name, at - 1);
		fflush(stdout);
	}
	uncertain = false;
}

/* ------------------------------------------------------------------- bytes */

static void open_changed(void)
{
	struct ushm_problem problem = { 0 };
	struct ushm_segment seg;
	ushm_space *sp;
	int r = ushm_open(world_dir, 0, NULL, &sp, &problem);

	acted->result = r;
	if (r < 0) {
		/* Nothing is wrong with the rest, and it says so. */
		CHECK(problem.text[0] != 0);
		CHECK((world_check(0) & USHM_CHECK_LEFT) != 0);
		return;
	}
	CHECK_EQ(find(sp, &seg), 0);
	CHECK_EQ(seg.size, PAGES * 4096);
	CHECK_EQ(see_contents(sp), OLD);
}

static void repair_and_open(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	(void)world_check(USHM_REPAIR);
	(void)world_check(USHM_REPAIR);
	CHECK_EQ(ushm_open(world_dir, 0, NULL, &sp, &problem), 0);
	CHECK_RIGHT();
}

static void put_file(const char *name, const char *bytes, size_t size)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		abort();
	close(fd);
}

static void change_file(const char *name)
{
	char path[200], good[512], bad[512];
	unsigned refused = 0, n = 0;
	ssize_t size;
	int fd;

	world_anew();
	CHECK_EQ(world_run(make_one), 0);
	CHECK_EQ(world_run(act_limits), 0);
	world_reboot(REMOVED);
	snprintf(path, sizeof(path), "%s/%s", world_dir, name);
	fd = open(path, O_RDONLY);
	size = read(fd, good, sizeof(good));
	close(fd);
	CHECK(size > 0);

	/* Each bit; then each length. */
	for (ssize_t i = 0; i < size * 9; i++, n++) {
		char what[64];
		size_t length = (size_t)(i < size * 8 ? size : i - size * 8);

		memcpy(bad, good, sizeof(bad));
		if (i < size * 8)
			bad[i / 8] = (char)(bad[i / 8] ^ 1 << i % 8);
		snprintf(what, sizeof(what), "%s, way %zd", name, i);
		world_now = what;
		put_file(name, bad, length);
		CHECK_EQ(world_run(open_changed), 0);
		refused += acted->result < 0;
		if (acted->result < 0 && i % 64 == 3) {
			CHECK_EQ(world_run(repair_and_open), 0);
			world_anew();
			CHECK_EQ(world_run(make_one), 0);
			CHECK_EQ(world_run(act_limits), 0);
		}
		put_file(name, good, (size_t)size);
		world_reboot(REMOVED);
	}
	printf("%-14s %u ways, %u refused\n", name, n, refused);
	/* "work" alone decides nothing. */
	CHECK_EQ(refused, strcmp(name, "work") == 0 ? 0 : n);
}

static void no_hooks(void)
{
}

void change_every_byte(void)
{
	kill_begin();
	operation_arm = no_hooks;
	change_file("durable");
	change_file("work");
	change_file("limits");
	change_file("seg.0.record");
}
