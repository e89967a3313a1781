/* SPDX-License-Identifier: MIT */
/*
 * A disk that may lose power: two files, a directory, and the kernel before it.
 *
 * The library's system calls are answered from memory. Of each sector the disk
 * knows every content that it may have by now: what is certain, and what was
 * written since and not flushed. So all that a power cut can leave is the
 * product of these, in any combination; the same for the files' sizes and the
 * name of the sidecar. A flush makes certain what is in the kernel's memory.
 * One that fails makes nothing certain, and the kernel forgets that there was
 * anything to flush, as Linux does.
 */
#ifndef USHM_TESTS_JOURNAL_DISK_H
#define USHM_TESTS_JOURNAL_DISK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR	512
#define ROOM	(20 << 10) /* bytes of a file; beyond there are zeros */
#define SECTORS (ROOM / SECTOR)
#define MAYBE	6 /* contents that a sector may have */

enum { DATA, SIDECAR, FILES };

/* Descriptors and the name that the library is given. */
enum { FD_DATA = 1000, FD_DIR, FD_SIDECAR, FD_PARENT };
#define SIDECAR_NAME "data.ushm-journal"

struct maybe {
	uint8_t n; /* 1: certain */
	bool dirty;
	uint16_t serial[MAYBE]; /* of the write; 0: what was certain */
	uint32_t value[MAYBE];	/* a size, 0 or 1, or a sector in the store */
};

struct disk_file {
	uint64_t ino, size; /* as the kernel sees it */
	uint8_t bytes[ROOM];
	struct maybe sectors[SECTORS], sizes;
};

struct disk {
	struct disk_file file[FILES];
	bool named; /* the sidecar has its name */
	struct maybe names;
};

/* The one that the library sees now. */
extern struct disk disk;

/* What is broken on purpose. */
enum mutation {
	SOUND,
	NO_JOURNAL_FLUSH, /* before the data file is touched */
	NO_DATA_FLUSH,	  /* before the journal is emptied */
	NO_EMPTY_FLUSH,	  /* before the commit returns */
	NO_NAME_FLUSH,	  /* of a new sidecar */
	NO_EMPTYING,	  /* the journal stays FULL */
	NO_REWRITING,	  /* the same bytes again make nothing dirty */
	NO_BODY_CHECKSUM,
	NO_HEADER_CHECKSUM,
	NO_IDENTITY, /* each file has the same inode number */
	MUTATIONS,
};
extern enum mutation mutation;

/* Called before each flush, and may look at all that a power cut would leave
 * now. */
extern void (*disk_moment)(void);

/*
 * Changes and flushes count from 1 on. At 'die_at' the process is killed, by a
 * jump to 'dead', with 'die_after' bytes of a write done. Calls that may fail
 * count too; call 'fail_at' fails with 'fail_with', or returns after half of
 * its bytes if that is 0.
 */
extern struct disk_fate {
	long changes, die_at, calls, fail_at;
	uint64_t die_after;
	int fail_with;
	bool failed;
	jmp_buf dead;
} fate;

/* A data file of 'size' bytes, all certain, and no sidecar. */
void disk_begin(const uint8_t *bytes, uint64_t size);

/* All that is in the kernel's memory is on the disk. */
void disk_settle(void);

/* Another program writes the data file, and flushes it. */
void disk_write_plainly(uint64_t at, const void *bytes, size_t n);

/* The sector that 'value' of a struct maybe stands for. */
const uint8_t *disk_sector(uint32_t value);

/* Forget the sectors that came up since. */
uint32_t disk_mark(void);
void disk_release(uint32_t mark);

/* One thing becomes certain: a sector, a size, the sidecar's name. */
void disk_set_sector(int f, unsigned at, const uint8_t *sector);
void disk_set_size(int f, uint64_t size);
void disk_set_named(bool named);

#endif
