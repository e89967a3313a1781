/* SPDX-License-Identifier: MIT */
/*
 * Owns the process slots' claims.
 *
 * Invariant: a slot that is FREE has no attachments and a zero life word.
 * Lock: none; a slot changes hands by compare-and-swap on its claim. A dead
 * owner's slot is freed by the sweep (store/ledger.h), which holds the lock.
 * Crash: a slot whose owner was killed while CLAIMING has no attachments, and
 * its claim already holds the pid by which it is found dead. Killed before it
 * had said of which pid namespace that is, in a namespace where processes of
 * several meet, it leaves the slot lost for good, 128 bytes: nobody can tell.
 */
#include "store/procs.h"

#include "base/step.h"

/* Before anybody can see a claim whose pid is of this namespace. */
static void announce(struct registry *r, uint64_t pid_ns)
{
	struct layout_header *h = r->h;
	uint64_t seen = load_relaxed(&h->pid_ns);

	if (seen == 0 && swap_if(&h->pid_ns, &seen, pid_ns))
		return;
	if (seen != pid_ns && seen != LIFE_SEVERAL_NS)
		store_release(&h->pid_ns, LIFE_SEVERAL_NS);
}

/* Take any free slot, CLAIMING, for process 'pid' of namespace 'pid_ns'. */
static int slot_take(struct registry *r, int pid, uint64_t pid_ns,
		     uint32_t *ret_slot)
{
	struct layout_array *array = &r->h->procs;
	uint32_t ready = registry_ready(r, array, r->max_procs);

	announce(r, pid_ns);
	for (uint32_t i = 0; i < ready; i++) {
		uint32_t used = load_relaxed(&array->used);
		uint64_t free = load_relaxed(&r->procs[i].claim);

		if (claim_state(free) != PROC_FREE)
			continue;
		/* Damaged: those would seem to be ours. */
		if (load_relaxed(&r->procs[i].first_attach) ||
		    load_relaxed(&r->procs[i].attaches))
			continue;
		/* Those who look for the dead must look this far. */
		while (used <= i && !swap_if(&array->used, &used, i + 1))
			;
		if (swap_if(&r->procs[i].claim, &free,
			    claim_next(free, PROC_CLAIMING, pid))) {
			store_relaxed(&r->procs[i].forked_at,
				      sys_monotonic_ns());

			/* Pairs with life_pid_ns(): no pid is looked at before.
			 */
			store_release(&r->procs[i].pid_ns, pid_ns);
			*ret_slot = i;
			return 0;
		}
	}
	return -EAGAIN;
}

bool procs_room(const struct registry *r)
{
	uint32_t ready = registry_ready(r, &r->h->procs, r->max_procs);

	for (uint32_t i = 0; i < ready; i++)
		if (claim_state(load_relaxed(&r->procs[i].claim)) == PROC_FREE)
			return true;
	return false;
}

static void slot_fill(struct layout_proc *p, const struct life_self *self)
{
	store_relaxed(&p->born, life_clock());
	store_relaxed(&p->pid_ns, self->pid_ns);
	store_relaxed(&p->time_ns, self->time_ns);
	store_relaxed(&p->image, self->image);
	store_relaxed(&p->exit_time, 0);
}

int procs_claim(struct registry *r, const struct life_self *self,
		uint32_t *ret_slot)
{
	struct layout_proc *p;
	uint32_t slot;
	int ret;

	ret = slot_take(r, self->pid, self->pid_ns, &slot);
	if (ret < 0)
		return ret;
	step("procs: claiming");

	p = &r->procs[slot];
	slot_fill(p, self);
	ret = life_begin(p);
	if (ret < 0) {
		procs_free(r, slot);
		return ret;
	}
	step("procs: life word locked");

	/* Pairs with the acquire of whoever asks about this slot. */
	store_release(&p->claim, claim_make(load_relaxed(&p->claim), PROC_LIVE,
					    self->pid));
	step("procs: claimed");
	*ret_slot = slot;
	return 0;
}

int procs_reserve(struct registry *r, uint32_t parent, uint32_t tid,
		  struct procs_child *ret)
{
	const struct layout_proc *mine = &r->procs[parent];
	struct layout_proc *p;
	uint64_t claim;
	uint32_t slot;
	int err;

