/* SPDX-License-Identifier: MIT */
/*
 * Every byte that processes share.
 *
 * One registry file per namespace and user, mapped by all who use it. The
 * same bytes serve 32- and 64-bit programs and every libc: fixed-width
 * fields, indexes instead of pointers, no pthread object whose layout decides
 * anything for another process. doc/format.md explains it field by field.
 *
 * Who writes: only the holder of the lock word, through the undo log
 * (store/lock.h), unless a field's comment says otherwise. Who reads: anyone,
 * without a lock, under the sequence number named beside the fields. Every
 * index that was loaded is checked against its capacity before it is used.
 */
#ifndef USHM_STORE_LAYOUT_H
#define USHM_STORE_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define LAYOUT_MAGIC   UINT64_C(0x314745526d687375) /* "ushmREG1" */
#define LAYOUT_VERSION 1u
#define LAYOUT_PAGE    4096u

/* Bits of layout_header.features. */
#define LAYOUT_DURABLE UINT64_C(1) /* to be opened by the directory on disk */

/* Index 0 of every list head means "none": lists store index + 1. */
#define NO_INDEX 0u

/* ------------------------------------------------------------- processes */

/*
 * 'claim' of a process slot: pid in bits 63-32, a generation that differs for
 * each owner in bits 31-8, the state in bits 7-0.
 *
 *   FREE      Anyone may claim it by compare-and-swap.
 *   CLAIMING  its owner is filling it in; only a forked child's has
 *             attachments yet.
 *             A dead claimer's slot is freed by the sweep.
 *   LIVE      in use; the life word is locked by a thread of the process.
 *   UNBORN    reserved by a parent for the child that its fork() makes; pid
 *             is 0 until parent or child fills it in. Counts as alive until
 *             it is known that there will be no child.
 *   DYING     found dead, and being swept under the lock. Nobody can be born
 *             into it any more.
 */
enum {
	PROC_FREE = 0,
	PROC_CLAIMING = 1,
	PROC_LIVE = 2,
	PROC_UNBORN = 3,
	PROC_DYING = 4,
};

#define LIFE_BYTES 48

struct layout_proc {
	/*
	 * A robust mutex of the owner's libc, written by that libc and by the
	 * kernel only. 'life_word' says which 32-bit word of it is the futex:
	 * the one thing others look at.
	 */
	_Alignas(16) unsigned char life[LIFE_BYTES];
	uint64_t claim;	   /* atomic */
	uint64_t born;	   /* when it was claimed: since boot, in clock ticks as
			    * field 22 of /proc/pid/stat, rounded up */
	uint64_t pid_ns;   /* inode of the pid namespace that 'pid' is from;
			    * 0: not said yet */
	uint64_t image;	   /* differs for each execve() */
	int64_t exit_time; /* set by exit(), seconds of the Epoch, or 0 */
	uint32_t life_word;    /* bit 0: which word; bit 1: the thread that
				* locked it ended, the process lives. Atomic */
	uint32_t first_attach; /* list of its attachments */
	uint32_t attaches;     /* their number */
	uint32_t parent;       /* UNBORN: slot + 1 of the forking process */
	uint32_t parent_tid;   /* UNBORN: its forking thread, or, with
				* 'forking' 1, the pid of the likely child */
	uint32_t forking;  /* UNBORN: its claim's lower half until fork() has
			    * returned in the parent, then 0; 1 when a search
			    * has found the child all the same. Atomic */
	uint64_t time_ns;  /* inode of the time namespace of 'born' */
	int64_t forked_at; /* UNBORN: when fork() returned, monotonic ns */
};

/* -------------------------------------------------------------- segments */

/*
 *   FREE      the index is unused
 *   RESERVED  its creator ('owner') prepares the file; nobody can find it
 *   LIVE      a segment, also one with SHM_DEST set
 *   DOOMED    gone for everyone; 'owner' is unlinking the file
 */
enum { SEG_FREE = 0, SEG_RESERVED = 1, SEG_LIVE = 2, SEG_DOOMED = 3 };

enum {
	SEG_HUGE = 1,	   /* SHM_HUGETLB was asked for */
	SEG_NORESERVE = 2, /* SHM_NORESERVE was asked for */
	SEG_HANDLES = 4,   /* some process may keep a hidden handle mapping */
	SEG_UNSYNCED = 8,  /* durable: it was attached for writing, and its
			    * contents may not be on disk */
};

struct layout_segment {
	uint32_t guard; /* sequence number of this slot: odd while it changes */
	uint32_t state;
	int32_t key;	/* 0 once removed */
	uint32_t mode;	/* nine permission bits, SHM_DEST, SHM_LOCKED */
	uint64_t size;	/* bytes, as asked for */
	uint64_t pages; /* what it counts towards shmall */
	uint32_t uid, gid, cuid, cgid;
	int64_t atime, dtime, ctime;
	int32_t cpid, lpid;
	uint32_t seq;	       /* upper part of the id */
	uint32_t owner;	       /* RESERVED, DOOMED: process slot + 1 */
	uint32_t flags;	       /* SEG_HUGE ... */
	int32_t first_key;     /* the key it was created with */
	uint32_t next_in_key;  /* hash chain, index + 1 */
	uint32_t first_attach; /* list of its attachments, index + 1 */
	uint32_t attaches;     /* their number, of dead processes too */
	uint32_t creator; /* the thread that made it, of process cpid ... */
	uint64_t created; /* ... and when, as layout_proc.born */
	uint32_t unused[2];
};

/* ----------------------------------------------------------- attachments */

/*
 * One unbroken piece of one attach in one process: what the kernel has as a
 * VMA. A partial munmap() turns one record into two. The address fields are
 * meaningful to the process 'proc' only.
 */
