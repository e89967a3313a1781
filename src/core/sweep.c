/* SPDX-License-Identifier: MIT */
/*
 * Owns what becomes of the dead, of what they leave without an owner, and of
 * the files of what is doomed.
 *
 * Invariant: look, ask, lock, look again, act. A process's records go only
 * after death_is_certain() said yes, and under the lock, if its claim is the
 * same still (procs_condemn()). A suspect that turned out to live is not asked
 * about again at once. With rmid_forced set, no segment stays that has neither
 * an attachment nor a living creator: as with every death, the next call finds
 * it.
 * Lock: 'local', from enter to leave; the registry's is taken for each of the
 * dead and each doomed slot, and never while /proc is asked or a file removed.
 * Crash: who is killed in the middle leaves a DYING slot, or one more doomed
 * segment, to whoever sweeps next.
 */
#include "core/sweep.h"

#include "base/procfs.h"
#include "base/step.h"
#include "core/durable_change.h"
#include "store/death.h"

#define GLANCE	     64u  /* slots that a reading call looks at */
#define LOOK	     256u /* and a changing one */
#define ALL	     UINT32_MAX
#define ASK_AGAIN    10000000 /* ns before a living suspect is asked again */
#define MAX_SUSPECTS 64

/* ---------------------------------------------------------- the doomed */

/*
 * Is the file gone? That it was not found means so only if the directory is
 * still where it was.
 */
static bool destroyed(const struct space *sp, const char *path)
{
	int r = sp->backing->destroy(path);

	return r == 0 || (r == -ENOENT && directory_stands(&sp->dir));
}

void sweep_doomed(struct space *sp)
{
	struct registry *r = &sp->reg;
	struct directory_file file;
	uint32_t index = 0;
	bool gone;

	while ((index = segments_next_doomed(r, space_slot(sp), index)) !=
	       UINT32_MAX) {
		struct layout_segment *s = &r->segments[index];
		uint32_t seq = load_relaxed(&s->seq);

		/* We may not (another effective user now): it stays ours, and
		 * who sweeps us inherits it. */
		if (directory_file_hold(&sp->dir, r, index++, seq, &file) < 0)
			continue;
		if (sp->durable.on && durable_destroy(sp, index - 1, seq) < 0) {
			directory_file_release(&file);
			continue;
		}
		if (load_relaxed(&s->flags) & SEG_HANDLES)
			sp->backing->empty(file.path);
		gone = destroyed(sp, file.path);
		directory_file_release(&file);
		if (!gone)
			continue;
		step("sweep: file destroyed");
		space_lock(sp);
		if (s->state == SEG_DOOMED && s->owner == sp->me &&
		    s->seq == seq) {
			segments_free(r, index - 1);
			undo_commit(r);
		}
		lock_release(r);
	}
}

/* ------------------------------------------------------------ the dead */

/* Sweep slot 'slot' if it is dead. True if it was. */
static bool sweep_if_dead(struct space *sp, uint32_t slot, uint64_t claim)
{
	struct registry *r = &sp->reg;

	if (!death_is_certain(r, &sp->self, slot, claim))
		return false;
	step("sweep: found a dead process");
	space_lock(sp);
	ledger_sweep(r, slot, claim, space_slot(sp), sys_now());
	space_unlock(sp);
	return true;
}

/* Has this suspect been found alive a moment ago? */
static bool asked_lately(struct space *sp, uint32_t slot, uint64_t claim)
{
	return sp->asked_slot == slot && sp->asked_claim == claim &&
	       sys_monotonic_ns() - sp->asked_at < ASK_AGAIN;
}

/* Look at 'count' slots from 'from' and sweep the dead among them. */
static void look(struct space *sp, uint32_t from, uint32_t count)
{
	uint32_t end = from + count, slot;
	uint64_t claim;

	while (from < end &&
	       procs_suspect(&sp->reg, from, end - from, &slot, &claim)) {
		from = slot + 1;
		if (slot + 1 == sp->me || asked_lately(sp, slot, claim))
			continue;
		if (!sweep_if_dead(sp, slot, claim)) {
			sp->asked_slot = slot;
			sp->asked_claim = claim;
			sp->asked_at = sys_monotonic_ns();
		}
	}
}

