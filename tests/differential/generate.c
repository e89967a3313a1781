/* SPDX-License-Identifier: MIT */
/*
 * Makes sequences from seeds. What is known to differ (doc/semantics.md) is
 * not made here:
 *
 *	D4, D5	descriptors and root directories are left alone
 *	D6, D7	no SHM_HUGETLB
 *	D8, D9	no mprotect, mlock or madvise
 *	D12	fork(), exec and exits through libc only
 *	D13	no size between what fits easily and shmmax
 *	D14	no limits
 *	D15	SHM_EXEC only if the caller says so
 *	D27	munmap, mmap and mremap by the program itself only
 *
 * and the rest is settled in run.c.
 */
#include "op.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/shm.h>

#ifndef SHM_EXEC
#define SHM_EXEC 0100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum { ARENA_PAGES = 24, RECENT = 4 };

static uint64_t state;
static struct op_options options;
static struct {
	bool alive;
	bool other;	     /* has become another user */
	long recent[RECENT]; /* pages where something was attached */
} model[WORKERS];

static unsigned below(unsigned n)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ z >> 31) >> 16) % n;
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

#define PICK(table) ((table)[below(sizeof(table) / sizeof(*(table)))])

static long a_slot(void)
{
	return below(SLOTS);
}

static long a_twist(void)
{
	return one_in(12) ? 1 + below(TWISTS - 1) : 0;
}

static long a_page(int w)
{
	return one_in(3) ? below(ARENA_PAGES) : model[w].recent[below(RECENT)];
}

static long a_mode(void)
{
	static const long modes[] = { 0600, 0600, 0600, 0644, 0666, 0777,
				      0400, 0200, 0000, 0060, 0006, 0640,
				      0604, 0444, 0222, 0700, 0077 };

	return PICK(modes);
}

static void make_get(struct op *op)
{
	static const long keys[] = { 1, 2, 3, 4, 5, 6, -1, INT32_MIN };
	static const long sizes[] = {
		1,	  4095,	    4096,     4097,  8192, 12288, 3 * 4096 - 1,
		4 * 4096, 5 * 4096, 8 * 4096, 20000, 0,	   -1,	  -(1L << 24),
		10
	};

	op->code = OP_GET;
	op->arg[0] = a_slot();
	op->arg[1] = one_in(3) ? IPC_PRIVATE : PICK(keys);
	op->arg[2] = PICK(sizes);
	op->arg[3] = a_mode();
	if (!one_in(4))
		op->arg[3] |= IPC_CREAT;
	if (one_in(6))
		op->arg[3] |= IPC_EXCL;
	if (one_in(8))
		op->arg[3] |= SHM_NORESERVE;
	if (one_in(16))
		op->arg[3] |= 1L << (16 + below(10)); /* unknown bits */
}

static long attach_flags(void)
{
	long flags = 0;

	if (one_in(4))
		flags |= SHM_RDONLY;
	if (one_in(5))
		flags |= SHM_RND;
	if (one_in(4))
		flags |= SHM_REMAP;
	if (options.exec && one_in(8))
		flags |= SHM_EXEC;
	if (one_in(16))
		flags |= 1L << below(9); /* unknown bits */
	return flags;
}

static void make_attach(struct op *op, int w)
{
	if (one_in(4)) {
		op->code = OP_ATF;
		op->arg[0] = below(FLOATS);
		op->arg[1] = a_slot();
		op->arg[2] = attach_flags();
		return;
	}
	op->code = OP_AT;
	op->arg[0] = a_slot();
	op->arg[1] = a_twist();
	op->arg[2] = one_in(3) ? a_page(w) : (long)below(ARENA_PAGES / 4) * 4;
	op->arg[3] = one_in(8) ? below(4096) : 0;
	op->arg[4] = attach_flags();
	model[w].recent[below(RECENT)] = op->arg[2];
}

