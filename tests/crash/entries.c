/* SPDX-License-Identifier: MIT */
/* Owns the processes that live beside the one that is cut short. */
#include "entries.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/process.h"

#define SIZE  8192
#define LARGE (5 * 4096)
#define CROWD 128 /* process slots that are ready at once */

/* Written as "K"; in the same chain of the key table as 'A'. */
#define SAME_HASH 0x113d4b

const char *entries_dir;

ushm_space *entries_open(void)
{
	static const struct ushm_options small = IMAGE_SHAPE;
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(entries_dir, USHM_CREATE, &small, &sp, &problem) < 0) {
		printf("cannot open: %s\n", problem.text);
		fflush(stdout);
		_exit(2);
	}
	return sp;
}

/* ------------------------------------------------------------ in short */

static int make_sized(ushm_space *sp, int key, size_t size)
{
	int id, r = ushm_get(sp, key, size, IPC_CREAT | 0600, &id);

	return r < 0 ? r : id;
}

static int make(ushm_space *sp, int key)
{
	return make_sized(sp, key, SIZE);
}

static int find(ushm_space *sp, int key)
{
	int id, r = ushm_get(sp, key, 0, 0, &id);

	return r < 0 ? r : id;
}

static void *attach(ushm_space *sp, int key)
{
	void *p = NULL;

	(void)ushm_attach(sp, find(sp, key), NULL, 0, &p);
	return p;
}

/*
 * From here on each change counts. All that is there is a minute old, so that
 * each time that is written is another one.
 */
static void begin(ushm_space *sp)
{
	struct registry *r = &((struct space *)sp)->reg;

	for (uint32_t i = 0; i < r->h->segments.used; i++) {
		r->segments[i].atime -= r->segments[i].atime ? 60 : 0;
		r->segments[i].dtime -= r->segments[i].dtime ? 60 : 0;
		r->segments[i].ctime -= r->segments[i].ctime ? 60 : 0;
	}
	stepper_mark();
}

/* --------------------------------------------------------------- before */

static pid_t bystander;

void entries_after(void)
{
	if (bystander && kill(bystander, SIGKILL) == 0)
		waitpid(bystander, NULL, 0);
	bystander = 0;
}

/* Run in a process of its own, until it stops itself or ends. */
static pid_t aside(void (*fn)(ushm_space *sp))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(entries_open());
		_exit(0);
	}
	waitpid(pid, &status, WUNTRACED);
	return pid;
}

static void nothing(ushm_space *sp)
{
	(void)sp;
}

static void before_opened(void)
{
	aside(nothing);
}

static void attach_and_stay(ushm_space *sp)
{
	make(sp, 'A');
	attach(sp, 'A');
	raise(SIGSTOP);
}

/* Segment A, with one attachment that lasts. */
static void before_bystander(void)
{
	bystander = aside(attach_and_stay);
}

static void make_three(ushm_space *sp)
{
	make(sp, 'A');
	make(sp, 'B');
	make(sp, 'C');
}