enum { ATTACH_FREE = 0, ATTACH_LIVE = 1 };

struct layout_attach {
	uint32_t state;
	uint32_t proc; /* process slot */
	uint64_t addr;
	uint64_t length;   /* whole pages */
	uint64_t offset;   /* of 'addr' in the segment */
	uint32_t registry; /* which registry the segment is in: 0, our own */
	uint32_t segment;  /* its index ... */
	uint32_t seq;	   /* ... and sequence */
	uint32_t flags;	   /* SHM_RDONLY, SHM_EXEC */
	int64_t since;	   /* seconds of the Epoch */
	uint64_t attach;   /* the attach that it is a piece of */
	uint32_t next_in_segment, prev_in_segment;
	uint32_t next_in_proc, prev_in_proc;
	uint32_t next_in_addr; /* hash chain; also the free list */
	uint32_t unused[3];
};

/* -------------------------------------------------------------- undo log */

#define UNDO_ENTRIES 192
#define UNDO_GUARDS  4

struct layout_undo_entry {
	uint32_t offset; /* of the changed word in the registry */
	uint32_t width;	 /* 4 or 8 */
	uint64_t before;
};

/* ---------------------------------------------------------------- header */

/* An array in the registry; records [0, ready) have blocks behind them. */
struct layout_array {
	uint64_t offset;
	uint32_t size;	   /* bytes of a record */
	uint32_t capacity; /* records */
	uint32_t ready;	   /* atomic; grows only */
	uint32_t used;	   /* records ever in use: all that can be non-zero */
};

struct layout_header {
	/* Fixed at creation. */
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t file_size;
	uint32_t uid;
	uint32_t seq_shift;	   /* id = index + (seq << seq_shift) */
	unsigned char boot_id[40]; /* of the system that it lives on */
	uint64_t features;	   /* bits a reader must know */

	struct layout_array segments;
	struct layout_array procs;
	struct layout_array attaches;
	struct layout_array key_heads;	/* uint32_t, power of two */
	struct layout_array addr_heads; /* uint32_t, power of two */
	struct layout_array bitmap;	/* uint64_t: indexes not SEG_FREE */

	/*
	 * The lock word: 0, or the owner's process slot + 1, with the top bit
	 * set when somebody may be waiting. Atomic. On a line of its own.
	 */
	_Alignas(64) uint32_t lock;
	uint32_t repairs; /* takeovers from a dead owner so far */

	/* Sequence number of the key table: odd while it changes. */
	_Alignas(64) uint32_t key_guard;

	/* Limits and switches: proc_sys_kernel(5). Atomic; see core/limits.c.
	 */
	_Alignas(64) uint64_t shmmax;
	uint64_t shmall;
	uint64_t shmmni;
	int32_t next_id;      /* shm_next_id: -1, or the id that comes next */
	uint32_t rmid_forced; /* shm_rmid_forced: 0 or 1 */

	/* Identifiers: the kernel's cyclic allocation. */
	uint32_t next_index;
	uint32_t last_index; /* + 1 */
	uint32_t seq;

	/* Totals. */
	uint32_t in_use;      /* segments LIVE */
	uint32_t unsettled;   /* segments RESERVED or DOOMED */
	uint32_t free_attach; /* free list, index + 1 */
	uint64_t pages;	      /* of LIVE and RESERVED segments */
	uint64_t next_attach; /* numbers the attaches */
	uint32_t nattaches;   /* records in use */
	uint32_t unused;
	uint64_t locked; /* pages of segments that are SHM_LOCKED */

	/* The pid namespace of all who ever had a process slot; 0: nobody had,
	 * 1: they are of several. Atomic. */
	uint64_t pid_ns;

	/* In the working directory of a durable namespace: core/durable.h. */
	uint32_t changing; /* segment index + 1 whose record on disk may not be
			    * as the registry has it. Who has the change lock */
	uint32_t due;	   /* not 0: contents may have to be synced */

	/*
	 * Undo log of the change in progress. 'undo_count' > 0: restore the
	 * entries backwards. 'guard_count': sequence numbers that the change
	 * made odd. Written by the lock's holder.
	 */
	_Alignas(64) uint32_t undo_count;
	uint32_t guard_count;
	uint32_t guards[UNDO_GUARDS]; /* offsets in the registry */
	struct layout_undo_entry undo[UNDO_ENTRIES];
};

static_assert(sizeof(struct layout_proc) == 128, "process slot");
static_assert(offsetof(struct layout_proc, claim) == 48, "process slot");
static_assert(sizeof(struct layout_segment) == 128, "segment");
static_assert(offsetof(struct layout_segment, atime) == 48, "segment");
static_assert(offsetof(struct layout_segment, first_attach) == 100, "segment");
static_assert(sizeof(struct layout_attach) == 96, "attachment");
static_assert(offsetof(struct layout_attach, since) == 48, "attachment");
static_assert(sizeof(struct layout_array) == 24, "array");
static_assert(sizeof(struct layout_undo_entry) == 16, "undo entry");
static_assert(offsetof(struct layout_header, segments) == 80, "header");
static_assert(offsetof(struct layout_header, lock) == 256, "header");
static_assert(offsetof(struct layout_header, shmmax) == 384, "header");
static_assert(offsetof(struct layout_header, pid_ns) == 472, "header");
static_assert(offsetof(struct layout_header, changing) == 480, "header");
static_assert(offsetof(struct layout_header, undo) == 536, "header");
static_assert(sizeof(struct layout_header) <= LAYOUT_PAGE, "header");

#define LAYOUT_KEY_HEADS  8192u
#define LAYOUT_ADDR_HEADS 8192u

#endif
