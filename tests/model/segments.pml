/* SPDX-License-Identifier: MIT */
/*
 * Segment slots as store/segments.c and core/segment.c have them: reserved,
 * published, doomed, inherited, freed; and their files. For the scenarios
 * that make and remove; they define INDEXES.
 *
 * Left out: ids, limits and the key's chain beyond one key. A slot's file has
 * one name here, its sequence number aside, so that a file removed too late
 * would be the next segment's. segments_read() and segments_find() are one
 * atomic look at an even guard: seqlock.pml shows that they may be.
 */
#define SEG_FREE     0
#define SEG_RESERVED 1
#define SEG_LIVE     2
#define SEG_DOOMED   3

#define STATE(i)  mem[i]
#define OWNER(i)  mem[INDEXES + (i)]
#define KEY	  mem[2 * INDEXES]     /* index + 1 of the segment that has it */
#define UNSETTLED mem[2 * INDEXES + 1] /* RESERVED or DOOMED */
#define SEGMENT_CELLS (2 * INDEXES + 2)

bool file[INDEXES];

inline cell_state(i, v)	 { set(i, v) }
inline cell_owner(i, v)	 { set(INDEXES + (i), v) }
inline cell_key(v)	 { set(2 * INDEXES, v) }
inline cell_unsettled(v) { set(2 * INDEXES + 1, v) }

inline segments_reserve(i)
{
	cell_unsettled(UNSETTLED + 1);
	cell_owner(i, slot + 1);
	cell_state(i, SEG_RESERVED)
}

inline segments_publish(i)
{
	guard_set();
	cell_owner(i, 0);
	cell_state(i, SEG_LIVE);
	cell_unsettled(UNSETTLED - 1);
	cell_key((i) + 1)
}

inline segments_doom(i)
{
	guard_set();
	if
	:: STATE(i) == SEG_LIVE ->
		if
		:: KEY == (i) + 1 -> cell_key(0)
		:: KEY != (i) + 1
		fi;
		cell_unsettled(UNSETTLED + 1)
	:: STATE(i) != SEG_LIVE
	fi;
	cell_owner(i, slot + 1);
	cell_state(i, SEG_DOOMED)
}

inline segments_free(i)
{
	guard_set();
	cell_state(i, SEG_FREE);
	cell_owner(i, 0);
	cell_unsettled(UNSETTLED - 1)
}

/* One slot of segments_inherit(). */
inline segments_inherit(i, dead)
{
#ifndef BROKEN_INHERIT
	if
	:: OWNER(i) == dead + 1 &&
	   (STATE(i) == SEG_RESERVED || STATE(i) == SEG_DOOMED) ->
		segments_doom(i);
		COMMIT(SAID("segments: inherited"))
	:: else
	fi
#else
	skip
#endif
}

/* What a scenario asserts when a file goes. */
#ifndef MAY_GO
#define MAY_GO(i) true
#endif

/* One slot of destroy_doomed(), after the lock was released. */
inline destroy_doomed(i)
{
	if
	:: STATE(i) == SEG_DOOMED && OWNER(i) == slot + 1 ->
		STEP("sweep: file destroyed", assert(MAY_GO(i));
		     file[i] = false);
		lock_take();
		if
		:: STATE(i) == SEG_DOOMED && OWNER(i) == slot + 1 ->
			segments_free(i);
			COMMIT(skip)
		:: else
		fi;
		lock_release()
	:: else
	fi
}
