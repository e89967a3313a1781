/* SPDX-License-Identifier: MIT */
/*
 * The operations that a sequence consists of, and their text: a line
 * "WORKER NAME NUMBER...". A sequence is a file of such lines, so it can be
 * kept, cut and edited; an operation that makes no sense where it stands - its
 * worker is not alive, its slot is empty - does nothing.
 *
 * Numbers are names of things, not results: SLOT of the table of ids that all
 * workers share, PAGE of the arena (a range of addresses that is free in every
 * worker at first), FLOAT of a worker's own table of addresses that the system
 * chose. TWIST makes another id of an id: see run_id().
 */
#ifndef OP_H
#define OP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { WORKERS = 6, SLOTS = 12, FLOATS = 4, OP_ARGS = 5, TWISTS = 7 };

enum op_code {
	OP_GET,	   /* SLOT KEY SIZE FLAGS */
	OP_AT,	   /* SLOT TWIST PAGE BYTE FLAGS */
	OP_ATF,	   /* FLOAT SLOT FLAGS: the system chooses the address */
	OP_DT,	   /* PAGE BYTE */
	OP_DTF,	   /* FLOAT */
	OP_CTL,	   /* SLOT TWIST CMD BUFFER: nothing is printed of the buffer */
	OP_STAT,   /* SLOT TWIST CMD */
	OP_SET,	   /* SLOT TWIST UID GID MODE */
	OP_INFO,   /* CMD */
	OP_AUDIT,  /* SHM_STAT_ANY of every index, SHM_INFO */
	OP_PUT,	   /* PAGE BYTE VALUE */
	OP_LOOK,   /* PAGE BYTE */
	OP_PUTF,   /* FLOAT PAGE VALUE */
	OP_LOOKF,  /* FLOAT PAGE */
	OP_UNMAP,  /* PAGE BYTES */
	OP_UNMAPF, /* FLOAT */
	OP_MAP,	   /* PAGE PAGES KIND: 0 MAP_FIXED, 1 MAP_FIXED_NOREPLACE */
	OP_REMAP,  /* PAGE PAGES NEWPAGES FLAGS DESTINATION */
	OP_REMAPF, /* FLOAT DESTINATION */
	OP_EUID,   /* UID */
	OP_EGID,   /* GID */
	OP_FORK,   /* CHILD: becomes this worker */
	OP_VFORK,
	OP_EXEC,   /* itself, anew */
	OP_NOEXEC, /* fails */
	OP_REAP,   /* its dead children */
	OP_EXIT, /* HOW: 0 exit, 1 _exit, 2 SIGKILL, 3 SIGTERM, 4 quick_exit */
	/* Done by the conductor, whatever WORKER is. */
	OP_SPAWN, /* CHILD: with nothing attached */
	OP_KILL,  /* CHILD ZOMBIE: 1: do not reap it yet */
	OP_TICK,  /* wait for the next second */
	OP_CODES
};

struct op {
	int worker, code;
	long arg[OP_ARGS];
};

int op_args(int code);
const char *op_name(int code);

/* The text of 'op', without a newline. */
int op_print(const struct op *op, char *buf, size_t size);

/* One line; false if it is not an operation. */
bool op_parse(const char *line, struct op *ret);

static inline bool op_is_conductors(const struct op *op)
{
	return op->code >= OP_SPAWN;
}

/* The worker does not come back from it by itself. */
static inline bool op_is_last(const struct op *op)
{
	return op->code == OP_EXIT || op->code == OP_EXEC;
}

struct op_options {
	bool exec; /* SHM_EXEC may be used (difference D15) */
	bool ticks;
};

/* 'n' operations, the same ones for the same seed. */
void op_generate(uint64_t seed, struct op *ops, int n,
		 const struct op_options *o);

/*
 * Run them and print what came of each; returns an exit status. Without
 * 'with_known' operations that would meet one of the bugs in known/ do nothing.
 */
int run(const struct op *ops, int n, bool with_known);

/* The image after OP_EXEC: never returns. */
int run_again(int argc, char **argv);

/* The sequence as the second half of a C program: see standalone.c. */
void standalone_print(const struct op *ops, int n, FILE *f);

#endif
