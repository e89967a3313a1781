/* SPDX-License-Identifier: MIT */
/*
 * Takeover of the lock: dead owners, slow owners, slots that change hands.
 *
 * Four processes want three slots, change two fields under the lock and sweep
 * what they find dead; any of them is killed or slow anywhere. The fourth
 * gets a dead one's slot: a word that names this slot names somebody else now.
 *
 * Properties: one living process at a time has the lock; a change is there
 * wholly or not at all; nobody waits for ever; in the end no slot is lost.
 *
 * Broken: BLIND takes over without asking; MARK takes the mark for a proof;
 * NO_UNDO forgets the log; ABA compares the owner's slot alone.
 *
 * Left out: records (remove.pml) and what the fields mean. Each process makes
 * one change; a second one would be that of another process.
 */
#define PROCS 5
#define SLOTS 4
#define CELLS 2
#define UNDO  2
#ifndef KILLS
#define KILLS 2
#endif
#define LAST  (PROCS - 1)
#include "common.pml"

byte final; /* the value of both fields */

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
	assert(mem[0] == final && mem[1] == final);
	set(0, mem[0] + 1);
	set(1, mem[1] + 1);
	COMMIT(final = mem[0]);
	lock_release()
}

proctype process(byte me)
{
	LOCALS = me;
	{
		change();
		done[me] = true
	} unless DEATH
}

proctype sweeper(byte me)
{
	LOCALS = me;
	{
		sweep(0);
		change();
		done[me] = true
	} unless DEATH
}

proctype newcomer(byte me)
{
	LOCALS;
	{
		if
		CLAIM_ONE(0)
		:: true -> goto no_slot
		fi;
		slot_live();
		change();
no_slot:	done[me] = true
	} unless DEATH
}

/* The next call, when all is quiet. */
proctype next_call(byte me)
{
	LOCALS;

	ENDED(0) && ENDED(1) && ENDED(2) && ENDED(3);
	slot = 3;
	sweep(0);
	sweep(1);
	sweep(2);
	lock_take();
	assert(mem[0] == final && mem[1] == final);
	lock_release();
	for (k : 0 .. 2) {
		assert(HOW(claim[k]) == FREE || alive[WHO(claim[k])])
	}
}

active proctype environment()
{
end:	do
	FATE(0)
	FATE(1)
	FATE(2)
	FATE(3)
	od
}

init {
	atomic {
		claim[0] = CLAIM(0, LIVE);
		claim[1] = CLAIM(1, LIVE);
		claim[2] = CLAIM(2, LIVE);
		claim[3] = CLAIM(LAST, LIVE);
		run process(0);
		run process(1);
		run sweeper(2);
		run newcomer(3);
		run next_call(LAST)
	}
}
