/* SPDX-License-Identifier: MIT */
/*
 * Remove against attach against detach, each killed anywhere.
 *
 * A holder is attached and detaches; an attacher looks the segment up, maps
 * the file, looks again under the lock, records, uses it, detaches; a remover
 * removes the id, sweeps, and makes another segment, which gets the index.
 *
 * Properties: there are never fewer records than attachments that a living
 * program can use; what is attached with success is live, is the segment that
 * was looked up, and has its file; a file goes only when nobody is attached;
 * the last detach destroys what was removed; after the next call, when all is
 * quiet, nothing is left of it.
 *
 * Broken: RECHECK records without a second look under the lock; SEQ looks at
 * the state alone; ORDER detaches the record before the mapping; INHERIT
 * frees a dead process's slot and forgets what it had doomed.
 *
 * Left out: pieces of an attachment (one record each here), the early removal
 * of files at exit(), and ids that are used again within one call (shm_next_id
 * can do that).
 */
#define PROCS	4
#define SLOTS	4
#define INDEXES 1
#define CELLS	9
#define UNDO	8
#ifndef KILLS
#define KILLS 2
#endif
#ifndef LIES
#define LIES 0
#endif
#define PLAIN_LOCK
#define LAST	     (PROCS - 1)
#define USERS	     ((using[0] && alive[0] -> 1 : 0) + \
		      (using[1] && alive[1] -> 1 : 0))
#define MAY_GO(i)    (mem[ATTACHES] == 0 && USERS == 0)
#include "common.pml"

/* Cells after the segment's four. */
#define SEQ	 4
#define DEST	 5
#define ATTACHES 6
#define RECORD	 7 /* two: process 0 has one, process 1 has one */
#include "segments.pml"

bool using[2]; /* a living program has an address that it may use */
byte sequence; /* of the file */

/* Fewer records than usable attachments: nattch would be too low. */
active proctype monitor()
{
end:	d_step {
		mem[ATTACHES] < USERS;
		assert(false)
	}
}

inline record_add(v)
{
	guard_set();
	set(ATTACHES, mem[ATTACHES] + 1);
	set(RECORD + (v), 1)
}

inline record_remove(v)
{
	guard_set();
	set(ATTACHES, mem[ATTACHES] - 1);
	set(RECORD + (v), 0);
	if
	:: mem[ATTACHES] == 0 && STATE(0) == SEG_LIVE && mem[DEST] ->
		segments_doom(0)
	:: else
	fi
}

inline records_sweep(v)
{
	if
	:: v < 2 && mem[RECORD + (v)] -> record_remove(v);
		COMMIT(SAID("ledger: swept a record"))
	:: else
	fi;
	segments_inherit(0, v)
}

inline space_unlock()
{
	lock_release();
	destroy_doomed(0)
}

inline detach()
{
#ifdef BROKEN_ORDER
	lock_take();
	record_remove(me);
	COMMIT(skip);
	space_unlock();
	using[me] = false
#else
	STEP("attach: unmapped", using[me] = false);
	lock_take();
	record_remove(me);
	COMMIT(skip);
	space_unlock()
#endif
}

proctype holding(byte me)
{
	LOCALS = me;
	{
		detach();
		done[me] = true
	} unless DEATH
}

inline read_id()
{
	if
	:: d_step { guard == 0; id = mem[SEQ]; ok = STATE(0) == SEG_LIVE }
	:: guard == 1 ->
		lock_take();
		id = mem[SEQ];
		ok = STATE(0) == SEG_LIVE;
		lock_release()
	fi
}

#ifdef BROKEN_RECHECK
#define STILL true
#else
#ifdef BROKEN_SEQ
#define STILL (STATE(0) == SEG_LIVE)
#else
#define STILL (STATE(0) == SEG_LIVE && mem[SEQ] == id)
#endif
#endif

proctype attaching(byte me)
{
	byte id;
	bool ok;
	LOCALS = me;
	{
		sweep(0);
		read_id();
		ok = ok && file[0] && sequence == id;
		if
		:: !ok
		:: ok ->
			SAID("attach: mapped");
			lock_take();
			if
			:: STILL ->
				record_add(me);
				COMMIT(skip);
				space_unlock();
				STEP("attach: recorded", using[me] = true;
				     assert(STATE(0) == SEG_LIVE && file[0] &&
					    mem[SEQ] == id && sequence == id));
				detach()
			:: !STILL -> space_unlock()
			fi
		fi;
		done[me] = true
	} unless DEATH
}

proctype removing(byte me)
{
	bool ok;
	LOCALS = me;
	{
		sweep(0);
		sweep(1);
		lock_take();
		SAID("segment: removing");
		if
		:: mem[ATTACHES] == 0 -> segments_doom(0)
		:: mem[ATTACHES] != 0 ->
			guard_set();
			cell_key(0);
			set(DEST, 1)
		fi;
		COMMIT(skip);
		space_unlock();

		/* Another, if the index is free again. */
		lock_take();
		ok = STATE(0) == SEG_FREE;
		if
		:: ok ->
			segments_reserve(0);
			set(SEQ, 1);
			set(DEST, 0);
			COMMIT(skip)
		:: !ok
		fi;
		space_unlock();
		if
		:: ok ->
			STEP("file: created", file[0] = true; sequence = 1);
			lock_take();
			segments_publish(0);
			COMMIT(skip);
			space_unlock()
		:: !ok
		fi;
		done[me] = true
	} unless DEATH
}

/* The next call, when all is quiet. */
proctype next_call(byte me)
{
	LOCALS = me;

	ENDED(0) && ENDED(1) && ENDED(2);
	sweep(0);
	sweep(1);
	sweep(2);
	assert(mem[ATTACHES] == 0);
	assert(STATE(0) == SEG_FREE || STATE(0) == SEG_LIVE && !mem[DEST]);
	assert(file[0] == (STATE(0) == SEG_LIVE));
	assert(!file[0] || sequence == mem[SEQ]);
	assert(UNSETTLED == 0 && word == 0 && guard == 0);
	for (k : 0 .. 2) {
		assert(HOW(claim[k]) == FREE || alive[k])
	}
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
		STATE(0) = SEG_LIVE;
		KEY = 1;
		file[0] = true;
		mem[ATTACHES] = 1;
		mem[RECORD] = 1;
		using[0] = true;
		run holding(0);
		run attaching(1);
		run removing(2);
		run next_call(LAST)
	}
}
