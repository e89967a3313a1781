/* SPDX-License-Identifier: MIT */
/*
 * The small files of a durable namespace: each says something that must be
 * true after a reboot, in one piece.
 *
 * Fixed-width fields, in the order of bytes of the machine, as in layout.h;
 * doc/format.md explains them. Any bytes may be in such a file: it counts only
 * if its length, its head and its checksum are right.
 */
#ifndef USHM_STORE_RECORD_H
#define USHM_STORE_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"

#define RECORD_VERSION 1u

/* What a record is about: the first eight bytes of its file. */
#define RECORD_MARKER  UINT64_C(0x315255446d687375) /* "ushmDUR1" */
#define RECORD_WORK    UINT64_C(0x314b52576d687375) /* "ushmWRK1" */
#define RECORD_SEGMENT UINT64_C(0x314745536d687375) /* "ushmSEG1" */
#define RECORD_LIMITS  UINT64_C(0x314d494c6d687375) /* "ushmLIM1" */

struct record_head {
	uint64_t magic;
	uint32_t version;
	uint32_t size;	/* of the whole file */
	uint64_t check; /* over all of it, with 0 here */
};

/*
 * "durable": this directory is a durable namespace, of these capacities.
 * Written once. Processes lock bytes of it: core/durable.c.
 */
struct record_marker {
	struct record_head head;
	uint32_t max_segments, max_procs, max_attaches;
	uint32_t unused;
};

/*
 * "work": where the namespace is being worked in, since which boot. Of no use
 * after a reboot, so not flushed.
 */
struct record_work {
	struct record_head head;
	unsigned char boot_id[40];
	uint64_t dev, ino; /* of the working directory ... */
	int64_t born;	   /* ... as sys_identity() has it */
};

/* "seg.<id>.record": a segment, whose contents are in "seg.<id>.data". */
struct record_segment {
	struct record_head head;
	int32_t id, key;
	uint32_t mode;	/* nine bits */
	uint32_t flags; /* SEG_HUGE, SEG_NORESERVE */
	uint64_t size;
	uint32_t uid, gid, cuid, cgid;
	int64_t atime, dtime; /* as of when the record was written */
	int64_t ctime;
	int64_t synced; /* when the contents were written last; 0: never */
	int32_t cpid, lpid;
};

/* "limits": those of the header of the registry. */
struct record_limits {
	struct record_head head;
	uint64_t shmmax, shmall, shmmni;
	uint32_t rmid_forced;
	uint32_t unused;
};

static_assert(sizeof(struct record_head) == 24, "head");
static_assert(sizeof(struct record_marker) == 40, "marker");
static_assert(sizeof(struct record_work) == 88, "work");
static_assert(sizeof(struct record_segment) == 104, "segment");
static_assert(sizeof(struct record_limits) == 56, "limits");

/*
 * The record 'name' of directory 'dir', made anew: after a power cut it is the
 * old one or the new one, and once this has returned, the new one. The head is
 * filled in. Nobody else may write the same one meanwhile.
 */
int record_write(int dir, const char *name, uint64_t magic,
		 struct record_head *record, size_t size);

/* The same for one that need not outlive a power cut. */
int record_write_unflushed(int dir, const char *name, uint64_t magic,
			   struct record_head *record, size_t size);

/* As record_write(), but -EEXIST when there is one. */
int record_create(int dir, const char *name, uint64_t magic,
		  struct record_head *record, size_t size);

/* 0; -ENOENT; -EPROTO when it is none, or damaged; or another -errno. */
int record_read(int dir, const char *name, uint64_t magic,
		struct record_head *ret, size_t size);
int record_read_open(int fd, uint64_t magic, struct record_head *ret,
		     size_t size);

/* No such name any more, also after a power cut: whoever removed it. */
int record_remove(int dir, const char *name);

/* Flush the names of a directory. */
int record_flush_names(int dir);

/* "seg.<id>.<what>", and back: the id, or -1 if the name is none of these. */
#define RECORD_NAME 48

void record_segment_name(int id, const char *what, char buf[RECORD_NAME]);
int record_segment_id(const char *name, const char *what);

/* Can there be such a segment, and is it 'id'? */
bool record_segment_good(const struct record_segment *s, int id);

/* Can a registry of this capacity have such limits? */
bool record_limits_good(const struct record_limits *l, uint64_t max_segments);

#endif
