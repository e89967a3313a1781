/* SPDX-License-Identifier: MIT */
/* The system call instruction of i386; ebp carries the sixth argument. */
#ifndef USHM_BASE_SYSCALL_ARCH_H
#define USHM_BASE_SYSCALL_ARCH_H

/*
 * glibc keeps the vDSO's entry in the thread block, and enters the kernel by
 * it: int $0x80 is many times slower, above all in virtual machines.
 */
#include <features.h>
#ifdef __GLIBC__
#define SYS_ENTER "call *%%gs:0x10\n\t"
#else
#define SYS_ENTER "int $0x80\n\t"
#endif

static inline long sys_call6(long n, long a, long b, long c, long d, long e,
			     long f)
{
	long args[3] = { a, f, n };
	long ret;

	/* ebx may be the PIC register and ebp the frame pointer: save both by
	 * hand and load them, and eax last, from an array. */
	__asm__ volatile("pushl %%ebx\n\t"
			 "pushl %%ebp\n\t"
			 "movl (%%eax), %%ebx\n\t"
			 "movl 4(%%eax), %%ebp\n\t"
			 "movl 8(%%eax), %%eax\n\t" SYS_ENTER "popl %%ebp\n\t"
			 "popl %%ebx"
			 : "=a"(ret)
			 : "a"(args), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return ret;
}

static inline long sys_call3(long n, long a, long b, long c)
{
	return sys_call6(n, a, b, c, 0, 0, 0);
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

#endif
