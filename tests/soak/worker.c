/* SPDX-License-Identifier: MIT */
/*
 * What a worker does: calls at random, by the plain names. Built once with the
 * library linked and once to run with the preload.
 *
 * Before each call that attaches or detaches its slot says what may happen,
 * after it what did (truth.c). With several lanes each slot has an address of
 * its own, so that somebody else can tidy up after a thread that was cancelled
 * or did not come along in fork().
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "soak/soak.h"

enum { PAGE = 4096, SIZE = PAGES * PAGE };

struct worker *me;
static char *address[LANES][SLOTS];

/* ------------------------------------------------------------- the calls */

static void begin(int lane, enum call call, uint64_t *ret_start)
{
	store_relaxed(&me->lanes[lane].call, (uint32_t)call);
	*ret_start = now_ns();
}

static void end(int lane, enum call call, uint64_t start)
{
	struct lane *l = &me->lanes[lane];
	uint64_t took = now_ns() - start;

	store_relaxed(&l->call, (uint32_t)CALL_NONE);
	store_relaxed(&l->done[call], l->done[call] + 1);
	if (took > l->worst[call])
		l->worst[call] = took;
}

static int get(int lane, enum call call, key_t key, size_t size, int flags)
{
	uint64_t start;
	int id;

	begin(lane, call, &start);
	id = shmget(key, size, flags);
	end(lane, call, start);
	if (id < 0 && (call == CALL_CREATE || errno != ENOENT))
		fail("shmget: %s", strerror(errno));
	return id;
}

static int lookup(int lane, key_t key)
{
	return get(lane, CALL_LOOKUP, key, 0, 0);
}

/* Anybody may have removed the segment. */
static int control(int lane, enum call call, int id, int command,
		   struct shmid_ds *ds)
{
	uint64_t start;
	int r;

	begin(lane, call, &start);
	r = shmctl(id, command, ds);
	end(lane, call, start);
	if (r < 0 && errno != EINVAL && errno != EIDRM)
		fail("shmctl %d: %s", command, strerror(errno));
	return r;
}

static void attach(int lane, int slot, int id)
{
	uint64_t *word = &me->lanes[lane].held[slot], start;
	char *want = NULL, *p;
	uint32_t seen;

	if (my_kind()->lanes > 1)
		want = (char *)((uintptr_t)0x300000000000 +
				(uintptr_t)(lane * SLOTS + slot) * 2 * SIZE);
	truth_set(word, id, 0, 1);
	begin(lane, CALL_ATTACH, &start);
	p = shmat(id, want, 0);
	end(lane, CALL_ATTACH, start);
	if (p == (void *)-1) {
		if (errno != EINVAL && errno != EIDRM)
			fail("shmat: %s", strerror(errno));
		truth_set(word, 0, 0, 0);
		return;
	}
	address[lane][slot] = p;
	truth_set(word, id, 1, 1);

	/* Is it this segment's memory? */
	seen = load_relaxed((uint32_t *)(void *)p);
	if (seen && seen != (uint32_t)id + 1)
		fail("segment %d has the memory of %d", id, (int)seen - 1);
	store_relaxed((uint32_t *)(void *)p, (uint32_t)id + 1);
	for (int i = 1; i < PAGES; i++)
		p[i * PAGE] = 1;
}

static void detach(int lane, int slot)
{
	uint64_t *word = &me->lanes[lane].held[slot], was = *word, start;
	int r;

	truth_set(word, truth_id(was), 0, truth_high(was));
	begin(lane, CALL_DETACH, &start);
	r = shmdt(address[lane][slot]);
	end(lane, CALL_DETACH, start);
	if (r < 0)
		fail("shmdt: %s, depth %u", strerror(errno), me->depth);
	truth_set(word, 0, 0, 0);
}

/* What has a hole counts twice; for a moment, as on Linux, three times. */
static void split(int lane, int slot)
{
	uint64_t *word = &me->lanes[lane].held[slot], was = *word, start;

	if (truth_low(was) != 1)
		return;
	truth_set(word, truth_id(was), 1, 3);
	begin(lane, CALL_MUNMAP, &start);
	if (munmap(address[lane][slot] + PAGE, PAGE) < 0)
		fail("munmap: %s", strerror(errno));
	end(lane, CALL_MUNMAP, start);
	truth_set(word, truth_id(was), 2, 2);
}

