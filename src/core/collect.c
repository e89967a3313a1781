/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: says what the sweep of the dead will remove, has it swept, and
 * removes the files that no segment has.
 *
 * Lock: as sweep.c and files.c take it.
 * Crash: what was begun is DOOMED, or has another name; the next call or the
 * next cleaning finishes it.
 */
#include "core/collect.h"

#include <string.h>
#include <sys/shm.h>

#include "core/durable_check.h"
#include "core/files.h"
#include "core/segment.h"
#include "core/sweep.h"
#include "store/death.h"
#include "store/verify.h"

#define TEXT_ROOM 300

struct collect {
	unsigned flags;
	finding_report *report;
	void *arg;
	int left;
	int dir;
	uint32_t uid;
	struct space *sp; /* or NULL: there is no registry */
	bool durable;	  /* 'dir' is its working directory ... */
	bool elsewhere;	  /* ... or there is none */
};

static bool acts(const struct collect *c)
{
	return !(c->flags & COLLECT_DRY_RUN);
}

/* 'name' may be NULL; 'words' as text_words(). */
static void tell_fate(struct collect *c, enum fate fate, const char *code,
		      const char *name, const char *words, uint64_t a,
		      uint64_t b, uint64_t bytes)
{
	struct finding f = { .code = code, .fate = fate, .bytes = bytes };
	char buf[TEXT_ROOM];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	if (name) {
		text_str(&t, name);
		text_str(&t, " ");
	}
	text_words(&t, words, (const uint64_t[]){ a, b });
	f.text = buf;
	c->left += fate == FATE_LEFT;
	c->report(c->arg, &f);
}

/* The same; removing it gave 'r'. */
static void tell(struct collect *c, int r, const char *code, const char *name,
		 const char *words, uint64_t a, uint64_t b, uint64_t bytes)
{
	enum fate fate = !acts(c) ? FATE_FOUND
			 : r < 0  ? FATE_LEFT
				  : FATE_CORRECTED;

	tell_fate(c, fate, code, name, words, a, b, bytes);
}

/* -------------------------------------------------------------- the dead */

static bool is_dead(const struct collect *c, uint32_t slot)
{
	const struct space *sp = c->sp;
	uint64_t claim;

	return slot + 1 != sp->me && procs_is_suspect(&sp->reg, slot, &claim) &&
	       death_is_certain(&sp->reg, &sp->self, slot, claim);
}

/* A slot alone is nothing to speak of: every process that ends leaves one. */
static void tell_dead(struct collect *c)
{
	const struct registry *r = &c->sp->reg;

	for (uint32_t i = 0; i < registry_procs_used(r); i++) {
		const struct layout_proc *p = registry_proc(r, i);

		if (p && load_relaxed(&p->attaches) && is_dead(c, i))
			tell(c, 0, "process", NULL,
			     "process % is gone and had % attachments",
			     (uint32_t)claim_pid(load_relaxed(&p->claim)),
			     load_relaxed(&p->attaches), 0);
	}
}

/* Only the dead have it attached. */
static bool held_by_dead(const struct collect *c,
			 const struct layout_segment *s)
{
	const struct registry *r = &c->sp->reg;
	uint32_t link = s->first_attach, last = UINT32_MAX;

	for (uint32_t n = 0; link != NO_INDEX && n < r->max_attaches; n++) {
		const struct layout_attach *a = registry_attach(r, link - 1);
		uint32_t proc = a ? load_relaxed(&a->proc) : 0;

		if (!a || (proc != last && !is_dead(c, proc)))
			return false;
		last = proc;
		link = load_relaxed(&a->next_in_segment);
	}
	return s->attaches != 0;
}

