/* SPDX-License-Identifier: MIT */
/*
 * What comes back after a reboot, and what does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backing/journal.h"
#include "base/step.h"
#include "store/record.h"
#include "world.h"
#include "kill.h"

/* --------------------------------------------------------- what comes back */

static const struct kind {
	key_t key;
	size_t size;
	int flags;
} kinds[] = {
	{ 0x1001, 1, 0600 },
	{ 0x1002, 4096, 0640 },
	{ IPC_PRIVATE, 100000, 0666 },
	{ -7, 8 << 20, 0400 | SHM_NORESERVE },
	{ 0x1005, 3 << 20, 0600 | SHM_HUGETLB },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct shared {
	struct ushm_segment seg[KINDS];
	int id;
	volatile int go;
	volatile bool looked; /* attached by the test itself ... */
	bool crowd;	      /* ... several times at once */
} * shared;

static char *attach(ushm_space *sp, int id)
{
	void *p = NULL;

	CHECK_EQ(ushm_attach(sp, id, NULL, 0, &p), 0);
	return p;
}

static char letter(size_t i, size_t at)
{
	return (char)('a' + (i * 7 + at / 4096) % 26);
}

static void make_all(void)
{
	ushm_space *sp = world_open();

	for (size_t i = 0; i < KINDS; i++) {
		int id, flags = IPC_CREAT | kinds[i].flags;
		char *p;

		CHECK_EQ(ushm_get(sp, kinds[i].key, kinds[i].size, flags, &id),
			 0);
		p = attach(sp, id);
		/* A hole is left in the large one. */
		for (size_t at = 0; at < kinds[i].size; at++)
			if (at < 200000 || at > 7000000)
				p[at] = letter(i, at);
		if (i % 2)
			CHECK_EQ(ushm_sync_segment(sp, id, 0), 0);
		CHECK_EQ(ushm_detach(sp, p), 0);
		if (i == 1)
			CHECK_EQ(ushm_set(sp, id, getuid(), 1234, 0606), 0);
		CHECK_EQ(ushm_stat(sp, id, &shared->seg[i]), 0);
	}
}

static void find_all(void)
{
	ushm_space *sp = world_open();
	unsigned n = 0;

	for (size_t i = 0; i < KINDS; i++) {
		const struct ushm_segment *was = &shared->seg[i];
		struct ushm_segment is;
		uint32_t cursor = 0;
		char *p;
		int id;

		while (ushm_next(sp, &cursor, &is) == 1 && is.id != was->id)
			;
		CHECK_EQ(is.id, was->id);
		CHECK_EQ(is.key, was->key);
		CHECK_EQ(is.size, was->size);
		CHECK_EQ(is.mode, was->mode);
		CHECK_EQ(is.uid, was->uid);
		CHECK_EQ(is.gid, was->gid);
		CHECK_EQ(is.cuid, was->cuid);
		CHECK_EQ(is.cgid, was->cgid);
		CHECK_EQ(is.ctime, was->ctime);
		CHECK_EQ(is.cpid, was->cpid);
		CHECK((is.lpid == was->lpid && is.atime == was->atime &&
		       is.dtime == was->dtime) ||
		      shared->looked);
		CHECK_EQ(is.flags, was->flags);
		CHECK(is.nattch == 0 || shared->crowd);
		if (was->key) {
			CHECK_EQ(ushm_get(sp, was->key, 0, 0, &id), 0);
			CHECK_EQ(id, was->id);
		}
		p = attach(sp, was->id);
		for (size_t at = 0; at < was->size; at++)
			if (p[at] !=
			    (at < 200000 || at > 7000000 ? letter(i, at) : 0)) {
				FAIL("segment %d differs at %zu", was->id, at);
				break;
			}
		ushm_detach(sp, p);
		n++;
	}
	CHECK_EQ(n, KINDS);
	shared->looked = true;
	CHECK_RIGHT();
}

static void segments_come_back(enum reboot kind)
{
	CHECK_EQ(world_run(make_all), 0);
	for (int i = 0; i < 3; i++) {
		world_reboot(kind);
		CHECK_EQ(world_run(find_all), 0);
	}
}

/* --------------------------------------------------- synced, and not synced */

static void write_and_die(void)
{
	ushm_space *sp = world_open();
	char *p;

	CHECK_EQ(ushm_get(sp, 1, 3 * 4096, IPC_CREAT | 0600, &shared->id), 0);
	p = attach(sp, shared->id);
	strcpy(p, "synced");
	strcpy(p + 8192, "synced too");
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), 0);
	strcpy(p, "lost");
	kill(getpid(), SIGKILL);
}

static const char *expected;

static void read_it(void)
{
	ushm_space *sp = world_open();
	char *p = attach(sp, shared->id);

	if (strcmp(p, expected) != 0 || strcmp(p + 8192, "synced too") != 0)
		FAIL("'%s' instead of '%s'", p, expected);
	ushm_detach(sp, p);
}