/* Nobody can say how far its thread came. */
void worker_empty_lane(int lane)
{
	for (int s = 0; s < SLOTS; s++) {
		uint64_t *word = &me->lanes[lane].held[s], was = *word;
		char *p = (char *)((uintptr_t)0x300000000000 +
				   (uintptr_t)(lane * SLOTS + s) * 2 * SIZE);

		truth_set(word, truth_id(was), 0, truth_high(was));
		if (shmdt(p) < 0 && errno != EINVAL)
			fail("shmdt: %s", strerror(errno));
		truth_set(word, 0, 0, 0);
	}
}

/* ------------------------------------------------------------ processes */

void worker_say(uint32_t state)
{
	uint32_t live = LIVE;

	if (!swap_if(&me->state, &live, state))
		for (;;)
			pause();
}

static void leave(unsigned how)
{
	worker_say(LEAVING);
	if (how & 1)
		_exit(0);
	exit(0);
}

/* Says that we are there. */
static void arrive(void)
{
	uint32_t was = load_acquire(&me->state);
	char path[80], self[32] = "";

	snprintf(path, sizeof(path), "%s/self", shared->proc);
	if (readlink(path, self, sizeof(self) - 1) < 0 &&
	    readlink("/proc/self", self, sizeof(self) - 1) < 0)
		fail("no /proc/self");
	me->pid = atoi(self);
	if (was == KILLED || !swap_if(&me->state, &was, (uint32_t)LIVE))
		for (;;)
			pause();
}

/* In a child: the mappings of lane 'mine' are known, those of others not. */
static void become(struct worker *w, int mine)
{
	me = w;
	for (int l = 0; l < LANES; l++) {
		if (l != mine && my_kind()->lanes > 1) {
			worker_empty_lane(l);
			continue;
		}
		for (int s = 0; s < SLOTS; s++) {
			uint64_t *word = &me->lanes[l].held[s];

			truth_set(word, truth_id(*word), truth_high(*word),
				  truth_high(*word));
		}
	}
	store_release(&me->vague, 0u);
}

static void copy_slots(struct worker *w)
{
	for (int l = 0; l < LANES; l++)
		for (int s = 0; s < SLOTS; s++) {
			uint64_t word = load_relaxed(&me->lanes[l].held[s]);

			truth_set(&w->lanes[l].held[s], truth_id(word), 0,
				  truth_high(word));
		}
}

static void split_off(int lane)
{
	struct worker *w = crowd_reserve(STARTING);
	uint64_t start;
	pid_t pid;

	if (!w)
		return;
	w->kind = me->kind;
	w->depth = me->depth + 1;
	w->lanes[lane].seed = (unsigned)rand_r(&me->lanes[lane].seed);
	store_release(&w->vague, (uint32_t)(my_kind()->lanes > 1));
	copy_slots(w);
	begin(lane, CALL_FORK, &start);
	pid = fork();
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid) {
		end(lane, CALL_FORK, start);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		return;
	}
	alarm(60);
	store_release(&w->lanes[lane].active, 1u);
	become(w, lane);
	arrive();
	for (int i = rand_r(&w->lanes[lane].seed) % 40; i > 0; i--) {
		worker_park(lane);
		worker_step(lane, true);
	}
	leave(w->lanes[lane].seed);
}

/* ------------------------------------------------------------- the steps */

static int any(int lane, int n)
{
	return rand_r(&me->lanes[lane].seed) % n;
}

static void cheap_calls(int lane)
{
	struct shmid_ds ds;
	int id;

	for (int i = 0; i < 32; i++)
		(void)lookup(lane, 1 + any(lane, KEYS));
	for (int i = 0; i < 8; i++) {
		uint64_t word = me->lanes[lane].held[any(lane, SLOTS)];

		id = truth_high(word) ? truth_id(word)
				      : lookup(lane, 1 + any(lane, KEYS));
		if (id < 0 || control(lane, CALL_STAT, id, IPC_STAT, &ds) < 0)
			continue;
		if (truth_high(word) && ds.shm_nattch < truth_low(word))
			fail("id %d: nattch %lu, and %u are mine", id,
			     (unsigned long)ds.shm_nattch, truth_low(word));
	}
}

