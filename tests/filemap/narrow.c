/* SPDX-License-Identifier: MIT */
/*
 * Locks as a program makes them that is compiled without
 * _FILE_OFFSET_BITS=64.
 */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <unistd.h>

#include "filemap/locks.h"

int narrow_fcntl(int fd, int type)
{
	struct flock l = { .l_type = (short)type };

	return fcntl(fd, F_SETLK, &l);
}

int narrow_description(int fd, int type)
{
	struct flock l = { .l_type = (short)type };

	return fcntl(fd, F_OFD_SETLK, &l);
}

int narrow_lockf(int fd, int type)
{
	return lockf(fd, type == F_UNLCK ? F_ULOCK : F_TLOCK, 0);
}

bool narrow_ask(int fd, struct whose *ret)
{
	struct flock l = { .l_type = F_WRLCK, .l_start = 7, .l_pid = 4711 };

	if (fcntl(fd, F_GETLK, &l) < 0)
		return false;
	*ret = (struct whose){ l.l_type, l.l_start, l.l_len, l.l_pid };
	return true;
}
