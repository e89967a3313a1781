/* SPDX-License-Identifier: MIT */
/*
 * What all scenarios share: life and death, claims, the lock, the undo log.
 *
 * A process is killed by the environment (FATE) at any time: its next
 * statement is the end of it, whatever it was about to do. STEP("name",
 * effect) is one atomic effect and bears the name of the step() that follows
 * it in the C code; tests/model/names compares the two.
 *
 * A scenario defines PROCS, SLOTS, CELLS, UNDO and KILLS, includes this, and
 * has inlines records_sweep(v) and space_unlock(). A process has the LOCALS and is `{ ... } unless DEATH`.
 *
 * Left out, and why that is safe:
 * - Weak memory. The order of stores is that of the C code; its fences are
 *   the compiler's and the processor's matter, and tests/unit's.
 * - The bit that says that somebody waits, and futex calls: a wait ends by
 *   itself after a millisecond. Here a waiter blocks until asking again could
 *   have another answer; so one who waits for ever is an invalid end state.
 * - Numbers that wrap: generations of claims (2^24), `repairs` (2^32).
 * - Growing arrays: one who finds no free slot gives up.
 */
#define NOBODY 255

#ifndef LIES
#define LIES 1
#endif

/* ------------------------------------------------------- life and death */

/*
 * Dead is: no thread can touch memory any more. The mark is the kernel's, and
 * a hint: it comes before or after that; and to a living one when merely the
 * thread ends that locked the word (`lies`).
 */
bool alive[PROCS] = true;
bool mark[PROCS];
bool done[PROCS];
byte kills = KILLS;
byte lies = LIES;
byte holder = NOBODY; /* the living process that believes it has the lock */

#define DEATH { !alive[me] }
#define ENDED(u) (done[u] || (!alive[u] && mark[u]))

#define FATE(u)                                                  \
	:: d_step {                                              \
		kills > 0 && alive[u] && !done[u];               \
		kills--;                                         \
		alive[u] = false;                                \
		if                                               \
		:: holder == u -> holder = NOBODY                \
		:: else                                          \
		fi                                               \
	}                                                        \
	:: d_step { !mark[u] && !alive[u]; mark[u] = true }      \
	:: d_step { lies > 0 && !mark[u] && alive[u] && !done[u]; \
		lies--; mark[u] = true }

#define STEP(name, ...) d_step { __VA_ARGS__; SAID(name) }

/* A step that follows an effect of one process's own: no effect, no state. */
#define SAID(name) printf(name); printf("\n")

/* -------------------------------------------------------------- claims */

#define FREE	 0
#define CLAIMING 1
#define LIVE	 2
#define UNBORN	 3
#define DYING	 4

/* One word: whose it is or was (instead of pid and generation), and how. */
byte claim[SLOTS];

#define CLAIM(u, how) (((u) + 1) * 8 + (how))
#define HOW(c)	      ((c) % 8)
#define WHO(c)	      ((c) / 8 - 1)

#ifndef UNBORN_IS_DEAD
#define UNBORN_IS_DEAD(c) false
#endif

#ifdef BROKEN_MARK /* the mark taken for a proof */
#define GONE(u) (mark[u])
#else
#define GONE(u) (!alive[u])
#endif

/* procs_is_suspect() and death_is_certain(). */
#define SUSPECT(c) (HOW(c) != FREE && (HOW(c) != LIVE || mark[WHO(c)]))
#define DEAD(c)                                                       \
	(HOW(c) == DYING || (HOW(c) == UNBORN && UNBORN_IS_DEAD(c)) || \
	 ((HOW(c) == LIVE || HOW(c) == CLAIMING) && GONE(WHO(c))))

#define LOCALS byte seen, was, at_claim, at_repairs, suspect, k, slot

#define CLAIM_ONE(s)                                                     \
	:: STEP("procs: claiming", HOW(claim[s]) == FREE ->              \
		claim[s] = CLAIM(me, CLAIMING); slot = s)

inline slot_live()
{
	STEP("procs: claimed", SAID("procs: life word locked");
	     assert(claim[slot] == CLAIM(me, CLAIMING));
	     claim[slot] = CLAIM(me, LIVE))
}

/* ------------------------------------------------ the lock, the undo log */

byte word;    /* 0, or the owner's slot + 1 ... */
byte repairs; /* ... and with it, in one 64-bit word, the takeovers so far */

byte mem[CELLS]; /* all that changes under the lock */
byte undo_n, undo_at[UNDO], undo_old[UNDO];
byte guard;
bool guard_noted;

#ifndef GUARD_MASK
#define GUARD_MASK 1 /* only whether it is odd */
#endif

#define TAKE(to)                       \
	word = to;                     \
	assert(holder == NOBODY);      \
	holder = me

/* The end of a step and the beginning of the next. */
#ifdef PLAIN_LOCK
#define ALSO
#else
#define ALSO skip }; d_step {
#endif

/* What was asked is forgotten: fewer states. */
#define ASKED_OUT seen = 0; was = 0; at_claim = 0; at_repairs = 0