/* Why the sweep will remove the segment, or NULL. */
static const char *doomed(const struct collect *c,
			  const struct layout_segment *s)
{
	switch (s->state) {
	case SEG_RESERVED:
		return is_dead(c, s->owner - 1)
			       ? "segment % was being made by a process that "
				 "was killed"
			       : NULL;
	case SEG_DOOMED:
		return is_dead(c, s->owner - 1)
			       ? "segment % was being removed by a process "
				 "that was killed"
			       : NULL;
	case SEG_LIVE:
		if (sweep_is_orphan(c->sp, s))
			return "segment % has lost its maker, and "
			       "shm_rmid_forced is 1";
		return (s->mode & SHM_DEST || sweep_forced(c->sp)) &&
				       held_by_dead(c, s)
			       ? "segment % was removed, and who had it "
				 "attached is gone"
			       : NULL;
	default:
		return NULL;
	}
}

static uint64_t segment_bytes(const struct collect *c, uint32_t index,
			      uint32_t seq)
{
	return segment_resident(c->sp, index, seq);
}

static void tell_doomed(struct collect *c)
{
	const struct registry *r = &c->sp->reg;
	struct layout_segment s;
	uint32_t index = 0;

	for (; (index = segments_next(r, index)) != UINT32_MAX; index++) {
		const char *why;

		if (segments_read(r, index, &s) < 0)
			continue;
		why = doomed(c, &s);
		if (why)
			tell(c, 0, "segment", NULL, why,
			     (uint64_t)registry_id(r, index, s.seq), 0,
			     segment_bytes(c, index, s.seq));
	}
}

/* What is DOOMED in our name still has a file that could not be removed. */
static void tell_kept(struct collect *c)
{
	const struct registry *r = &c->sp->reg;
	uint32_t index = 0;

	while ((index = segments_next_doomed(r, space_slot(c->sp), index)) !=
	       UINT32_MAX) {
		tell(c, -EACCES, "segment", NULL,
		     "the file of segment % cannot be removed",
		     (uint64_t)registry_id(r, index, r->segments[index].seq), 0,
		     0);
		index++;
	}
}

static int collect_dead(struct collect *c)
{
	struct space_entry e;
	int r;

	tell_dead(c);
	tell_doomed(c);
	if (!acts(c))
		return 0;
	r = space_enter(c->sp, &e); /* does what shm_rmid_forced wants */
	if (r < 0)
		return r;
	sweep_all(c->sp);
	space_leave(c->sp, &e);
	tell_kept(c);
	return 0;
}

/* ------------------------------------------------------------- the files */

static int collect_file(void *arg, int dir, const struct file *f)
{
	struct collect *c = arg;
	uint64_t bytes = files_bytes(dir, f->name);
	int r = 0;

	switch (f->kind) {
	case FILE_SEGMENT:
		if (!c->sp) {
			tell_fate(c, FATE_NOTED, "stranded", f->name,
				  "has no registry and stays: see 'ushm fsck'",
				  0, 0, 0);
			break;
		}
		if (!files_orphaned(c->sp, f->number))
			break;
		if (acts(c))
			r = files_remove_orphan(c->sp, dir, f);
		if (r != -EAGAIN && r != -ENOENT)
			tell(c, r, "orphan", f->name, "belongs to no segment",
			     0, 0, bytes);
		break;
	case FILE_GONE:
		if (acts(c))
			r = sys_unlinkat(dir, f->name, 0);
		tell(c, r, "orphan", f->name, "was left by a cleaning", 0, 0,
		     bytes);
		break;
	case FILE_NEW:
		if (!files_abandoned(dir, f))
			break;
		if (acts(c))
			r = sys_unlinkat(dir, f->name, 0);
		tell(c, r, "registry", f->name,
		     "was being made by a process that was killed", 0, 0,
		     bytes);
		break;
	default:
		break;
	}
	return 0;
}

/* All of it goes when the registry is opened. */
static int tell_old(void *arg, int dir, const struct file *f)
{
	struct collect *c = arg;

	if (f->kind == FILE_SEGMENT || f->kind == FILE_REGISTRY ||
	    f->kind == FILE_POSIX)
		tell(c, 0, "reboot", f->name, "is of before the last reboot", 0,
		     0, files_bytes(dir, f->name));
	return 0;
}