/* Where to begin: a large namespace is looked through in turns. */
static uint32_t next_turn(struct space *sp, uint32_t count)
{
	uint32_t used = registry_procs_used(&sp->reg), from;

	if (used <= count)
		return 0;
	from = load_relaxed(&sp->look_from);
	if (from >= used)
		from = 0;
	store_relaxed(&sp->look_from, from + count);
	return from;
}

void sweep_some(struct space *sp)
{
	look(sp, next_turn(sp, LOOK), LOOK);
}

void sweep_all(struct space *sp)
{
	sp->asked_claim = 0;
	look(sp, 0, ALL);
}

bool sweep_wanted(struct space *sp)
{
	uint32_t slot;
	uint64_t claim;

	return procs_suspect(&sp->reg, next_turn(sp, GLANCE), GLANCE, &slot,
			     &claim) &&
	       slot + 1 != sp->me && !asked_lately(sp, slot, claim);
}

/* --------------------------------------------- the dead of one segment */

static void sweep_slot(struct space *sp, uint32_t slot)
{
	uint64_t claim;

	if (slot + 1 != sp->me && procs_is_suspect(&sp->reg, slot, &claim))
		(void)sweep_if_dead(sp, slot, claim);
}

void sweep_segment(struct space *sp, uint32_t index)
{
	uint32_t slots[MAX_SUSPECTS];
	int n = ledger_suspects(&sp->reg, index, slots, MAX_SUSPECTS);
	struct space_entry e;

	if (n == 0 || space_enter(sp, &e) < 0)
		return;
	if (n < 0) {
		/* It kept changing, or its changer is dead: behind the lock
		 * it holds still. */
		space_lock(sp);
		n = ledger_suspects(&sp->reg, index, slots, MAX_SUSPECTS);
		space_unlock(sp);
	}
	for (int i = 0; i < n; i++)
		sweep_slot(sp, slots[i]);
	if (n == MAX_SUSPECTS) /* there may be more */
		for (uint32_t i = 0; i < registry_procs_used(&sp->reg); i++)
			sweep_slot(sp, i);
	space_leave(sp, &e);
}

/* ---------------------------------------------------------- the orphans */

/* The thread that made it: as in the kernel, execve() does not end it. */
static bool creator_lives(const struct layout_segment *s)
{
	struct procfs_task task;
	int r = procfs_task(s->cpid, (int)s->creator, &task);

	if (r == -ENOENT)
		return false;
	return r < 0 || (!task.exiting && task.start_time <= s->created);
}

bool sweep_is_orphan(const struct space *sp, const struct layout_segment *s)
{
	return sweep_forced(sp) && s->state == SEG_LIVE &&
	       segments_unattached(s) && !creator_lives(s);
}

static void doom_unattached(struct space *sp, uint32_t index, uint32_t seq)
{
	struct layout_segment *s = &sp->reg.segments[index];

	space_lock(sp);
	if (s->state == SEG_LIVE && s->seq == seq && segments_unattached(s) &&
	    sweep_forced(sp)) {
		segments_doom(&sp->reg, index, space_slot(sp));
		undo_commit(&sp->reg);
		step("sweep: orphan doomed");
	}
	space_unlock(sp);
}

void sweep_orphans(struct space *sp)
{
	struct layout_segment s;
	uint32_t index = 0;

	while ((index = segments_next(&sp->reg, index)) != UINT32_MAX) {
		if (segments_read(&sp->reg, index, &s) == 0 &&
		    sweep_is_orphan(sp, &s))
			doom_unattached(sp, index, s.seq);
		index++;
	}
}

void sweep_unattachable(struct space *sp, uint32_t index, uint32_t seq)
{
	if (sweep_forced(sp))
		doom_unattached(sp, index, seq);
}
