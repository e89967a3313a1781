/* SPDX-License-Identifier: MIT */
/*
 * Owns the lock word and the undo log in the header.
 *
 * Invariant: while the word is 0, the undo log is empty and every guard is
 * even. While it names an owner, only that process's lock holder writes.
 * Crash: the word keeps the dead owner's name; the next taker finds it dead,
 * looks again, becomes the owner by compare-and-swap, restores the noted values
 * backwards and makes the guards even. Cut short, that begins anew: restoring
 * twice is the same as once.
 */
#include "store/lock.h"

#include "base/signals.h"
#include "base/step.h"

#define WAITERS	    0x80000000u
#define SPINS	    200
#define PATIENCE_NS 1000000L
#define LONG_WAIT   100 /* times PATIENCE_NS */

/* -------------------------------------------------------------- the undo */

static uint32_t offset_of(const struct registry *r, const void *field)
{
	return (uint32_t)((const unsigned char *)field -
			  (const unsigned char *)r->h);
}

/*
 * May a change have noted this? Only what the lock guards: a log that was
 * scribbled on must not reach the claims and life words of processes, the
 * lock word, or what says that this is a registry.
 */
static bool is_guarded(const struct registry *r, uint32_t offset)
{
	uint32_t procs = offset_of(r, r->procs);
	uint32_t end = offset_of(r, r->procs + r->max_procs);

	if (offset < LAYOUT_PAGE)
		return (offset >= offsetof(struct layout_header, segments) &&
			offset < offsetof(struct layout_header, lock)) ||
		       (offset >= offsetof(struct layout_header, next_id) &&
			offset < offsetof(struct layout_header, undo_count));
	if (offset >= procs && offset < end) {
		offset = (offset - procs) % sizeof(struct layout_proc);
		return offset == offsetof(struct layout_proc, first_attach) ||
		       offset == offsetof(struct layout_proc, attaches);
	}
	return true;
}

static bool is_guard(const struct registry *r, uint32_t offset)
{
	uint32_t segments = offset_of(r, r->segments);
	uint32_t end = offset_of(r, r->segments + r->max_segments);

	if (offset >= segments && offset < end)
		return (offset - segments) % sizeof(struct layout_segment) == 0;
	return offset == offsetof(struct layout_header, key_guard);
}

static void note(struct registry *r, const void *field, uint32_t width,
		 uint64_t before)
{
	struct layout_header *h = r->h;
	uint32_t n = load_relaxed(&h->undo_count);
	struct layout_undo_entry *e = &h->undo[n];

	/* No change is as long: somebody has scribbled on the count. */
	if (n >= UNDO_ENTRIES)
		return;
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
	uint32_t n = load_relaxed(&h->guard_count);
	uint32_t offset = offset_of(r, guard);

	for (uint32_t i = 0; i < n && i < UNDO_GUARDS; i++)
		if (h->guards[i] == offset)
			return;
	if (n >= UNDO_GUARDS)
		return; /* scribbled on, as above */
	h->guards[n] = offset;
	store_release(&h->guard_count, n + 1);
	step("lock: guard noted");
	store_relaxed(guard, load_relaxed(guard) + 1);

	/* Pairs with the fence in guard_good(). */
	fence_release();
	step("lock: guard odd");
}

void undo_settle_guard(uint32_t *guard)
{
	if (load_relaxed(guard) & 1)
		store_release(guard, load_relaxed(guard) + 1);
}

