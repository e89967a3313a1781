/* SPDX-License-Identifier: MIT */
/* One failing call of the library: the N-th, with the K-th errno it may have.
 */
#ifndef USHM_TESTS_FAILURE_INJECT_H
#define USHM_TESTS_FAILURE_INJECT_H

#include <stdbool.h>
#include <sys/types.h>

/* Calls of libc that the library makes: wrapped by the linker. */
enum {
	CALL_CLONE = -1,
	CALL_MUTEX = -2,  /* pthread_mutex*, pthread_mutexattr* */
	CALL_THREAD = -3, /* pthread_key_create, pthread_setspecific */
	CALL_ATFORK = -4,
};

struct injection {
	long at;      /* which call fails, from 1 on */
	int which;    /* its errno: an index into what is plausible */
	bool lasting; /* and all later calls of the same kind fail likewise */

	/* Written by the process that meets it: shared memory. */
	bool met;	/* or it never came so far */
	long call;	/* its number */
	int error;	/* what it failed with */
	int choices;	/* how many errnos are plausible for it */
	bool harmless;	/* what it fails must succeed all the same */
	char path[100]; /* that the call named */
};

/* From here on calls count: those of process 'victim', or of any but it. */
void inject_arm(struct injection *in, pid_t victim, bool any_but_it);
void inject_disarm(void);

/* linkat() fails always: a file system without hard links. */
void inject_without_links(void);

/* The name of a call. */
const char *inject_name(long call);

#endif
