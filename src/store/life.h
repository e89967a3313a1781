/* SPDX-License-Identifier: MIT */
/*
 * The sign of life that each process gives.
 *
 * A process locks the robust mutex in its slot once and never unlocks it; the
 * kernel marks the mutex's futex word when the locking thread ends or calls
 * execve(), before anybody can wait for the process. So who is not marked is
 * alive, at the price of one load. The mark alone is no proof of death: it is
 * also set when merely that thread ended, and it comes before other threads
 * have stopped. store/death.h asks on.
 */
#ifndef USHM_STORE_LIFE_H
#define USHM_STORE_LIFE_H

#include <stdbool.h>

#include "base/sys.h"
#include "store/registry.h"

/* Bits of layout_proc.life_word. */
#define LIFE_WHICH 1u
#define LIFE_LEFT  2u

/* In layout_header.pid_ns; no inode of a namespace is so low. */
#define LIFE_SEVERAL_NS 1u

/* What this process is: filled by life_self() anew in every process. */
struct life_self {
	int pid;
	uint64_t pid_ns, time_ns, image;
};

void life_self(struct life_self *ret);

/* Now, in the units of layout_proc.born. */
uint64_t life_clock(void);

/*
 * The pid namespace that the slot's pid is from, or 0 if that cannot be known:
 * its owner has not said yet, and owners are of several.
 */
static inline uint64_t life_pid_ns(const struct registry *r,
				   const struct layout_proc *p)
{
	uint64_t ns = load_acquire(&p->pid_ns);

	if (ns)
		return ns;
	ns = load_acquire(&r->h->pid_ns);
	return ns == LIFE_SEVERAL_NS ? 0 : ns;
}

/* Make the life word of a slot that is nobody's, or only ours, all zero. */
void life_clear(struct layout_proc *p);

/* Lock the life word of our own slot, for the first time. 0 or -errno. */
int life_begin(struct layout_proc *p);

/* The thread that had locked our own life word is gone: lock it again. */
int life_renew(struct layout_proc *p);

static inline bool life_marked(const struct layout_proc *p)
{
	uint32_t which = load_relaxed(&p->life_word) & LIFE_WHICH;
	const uint32_t *word = (const uint32_t *)p->life + which;

	return load_acquire(word) & FUTEX_OWNER_DIED;
}

#endif
