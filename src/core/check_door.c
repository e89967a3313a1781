/* SPDX-License-Identifier: MIT */
/*
 * Owns what is looked at before a namespace is opened: its directory, and the
 * header of its registry.
 *
 * Invariant: what is set aside is mapped by nobody.
 * Lock: none; there is no registry yet whose lock it could be.
 * Crash: set aside halfway, there are segments' files without a registry, or
 * a registry that is refused still; the next check goes on.
 */
#include "core/check_parts.h"

#include <string.h>

#include "base/procfs.h"
#include "core/durable_check.h"
#include "core/files.h"

/* --------------------------------------------------------- the directory */

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
	struct check_users users;
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
		check_users_add(&s->users, pid);
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
		check_users_put(&s.users, t);
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
	char buf[CHECK_TEXT];
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
	char buf[CHECK_TEXT];
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
	char buf[CHECK_TEXT];
	struct text t;
	int r;

	if (check_registry_mode(c))
		return 1;
	text_init(&t, buf, sizeof(buf));
	text_str(&t, "the registry ");
	r = registry_inspect(c->dir, c->uid, c->disk >= 0, check_repairs(c),
			     &t);
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

int check_door(struct check *c, struct text *why)
{
	int r = check_directory(c, why);

	if (r == 0)
		r = check_durable_door(c, why);
	return r == 0 ? check_registry(c, why) : r;
}
