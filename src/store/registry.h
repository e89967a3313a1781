/* SPDX-License-Identifier: MIT */
/*
 * One registry file: found or made, checked, and mapped.
 */
#ifndef USHM_STORE_REGISTRY_H
#define USHM_STORE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/text.h"
#include "store/layout.h"

/* A process's view of a mapped registry. Constant once it is open. */
struct registry {
	struct layout_header *h;
	struct layout_segment *segments;
	struct layout_proc *procs;
	struct layout_attach *attaches;
	uint32_t *key_heads, *addr_heads;
	uint64_t *bitmap;
	uint32_t max_segments, max_procs, max_attaches;
	uint32_t key_mask, addr_mask;
	uint32_t seq_shift;
	uint32_t uid;
	size_t size; /* bytes mapped */
	uint64_t dev;
	uint64_t ino;  /* of the file, to recognise it in /proc/pid/maps */
	char name[24]; /* of the file in its directory */
};

struct registry_shape {
	uint32_t max_segments, max_procs, max_attaches; /* 0: the default */
	bool durable;
};

/*
 * Open the registry of user 'uid' in the directory 'dir' (a descriptor that
 * the caller closes), making it when 'create' is set. 'why' receives a
 * sentence on failure. Writes nothing into a registry that it refuses.
 */
int registry_open(int dir, uint32_t uid, bool create,
		  const struct registry_shape *shape, struct registry *ret,
		  struct text *why);

void registry_close(struct registry *r);

/* "registry.<uid>" */
void registry_name(uint32_t uid, char *buf, size_t size);

/*
 * Look at the registry without using it:
 *
 *   GOOD      it can be opened
 *   OLD       it is of before the last reboot; whoever opens it removes it
 *   MENDABLE  its header is damaged, 'why' says how, and can be restored
 *             without a doubt. With 'mend' that has been done.
 *
 * or -errno and a sentence, as registry_open().
 */
enum { REGISTRY_GOOD, REGISTRY_OLD, REGISTRY_MENDABLE };

int registry_inspect(int dir, uint32_t uid, bool durable, bool mend,
		     struct text *why);

/*
 * Put blocks behind more records of an array, so that touching them cannot
 * end in SIGBUS on a full file system. 'path' is the namespace's directory.
 * Returns 0, -ENOSPC when the array is at its capacity or the file system is
 * full, or another error. Takes no lock.
 */
int registry_grow(struct registry *r, const char *path,
		  struct layout_array *array);

/*
 * A copy of the whole registry in private memory, as it is when it is touched:
 * hold the lock. Changes of the copy are seen by nobody. registry_close() it.
 */
int registry_copy(const struct registry *r, const char *path,
		  struct registry *ret);

/* Records of 'array' that may be touched. */
static inline uint32_t registry_ready(const struct registry *r,
				      const struct layout_array *array,
				      uint32_t capacity)
{
	uint32_t ready = load_acquire(&array->ready);

	(void)r;
	return ready < capacity ? ready : capacity;
}

/* Process slots below this one may be in use: 'used' may be damaged. */
static inline uint32_t registry_procs_used(const struct registry *r)
{
	uint32_t ready = registry_ready(r, &r->h->procs, r->max_procs);
	uint32_t used = load_acquire(&r->h->procs.used);

	return used < ready ? used : ready;
}

/* The segment slot 'index', or NULL if there cannot be one. */
static inline struct layout_segment *registry_segment(const struct registry *r,
						      uint32_t index)
{
	if (index >= registry_ready(r, &r->h->segments, r->max_segments))
		return NULL;
	return &r->segments[index];
}

static inline struct layout_proc *registry_proc(const struct registry *r,
						uint32_t slot)
{
	if (slot >= registry_ready(r, &r->h->procs, r->max_procs))
		return NULL;
	return &r->procs[slot];
}

static inline struct layout_attach *registry_attach(const struct registry *r,
						    uint32_t index)
{
	if (index >= registry_ready(r, &r->h->attaches, r->max_attaches))
		return NULL;
	return &r->attaches[index];
}

static inline uint32_t registry_index(const struct registry *r, int id)
{
	return (uint32_t)id & ((1u << r->seq_shift) - 1);
}

static inline uint32_t registry_seq(const struct registry *r, int id)
{
	return (uint32_t)id >> r->seq_shift;
}

static inline int registry_id(const struct registry *r, uint32_t index,
			      uint32_t seq)
{
	return (int)(index + (seq << r->seq_shift));
}

static inline uint32_t claim_state(uint64_t claim)
{
	return (uint32_t)claim & 0xff;
}

static inline int claim_pid(uint64_t claim)
{
	return (int)(claim >> 32);
}

/* The successor of claim 'old' with the same generation. */
static inline uint64_t claim_make(uint64_t old, uint32_t state, int pid)
{
	return (uint64_t)(uint32_t)pid << 32 | ((uint32_t)old & ~0xffu) | state;
}

/* The same with the next generation: for each new owner. */
static inline uint64_t claim_next(uint64_t old, uint32_t state, int pid)
{
	return (uint64_t)(uint32_t)pid << 32 |
	       (((uint32_t)old & ~0xffu) + 0x100u) | state;
}

#endif
