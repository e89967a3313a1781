/* SPDX-License-Identifier: MIT */
/*
 * Owns the order in which a namespace is looked at: the directory, the
 * registry's header, its records, the files. Each is trusted only when the one
 * before it is right.
 *
 * Invariant: without REPAIR nothing changes but that we have a process slot
 * and take the lock, as every call does. No process that lives and whose
 * attachment is known loses it; no file of a segment that can be found by its
 * id is removed.
 * Lock: the registry's while its records are checked and rebuilt; files are
 * looked at without it, and what they say is looked at again with it.
 * Crash: each repair is one change, or a rebuild (store/rebuild.h). The next
 * check goes on.
 */
#include "core/check_parts.h"

#include <string.h>

#include "core/durable_check.h"
#include "core/sweep.h"
#include "store/death.h"
#include "store/publish.h"
#include "store/rebuild.h"
#include "store/verify.h"

/* -------------------------------------------------------------- the records */

/* What verify_registry() says, kept until the lock is released. */
struct kept {
	struct verify_finding f[VERIFY_TOLD];
	char text[VERIFY_TOLD][VERIFY_TEXT];
	unsigned n;
};

static void keep(void *arg, const struct verify_finding *f)
{
	struct kept *k = arg;

	k->f[k->n] = *f;
	memccpy(k->text[k->n], f->text, '\0', VERIFY_TEXT - 1);
	k->f[k->n].text = k->text[k->n];
	k->n++;
}

static void ignore(void *arg, const struct verify_finding *f)
{
	(void)arg;
	(void)f;
}

/* Lock held. In the copy first: what does not come out right is not begun. */
static int rebuild(struct space *sp, struct rebuild_loss *ret)
{
	struct registry copy;
	uint64_t left = 1;
	int r;

	/* Again, if a process that was just claiming a slot got in between. */
	for (int attempt = 0; left && attempt < 3; attempt++) {
		r = registry_copy(&sp->reg, sp->dir.path, &copy);
		if (r < 0)
			return r;
		rebuild_registry(&copy, space_slot(sp), ret);
		left = verify_registry(&copy, ignore, NULL);
		if (left == 0)
			publish_registry(&sp->reg, &copy);
		registry_close(&copy);
	}
	return left ? -EIO : 0;
}

static void tell_loss(struct check *c, const struct rebuild_loss *loss)
{
	if (loss->attaches || loss->keys)
		c->status |= CHECK_RESTART;
	if (loss->attaches)
		check_tell_words(
			c, FATE_NOTED, "lost", NULL,
			"% attachments could not be told to which segment "
			"or process they belong: restart the programs that "
			"use the namespace, nattch may be too low until then",
			NULL, loss->attaches, 0);
	if (loss->keys)
		check_tell_words(
			c, FATE_NOTED, "lost", NULL,
			"% segments had the key of another and have none "
			"now: restart the programs that made them",
			NULL, loss->keys, 0);
}

/* Returns whether the records can be relied on, or -errno. */
static int check_records(struct check *c, struct text *why)
{
	struct rebuild_loss loss = { 0 };
	struct space *sp = c->sp;
	struct space_entry e;
	struct kept kept;
	uint64_t found;
	int r;

	r = space_enter_quietly(sp, &e);
	if (r < 0) {
		text_str(why, "has no room for another process");
		return r;
	}
	r = space_lock_patiently(sp, why);
	if (r < 0) {
		space_leave(sp, &e);
		return r;
	}
	kept.n = 0;
	found = verify_registry(&sp->reg, keep, &kept);
	if (found && check_repairs(c))
		r = rebuild(sp, &loss);
	if (found && !(check_repairs(c) && r == 0))
		lock_release(&sp->reg); /* no more than that */
	else
		space_unlock(sp);
	space_leave(sp, &e);

	for (unsigned i = 0; i < kept.n; i++)
		check_tell(c, check_fate(c, r), kept.f[i].code, kept.f[i].text,
			   kept.f[i].remedy);
	if (found > kept.n)
		check_tell_words(c, check_fate(c, r), "more", NULL,
				 "and % more like these", NULL, found - kept.n,
				 0);
	tell_loss(c, &loss);
	return !found || (check_repairs(c) && r == 0);
}

