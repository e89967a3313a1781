/* SPDX-License-Identifier: MIT */
/* Shortages that are real: nothing is injected. */
#ifndef USHM_TESTS_FAILURE_ENVIRONMENTS_H
#define USHM_TESTS_FAILURE_ENVIRONMENTS_H

#include <stdbool.h>
#include <stddef.h>

struct environment {
	const char *name;
	const char *mount; /* the file system that it wants, or NULL */
	bool as_user;	   /* root would not feel it */
	bool stays;	   /* when the process ends */

	/* Just before the operation; false: cannot be had for this one. */
	bool (*impose)(void);
	void (*lift)(void);
};

extern const struct environment environments[];
extern const size_t nenvironments;

#endif
