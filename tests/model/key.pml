/* SPDX-License-Identifier: MIT */
/*
 * Three processes create one key at the same time, each killed anywhere.
 *
 * Each sweeps another if it finds it dead, looks for the key, reserves an index, makes
 * the file, and publishes; the loser destroys its file and gives the index
 * back.
 *
 * Properties: never two live segments with the key, never one without its
 * file; and after the next call, when all is quiet, one segment, one file, no
 * reserved or doomed slot, no claim of a dead process.
 *
 * Broken: RECHECK publishes without looking for the key again; INHERIT frees
 * a dead process's slot and forgets its segments; UNRESERVE lets the loser
 * keep its index.
 */
#define PROCS	4
#define SLOTS	4
#define INDEXES 3
#define CELLS	8
#define UNDO	4
#ifndef KILLS
#define KILLS 2
#endif
#ifndef LIES
#define LIES 0
#endif
#ifndef CREATORS /* fewer: the third merely sweeps */
#define CREATORS 3
#endif
#define PLAIN_LOCK
#define LAST (PROCS - 1)
#include "common.pml"
#include "segments.pml"

#define HAS(i) (STATE(i) == SEG_LIVE -> 1 : 0)

inline records_sweep(v)
{
	segments_inherit(0, v);
	segments_inherit(1, v);
	segments_inherit(2, v)
}

inline space_unlock()
{
	lock_release();
	destroy_doomed(0);
	destroy_doomed(1);
	destroy_doomed(2)
}

inline find_key()
{
	if
	:: d_step { guard == 0 -> found = KEY;
		assert(found == 0 || file[found - 1]) }
	:: guard == 1 ->
		lock_take();
		found = KEY;
		lock_release()
	fi
}

inline create()
{
	lock_take();
	d_step {
		if
		:: STATE(0) == SEG_FREE -> index = 0
		:: STATE(0) != SEG_FREE && STATE(1) == SEG_FREE -> index = 1
		:: else -> index = 2
		fi;
		assert(STATE(index) == SEG_FREE)
	};
	segments_reserve(index);
	COMMIT(skip);
	space_unlock();

	STEP("file: created", SAID("segment: reserved");
	     file[index] = true);
	lock_take();
	SAID("file: sized");
	SAID("segment: file made");
	if
#ifdef BROKEN_RECHECK
	:: true ->
#else
	:: KEY == 0 ->
#endif
		segments_publish(index);
		COMMIT(assert(HAS(0) + HAS(1) + HAS(2) == 1);
		       assert(file[index]));
		space_unlock();
		SAID("segment: published")
#ifndef BROKEN_RECHECK
	:: KEY != 0 ->
		space_unlock();
		file[index] = false;
#ifndef BROKEN_UNRESERVE
		lock_take();
		segments_doom(index);
		segments_free(index);
		COMMIT(skip);
		space_unlock()
#endif
#endif
	fi;
	index = 0
}

inline get()
{
	find_key();
	if
	:: found == 0 -> create()
	:: found != 0
	fi
}

#define MINE byte found, index; LOCALS = me

proctype creator(byte me)
{
	MINE;
	{
		sweep((me + 1) % 3);
		if
		:: me < CREATORS -> get()
		:: me >= CREATORS -> sweep((me + 2) % 3)
		fi;
		done[me] = true
	} unless DEATH
}

/* The next call, when all is quiet. */
proctype next_call(byte me)
{
	MINE;

	ENDED(0) && ENDED(1) && ENDED(2);
	sweep(0);
	sweep(1);
	sweep(2);
	get();
	assert(HAS(0) + HAS(1) + HAS(2) == 1);
	for (k : 0 .. 2) {
		assert(STATE(k) == SEG_FREE || STATE(k) == SEG_LIVE);
		assert(file[k] == (STATE(k) == SEG_LIVE));
		assert(HOW(claim[k]) == FREE || alive[k])
	}
	assert(UNSETTLED == 0 && word == 0 && guard == 0)
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
		run creator(0);
		run creator(1);
		run creator(2);
		run next_call(LAST)
	}
}
