/* SPDX-License-Identifier: MIT */
/*
 * Opens namespaces on behalf of the subcommands and puts refusals in words.
 */
#include <errno.h>
#include <string.h>

#include "tool/message.h"
#include "tool/namespace.h"

static void complain(const char *dir, int r, const struct ushm_problem *problem)
{
	if (problem->text[0])
		message_error("%s", problem->text);
	else
		message_error("%s: %s", dir ? dir : "the default namespace",
			      message_errno(r));

	if (r == -ENOSPC)
		message_hint("free some space, or name another directory with "
			     "--dir or USHM_DIR");
	else if (r == -EACCES || r == -ELOOP)
		message_hint("a namespace is a directory of mode 0700 that "
			     "belongs to you; name another with --dir or "
			     "USHM_DIR");
}

int namespace_open(const char *dir, unsigned flags,
		   const struct ushm_options *options, ushm_space **ret_space)
{
	struct ushm_problem problem = { 0 };
	int r;

	r = ushm_open(dir, flags, options, ret_space, &problem);
	if (r < 0 && (r != -ENOENT || (flags & USHM_CREATE)))
		complain(dir, r, &problem);

	return r;
}

int namespace_open_existing(const char *dir, ushm_space **ret_space)
{
	struct ushm_problem problem = { 0 };
	int r;

	r = ushm_open(dir, 0, NULL, ret_space, &problem);
	if (r < 0)
		complain(dir, r, &problem);
	if (r == -ENOENT)
		message_hint("'ushm ls' lists nothing here; 'ushm mk' and "
			     "'ushm init' make a namespace");

	return r;
}
