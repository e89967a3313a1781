/* SPDX-License-Identifier: MIT */
/*
 * Owns the locks by which the users of an object know of each other.
 *
 * Three, each of an open file description, so that the kernel gives them back
 * at death:
 *   control file, byte 0   the object's lock. Each operation takes it on a
 *                          description of its own: right with threads, fork()
 *                          and clone() alike.
 *   control file, byte 1   "in use": shared, on a description that is kept and
 *                          never mapped, for a mapping would keep it alive in
 *                          a child. Who gets it alone is the only user.
 *   the file               "served from this /dev/shm": token.h
 * Invariant: a child has a use of its own from before fork() returns; who gives
 * up the use gives up all of it under the object's lock.
 * Crash: the kernel gives them back; what the dead left undone the object's
 * header tells the next who gets the lock.
 */
#include "backing/object_use.h"

#include "backing/linger.h"
#include "backing/token.h"
#include "base/step.h"

#define BYTE_LOCK 0
#define BYTE_USE  1

/* ------------------------------------------------------------------- lock */

int use_lock(struct object *o)
{
	short type = o->may_share ? F_WRLCK : F_RDLCK;
	int fd = linger_reopen(o->ctl, o->may_share ? O_RDWR : O_RDONLY), r;

	/* Without a descriptor left: the one that we have, which relatives may
	 * share. */
	if (fd < 0)
		fd = o->ctl;
	r = sys_lock(fd, type, BYTE_LOCK, 1, true);
	if (r < 0) {
		if (fd != o->ctl)
			(void)sys_close(fd);
		return r;
	}
	o->lock = fd;
	return 0;
}

void use_unlock(struct object *o)
{
	if (o->lock == o->ctl)
		(void)sys_lock(o->ctl, F_UNLCK, BYTE_LOCK, 1, false);
	else
		(void)sys_close(o->lock);
	o->lock = -1;
}

/* -------------------------------------------------------------------- use */

int use_begin(const struct object *o, bool *ret_first)
{
	int r;

	*ret_first = o->may_share &&
		     sys_lock(o->ctl, F_WRLCK, BYTE_USE, 1, false) == 0;
	r = sys_lock(o->ctl, F_RDLCK, BYTE_USE, 1, false);
	/* Who may not change an object can only join others. */
	if (r == 0 && !o->may_share && sys_is_locked(o->ctl, BYTE_USE, 1) == 0)
		r = -EACCES;
	return r;
}

bool use_is_alone(const struct object *o)
{
	if (o->shared || !o->may_share)
		return false;
	return sys_lock(o->ctl, F_WRLCK, BYTE_USE, 1, false) == 0 &&
	       sys_lock(o->ctl, F_RDLCK, BYTE_USE, 1, false) == 0;
}

/*
 * Closing the descriptors ends the use; but others must not find us gone from
 * one lock and not from the other: it ends under the object's.
 */
void use_end(const struct object *o)
{
	if (o->shared)
		return; /* a relative's as well */
	token_drop(o->file);
	(void)sys_lock(o->ctl, F_UNLCK, BYTE_USE, 1, false);
}

/* ------------------------------------------------------------------- fork */

void object_before_fork(struct object *o)
{
	o->tracked = 0;
	o->spare = linger_reopen(o->ctl, o->may_share ? O_RDWR : O_RDONLY);
	if (o->spare >= 0 &&
	    sys_lock(o->spare, F_RDLCK, BYTE_USE, 1, false) < 0) {
		(void)sys_close(o->spare);
		o->spare = -1;
	}
	/* The child will share ours: neither can tell then. */
	if (o->spare < 0)
		o->shared = true;
}

void object_after_fork(struct object *o, bool child)
{
	int fd;

	step("object: forked");
	if (child && o->spare >= 0)
		(void)sys_dup3(o->spare, o->ctl, O_CLOEXEC);
	if (o->spare >= 0)
		(void)sys_close(o->spare);
	o->spare = -1;
	if (!child)
		return;

	/* A child has no POSIX locks yet: to close drops none. */
	fd = linger_reopen(o->file, o->may_write ? O_RDWR : O_RDONLY);
	if (fd < 0)
		return;
	if (token_join(fd, o->token) == 0)
		(void)sys_dup3(fd, o->file, O_CLOEXEC);
	(void)sys_close(fd);
}
