/* SPDX-License-Identifier: MIT */
/*
 * The registry's lock and the undo log behind it.
 *
 * One futex word names its owner's process slot. A waiter wakes every
 * millisecond to ask whether that process is alive; if not it takes the lock
 * over and undoes what the dead one had not finished. Only memory is touched
 * under the lock, never a file or a mapping, with all signals blocked.
 *
 * A change is written in place: undo_set*() notes the old value, then stores
 * the new one; undo_commit() makes the change final. Killed before that, it
 * never happened.
 */
#ifndef USHM_STORE_LOCK_H
#define USHM_STORE_LOCK_H

#include "store/life.h"
#include "store/registry.h"

/*
 * Take the lock for process slot 'me', with signals blocked; 'signals' is the
 * mask from before. Repairs what a dead owner left. Not recursive.
 *
 * An owner that was stopped (SIGSTOP, a debugger) is waited for until it goes
 * on or dies: it cannot be robbed, it would go on writing. Who waits can be
 * killed meanwhile, not only by SIGKILL.
 */
void lock_take(struct registry *r, const struct life_self *self, uint32_t me,
	       const uint64_t *signals);
void lock_release(struct registry *r);

/* The same, for as long as 'patience_ns'. False: a living process has it. */
bool lock_try(struct registry *r, const struct life_self *self, uint32_t me,
	      const uint64_t *signals, int64_t patience_ns);

/* The process slot + 1 that the lock word names, or 0. */
uint32_t lock_owner(const struct registry *r);

/* Held by a living process just now, which may be stopped. */
bool lock_is_busy(const struct registry *r);

/* All of these: only with the lock held. */
void undo_set32(struct registry *r, uint32_t *field, uint32_t value);
void undo_set64(struct registry *r, uint64_t *field, uint64_t value);

static inline void undo_set_i32(struct registry *r, int32_t *field,
				int32_t value)
{
	undo_set32(r, (uint32_t *)field, (uint32_t)value);
}

static inline void undo_set_i64(struct registry *r, int64_t *field,
				int64_t value)
{
	undo_set64(r, (uint64_t *)field, (uint64_t)value);
}

/*
 * Mark what 'guard' covers as changing, until undo_commit(): lock-free
 * readers wait or come for the lock. At most UNDO_GUARDS a change; the same
 * one twice is one.
 */
void undo_guard(struct registry *r, uint32_t *guard);

void undo_commit(struct registry *r);

/* No change is going on: an odd guard is damage that locks readers out. */
void undo_settle_guard(uint32_t *guard);

/* Give up a change that was begun. */
void undo_rollback(struct registry *r);

/*
 * Lock-free reading: take the number, read with load_relaxed(), and ask
 * whether it still is. A number that is odd is never good.
 */
static inline uint32_t guard_begin(const uint32_t *guard)
{
	/* Pairs with the release in undo_commit(): an even number means that
	 * the values of the last finished change are visible. */
	return load_acquire(guard);
}

static inline bool guard_good(const uint32_t *guard, uint32_t begun)
{
	/* Pairs with the fence in undo_guard(): had we read a value of a
	 * change in progress, we would also see its odd number. */
	fence_acquire();
	return !(begun & 1) && load_relaxed(guard) == begun;
}

#endif
