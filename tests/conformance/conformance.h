/* SPDX-License-Identifier: MIT */
/*
 * What the conformance cases share. They see <sys/shm.h> and this, nothing of
 * ushm: each case must pass on the kernel's own calls first. The clause of a
 * case is one of doc/semantics.md.
 *
 * A case runs in a namespace that holds no segment, and leaves it so.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "support/check.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

#define LEN(array) (sizeof(array) / sizeof(*(array)))

#define LONG_64 (sizeof(long) == 8)

/*
 * A 32-bit C library translates struct shmid_ds in the caller's memory, so
 * that there it decides about bad and odd buffers, not we.
 */
#define NEED_BARE_BUFFERS()                                            \
	do {                                                           \
		if (!LONG_64)                                          \
			SKIP("the 32-bit C library reads the buffer"); \
	} while (0)

/* AddressSanitizer makes mlock() and mlockall() do nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* A key for the case's first segment; the namespace is its own. */
#define KEY ((key_t)0x7573686d)

#define FAILED_ATTACH ((void *)-1)

/* ------------------------------------------------------------- segments */

size_t page_size(void);

/* A private segment, or one of KEY. */
int make(size_t size, int mode);
int make_key(size_t size, int mode);

void *attach(int id, int flags);
void detach(const void *p);
void destroy(int id); /* IPC_RMID */

struct shmid_ds stat_of(int id);
unsigned long nattch_of(int id);
bool exists(int id);

/* Set mode, owner and group by IPC_SET. */
void set_mode(int id, int mode);
int set_owner(int id, uid_t uid, gid_t gid);

int index_of(int id); /* what SHM_STAT takes */

/* ------------------------------------------------------------- addresses */

/* 'n' free pages, with free pages around them. */
char *hole(size_t npages);

/* One page that holds nothing but the given protection; not to be freed. */
char *page_with(int prot);

/*
 * The last 'n' bytes of a page; what follows cannot be accessed. 'n' is a
 * multiple of the alignment that the caller needs.
 */
char *end_of_page(size_t n);

/* 0, or FAULT(signal, si_code) of what touching the byte raised. */
#define FAULT(signal, code) ((signal) << 8 | (code))
int touch_read(const volatile void *p);
int touch_write(volatile void *p);

/* ------------------------------------------------------------------ time */

/* Seconds of the clock that the kernel stamps segments with. */
time_t now(void);

/* Wait until now() has moved on, so that a fresh stamp can be told. */
time_t next_second(void);

/* Is 't' a stamp made since 'since'? */
#define CHECK_STAMP(t, since) CHECK((t) >= (since) && (t) <= now())

/* ----------------------------------------------------------------- users */

#define CAP_IPC_LOCK_BIT  14
#define CAP_IPC_OWNER_BIT 15
#define CAP_SYS_ADMIN_BIT 21

/*
 * Give up all effective capabilities but those of the mask: root is then an
 * ordinary user. They come back with full_capabilities().
 */
void keep_capabilities(unsigned long long mask);
#define no_capabilities() keep_capabilities(0)
void full_capabilities(void);

/* Change the effective ids only, without other groups; and back. */
void act_as(uid_t uid, gid_t gid);
void act_as_root(void);

/* A failure inside these is shown at the line of the case. */
#ifndef CHECK_MAIN
#define make(size, mode)     (CHECK_HERE, make(size, mode))
#define make_key(size, mode) (CHECK_HERE, make_key(size, mode))
#define attach(id, flags)    (CHECK_HERE, attach(id, flags))
#define detach(p)	     (CHECK_HERE, detach(p))
#define destroy(id)	     (CHECK_HERE, destroy(id))
#define stat_of(id)	     (CHECK_HERE, stat_of(id))
#define nattch_of(id)	     (CHECK_HERE, nattch_of(id))
#define set_mode(id, mode)   (CHECK_HERE, set_mode(id, mode))
#define hole(npages)	     (CHECK_HERE, hole(npages))
#define page_with(prot)	     (CHECK_HERE, page_with(prot))
#define end_of_page(n)	     (CHECK_HERE, end_of_page(n))
#define act_as(uid, gid)     (CHECK_HERE, act_as(uid, gid))
#endif

#endif
