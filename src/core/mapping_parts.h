/* SPDX-License-Identifier: MIT */
/* What the parts of core/mapping share. All of it with the mapping lock. */
#ifndef USHM_CORE_MAPPING_PARTS_H
#define USHM_CORE_MAPPING_PARTS_H

#include "backing/object.h"
#include "core/mapping.h"

/* A file that this process has mappings of, or works on for one call. */
struct mapping_file {
	struct mapping_file *next;
	struct sys_identity id;
	struct object *object; /* or NULL: stand-ins only */
	int fd;		       /* for a stand-in that may become writable; -1 */
	bool atomic;
	unsigned ranges; /* that are mapped */
	unsigned calls;	 /* that are under way */
};

extern struct mapping_file *mapping_files;
extern const struct mapping_setup *mapping_setup;

/* The lock: all signals are blocked until mapping_leave(). */
void mapping_enter(uint64_t *ret_signals);
void mapping_leave(const uint64_t *signals);

/* The file's record, or NULL. */
struct mapping_file *mapping_find(uint64_t dev, uint64_t ino);

/* The same without the lock; but true may be wrong. */
bool mapping_may_have(uint64_t dev, uint64_t ino);

/* The record of the file that 'fd' leads to, made if there is none. */
int mapping_file_get(int fd, struct mapping_file **ret_file);

/* With its object. 'flags': OBJECT_... */
int mapping_file_attach(struct mapping_file *f, int fd, unsigned flags);

/* As written.c has it: the tracker's descriptor, which is of one process. */
int written_descriptor(void);
void written_vacate(int fd);
void written_end(void); /* there is nothing to track any more, or not here */

/* What is newer in that range of the file is written to it; 'atomic': all. */
int written_push(struct mapping_file *f, uint64_t from, uint64_t to,
		 bool atomic);

/* In whole pages. */
static inline uintptr_t mapping_whole(size_t length)
{
	return ((uintptr_t)length + OBJECT_PAGE - 1) &
	       ~(uintptr_t)(OBJECT_PAGE - 1);
}

/* Forget the files that nothing is mapped of any more. */
void mapping_reap(void);

#endif
