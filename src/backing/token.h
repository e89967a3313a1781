/* SPDX-License-Identifier: MIT */
/*
 * The token: that a file is served from some /dev/shm.
 *
 * Who has another /dev/shm does not see the object, and would not see what is
 * stored there; the one thing that both see is the file. So all who use an
 * object hold a lock on that. Programs lock files too: theirs must not be met.
 */
#ifndef USHM_BACKING_TOKEN_H
#define USHM_BACKING_TOKEN_H

#include "base/sys.h"

/*
 * The last byte that a file could have, and which programs lock only with all
 * of a file. Their own locks are sought before it.
 */
#define TOKEN_BYTE INT64_MAX

enum token {
	TOKEN_BYTES, /* a read lock on that byte */
	TOKEN_WHOLE, /* flock() */
};

/*
 * Hold the token of what 'fd', a description of our own, leads to. 'first': we
 * are the first user of the object; -EBUSY if there is one of another.
 */
int token_take(int fd, bool first, enum token *ret_kind);

/* The same by another description, when the kind is known. */
int token_join(int fd, enum token kind);

void token_drop(int fd);

#endif
