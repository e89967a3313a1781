/* SPDX-License-Identifier: MIT */
/*
 * The next caller: a fresh process that makes a call in a namespace in which
 * somebody died, and says what it found.
 */
#ifndef TESTS_CRASH_JUDGE_H
#define TESTS_CRASH_JUDGE_H

#include "entries.h"

struct verdict {
	unsigned wrong;	   /* things */
	char what[200];	   /* the first of them */
	char outcome[400]; /* what there is: entries_outcome() */
};

struct scene {
	const struct entry *entry;
	pid_t victim;	 /* whose lpid is "v" */
	bool same;	 /* the next caller is the victim, after an execve() */
	unsigned living; /* other processes that have a slot */
	unsigned nth;	 /* which of the possible calls comes next */
};

/* The result is good until the next judgement. */
const struct verdict *judge(const char *dir, const struct scene *scene);

/*
 * A process that maps the registry of 'dir' and does nothing else: it stands
 * for a child that a fork has made. To be ended by stand_in_end().
 */
pid_t stand_in_begin(const char *dir);
void stand_in_end(pid_t pid);

#endif
