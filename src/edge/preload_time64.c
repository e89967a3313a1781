/* SPDX-License-Identifier: MIT */
/*
 * Compiled with _TIME_BITS=64. Where that changes time_t, glibc has another
 * name for the shmctl() of programs that are compiled so.
 */
#include "ushm.h"

#include "edge/procfile.h"

#ifdef __USE_TIME_BITS64
int pre_shmctl64(int shmid, int cmd, struct shmid_ds *buf) __asm__("__shmctl64")
	__attribute__((visibility("default"), used));

int pre_shmctl64(int shmid, int cmd, struct shmid_ds *buf)
{
	procfile_settle();
	return ushm_shmctl(shmid, cmd, buf);
}
#endif
