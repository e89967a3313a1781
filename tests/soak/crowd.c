/* SPDX-License-Identifier: MIT */
/*
 * Owns the processes: starts, kills, parks and buries them.
 *
 * The driver waits for none of the workers: their parents are nurseries and
 * other workers. It kills by number and looks into /proc for who is gone. All
 * of them are one process group, so that nobody is left at the end; each has
 * an alarm set besides, for a driver that was killed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "soak/soak.h"

enum { NURSERIES = 3, LOOK = 0xffff /* an order: see worker_look() */ };
#define STANDS_STILL UINT64_C(5000000000) /* ns */

const char *const call_names[CALLS] = {
	"",	  "lookup", "stat",   "list",	"set",	"create",
	"remove", "attach", "detach", "munmap", "fork", "exec",
};
struct totals totals[32];

static int orders[NURSERIES];
static unsigned nnurseries;
static pid_t group;
static bool strangers; /* there are pid namespaces */
static uint32_t park;

void fail(const char *format, ...)
{
	uint32_t n = fetch_add(&shared->messages, 1u);
	va_list args;

	fetch_add(&shared->failures, 1u);
	if (n >= sizeof(shared->message) / sizeof(shared->message[0]))
		return;
	va_start(args, format);
	vsnprintf(shared->message[n], sizeof(shared->message[n]), format, args);
	va_end(args);
}

/* ------------------------------------------------------------ nurseries */

static void judge(int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail("a worker died of signal %d", WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		fail("a worker ended with %d", WEXITSTATUS(status));
}

void nursery_main(int fd, bool reaps)
{
	uint16_t index;
	int status;

	alarm(300);
	while (read(fd, &index, sizeof(index)) == sizeof(index)) {
		if (fork() == 0) {
			close(fd);
			if (index == LOOK)
				worker_look();
			worker_main(&shared->workers[index]);
		}
		while (reaps && waitpid(-1, &status, WNOHANG) > 0)
			judge(status);
	}
	_exit(0);
}

/* In a pid namespace /proc has to be its own, as in any container. */
static void enter_pid_space(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
		fail("no pid namespace: %s", strerror(errno));
		_exit(1);
	}
	pid = fork();
	if (pid) {
		waitpid(pid, NULL, 0);
		_exit(0);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/proc", shared->proc, "", MS_BIND, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0)
		fail("no /proc: %s", strerror(errno));
}

static void start_nursery(const char *program, const char *preload, bool nested,
			  bool reaps)
{
	char fd[16];
	int ends[2];
	pid_t pid;

	if (pipe(ends) < 0)
		exit(1);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		setpgid(0, group);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		prctl(PR_SET_NAME, "nursery");
		if (nested)
			enter_pid_space();
		if (preload)
			setenv("LD_PRELOAD", preload, 1);
		snprintf(fd, sizeof(fd), "%d", ends[0]);
		execl(program, "soak", reaps ? "nursery" : "unreaped",
		      getenv("SOAK_SHARED"), fd, (char *)NULL);
		fail("%s: %s", program, strerror(errno));
		_exit(1);
	}
	if (!group)
		group = pid;
	setpgid(pid, group);
	close(ends[0]);
	orders[nnurseries++] = ends[1];
}

void crowd_begin(const struct kind *kind, const char *plain,
		 const char *preload)
{
	bool spaces = kind->flags & PID_SPACES;
	bool reaps = !(kind->flags & UNREAPED);

	group = 0;
	nnurseries = 0;
	strangers = spaces || !reaps;
	if (spaces || reaps)
		start_nursery("/proc/self/exe", NULL, false, true);
	if (spaces || !reaps)
		start_nursery("/proc/self/exe", NULL, true, reaps);
	if (plain)
		start_nursery(plain, preload, spaces || !reaps, reaps);
}

/* --------------------------------------------------------------- workers */

struct worker *crowd_reserve(uint32_t state)
{
	for (uint32_t i = 0; i < WORKERS; i++) {
		struct worker *w = &shared->workers[i];
		uint32_t nobody = FREE, used = load_acquire(&shared->used);

		if (load_relaxed(&w->state) != FREE ||
		    !swap_if(&w->state, &nobody, state))
			continue;
		while (used <= i && !swap_if(&shared->used, &used, i + 1))
			;
		return w;
	}
	return NULL;
}

