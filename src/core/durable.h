/* SPDX-License-Identifier: MIT */
/*
 * A durable namespace: a directory on disk that holds the truth, and a working
 * directory in memory, which is an ordinary namespace.
 *
 * The truth is, for each segment, a record and a file of its contents as they
 * were when they were last synced. The working directory is made from it by
 * whoever opens the namespace first after a reboot.
 */
#ifndef USHM_CORE_DURABLE_H
#define USHM_CORE_DURABLE_H

#include "core/directory.h"
#include "store/record.h"

struct space;

/* What a space has of its directory on disk; 'on' is false for an ordinary
 * one, and then that is all. */
struct durable {
	bool on;
	struct directory disk;
	void *hold; /* a page of the marker, mapped: as long as it is, a lock
		     * says that the namespace is in use */

	/* The directory, held 'holds' times, and its marker, whose CHANGING is
	 * ours, 'changes' times. Guarded by 'local', as all below. */
	unsigned holds, changes;
	int dir, marker;

	bool tidying;
	int64_t failed_at; /* monotonic ns, or 0 */
};

/* --------------------------------------------------- opening (durable.c) */

#define DURABLE_WORK_ROOM 128

/* The bytes of the marker that processes lock. */
enum { DURABLE_OPENING, DURABLE_IN_USE, DURABLE_CHANGING };

/* An opening in progress: nobody else opens the namespace meanwhile. */
struct durable_door {
	int dir, marker;
	uint32_t uid;
	struct registry_shape shape;
	struct sys_identity id; /* of the directory on disk */
	char work[DURABLE_WORK_ROOM];
	const uint64_t *signals;
};

/*
 * Is 'dir' a durable namespace? 'make' makes it one. Returns 0, when it is
 * not; 1, and its working directory is 'work', restored if need be; or -errno
 * and a sentence.
 */
int durable_enter(int dir, bool make, const struct registry_shape *shape,
		  const uint64_t *signals, struct durable_door *ret,
		  struct text *why);

/*
 * As far as a check looks: OPENING is locked, nothing is restored. 0 when there
 * is no marker; 1, and 'work' is the working directory of the running system or
 * -1, and whether anybody uses it; -EPROTO when the marker is damaged.
 */
int durable_look(int dir, struct durable_door *ret, int *ret_work,
		 bool *ret_used);

/* A marker in place of a damaged one: of the standard capacities. */
int durable_marker_mend(int dir);

/* This process uses it from now on. 0 or -ENOMEM. */
int durable_join(struct durable *d, const struct durable_door *door,
		 const char *path, const struct sys_stat *st);
void durable_part(struct durable *d);

/* In a forked child: what its parent was just doing, it is not. */
static inline void durable_be_born(struct durable *d)
{
	d->holds = d->changes = 0;
	d->tidying = false;
}

/* Others may open it. Descriptors are closed. */
void durable_leave(struct durable_door *door);

/* The working directory of the running system: a descriptor, or -ENOENT. */
int durable_work_open(struct durable_door *door);

/* A path for the next try; false when there is none. 'i' from 0 on. */
bool durable_work_path(const struct durable_door *door, unsigned i,
		       char buf[DURABLE_WORK_ROOM]);

/* Where working directories are, each with a slash; NULL after the last. */
const char *durable_work_root(unsigned i);

/* Is it a name of such a directory, and of which? */
bool durable_work_parse(const char *name, uint32_t *ret_uid,
			struct sys_identity *ret_disk);

/* Wait for a byte of the marker. 0 or -errno. */
int durable_lock(int marker, short type, unsigned byte,
		 const uint64_t *signals);

/*
 * Is the file of the directory on disk one that nothing needs any more: left
 * by a change that was cut short? 'r' is the registry of all its segments.
 */
bool durable_leftover(int dir, const char *name, const struct registry *r);

/* ------------------------------------------ restoring (durable_restore.c) */

/* Make the working directory from the records. Nobody uses the namespace. */
int durable_restore(struct durable_door *door, struct text *why);

/* Sync what is in the working directory 'work', whose registry is lost. */
int durable_rescue(const struct durable_door *door, int work, struct text *why);

#endif
