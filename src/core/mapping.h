/* SPDX-License-Identifier: MIT */
/*
 * This process's mappings of files that the object engine serves.
 *
 * Each mapping_<call>() below does all that the call of that name does: it asks
 * the kernel, or whoever is next, and serves what the kernel refuses. Results
 * are 0 or -errno, outputs are written on success only, errno is not touched.
 * All of them may be called from any thread, from a signal handler, and after
 * fork().
 */
#ifndef USHM_CORE_MAPPING_H
#define USHM_CORE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ------------------------------------------------------------------ setup */

/*
 * The calls below us, in the manner of base/sys.h: 0 or more, or -errno; a
 * pointer that is sys_failed() for mmap() and mremap(). The tables's functions
 * may be the kernel's own, or lead to another library (which must not call
 * back into this one). They are called with all signals blocked; they must
 * return, and not be left by a cancellation.
 */
struct mapping_kernel {
	void *(*mmap)(void *addr, size_t length, int prot, int flags, int fd,
		      uint64_t offset);
	int (*munmap)(void *addr, size_t length);
	void *(*mremap)(void *old, size_t old_size, size_t new_size, int flags,
			void *new_addr);
	int (*mprotect)(void *addr, size_t length, int prot);
};

struct mapping_setup {
	struct mapping_kernel kernel;
	uint64_t max; /* bytes of a file: larger ones are not served */
	void (*report)(const char *line); /* something was lost; or NULL */
	uint64_t track; /* from that size on the kernel may be asked which pages
			 * were written; 0: MAPPING_TRACK */
};

#define MAPPING_MAX (UINT64_C(256) << 20) /* when nobody says */

/* Below that a comparison of all costs less. */
#define MAPPING_TRACK (UINT64_C(1) << 20)

/* Before anything else; the structure must stay. */
void mapping_configure(const struct mapping_setup *setup);

/* -------------------------------------------------------- cheap questions */

/* Has this process any such mapping? One load. */
bool mapping_any(void);

/* May the range touch one? Two comparisons; false is certain. */
bool mapping_touches(const void *addr, size_t length);

/* ------------------------------------------------------- the mmap() family */

#define MAPPING_OBJECT 0x1u /* do not ask the kernel: always an object */
#define MAPPING_ATOMIC 0x2u /* the file changes by an atomic sync only */

struct mapping_request {
	void *addr;
	size_t length;
	int prot, flags, fd;
	uint64_t offset;
	unsigned options;
};

/*
 * Every mmap() may go through this; only those need to that are MAP_SHARED of a
 * file, or MAP_FIXED and mapping_touches(). When the engine cannot serve what
 * the kernel refused, the kernel's error is returned.
 */
int mapping_mmap(const struct mapping_request *q, void **ret_addr);

/* Those of ranges that mapping_touches() must go through these. */
int mapping_munmap(void *addr, size_t length);
int mapping_mremap(void *old, size_t old_size, size_t new_size, int flags,
		   void *new_addr, void **ret_addr);
int mapping_mprotect(void *addr, size_t length, int prot);

/* As msync(2). 'atomic': all or nothing, for atomic mappings; else -EINVAL. */
int mapping_msync(void *addr, size_t length, int flags, bool atomic);

/*
 * What anybody has stored into the file of descriptor 'fd' by a mapping that
 * is served here, or by one of a killed process, reaches the file and the disk;
 * by a commit where it is mapped atomically. 'fd' is open for both. Returns how
 * many pages of killed processes are not written, for the file was changed.
 */
int mapping_sync_file(int fd);

/* ------------------------------------------------- calls beside a mapping */

/*
 * May the file have an object, now or later? By its file system, or because we
 * have it. Costs one statx(2), as those below do.
 */
bool mapping_in_doubt(int fd);

/* Has it an object, of ours or of others? False may be right no more. */
bool mapping_concerns(int fd);

/*
 * In place of an offset: the descriptor's position, or the end of the file.
 * Others may move both: what they are is looked up while all is held.
 */
#define MAPPING_HERE UINT64_MAX
#define MAPPING_END  (UINT64_MAX - 1)

/* In place of a length: to the end. */
#define MAPPING_ALL UINT64_MAX

/*
 * Before the program reads 'length' bytes at 'offset' of the file by a system
 * call: what the mappings have newer is written to the file first. Costs one
 * statx(2) without a round trip to a server when there is nothing to do.
 * 'fd' may be an O_PATH one.
 */
void mapping_before_read(int fd, uint64_t offset, uint64_t length);

/*
 * The file has been changed there, and maybe in its size, by a call that was
 * not held: the mappings take what is not newer in them. Nothing is written.
 */
void mapping_notice(int fd, uint64_t offset, uint64_t length);

/*
 * Around a system call that changes the file: write(), ftruncate(),
 * open(O_TRUNC), ... 'offset' and 'length' say where it may change bytes; 0 and
 * MAPPING_ALL when that cannot be told. The size may change in any case. True:
 * there is an object; make the call, whatever comes of it, then say in 'result'
 * what it returned, if the offset was MAPPING_HERE, and call
 * mapping_after_change(). Between the two all signals are blocked and locks are
 * held: the call must return, and not be left by a cancellation. False: nothing
 * is held, just make the call. A path's file is named by an O_PATH descriptor
 * of it.
 */
struct mapping_change {
	uint64_t signals;
	void *object;
	int fd; /* whose position counts, or -1 */
	uint64_t from;
	int64_t result;
};

bool mapping_before_change(struct mapping_change *c, int fd, uint64_t offset,
			   uint64_t length);

/* The same around a read() at the descriptor's position, which others that have
 * it too may move before the call is made. */
bool mapping_before_read_here(struct mapping_change *c, int fd,
			      uint64_t length);

void mapping_after_change(struct mapping_change *c);

/* -------------------------------------------------------------- processes */

/*
 * All changes to the files, as far as possible. With 'ends', the process will
 * hardly come back from its next call, which is an exec or an _exit(): who is
 * the last user of an object removes its names too, so that nothing stays in
 * memory. If it does come back all works on; only others cannot join it (they
 * get the kernel's refusal) until it has unmapped the file. Not by a vfork()
 * child. fork() is taken care of.
 */
void mapping_flush(bool ends);

/* ------------------------------------------------------------ descriptors */

/*
 * The lowest descriptor at or above 'fd' that is the engine's; or -1. A
 * program that closes them all must leave these alone: its mappings, and its
 * POSIX locks, hang on them. Racy by nature: hold nothing against it.
 */
int mapping_next_descriptor(int fd);

/* The program is about to put something of its own in that place: move ours. */
void mapping_vacate(int fd);

/*
 * The program has closed a descriptor. Those of ours that could not be closed
 * because its POSIX locks would have gone too, are tried again.
 */
void mapping_after_close(void);

#endif
