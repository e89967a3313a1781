/* SPDX-License-Identifier: MIT */
/*
 * How a preload library takes a name of libc and finds who had it before.
 *
 * Functions are defined under names of our own with the libc name as their
 * assembler name: libc's headers redirect some of them.
 */
#ifndef USHM_EDGE_NEXT_H
#define USHM_EDGE_NEXT_H

#include <dlfcn.h>

#include "base/atomic.h"

#define EXPORT(name) __asm__(#name) __attribute__((visibility("default"), used))

/*
 * The next definition of a name, else that of another. It is found while
 * nothing else runs: later it might be a signal handler, or a child between
 * fork() and execve(), that calls first. But whoever is loaded before us may
 * call before that.
 * NOLINTBEGIN(bugprone-macro-parentheses): a type cannot have any */
#define NEXT(type, name) NEXT_OR(type, name, name)
#define NEXT_OR(type, name, other)                                    \
	static type *next_##name;                                     \
	static type *real_##name(void)                                \
	{                                                             \
		type *f = load_relaxed(&next_##name);                 \
                                                                      \
		if (!f) {                                             \
			f = (type *)dlsym(RTLD_NEXT, #name);          \
			if (!f)                                       \
				f = (type *)dlsym(RTLD_NEXT, #other); \
			store_relaxed(&next_##name, f);               \
		}                                                     \
		return f;                                             \
	}                                                             \
	__attribute__((constructor)) static void find_##name(void)    \
	{                                                             \
		(void)real_##name();                                  \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