/* ---------------------------------------------------------- the processes */

static void note_users(struct check *c)
{
	const struct registry *r = &c->sp->reg;
	struct check_users users = { 0 };
	char buf[CHECK_TEXT];
	struct text t;

	for (uint32_t i = 0; i < registry_procs_used(r); i++) {
		const struct layout_proc *p = registry_proc(r, i);
		uint64_t claim;

		if (!p)
			break;
		claim = load_acquire(&p->claim);
		if (claim_state(claim) == PROC_LIVE && !life_marked(p) &&
		    claim_pid(claim) != c->sp->self.pid)
			check_users_add(&users, claim_pid(claim));
	}
	if (!users.n)
		return;
	text_init(&t, buf, sizeof(buf));
	text_str(&t, "the namespace is in use; ");
	check_users_put(&users, &t);
	check_tell(c, FATE_NOTED, "in-use", buf, NULL);
}

/*
 * It is exiting, and the kernel marks it a moment after that can be seen; or
 * it has been swept, and the slot is another one's. Not so soon only where the
 * kernel could not find the life word.
 */
static bool settles(const struct layout_proc *p, uint64_t claim)
{
	uint32_t nobody = 0;

	for (int n = 0; n < 50; n++) {
		if (life_marked(p) || load_acquire(&p->claim) != claim)
			return true;
		(void)sys_futex_wait(&nobody, 0, 2000000);
	}
	return false;
}

/*
 * A process that the kernel could not mark, since it did not find the life
 * word: it counts as alive for ever. Asked here, as it is asked for the lock.
 */
static void check_lives(struct check *c)
{
	struct space *sp = c->sp;

	for (uint32_t i = 0; i < registry_procs_used(&sp->reg); i++) {
		struct layout_proc *p = registry_proc(&sp->reg, i);
		uint64_t claim = p ? load_acquire(&p->claim) : 0;
		uint32_t *word;

		if (claim_state(claim) != PROC_LIVE || life_marked(p) ||
		    i + 1 == sp->me || p->pid_ns != sp->self.pid_ns ||
		    !death_is_certain(&sp->reg, &sp->self, i, claim) ||
		    settles(p, claim))
			continue;
		word = (uint32_t *)p->life +
		       (load_relaxed(&p->life_word) & LIFE_WHICH);
		if (check_repairs(c) && load_acquire(&p->claim) == claim)
			(void)fetch_or(word, (uint32_t)FUTEX_OWNER_DIED);
		check_tell_words(
			c, check_fate(c, 0), "process-life", NULL,
			"process % is gone, but counts as alive with % "
			"attachments",
			"marks it as dead; the next call sweeps it",
			(uint32_t)claim_pid(claim), p->attaches);
	}
}

/* ---------------------------------------------------------------- in order */

static int check_opened(struct check *c, struct text *why)
{
	struct space_entry e;
	int r;

	note_users(c);
	r = check_files_first(c);
	if (r >= 0)
		r = check_records(c, why);
	if (r < 0)
		return r;
	if (r == 0) {
		check_tell_words(c, FATE_NOTED, "files", NULL,
				 "processes and files were not looked at: the "
				 "registry must be right first",
				 NULL, 0, 0);
		return 0;
	}
	check_lives(c);
	if (check_repairs(c) && space_enter(c->sp, &e) == 0) {
		sweep_all(c->sp);
		space_leave(c->sp, &e);
	}
	if (c->sp->durable.on)
		check_durable(c);
	return check_files(c);
}

int check_namespace(const char *path, unsigned flags, finding_report *report,
		    void *arg, struct text *why)
{
	struct check c = { .flags = flags,
			   .report = report,
			   .arg = arg,
			   .path = path,
			   .dir = -1,
			   .disk = -1,
			   .uid = sys_geteuid() };
	int r;

	r = check_door(&c, why);
	if (r == 0)
		r = space_open(path, false, NULL, &c.sp, why);
	if (r == 0) {
		r = check_opened(&c, why);
		space_close(c.sp);
	}
	if (c.dir >= 0)
		(void)sys_close(c.dir);
	if (c.disk >= 0)
		(void)sys_close(c.disk);
	return r < 0 ? r : c.status;
}