/* Files of another boot than this one. */
static void before_reboot(void)
{
	const char other[] = "00000000-0000-0000-0000-000000000000";
	char path[100];
	int fd;

	aside(make_three);
	image_registry(entries_dir, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	(void)!pwrite(fd, other, sizeof(other),
		      offsetof(struct layout_header, boot_id));
	close(fd);
}

static void make_and_die(ushm_space *sp)
{
	make(sp, 'A');
	kill(getpid(), SIGKILL);
}

static void before_orphan(void)
{
	aside(make_and_die);
}

/* A twice, B; B is removed. */
static void attach_and_die(ushm_space *sp)
{
	make(sp, 'A');
	make_sized(sp, 'B', LARGE);
	attach(sp, 'A');
	attach(sp, 'B');
	attach(sp, 'A');
	ushm_remove(sp, find(sp, 'B'));
	kill(getpid(), SIGKILL);
}

static void before_corpse(void)
{
	aside(attach_and_die);
}

/* As if in the middle of as many forks as there are slots ready. */
static void fork_and_stay(ushm_space *sp)
{
	struct space *space = (struct space *)sp;
	struct procs_child child;

	make(sp, 'A');
	attach(sp, 'A');
	for (unsigned i = 1; i < CROWD; i++)
		(void)procs_reserve(&space->reg, space_slot(space),
				    (uint32_t)getpid(), &child);
	raise(SIGSTOP);
}

static void before_crowd(void)
{
	bystander = aside(fork_and_stay);
}

static void act_create(void);
static void act_set(void);

/* Somebody dies in the middle of a change, with this many values noted. */
static void die_within(void (*act)(void), uint32_t noted)
{
	static struct stepper s;

	if (stepper_start(&s, entries_dir, act, STEPPER_SELF))
		while (stepper_next(&s) &&
		       image_header(&s.now)->undo_count < noted)
			;
	stepper_end(&s);
}

static void before_half_created(void)
{
	die_within(act_create, 12);
}

static void before_half_set(void)
{
	aside(make_and_die);
	die_within(act_set, 3);
}

/* ------------------------------------------------------------------ acts */

static void act_open(void)
{
	stepper_mark();
	entries_open();
}

static void act_create(void)
{
	ushm_space *sp = entries_open();

	begin(sp);
	make(sp, 'A');
}

/* Chains of the key table that hold another key as well. */
static void act_create_in_chain(void)
{
	ushm_space *sp = entries_open();

	make(sp, SAME_HASH);
	begin(sp);
	make(sp, 'A');
}

static void act_remove_in_chain(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');

	make(sp, SAME_HASH);
	begin(sp);
	ushm_remove(sp, id);
}

static void act_lookup(void)
{
	ushm_space *sp = entries_open();

	make(sp, 'A');
	begin(sp);
	find(sp, 'A');
}

static void act_attach(void)
{
	ushm_space *sp = entries_open();

	begin(sp);
	attach(sp, 'A');
}

static void act_attach_again(void)
{
	ushm_space *sp = entries_open();

	ushm_detach(sp, attach(sp, 'A'));
	begin(sp);
	attach(sp, 'A');
}

static void act_attach_thrice(void)
{
	ushm_space *sp = entries_open();

	ushm_detach(sp, attach(sp, 'A'));
	ushm_detach(sp, attach(sp, 'A'));
	begin(sp);
	attach(sp, 'A');
}

static void act_detach(void)
{
	ushm_space *sp = entries_open();
	void *p = attach(sp, 'A');

	attach(sp, 'A');
	begin(sp);
	ushm_detach(sp, p);
}

/* Over an attachment of the same segment. */
static void act_remap(void)
{
	ushm_space *sp = entries_open();
	void *p = attach(sp, 'A');

	begin(sp);
	ushm_attach(sp, find(sp, 'A'), p, SHM_REMAP, &p);
}

static void act_move(void)
{
	ushm_space *sp = entries_open();
	char *p;

	make_sized(sp, 'B', LARGE);
	p = attach(sp, 'B');
	begin(sp);
	ushm_mremap(p + 4096, 4096, 8192, MREMAP_MAYMOVE);
}

/* The bucket of an address: doc/format.md. */
static uint64_t bucket(const struct registry *r, uint32_t proc, uintptr_t addr)
{
	uint64_t h = (addr >> 12) * UINT64_C(0x9e3779b97f4a7c15) +
		     proc * UINT64_C(0xd6e8feb86659fd93);

	return (h >> 40) & r->addr_mask;
}

/* Attach A once more, to an address that hashes like 'p'. */
static void *attach_like(ushm_space *sp, void *p)
{
	const struct space *space = (const struct space *)sp;
	uint32_t slot = space_slot(space);
	uintptr_t at = (uintptr_t)p, like = bucket(&space->reg, slot, at);
	void *q;

	for (;;) {
		at -= 4 * 4096;
		if (bucket(&space->reg, slot, at) == like &&
		    ushm_attach(sp, find(sp, 'A'), (void *)at, 0, &q) == 0)
			return q;
	}
}

/* Out of the middle of each list, onto a free list that is not empty. */
static void act_detach_middle(void)
{
	ushm_space *sp = entries_open();
	void *before = attach(sp, 'A'), *p = attach(sp, 'A'), *q;

	q = attach_like(sp, p);
	attach_like(sp, q);
	ushm_detach(sp, before);
	begin(sp);
	ushm_detach(sp, q);
}

static void act_split(void)
{
	ushm_space *sp = entries_open();
	char *p;

	make_sized(sp, 'B', LARGE);
	p = attach(sp, 'B');
	begin(sp);
	ushm_munmap(p + 4096, 4096);
}

static void act_detach_pieces(void)
{
	ushm_space *sp = entries_open();
	char *p;

	make_sized(sp, 'B', LARGE);
	p = attach(sp, 'B');
	ushm_munmap(p + 4096, 4096);
	ushm_munmap(p + 3 * 4096, 4096);
	begin(sp);
	ushm_detach(sp, p);
}

static void act_protect(void)
{
	ushm_space *sp = entries_open();
	char *p;

	make_sized(sp, 'B', LARGE);
	p = attach(sp, 'B');
	begin(sp);
	ushm_mprotect(p + 4096, 4096, PROT_READ);
}

static void act_set(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');

	begin(sp);
	ushm_set(sp, id, geteuid(), 1234, 0640);
}

static void act_lock(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');

	begin(sp);
	ushm_lock(sp, id, 1);
}

static void act_unlock(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');

	ushm_lock(sp, id, 1);
	begin(sp);
	ushm_lock(sp, id, 0);
}

static void act_remove(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');

	begin(sp);
	ushm_remove(sp, id);
}

static void act_remove_others(void)
{
	ushm_space *sp = entries_open();
	int id = find(sp, 'A');

	begin(sp);
	ushm_remove(sp, id);
}

static void act_remove_attached(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');
	void *p = attach(sp, 'A');

	begin(sp);
	ushm_remove(sp, id);
	ushm_detach(sp, p);
}

/* A segment of which this process has a handle: its memory is emptied. */
static void act_remove_handle(void)
{
	ushm_space *sp = entries_open();
	int id = make(sp, 'A');

	ushm_detach(sp, attach(sp, 'A'));
	ushm_detach(sp, attach(sp, 'A'));
	begin(sp);
	ushm_remove(sp, id);
}

static void act_limits(void)
{
	ushm_space *sp = entries_open();

	make(sp, 'A');
	begin(sp);
	ushm_limit_set(sp, USHM_SHMMAX, 4096);
	ushm_limit_set(sp, USHM_SHMALL, 1000);
	ushm_limit_set(sp, USHM_SHM_NEXT_ID, 77);
}

static void act_force(void)
{
	ushm_space *sp = entries_open();

	begin(sp);
	ushm_limit_set(sp, USHM_SHM_RMID_FORCED, 1);
}

static ushm_space *attached_to_two(void)
{
	ushm_space *sp = entries_open();

	make(sp, 'A');
	make_sized(sp, 'B', LARGE);
	attach(sp, 'A');
	attach(sp, 'B');
	ushm_remove(sp, find(sp, 'B'));
	return sp;
}

static void act_fork(void)
{
	begin(attached_to_two());
	(void)!fork();
}

/* As the preload does, which knows the child's pid. */
static void act_fork_told(void)
{
	pid_t pid;

	begin(attached_to_two());
	pid = fork();
	if (pid > 0)
		process_forked(pid);
}

/* What was reserved for a child that never came is given back. */
static void act_fork_failed(void)
{
	begin(attached_to_two());
	process_before_fork();
	process_after_fork(-ENOMEM);
}

/* The child is stepped: what fork() does in it, and its first own call. */
static void act_birth(void)
{
	ushm_space *sp = attached_to_two();

	begin(sp);
	if (fork() == 0)
		attach(sp, 'A');
}

/* A child that no fork handler has seen records what it has inherited. */
static void act_clone(void)
{
	ushm_space *sp = attached_to_two();

	begin(sp);
	if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
		find(sp, 'A');
}

static void act_exit(void)
{
	begin(attached_to_two());
	exit(0);
}

static void *make_in_thread(void *arg)
{
	make(arg, 'A');
	return NULL;
}

/* The thread that had locked the life word has ended: lock it again. */
static void act_renew(void)
{
	ushm_space *sp = entries_open();
	pthread_t thread;

	if (pthread_create(&thread, NULL, make_in_thread, sp) != 0)
		_exit(1);
	pthread_join(thread, NULL);
	begin(sp);
	attach(sp, 'A');
}

/* What the next call does for the dead. */
static void act_sweep(void)
{
	ushm_space *sp = entries_open();

	begin(sp);
	find(sp, 'A');
}

/* One attachment more than there are records ready. */
static void act_grow_attaches(void)
{
	ushm_space *sp = entries_open();
	const struct layout_header *h = ((struct space *)sp)->reg.h;

	make(sp, 'A');
	while (h->attaches.used < h->attaches.ready)
		attach(sp, 'A');
	begin(sp);
	attach(sp, 'A');
}

static void act_grow_segments(void)
{
	ushm_space *sp = entries_open();
	const struct layout_header *h = ((struct space *)sp)->reg.h;
	int id;

	while (h->segments.used < h->segments.ready)
		(void)ushm_get(sp, IPC_PRIVATE, 1, 0600, &id);
	begin(sp);
	make(sp, 'A');
}

void entries_repair(void)
{
	ushm_space *sp = entries_open();
	struct ushm_segment seg;
	uint32_t cursor = 0;

	stepper_mark();
	find(sp, 'A');
	while (ushm_next(sp, &cursor, &seg) == 1)
		;
}

/* ------------------------------------------------------------- the table */

#define A(rest)	   "A 8192 " rest
#define B(rest)	   "B 20480 " rest
#define GONE(rest) "- 20480 600D " rest
#define MADE	   A("600 n0 .. -")
#define HELD	   A("600 n1 a. o") /* by the bystander */
#define HELD_TOO   A("600 n1 ad v") /* the other attachment has died */
#define LEFT	   A("600 n0 ad v")
#define NEIGHBOUR  "K 8192 600 n0 .. -"
#define PARENTS	   A("600 n1 a. o") ", " GONE("n1 a. o")
#define CHILDS	   A("600 n1 ad v") ", " GONE("n1 ad v")
#define LIMITS(s)  s " " MADE

/* clang-format off */
const struct entry entries[] = {
	{ "open, new", NULL, act_open, .leftover = true, .outcomes = { "" } },
	{ "open, existing", before_opened, act_open, .outcomes = { "" } },
	{ "open, after a boot", before_reboot, act_open, .leftover = true,
	  .on_disk = true, .outcomes = { "" } },
	{ "create", before_opened, act_create, .outcomes = { "", MADE } },
	{ "create, same hash", before_opened, act_create_in_chain,
	  .outcomes = { NEIGHBOUR, NEIGHBOUR ", " MADE } },
	{ "lookup", NULL, act_lookup, .outcomes = { MADE } },
	{ "attach", before_bystander, act_attach, .living = 1,
	  .outcomes = { HELD, HELD_TOO } },
	{ "attach, second", before_bystander, act_attach_again, .living = 1,
	  .outcomes = { HELD_TOO } },
	{ "attach, third", before_bystander, act_attach_thrice, .living = 1,
	  .outcomes = { HELD_TOO } },
	{ "attach, SHM_REMAP", before_bystander, act_remap, .living = 1,
	  .outcomes = { HELD_TOO } },
	{ "detach", before_bystander, act_detach, .living = 1,
	  .outcomes = { HELD_TOO } },
	{ "detach of the middle", before_bystander, act_detach_middle,
	  .living = 1, .outcomes = { HELD_TOO } },
	{ "detach of pieces", NULL, act_detach_pieces,
	  .outcomes = { B("600 n0 ad v") } },
	{ "munmap of a part", NULL, act_split,
	  .outcomes = { B("600 n0 ad v") } },
	{ "mprotect of a part", NULL, act_protect,
	  .outcomes = { B("600 n0 ad v") } },
	{ "mremap of a part", NULL, act_move,
	  .outcomes = { B("600 n0 ad v") } },
	{ "IPC_SET", NULL, act_set,
	  .outcomes = { MADE, A("640 n0 .. - g1234") } },
	{ "SHM_LOCK", NULL, act_lock,
	  .outcomes = { MADE, A("600L n0 .. -") } },
	{ "SHM_UNLOCK", NULL, act_unlock,
	  .outcomes = { A("600L n0 .. -"), MADE } },
	{ "IPC_RMID", NULL, act_remove, .outcomes = { MADE, "" } },
	{ "IPC_RMID, same hash", NULL, act_remove_in_chain,
	  .outcomes = { MADE ", " NEIGHBOUR, NEIGHBOUR } },
	{ "IPC_RMID, held", before_bystander, act_remove_others, .living = 1,
	  .outcomes = { HELD, "- 8192 600D n1 a. o" } },
	{ "IPC_RMID, detach", NULL, act_remove_attached,
	  .outcomes = { LEFT, "" } },
	{ "IPC_RMID, handle", NULL, act_remove_handle,
	  .outcomes = { LEFT, "" } },
	{ "limits", NULL, act_limits,
	  .outcomes = { MADE, LIMITS("max=4096"), LIMITS("max=4096 all=1000"),
			LIMITS("max=4096 all=1000 next=77") } },
	{ "shm_rmid_forced", before_orphan, act_force,
	  .outcomes = { MADE, "forced" } },
	{ "fork", NULL, act_fork, .slow_repair = true, .outcomes = { LEFT } },
	{ "fork, child lives", NULL, act_fork, .child_lives = true,
	  .outcomes = { LEFT, CHILDS } },
	{ "fork, child's pid", NULL, act_fork_told, .child_lives = true,
	  .outcomes = { LEFT, CHILDS } },
	{ "fork that fails", NULL, act_fork_failed, .slow = true,
	  .outcomes = { LEFT } },
	{ "birth", NULL, act_birth, STEPPER_CHILD, .living = 1,
	  .slow_repair = true, .outcomes = { PARENTS, CHILDS } },
	{ "birth of an orphan", NULL, act_birth, STEPPER_ORPHAN,
	  .slow_repair = true, .outcomes = { A("600 n0 ad o"), LEFT } },
	{ "birth, raw clone", NULL, act_clone, STEPPER_CHILD, .living = 1,
	  .outcomes = { PARENTS, A("600 n1 a. o") ", " GONE("n1 ad v"),
			CHILDS } },
	{ "life word renewed", NULL, act_renew, .outcomes = { MADE, LEFT } },
	{ "exit", NULL, act_exit, .outcomes = { LEFT } },
	{ "sweep", before_corpse, act_sweep,
	  .outcomes = { A("600 n0 ad o") } },
	{ "takeover, create", before_half_created, act_sweep,
	  .outcomes = { "" } },
	{ "takeover, IPC_SET", before_half_set, act_sweep,
	  .outcomes = { MADE } },
	{ "more attachments", NULL, act_grow_attaches, .slow_repair = true,
	  .outcomes = { LEFT } },
	{ "more segments", NULL, act_grow_segments,
	  .outcomes = { "128 others", "128 others " MADE } },
	{ "more processes", before_crowd, act_attach, .living = CROWD,
	  .slow = true, .slow_repair = true, .outcomes = { HELD, HELD_TOO } },
};
/* clang-format on */

const unsigned nentries = sizeof(entries) / sizeof(entries[0]);

/* --------------------------------------------------------------- outcome */

static void limits_write(ushm_space *sp, char *buf, size_t room)
{
	static const struct {
		enum ushm_limit which;
		const char *name;
		uint64_t most; /* shown below that */
	} shown[] = {
		{ USHM_SHMMAX, "max", UINT32_MAX },
		{ USHM_SHMALL, "all", UINT32_MAX },
		{ USHM_SHM_NEXT_ID, "next", UINT32_MAX },
	};
	uint64_t value;

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (ushm_limit_get(sp, shown[i].which, &value) == 0 &&
		    value < shown[i].most)
			snprintf(buf + strlen(buf), room - strlen(buf),
				 "%s=%lu ", shown[i].name,
				 (unsigned long)value);
	if (ushm_limit_get(sp, USHM_SHM_RMID_FORCED, &value) == 0 && value)
		snprintf(buf + strlen(buf), room - strlen(buf), "forced ");
}

static const char *who(pid_t pid, pid_t victim)
{
	return pid == 0 ? "-" : pid == victim ? "v" : "o";
}

static void segment_write(const struct ushm_segment *s, pid_t victim, char *buf,
			  size_t room)
{
	char group[20] = "";

	if (s->gid != getegid())
		snprintf(group, sizeof(group), " g%u", s->gid);
	snprintf(buf, room, "%c %lu %03o%s%s n%lu %c%c %s%s, ",
		 s->key ? s->key & 0xff : '-', (unsigned long)s->size,
		 s->mode & 0777, s->mode & SHM_DEST ? "D" : "",
		 s->mode & SHM_LOCKED ? "L" : "", (unsigned long)s->nattch,
		 s->atime ? 'a' : '.', s->dtime ? 'd' : '.',
		 who(s->lpid, victim), group);
}

void entries_outcome(ushm_space *sp, pid_t victim, char *buf, size_t room)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	unsigned others = 0;
	char list[300] = "";
	size_t used;

	while (ushm_next(sp, &cursor, &seg) == 1) {
		used = strlen(list);
		/* Many of one byte each: to fill the array. */
		if (seg.size == 1 && !seg.key && !seg.nattch)
			others++;
		else
			segment_write(&seg, victim, list + used,
				      sizeof(list) - used);
	}
	*buf = '\0';
	limits_write(sp, buf, room);
	if (others)
		snprintf(buf + strlen(buf), room - strlen(buf), "%u others ",
			 others);
	snprintf(buf + strlen(buf), room - strlen(buf), "%s", list);

	/* Nothing follows the last one. */
	for (used = strlen(buf); used && strchr(" ,", buf[used - 1]);)
		buf[--used] = '\0';
}
