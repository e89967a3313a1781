/* SPDX-License-Identifier: MIT */
#ifndef FILEMAP_LOCKS_H
#define FILEMAP_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

/* What F_GETLK says. */
struct whose {
	int type;
	int64_t from, length;
	int pid;
};

/* The whole file, with an off_t that may have 32 bits. */
int narrow_fcntl(int fd, int type);
int narrow_description(int fd, int type);
int narrow_lockf(int fd, int type);
bool narrow_ask(int fd, struct whose *ret); /* from byte 7 on */

#endif