void crowd_order(unsigned kind, unsigned seed)
{
	struct worker *w = crowd_reserve(ORDERED);
	uint16_t index;

	if (!w)
		return;
	index = (uint16_t)(w - shared->workers);
	w->kind = kind;
	w->depth = 0;
	w->lanes[0].seed = seed;
	if (write(orders[seed % nnurseries], &index, sizeof(index)) !=
	    sizeof(index))
		fail("a nursery is gone");
}

/* The driver alone does this: what was counted goes to the totals. */
static void bury(struct worker *w)
{
	struct totals *t = &totals[w->kind];

	for (int l = 0; l < LANES; l++) {
		struct lane *lane = &w->lanes[l];

		for (int s = 0; s < SLOTS; s++)
			truth_set(&lane->held[s], 0, 0, 0);
		for (int c = 0; c < CALLS; c++) {
			t->done[c] += lane->done[c];
			if (lane->worst[c] > t->worst[c])
				t->worst[c] = lane->worst[c];
			lane->done[c] = lane->worst[c] = 0;
		}
		lane->active = lane->parked = lane->call = 0;
	}
	w->pid = 0;
	w->stopped = 0;
	store_release(&w->vague, 0u);
	store_release(&w->state, (uint32_t)FREE);
}

/* ----------------------------------------------------------------- /proc */

/* Neither a thread of it runs, nor is it of our group under a new owner. */
static bool gone(int pid)
{
	char path[32], buf[512], state, *p;
	int fd, pgrp, threads;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return true;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return true;
	buf[n] = 0;
	p = strrchr(buf, ')');
	if (!p || sscanf(p,
			 ") %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u "
			 "%*u %*d %*d %*d %*d %d",
			 &state, &pgrp, &threads) != 3)
		return true;
	return pgrp != group ||
	       ((state == 'Z' || state == 'X') && threads <= 1);
}

static bool is_nursery_or_known(int pid)
{
	char path[32], comm[16] = "";
	int fd;

	for (uint32_t i = 0; i < shared->used; i++)
		if (shared->workers[i].pid == pid)
			return true;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY);
	if (fd >= 0) {
		if (read(fd, comm, sizeof(comm) - 1) < 0)
			*comm = 0;
		close(fd);
	}
	return strncmp(comm, "nursery", 7) == 0;
}

/* A process of ours that has not said who it is. */
static bool somebody_unknown(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		int pid = atoi(e->d_name);

		found = pid > 0 && !gone(pid) && !is_nursery_or_known(pid);
	}
	if (d)
		closedir(d);
	return found;
}

/* ------------------------------------------------------------ kill, bury */

bool crowd_kill(unsigned index)
{
	struct worker *w = &shared->workers[index];
	uint32_t was = load_acquire(&w->state);

	if ((was != LIVE && was != CHANGING) ||
	    !swap_if(&w->state, &was, (uint32_t)KILLED))
		return false;
	kill(w->pid, SIGKILL);
	return true;
}

void crowd_reap(void)
{
	for (uint32_t i = 0; i < shared->used; i++) {
		struct worker *w = &shared->workers[i];
		uint32_t state = load_acquire(&w->state);

		if ((state == LEAVING || state == KILLED) && gone(w->pid))
			bury(w);
	}
}

unsigned crowd_size(void)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < shared->used; i++) {
		uint32_t state = load_acquire(&shared->workers[i].state);

		n += state == LIVE || state == CHANGING || state == ORDERED;
	}
	return n;
}

/* -------------------------------------------------------------- watching */

static struct {
	uint64_t done, since;
	int pid;
} seen[WORKERS][LANES];

