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

#include "base/procfs.h"
#include "core/files.h"
#include "core/sweep.h"
#include "store/death.h"
#include "store/publish.h"
#include "store/rebuild.h"
#include "store/verify.h"

#define TEXT_ROOM 500

/* --------------------------------------------------------------- telling */

bool check_repairs(const struct check *c)
{
	return c->flags & CHECK_REPAIR;
}

enum fate check_fate(const struct check *c, int r)
{
	if (!check_repairs(c))
		return FATE_FOUND;
	return r < 0 ? FATE_LEFT : FATE_CORRECTED;
}

void check_tell(struct check *c, enum fate fate, const char *code,
		const char *text, const char *remedy)
{
	struct finding f = { code, text, remedy, fate, 0 };

	if (fate == FATE_CORRECTED)
		c->status |= CHECK_CORRECTED;
	else if (fate != FATE_NOTED)
		c->status |= CHECK_LEFT;
	c->report(c->arg, &f);
}

/* A name that may hold anything, as one word of a line. */
static void put_name(struct text *t, const char *name)
{
	for (; *name; name++)
		text_bytes(t, (unsigned char)*name < ' ' ? "?" : name, 1);
}

void check_tell_words(struct check *c, enum fate fate, const char *code,
		      const char *name, const char *words, const char *remedy,
		      uint64_t a, uint64_t b)
{
	char buf[TEXT_ROOM];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	if (name) {
		put_name(&t, name);
		text_str(&t, " ");
	}
	text_words(&t, words, (const uint64_t[]){ a, b });
	check_tell(c, fate, code, buf, remedy);
}

/* "3 processes use it: 12, 13, 14" */
struct users {
	uint32_t n;
	struct text t;
	char buf[100];
};

static void users_add(struct users *u, int pid)
{
	if (u->n == 0)
		text_init(&u->t, u->buf, sizeof(u->buf));
	text_str(&u->t, u->n++ ? ", " : "");
	text_uint(&u->t, (uint64_t)pid, 10, 0, ' ');
}

static void users_put(const struct users *u, struct text *t)
{
	text_uint(t, u->n, 10, 0, ' ');
	text_str(t, u->n == 1 ? " process uses it: " : " processes use it: ");
	text_str(t, u->buf);
	if (u->t.full)
		text_str(t, ", ...");
}

/* --------------------------------------------------------- the directory */

int check_change_mode(struct check *c, const char *name, uint32_t mode)
{
	return (int)SYS3(SYS_fchmodat, c->dir, name, mode);
}

