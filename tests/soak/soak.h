/* SPDX-License-Identifier: MIT */
/*
 * The soak: a crowd of processes that call at random while others of them are
 * killed, and a truth that every nattch is compared with.
 *
 * All that the processes of a run tell each other is one mapped file, struct
 * shared. Each process has a struct worker in it; each caller in a process (a
 * thread, or a signal handler) has a lane of its own, so that nothing here is
 * locked: the test must not stop the library from being hit anywhere.
 *
 *	soak.c     rounds, and what is printed
 *	crowd.c    starting, killing and parking workers
 *	worker.c   what a worker does
 *	kinds.c    the kinds of workers: threads, signals, namespaces ...
 *	truth.c    what nattch has to be, and who compares
 *	stopped.c  stops whoever holds the lock
 */
#ifndef SOAK_H
#define SOAK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { WORKERS = 1024, LANES = 3, SLOTS = 6, KEYS = 24, QUIET_KEY = 77 };
enum { PAGES = 5 }; /* of each segment */

/* Calls that are counted. */
enum call {
	CALL_NONE,
	CALL_LOOKUP, /* shmget of an existing key */
	CALL_STAT,
	CALL_LIST, /* SHM_INFO, SHM_STAT */
	CALL_SET,
	CALL_CREATE,
	CALL_REMOVE,
	CALL_ATTACH,
	CALL_DETACH,
	CALL_MUNMAP, /* of a page in the middle of a segment */
	CALL_FORK,
	CALL_EXEC,
	CALLS
};

extern const char *const call_names[CALLS];

static inline bool call_changes(enum call call)
{
	return call >= CALL_SET && call <= CALL_MUNMAP;
}

/* ------------------------------------------------------------- processes */

/*
 * FREE      nobody
 * ORDERED   asked for, by the driver
 * STARTING  its parent is within fork()
 * LIVE      has said that it is there
 * CHANGING  calls execve(): what was attached may be gone
 * LEAVING   ends by itself
 * KILLED    set before SIGKILL is sent
 * The driver makes LEAVING, KILLED and what never came FREE again.
 */
enum state { FREE, ORDERED, STARTING, LIVE, CHANGING, LEAVING, KILLED };

struct lane {
	_Alignas(64) uint64_t held[SLOTS]; /* truth_word()s */
	uint64_t done[CALLS];
	uint64_t worst[CALLS]; /* ns */
	uint32_t call;	       /* the call it is in */
	uint32_t active, parked;
	unsigned seed;
};

struct worker {
	uint32_t state;
	int pid; /* as the driver knows it */
	uint32_t kind, depth;
	uint32_t vague; /* other lanes' slots were copied while they changed */
	uint32_t stopped;
	struct lane lanes[LANES];
};

struct shared {
	char dir[64];  /* the namespace */
	char proc[64]; /* where the driver's /proc is, in another pid namespace
			*/
	uint32_t park; /* not 0: everybody waits; differs each time */
	uint32_t checker_parked;
	uint32_t looks; /* of processes that looked at all segments */
	uint32_t used;	/* workers that were ever used */
	uint64_t comparisons;
	uint32_t failures, messages;
	char message[32][300];

	/* What stopped.c has seen. */
	uint32_t stops, held_stops, takeovers, holding, reader_waits;
	uint64_t reader_waited;	 /* for an untouched segment, ns */
	uint64_t takeover[4096]; /* from SIGKILL to the next change, ns */
	struct worker workers[WORKERS];
};

extern struct shared *shared;

void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void); /* not shifted by kinds.c */

/* ----------------------------------------------------------------- truth */

/*
 * One slot: segment 'id' has between 'low' and 'high' attachments here. The
 * number in front differs with each store, so that who reads it twice knows
 * whether it stood still.
 */
static inline uint64_t truth_word(uint64_t number, int id, unsigned low,
				  unsigned high)
{
	return number << 35 | (uint64_t)(unsigned)id << 4 | low << 2 | high;
}

static inline int truth_id(uint64_t word)
{
	return (int)(word >> 4 & INT_MAX);
}

static inline unsigned truth_low(uint64_t word)
{
	return word >> 2 & 3;
}

static inline unsigned truth_high(uint64_t word)
{
	return word & 3;
}

void truth_set(uint64_t *slot, int id, unsigned low, unsigned high);

/* Compares all the time until it is killed. Returns its pid. */
pid_t truth_start_checker(void);

/*
 * All workers are parked or dead: every count must be exact, every invariant
 * hold, and each segment have its file. In a fresh process.
 */
void truth_check_exactly(void);

/* --------------------------------------------------------------- workers */

/* Does not return. */
void worker_main(struct worker *w);

/* Some cheap calls and a dear one. */
void worker_step(int lane, bool may_fork);
void worker_loop(int lane) __attribute__((noreturn));

/* See all segments, as a process of our pid namespace. Ends. */
void worker_look(void) __attribute__((noreturn));

/* Wait while everybody has to. */
void worker_park(int lane);

/* The mappings of a lane whose thread is gone. */
void worker_empty_lane(int lane);

/* To go from LIVE to 'state'. Does not return if we are to be killed. */
void worker_say(uint32_t state);

/* ----------------------------------------------------------------- kinds */

enum {
	NEEDS_ROOT = 1,
	PID_SPACES = 2, /* two pid namespaces beside our own */
	UNREAPED = 4,	/* in one whose init reaps nobody */
	STOPS = 8,	/* killed by stopped.c only */
};

struct kind {
	const char *name;
	unsigned flags, lanes;
	unsigned crowd;		   /* at most so many workers, 0: any number */
	void (*enter)(void);	   /* in the new process, before all */
	void (*begin)(void);	   /* starts threads and timers */
	void (*special)(int lane); /* now and then */
	void (*run)(void);	   /* instead of steps without end */
};

extern const struct kind kinds[];
extern const unsigned nkinds, mixable; /* the first ones need nothing */
extern struct worker *me;

static inline const struct kind *my_kind(void)
{
	return &kinds[me->kind];
}

/* ------------------------------------------------- starting and stopping */

/*
 * Workers are started by nurseries: some that are linked with the library and
 * some that have it preloaded, in pid namespaces of their own if the kind says
 * so. All are one process group.
 */
void crowd_begin(const struct kind *kind, const char *plain,
		 const char *preload);
void crowd_order(unsigned kind, unsigned seed);
bool crowd_kill(unsigned index);
unsigned crowd_size(void);
void crowd_reap(void);	 /* frees those who are gone */
void crowd_watch(void);	 /* reports who stands still, or died by itself */
bool crowd_settle(void); /* parks everybody until crowd_go_on() */
void crowd_go_on(void);

/* Kills all; returns how many. 'ret_unborn': were any within fork()? */
unsigned crowd_end(bool *ret_unborn);
struct worker *crowd_reserve(uint32_t state);
void nursery_main(int orders, bool reaps) __attribute__((noreturn));

/* Of the workers that are gone, by their kinds. */
struct totals {
	uint64_t done[CALLS], worst[CALLS];
};
extern struct totals totals[];

pid_t stopped_start(void);

#endif