/* Killed: as long as the system runs, memory is memory. */
static void unsynced_changes_go_with_the_memory(enum reboot kind)
{
	CHECK_EQ(world_run(write_and_die), -SIGKILL);
	world_reboot(kind);
	expected = kind == REMOVED || kind == OTHER_BOOT ? "synced" : "lost";
	CHECK_EQ(world_run(read_it), 0);
}

/* Who comes next syncs what the killed one had last. */
static void next_call_syncs_what_the_dead_had(enum reboot kind)
{
	CHECK_EQ(world_run(write_and_die), -SIGKILL);
	expected = "lost";
	CHECK_EQ(world_run(read_it), 0);
	world_reboot(kind);
	CHECK_EQ(world_run(read_it), 0);
}

static void write_and_exit(void)
{
	ushm_space *sp = world_open();
	char *p;

	CHECK_EQ(ushm_get(sp, 1, 3 * 4096, IPC_CREAT | 0600, &shared->id), 0);
	p = attach(sp, shared->id);
	strcpy(p, "written at last");
	strcpy(p + 8192, "synced too");
}

static void exit_syncs(enum reboot kind)
{
	CHECK_EQ(world_run(write_and_exit), 0);
	world_reboot(kind);
	expected = "written at last";
	CHECK_EQ(world_run(read_it), 0);
}

/* Parent and child exit in turns: the last of them has it. */
static void fork_and_exit(void)
{
	ushm_space *sp = world_open();
	int pipes[2];
	char *p, c;

	CHECK_EQ(ushm_get(sp, 1, 3 * 4096, IPC_CREAT | 0600, &shared->id), 0);
	p = attach(sp, shared->id);
	CHECK_EQ(pipe(pipes), 0);
	if (fork() == 0) {
		close(pipes[1]);
		(void)!read(pipes[0], &c, 1); /* the parent has gone */
		strcpy(p, "written at last");
		strcpy(p + 8192, "synced too");
		exit(0);
	}
}

static void last_of_relatives_syncs(enum reboot kind)
{
	CHECK_EQ(world_run(fork_and_exit), 0);
	world_wait();
	world_reboot(kind);
	expected = "written at last";
	CHECK_EQ(world_run(read_it), 0);
}

/* Somebody attaches it, writes and is killed, while another one syncs it. */
static void when_compared(const char *name)
{
	if (strcmp(name, "durable: compared") != 0 || shared->go)
		return;
	shared->go = 1;
	while (shared->go != 2)
		usleep(1000);
}

static void sync_slowly(void)
{
	ushm_space *sp = world_open();

	CHECK_EQ(ushm_get(sp, 1, 0, 0, &shared->id), 0);
	ushm_step_hook = when_compared;
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), 0);
	ushm_step_hook = NULL;
}

static void attached_during_a_sync_is_synced_again(enum reboot kind)
{
	ushm_space *sp;
	pid_t pid;

	CHECK_EQ(world_run(write_and_exit), 0);
	pid = fork();
	if (pid == 0) {
		sp = world_open();
		while (shared->go != 1)
			usleep(1000);
		strcpy(attach(sp, shared->id), "written meanwhile");
		shared->go = 2;
		kill(getpid(), SIGKILL);
	}
	CHECK_EQ(world_run(sync_slowly), 0);
	waitpid(pid, NULL, 0);
	expected = "written meanwhile";
	CHECK_EQ(world_run(read_it), 0); /* sweeps, and syncs */
	world_reboot(kind);
	CHECK_EQ(world_run(read_it), 0);
}

/* A writer who never stops: whole pages, some of them. */
static void sync_while_others_write(enum reboot kind)
{
	struct ushm_durability d;
	volatile uint64_t *p;
	ushm_space *sp;
	pid_t pid = fork();

	if (pid == 0) {
		sp = world_open();
		ushm_get(sp, 1, 64 * 4096, IPC_CREAT | 0600, &shared->id);
		p = (void *)attach(sp, shared->id);
		for (uint64_t n = 1;; n++) {
			for (int i = 0; i < 64; i++)
				p[i * 512] = p[i * 512 + 511] = n;
			shared->go = 1;
		}
	}
	while (!shared->go)
		usleep(1000);
	shared->go = 0;
	if (fork() == 0) {
		sp = world_open();
		for (int i = 0; i < 20; i++)
			CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), 0);
		CHECK_EQ(ushm_durability(sp, shared->id, &d), 0);
		CHECK(d.synced != 0 && d.unsynced);
		_exit(0);
	}
	wait(NULL);
	kill(pid, SIGKILL);
	wait(NULL);
	world_reboot(kind);
	if (fork() == 0) {
		sp = world_open();
		p = (void *)attach(sp, shared->id);
		CHECK(p[0] != 0);
		_exit(0);
	}
	wait(NULL);
}

/*
 * Several have it, write, and are killed together. Nobody syncs, but once when
 * all had written 1: that comes back after a reboot, and of the other segment,
 * which was never synced, zeros. Both are as they were made.
 */
#define WRITERS 4