static void read_file(int pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY);
	if (fd >= 0) {
		n = read(fd, buf, size - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = 0;
	for (char *p = buf; *p; p++)
		if (*p == '\n')
			*p = ' ';
}

static void report_still(const struct worker *w, int l)
{
	char wchan[40], stack[90];

	read_file(w->pid, "wchan", wchan, sizeof(wchan));
	read_file(w->pid, "stack", stack, sizeof(stack));
	fail("%d (%s) stands still in %s: %s %s", w->pid, kinds[w->kind].name,
	     call_names[w->lanes[l].call], wchan, stack);
}

static void watch_lane(uint32_t i, int l, uint64_t now)
{
	struct worker *w = &shared->workers[i];
	struct lane *lane = &w->lanes[l];
	uint64_t done = 0;

	for (int c = 0; c < CALLS; c++)
		done += load_relaxed(&lane->done[c]);
	if (seen[i][l].pid != w->pid || seen[i][l].done != done ||
	    load_acquire(&w->stopped) || !load_acquire(&lane->active) ||
	    (park && load_acquire(&lane->parked) == park)) {
		seen[i][l].pid = w->pid;
		seen[i][l].done = done;
		seen[i][l].since = now;
	} else if (now - seen[i][l].since > STANDS_STILL) {
		report_still(w, l);
		seen[i][l].since = now;
	}
}

void crowd_watch(void)
{
	uint64_t now = now_ns();

	for (uint32_t i = 0; i < shared->used; i++) {
		struct worker *w = &shared->workers[i];
		uint32_t state = load_acquire(&w->state);

		if (state != LIVE && state != CHANGING)
			continue;
		if (gone(w->pid) && load_acquire(&w->state) == state) {
			fail("a worker (%s) died by itself",
			     kinds[w->kind].name);
			bury(w);
			continue;
		}
		for (int l = 0; l < LANES; l++)
			watch_lane(i, l, now);
	}
}

/* --------------------------------------------------------------- parking */

static bool is_parked(const struct worker *w)
{
	for (int l = 0; l < LANES; l++)
		if (load_acquire(&w->lanes[l].active) &&
		    load_acquire(&w->lanes[l].parked) != park)
			return false;
	return true;
}

/* True if all hold still, but for those that may never have come. */
static bool all_parked(bool *ret_starting)
{
	*ret_starting = false;
	for (uint32_t i = 0; i < shared->used; i++) {
		struct worker *w = &shared->workers[i];
		uint32_t state = load_acquire(&w->state);

		if (state == STARTING)
			*ret_starting = true;
		else if (state != FREE && (state != LIVE || !is_parked(w)))
			return false;
	}
	return load_acquire(&shared->checker_parked) == park;
}

/* Forks of workers that were killed within. */
static void bury_unborn(void)
{
	for (uint32_t i = 0; i < shared->used; i++)
		if (load_acquire(&shared->workers[i].state) == STARTING)
			bury(&shared->workers[i]);

	/* A child killed before its first instruction: doc/semantics.md, D29 */
	usleep(25000);
}

/*
 * A child that was never born is known as dead at once only in its own pid
 * namespace: have somebody there look.
 */
static void look_everywhere(void)
{
	uint32_t want = load_acquire(&shared->looks) + nnurseries;
	uint16_t order = LOOK;

	for (unsigned i = 0; i < nnurseries; i++)
		if (write(orders[i], &order, sizeof(order)) != sizeof(order))
			fail("a nursery is gone");
	for (int i = 0; i < 20000 && load_acquire(&shared->looks) != want; i++)
		usleep(500);
}

bool crowd_settle(void)
{
	static uint32_t last;
	uint64_t start = now_ns(), watched = start;
	bool starting;

	park = ++last;
	store_release(&shared->park, park);
	while (now_ns() - start < 4 * STANDS_STILL) {
		crowd_reap();
		if (all_parked(&starting)) {
			if (!starting)
				return true;
			if (!somebody_unknown() && all_parked(&starting)) {
				bury_unborn();
				if (strangers)
					look_everywhere();
				return true;
			}
		}
		if (now_ns() - watched > STANDS_STILL / 50) {
			watched = now_ns();
			crowd_watch();
		}
		usleep(500);
	}
	fail("the crowd does not come to rest");
	return false;
}

void crowd_go_on(void)
{
	/* Who was parked has not stood still by its own fault. */
	memset(seen, 0, sizeof(seen));
	park = 0;
	store_release(&shared->park, 0u);
}

unsigned crowd_end(bool *ret_unborn)
{
	unsigned n = 0;
	int status;

	*ret_unborn = false;
	for (uint32_t i = 0; i < shared->used; i++) {
		uint32_t *state = &shared->workers[i].state;
		uint32_t was = exchange(state, (uint32_t)KILLED);

		n += was != FREE;
		*ret_unborn |= was == STARTING;
		if (was == FREE)
			store_release(state, (uint32_t)FREE);
	}
	kill(-group, SIGKILL);
	do
		errno = 0;
	while (waitpid(-group, &status, 0) > 0 || errno == EINTR);
	for (unsigned i = 0; i < nnurseries; i++)
		close(orders[i]);
	for (uint32_t i = 0; i < shared->used; i++)
		if (shared->workers[i].state != FREE)
			bury(&shared->workers[i]);
	return n;
}
