/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing. The kernel is asked whether an address is good by having it
 * read or write a signal set there, which every sandbox allows and which costs
 * less than process_vm_writev(2). Another thread that unmaps the page between
 * question and copy gets its signal.
 */
#include "base/user.h"

#include <string.h>
#include <sys/auxv.h>

#include "base/sys.h"

#define PROBE 8 /* bytes of the kernel's signal set */

/*
 * Between our own frame and the strings that execve() put at the top, the
 * stack of the main thread is there, and writable.
 */
static bool on_main_stack(const void *p, size_t size)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t top = getauxval(AT_EXECFN), at = (uintptr_t)p;

	return here < top && top - here < (8u << 20) && at > here && at < top &&
	       top - at > size;
}

/* Every page that the range touches. */
static int probe(const void *p, size_t size, int (*ask)(uintptr_t at))
{
	uintptr_t first = (uintptr_t)p, last = first + size - PROBE;
	int r;

	if (last < first)
		return -EFAULT;
	r = ask(first);
	if (r == 0 && (first ^ (last + PROBE - 1)) >> 12)
		r = ask(last);
	return r;
}

/* To the kernel address 0 means that nothing is asked. */
static uintptr_t not_null(uintptr_t at)
{
	return at ? at : 1;
}

static int can_write(uintptr_t at)
{
	at = not_null(at);
	return sys_sigmask(SIG_BLOCK, NULL, (uint64_t *)at) == -EFAULT ? -EFAULT
								       : 0;
}

static int can_read(uintptr_t at)
{
	at = not_null(at);
	/* The set is read first; then there is no such operation. */
	return sys_sigmask(-1, (const uint64_t *)at, NULL) == -EFAULT ? -EFAULT
								      : 0;
}

int user_write(void *to, const void *from, size_t size)
{
	if (!on_main_stack(to, size) && probe(to, size, can_write) < 0)
		return -EFAULT;
	memcpy(to, from, size);
	return 0;
}

int user_read(void *to, const void *from, size_t size)
{
	if (!on_main_stack(from, size) && probe(from, size, can_read) < 0)
		return -EFAULT;
	memcpy(to, from, size);
	return 0;
}
