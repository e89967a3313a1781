/* SPDX-License-Identifier: MIT */
/*
 * fork() against SIGKILL: of the parent, of the child, of who sweeps them.
 *
 * The parent reserves the child's slot, copies its record there, forks; the
 * child makes the slot its own and detaches. A sweeper looks at both slots at
 * any time; a newcomer takes the parent's slot when it is free. The parent
 * learns the child's number (the preload) or not (the linked library); fork()
 * may fail.
 *
 * Properties: never fewer records than attachments of the living, the child's
 * from fork() on; nobody finds a slot taken that it was to be born into or is
 * filling in; after the next call, when all is quiet, the dead have no slot
 * and no record.
 *
 * Broken: COPY reserves no record before fork(); PARENT knows the parent by
 * its slot alone; REPARENT searches for the children of a parent that may die
 * meanwhile; NAMESPACE judges by the numbers of another pid namespace.
 *
 * Left out: time. A child that is young is not asked about, which only delays
 * the question, and the question may come at any time here. What a search has
 * found is kept as a hint and asked again, so it is left out. A process of
 * another pid namespace judges no LIVE slot here.
 */
#define PROCS	5
#define SLOTS	4
#define CELLS	3 /* the records of slots 0, 1 and 2 */
#define UNDO	1
#ifndef KILLS
#define KILLS 2
#endif
#ifndef LIES
#define LIES 0
#endif
#define PLAIN_LOCK
#include "common.pml"

#define PARENT	 0
#define CHILD	 1
#define SWEEPER	 2
#define NEWCOMER 3
#define LAST	 4

/* Slots: 0 the parent's, 1 the sweeper's, 2 the child's, 3 the last one's. */
#define RESERVED 2

bool using[2];
byte parents;	 /* the reserved slot's: the claim of its parent */
bool forking;	 /* and whether fork() has yet to return */
bool reparented; /* the kernel gave the child of a dead parent to another */

active proctype monitor()
{
end:	d_step {
		mem[0] + mem[RESERVED] < (using[0] && alive[0] -> 1 : 0) +
					 (using[1] && alive[1] -> 1 : 0);
		assert(false)
	}
}

inline records_sweep(v)
{
	if
	:: mem[v] -> set(v, 0);
		COMMIT(SAID("ledger: swept a record"))
	:: else
	fi
}

inline space_unlock()
{
	lock_release()
}

/* ---------------------------------------------------------- the parent */

inline reserve()
{
	STEP("procs: reserving", assert(HOW(claim[RESERVED]) == FREE);
	     claim[RESERVED] = CLAIM(PARENT, CLAIMING));
	parents = claim[0];
	forking = true;
	STEP("procs: child's slot reserved",
	     assert(claim[RESERVED] == CLAIM(PARENT, CLAIMING));
	     claim[RESERVED] = CLAIM(PARENT, UNBORN));
#ifndef BROKEN_COPY
	lock_take();
	set(RESERVED, 1);
	COMMIT(skip);
	lock_release()
#endif
}

proctype parent(byte me)
{
	LOCALS = me;
	{
		reserve();
		SAID("process: ready to fork");
		if
		:: d_step { true; alive[CHILD] = true; mark[CHILD] = false;
			using[1] = true };
			if
			:: forking = false /* linked: that is all */
			:: forking = false;
				d_step {
					if
					:: claim[RESERVED] ==
					   CLAIM(PARENT, UNBORN) ->
						claim[RESERVED] =
							CLAIM(CHILD, UNBORN)
					:: else
					fi
				}
			fi
		:: true -> /* fork() fails */
			if
			:: forking = false
			:: forking = false;
				suspect = CLAIM(PARENT, UNBORN);
				sweep_locked(RESERVED)
			fi
		fi;
		done[me] = true
	} unless DEATH
}

/* ----------------------------------------------------------- the child */