static void make_detach(struct op *op, int w)
{
	if (one_in(4)) {
		op->code = OP_DTF;
		op->arg[0] = below(FLOATS);
		return;
	}
	op->code = OP_DT;
	op->arg[0] = a_page(w);
	op->arg[1] = one_in(16) ? below(4096) : 0;
}

static void make_control(struct op *op)
{
	static const long odd[] = { -1, 4, 5, 10, 16, 99, 0x100, 0x102, 18 };
	static const long plain[] = { IPC_RMID, IPC_RMID, IPC_RMID,
				      IPC_RMID, SHM_LOCK, SHM_UNLOCK };
	static const long reads[] = { IPC_STAT, SHM_STAT, 15,
				      IPC_SET,	IPC_INFO, SHM_INFO };

	op->code = OP_CTL;
	op->arg[0] = a_slot();
	op->arg[1] = a_twist();
	switch (below(8)) {
	case 0:
		op->arg[2] = PICK(odd);
		op->arg[3] = below(4);
		break;
	case 1:
		op->arg[2] = PICK(reads);
		op->arg[3] = 1 + below(3); /* a bad buffer */
		break;
	default:
		op->arg[2] = PICK(plain);
		op->arg[3] = below(4);
	}
}

static void make_set(struct op *op)
{
	static const long ids[] = { 0, 0, 0, 65534, 1, 1000, 65534, -1 };

	op->code = OP_SET;
	op->arg[0] = a_slot();
	op->arg[1] = a_twist();
	op->arg[2] = PICK(ids);
	op->arg[3] = PICK(ids);
	op->arg[4] = a_mode() | (one_in(4) ? 07000 : 0);
}

static void make_memory(struct op *op, int w)
{
	op->arg[0] = a_page(w);
	switch (below(12)) {
	case 0:
	case 1:
	case 2:
		op->code = OP_UNMAP;
		op->arg[0] += below(3);
		op->arg[1] = one_in(8) ? below(20000)
				       : (1 + (long)below(4)) * 4096;
		break;
	case 3:
		op->code = OP_UNMAPF;
		op->arg[0] = below(FLOATS);
		break;
	case 4:
	case 5:
		op->code = OP_MAP;
		op->arg[0] += below(3);
		op->arg[1] = 1 + below(3);
		op->arg[2] = one_in(4);
		break;
	case 6:
		op->code = OP_REMAPF;
		op->arg[0] = below(FLOATS);
		op->arg[1] = below(ARENA_PAGES);
		break;
	default:
		op->code = OP_REMAP;
		op->arg[0] += one_in(2) ? 0 : below(3);
		op->arg[1] = one_in(8) ? 0 : 1 + below(4);
		op->arg[2] = one_in(2) ? op->arg[1] : (long)below(6);
		switch (below(5)) {
		case 0:
		case 1:
			op->arg[3] = 0; /* shrink, or grow where it is */
			break;
		case 2:
			op->arg[3] = MREMAP_MAYMOVE | MREMAP_FIXED |
				     MREMAP_DONTUNMAP;
			break;
		default:
			op->arg[3] = MREMAP_MAYMOVE | MREMAP_FIXED;
		}
		op->arg[4] = below(ARENA_PAGES);
	}
}

static void make_touch(struct op *op, int w)
{
	switch (below(6)) {
	case 0:
		op->code = OP_PUTF;
		op->arg[0] = below(FLOATS);
		op->arg[1] = below(4);
		op->arg[2] = 1 + below(250);
		break;
	case 1:
		op->code = OP_LOOKF;
		op->arg[0] = below(FLOATS);
		op->arg[1] = below(4);
		break;
	case 2:
	case 3:
		op->code = OP_PUT;
		op->arg[0] = a_page(w) + below(3);
		op->arg[1] = one_in(2) ? 0 : below(4096);
		op->arg[2] = 1 + below(250);
		break;
	default:
		op->code = OP_LOOK;
		op->arg[0] = a_page(w) + below(3);
		op->arg[1] = one_in(2) ? 0 : below(4096);
	}
}

