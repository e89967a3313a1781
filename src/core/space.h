/* SPDX-License-Identifier: MIT */
/*
 * An open namespace, as one process has it.
 */
#ifndef USHM_CORE_SPACE_H
#define USHM_CORE_SPACE_H

#include "backing/backing.h"
#include "core/directory.h"
#include "core/durable.h"
#include "store/ledger.h"
#include "store/lock.h"
#include "store/procs.h"
#include "store/registry.h"
#include "store/segments.h"

#define SPACE_HANDLES 16

/* A hidden page of a segment: duplicating it attaches the segment again. */
struct space_handle {
	bool used; /* this process has attached the segment before */
	uint32_t index, seq;
	uint64_t size; /* of the file, as it was when the page was mapped */
	void *page;    /* or NULL: none yet */
};

struct space {
	struct registry reg; /* one registry: a private namespace */
	const struct backing_ops *backing;
	struct directory dir;
	struct durable durable; /* 'dir' is its working directory then */
	unsigned refs;
	struct space *next; /* all that this process ever had open; never
			     * freed, one that is closed has no reg.h */

	/*
	 * What belongs to this process; a forked child makes it anew. Guarded
	 * by 'local', which also keeps a fork() from falling between a
	 * mapping and its record.
	 */
	uint32_t local;	  /* futex: 0 free, 1 taken, 2 and waited for */
	uint64_t signals; /* the mask of who took it, from before */
	int fork_tid;	  /* the thread that holds 'local' across fork() */
	uint32_t *here;	  /* 1, or 0 in a child that no handler has seen */
	struct life_self self;
	uint32_t me;		  /* our process slot + 1, or 0 */
	struct procs_child child; /* reserved by the fork in progress */
	bool has_child;
	bool attached;	      /* at the time of the fork */
	bool dumped;	      /* core files have been seen to */
	uint32_t look_from;   /* where the next look for the dead begins */
	uint64_t asked_claim; /* the last suspect that was found alive ... */
	uint32_t asked_slot;
	int64_t asked_at; /* ... and when, ns */

	/* Attachments lie within; atomic, so that munmap() may just look. */
	uintptr_t low, high;

	struct space_handle handles[SPACE_HANDLES];
	char *shelf; /* a page for each of them */
	unsigned next_handle;
	bool no_handles; /* the system cannot duplicate mappings */
};

/* ------------------------------------------------------- open and closed */

/* The directory that its user knows. */
static inline const char *space_path(const struct space *sp)
{
	return sp->durable.on ? sp->durable.disk.path : sp->dir.path;
}

/* 'path' absolute or relative; see ushm_open(). */
int space_open(const char *path, bool create,
	       const struct registry_shape *shape, struct space **ret_space,
	       struct text *why);
void space_close(struct space *sp);

/* All open namespaces of this process. */
struct space *space_first(void);

/* ------------------------------------------------------ changing things */

/*
 * Between these the calling thread has its signals blocked and the process's
 * attachments to itself. The process has a slot, and the dead that were seen
 * are swept. Returns 0, or -ENOMEM when no slot could be had.
 */
struct space_entry {
	uint64_t signals;
};

int space_enter(struct space *sp, struct space_entry *e);

/* The same, but nobody is swept: all that changes is that we have a slot. */
int space_enter_quietly(struct space *sp, struct space_entry *e);

void space_leave(struct space *sp, const struct space_entry *e);

/* The registry's lock. Only within enter and leave. */
void space_lock(struct space *sp);

/* Releases it; then destroys what has been doomed meanwhile. */
void space_unlock(struct space *sp);

/*
 * The same for who would rather not wait: after a while -EBUSY, and a sentence
 * that says who has it.
 */
#define SPACE_PATIENCE_NS (INT64_C(10) * 1000000000)

int space_lock_patiently(struct space *sp, struct text *why);

/* More records for the array that was full. Without the lock. */
int space_grow(struct space *sp, struct layout_array *array);

static inline uint32_t space_slot(const struct space *sp)
{
	return sp->me - 1;
}

/* ----------------------------------------------------------- just looking */

/*
 * Look for dead processes, at the price of one load each; sweeps if there are
 * any. For calls that change nothing.
 */
void space_glance(struct space *sp);

/*
 * A consistent copy of segment slot 'index', after sweeping the dead that
 * were attached to it. 0 or -EINVAL. Takes the lock only if it must.
 */
int space_read(struct space *sp, uint32_t index, struct layout_segment *ret);

/* As space_read() by id: also -EINVAL if it is not a live segment. */
int space_read_id(struct space *sp, int id, struct layout_segment *ret);

/* The slot of 'key'. 0 or -ENOENT. */
int space_find_key(struct space *sp, int32_t key, uint32_t *ret_index);

/* ------------------------------------------------------ for core/process */

/* The list of spaces, held still; pairs with space_list_release(). */
void space_list_hold(const uint64_t *signals);
void space_list_release(void);
void space_list_reset(void); /* in a forked child */
void space_local_take(struct space *sp, const uint64_t *signals);
void space_local_release(struct space *sp);

#endif