_Noreturn static void write_for_ever(int me)
{
	ushm_space *sp = world_open();
	volatile uint64_t *p[2];

	for (int i = 0; i < 2; i++)
		p[i] = (void *)(attach(sp, shared->seg[i].id) + me * 4096);
	for (uint64_t n = 1;; n++) {
		for (int i = 0; i < 1024; i++)
			p[i % 2][i / 2] = n;
		if (n > 1)
			continue;
		__sync_fetch_and_add(&shared->go, 1);
		while (shared->go <= WRITERS)
			usleep(1000);
	}
}

static void make_writers(void)
{
	ushm_space *sp = world_open();

	for (int i = 0; i < 2; i++) {
		int id, flags = IPC_CREAT | (i ? 0640 : 0604);

		CHECK_EQ(ushm_get(sp, 7 + i, WRITERS * 4096 - 5, flags, &id),
			 0);
		CHECK_EQ(ushm_stat(sp, id, &shared->seg[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0)
			write_for_ever(i);
	while (shared->go < WRITERS)
		usleep(1000);
	CHECK_EQ(ushm_sync_segment(sp, shared->seg[0].id, 0), 0);
	__sync_fetch_and_add(&shared->go, 1);
	usleep(20000);
	kill(0, SIGKILL);
}

static void find_what_writers_left(void)
{
	ushm_space *sp = world_open();

	for (int i = 0; i < 2; i++) {
		const struct ushm_segment *was = &shared->seg[i];
		struct ushm_segment is;
		uint64_t *p;
		int id;

		CHECK_EQ(ushm_get(sp, 7 + i, 0, 0, &id), 0);
		CHECK_EQ(id, was->id);
		CHECK_EQ(ushm_stat(sp, id, &is), 0);
		CHECK_EQ(is.size, was->size);
		CHECK_EQ(is.mode, was->mode);
		CHECK_EQ(is.uid, was->uid);
		CHECK_EQ(is.ctime, was->ctime);
		CHECK_EQ(is.cpid, was->cpid);
		CHECK_EQ(is.nattch, 0);
		p = (void *)attach(sp, id);
		for (int at = 0; at < WRITERS * 512; at++) {
			if (shared->looked) /* the memory was there still */
				CHECK(p[at] >= 1);
			else
				CHECK_EQ(p[at], 1 - i);
		}
		CHECK_EQ(ushm_detach(sp, p), 0);
	}
	CHECK_RIGHT();
}

static void run_writers(void)
{
	(void)setpgid(0, 0);
	make_writers();
}

static void writers_are_killed_and_nobody_syncs(enum reboot kind)
{
	CHECK_EQ(world_run(run_writers), -SIGKILL);
	world_wait();
	world_reboot(kind);
	shared->looked = kind == TORN || kind == NOT_AT_ALL;
	CHECK_EQ(world_run(find_what_writers_left), 0);
}

/* ---------------------------------------------------------------- removal */

static void remove_two(void)
{
	ushm_space *sp = world_open();
	int id;
	char *p;

	CHECK_EQ(ushm_get(sp, 1, 4096, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_get(sp, 2, 4096, IPC_CREAT | 0600, &shared->id), 0);
	CHECK_EQ(ushm_remove(sp, id), 0);
	p = attach(sp, shared->id);
	*p = 1;
	CHECK_EQ(ushm_remove(sp, shared->id), 0);
	CHECK_EQ(world_count("*.record"), 0);
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), -EIDRM);
	CHECK_EQ(ushm_set(sp, shared->id, getuid(), getgid(), 0600), 0);
	CHECK_EQ(world_count("*.record"), 0);
	kill(getpid(), SIGKILL);
}

static void find_none(void)
{
	ushm_space *sp = world_open();
	struct ushm_segment seg;
	uint32_t cursor = 0;
	int id;

	CHECK_EQ(ushm_next(sp, &cursor, &seg), 0);
	CHECK_EQ(ushm_get(sp, 2, 0, 0, &id), -ENOENT);
	CHECK_EQ(world_count("seg.*"), 0);
	CHECK_RIGHT();
}

static void removed_ones_stay_away(enum reboot kind)
{
	CHECK_EQ(world_run(remove_two), -SIGKILL);
	world_reboot(kind);
	CHECK_EQ(world_run(find_none), 0);
}

static void when_compared_linger(const char *name)
{
	when_compared(name);
	if (strcmp(name, "durable: compared") == 0)
		usleep(50000);
}

static void sync_what_goes(void)
{
	ushm_space *sp = world_open();
	int r;

	while (!shared->looked)
		usleep(1000);
	ushm_step_hook = when_compared_linger;
	r = ushm_sync_segment(sp, shared->id, 0);
	ushm_step_hook = NULL;
	CHECK(r == -EINVAL || r == -EIDRM);
}

static void removed_during_a_sync_it_leaves_nothing(enum reboot kind)
{
	ushm_space *sp;
	pid_t pid;
	char *p;

	CHECK_EQ(world_run(write_and_exit), 0);
	pid = fork();
	if (pid == 0) {
		sp = world_open();
		p = attach(sp, shared->id);
		strcpy(p, "never to be seen");
		shared->looked = true;
		while (shared->go != 1)
			usleep(1000);
		shared->go = 2;
		CHECK_EQ(ushm_remove(sp, shared->id), 0);
		CHECK_EQ(ushm_detach(sp, p), 0);
		exit(0);
	}
	CHECK_EQ(world_run(sync_what_goes), 0);
	waitpid(pid, NULL, 0);
	CHECK_EQ(world_run(find_none), 0);
	world_reboot(kind);
	CHECK_EQ(world_run(find_none), 0);
}

/* ------------------------------------------------------------ ids, limits */

static void make_ids(void)
{
	ushm_space *sp = world_open();
	int id, before = -1;

	/* Index 0 twice: its id has a sequence. */
	CHECK_EQ(ushm_limit_set(sp, USHM_SHM_NEXT_ID, 5 + (3 << 15)), 0);
	CHECK_EQ(ushm_get(sp, 9, 4096, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(id, 5 + (3 << 15));
	/* The last sequence, which none but this way gives. */
	CHECK_EQ(ushm_limit_set(sp, USHM_SHM_NEXT_ID, 20 + (65535 << 15)), 0);
	CHECK_EQ(ushm_get(sp, 10, 4096, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(id, 20 + (65535 << 15));
	for (int i = 0; i < 6; i++)
		CHECK_EQ(ushm_get(sp, i + 20, 1, IPC_CREAT | 0600, &before), 0);
	shared->id = before;
	CHECK_EQ(ushm_limit_set(sp, USHM_SHMMAX, 12345678), 0);
	CHECK_EQ(ushm_limit_set(sp, USHM_SHMMNI, 77), 0);
	CHECK_EQ(ushm_limit_set(sp, USHM_SHMMNI, 1 << 30), -EINVAL);
}

static void go_on_with_ids(void)
{
	ushm_space *sp = world_open();
	uint64_t value;
	int id;

	CHECK_EQ(ushm_get(sp, 9, 0, 0, &id), 0);
	CHECK_EQ(id, 5 + (3 << 15));
	CHECK_EQ(ushm_get(sp, 10, 0, 0, &id), 0);
	CHECK_EQ(id, 20 + (65535 << 15));
	CHECK_EQ(ushm_get(sp, 25, 0, 0, &id), 0);
	CHECK_EQ(id, shared->id);
	CHECK_EQ(ushm_get(sp, 99, 1, IPC_CREAT | 0600, &id), 0);
	CHECK(id > shared->id && id != 5 + (3 << 15));
	CHECK_EQ(ushm_remove(sp, id), 0);
	CHECK_EQ(ushm_limit_get(sp, USHM_SHMMAX, &value), 0);
	CHECK_EQ(value, 12345678);
	CHECK_EQ(ushm_limit_get(sp, USHM_SHMMNI, &value), 0);
	CHECK_EQ(value, 77);
	CHECK_RIGHT();
}

static void ids_and_limits_stay(enum reboot kind)
{
	CHECK_EQ(world_run(make_ids), 0);
	world_reboot(kind);
	CHECK_EQ(world_run(go_on_with_ids), 0);
}

/* shm_rmid_forced: who is gone has no segments, after a reboot nobody is. */
static void make_forced(void)
{
	ushm_space *sp = world_open();
	int id;

	CHECK_EQ(ushm_get(sp, 1, 4096, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_limit_set(sp, USHM_SHM_RMID_FORCED, 1), 0);
	CHECK_EQ(ushm_get(sp, 1, 0, 0, &id), 0);
}

static void forced_ones_go_with_their_users(enum reboot kind)
{
	CHECK_EQ(world_run(make_forced), 0);
	world_reboot(kind);
	CHECK_EQ(world_run(find_none), 0);
}

/* ----------------------------------------------------------- many openers */

#define OPENERS 8

static void many_openers_restore_once(enum reboot kind)
{
	CHECK_EQ(world_run(make_all), 0);
	shared->looked = shared->crowd = true;
	for (int round = 0; round < 5; round++) {
		world_reboot(kind);
		shared->go = 0;
		for (int i = 0; i < OPENERS; i++)
			if (fork() == 0) {
				(void)world_open();
				__sync_fetch_and_add(&shared->go, 1);
				/* None goes before all have it open. */
				for (int n = 0;
				     shared->go < OPENERS && n < 3000; n++)
					usleep(1000);
				find_all();
				_exit(0);
			}
		while (wait(NULL) > 0)
			;
	}
}

static void hold_open(void)
{
	ushm_space *sp = world_open();

	(void)sp;
	shared->go = 1;
	pause();
}

static int try_open(void)
{
	struct ushm_problem problem = { 0 };
	ushm_space *sp;
	int r = ushm_open(world_dir, 0, NULL, &sp, &problem);

	if (r == 0)
		ushm_close(sp);
	return -r;
}

static void try_to_open(void)
{
	_exit(try_open());
}

/* The working directory is gone, but not its users. */
static void users_without_directory_keep_others_out(enum reboot kind)
{
	pid_t pid;

	(void)kind;
	CHECK_EQ(world_run(make_all), 0);
	shared->go = 0;
	pid = fork();
	if (pid == 0)
		hold_open();
	while (!shared->go)
		usleep(1000);
	world_in_use = true;
	world_reboot(REMOVED);
	world_in_use = false;
	CHECK_EQ(world_run(try_to_open), EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_EQ(world_run(find_all), 0);
}

/* In another mount namespace, with a /dev/shm of its own. */
static void open_elsewhere(void)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev/shm", "tmpfs", 0, "size=64m") < 0)
		_exit(77);
	_exit(try_open());
}

static void other_shm_is_refused_while_in_use(enum reboot kind)
{
	int status;
	pid_t pid;

	(void)kind;
	CHECK_EQ(world_run(make_all), 0);
	shared->go = 0;
	pid = fork();
	if (pid == 0)
		hold_open();
	while (!shared->go)
		usleep(1000);
	status = world_run(open_elsewhere);
	if (status == 77)
		printf("skipped: no mount namespace to be had\n");
	else
		CHECK_EQ(status, EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (status != 77)
		CHECK_EQ(world_run(open_elsewhere), 0);
	/* What was in our /dev/shm is stale now, and is not used. */
	CHECK_EQ(world_run(find_all), 0);
}

static void make_a_large_one(void)
{
	ushm_space *sp = world_open();
	int id;

	CHECK_EQ(ushm_get(sp, 1, 32 << 20, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_get(sp, 2, 32 << 20, IPC_CREAT | SHM_NORESERVE | 0600,
			  &id),
		 0);
}

/* As shmget() has it: what may be stored into later has room. */
static void open_in(const char *room)
{
	ushm_space *sp;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev/shm", "tmpfs", 0, room) < 0)
		_exit(77);
	if (try_open() != 0)
		_exit(try_open());
	sp = world_open();
	CHECK_EQ(ushm_get(sp, 1, 0, 0, &shared->id), 0);
	memset(attach(sp, shared->id), 1, 32 << 20);
	_exit(0);
}

static void open_in_16m(void)
{
	open_in("size=16m");
}

static void open_in_48m(void)
{
	open_in("size=48m");
}

static void without_room_for_all_it_is_refused(enum reboot kind)
{
	int status;

	(void)kind;
	CHECK_EQ(world_run(make_a_large_one), 0);
	world_reboot(REMOVED);
	status = world_run(open_in_16m);
	if (status == 77) {
		printf("skipped: no mount namespace to be had\n");
		return;
	}
	CHECK_EQ(status, ENOSPC);
	CHECK_EQ(world_run(open_in_48m), 0);
}

/* A security module, say. */
static long on_lock(long n, long a, long b)
{
	(void)a;
	return n == SYS_fcntl && b == F_OFD_SETLK ? -EACCES : 0;
}

static void open_without_locks(void)
{
	alarm(10);
	ushm_call_hook = on_lock;
	_exit(try_open());
}

static void forbidden_locks_are_not_waited_for(enum reboot kind)
{
	(void)kind;
	CHECK_EQ(world_run(open_without_locks), EACCES);
}

/* ------------------------------------------------------------ other users */

static void open_as_nobody(void)
{
	if (setgid(65534) < 0 || setuid(65534) < 0)
		_exit(77);
	_exit(try_open());
}

static void open_the_work(void)
{
	struct ushm_problem problem;
	char name[300] = "";
	ushm_space *sp;
	FILE *f;

	sp = world_open(); /* so that it is there */
	snprintf(name, sizeof(name),
		 "ls -d /dev/shm/ushm-durable-*-$(printf %%x $(stat -c %%i "
		 "%s))-*",
		 world_dir);
	f = popen(name, "r");
	if (!f || !fgets(name, sizeof(name), f))
		FAIL("no working directory");
	pclose(f);
	name[strcspn(name, "\n")] = '\0';
	CHECK_EQ(ushm_open(name, 0, NULL, &sp, &problem), -EPROTO);
	_exit(0);
}

static void other_users_and_doors_are_refused(enum reboot kind)
{
	(void)kind;
	if (geteuid() == 0)
		CHECK_EQ(world_run(open_as_nobody), EACCES);
	CHECK_EQ(world_run(open_the_work), 0);
}

static void make_durable_again(void)
{
	struct ushm_problem problem;
	char ordinary[200];
	ushm_space *sp;

	/* It is durable already. */
	CHECK_EQ(ushm_open(world_dir, USHM_CREATE | USHM_DURABLE, NULL, &sp,
			   &problem),
		 0);
	CHECK(strcmp(ushm_dir(sp), world_dir) == 0);
	snprintf(ordinary, sizeof(ordinary), "%s/../ordinary", world_dir);
	CHECK_EQ(ushm_open(ordinary, USHM_CREATE, NULL, &sp, &problem), 0);
	CHECK_EQ(ushm_sync_segment(sp, 0, 0), -EOPNOTSUPP);
	CHECK_EQ(ushm_open(ordinary, USHM_CREATE | USHM_DURABLE, NULL, &sp,
			   &problem),
		 -EEXIST);
}

static void ordinary_ones_stay_ordinary(enum reboot kind)
{
	(void)kind;
	CHECK_EQ(world_run(make_durable_again), 0);
}

/* ---------------------------------------------------------------- no room */

static void sync_without_room(void)
{
	struct rlimit limit = { 8192, 8192 };
	ushm_space *sp = world_open();
	char *p;

	/* Beyond the limit nothing may be written, and no signal kills. */
	CHECK_EQ(ushm_get(sp, 1, 3 * 4096, 0600, &shared->id), 0);
	p = attach(sp, shared->id);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	strcpy(p, "lost");
	strcpy(p + 8192, "lost");
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), -EFBIG);
	kill(getpid(), SIGKILL);
}

static void full_disk_loses_nothing(enum reboot kind)
{
	if (kind == TORN || kind == NOT_AT_ALL)
		return;
	CHECK_EQ(world_run(write_and_die), -SIGKILL);
	world_reboot(kind);
	CHECK_EQ(world_run(sync_without_room), -SIGKILL);
	world_reboot(kind);
	expected = "synced";
	CHECK_EQ(world_run(read_it), 0);
}

/* ushm.h says: memory for the pages that have changed. */
static void sync_with_little_address_space(void)
{
	struct rlimit limit;
	ushm_space *sp = world_open();
	unsigned long pages = 0;
	char *p;
	FILE *f;

	CHECK_EQ(ushm_get(sp, 5, 64 << 20, IPC_CREAT | 0600, &shared->id), 0);
	p = attach(sp, shared->id);
	for (size_t at = 0; at < 4 << 20; at += 2 * 4096)
		p[at] = 1;
	f = fopen("/proc/self/statm", "r");
	CHECK(f && fscanf(f, "%lu", &pages) == 1);
	limit.rlim_cur = limit.rlim_max = (pages << 12) + (16 << 20);
	CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), 0);
	for (size_t at = 0; at < 4 << 20; at += 4096)
		p[at] = 2;
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), 0);
	kill(getpid(), SIGKILL);
}

static void read_what_that_was(void)
{
	char *p = attach(world_open(), shared->id);

	for (size_t at = 0; at < 64 << 20; at += 4096)
		if (p[at] != (at < 4 << 20 ? 2 : 0)) {
			FAIL("%d at %zu", p[at], at);
			break;
		}
}

static void large_ones_are_synced_in_little_room(enum reboot kind)
{
	CHECK_EQ(world_run(sync_with_little_address_space), -SIGKILL);
	world_reboot(kind);
	CHECK_EQ(world_run(read_what_that_was), 0);
}

/* The disk cannot read the old contents any more: the new ones it can write. */
static int unreadable;

static long on_read(long n, long a, long b)
{
	char link[64], path[256];
	ssize_t length;

	(void)b;
	if (n != SYS_pread64)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%ld", a);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = '\0';
	if (!strstr(path, ".data") || unreadable-- <= 0)
		return 0;
	return -EIO;
}

static void sync_what_is_unreadable(void)
{
	ushm_space *sp = world_open();
	char *p;

	CHECK_EQ(ushm_get(sp, 1, 0, 0, &shared->id), 0);
	p = attach(sp, shared->id);
	strcpy(p, "written anew");
	unreadable = 1;
	ushm_call_hook = on_read;
	CHECK_EQ(ushm_sync_segment(sp, shared->id, 0), 0);
	CHECK_EQ(unreadable, 0);
	kill(getpid(), SIGKILL);
}

static void what_cannot_be_read_is_written(enum reboot kind)
{
	CHECK_EQ(world_run(write_and_exit), 0);
	CHECK_EQ(world_run(sync_what_is_unreadable), -SIGKILL);
	world_reboot(kind);
	expected = "written anew";
	CHECK_EQ(world_run(read_it), 0);
}

/* ------------------------------------------------------------------ damage */

static void make_two(void)
{
	ushm_space *sp = world_open();
	int id;

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(ushm_get(sp, 1 + i, 4096, IPC_CREAT | 0600, &id), 0);
		CHECK_EQ(id, i);
	}
}

static void repair(void)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	unsigned n = 0;
	ushm_space *sp;

	CHECK((world_check(0) & USHM_CHECK_LEFT) != 0);
	CHECK((world_check(USHM_REPAIR) & USHM_CHECK_CORRECTED) != 0);
	sp = world_open();
	while (ushm_next(sp, &cursor, &seg) == 1)
		n++;
	CHECK(n == 1 || n == 2);
	CHECK_RIGHT();
}

/* Record 1 says that it is 'id' with key 'key', and has such a name. */
static void falsify(int id, int32_t key)
{
	int dir = open(world_dir, O_RDONLY | O_DIRECTORY);
	char name[RECORD_NAME], data[RECORD_NAME];
	struct record_segment s;

	CHECK_EQ(record_read(dir, "seg.1.record", RECORD_SEGMENT, &s.head,
			     sizeof(s)),
		 0);
	CHECK_EQ(unlinkat(dir, "seg.1.record", 0), 0);
	s.id = id;
	s.key = key;
	record_segment_name(id, "record", name);
	record_segment_name(id, "data", data);
	CHECK_EQ(record_write(dir, name, RECORD_SEGMENT, &s.head, sizeof(s)),
		 0);
	CHECK_EQ(renameat(dir, "seg.1.data", dir, data), 0);
	close(dir);
}

/* More segments than the namespace may have; and they are whole. */
static void falsify_limits(void)
{
	struct record_limits l = { .shmmax = 1,
				   .shmall = 1,
				   .shmmni = 1 << 20 };
	int dir = open(world_dir, O_RDONLY | O_DIRECTORY);

	CHECK_EQ(record_write(dir, "limits", RECORD_LIMITS, &l.head, sizeof(l)),
		 0);
	close(dir);
}

static void die_when_full(const char *step)
{
	if (strcmp(step, "journal: full on the disk") == 0)
		kill(getpid(), SIGKILL);
}

/* The journal of segment 1 is that of a commit to a file of another size. */
static void commit_elsewhere_and_die(void)
{
	int dir = open(world_dir, O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "elsewhere", O_RDWR | O_CREAT, 0600);
	struct journal_place place = { dir, "seg.1.journal", .alone = true };
	struct journal_run run = { 0, "j", 1 };

	CHECK_EQ(unlinkat(dir, "elsewhere", 0), 0);
	CHECK_EQ(ftruncate(fd, 8192), 0);
	ushm_step_hook = die_when_full;
	CHECK_EQ(journal_commit(&place, fd, &run, 1, 8192), 0);
}

static void damaged_ones_are_refused_and_repaired(enum reboot kind)
{
	char data[200];

	(void)kind;
	for (int i = 0; i < 7; i++) {
		world_anew();
		CHECK_EQ(world_run(make_two), 0);
		world_reboot(REMOVED);
		snprintf(data, sizeof(data), "%s/seg.1.data", world_dir);
		if (i == 0)
			falsify(1, 1); /* the key of another */
		else if (i == 1)
			falsify(1 << 15, 2); /* its index */
		else if (i == 2)
			falsify(32767 + (5 << 15), 1); /* far away */
		else if (i == 3)
			unlink(data);
		else if (i == 4)
			falsify_limits();
		else if (i == 5)
			CHECK_EQ(world_run(commit_elsewhere_and_die), -SIGKILL);
		if (i >= 5 && truncate(data, 100) < 0)
			FAIL("cannot be truncated");
		/* Which would be done with the journal then. */
		if (i != 5)
			CHECK_EQ(world_run(try_to_open), EPROTO);
		CHECK_EQ(world_run(repair), 0);
	}
}

static void make_for_more(void)
{
	const struct ushm_options options = { .max_segments = 100000 };
	struct ushm_problem problem;
	ushm_space *sp;
	int id;

	CHECK_EQ(ushm_open(world_dir, USHM_CREATE | USHM_DURABLE, &options, &sp,
			   &problem),
		 0);
	CHECK_EQ(ushm_get(sp, 1, 4096, IPC_CREAT | 0600, &id), 0);
	CHECK_EQ(ushm_limit_set(sp, USHM_SHMMAX, 1 << 20), 0);
}

static void repair_the_marker(void)
{
	ushm_space *sp;
	int id;

	for (int i = 0; i < 3; i++)
		(void)world_check(USHM_REPAIR);
	sp = world_open();
	CHECK_EQ(ushm_get(sp, 1, 0, 0, &id), 0);
	CHECK_RIGHT();
}

/* A new one has the standard capacities: the limits may be beyond them. */
static void limits_fit_a_marker_that_was_repaired(enum reboot kind)
{
	char marker[200];

	(void)kind;
	world_nowhere();
	CHECK_EQ(world_run(make_for_more), 0);
	world_reboot(REMOVED);
	snprintf(marker, sizeof(marker), "%s/durable", world_dir);
	CHECK_EQ(truncate(marker, 1), 0);
	CHECK_EQ(world_run(repair_the_marker), 0);
}

static void die_in_commit(const char *name)
{
	if (strcmp(name, "journal: full on the disk") == 0)
		kill(getpid(), SIGKILL);
}

static void sync_halfway(void)
{
	ushm_space *sp = world_open();

	CHECK_EQ(ushm_get(sp, 1, 0, 0, &shared->id), 0);
	strcpy(attach(sp, shared->id), "half");
	ushm_step_hook = die_in_commit;
	(void)ushm_sync_segment(sp, shared->id, 0);
}

/* What the journal has is some pages: the rest of the contents is lost. */
static void journal_is_no_substitute_for_contents(enum reboot kind)
{
	char data[200];

	(void)kind;
	CHECK_EQ(world_run(write_and_exit), 0);
	CHECK_EQ(world_run(sync_halfway), -SIGKILL);
	world_reboot(REMOVED);
	snprintf(data, sizeof(data), "%s/seg.0.data", world_dir);
	CHECK_EQ(truncate(data, 0), 0);
	CHECK_EQ(world_run(try_to_open), EPROTO);
	CHECK_EQ(truncate(data, 3 * 4096L), 0);
	CHECK_EQ(world_run(try_to_open), 0);
}

/* In use, the registry and the memory say what should be on disk. */
static void make_two_and_damage(void)
{
	static const char *const commands[] = {
		"rm %s/seg.0.record",
		"echo >%s/seg.0.record",
		"rm %s/seg.0.data",
		"truncate -s 1 %s/seg.0.data",
		"cp %1$s/seg.1.record %1$s/seg.0.record",
		"touch %s/seg.77.data",
		"cp %1$s/seg.1.record %1$s/seg.78.record",
	};
	ushm_space *sp;
	char *p;

	make_two();
	sp = world_open();
	p = attach(sp, 0);
	strcpy(p, "synced");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char command[600];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(command, sizeof(command), commands[i], world_dir);
#pragma GCC diagnostic pop
		CHECK_EQ(system(command), 0);
		CHECK((world_check(0) & USHM_CHECK_LEFT) != 0);
		CHECK((world_check(USHM_REPAIR) & USHM_CHECK_CORRECTED) != 0);
		CHECK_RIGHT();
	}
	kill(getpid(), SIGKILL);
}

