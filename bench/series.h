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

#define CONTEST_SIDES 4

/* How long each side took in each round, and how that is to the first's. */
struct contest {
	struct series time[CONTEST_SIDES], ratio[CONTEST_SIDES];
};

/*
 * The sides take turns, in an order that alternates: a noisy machine disturbs
 * all of them alike. A first round warms up and does not count.
 */
void contest_run(struct contest *c, int sides, unsigned rounds,
		 double (*time)(const void *arg, int side, unsigned round),
		 const void *arg);

/* A row: the first side, 'side', their ratio. Of the first itself, no more. */
void contest_print(struct contest *c, const char *name, int side);

void contest_print_head(const char *what, const char *first, const char *second,
			const char *ratio);

/* Of the command line: from 1 to as many as there is room for; or 0. */
unsigned contest_rounds(const char *text);

#endif
