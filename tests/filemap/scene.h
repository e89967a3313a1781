/* SPDX-License-Identifier: MIT */
/*
 * A file, its shared mapping, and what both should hold.
 *
 * Files are made in $FILEMAP_DIR. What a file should hold at the end of its
 * case is left in $FILEMAP_EXPECT, for who compares after unmounting. Nothing
 * here knows ushm: the cases pass on a file system where the kernel maps.
 */
#ifndef FILEMAP_SCENE_H
#define FILEMAP_SCENE_H

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "support/check.h"

#define PAGE 4096
#define ROOM (16 * PAGE) /* each mapping's length, files may be shorter */

struct scene {
	char path[PATH_MAX];
	int fd;
	char *map;
	size_t size;
	char want[ROOM];
};

/*
 * $FILEMAP_FILTER is set: a filter refuses mappings, on a file system that is
 * known to map all. Then a process looks after what it has mapped itself only,
 * and the filter looks at no other argument.
 */
bool scene_is_filtered(void);
void scene_need_no_filter(void);

/*
 * $FILEMAP_SERVER_LOCKS is set: the file system keeps record locks itself.
 */
bool scene_server_locks(void);

/* A file of 'size' bytes of a pattern, open and mapped. */
void scene_make(struct scene *s, const char *name, size_t size);

/* Map it in this process, by a descriptor of its own: a peer's. */
void scene_join(struct scene *s);

/* Store to the mapping, and to what is wanted. */
void scene_store(struct scene *s, size_t at, size_t n, int byte);

/* What the file is to become by a call. */
void scene_expect(struct scene *s, size_t at, size_t n, int byte);
void scene_resize(struct scene *s, size_t size);

/* Do the mapping, read(2) and fstat(2) show what is wanted? */
void scene_mapped(struct scene *s);
void scene_read(struct scene *s);

/* Does the file hold it, behind the back of the file system that refuses to
 * map, in $FILEMAP_BACKING? */
void scene_stored(struct scene *s);

/* Mapping and read(2), and note it for the comparison at the end. */
void scene_check(struct scene *s);

/* Is this address beyond the end of the file? */
bool scene_faults(const char *p);

/* Failures inside these are shown at the line of the case. */
#define scene_make(s, name, size) (CHECK_HERE, scene_make(s, name, size))
#define scene_join(s)		  (CHECK_HERE, scene_join(s))
#define scene_mapped(s)		  (CHECK_HERE, scene_mapped(s))
#define scene_read(s)		  (CHECK_HERE, scene_read(s))
#define scene_stored(s)		  (CHECK_HERE, scene_stored(s))
#define scene_check(s)		  (CHECK_HERE, scene_check(s))

#endif
