/* SPDX-License-Identifier: MIT */
/*
 * A process that runs one instruction at a time.
 *
 * It stands still whenever something changed that outlives it: a byte of the
 * registry, a file, or its list of robust mutexes, by which the kernel decides
 * what it writes when the process dies.
 */
#ifndef TESTS_CRASH_STEPPER_H
#define TESTS_CRASH_STEPPER_H

#include <linux/futex.h>
#include <sys/types.h>

#include "image.h"

enum stepper_how {
	STEPPER_SELF,	/* step the process that was started */
	STEPPER_CHILD,	/* the child that it forks, when fork() has returned */
	STEPPER_ORPHAN, /* the same, but the parent is killed within fork() */
};

struct stepper {
	const char *dir;
	pid_t pid;     /* the one that is stepped; 0 when it is gone */
	pid_t other;   /* STEPPER_SELF: its child, before its first instruction;
			* STEPPER_CHILD: its parent; or 0 */
	long position; /* instructions so far */
	const char *sick; /* it ended as no process here should, or NULL */
	struct image now; /* what there is */
	const unsigned char *map; /* of the registry, inode 'ino'; NULL: none */
	uint64_t ino;
	unsigned long robust_at; /* its list of robust mutexes ... */
	struct robust_list_head robust;
};

/*
 * Start a process that runs 'act': until its first stepper_mark() freely, from
 * there on by stepper_next(). False where ptrace(2) is forbidden.
 */
bool stepper_start(struct stepper *s, const char *dir, void (*act)(void),
		   enum stepper_how how);

/* In that process: the operation begins here. It ends when 'act' returns. */
void stepper_mark(void);

/* Run to the next change. False: there is none, it came through or is sick. */
bool stepper_next(struct stepper *s);

/* What there would be if it were killed now. */
void stepper_dead(const struct stepper *s, struct image *ret);

/* Kill the stepped process only, and see it dead. Or all that is left. */
void stepper_kill(struct stepper *s);
void stepper_end(struct stepper *s);

#endif
