/* SPDX-License-Identifier: MIT */
/*
 * Owns the comparison of nattch with what is attached.
 *
 * A worker says before it attaches that there may be one more, and afterwards
 * that there is; the other way round when it detaches. So at any moment the
 * truth lies between two sums. While nattch is read the slots may change; only
 * one that was the same before and after counts towards the lower sum, any
 * other towards the upper.
 */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/space.h"
#include "soak/soak.h"
#include "store/verify.h"
#include "ushm.h"

void truth_set(uint64_t *slot, int id, unsigned low, unsigned high)
{
	uint64_t number = load_relaxed(slot) >> 35;

	__atomic_store_n(slot, truth_word(number + 1, id, low, high),
			 __ATOMIC_SEQ_CST);
}

static ushm_space *open_space(void)
{
	struct ushm_problem problem;
	ushm_space *sp;
	int id;

	if (ushm_open(shared->dir, USHM_CREATE, NULL, &sp, &problem) < 0) {
		fail("%s", problem.text);
		_exit(1);
	}
	/* A slot at once: whoever maps the registry and has none might be the
	 * child that a fork() of the dead reserved a slot for. */
	if (ushm_get(sp, IPC_PRIVATE, 1, 0600, &id) == 0)
		(void)ushm_remove(sp, id);
	return sp;
}

/* ----------------------------------------------------------- all the time */

static uint64_t before[WORKERS][LANES][SLOTS];

static void look_before(void)
{
	uint32_t used = load_acquire(&shared->used);

	for (uint32_t i = 0; i < used; i++)
		for (int l = 0; l < LANES; l++)
			for (int s = 0; s < SLOTS; s++)
				before[i][l][s] = __atomic_load_n(
					&shared->workers[i].lanes[l].held[s],
					__ATOMIC_SEQ_CST);
}

static void bounds_of(uint32_t i, int id, unsigned *low, unsigned *high)
{
	struct worker *w = &shared->workers[i];

	for (int l = 0; l < LANES; l++) {
		for (int s = 0; s < SLOTS; s++) {
			uint64_t was = before[i][l][s];
			uint64_t is = __atomic_load_n(&w->lanes[l].held[s],
						      __ATOMIC_SEQ_CST);

			if (is != was) {
				*high += 3; /* a munmap() splits before it
					       removes */
			} else if (truth_id(is) == id) {
				*low += truth_low(is);
				*high += truth_high(is);
			}
		}
	}
}

/* Afterwards: a worker that was not there before had all slots empty. */
static void bounds(int id, unsigned *ret_low, unsigned *ret_high)
{
	uint32_t used = load_acquire(&shared->used);

	*ret_low = *ret_high = 0;
	for (uint32_t i = 0; i < used; i++) {
		struct worker *w = &shared->workers[i];
		unsigned low = 0;

		bounds_of(i, id, &low, ret_high);
		if (load_acquire(&w->vague))
			*ret_high += LANES * SLOTS * 3;
		if (load_acquire(&w->state) == LIVE)
			*ret_low += low;
	}
}

/* Some segment that somebody has. */
static int any_id(unsigned *seed)
{
	uint32_t used = load_acquire(&shared->used);

	for (int try = 0; used && try < 1000; try++) {
		unsigned at = (unsigned)rand_r(seed);
		struct worker *w = &shared->workers[at % used];
		uint64_t word = load_relaxed(
			&w->lanes[at / 7 % LANES].held[at / 31 % SLOTS]);

		if (truth_high(word))
			return truth_id(word);
	}
	return -1;
}

/* Who is attached: process ids as ushm has them, and as the workers say. */
static const char *who(ushm_space *sp, int id)
{
	static char buf[200];
	struct ushm_attachment a;
	uint32_t cursor = 0;
	size_t n = 0;

	while (n < sizeof(buf) - 40 &&
	       ushm_next_attachment(sp, id, &cursor, &a) == 1)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, " %d%s", a.pid,
				      a.pid && kill(a.pid, 0) < 0 ? "-" : "");
	for (uint32_t i = 0; i < shared->used * LANES * SLOTS; i++) {
		struct worker *w = &shared->workers[i / LANES / SLOTS];
		uint64_t word = w->lanes[i / SLOTS % LANES].held[i % SLOTS];

		if (truth_high(word) && truth_id(word) == id &&
		    n < sizeof(buf) - 40)
			n += (size_t)snprintf(buf + n, sizeof(buf) - n,
					      ", %d in state %u: %u-%u", w->pid,
					      w->state, truth_low(word),
					      truth_high(word));
	}
	return buf;
}

