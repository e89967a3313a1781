/* SPDX-License-Identifier: MIT */
/*
 * Owns this process's hold on objects: how one comes and goes, and what is done
 * with it in between.
 *
 * Invariant: the name of a control file that somebody uses, or works on, stays;
 * only the last user unlinks it, under the object's lock, and who has waited
 * for that lock looks whether the name is still that of what he has opened.
 * Lock: the object's (object_use.c), for each operation.
 * Crash: what the dead have left is settled by the next who attaches.
 */
#include "backing/object.h"

#include <stddef.h>
#include <string.h>

#include "backing/linger.h"
#include "backing/object_commit.h"
#include "backing/object_copy.h"
#include "backing/object_files.h"
#include "backing/object_left.h"
#include "backing/object_recover.h"
#include "backing/object_use.h"
#include "base/fsize.h"
#include "base/step.h"

/* Where there is no room for all, what is there is served. */
static int follow(struct object *o, bool ask)
{
	int r = copy_follow(o, ask);

	return r == 0 || r == -ENOMEM ? recover_intent(o) : r;
}

static int enter(struct object *o, bool ask)
{
	int r = use_lock(o);

	if (r < 0)
		return r;
	r = follow(o, ask);
	if (r < 0)
		use_unlock(o);
	return r;
}

/* ----------------------------------------------------------------- attach */

static struct object *allocate(void)
{
	size_t size = OBJECT_PAGE + OBJECT_SCRATCH;
	struct object *o;
	char *p;

	p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(p))
		return NULL;
	o = (struct object *)(void *)p;
	o->scratch = p + OBJECT_PAGE;
	o->file = o->pages = o->ctl = o->lock = o->spare = -1;
	return o;
}

static void release(struct object *o)
{
	if (o->lock >= 0) {
		use_end(o);
		use_unlock(o);
	}
	if (o->room) {
		(void)sys_munmap(o->page, (size_t)o->room);
		(void)sys_munmap(o->shadow, (size_t)o->room);
	}
	if (o->h)
		(void)sys_munmap(o->h, OBJECT_PAGE);
	linger_close(o->file, &o->id);
	if (o->pages >= 0)
		(void)sys_close(o->pages);
	if (o->ctl >= 0)
		(void)sys_close(o->ctl);
	(void)sys_munmap(o, OBJECT_PAGE + OBJECT_SCRATCH);
}

/* A description of our own; for writing if that can be had. */
static int open_file(struct object *o, int fd, bool write)
{
	int own = linger_open(fd, &o->id, O_RDWR);

	o->may_write = own >= 0;
	if (own < 0 && !write)
		own = linger_open(fd, &o->id, O_RDONLY);
	if (own < 0)
		return own;
	o->file = own;
	return 0;
}

/* The control file, locked, and not one that is just being removed. */
static int open_control(struct object *o, const struct sys_stat *file,
			bool create)
{
	struct object_name name;
	int fd, r;

	object_name(&o->id, true, &name);
	for (int tries = 0; tries < 1000; tries++) {
		fd = object_file_open(&name, file, create, &o->may_share);
		if (fd == -EEXIST || (fd == -ENOENT && create))
			continue;
		if (fd < 0)
			return fd;
		o->ctl = fd;
		r = use_lock(o);
		if (r < 0)
			return r;
		if (object_file_is(&name, fd))
			return 0;
		use_unlock(o);
		(void)sys_close(fd);
		o->ctl = -1;
	}
	return -EAGAIN;
}

static int open_pages(struct object *o, const struct sys_stat *file,
		      bool create)
{
	struct object_name name;
	bool share;
	int fd;

	object_name(&o->id, false, &name);
	fd = object_file_open(&name, file, create, &share);
	if (fd < 0)
		return fd;
	o->pages = fd;
	if (o->may_share && !share)
		return -EACCES;
	return 0;
}

static bool is_header(const struct object *o)
{
	const struct object_header *h = o->h;

	return h->magic == OBJECT_MAGIC && h->version == OBJECT_VERSION &&
	       h->page == OBJECT_PAGE && h->dev == o->id.dev &&
	       h->ino == o->id.ino &&
	       (h->born == (uint64_t)o->id.born || !h->born || !o->id.born);
}

static int map_header(struct object *o, bool first)
{
	struct sys_stat st;
	void *p;
	int r;

	r = sys_fstat(o->ctl, &st);
	if (r == 0 && first && o->may_share)
		r = fsize_allocate(o->ctl, 0, OBJECT_PAGE);
	else if (r == 0 && st.size < OBJECT_PAGE)
		r = -EPROTO;
	if (r < 0)
		return r == -ENOSPC ? -ENOMEM : r;
	p = copy_map_control(o, 0, OBJECT_PAGE);
	if (sys_failed(p))
		return (int)(intptr_t)p;
	o->h = p;
	return 0;
}