static void read_repaired(void)
{
	ushm_space *sp = world_open();

	CHECK(strcmp(attach(sp, 0), "synced") == 0);
}

static void disk_is_repaired_while_in_use(enum reboot kind)
{
	CHECK_EQ(world_run(make_two_and_damage), -SIGKILL);
	world_reboot(kind);
	CHECK_EQ(world_run(read_repaired), 0);
}

/* ------------------------------------------------------------------ cases */

#define CASE(name)          \
	{                   \
#name, name \
	}
static const struct {
	const char *name;
	void (*run)(enum reboot kind);
} cases[] = {
	CASE(segments_come_back),
	CASE(unsynced_changes_go_with_the_memory),
	CASE(next_call_syncs_what_the_dead_had),
	CASE(exit_syncs),
	CASE(last_of_relatives_syncs),
	CASE(attached_during_a_sync_is_synced_again),
	CASE(sync_while_others_write),
	CASE(writers_are_killed_and_nobody_syncs),
	CASE(removed_ones_stay_away),
	CASE(removed_during_a_sync_it_leaves_nothing),
	CASE(ids_and_limits_stay),
	CASE(forced_ones_go_with_their_users),
	CASE(many_openers_restore_once),
	CASE(users_without_directory_keep_others_out),
	CASE(other_shm_is_refused_while_in_use),
	CASE(without_room_for_all_it_is_refused),
	CASE(forbidden_locks_are_not_waited_for),
	CASE(other_users_and_doors_are_refused),
	CASE(ordinary_ones_stay_ordinary),
	CASE(full_disk_loses_nothing),
	CASE(large_ones_are_synced_in_little_room),
	CASE(what_cannot_be_read_is_written),
	CASE(damaged_ones_are_refused_and_repaired),
	CASE(limits_fit_a_marker_that_was_repaired),
	CASE(journal_is_no_substitute_for_contents),
	CASE(disk_is_repaired_while_in_use),
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void run_cases(const char *only)
{
	char name[200];

	for (size_t i = 0; i < CASES; i++)
		for (int kind = 0; kind < REBOOTS; kind++) {
			int before = *world_failures;

			if (only && strcmp(only, cases[i].name) != 0)
				continue;
			snprintf(name, sizeof(name), "%s (%s)", cases[i].name,
				 reboot_names[kind]);
			world_now = name;
			memset(shared, 0, sizeof(*shared));
			world_anew();
			cases[i].run((enum reboot)kind);
			printf("%s %s\n",
			       *world_failures == before ? "ok" : "FAILED",
			       name);
			fflush(stdout);
		}
}

/* For scripts: of the namespace in 'dir', as its user. */
static int reboot_there(const char *kind, const char *dir)
{
	struct stat st;

	world_here();
	snprintf(world_dir, sizeof(world_dir), "%s", dir);
	if (stat(dir, &st) < 0 || seteuid(st.st_uid) < 0)
		return 1;
	for (int i = 0; i < REBOOTS; i++)
		if (strcmp(kind, reboot_names[i]) == 0) {
			world_reboot((enum reboot)i);
			return *world_failures != 0;
		}
	return 2;
}

int main(int argc, char **argv)
{
	const char *part = argc > 1 ? argv[1] : "cases";
	int r = 0;

	if (strcmp(part, "reboot") == 0)
		return argc == 4 ? reboot_there(argv[2], argv[3]) : 2;
	/* Nobody cuts the power there. */
	if (strcmp(part, "instructions") == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	world_begin();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (strcmp(part, "cases") == 0)
		run_cases(argc > 2 ? argv[2] : NULL);
	else if (strcmp(part, "kill") == 0)
		kill_every_step();
	else if (strcmp(part, "instructions") == 0)
		r = kill_every_instruction(argc > 2 ? (unsigned)atoi(argv[2])
						    : 1);
	else if (strcmp(part, "fail") == 0)
		fail_every_call();
	else if (strcmp(part, "lost") == 0)
		lose_the_disk();
	else if (strcmp(part, "flush") == 0)
		flush_before_return();
	else if (strcmp(part, "bytes") == 0)
		change_every_byte();
	world_end();
	printf("%d failed\n", *world_failures);
	return *world_failures ? 1 : r;
}
