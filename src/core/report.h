/* SPDX-License-Identifier: MIT */
/*
 * The namespace in the words of proc_sysvipc(5).
 */
#ifndef USHM_CORE_REPORT_H
#define USHM_CORE_REPORT_H

#include "core/space.h"

/* Write the text of /proc/sysvipc/shm to 'fd'. 0 or -errno. */
int report_proc(struct space *sp, int fd);

#endif