/* 1: that is as far as one can look. */
static int check_directory(struct check *c, struct text *why)
{
	struct sys_stat st;
	enum fate fate;
	int r;

	c->dir = sys_openat(AT_FDCWD, c->path,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (c->dir < 0) {
		text_str(why, c->dir == -ENOENT	   ? "does not exist"
			      : c->dir == -ENOTDIR ? "is not a directory, or "
						     "a symbolic link"
						   : "cannot be opened");
		return c->dir;
	}
	r = sys_fstat(c->dir, &st);
	if (r < 0)
		return r;
	if (st.uid != c->uid) {
		text_str(why, "belongs to another user");
		return -EACCES;
	}
	if (!(st.mode & 022))
		return 0;
	fate = check_fate(c, check_repairs(c)
				     ? (int)SYS3(SYS_fchmod, c->dir, 0700, 0)
				     : 0);
	check_tell_words(
		c, fate, "mode", NULL,
		"the directory may be written by group or others, so no "
		"program uses it",
		"makes it the owner's alone", 0, 0);
	return fate != FATE_CORRECTED;
}

/* ---------------------------------------------------------- the registry */

/* Who has files of this directory mapped, also such that are deleted. */
struct search {
	char registry[PATH_ROOM], segments[PATH_ROOM];
	struct users users;
};

static int search_line(void *arg, const char *line, const char *end)
{
	const struct search *s = arg;
	size_t n = (size_t)(end - line);

	return memmem(line, n, s->registry, strlen(s->registry)) ||
	       memmem(line, n, s->segments, strlen(s->segments));
}

static int search_process(void *arg, int pid)
{
	struct search *s = arg;

	if (pid != sys_getpid() && procfs_each_map(pid, 0, search_line, s) == 1)
		users_add(&s->users, pid);
	return 0;
}

static void search_name(char *buf, const char *dir, const char *name,
			uint32_t uid, const char *end)
{
	struct text t;

	text_init(&t, buf, PATH_ROOM);
	text_str(&t, dir);
	text_str(&t, name);
	text_uint(&t, uid, 10, 0, ' ');
	text_str(&t, end);
}

static int search_users(const struct check *c, struct search *s)
{
	char link[64], dir[PATH_ROOM];
	struct text t;
	long n;

	text_init(&t, link, sizeof(link));
	text_str(&t, "/proc/self/fd/");
	text_uint(&t, (uint64_t)c->dir, 10, 0, ' ');
	n = sys_readlink(link, dir, sizeof(dir) - 64);
	if (n < 0)
		return (int)n;
	dir[n] = '\0';
	search_name(s->registry, dir, "/registry.", c->uid, "");
	search_name(s->segments, dir, "/seg.", c->uid, ".");
	return procfs_each(0, search_process, s);
}

struct census {
	uint64_t files, bytes;
};

static int count_segment(void *arg, int dir, const struct file *f)
{
	struct census *n = arg;

	if (f->kind == FILE_SEGMENT) {
		n->files++;
		n->bytes += files_bytes(dir, f->name);
	}
	return 0;
}

/* What cannot be repaired is moved away, if nobody has it mapped. */
static int start_over(struct check *c, struct text *t)
{
	struct search s = { 0 };
	int r = search_users(c, &s);

	if (r < 0)
		return r;
	if (s.users.n) {
		text_str(t, "; ");
		users_put(&s.users, t);
		return -EBUSY;
	}
	r = files_set_aside(c->dir, c->uid);
	if (r < 0)
		return r;
	text_str(t, "; it and the segments' files are in damaged.");
	text_uint(t, c->uid, 10, 0, ' ');
	text_str(t, ".");
	text_uint(t, (uint64_t)r, 10, 0, ' ');
	text_str(t, " now");
	return 0;
}

static void tell_refused(struct check *c, int error, const char *text)
{
	const char *remedy = "cannot restore it; with --start-over, and when "
			     "no program uses it, it is moved aside";
	enum fate fate = check_repairs(c) ? FATE_LEFT : FATE_FOUND;
	char buf[TEXT_ROOM];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_str(&t, text);
	if (error == -ESTALE)
		remedy = "leaves it alone: end the programs of that system";
	else if (check_repairs(c) && c->flags & CHECK_START_OVER &&
		 start_over(c, &t) == 0) {
		fate = FATE_CORRECTED;
		c->status |= CHECK_RESTART;
		remedy = "begins anew: the next program finds an empty "
			 "namespace";
	}
	check_tell(c, fate, "registry", buf, remedy);
}

static int check_registry_mode(struct check *c)
{
	struct sys_stat st;
	char name[24];

	registry_name(c->uid, name, sizeof(name));
	if (sys_stat(c->dir, name, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    !S_ISREG(st.mode) || st.uid != c->uid || !(st.mode & 077))
		return 0;
	check_tell_words(
		c,
		check_fate(c, check_repairs(c)
				      ? check_change_mode(c, name, 0600)
				      : 0),
		"mode", name,
		st.mode & 022 ? "may be written by group or others, so no "
				"program uses it"
			      : "may be read by group or others",
		"makes it the owner's alone", 0, 0);
	return !check_repairs(c) && st.mode & 022;
}

static int check_no_registry(struct check *c, struct text *why)
{
	struct census n = { 0 };

	(void)files_each(c->dir, c->uid, count_segment, &n);
	if (n.files == 0) {
		text_str(why, "there is no namespace in this directory");
		return -ENOENT;
	}
	char buf[TEXT_ROOM];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_words(&t,
		   "there is no registry, but files of % segments (% bytes), "
		   "whose keys and owners only the registry knew",
		   (const uint64_t[]){ n.files, n.bytes });
	tell_refused(c, -ENOENT, buf);
	return 1;
}

static int check_registry(struct check *c, struct text *why)
{
	char buf[TEXT_ROOM];
	struct text t;
	int r;

	if (check_registry_mode(c))
		return 1;
	text_init(&t, buf, sizeof(buf));
	text_str(&t, "the registry ");
	r = registry_inspect(c->dir, c->uid, check_repairs(c), &t);
	switch (r) {
	case REGISTRY_GOOD:
		return 0;
	case REGISTRY_OLD:
		check_tell_words(
			c, FATE_NOTED, "reboot", NULL,
			"the namespace is of before the last reboot, which "
			"no segment outlives: whoever opens it next, or "
			"'ushm gc', removes what is left",
			NULL, 0, 0);
		return 1;
	case REGISTRY_MENDABLE:
		check_tell(
			c, check_fate(c, 0), "header", buf,
			"restores its header: what is left of it leaves no doubt");
		return !check_repairs(c);
	case -ENOENT:
		return check_no_registry(c, why);
	case -EPROTO:
	case -ELOOP:
	case -EACCES:
	case -ESTALE:
		tell_refused(c, r, buf);
		return 1;
	default:
		text_str(why, buf);
		return r;
	}
}

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
	struct users users = { 0 };
	char buf[TEXT_ROOM];
	struct text t;

	for (uint32_t i = 0; i < registry_procs_used(r); i++) {
		const struct layout_proc *p = registry_proc(r, i);
		uint64_t claim;

		if (!p)
			break;
		claim = load_acquire(&p->claim);
		if (claim_state(claim) == PROC_LIVE && !life_marked(p) &&
		    claim_pid(claim) != c->sp->self.pid)
			users_add(&users, claim_pid(claim));
	}
	if (!users.n)
		return;
	text_init(&t, buf, sizeof(buf));
	text_str(&t, "the namespace is in use; ");
	users_put(&users, &t);
	check_tell(c, FATE_NOTED, "in-use", buf, NULL);
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
		    !death_is_certain(&sp->reg, &sp->self, i, claim))
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
			   .uid = sys_geteuid() };
	int r;

	r = check_directory(&c, why);
	if (r == 0)
		r = check_registry(&c, why);
	if (r == 0)
		r = space_open(path, false, NULL, &c.sp, why);
	if (r == 0) {
		r = check_opened(&c, why);
		space_close(c.sp);
	}
	if (c.dir >= 0)
		(void)sys_close(c.dir);
	return r < 0 ? r : c.status;
}
