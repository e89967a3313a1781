/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_NAMESPACE_H
#define USHM_TOOL_NAMESPACE_H

#include <ushm.h>

/*
 * ushm_open() that says in a line why it failed. Without USHM_CREATE in
 * 'flags' a namespace that does not exist is -ENOENT and says nothing, so
 * that a caller may take it for an empty one.
 */
int namespace_open(const char *dir, unsigned flags,
		   const struct ushm_options *options, ushm_space **ret_space);

/* The same; here it is an error, in words, that there is none. */
int namespace_open_existing(const char *dir, ushm_space **ret_space);

#endif
