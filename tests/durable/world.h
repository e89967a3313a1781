/* SPDX-License-Identifier: MIT */
/*
 * A durable namespace to break, and reboots for it. All that a test does in it
 * happens in processes of its own: nobody has it open after a reboot.
 */
#ifndef USHM_TESTS_DURABLE_WORLD_H
#define USHM_TESTS_DURABLE_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <ushm.h>

extern char world_dir[128];   /* the directory on disk */
extern const char *world_now; /* what is being tried, for a failure */

/* For one that is there already, in 'world_dir'. */
void world_here(void);

/* An empty durable namespace; and nothing of it any more. */
void world_begin(void);
void world_end(void);

/* Removed first: nothing is left of an earlier one. Or not made again. */
void world_anew(void);
void world_nowhere(void);

enum reboot {
	REMOVED,    /* the working directory is gone */
	OTHER_BOOT, /* it is there, and of an earlier system */
	TORN,	    /* not a reboot: its registry is damaged */
	NOT_AT_ALL,
	REBOOTS,
};
extern const char *const reboot_names[REBOOTS];
extern bool world_in_use; /* by a process of the test, at a reboot */
void world_reboot(enum reboot kind);

/* The path of the registry that is worked with, or will be. */
void world_registry(char *buf, size_t size);

/* Until nobody has it open any more. */
void world_wait(void);

/* Run 'act' in a process of its own. Its exit status, or -signal. */
int world_run(void (*act)(void));

ushm_space *world_open(void);

/* Is anything wrong, with the registry, the records, the files? */
int world_check(unsigned flags);
extern char world_said[200]; /* the last thing that was */

/* Files on disk that are called so. */
unsigned world_count(const char *pattern);

#define FAIL(...)                                                      \
	do {                                                           \
		fprintf(stderr, "FAIL %s:%d %s: ", __FILE__, __LINE__, \
			world_now);                                    \
		fprintf(stderr, __VA_ARGS__);                          \
		fputc('\n', stderr);                                   \
		(*world_failures)++;                                   \
	} while (0)
#define CHECK(what)                        \
	do {                               \
		if (!(what))               \
			FAIL("%s", #what); \
	} while (0)
#define CHECK_RIGHT()                                     \
	do {                                              \
		if (world_check(0) != 0)                  \
			FAIL("it finds: %s", world_said); \
	} while (0)
#define CHECK_EQ(a, b)                                                     \
	do {                                                               \
		long long a_ = (long long)(a), b_ = (long long)(b);        \
		if (a_ != b_)                                              \
			FAIL("%s is %lld, not %s (%lld)", #a, a_, #b, b_); \
	} while (0)

extern int *world_failures; /* of all processes */

#endif
