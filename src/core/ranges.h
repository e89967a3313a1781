/* SPDX-License-Identifier: MIT */
/*
 * Which addresses of this process are mappings of files that we serve.
 *
 * All but ranges_touch() with the mapping lock.
 */
#ifndef USHM_CORE_RANGES_H
#define USHM_CORE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping_file;

/* What the kernel may have as several VMAs, and we as one. */
struct range {
	uintptr_t from, to;
	uint64_t offset; /* of 'from' in the file */
	struct mapping_file *file;
	int prot;      /* of a stand-in only */
	bool write;    /* the descriptor was open for writing */
	bool stand_in; /* a private mapping of the file itself */
};

bool ranges_touch(uintptr_t addr, size_t length);

/* Room for 'n' more, so that what follows a system call cannot fail. */
int ranges_reserve(unsigned n);

/* The first that ends after 'addr', in the order of addresses; or NULL. */
struct range *ranges_after(uintptr_t addr);

/* 'r' lies where no other is. Counted in its file. */
void ranges_add(const struct range *r);

/* No range lies there any more: those at the ends are cut. */
void ranges_remove(uintptr_t from, uintptr_t to);

/* Begin a range at that address, if it is within one. */
void ranges_cut(uintptr_t at);

#endif
