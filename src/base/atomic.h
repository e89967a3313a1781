/* SPDX-License-Identifier: MIT */
/*
 * Atomic access to plain fields of shared structures.
 *
 * The builtins rather than <stdatomic.h>: the structures describe bytes in a
 * file, and _Atomic may change size and alignment with the compiler.
 */
#ifndef USHM_BASE_ATOMIC_H
#define USHM_BASE_ATOMIC_H

#include <stdint.h>

/* Shared 64-bit words lie at multiples of 8 also where a uint64_t need not. */
typedef uint64_t __attribute__((aligned(8))) word64;

#define load_relaxed(p)	    __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)	    __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define fetch_add(p, v)	    __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define fetch_or(p, v)	    __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define fetch_and(p, v)	    __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define exchange(p, v)	    __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/* Compare and swap; updates *expected on failure. */
#define swap_if(p, expected, v)                                                \
	__atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_ACQ_REL, \
				    __ATOMIC_ACQUIRE)

#define fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)

#endif
