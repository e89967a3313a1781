/* SPDX-License-Identifier: MIT */
/* What can be asked of the library, one entry a kind of call. */
#ifndef USHM_TESTS_FAILURE_OPERATIONS_H
#define USHM_TESTS_FAILURE_OPERATIONS_H

#include <stddef.h>

#include "failure/inject.h"
#include "ushm.h"

enum {
	OPENS = 1,     /* the namespace comes to be: more may be mapped after */
	FORKS = 2,     /* calls of the child count, not those of the process */
	BOTH = 256,    /* calls of both count */
	ENDS = 4,      /* the process ends by it */
	LOOKS = 8,     /* it asks about the dead: an answer may come later */
	SAME = 16,     /* what the failing call returned may be returned */
	NO_LINKS = 32, /* linkat() fails always */
	ON_RAM = 64,   /* not on tmpfs */
	SMALL = 128,   /* on a small file system */
	EXPOSED = 512, /* below a directory that others may write to: there a
			* descriptor is needed */
	GIVES = 1024,  /* a descriptor, which is needed anywhere */
};

#define WRONG (-100000) /* it answered, and the answer is not right */

struct operation {
	const char *name;
	int flags;
	void (*prepare)(void);
	int (*act)(void); /* 0 or more, or -errno, or WRONG - line */
	int errors[6];	  /* all that it may fail with */
};

extern const struct operation operations[];
extern const size_t noperations;

/* Of the process that plays an operation. */
struct stage {
	char dir[80];
	ushm_space *sp; /* NULL: not open yet */
	int id;		/* a segment, or -1 */
	char *at;	/* an attachment of it, or NULL */
	struct injection *in;
};

extern struct stage stage;

void stage_open(void);

#endif