static void attach_or_detach(int lane)
{
	int slot = any(lane, SLOTS), id;

	if (truth_high(me->lanes[lane].held[slot])) {
		detach(lane, slot);
		return;
	}
	id = lookup(lane, 1 + any(lane, KEYS));
	if (id >= 0)
		attach(lane, slot, id);
}

/* As many programs do: nobody else ever finds it. */
static void create_private(int lane)
{
	int slot = any(lane, SLOTS);
	int id = get(lane, CALL_CREATE, IPC_PRIVATE, SIZE, 0600);

	if (id < 0)
		return;
	if (!truth_high(me->lanes[lane].held[slot]))
		attach(lane, slot, id);
	(void)control(lane, CALL_REMOVE, id, IPC_RMID, NULL);
}

static void set_owner(int lane)
{
	int id = lookup(lane, 1 + any(lane, KEYS));
	struct shmid_ds ds;

	memset(&ds, 0, sizeof(ds));
	ds.shm_perm.uid = geteuid();
	ds.shm_perm.gid = getegid();
	ds.shm_perm.mode = 0600;
	if (id >= 0)
		(void)control(lane, CALL_SET, id, IPC_SET, &ds);
}

static void list(int lane)
{
	struct shm_info info;
	struct shmid_ds ds;
	int top = control(lane, CALL_LIST, 0, SHM_INFO, (void *)&info);

	if (top >= 0)
		(void)control(lane, CALL_LIST, any(lane, top + 1), SHM_STAT,
			      &ds);
}

void worker_step(int lane, bool may_fork)
{
	int dice, id;

	cheap_calls(lane);
	dice = any(lane, 100);
	if (dice < 8) {
		(void)get(lane, CALL_CREATE, 1 + any(lane, KEYS), SIZE,
			  IPC_CREAT | 0600);
	} else if (dice < 12) {
		id = lookup(lane, 1 + any(lane, KEYS));
		if (id >= 0)
			(void)control(lane, CALL_REMOVE, id, IPC_RMID, NULL);
	} else if (dice < 20) {
		create_private(lane);
	} else if (dice < 28) {
		set_owner(lane);
	} else if (dice < 32) {
		list(lane);
	} else if (dice < 38) {
		int slot = any(lane, SLOTS);

		if (truth_high(me->lanes[lane].held[slot]))
			split(lane, slot);
	} else if (dice < 40) {
		if (may_fork && me->depth < 2)
			split_off(lane);
	} else if (dice < 43) {
		if (my_kind()->special)
			my_kind()->special(lane);
	} else {
		attach_or_detach(lane);
	}
}

void worker_look(void)
{
	struct shm_info info;
	struct shmid_ds ds;
	int top, id = shmget(IPC_PRIVATE, 1, 0600);

	(void)shmctl(id, IPC_RMID, NULL);
	top = shmctl(0, SHM_INFO, (void *)&info);
	for (int i = 0; i <= top; i++)
		(void)shmctl(i, SHM_STAT, &ds);
	(void)fetch_add(&shared->looks, 1u);
	_exit(0);
}

void worker_park(int lane)
{
	uint32_t park;

	while ((park = load_acquire(&shared->park))) {
		store_release(&me->lanes[lane].parked, park);
		usleep(500);
	}
}

void worker_loop(int lane)
{
	for (;;) {
		worker_park(lane);
		worker_step(lane, true);
	}
}

void worker_main(struct worker *w)
{
	bool again = load_relaxed(&w->state) == CHANGING;
	int id;

	alarm(60);
	prctl(PR_SET_NAME, "worker");
	me = w;
	if (again)
		w->lanes[0].done[CALL_EXEC]++;
	if (my_kind()->enter && !again)
		my_kind()->enter();

	/* Whoever maps the registry without a slot might be the child that a
	 * fork() of the dead had reserved a slot for: so a change first. It
	 * also settles what our last program left, after execve(). */
	id = shmget(IPC_PRIVATE, 1, 0600);
	if (id < 0 || shmctl(id, IPC_RMID, NULL) < 0)
		fail("the first calls: %s", strerror(errno));
	for (int l = 0; l < LANES; l++) {
		store_release(&w->lanes[l].active, (uint32_t)(l == 0));
		for (int s = 0; s < SLOTS; s++)
			truth_set(&w->lanes[l].held[s], 0, 0, 0);
	}
	arrive();
	if (my_kind()->begin)
		my_kind()->begin();
	if (my_kind()->run)
		my_kind()->run();
	worker_loop(0);
}
