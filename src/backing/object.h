/* SPDX-License-Identifier: MIT */
/*
 * The shared object of one file: what its mappers share in place of the
 * kernel's page cache.
 *
 * Two files on tmpfs: "ushm-file.<dev>-<ino>" has the pages, "... .ctl" a
 * header and the shadow: the bytes that the file is known to hold. A page that
 * differs from its shadow is newer than the file. See doc/format.md.
 *
 * The caller serialises all calls of a process, with signals blocked, and
 * across fork(). Sizes and offsets are bytes of the file. All return 0 or more,
 * or -errno.
 */
#ifndef USHM_BACKING_OBJECT_H
#define USHM_BACKING_OBJECT_H

#include "backing/token.h"
#include "base/atomic.h"
#include "base/sys.h"

#define OBJECT_PAGE 4096u

/* The first page of the control file; the shadow follows. */
#define OBJECT_MAGIC   UINT64_C(0x454c49464d485355) /* "USHMFILE" */
#define OBJECT_VERSION 1u

enum object_intent {
	INTENT_NONE,
	INTENT_PUSH,   /* pages to file: the file's bytes there are ours */
	INTENT_PULL,   /* a system call changes the file: its bytes win */
	INTENT_COMMIT, /* the journal may be complete, and the file in parts */
};

struct object_header {
	word64 magic;
	uint32_t version, page;
	word64 dev, ino, born; /* the file's identity: struct sys_identity */
	word64 size;	       /* the file's; as much of it as is here */
	uint32_t atomic;       /* 1: only an atomic sync changes the file */
	uint32_t intent;       /* what was going on when its holder died */
	word64 from, to;       /* where */
	word64 users;	       /* how many have ever attached */
	word64 dropped;	       /* pages not written: the file was changed */
	char path[OBJECT_PAGE - 88]; /* where the file was: a hint, or "" */
};

_Static_assert(sizeof(struct object_header) == OBJECT_PAGE, "one page");

/* This process's hold on an object. */
struct object {
	struct sys_identity id;
	int file;	  /* a description of our own of the file */
	int pages, ctl;	  /* of the object; ctl has the lock "in use" */
	int lock;	  /* has the object's lock; or -1 */
	int spare;	  /* from fork on: the child's "in use"; or -1 */
	enum token token; /* that 'file' has */
	bool may_write;	  /* 'file' is open for writing */
	bool may_share;	  /* the object's files are */
	bool shared;	  /* "in use" is a relative's too: never the last */
	char *page;	  /* all pages */
	char *shadow;	  /* what the file is known to hold */
	char *scratch;	  /* OBJECT_SCRATCH bytes on their way */
	struct object_header *h;
	uint64_t room; /* bytes of pages and of shadow that are mapped */
	uint64_t size; /* while locked: what is here */
	uint64_t max;
	uint64_t dropped; /* pages, by the recovery */
	bool strange;	  /* the file is not as the object knows it */
	unsigned notes;	  /* in the scratch: parts to commit */
	uint64_t tracked; /* 'users' when only we used it; 0: ask nobody */
};

#define OBJECT_SCRATCH (UINT64_C(1) << 20)

#define OBJECT_CREATE 1u /* if there is none; else -ENOENT */
#define OBJECT_WRITE  2u /* the file must be open for writing, else -EACCES */
#define OBJECT_ATOMIC                                           \
	4u /* mapped atomically: by all or by none, else -EBUSY \
	    */

/*
 * Hold the object of the file that 'fd' leads to. What a killed process left
 * is written to the file, where nobody has changed it meanwhile. 'max': a
 * larger file is refused, -EFBIG. Returns the number of pages that could not
 * be written, because the file was changed; or -ENOENT, -ENOMEM, -EACCES, ...
 */
int object_attach(int fd, const struct sys_identity *id, unsigned flags,
		  uint64_t max, struct object **ret_object);

/* Is there an object of that file? Without opening anything. */
bool object_exists(const struct sys_identity *id);

/* The same process has the file open for writing too, by 'fd'. */
int object_allow_write(struct object *o, int fd);

/*
 * Write all to the file and give the object up: by the last user it is removed.
 * What could not be written stays, for the next user, and is the result.
 */
int object_detach(struct object *o);

/*
 * The same for a process that ends: its mappings remain usable to its end.
 */
void object_finish(struct object *o);

/*
 * A descriptor of the pages, to be mapped and closed. Without 'write', one that
 * no mprotect() makes writable.
 */
int object_open_pages(const struct object *o, bool write);

/*
 * How much of the file is here; less than the file has if there is no room for
 * the rest, then its pages raise SIGBUS. Looks at the file.
 */
int64_t object_size(struct object *o);

/* Write what is newer to the file; 'to' may lie beyond the end. */
int object_push(struct object *o, uint64_t from, uint64_t to);

/*
 * The same where the caller can tell which pages were written: by this process
 * since protect() was called. It counts only while nobody else uses the object;
 * whatever makes the answer doubtful clears 'tracked', and then all is compared
 * as ever.
 */
typedef int object_part(struct object *o, uint64_t from, uint64_t to);

struct object_tracker {
	/* From now on, note what is written in all mappings. */
	int (*protect)(void *arg);
	/* push() each part in the range that was written since. */
	int (*scan)(void *arg, uint64_t from, uint64_t to, object_part *push);
	void *arg;
};

int object_push_written(struct object *o, uint64_t from, uint64_t to,
			const struct object_tracker *t);

/* All or nothing, and durably; 't' may be NULL. -EINVAL: not an atomic one. */
int object_commit(struct object *o, const struct object_tracker *t);

/* Take from the file where nothing is newer: MS_INVALIDATE. */
int object_refresh(struct object *o, uint64_t from, uint64_t to);

/* What was written reaches the disk: fdatasync(2). */
int object_sync(struct object *o);

/*
 * Around a system call on the file: nobody else works on the object meanwhile.
 * After -errno nothing is held. Held, it is said what the call will do: it
 * reads that range, or changes bytes there, and the file's size.
 */
int object_hold(struct object *o);
void object_before_read(struct object *o, uint64_t from, uint64_t to);
void object_before_change(struct object *o, uint64_t from, uint64_t to);
void object_changed_anywhere(struct object *o); /* it turned out */
void object_release(struct object *o);

/* Before fork(), then in the parent and in the child. */
void object_before_fork(struct object *o);
void object_after_fork(struct object *o, bool child);

/* Its lowest descriptor at or above 'fd', or -1. */
int object_next_descriptor(const struct object *o, int fd);

/* The descriptor 'fd' is wanted for something else: to another number. */
void object_vacate(struct object *o, int fd);

#endif