	/* Ours, until whoever looks at it can tell whose child it is for. */
	err = slot_take(r, claim_pid(load_relaxed(&mine->claim)),
			load_relaxed(&mine->pid_ns), &slot);
	if (err < 0)
		return err;
	step("procs: reserving");
	p = &r->procs[slot];
	claim = claim_make(load_relaxed(&p->claim), PROC_UNBORN, 0);
	store_relaxed(&p->parent, parent + 1);
	store_relaxed(&p->image, load_relaxed(&mine->claim));
	store_relaxed(&p->parent_tid, tid);
	store_relaxed(&p->time_ns, load_relaxed(&mine->time_ns));
	store_relaxed(&p->born, life_clock());
	store_relaxed(&p->forking, (uint32_t)claim);
	store_release(&p->claim, claim);
	step("procs: child's slot reserved");
	ret->slot = slot;
	ret->token = (uint32_t)claim;
	return 0;
}

int procs_be_born(struct registry *r, const struct life_self *self,
		  const struct procs_child *child)
{
	struct layout_proc *p = registry_proc(r, child->slot);
	uint64_t claim;

	if (!p)
		return -ESRCH;

	/* First of all our own: while it is UNBORN its fields tell others
	 * whose child to look for. But our number must not be taken for one of
	 * our parent's namespace. */
	claim = load_acquire(&p->claim);
	if ((uint32_t)claim == child->token &&
	    load_relaxed(&p->pid_ns) != self->pid_ns) {
		announce(r, self->pid_ns);
		store_relaxed(&p->pid_ns, self->pid_ns);
	}
	do {
		if ((uint32_t)claim != child->token)
			return -ESRCH;
	} while (!swap_if(&p->claim, &claim,
			  claim_make(claim, PROC_CLAIMING, self->pid)));
	step("procs: child claims its slot");

	slot_fill(p, self);

	/* Without a life word we stay CLAIMING: others ask /proc about us. */
	if (life_begin(p) < 0)
		return 0;
	step("procs: child's life word locked");
	store_release(&p->claim, claim_make(load_relaxed(&p->claim), PROC_LIVE,
					    self->pid));
	step("procs: child born");
	return 0;
}

void procs_forked(struct registry *r, const struct procs_child *child, int pid)
{
	struct layout_proc *p = registry_proc(r, child->slot);
	uint32_t token = child->token;
	uint64_t claim;

	if (!p)
		return;
	claim = load_acquire(&p->claim);
	if ((uint32_t)claim != token)
		return; /* born already, or even dead and buried */
	store_relaxed(&p->forked_at, sys_monotonic_ns());
	if (pid > 0)
		(void)swap_if(&p->claim, &claim,
			      claim_make(claim, PROC_UNBORN, pid));

	/* Only this fork's: the slot may be another child's by now. */
	(void)swap_if(&p->forking, &token, 0);
}

bool procs_condemn(struct registry *r, uint32_t slot, uint64_t claim)
{
	uint64_t dying = claim_make(claim, PROC_DYING, claim_pid(claim));
	struct layout_proc *p = registry_proc(r, slot);
	uint64_t again;

	if (!p || !procs_is_suspect(r, slot, &again))
		return false;

	/* Who condemned it first may have been killed over it. */
	return again == dying ||
	       (again == claim && swap_if(&p->claim, &claim, dying));
}

void procs_free(struct registry *r, uint32_t slot)
{
	struct layout_proc *p = &r->procs[slot];

	life_clear(p);
	store_relaxed(&p->pid_ns, 0);
	store_relaxed(&p->time_ns, 0);
	store_relaxed(&p->parent, 0);
	store_relaxed(&p->forking, 0);
	store_relaxed(&p->exit_time, 0);
	/* Pairs with slot_take(): the next owner finds a clean slot. */
	store_release(&p->claim,
		      claim_make(load_relaxed(&p->claim), PROC_FREE, 0));
	step("procs: slot freed");
}

bool procs_is_suspect(const struct registry *r, uint32_t slot,
		      uint64_t *ret_claim)
{
	const struct layout_proc *p = registry_proc(r, slot);
	uint64_t claim;

	if (!p)
		return false;
	claim = load_acquire(&p->claim);
	*ret_claim = claim;
	switch (claim_state(claim)) {
	case PROC_LIVE:
		return life_marked(p);
	case PROC_CLAIMING:
		/* Its owner has not said yet what its pid means. */
		return life_pid_ns(r, p) != 0;
	case PROC_UNBORN:
	case PROC_DYING:
		return true;
	default:
		return false;
	}
}

bool procs_suspect(const struct registry *r, uint32_t from, uint32_t count,
		   uint32_t *ret_slot, uint64_t *ret_claim)
{
	uint32_t used = registry_procs_used(r);

	for (uint32_t i = from; i < used && i - from < count; i++) {
		if (procs_is_suspect(r, i, ret_claim)) {
			*ret_slot = i;
			return true;
		}
	}
	return false;
}
