/* SPDX-License-Identifier: MIT */
/* A benchmark's directory, and its end. */
#ifndef USHM_BENCH_STAGE_H
#define USHM_BENCH_STAGE_H

#include <limits.h>
#include <stdio.h>

/* Room is left for the names in it. */
extern char stage_dir[PATH_MAX - 100];

/*
 * Make the directory, in 'base'; NULL: in memory. Where the process ends, by a
 * signal too, 'clean_up' is called unless it is NULL, and the directory goes
 * with the files in it.
 */
void stage_make(const char *base, void (*clean_up)(void));

void stage_remove(const char *dir);

/* A message, and the end. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