/* --------------------------------------------------------------- in order */

static void ignore(void *arg, const struct verify_finding *f)
{
	(void)arg;
	(void)f;
}

/* A damaged registry is not to be cleaned by: it is wrong about who lives. */
static int check_first(struct collect *c, struct text *why)
{
	struct space *sp = c->sp;
	struct space_entry e;
	uint64_t found = 0;
	int r;

	r = space_enter_quietly(sp, &e);
	if (r < 0) {
		text_str(why, "has no room for another process");
		return r;
	}
	r = space_lock_patiently(sp, why);
	if (r == 0) {
		found = verify_registry(&sp->reg, ignore, NULL);
		lock_release(&sp->reg);
	}
	space_leave(sp, &e);
	if (found) {
		text_str(why, "its registry is damaged: see 'ushm fsck'");
		return -EPROTO;
	}
	return r < 0 ? r : 0;
}

/* On the disk of a durable namespace. */
static bool collect_leftover(void *arg, const char *name, uint64_t bytes)
{
	struct collect *c = arg;

	tell(c, 0, "leftover", name, "is on disk and belongs to no segment", 0,
	     0, bytes);
	return acts(c);
}

static int collect_opened(struct collect *c, struct text *why)
{
	int r = check_first(c, why);

	if (r == 0)
		r = collect_dead(c);
	if (r == 0)
		r = files_each(c->dir, c->uid, collect_file, c);
	if (r == 0 && c->sp->durable.on)
		r = durable_each_leftover(c->sp, collect_leftover, c);
	return r;
}

/* The working directory in place of that of a durable namespace. */
static int enter_durable(struct collect *c, struct text *why)
{
	struct durable_door door;
	bool used;
	int work, r;

	r = durable_look(c->dir, &door, &work, &used);
	if (r <= 0) {
		if (r < 0)
			text_str(why,
				 r == -EPROTO
					 ? "has a damaged marker: see 'ushm "
					   "fsck'"
					 : "has a marker that cannot be read");
		return r;
	}
	durable_leave(&door);
	c->durable = true;
	c->elsewhere = work < 0;
	if (work >= 0) {
		(void)sys_close(c->dir);
		c->dir = work;
	}
	return 0;
}

static int collect_in(struct collect *c, const char *path, struct text *why)
{
	size_t said = why->used;
	int r = enter_durable(c, why);

	/* What is on disk alone goes when the namespace is restored. */
	if (r < 0 || c->elsewhere)
		return r;
	text_str(why, "its registry ");
	r = registry_inspect(c->dir, c->uid, c->durable, false, why);
	if (r == -ENOENT)
		return files_each(c->dir, c->uid, collect_file, c);
	if (r < 0)
		return r;
	if (r == REGISTRY_MENDABLE) {
		text_str(why, ": see 'ushm fsck'");
		return -EPROTO;
	}
	text_cut(why, said);
	if (r == REGISTRY_OLD) {
		r = files_each(c->dir, c->uid, tell_old, c);
		if (r < 0 || !acts(c))
			return r;
	}
	r = space_open(path, false, NULL, &c->sp, why);
	if (r == -ENOENT) /* it was of before the last reboot */
		return 0;
	if (r < 0)
		return r;
	r = collect_opened(c, why);
	space_close(c->sp);
	return r;
}

int collect_garbage(const char *path, unsigned flags, finding_report *report,
		    void *arg, struct text *why)
{
	struct collect c = { .flags = flags,
			     .report = report,
			     .arg = arg,
			     .uid = sys_geteuid() };
	int r;

	c.dir = sys_openat(AT_FDCWD, path,
			   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (c.dir < 0) {
		text_str(why, c.dir == -ENOENT ? "does not exist"
					       : "cannot be opened");
		return c.dir;
	}
	r = collect_in(&c, path, why);
	(void)sys_close(c.dir);
	return r < 0 ? r : c.left;
}