static void make_process(struct op *op, int w)
{
	static const long users[] = { 0, 65534, 1000 };
	long other = below(WORKERS);

	switch (below(12)) {
	case 0:
		op->code = OP_EXEC;
		break;
	case 1:
		op->code = one_in(2) ? OP_NOEXEC : OP_VFORK;
		break;
	case 2:
		op->code = OP_REAP;
		break;
	case 3:
	case 4:
		op->code = one_in(3) ? OP_EGID : OP_EUID;
		op->arg[0] = model[w].other ? 0 : PICK(users);
		model[w].other = op->arg[0] != 0;
		break;
	case 5:
		op->code = OP_EXIT;
		op->arg[0] = below(5);
		model[w].alive = false;
		break;
	case 6:
		op->code = OP_KILL;
		op->arg[0] = other;
		op->arg[1] = below(2);
		model[other].alive = false;
		break;
	default:
		op->code = one_in(4) ? OP_SPAWN : OP_FORK;
		for (int i = 0; model[other].alive && i < WORKERS; i++)
			other = (other + 1) % WORKERS;
		op->arg[0] = other;
		model[other] = model[w];
		model[other].alive = true;
	}
}

static void make(struct op *op, int w)
{
	unsigned kind = below(100);

	*op = (struct op){ .worker = w };
	if (kind < 13) {
		make_get(op);
	} else if (kind < 33) {
		make_attach(op, w);
	} else if (kind < 45) {
		make_detach(op, w);
	} else if (kind < 54) {
		make_control(op);
	} else if (kind < 58) {
		make_set(op);
	} else if (kind < 62) {
		op->code = OP_STAT;
		op->arg[0] = a_slot();
		op->arg[1] = a_twist();
		op->arg[2] = one_in(3)	 ? SHM_STAT
			     : one_in(3) ? 15 /* SHM_STAT_ANY */
					 : IPC_STAT;
		if (op->arg[2] != IPC_STAT && !one_in(4))
			op->arg[1] = 2;
	} else if (kind < 63) {
		op->code = OP_INFO;
		op->arg[0] = one_in(2) ? IPC_INFO : SHM_INFO;
	} else if (kind < 67) {
		op->code = OP_AUDIT;
	} else if (kind < 81) {
		make_memory(op, w);
	} else if (kind < 97) {
		make_touch(op, w);
	} else {
		make_process(op, w);
	}
}

void op_generate(uint64_t seed, struct op *ops, int n,
		 const struct op_options *o)
{
	int i = 0, w, left = 0;

	state = seed * 0x2545f4914f6cdd1du + 1;
	options = *o;
	for (w = 0; w < WORKERS; w++)
		model[w].alive = w < 3;
	for (w = 0; w < 3 && i < n; w++, i++)
		ops[i] = (struct op){ .code = OP_SPAWN, .arg = { w } };
	for (w = 0; i < n; i++, left--) {
		/* Some calls of one worker, then of another. */
		for (int tries = 0; left <= 0 || !model[w].alive; tries++) {
			w = (int)below(WORKERS);
			left = 1 + (int)below(12);
			if (tries > 100) {
				ops[i++] = (struct op){ .code = OP_SPAWN };
				model[0].alive = true;
				if (i == n)
					return;
			}
		}
		/* What a slot of the table names should not be lost too often.
		 */
		make(&ops[i], w);
		if (ops[i].code == OP_GET && i + 1 < n && !one_in(3)) {
			ops[i + 1] = ops[i];
			ops[i] = (struct op){ .worker = w, .code = OP_CTL };
			ops[i].arg[0] = ops[i + 1].arg[0];
			ops[i].arg[2] = IPC_RMID;
			i++;
		}
		if (options.ticks && one_in(1000) && i + 1 < n)
			ops[++i] = (struct op){ .code = OP_TICK };
	}
}
