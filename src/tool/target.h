/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_TARGET_H
#define USHM_TOOL_TARGET_H

#include <limits.h>

enum target_verdict {
	TARGET_FINE,   /* 'variant' of the library can be loaded into it */
	TARGET_ABSENT, /* there is no such program: exit 127 */
	TARGET_NOT_RUNNABLE, /* execve(2) would fail: exit 126 */
	TARGET_NATIVE,	     /* it would run, without the library: exit 126 */
	TARGET_OTHER_LIBC, /* the same; and its loader trips over the library */
};

struct target {
	enum target_verdict verdict;
	/*
	 * The build of the library that it needs: "" for the main one, or a
	 * name of cmake/variants.cmake. Whether there is one is not known here.
	 */
	const char *variant;
	char path[PATH_MAX];	/* the file that was found */
	char why[3 * PATH_MAX]; /* one line, unless the verdict is FINE */
};

/*
 * Tell what would happen if execvp(3) ran 'command' with LD_PRELOAD set: look
 * it up in $PATH, follow #! lines to the program that the kernel would load,
 * and look at that one's header and privileges. Opens files for reading,
 * executes nothing. Doubts (a program that may not be read) count as fine.
 */
void target_judge(const char *command, struct target *ret);

#endif
