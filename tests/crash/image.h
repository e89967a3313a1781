/* SPDX-License-Identifier: MIT */
/*
 * A namespace at one moment: the bytes of its registry, the names and sizes
 * of its files.
 *
 * Namespaces of these tests are small (IMAGE_SHAPE), so that the whole
 * registry is an image and comparing two of them is one memcmp().
 */
#ifndef TESTS_CRASH_IMAGE_H
#define TESTS_CRASH_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/layout.h"
#include "ushm.h"

/* A little more than the first 16 KiB of each array that are ready at once,
 * so that the arrays can grow. */
#define IMAGE_SHAPE                                        \
	{                                                  \
		.max_segments = 160, .max_processes = 160, \
		.max_attachments = 200,                    \
	}
#define IMAGE_ROOM  (160u << 10)
#define IMAGE_FILES 168

struct image_file {
	char name[40];
	uint64_t size;
};

struct image {
	bool directory; /* it exists */
	bool child;	/* and so does a process that is not killed */
	unsigned nfiles;
	struct image_file files[IMAGE_FILES]; /* by name; not the registry */
	size_t size;			      /* of the registry; 0: none */
	_Alignas(64) unsigned char bytes[IMAGE_ROOM];
};

/* The path of the registry in 'dir'. */
void image_registry(const char *dir, char *ret, size_t room);

/* Read all of it, or only the names and sizes of the files. */
void image_take(struct image *im, const char *dir);
void image_take_files(struct image *im, const char *dir);

/* Both hold the same namespace; differ in what, is told in 'ret_what'. */
bool image_same(const struct image *a, const struct image *b,
		const char **ret_what, size_t *ret_at);
bool image_same_files(const struct image *a, const struct image *b);

uint64_t image_hash(const struct image *im);

/* Make directory 'dir' what the image says. The registry is a new file. */
void image_make(const struct image *im, const char *dir);

/* Write the bytes of the registry once more, into the same file. */
void image_rewrite(const struct image *im, const char *dir);

/* Remove the directory and all in it. */
void image_remove(const char *dir);

static inline struct layout_header *image_header(struct image *im)
{
	return (struct layout_header *)(void *)im->bytes;
}

static inline struct layout_proc *image_procs(struct image *im)
{
	return (struct layout_proc *)(void *)(im->bytes +
					      image_header(im)->procs.offset);
}

#endif
