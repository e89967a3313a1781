/* SPDX-License-Identifier: MIT */
/* The file beside a data file that holds its journal: found, made, locked. */
#ifndef USHM_BACKING_SIDECAR_H
#define USHM_BACKING_SIDECAR_H

#include <stdbool.h>
#include <stdint.h>

#include "backing/journal.h"
#include "base/sys.h"

struct sidecar {
	const struct journal_place *place;
	int fd; /* holds the lock; closing it gives it back */
	uint64_t size;
};

/*
 * Open the sidecar of the file that 'data' tells of, and lock it: nobody else
 * has it open in earnest, and its name leads to it. 'create': make it, if
 * there is none; else -ENOENT.
 */
int sidecar_open(const struct journal_place *place, const struct sys_stat *data,
		 bool create, struct sidecar *ret);
void sidecar_close(struct sidecar *sc);

/* Room for 'size' bytes that no later write can miss. */
int sidecar_reserve(struct sidecar *sc, uint64_t size);

/* Its name is on the disk. */
int sidecar_sync_name(const struct sidecar *sc);

#endif
