/* SPDX-License-Identifier: MIT */
/* Owns the state, which only grows: no lock. */
#include "edge/doubt.h"

#include "base/sys.h"
#include "core/mapping.h"

int doubt_state;

void doubt_everything(void)
{
	store_relaxed(&doubt_state, DOUBT_SOME);
}

void doubt_descriptor(int fd)
{
	if (load_relaxed(&doubt_state) != DOUBT_SOME && mapping_in_doubt(fd))
		doubt_everything();
}

/* A name in /proc/self/fd, or -1. */
static int number(const char *name)
{
	int n = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		n = 10 * n + (*name - '0');
	}
	return n;
}

static bool any_in(int dir)
{
	char buf[1024] __attribute__((aligned(8)));
	long n;

	while ((n = sys_getdents(dir, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n;) {
			struct sys_dirent *e = (void *)(buf + at);
			int fd = number(e->name);

			if (fd >= 0 && fd != dir && mapping_in_doubt(fd))
				return true;
			at += e->length;
		}
	return n < 0;
}

/* Once in a program: what did whoever started it leave open? */
bool doubt_inherited(void)
{
	int state = DOUBT_NEW;
	bool some = true;
	int dir;

	dir = sys_openat(AT_FDCWD, "/proc/self/fd",
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir >= 0) {
		some = any_in(dir);
		(void)sys_close(dir);
	}
	if (some)
		doubt_everything();
	else
		(void)swap_if(&doubt_state, &state, DOUBT_NONE);
	return load_relaxed(&doubt_state) == DOUBT_SOME;
}