proctype child(byte me)
{
	LOCALS = RESERVED;
end:	alive[CHILD];
	{
		STEP("procs: child claims its slot",
		     assert(HOW(claim[RESERVED]) == UNBORN);
		     claim[RESERVED] = CLAIM(CHILD, CLAIMING));
		parents = 0;
		STEP("procs: child born", SAID("procs: child's life word locked");
		     assert(claim[RESERVED] == CLAIM(CHILD, CLAIMING));
		     claim[RESERVED] = CLAIM(CHILD, LIVE));
		STEP("attach: unmapped", using[1] = false);
		lock_take();
		assert(mem[RESERVED] == 1);
		set(RESERVED, 0);
		COMMIT(skip);
		lock_release();
		done[me] = true
	} unless DEATH
}

/* ------------------------------------------------------------- the dead */

#define NO_SLOT (HOW(claim[RESERVED]) == UNBORN || WHO(claim[RESERVED]) != CHILD)

/* unborn_is_dead() */
inline ask_unborn()
{
	if
	:: WHO(suspect) == CHILD -> verdict = !alive[CHILD]
	:: WHO(suspect) != CHILD ->
		at_claim = parents;
#ifdef BROKEN_PARENT
		at_claim = claim[0];
#endif
		orphan = claim[0] != at_claim ||
			 (mark[WHO(at_claim)] && !alive[WHO(at_claim)]);
		if
		:: !orphan && forking
		:: orphan || !forking ->
			SAID("death: looking for a child");
			verdict = !(alive[CHILD] && NO_SLOT &&
				    (orphan || (WHO(at_claim) == PARENT &&
						!reparented)));
#ifndef BROKEN_REPARENT
			/* If the parent died meanwhile, its child is no longer
			 * known by it. */
			verdict = verdict &&
				  (orphan || (claim[0] == at_claim &&
					      alive[WHO(at_claim)]))
#endif
		fi;
		at_claim = 0
	fi
}

inline look_at_child()
{
	suspect = claim[RESERVED];
	verdict = false;
	if
	:: foreign ->
#ifdef BROKEN_NAMESPACE /* no such process here */
		verdict = HOW(suspect) == UNBORN || HOW(suspect) == CLAIMING
#endif
	:: !foreign ->
		if
		:: HOW(suspect) == UNBORN -> ask_unborn()
		:: HOW(suspect) != UNBORN ->
			verdict = SUSPECT(suspect) && DEAD(suspect)
		fi
	fi;
	orphan = false;
	if
	:: verdict -> sweep_locked(RESERVED)
	:: !verdict -> suspect = 0
	fi;
	verdict = false
}

proctype sweeper(byte me)
{
	bool foreign, orphan, verdict;
	LOCALS = 1;
	{
		if
		:: sweep(0)
		:: foreign = true
		fi;
		look_at_child();
		done[me] = true
	} unless DEATH
}

proctype newcomer(byte me)
{
	LOCALS;
	{
		if
		CLAIM_ONE(0); slot_live()
		:: true
		fi;
		done[me] = true
	} unless DEATH
}

/* The next call, when all is quiet. */
proctype next_call(byte me)
{
	bool foreign, orphan, verdict;
	LOCALS = 3;

	ENDED(PARENT) && ENDED(CHILD) && ENDED(SWEEPER) && ENDED(NEWCOMER);
	sweep(0);
	sweep(1);
	look_at_child();
	for (k : 0 .. 2) {
		assert(HOW(claim[k]) == FREE ||
		       (HOW(claim[k]) == LIVE && alive[WHO(claim[k])]))
	}
	assert(mem[0] == (claim[0] == CLAIM(PARENT, LIVE)));
	assert(mem[RESERVED] == 0 && word == 0)
}

active proctype environment()
{
end:	do
	FATE(PARENT)
	FATE(CHILD)
	FATE(SWEEPER)
	FATE(NEWCOMER)
	:: d_step { !alive[PARENT] && !reparented; reparented = true }
	od
}

init {
	atomic {
		claim[0] = CLAIM(PARENT, LIVE);
		claim[1] = CLAIM(SWEEPER, LIVE);
		claim[3] = CLAIM(LAST, LIVE);
		alive[CHILD] = false;
		mem[0] = 1;
		using[0] = true;
		run parent(PARENT);
		run child(CHILD);
		run sweeper(SWEEPER);
		run newcomer(NEWCOMER);
		run next_call(LAST)
	}
}