/*
 * Nobody has ever used it, or what it was made for is no more: a new one, of
 * no bytes. Returns the number of pages that nobody wants.
 */
static int start_over(struct object *o)
{
	struct object_header *h = o->h;

	if (h->magic == OBJECT_MAGIC && h->version == OBJECT_VERSION) {
		/* Of another file of this number, before: nothing of it is
		 * to be written. */
		if (copy_measure(o) == 0)
			o->dropped = (uint64_t)copy_dirty(o);
		o->size = 0;
	}
	store_release(&h->magic, 0);
	(void)sys_ftruncate(o->pages, 0);
	(void)sys_ftruncate(o->ctl, OBJECT_PAGE);
	step("object: old one forgotten");
	memset(h, 0, sizeof(*h));
	h->version = OBJECT_VERSION;
	h->page = OBJECT_PAGE;
	h->dev = o->id.dev;
	h->ino = o->id.ino;
	h->born = (uint64_t)o->id.born;
	store_release(&h->magic, OBJECT_MAGIC);
	step("object: header written");
	return (int)o->dropped;
}

/* The lock is held; nobody but us uses the object if 'first'. */
static int begin_use(struct object *o, unsigned flags, bool first)
{
	uint32_t atomic = (flags & OBJECT_ATOMIC) != 0;
	bool fresh = !is_header(o);
	int lost = 0, r;

	r = token_take(o->file, first, &o->token);
	if (r < 0)
		return r;
	if (fresh) {
		if (!first)
			return -EPROTO;
		lost = start_over(o);
	}
	if (!first && o->h->atomic != atomic)
		return -EBUSY;
	/* A commit that a power cut has ended: before the file is read. */
	if (first)
		r = commit_replay(o);
	if (r < 0 && atomic)
		return r;
	r = copy_follow(o, true);
	/* What was read only now is as the file has it. */
	if (r == 0 && !fresh)
		r = first ? recover_object(o) : recover_intent(o);
	if (r < 0)
		return r;
	if (first)
		o->h->atomic = atomic;
	if (first && o->may_share)
		left_note_path(o);
	lost += r;
	if (o->may_share)
		(void)fetch_add(&o->h->users, 1u);
	return lost;
}

/* Has anybody ever used it? Asked before the header is mapped, too. */
static bool was_used(const struct object *o)
{
	uint64_t users = 0;
	long n = sys_pread(o->ctl, &users, sizeof(users),
			   offsetof(struct object_header, users));

	return n != 0 && (n != sizeof(users) || users != 0);
}

static int attach(struct object *o, int fd, unsigned flags)
{
	bool create = flags & OBJECT_CREATE, first = false;
	struct sys_stat file;
	int r;

	r = sys_fstat(fd, &file);
	if (r < 0)
		return r;
	if (file.size > o->max)
		return -EFBIG;
	r = open_control(o, &file, create);
	if (r < 0)
		return r;
	r = use_begin(o, &first);
	if (r == 0)
		r = open_file(o, fd, flags & OBJECT_WRITE);
	if (r == 0)
		r = open_pages(o, &file, first && create);
	if (r == 0)
		r = map_header(o, first);
	if (r == 0)
		r = begin_use(o, flags, first);
	/* What never worked is not left behind. What may hold somebody's
	 * changes is. */
	if (r < 0 && first && !was_used(o))
		(void)object_remove_names(o);
	return r;
}

int object_attach(int fd, const struct sys_identity *id, unsigned flags,
		  uint64_t max, struct object **ret_object)
{
	struct object *o = allocate();
	int r;

	if (!o)
		return -ENOMEM;
	o->id = *id;
	o->max = max;
	r = attach(o, fd, flags);
	if (r < 0) {
		release(o);
		return r;
	}
	use_unlock(o);
	step("object: attached");
	*ret_object = o;
	return r;
}

int object_allow_write(struct object *o, int fd)
{
	int old = o->file, r;

	if (o->may_write)
		return 0;
	r = open_file(o, fd, true);
	if (r < 0)
		return r;
	r = token_join(o->file, o->token);
	if (r < 0) {
		linger_close(o->file, &o->id);
		o->file = old;
		o->may_write = false;
		return r;
	}
	linger_close(old, &o->id);
	return 0;
}

/* ----------------------------------------------------------------- detach */

/* Under the lock. All is written: does nobody else use it? Then it goes. */
static void conclude(struct object *o)
{
	if (!use_is_alone(o))
		return;
	if (o->h->atomic)
		commit_end(o);
	(void)object_remove_names(o);
}

