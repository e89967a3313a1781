/* SPDX-License-Identifier: MIT */
/*
 * A damaged registry made right again.
 */
#ifndef USHM_STORE_REBUILD_H
#define USHM_STORE_REBUILD_H

#include "store/registry.h"

/* What could not be kept. */
struct rebuild_loss {
	uint32_t attaches; /* records that named no segment or no process */
	uint32_t keys;	   /* segments that had another one's key */
};

/*
 * Make 'copy' (registry_copy()) such that verify_registry() finds nothing.
 * What is removed by it is DOOMED in the name of process slot 'me'. Nobody
 * else sees the copy.
 */
void rebuild_registry(struct registry *copy, uint32_t me,
		      struct rebuild_loss *ret);

#endif
