/* SPDX-License-Identifier: MIT */
/*
 * A small namespace that is made anew for each input.
 *
 * The library itself has made its states, once: empty; with segments and with
 * attachments of a living and of a dead process; and killed in the middle of
 * changes. An input begins with one of these images.
 */
#ifndef USHM_TESTS_SCENE_H
#define USHM_TESTS_SCENE_H

#include "core/space.h"
#include "ushm.h"

#define SCENE_SEGMENTS 64u
#define SCENE_PROCS    32u
#define SCENE_ATTACHES 128u

struct scene {
	char dir[64];
	char registry[96];   /* its path */
	char procs[96];	     /* a list of processes, instead of that in /proc:
			      * nobody else's count, nor take time */
	char maps[104];	     /* and the maps of the living one */
	unsigned char *file; /* the registry, mapped */
	size_t size;
	unsigned nimages;
	int living, dead; /* processes that are attached in most images */
	int ids[16];	  /* of the segments in the images */
	unsigned nids;
};

extern struct scene scene;

/* Once in a process. What it makes goes when the process has ended. */
void scene_make(void);

/* For watch.instead. */
const char *scene_instead(const char *path);

/* The image of that number, and the files that belong to it. */
void scene_restore(unsigned image);

/* As after an orderly end: nothing of this process is left anywhere. */
void scene_close(ushm_space *sp);

/* As libFuzzer mutates bytes: a value that may matter at a place that does. */
void scene_damage(uint64_t patch);

#endif
