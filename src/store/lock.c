/* SPDX-License-Identifier: MIT */
/*
 * Owns the lock word and the undo log in the header.
 *
 * Invariant: while the word is 0, the undo log is empty and every guard is
 * even. While it names an owner, only that process's lock holder writes.
 * Crash: the word keeps the dead owner's name; the next taker finds it dead,
 * becomes the owner by compare-and-swap, restores the noted values backwards
 * and makes the guards even. Cut short, that begins anew: restoring twice is
 * the same as once.
 */
#include "store/lock.h"

#include "base/step.h"

#define WAITERS	    0x80000000u
#define SPINS	    200
#define PATIENCE_NS 1000000L

/* -------------------------------------------------------------- the undo */

/* Shared 64-bit words lie at multiples of 8 also where a uint64_t need not. */
typedef uint64_t __attribute__((aligned(8))) word64;

static uint32_t offset_of(const struct registry *r, const void *field)
{
	return (uint32_t)((const unsigned char *)field -
			  (const unsigned char *)r->h);
}

static void note(struct registry *r, const void *field, uint32_t width,
		 uint64_t before)
{
	struct layout_header *h = r->h;
	uint32_t n = h->undo_count;
	struct layout_undo_entry *e = &h->undo[n];

	assert(n < UNDO_ENTRIES);
	e->offset = offset_of(r, field);
	e->width = width;
	e->before = before;

	/* The entry must be there before it counts, and count before the
	 * field changes: repair reads them in the opposite order. */
	store_release(&h->undo_count, n + 1);
	fence_release();
	step("lock: old value noted");
}

void undo_set32(struct registry *r, uint32_t *field, uint32_t value)
{
	uint32_t before = load_relaxed(field);

	if (before == value)
		return;
	note(r, field, 4, before);
	store_relaxed(field, value);
	step("lock: value stored");
}

void undo_set64(struct registry *r, uint64_t *at, uint64_t value)
{
	word64 *field = (word64 *)at;
	uint64_t before = load_relaxed(field);

	if (before == value)
		return;
	note(r, field, 8, before);
	store_relaxed(field, value);
	step("lock: value stored");
}

void undo_guard(struct registry *r, uint32_t *guard)
{
	struct layout_header *h = r->h;
	uint32_t n = h->guard_count, offset = offset_of(r, guard);

	for (uint32_t i = 0; i < n; i++)
		if (h->guards[i] == offset)
			return;
	assert(n < UNDO_GUARDS);
	h->guards[n] = offset;
	store_release(&h->guard_count, n + 1);
	step("lock: guard noted");
	store_relaxed(guard, load_relaxed(guard) + 1);

	/* Pairs with the fence in guard_good(). */
	fence_release();
	step("lock: guard odd");
}

/* Make the guards of the change even again and forget them. */
static void guards_settle(struct registry *r)
{
	struct layout_header *h = r->h;
	uint32_t n = load_relaxed(&h->guard_count);

	if (n > UNDO_GUARDS)
		n = UNDO_GUARDS;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t offset = load_relaxed(&h->guards[i]), *guard;

		if (offset % 4 || offset > r->size - 4)
			continue;
		guard = (uint32_t *)(void *)((unsigned char *)h + offset);
		if (load_relaxed(guard) & 1)
			store_release(guard, load_relaxed(guard) + 1);
		step("lock: guard even");
	}
	store_release(&h->guard_count, 0);
}

void undo_commit(struct registry *r)
{
	step("lock: before commit");
	store_release(&r->h->undo_count, 0);
	step("lock: committed");
	guards_settle(r);
}

void undo_rollback(struct registry *r)
{
	struct layout_header *h = r->h;
	uint32_t n = load_acquire(&h->undo_count);

	if (n > UNDO_ENTRIES)
		n = UNDO_ENTRIES;
	while (n > 0) {
		struct layout_undo_entry e = h->undo[n - 1];
		unsigned char *at = (unsigned char *)h + e.offset;

		if (e.width == 4 && e.offset % 4 == 0 &&
		    e.offset <= r->size - 4)
			store_relaxed((uint32_t *)(void *)at,
				      (uint32_t)e.before);
		else if (e.width == 8 && e.offset % 8 == 0 &&
			 e.offset <= r->size - 8)
			store_relaxed((word64 *)(void *)at, e.before);
		store_release(&h->undo_count, --n);
		step("lock: value restored");
	}
	store_release(&h->undo_count, 0);
	guards_settle(r);
}

/* -------------------------------------------------------------- the lock */

static bool owner_is_dead(struct registry *r, const struct life_self *self,
			  uint32_t owner, unsigned long waits)
{
	const struct layout_proc *p = registry_proc(r, owner - 1);
	uint64_t claim;

	/* A word that names nobody: no ushm wrote it. */
	if (!p)
		return waits > 10;
	claim = load_acquire(&p->claim);
	if (claim_state(claim) == PROC_FREE)
		return waits > 10;
	if (life_marked(p))
		return life_is_dead(r, self, owner - 1, claim);

	/* The kernel could not mark it (its page was unmapped): now and then
	 * ask all the same. */
	if (waits % 16 != 15 || load_relaxed(&p->pid_ns) != self->pid_ns)
		return false;
	return sys_kill(claim_pid(claim), 0) == -ESRCH;
}

void lock_take(struct registry *r, const struct life_self *self, uint32_t me)
{
	uint32_t *word = &r->h->lock, mine = me + 1, seen = 0;
	unsigned long waits = 0;

	for (;;) {
		for (int i = 0; i < SPINS; i++) {
			seen = 0;
			if (swap_if(word, &seen, mine)) {
				step("lock: taken");
				return;
			}
			cpu_relax();
		}

		/* Say that we wait; from now on we are one who may have
		 * company, so our own name carries the bit as well. */
		mine = (me + 1) | WAITERS;
		if (!(seen & WAITERS) && !swap_if(word, &seen, seen | WAITERS))
			continue;
		seen |= WAITERS;
		if (sys_futex_wait(word, seen, PATIENCE_NS) != -ETIMEDOUT)
			continue;
		if (load_acquire(word) != seen)
			continue;

		if (owner_is_dead(r, self, seen & ~WAITERS, waits++) &&
		    swap_if(word, &seen, mine)) {
			step("lock: taken over");
			fetch_add(&r->h->repairs, 1u);
			undo_rollback(r);
			return;
		}
	}
}

bool lock_is_busy(const struct registry *r)
{
	uint32_t owner = load_acquire(&r->h->lock) & ~WAITERS;
	const struct layout_proc *p;

	p = owner ? registry_proc(r, owner - 1) : NULL;
	return p && !life_marked(p);
}

void lock_release(struct registry *r)
{
	uint32_t *word = &r->h->lock;

	step("lock: before release");
	if (exchange(word, 0u) & WAITERS) {
		step("lock: released");
		(void)sys_futex_wake(word, 1);
	}
}
