/* SPDX-License-Identifier: MIT */
/*
 * Which namespace a program means when it does not say.
 */
#ifndef USHM_EDGE_PLACE_H
#define USHM_EDGE_PLACE_H

#include "ushm.h"

#include "core/space.h"

struct ushm_space {
	struct space space;
};

/* As ushm_open(). */
int place_open(const char *dir, bool create, const struct registry_shape *shape,
	       struct space **ret_space, struct ushm_problem *ret_problem);

/*
 * The directory that place_open() means, which need not exist: 'dir', or into
 * 'buf' the default one.
 */
#define PLACE_ROOM 64

const char *place_name(const char *dir, char buf[PLACE_ROOM]);

/* The default namespace, opened at the first call. 0 or -errno. */
int place_default(struct space **ret_space);

/* The same if it is open already, else NULL. */
struct space *place_opened(void);

/* One line for whoever set $USHM_LOG; a guest is silent otherwise. */
void place_log(const char *line);

/* Bytes of the largest file that is mapped without the kernel:
 * $USHM_FILEMAP_MAX, a number with K, M or G; or 'otherwise'. */
uint64_t place_mapping_max(uint64_t otherwise);

#endif
