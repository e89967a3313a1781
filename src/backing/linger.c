/* SPDX-License-Identifier: MIT */
/*
 * Owns the descriptors that wait to be closed.
 *
 * Whether a lock is our process's own cannot be told for sure, so any lock of
 * anybody makes a descriptor wait. When the list is full one is left open for
 * good: that costs a number, a lost lock would cost data.
 * Lock: the caller's. Crash: descriptors die with the process.
 */
#include "backing/linger.h"

#include "backing/token.h"
#include "base/atomic.h"
#include "base/text.h"

#define LINGERING 64

static struct lingering {
	bool used;
	int fd;
	struct sys_identity id;
} lingering[LINGERING];
static unsigned count;

int linger_reopen(int fd, int flags)
{
	char path[40];
	struct text t;

	text_init(&t, path, sizeof(path));
	text_str(&t, "/proc/self/fd/");
	text_uint(&t, (uint64_t)fd, 10, 0, ' ');
	return sys_openat(AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

int linger_raise(int fd)
{
	/* As high as it may be, if the program keeps the limit low. */
	for (int from = 512; fd >= 0 && from >= 8; from /= 2) {
		int high = sys_fcntl(fd, F_DUPFD_CLOEXEC, from);

		if (high >= 0) {
			(void)sys_close(fd);
			return high;
		}
	}
	return fd;
}

static bool same(const struct sys_identity *a, const struct sys_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->born == b->born;
}

/* One that waits serves again: it is given no chance to do harm. */
static int linger_take(const struct sys_identity *id, int flags)
{
	for (int i = 0; i < LINGERING; i++) {
		struct lingering *l = &lingering[i];
		int mode;

		if (!l->used || !same(&l->id, id))
			continue;
		mode = sys_fcntl(l->fd, F_GETFL, 0);
		if (mode < 0 || (mode & O_ACCMODE) != flags)
			continue;
		l->used = false;
		count--;
		return l->fd;
	}
	return -ENOENT;
}

/* By a program; or -errno. */
static int is_locked(int fd)
{
	return sys_is_locked(fd, 0, TOKEN_BYTE);
}

int linger_open(int fd, const struct sys_identity *id, int flags)
{
	int own = linger_take(id, flags);

	if (own >= 0)
		return own;
	own = linger_reopen(fd, flags);
	/* It gets the lowest number, and to leave that is to close it. */
	return own >= 0 && is_locked(own) == 0 ? linger_raise(own) : own;
}

void linger_close(int fd, const struct sys_identity *id)
{
	if (fd < 0)
		return;
	token_drop(fd);
	if (is_locked(fd) == 0) {
		(void)sys_close(fd);
		return;
	}
	for (int i = 0; i < LINGERING; i++)
		if (!lingering[i].used) {
			lingering[i] = (struct lingering){ true, fd, *id };
			count++;
			return;
		}
}

bool linger_any(void)
{
	return load_relaxed(&count) != 0;
}

void linger_retry(void)
{
	for (int i = 0; count && i < LINGERING; i++)
		if (lingering[i].used && is_locked(lingering[i].fd) == 0) {
			(void)sys_close(lingering[i].fd);
			lingering[i].used = false;
			count--;
		}
}

void linger_inherit(void)
{
	for (int i = 0; count && i < LINGERING; i++)
		if (lingering[i].used) {
			(void)sys_close(lingering[i].fd);
			lingering[i].used = false;
			count--;
		}
}

int linger_next(int fd)
{
	int lowest = -1;

	for (int i = 0; count && i < LINGERING; i++)
		if (lingering[i].used && lingering[i].fd >= fd &&
		    (lowest < 0 || lingering[i].fd < lowest))
			lowest = lingering[i].fd;
	return lowest;
}

void linger_vacate(int fd)
{
	for (int i = 0; count && i < LINGERING; i++)
		if (lingering[i].used && lingering[i].fd == fd) {
			int other = sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);

			if (other >= 0)
				lingering[i].fd = other;
		}
}