static void compare_one(ushm_space *sp, unsigned *seed)
{
	struct ushm_segment s;
	unsigned low, high;
	int id = any_id(seed), r;

	if (id < 0)
		return;
	look_before();
	r = ushm_stat(sp, id, &s);
	bounds(id, &low, &high);
	if (r < 0) {
		if (low)
			fail("id %d is gone (%d), attached %u times", id, r,
			     low);
		return;
	}
	if (s.nattch < low || s.nattch > high)
		fail("id %d: nattch %lu, not within %u and %u: of%s", id,
		     (unsigned long)s.nattch, low, high, who(sp, id));
	__atomic_fetch_add(&shared->comparisons, 1, __ATOMIC_RELAXED);
}

pid_t truth_start_checker(void)
{
	unsigned seed = (unsigned)now_ns();
	ushm_space *sp;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sp = open_space();
	for (;;) {
		while (load_acquire(&shared->park)) {
			store_release(&shared->checker_parked,
				      load_acquire(&shared->park));
			usleep(500);
		}
		compare_one(sp, &seed);
		usleep(300);
	}
}

/* --------------------------------------------------- when all hold still */

static unsigned attached(int id)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < shared->used; i++)
		for (int l = 0; l < LANES; l++)
			for (int s = 0; s < SLOTS; s++) {
				uint64_t w =
					shared->workers[i].lanes[l].held[s];

				if (!truth_high(w) || truth_id(w) != id)
					continue;
				if (truth_low(w) != truth_high(w))
					fail("worker %u does not know what it "
					     "has attached",
					     i);
				n += truth_low(w);
			}
	return n;
}

static unsigned long files_in_dir(void)
{
	unsigned long n = 0;
	struct dirent *d;
	DIR *list = opendir(shared->dir);

	while (list && (d = readdir(list)))
		n += strncmp(d->d_name, "seg.", 4) == 0;
	if (list)
		closedir(list);
	return n;
}

static void check_segment(ushm_space *sp, const struct ushm_segment *s)
{
	unsigned n = attached(s->id);

	if (s->nattch != n)
		fail("id %d: nattch is %lu, attached are %u: of%s", s->id,
		     (unsigned long)s->nattch, n, who(sp, s->id));
	if (s->mode & SHM_DEST && n == 0)
		fail("id %d was removed and stays", s->id);

	/* Left by one who was killed before it could remove it. */
	if (s->key == IPC_PRIVATE && !(s->mode & SHM_DEST) && s->nattch == 0)
		(void)ushm_remove(sp, s->id);
}

static void on_finding(void *arg, const struct verify_finding *finding)
{
	(void)arg;
	fail("%s", finding->text);
}

static void check_all(void)
{
	ushm_space *sp = open_space();
	struct ushm_segment s;
	unsigned long n = 0, files;
	unsigned long sum = 0, want = 0;
	uint32_t cursor = 0;

	/* Removing on the way makes room, so this first. */
	while (ushm_next(sp, &cursor, &s) == 1)
		n++;
	files = files_in_dir();
	if (files != n)
		fail("%lu files, %lu segments", files, n);
	for (cursor = 0; ushm_next(sp, &cursor, &s) == 1; sum += s.nattch)
		check_segment(sp, &s);
	for (uint32_t i = 0; i < shared->used; i++)
		for (int l = 0; l < LANES; l++)
			for (int k = 0; k < SLOTS; k++)
				want += truth_low(
					shared->workers[i].lanes[l].held[k]);
	if (sum != want)
		fail("%lu attachments in all, not %lu", sum, want);

	verify_registry(&((struct space *)sp)->reg, on_finding, NULL);
	_exit(0);
}

void truth_check_exactly(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		check_all();
	}
	waitpid(pid, &status, 0);
	if (status)
		fail("the exact check ended with status %x", status);
}
