/* SPDX-License-Identifier: MIT */
/*
 * The kinds of workers: what they do beside their steps.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "soak/soak.h"

static int any(int lane, int n)
{
	return rand_r(&me->lanes[lane].seed) % n;
}

/* --------------------------------------------------------------- threads */

static void *thread_main(void *arg)
{
	worker_loop((int)(intptr_t)arg);
}

static pthread_t start_thread(int lane, void *(*run)(void *))
{
	pthread_t t;

	me->lanes[lane].seed = (unsigned)rand_r(&me->lanes[0].seed);
	me->lanes[lane].parked = 0;
	store_release(&me->lanes[lane].active, 1u);
	if (pthread_create(&t, NULL, run, (void *)(intptr_t)lane) != 0)
		fail("pthread_create");
	return t;
}

static void start_threads(void)
{
	for (int lane = 1; lane < (int)my_kind()->lanes; lane++)
		(void)start_thread(lane, thread_main);
}

/* The thread that locked our life word ends, and others go on. */
static void start_threads_and_leave(void)
{
	start_threads();
	store_release(&me->lanes[0].active, 0u);
	pthread_exit(NULL);
}

/* --------------------------------------------------------------- signals */

/* Its calls interrupt those of lane 0 anywhere. It must not wait. */
static void on_signal(int unused)
{
	int saved = errno;

	(void)unused;
	if (!load_acquire(&shared->park))
		worker_step(1, false);
	errno = saved;
}

static void start_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGRTMIN };
	struct itimerspec period = { { 0, 100000 }, { 0, 100000 } };
	struct sigaction sa = { .sa_handler = on_signal };
	timer_t timer;

	me->lanes[1].seed = (unsigned)rand_r(&me->lanes[0].seed);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGRTMIN, &sa, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
	    timer_settime(timer, 0, &period, NULL) < 0)
		fail("timer: %s", strerror(errno));
}

/* ---------------------------------------------------------- cancellation */

static void *cancelled_anywhere(void *arg)
{
	int lane = (int)(intptr_t)arg;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;) {
		worker_park(lane);
		worker_step(lane, false);
	}
	return NULL;
}

static void *cancelled_when_asked(void *arg)
{
	int lane = (int)(intptr_t)arg;

	for (;;) {
		pthread_testcancel();
		worker_park(lane);
		worker_step(lane, false);
	}
	return NULL;
}

static void cancel_threads(void)
{
	for (;;) {
		pthread_t t[LANES];

		worker_park(0);
		for (int lane = 1; lane < LANES; lane++)
			t[lane] = start_thread(
				lane, any(0, 2) ? cancelled_anywhere
						: cancelled_when_asked);
		for (int i = any(0, 5); i > 0; i--)
			worker_step(0, false);
		usleep((useconds_t)any(0, 3000));
		for (int lane = 1; lane < LANES; lane++)
			pthread_cancel(t[lane]);
		for (int lane = 1; lane < LANES; lane++) {
			pthread_join(t[lane], NULL);
			worker_empty_lane(lane);
			store_relaxed(&me->lanes[lane].call, CALL_NONE);
			store_release(&me->lanes[lane].active, 0u);
		}
	}
}

/* ------------------------------------------------------------------ exec */

static void exec_itself(int lane)
{
	char index[16];

	(void)lane;
	snprintf(index, sizeof(index), "%d", (int)(me - shared->workers));
	worker_say(CHANGING);
	execl("/proc/self/exe", "soak", "worker", getenv("SOAK_SHARED"), index,
	      (char *)NULL);
	fail("execve: %s", strerror(errno));
	_exit(1);
}

/* ----------------------------------------------------------- descriptors */

static void close_descriptors(int lane)
{
	(void)syscall(SYS_close_range, any(lane, 2) ? 3u : 0u, ~0u, 0u);
}

/* ---------------------------------------------------------------- clocks */

/*
 * The clocks of a process as somebody else may have set them: the library
 * calls this one instead of libc's, and the machine's own are left alone. Not
 * CLOCK_BOOTTIME, which the kernel stamps processes with and nobody can set;
 * it differs in time namespaces, where the stamps do too.
 */
static struct {
	int (*real)(clockid_t, struct timespec *);
	time_t wall, running; /* seconds too many */
} clocks;

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r;

	if (!clocks.real)
		return (int)syscall(SYS_clock_gettime, id, ret);
	r = clocks.real(id, ret);
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		ret->tv_sec += clocks.wall;
	else if (id == CLOCK_MONOTONIC)
		ret->tv_sec += clocks.running;
	return r;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	/* One that nobody shifts. */
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

__attribute__((constructor)) static void find_clock(void)
{
	void *p = dlsym(RTLD_NEXT, "clock_gettime");

	memcpy(&clocks.real, &p, sizeof(p));
}

static void step_clock(int lane)
{
	clocks.wall = (any(lane, 3) - 1) * 3600;
}

static void set_clocks(void)
{
	step_clock(0);
	clocks.running = (any(0, 3) - 1) * 3600;
}

/* A time namespace begins with the first process that is forked into it. */
static void enter_time_space(void)
{
	static const char *const offsets[] = {
		"monotonic 3600 0\nboottime 3600 0",
		"monotonic -600 0\nboottime -600 0",
		"monotonic 0 0\nboottime 86400 0"
	};
	const char *text = offsets[any(0, 3)];
	int fd;

	if (unshare(CLONE_NEWTIME) < 0)
		fail("no time namespace: %s", strerror(errno));
	fd = open("/proc/self/timens_offsets", O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail("no time offsets: %s", strerror(errno));
	close(fd);
	if (fork() != 0)
		_exit(0);
	alarm(60);
}

/* ------------------------------------------------------------- the table */

/* The first ones can be mixed. */
const struct kind kinds[] = {
	{ "plain", .lanes = 1 },
	{ "threads", .lanes = 3, .begin = start_threads },
	{ "signals", .lanes = 2, .begin = start_timer },
	{ "cancel", .lanes = 3, .run = cancel_threads },
	{ "leaver", .lanes = 3, .begin = start_threads_and_leave },
	{ "exec", .lanes = 2, .begin = start_threads, .special = exec_itself },
	{ "closes", .lanes = 1, .special = close_descriptors },
	{ "clocks", .lanes = 1, .enter = set_clocks, .special = step_clock },
	{ "timens", .flags = NEEDS_ROOT, .lanes = 1,
	  .enter = enter_time_space },
	{ "zombies", .flags = NEEDS_ROOT | UNREAPED, .lanes = 1 },
	{ "pidns", .flags = NEEDS_ROOT | PID_SPACES, .lanes = 1 },
	{ "stopped", .flags = STOPS, .lanes = 1, .crowd = 8 },
	{ "mixture" },
};
const unsigned nkinds = sizeof(kinds) / sizeof(*kinds), mixable = 8;
