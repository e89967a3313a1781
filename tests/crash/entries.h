/* SPDX-License-Identifier: MIT */
/*
 * The operations that are cut short, and what may be there afterwards.
 *
 * An outcome is a line about all segments, as entries_outcome() writes it:
 *
 *	A 8192 600 n1 ad v
 *
 * the key (a letter, "-" once it was removed), size, mode ("D" SHM_DEST, "L"
 * SHM_LOCKED), nattch, which of atime and dtime are set, and whether lpid is
 * the killed process (v), another (o), or none (-); then "g1234" if that is
 * its group now. Before the first segment, "max=" and so on: limits that are
 * not as they were.
 */
#ifndef TESTS_CRASH_ENTRIES_H
#define TESTS_CRASH_ENTRIES_H

#include "stepper.h"

/* The namespace that is worked on. */
extern const char *entries_dir;

struct entry {
	const char *name;

	/* What others did before; runs in the test itself. May be NULL. */
	void (*before)(void);

	/* Runs in the process that is cut short, which calls stepper_mark(). */
	void (*act)(void);
	enum stepper_how how;
	bool child_lives; /* what it forks is not killed with it */
	unsigned living;  /* other processes that have a slot and live on */
	bool leftover;	  /* a half-made registry may stay */
	bool on_disk;	  /* not on tmpfs */
	bool slow;	  /* with -a only: so many instructions */
	bool slow_repair; /* walked with -a only: it looks through all of /proc,
			   * or sweeps very much */

	/* What the next call finds, in this order: it goes from one to the
	 * next by a single instruction, and never back. */
	const char *outcomes[4];
};

extern const struct entry entries[];
extern const unsigned nentries;

/* A call that repairs and changes nothing else; begins with a mark. */
void entries_repair(void);

/* Kill whoever 'before' has left living. */
void entries_after(void);

ushm_space *entries_open(void);
void entries_outcome(ushm_space *sp, pid_t victim, char *buf, size_t room);

#endif
