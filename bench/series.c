/* SPDX-License-Identifier: MIT */
#include "series.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

void series_add(struct series *s, double value)
{
	s->v[s->n++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void series_sort(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare);
}

void series_print(struct series *s, int width, int digits)
{
	char range[64];

	series_sort(s->v, s->n);
	snprintf(range, sizeof(range), "[%.*f-%.*f]", digits, s->v[0], digits,
		 s->v[s->n - 1]);
	printf(" %*.*f %-*s", width, digits,
	       (s->v[s->n / 2] + s->v[(s->n - 1) / 2]) / 2, width * 2 + 1,
	       range);
}

void contest_run(struct contest *c, int sides, unsigned rounds,
		 double (*time)(const void *arg, int side, unsigned round),
		 const void *arg)
{
	for (int side = 0; side < sides; side++)
		c->time[side].n = c->ratio[side].n = 0;
	for (unsigned round = 0; round < rounds + 1; round++) {
		double took[CONTEST_SIDES];

		for (int turn = 0; turn < sides; turn++) {
			int side = (turn + (int)round) % sides;

			took[side] = time(arg, side, round);
		}
		for (int side = 0; round > 0 && side < sides; side++) {
			series_add(&c->time[side], took[side]);
			series_add(&c->ratio[side], took[side] / took[0]);
		}
	}
}

void contest_print(struct contest *c, const char *name, int side)
{
	printf("%-38s", name);
	series_print(&c->time[0], 8, 0);
	if (side > 0) {
		series_print(&c->time[side], 8, 0);
		series_print(&c->ratio[side], 5, 2);
	}
	putchar('\n');
	fflush(stdout);
}

void contest_print_head(const char *what, const char *first, const char *second,
			const char *ratio)
{
	printf("%-38s %-24s %-24s %s\n", what, first, second, ratio);
}

unsigned contest_rounds(const char *text)
{
	unsigned long n = strtoul(text, NULL, 10);

	return n < SERIES_MAX ? (unsigned)n : 0;
}
