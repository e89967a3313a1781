/* SPDX-License-Identifier: MIT */
/*
 * What the parts of libushm-filemap.so share.
 *
 * The library stands in front of libc, and of libushm-preload.so, for files
 * that the kernel refuses to map. A call that concerns no such file goes on to
 * who is next as it came, and so is a cancellation point, or is interrupted,
 * as ever. A call that changes one with an object is made by system call under
 * the object's locks: no other code may run there.
 */
#ifndef USHM_EDGE_FILEMAP_H
#define USHM_EDGE_FILEMAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/mapping.h"
#include "edge/doubt.h"
#include "edge/next.h"

/* ------------------------------------------- where a call reads or writes */

#define FILEMAP_HERE                                             \
	(-1) /* in place of an offset: the descriptor's position \
	      */

/* The bytes that a vector means; it may be no memory. */
uint64_t filemap_vector_length(const struct iovec *v, int n);

/*
 * Before a call reads the file: what its mappings have newer is written to it.
 * The call itself then is the real one. A plain read at the descriptor's
 * position is made by filemap_read_begin() below.
 */
void filemap_before_read(int fd, int64_t at, uint64_t length);

/* -------------------------------------------------- calls that change files */

/*
 * A change is made while the object is locked, and the mappings then follow
 * the file. If there was no object, it is looked for once more after the
 * change: one that was made meanwhile may have been filled before.
 */
struct filemap_change {
	struct mapping_change mapping;
	int fd;
	uint64_t from, length;
};

enum filemap_way {
	FILEMAP_PLAIN, /* no such file */
	FILEMAP_ALONE, /* one without an object */
	FILEMAP_HELD,  /* its object is locked */
};

/* For what writes at an offset, or where the descriptor appends. */
enum filemap_way filemap_write_begin(struct filemap_change *c, int fd,
				     int64_t at, uint64_t length);

/* For what writes there whatever the descriptor says; 'length' 0: only the
 * size changes. */
enum filemap_way filemap_change_begin(struct filemap_change *c, int fd,
				      uint64_t from, uint64_t length);

/* For what reads at the descriptor's position, and changes nothing. */
enum filemap_way filemap_read_begin(struct filemap_change *c, int fd,
				    uint64_t length);

/* 'r' is what the system call returned; the result as of libc. */
long filemap_change_end(struct filemap_change *c, long r);

/* The call was made without an object, and returned 'r'. */
long filemap_change_again(struct filemap_change *c, long r);

/* An O_PATH descriptor of the file of that name, if it has an object; or -1. */
int filemap_look(int dir, const char *path);

/* The file has been changed: its first 'length' bytes, or only its size. */
void filemap_notice(int fd, uint64_t length);

/* The body of a call: 'raw', a system call, under the lock; else 'next'. */
#define FILEMAP_CHANGE(begin, raw, next)                                       \
	do {                                                                   \
		struct filemap_change change;                                  \
		enum filemap_way way = doubt_any() ? (begin) : FILEMAP_PLAIN;  \
                                                                               \
		if (way == FILEMAP_HELD)                                       \
			return (typeof(next))filemap_change_end(&change, raw); \
		if (way == FILEMAP_ALONE)                                      \
			return (typeof(next))filemap_change_again(&change,     \
								  next);       \
	} while (0);                                                           \
	return next

/* ------------------------------------------------------------------- calls */

/* As libc returns what a system call returned. */
static inline long filemap_result(long r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

#endif
