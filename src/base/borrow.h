/* SPDX-License-Identifier: MIT */
/*
 * Descriptors for a process that has none left.
 *
 * The kernel's shared memory needs none; ours needs one for an instant.
 */
#ifndef USHM_BASE_BORROW_H
#define USHM_BASE_BORROW_H

/*
 * Run 'fn' as a process that shares our memory, and not our descriptors: it
 * has a copy of their table, of which one is given up, and limits of its own.
 * What it maps stays mapped here. Returns what 'fn' returned, or -EMFILE.
 * 'fn' makes system calls only. The program sees neither a signal nor a child.
 */
int borrow_run(int (*fn)(void *arg), void *arg);

#endif