/* Make the guards of the change even again and forget them. */
static void guards_settle(struct registry *r)
{
	struct layout_header *h = r->h;
	uint32_t n = load_relaxed(&h->guard_count);

	if (n > UNDO_GUARDS)
		n = UNDO_GUARDS;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t offset = load_relaxed(&h->guards[i]);

		if (!is_guard(r, offset))
			continue;
		undo_settle_guard(
			(uint32_t *)(void *)((unsigned char *)h + offset));
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

		if (!is_guarded(r, e.offset))
			; /* no change has noted it */
		else if (e.width == 4 && e.offset % 4 == 0 &&
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

/* The owner's claim, by which it was found dead, goes to *ret_claim. */
static bool owner_is_dead(struct registry *r, const struct life_self *self,
			  uint32_t me, uint32_t owner, unsigned long waits,
			  uint64_t *ret_claim)
{
	const struct layout_proc *p = registry_proc(r, owner - 1);
	uint64_t claim;

	*ret_claim = p ? load_acquire(&p->claim) : 0;
	/* A word that names nobody, or us, who wait: no ushm wrote it. Another
	 * thread of ours cannot have it, because we hold 'local'. */
	if (!p || owner == me + 1)
		return waits > 10;
	claim = *ret_claim;
	if (claim_state(claim) != PROC_LIVE || claim_pid(claim) <= 0)
		return waits > 10;
	/* CLAIMING: a child that could not lock its life word. */
	if (life_marked(p) || claim_state(claim) == PROC_CLAIMING)
		return life_is_dead(r, self, owner - 1, claim);

	/* The kernel could not mark it (its page was unmapped): now and then
	 * ask all the same. */
	if (waits % 16 != 15 || load_relaxed(&p->pid_ns) != self->pid_ns)
		return false;
	return sys_kill(claim_pid(claim), 0) == -ESRCH;
}

/* Behind a free word there is none, unless the word was scribbled on. */
static void undo_leftovers(struct registry *r)
{
	if (load_relaxed(&r->h->undo_count) || load_relaxed(&r->h->guard_count))
		undo_rollback(r);
}

/*
 * The owner that 'seen' names was found dead when its claim was 'claim'. But a
 * slot gets another owner, who may have the lock by now under the same name:
 * look again. If the word and the claim are the same still, the lock is a dead
 * one's, and from there on only a takeover changes the word; so the number of
 * takeovers is compared along with it.
 */
static bool take_over(struct registry *r, uint32_t seen, uint64_t claim,
		      uint32_t mine)
{
	const struct layout_proc *p = registry_proc(r, (seen & ~WAITERS) - 1);
	word64 *pair = (word64 *)(void *)&r->h->lock;
	union {
		uint64_t both;
		uint32_t half[2]; /* lock, repairs */
	} old, new;

	static_assert(offsetof(struct layout_header, repairs) ==
			      offsetof(struct layout_header, lock) + 4,
		      "lock");

	old.both = load_acquire(pair);
	if (old.half[0] != seen || (p && load_acquire(&p->claim) != claim))
		return false;
	new.half[0] = mine;
	new.half[1] = old.half[1] + 1;
	return swap_if(pair, &old.both, new.both);
}

/* False when 'patience_ns' were over before a living owner let go. */
static bool take(struct registry *r, const struct life_self *self, uint32_t me,
		 const uint64_t *signals, int64_t patience_ns)
{
	int64_t begun = 0;
	uint32_t *word = &r->h->lock, mine = me + 1, seen = 0;
	unsigned long waits = 0;
	uint64_t claim;

	for (;;) {
		for (int i = 0; i < SPINS; i++) {
			seen = 0;
			if (swap_if(word, &seen, mine)) {
				step("lock: taken");
				undo_leftovers(r);
				return true;
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
		if (waits % LONG_WAIT == LONG_WAIT - 1)
			signals_obey(signals);

		if (owner_is_dead(r, self, me, seen & ~WAITERS, waits++,
				  &claim)) {
			step("lock: owner found dead");
			if (!take_over(r, seen, claim, mine))
				continue;
			step("lock: taken over");
			undo_rollback(r);
			return true;
		}
		if (patience_ns == INT64_MAX)
			continue;
		if (!begun)
			begun = sys_monotonic_ns();
		if (sys_monotonic_ns() - begun > patience_ns)
			return false;
	}
}

void lock_take(struct registry *r, const struct life_self *self, uint32_t me,
	       const uint64_t *signals)
{
	(void)take(r, self, me, signals, INT64_MAX);
}

bool lock_try(struct registry *r, const struct life_self *self, uint32_t me,
	      const uint64_t *signals, int64_t patience_ns)
{
	return take(r, self, me, signals, patience_ns);
}

uint32_t lock_owner(const struct registry *r)
{
	return load_acquire(&r->h->lock) & ~WAITERS;
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
