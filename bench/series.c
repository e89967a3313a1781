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
