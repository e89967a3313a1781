/* SPDX-License-Identifier: MIT */
/*
 * A change of a file beside its mappings: held, made, followed. Owns nothing;
 * between begin and end the object's locks are held and signals blocked.
 */
#include <pthread.h>

#include "base/sys.h"
#include "edge/filemap.h"

static bool appends(int fd)
{
	int flags = sys_fcntl(fd, F_GETFL, 0);

	return flags >= 0 && flags & O_APPEND;
}

static enum filemap_way hold(struct filemap_change *c)
{
	return mapping_before_change(&c->mapping, c->fd, c->from, c->length)
		       ? FILEMAP_HELD
		       : FILEMAP_ALONE;
}

enum filemap_way filemap_write_begin(struct filemap_change *c, int fd,
				     int64_t at, uint64_t length)
{
	if (!mapping_in_doubt(fd))
		return FILEMAP_PLAIN;

	/* The system call will be none. */
	pthread_testcancel();

	c->fd = fd;
	c->from = at < 0 ? MAPPING_HERE : (uint64_t)at;
	c->length = length;
	if (appends(fd)) {
		c->from = MAPPING_END;
		c->length = MAPPING_ALL;
	}
	return hold(c);
}

enum filemap_way filemap_change_begin(struct filemap_change *c, int fd,
				      uint64_t from, uint64_t length)
{
	if (!mapping_in_doubt(fd))
		return FILEMAP_PLAIN;
	c->fd = fd;
	c->from = from;
	c->length = length;
	return hold(c);
}

enum filemap_way filemap_read_begin(struct filemap_change *c, int fd,
				    uint64_t length)
{
	if (!mapping_in_doubt(fd))
		return FILEMAP_PLAIN;
	pthread_testcancel();
	return mapping_before_read_here(&c->mapping, fd, length)
		       ? FILEMAP_HELD
		       : FILEMAP_PLAIN;
}

long filemap_change_end(struct filemap_change *c, long r)
{
	c->mapping.result = r;
	mapping_after_change(&c->mapping);
	return filemap_result(r);
}

long filemap_change_again(struct filemap_change *c, long r)
{
	if (r < 0)
		return r;
	if (c->from >= MAPPING_END)
		mapping_notice(c->fd, 0, MAPPING_ALL);
	else
		mapping_notice(c->fd, c->from, c->length);
	return r;
}

int filemap_look(int dir, const char *path)
{
	int fd = sys_openat(dir, path, O_PATH | O_CLOEXEC, 0);

	if (fd < 0 || mapping_concerns(fd))
		return fd < 0 ? -1 : fd;
	(void)sys_close(fd);
	return -1;
}

void filemap_notice(int fd, uint64_t length)
{
	if (doubt_any())
		mapping_notice(fd, 0, length);
}
