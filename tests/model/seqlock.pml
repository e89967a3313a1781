/* SPDX-License-Identifier: MIT */
/*
 * A reader without the lock against a writer that is killed.
 *
 * Two writers change two fields under the guard;
 * the reader copies the fields, asks whether the guard stayed the same and
 * even, and after two failures comes for the lock, as segments_read() and
 * space_read() do.
 *
 * Properties: what a reader takes for good is a state between two changes,
 * and not older than when it began; a guard left odd ends with the next
 * taking of the lock.
 *
 * Broken: READER does not ask for the guard again; GUARD changes without it;
 * EVEN makes the guard even before the log is applied.
 *
 * Left out: fences (one address is read after the other). The guard counts to
 * 16 here; a reader that sleeps through 2^31 changes is not considered.
 */
#define PROCS 4
#define SLOTS 4
#define CELLS 2
#define UNDO  2
#ifndef KILLS
#define KILLS 2
#endif
#define LAST	   (PROCS - 1)
#define GUARD_MASK 15
#include "common.pml"

byte final;

inline records_sweep(v)
{
	skip
}

inline space_unlock()
{
	lock_release()
}

inline change()
{
	lock_take();
	assert(mem[0] == final && mem[1] == final && guard % 2 == 0);
#ifndef BROKEN_GUARD
	guard_set();
#endif
	set(0, final + 1);
	set(1, final + 1);
	COMMIT(final++);
	lock_release()
}

proctype writer(byte me; byte times)
{
	LOCALS = me;
	{
		do
		:: times > 0 -> change(); times--
		:: times == 0 -> break
		od;
		done[me] = true
	} unless DEATH
}

proctype reader(byte me)
{
	byte begun, x, y, least, tries;
	LOCALS = me;
	{
		least = final;
		do
		:: tries < 2 ->
			tries++;
			begun = guard;
			x = mem[0];
			y = mem[1];
#ifdef BROKEN_READER
			if
			:: true ->
#else
			if
			:: begun % 2 == 0 && guard == begun ->
#endif
				assert(x == y && x >= least && x <= final);
				break
#ifndef BROKEN_READER
			:: !(begun % 2 == 0 && guard == begun)
#endif
			fi
		:: tries == 2 ->
			lock_take();
			assert(guard % 2 == 0);
			assert(mem[0] == final && mem[1] == final);
			lock_release();
			break
		od;
		done[me] = true
	} unless DEATH
}

/* The next call, when all is quiet. */
proctype next_call(byte me)
{
	LOCALS = me;

	ENDED(0) && ENDED(1) && ENDED(2);
	lock_take();
	assert(mem[0] == final && mem[1] == final);
	assert(guard % 2 == 0 && !guard_noted && undo_n == 0);
	lock_release()
}

active proctype environment()
{
end:	do
	FATE(0)
	FATE(1)
	FATE(2)
	od
}

init {
	atomic {
		claim[0] = CLAIM(0, LIVE);
		claim[1] = CLAIM(1, LIVE);
		claim[2] = CLAIM(2, LIVE);
		claim[3] = CLAIM(LAST, LIVE);
		run writer(0, 1);
		run writer(1, 1);
		run reader(2);
		run next_call(LAST)
	}
}
