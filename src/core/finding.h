/* SPDX-License-Identifier: MIT */
/*
 * What a check or a cleaning came upon.
 */
#ifndef USHM_CORE_FINDING_H
#define USHM_CORE_FINDING_H

#include <stdint.h>

enum fate {
	FATE_NOTED,	/* worth knowing; nothing is wrong */
	FATE_FOUND,	/* nothing was done about it, as asked */
	FATE_CORRECTED, /* repaired, or removed */
	FATE_LEFT,	/* it could not be done */
};

struct finding {
	const char *code;   /* a stable short name */
	const char *text;   /* what it is */
	const char *remedy; /* what is done about it, or NULL */
	enum fate fate;
	uint64_t bytes; /* of memory that is freed by it */
};

/* All of it is the caller's: copy what is to stay. */
typedef void finding_report(void *arg, const struct finding *f);

#endif
