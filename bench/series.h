/* SPDX-License-Identifier: MIT */
/* What the benchmarks measure with, and how they print it. */
#ifndef USHM_BENCH_SERIES_H
#define USHM_BENCH_SERIES_H

#define SERIES_MAX 1000

struct series {
	unsigned n;
	double v[SERIES_MAX];
};

double now_us(void);

void series_add(struct series *s, double value);

/* Ascending. */
void series_sort(double *v, unsigned n);

/* "MEDIAN [LEAST-LARGEST]"; sorts it. */
void series_print(struct series *s, int width, int digits);

#endif
