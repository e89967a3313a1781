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

static uint64_t size_of(int fd)
{
	struct sys_stat st;

	return sys_fstat(fd, &st) < 0 ? 0 : st.size;
}

/*
 * Where an appending call writes is known for certain only while nobody else
 * can change the file. Until then it may have become shorter.
 */
static enum filemap_way hold_end(struct filemap_change *c)
{
	c->length = MAPPING_ALL;
	for (;;) {
		c->from = size_of(c->fd);
		if (hold(c) == FILEMAP_ALONE)
			return FILEMAP_ALONE;
		if (size_of(c->fd) >= c->from)
			return FILEMAP_HELD;
		mapping_after_change(&c->mapping);
	}
}

enum filemap_way filemap_write_begin(struct filemap_change *c, int fd,
				     int64_t at, uint64_t length)
{
	if (!mapping_in_doubt(fd))
		return FILEMAP_PLAIN;

	/* The system call will be none. */
	pthread_testcancel();

	c->fd = fd;
	if (appends(fd))
		return hold_end(c);
	c->from = at < 0 ? filemap_position(fd) : (uint64_t)at;
	c->length = length;
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

long filemap_change_end(struct filemap_change *c, long r)
{
	mapping_after_change(&c->mapping);
	return filemap_result(r);
}

long filemap_change_again(struct filemap_change *c, long r)
{
	if (r >= 0)
		mapping_notice(c->fd, c->from, c->length);
	return r;
}

void filemap_notice(int fd, uint64_t length)
{
	if (doubt_any())
		mapping_notice(fd, 0, length);
}
