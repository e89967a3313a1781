/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: finds the objects of mapped files that killed programs have
 * left, and does with each what the next who maps the file would do.
 *
 * Invariant: what is newer than its file goes only into that file, or stays,
 * unless the user gives it up.
 * Lock: as object_left.c and mapping_sync_file() take it.
 * Crash: an object is there until what it had is written.
 */
#include <string.h>

#include "backing/linger.h"
#include "backing/object_files.h"
#include "backing/object_left.h"
#include "base/text.h"
#include "core/collect.h"
#include "core/mapping_parts.h"

struct objects {
	unsigned flags;
	finding_report *report;
	void *arg;
	int left;
};

/* Its name, words, and the file's path: anybody's bytes, for a terminal. */
static void tell(struct objects *c, enum fate fate, const struct object_left *l,
		 const char *words, uint64_t n, const char *after)
{
	char buf[sizeof(l->path) + 400];
	struct finding f = { .code = "object",
			     .fate = fate,
			     .text = buf,
			     .bytes = fate == FATE_LEFT ? 0 : l->bytes };
	struct object_name name;
	struct text t;

	text_init(&t, buf, sizeof(buf));
	object_name(&l->id, false, &name);
	text_str(&t, name.path);
	text_words(&t, words, &n);
	if (after) {
		text_str(&t, l->path[0] ? l->path : "its file");
		text_str(&t, after);
	}
	for (char *s = buf; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			*s = '?';
	c->left += fate == FATE_LEFT;
	c->report(c->arg, &f);
}

static bool acts(const struct objects *c)
{
	return !(c->flags & COLLECT_DRY_RUN);
}

/* A descriptor of the file that is where it was, to write to. */
static int open_file(const struct object_left *l)
{
	int place = left_find(l), fd;

	if (place < 0)
		return place;
	fd = linger_open(place, &l->id, O_RDWR);
	(void)sys_close(place);
	/* It was there: it is not to be given up. */
	return fd == -ENOENT ? -EIO : fd;
}

/* As the next who maps it, and then unmaps it. */
static void settle(struct objects *c, const struct object_left *l, int fd)
{
	int r = acts(c) ? mapping_sync_file(fd) : 0;

	if (r < 0)
		tell(c, FATE_LEFT, l, ": error % in writing to ", (uint64_t)-r,
		     "");
	else if (r > 0)
		tell(c, FATE_CORRECTED, l,
		     ", left by a killed program; % pages of it were not written, for meanwhile somebody has changed ",
		     (uint64_t)r, "");
	else
		tell(c, acts(c) ? FATE_CORRECTED : FATE_FOUND, l,
		     l->atomic
			     ? ", left by a killed program, whose commit is finished or undone in "
			     : ", left by a killed program, of which % pages go to ",
		     l->newer, "");
}

static void drop(struct objects *c, const struct object_left *l)
{
	uint64_t signals;
	int r = 0;

	if (acts(c)) {
		mapping_enter(&signals);
		r = left_remove(l);
		mapping_leave(&signals);
	}
	if (r == -EBUSY || r == -ENOENT)
		return; /* somebody has mapped the file */
	if (r < 0)
		tell(c, FATE_LEFT, l, ": error %", (uint64_t)-r, NULL);
	else
		tell(c, acts(c) ? FATE_CORRECTED : FATE_FOUND, l,
		     l->newer
			     ? ", left by a killed program, with % pages that are newer than "
			     : ", left by a killed program, with nothing that is newer than ",
		     l->newer, l->newer ? ", which is not there" : "");
}

static void collect_left(struct objects *c, const struct object_left *l)
{
	uint64_t signals;
	int fd;

	if (l->newer == 0) {
		drop(c, l);
		return;
	}
	mapping_enter(&signals);
	fd = open_file(l);
	mapping_leave(&signals);
	if (fd >= 0) {
		settle(c, l, fd);
		mapping_enter(&signals);
		linger_close(fd, &l->id);
		mapping_leave(&signals);
	} else if (fd != -ENOENT) {
		tell(c, FATE_LEFT, l, ": error % in opening ", (uint64_t)-fd,
		     "");
	} else if (c->flags & COLLECT_FORGET) {
		drop(c, l);
	} else {
		tell(c, FATE_LEFT, l, ": % pages in it are newer than ",
		     l->newer, ", which is not there: see --forget");
	}
}

static int collect_object(void *arg, const struct sys_identity *id)
{
	struct objects *c = arg;
	struct object_left l = { .id = *id };
	uint64_t signals;
	int r;

	mapping_enter(&signals);
	r = left_look(id, &l);
	mapping_leave(&signals);
	if (r == 0)
		collect_left(c, &l);
	else if (r == -EPROTO)
		tell(c, FATE_NOTED, &l, " is of another version of ushm", 0,
		     NULL);
	else if (r != -EBUSY && r != -EPERM && r != -ENOENT)
		tell(c, FATE_LEFT, &l, ": error % in looking at it",
		     (uint64_t)-r, NULL);
	return 0;
}

int collect_objects(unsigned flags, finding_report *report, void *arg)
{
	struct objects c = { flags, report, arg, 0 };
	int r = object_each(collect_object, &c);

	return r < 0 ? r : c.left;
}