inline guards_settle()
{
	if
	:: STEP("lock: guard even", guard_noted ->
		guard = (guard + guard % 2) & GUARD_MASK;
		ALSO guard_noted = false)
	:: !guard_noted
	fi
}

inline rollback()
{
#ifdef BROKEN_EVEN /* guards first: a reader believes what is half undone */
	guards_settle();
#endif
#ifndef BROKEN_NO_UNDO
	do
#ifdef PLAIN_LOCK
	:: STEP("lock: value restored", undo_n > 0 ->
		undo_n--; mem[undo_at[undo_n]] = undo_old[undo_n];
		undo_at[undo_n] = 0; undo_old[undo_n] = 0)
#else
	:: undo_n > 0 ->
		mem[undo_at[undo_n - 1]] = undo_old[undo_n - 1];
		STEP("lock: value restored", undo_n--)
#endif
	:: undo_n == 0 -> break
	od;
	skip;
#endif
	d_step { undo_forget() };
	guards_settle()
}

/* Ask about the owner until it is dead or the word is another. */
#define OWNER_DEAD (HOW(at_claim) == FREE || DEAD(at_claim))

#ifdef PLAIN_LOCK
/*
 * For scenarios about something else: the question and the takeover are one
 * step, and so are a store and its note, for takeover.pml shows that nothing
 * can come between them. A change is still killed, and undone, between any
 * two of its stores.
 */
inline lock_take()
{
	if
	:: STEP("lock: taken", word == 0 -> TAKE(slot + 1))
	:: STEP("lock: taken over",
		word != 0 && word != slot + 1 && DEAD(claim[word - 1]) ->
		TAKE(slot + 1));
		rollback()
	fi;
	skip
}
#else
inline lock_take()
{
	do
	:: STEP("lock: taken", word == 0 -> TAKE(slot + 1)); break
	:: d_step { word != 0 && word != slot + 1; seen = word };
		at_claim = claim[seen - 1];
		if
		:: word != seen
#ifdef BROKEN_BLIND /* takes over without asking */
		:: word == seen ->
#else
		:: word == seen && OWNER_DEAD ->
#endif
#ifndef BROKEN_ABA /* compares the owner's slot alone */
			SAID("lock: owner found dead");
			/* Look again: the same word, the same claim; and from
			 * then on no other takeover. */
			d_step { was = word; at_repairs = repairs };
#endif
			if
#ifdef BROKEN_ABA
			:: STEP("lock: taken over", word == seen ->
				TAKE(slot + 1); repairs++; ASKED_OUT);
				rollback();
				break
			:: word != seen
#else
			:: was == seen && claim[seen - 1] == at_claim ->
				if
				:: STEP("lock: taken over",
					word == seen && repairs == at_repairs ->
					TAKE(slot + 1); repairs++; ASKED_OUT);
					rollback();
					break
				:: word != seen || repairs != at_repairs
				fi
			:: was != seen || claim[seen - 1] != at_claim
#endif
			fi
		fi;
		d_step { ASKED_OUT }
	od;
	skip /* nothing may jump into a step */
}
#endif

inline lock_release()
{
	STEP("lock: released", SAID("lock: before release");
	     assert(undo_n == 0 && holder == me);
	     word = 0; holder = NOBODY)
}

inline set(cell, value)
{
	if
	:: STEP("lock: value stored", mem[cell] != (value) ->
		undo_at[undo_n] = cell; undo_old[undo_n] = mem[cell];
		undo_n++; SAID("lock: old value noted"); ALSO
		mem[cell] = value)
	:: mem[cell] == (value)
	fi
}

inline guard_set()
{
	if
	:: STEP("lock: guard odd", !guard_noted -> guard_noted = true;
		SAID("lock: guard noted"); ALSO
		guard = (guard + 1) & GUARD_MASK)
	:: guard_noted
	fi
}

inline undo_forget()
{
	undo_n = 0;
	undo_at[0] = 0; undo_old[0] = 0;
	k = 1;
	do
	:: k < UNDO -> undo_at[k] = 0; undo_old[k] = 0; k++
	:: else -> break
	od;
	k = 0
}

/* What follows in brackets is noted about a change that is now final. */
#define COMMIT(...)                                                   \
	STEP("lock: committed", SAID("lock: before commit");          \
	     undo_forget(); __VA_ARGS__);                             \
	guards_settle()

/* ------------------------------------------------------------- the dead */

/* sweep_if_dead(), ledger_sweep(): look, lock, look again, act. */
inline sweep(v)
{
	suspect = claim[v];
	if
	:: v != slot && SUSPECT(suspect) && DEAD(suspect) ->
		sweep_locked(v)
	:: else -> suspect = 0
	fi
}

inline sweep_locked(v)
{
	SAID("sweep: found a dead process");
	lock_take();
	if
	:: STEP("ledger: condemned", claim[v] == suspect ->
		claim[v] = CLAIM(WHO(suspect), DYING));
		records_sweep(v);
		STEP("procs: slot freed", claim[v] = CLAIM(WHO(suspect), FREE))
	:: claim[v] != suspect
	fi;
	suspect = 0;
	space_unlock()
}