void object_finish(struct object *o)
{
	if (enter(o, false) < 0)
		return;
	if (copy_push(o, 0, o->size) == 0)
		conclude(o);
	use_unlock(o);
}

int object_detach(struct object *o)
{
	int r = use_lock(o);

	if (r == 0)
		r = follow(o, false);
	if (r == 0)
		r = copy_push(o, 0, o->size);
	if (r == 0)
		conclude(o);
	release(o);
	return r;
}

/* -------------------------------------------------------------- operations */

int object_open_pages(const struct object *o, bool write)
{
	if (write && !(o->may_write && o->may_share))
		return -EACCES;
	/* Out of the program's numbers, and of what a filter refuses to map. */
	return linger_raise(linger_reopen(o->pages, write ? O_RDWR : O_RDONLY));
}

int64_t object_size(struct object *o)
{
	int r = enter(o, true);

	if (r < 0)
		return r;
	use_unlock(o);
	return (int64_t)o->size;
}

int object_push(struct object *o, uint64_t from, uint64_t to)
{
	int r = enter(o, false);

	if (r < 0)
		return r;
	r = copy_push(o, from, to);
	use_unlock(o);
	return r;
}

/*
 * Give what may be newer to push(): what the caller can tell, or all. All is
 * looked at once, after the tracking began: what was stored before is seen by
 * that, and what comes later by the next scan.
 */
static int push_written(struct object *o, uint64_t from, uint64_t to,
			const struct object_tracker *t, object_part *push)
{
	int r;

	if (t && o->tracked && o->tracked == o->h->users) {
		r = t->scan(t->arg, from, to, push);
		if (r != -EPERM && r != -EFAULT)
			return r;
		/* It cannot be told, and what was told is forgotten. */
	}
	o->tracked = 0;
	if (t && use_is_alone(o) && t->protect(t->arg) == 0)
		o->tracked = o->h->users;
	return push(o, 0, o->size);
}

int object_push_written(struct object *o, uint64_t from, uint64_t to,
			const struct object_tracker *t)
{
	int r = enter(o, true);

	if (r < 0)
		return r;
	r = push_written(o, from, to, t, copy_push);
	if (r < 0)
		o->tracked = 0;
	use_unlock(o);
	return r;
}

int object_commit(struct object *o, const struct object_tracker *t)
{
	int r;

	if (!o->h->atomic)
		return -EINVAL;
	r = enter(o, true);
	if (r < 0)
		return r;
	o->notes = 0;
	r = push_written(o, 0, UINT64_MAX, t, commit_note);
	if (r == 0)
		r = commit_pages(o);
	if (r < 0)
		o->tracked = 0;
	use_unlock(o);
	return r;
}

int object_refresh(struct object *o, uint64_t from, uint64_t to)
{
	int r = enter(o, true);

	if (r < 0)
		return r;
	r = copy_pull(o, from, to);
	use_unlock(o);
	return r;
}

int object_sync(struct object *o)
{
	int r = sys_fdatasync(o->file);

	/* A file system may have none: as the kernel's msync(). */
	return r == -ENOSYS || r == -EINVAL ? 0 : r;
}

int object_hold(struct object *o)
{
	return enter(o, false);
}

void object_before_read(struct object *o, uint64_t from, uint64_t to)
{
	(void)copy_push(o, from, to);
}

void object_before_change(struct object *o, uint64_t from, uint64_t to)
{
	(void)copy_push(o, from, to);
	copy_clear_tail(o);
	if (o->may_share)
		copy_intend(o, INTENT_PULL, from, to);
	step("object: change intended");
}

void object_changed_anywhere(struct object *o)
{
	if (o->may_share)
		copy_intend(o, INTENT_PULL, 0, UINT64_MAX);
}

void object_release(struct object *o)
{
	/* Does what was intended. What fails now the next one will do. */
	(void)follow(o, false);
	use_unlock(o);
}

/* ------------------------------------------------------------ descriptors */

int object_next_descriptor(const struct object *o, int fd)
{
	int all[] = { o->file, o->pages, o->ctl }, lowest = -1;

	for (int i = 0; i < 3; i++)
		if (all[i] >= fd && (lowest < 0 || all[i] < lowest))
			lowest = all[i];
	return lowest;
}

void object_vacate(struct object *o, int fd)
{
	int *all[] = { &o->file, &o->pages, &o->ctl };

	for (int i = 0; i < 3; i++)
		if (*all[i] == fd) {
			int other = sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);

			if (other >= 0)
				*all[i] = other;
		}
}
