/* SPDX-License-Identifier: MIT */
/*
 * ipc(2), one number for all System V calls on i386 and a few others. Numbers
 * that a machine lacks are defined as ones that no call has.
 */
#ifndef USHM_EDGE_IPC_H
#define USHM_EDGE_IPC_H

#include <stdbool.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#ifndef SYS_ipc
#define SYS_ipc (-2000)
#endif
#ifndef SYS_fork
#define SYS_fork (-2001)
#endif
#ifndef SYS_shmget
#define SYS_shmget (-2002)
#define SYS_shmat  (-2003)
#define SYS_shmdt  (-2004)
#define SYS_shmctl (-2005)
#endif

/* The first argument: <linux/ipc.h>. Its upper half is a version. */
#define IPC_CALL(call) ((call)&0xffff)
enum {
	IPC_CALL_SHMAT = 21,
	IPC_CALL_SHMDT = 22,
	IPC_CALL_SHMGET = 23,
	IPC_CALL_SHMCTL = 24,
};

/* In a command: the structures of today, not those with 16-bit ids. */
#define IPC_CMD_64 0x100

static inline bool ipc_is_memory(long call)
{
	return IPC_CALL(call) >= IPC_CALL_SHMAT &&
	       IPC_CALL(call) <= IPC_CALL_SHMCTL;
}

static inline bool ipc_has_buffer(long cmd)
{
	return cmd != IPC_RMID && cmd != SHM_LOCK && cmd != SHM_UNLOCK;
}

#endif
