/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: finds working directories of durable namespaces whose directory
 * on disk is not where it was.
 *
 * Such a namespace was removed, or moved, or its disk is not there just now. So
 * what has segments goes only when the user gives it up: they may hold what was
 * not synced yet. Without a word of where the namespace is, it is left alone.
 * Invariant: nobody that can be seen has it mapped.
 * Lock: none; the namespace's own went with its directory.
 * Crash: the rest is removed by the next cleaning: what says where the
 * namespace was goes last.
 */
#include <string.h>

#include "base/procfs.h"
#include "core/collect.h"
#include "core/durable.h"
#include "core/files.h"

struct works {
	unsigned flags;
	finding_report *report;
	void *arg;
	int left;
	uint32_t uid;
	const char *root;
};

/* One working directory. */
struct work {
	char path[DURABLE_WORK_ROOM];
	char disk[PATH_ROOM]; /* where its namespace was */
	uint64_t bytes, segments;
};

static void tell(struct works *c, enum fate fate, const struct work *w,
		 const char *words, uint64_t n)
{
	char buf[PATH_ROOM + 300];
	struct finding f = { .code = "work",
			     .fate = fate,
			     .text = buf,
			     .bytes = fate == FATE_LEFT ? 0 : w->bytes };
	struct text t;

	text_init(&t, buf, sizeof(buf));
	text_str(&t, w->path);
	text_str(&t, ", of the durable namespace ");
	text_str(&t, w->disk);
	text_words(&t, words, &n);
	for (char *s = buf; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			*s = '?';
	c->left += fate == FATE_LEFT;
	c->report(c->arg, &f);
}

/* ----------------------------------------------------------------- looking */

static int count_file(void *arg, int dir, const struct file *f)
{
	struct work *w = arg;

	w->bytes += files_bytes(dir, f->name);
	w->segments += f->kind == FILE_SEGMENT || f->kind == FILE_POSIX;
	return 0;
}

static int search_line(void *arg, const char *line, const char *end)
{
	const struct work *w = arg;

	return memmem(line, (size_t)(end - line), w->path, strlen(w->path)) !=
	       NULL;
}

static int search_process(void *arg, int pid)
{
	return procfs_each_map(pid, 0, search_line, arg) == 1;
}

/* 1: its namespace is not where it was; 0: it is, or that cannot be told. */
static int is_lost(const struct work *w, const struct sys_identity *disk)
{
	struct sys_identity id;
	int r = *w->disk == '/' ? sys_identity(AT_FDCWD, w->disk, 0, &id) : 0;

	if (*w->disk != '/' || (r < 0 && r != -ENOENT && r != -ENOTDIR))
		return 0;
	return r < 0 || id.dev != disk->dev || id.ino != disk->ino ||
	       id.born != disk->born;
}

/* ---------------------------------------------------------------- removing */

/* All that is in it, also objects of shm_open(); the link comes last. */
static int empty(void *arg, int dir, const struct file *f)
{
	unsigned *depth = arg;
	int inner, r;

	if (f->kind == FILE_DISK && *depth)
		return 0;
	r = sys_unlinkat(dir, f->name, 0);
	if (r != -EISDIR || *depth == 0)
		return r == -ENOENT ? 0 : r;
	inner = sys_openat(dir, f->name,
			   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (inner < 0)
		return inner;
	--*depth;
	r = files_each(inner, 0, empty, depth);
	++*depth;
	(void)sys_close(inner);
	return r < 0 ? r : sys_unlinkat(dir, f->name, AT_REMOVEDIR);
}

static int remove_work(const struct work *w, int dir, uint32_t uid)
{
	unsigned depth = 1;
	int r = files_each(dir, uid, empty, &depth);

	if (r == 0)
		r = sys_unlinkat(dir, ".disk", 0);
	return r < 0 ? r : sys_unlinkat(AT_FDCWD, w->path, AT_REMOVEDIR);
}

/* ---------------------------------------------------------------- in order */

static void collect_lost(struct works *c, struct work *w, int dir)
{
	bool acts = !(c->flags & COLLECT_DRY_RUN);
	int r = 0;

	(void)files_each(dir, c->uid, count_file, w);
	if (procfs_each(0, search_process, w) != 0)
		return;
	if (w->segments && !(c->flags & COLLECT_FORGET)) {
		tell(c, FATE_LEFT, w,
		     ", which is not there, has % segments in memory: see --forget",
		     w->segments);
		return;
	}
	if (acts)
		r = remove_work(w, dir, c->uid);
	tell(c,
	     !acts   ? FATE_FOUND
	     : r < 0 ? FATE_LEFT
		     : FATE_CORRECTED,
	     w,
	     r < 0 ? ", which is not there: error %" : ", which is not there",
	     (uint64_t)-r);
}

static int collect_name(void *arg, int root, const struct file *f)
{
	struct works *c = arg;
	struct sys_identity disk;
	struct work w = { 0 };
	struct sys_stat st;
	struct text t;
	uint32_t uid;
	int dir;

	if (!durable_work_parse(f->name, &uid, &disk) || uid != c->uid)
		return 0;
	dir = sys_openat(root, f->name,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (dir < 0)
		return 0;
	text_init(&t, w.path, sizeof(w.path));
	text_str(&t, c->root);
	text_str(&t, f->name);
	if (sys_fstat(dir, &st) == 0 && st.uid == uid &&
	    sys_readlinkat(dir, ".disk", w.disk, sizeof(w.disk) - 1) > 0 &&
	    is_lost(&w, &disk))
		collect_lost(c, &w, dir);
	(void)sys_close(dir);
	return 0;
}

int collect_work(unsigned flags, finding_report *report, void *arg)
{
	struct works c = { flags, report, arg, 0, sys_geteuid(), NULL };

	for (unsigned i = 0; (c.root = durable_work_root(i)); i++) {
		int root = sys_openat(AT_FDCWD, c.root,
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

		if (root < 0)
			continue;
		(void)files_each(root, c.uid, collect_name, &c);
		(void)sys_close(root);
	}
	return c.left;
}
