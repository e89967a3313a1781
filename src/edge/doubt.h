/* SPDX-License-Identifier: MIT */
/*
 * Has this process ever had a file that the kernel may refuse to map?
 *
 * Only such a file can have an object, so that calls on it need care. Nearly
 * all files are on file systems where the kernel maps everything; a process
 * that never got a descriptor of another one is left alone at the price of a
 * load for each call. What a number stands for is not remembered: that can
 * change behind our back.
 */
#ifndef USHM_EDGE_DOUBT_H
#define USHM_EDGE_DOUBT_H

#include <stdbool.h>

#include "base/atomic.h"

enum doubt {
	DOUBT_NEW, /* nobody has looked at what was inherited */
	DOUBT_NONE,
	DOUBT_SOME, /* for ever */
};

extern int doubt_state;

bool doubt_inherited(void);

static inline bool doubt_any(void)
{
	int state = load_relaxed(&doubt_state);

	return state == DOUBT_SOME || (state == DOUBT_NEW && doubt_inherited());
}

/* The process got this descriptor. */
void doubt_descriptor(int fd);

/* It got descriptors, and nobody knows which. */
void doubt_everything(void);

#endif
