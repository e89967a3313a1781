/* SPDX-License-Identifier: MIT */
/*
 * Stands between the library and the kernel while an input is played.
 *
 * Aborts when the library opens, makes or removes anything outside of one
 * directory and /proc, unmaps what it has not mapped, signals a process, or
 * does more than an input can ask for. Waiting takes no time: a futex wait
 * times out at once.
 */
#ifndef USHM_TESTS_WATCH_H
#define USHM_TESTS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch {
	const char *dir; /* all that may be touched */
	const char
		*shm; /* stands for /dev/shm and /tmp; within 'dir'; or NULL */
	bool deny;    /* refuse paths outside of it rather than abort */
	bool keep;    /* what is mapped stays so for the next input */

	/* Unmapping outside of what was mapped is ignored within here. */
	const uintptr_t *low, *high;

	/* Called for each futex wait; 'waits' counts them within an input. */
	void (*waited)(unsigned waits);

	/* A path of /proc may be another file's; NULL: it is not. */
	const char *(*instead)(const char *path);

	/* Of this input. */
	unsigned calls, steps, waits;
	bool dir_changed;
};

extern struct watch watch;

void watch_begin(void);

/* Unmaps what the library has left mapped, and checks the time it took. */
void watch_end(void);

/* Are system calls watched on this machine? Else 'dir' and 'shm' mean nothing.
 */
bool watch_works(void);

/* How many pieces the library has mapped: of those that stay, with 'keep'. */
unsigned watch_pieces(void);

/* The end of what the library has mapped in one piece around 'at', or 0. */
uintptr_t watch_mapped(uintptr_t at);

void watch_fail(const char *what, const char *detail) __attribute__((noreturn));

#endif
