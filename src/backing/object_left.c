/* SPDX-License-Identifier: MIT */
/*
 * Owns what is said of an object that nobody uses: whether anything in it is
 * newer than the file, and where the file is.
 *
 * Only objects of our own are looked at. All in the header may be anything, for
 * whoever may write the file may write there: the path leads to the file if
 * what is there has its identity, and nothing is opened before that is known.
 * Lock: the object's, and "in use" alone, as long as it is looked at.
 * Crash: nothing is changed but the names, as by any last user; the path is
 * empty while it is being written.
 */
#include "backing/object_left.h"

#include <string.h>

#include "backing/object_copy.h"
#include "backing/object_files.h"
#include "backing/object_use.h"
#include "base/step.h"
#include "base/text.h"

/* -------------------------------------------------------------- its path */

void left_note_path(struct object *o)
{
	size_t room = sizeof(o->h->path);
	char link[40];
	struct text t;
	long n;

	text_init(&t, link, sizeof(link));
	text_str(&t, "/proc/self/fd/");
	text_uint(&t, (uint64_t)o->file, 10, 0, ' ');
	n = sys_readlink(link, o->scratch, room);
	if (n < 0 || (size_t)n >= room)
		n = 0; /* too long: nobody will find it */
	o->scratch[n] = '\0';
	if (strncmp(o->h->path, o->scratch, room) == 0)
		return;
	memset(o->h->path, 0, room);
	memcpy(o->h->path + 1, o->scratch + 1, n ? (size_t)n - 1 : 0);
	step("object: path noted");
	o->h->path[0] = o->scratch[0];
}

static bool is_the_file(const struct object_left *l,
			const struct sys_identity *id)
{
	return id->dev == l->id.dev && id->ino == l->id.ino &&
	       (id->born == l->id.born || !id->born || !l->id.born);
}

int left_find(const struct object_left *l)
{
	struct sys_identity id;
	struct sys_stat st;
	int fd, r;

	if (l->path[0] != '/')
		return -ENOENT;
	fd = sys_openat(AT_FDCWD, l->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd == -ENOTDIR || fd == -ELOOP)
		return -ENOENT;
	if (fd < 0)
		return fd;
	r = sys_fstat(fd, &st);
	if (r == 0)
		r = sys_identity(fd, "", AT_EMPTY_PATH, &id);
	if (r == 0 && (!S_ISREG(st.mode) || !is_the_file(l, &id)))
		r = -ENOENT;
	if (r == 0)
		return fd;
	(void)sys_close(fd);
	return r;
}

/* ----------------------------------------------------------------- looking */

static void shut(struct object *o)
{
	if (o->lock >= 0)
		use_unlock(o);
	if (o->room) {
		(void)sys_munmap(o->page, (size_t)o->room);
		(void)sys_munmap(o->shadow, (size_t)o->room);
	}
	if (o->h)
		(void)sys_munmap(o->h, OBJECT_PAGE);
	if (o->pages >= 0)
		(void)sys_close(o->pages);
	if (o->ctl >= 0)
		(void)sys_close(o->ctl);
}

/* The header, if it has one: who was killed very early has left none. */
static int map_header(struct object *o)
{
	struct sys_stat st;
	void *p;
	int r = sys_fstat(o->ctl, &st);

	if (r < 0 || st.size < OBJECT_PAGE)
		return r;
	p = copy_map_control(o, 0, OBJECT_PAGE);
	if (sys_failed(p))
		return (int)(intptr_t)p;
	o->h = p;
	if (o->h->magic == OBJECT_MAGIC &&
	    (o->h->version != OBJECT_VERSION || o->h->page != OBJECT_PAGE))
		return -EPROTO;
	return 0;
}

/* Ours, locked, and in nobody's use. */
static int take(struct object *o)
{
	struct object_name name;
	struct sys_stat st;
	bool alone = false;
	int r;

	object_name(&o->id, true, &name);
	r = sys_stat(AT_FDCWD, name.path, AT_SYMLINK_NOFOLLOW, &st);
	if (r < 0)
		return r;
	if (st.uid != sys_geteuid())
		return -EPERM;
	o->ctl = object_file_open(&name, &st, false, &o->may_share);
	if (o->ctl < 0)
		return o->ctl;
	if (!o->may_share)
		return -EACCES;
	r = use_lock(o);
	if (r < 0)
		return r;
	if (!object_file_is(&name, o->ctl))
		return -ENOENT;
	r = use_begin(o, &alone);
	if (r == 0 && !alone)
		r = -EBUSY;
	if (r == 0)
		r = map_header(o);
	if (r < 0)
		return r;
	object_name(&o->id, false, &name);
	o->pages = object_file_open(&name, &st, false, &alone);
	return o->pages == -ENOENT || o->pages >= 0 ? 0 : o->pages;
}

static uint64_t bytes_of(int fd)
{
	struct sys_stat st;

	return fd >= 0 && sys_fstat(fd, &st) == 0 ? st.blocks * 512 : 0;
}

static int describe(struct object *o, struct object_left *ret)
{
	const struct object_header *h = o->h;
	int r;

	ret->id = o->id;
	ret->bytes = bytes_of(o->ctl) + bytes_of(o->pages);
	ret->newer = 0;
	ret->atomic = false;
	ret->path[0] = '\0';
	if (!h || h->magic != OBJECT_MAGIC)
		return 0;
	/* Damaged, it leads nowhere. */
	if (h->dev == o->id.dev && h->ino == o->id.ino)
		memcpy(ret->path, h->path, sizeof(ret->path));
	ret->path[sizeof(ret->path) - 1] = '\0';
	ret->id.born = (int64_t)h->born;
	ret->atomic = h->atomic;
	/* What was not committed is to go; unless that was just being done. */
	if (o->pages < 0 || (h->atomic && h->intent != INTENT_COMMIT))
		return 0;
	r = copy_measure(o);
	if (r == 0)
		ret->newer = (uint64_t)copy_dirty(o);
	return r;
}

static struct object begin(const struct sys_identity *of)
{
	return (struct object){ .id = { of->dev, of->ino, 0 },
				.max = UINT64_MAX,
				.file = -1,
				.pages = -1,
				.ctl = -1,
				.lock = -1,
				.spare = -1 };
}

int left_look(const struct sys_identity *of, struct object_left *ret)
{
	struct object o = begin(of);
	int r = take(&o);

	if (r == 0)
		r = describe(&o, ret);
	shut(&o);
	return r;
}

int left_remove(const struct object_left *l)
{
	struct object o = begin(&l->id);
	struct object_left now;
	int r = take(&o);

	if (r == 0)
		r = describe(&o, &now);
	if (r == 0 && (now.newer != l->newer || now.id.born != l->id.born))
		r = -EBUSY;
	if (r == 0)
		r = object_remove_names(&o);
	shut(&o);
	return r;
}
