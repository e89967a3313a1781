/* SPDX-License-Identifier: MIT */
/*
 * `ushm init`: makes a namespace that is durable, or whose tables are of
 * another size.
 *
 * Everything else makes a missing namespace by itself, an ordinary one of the
 * default size; both are fixed from then on, hence this command.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/size.h"

#define MAX_CAPACITY 16777216 /* of ushm_options */
#define TMPFS	     0x01021994u
#define RAMFS	     0x858458f6u

static void help(void)
{
	fputs("Usage: ushm init [OPTION...]\n"
	      "\n"
	      "Make a namespace that is durable, or with other limits than the default ones.\n"
	      "It must not exist yet: remove its directory to change what it is.\n"
	      "\n"
	      "      --durable            its segments outlive a reboot; on disk, so name a\n"
	      "                           directory with --dir\n"
	      "      --force              durable also where a reboot removes everything\n"
	      "      --max-segments N     at most 16777216, 32768 by default\n"
	      "      --max-processes N    32768 by default\n"
	      "      --max-attachments N  262144 by default\n"
	      "  -d, --dir DIR            in this directory\n"
	      "  -h, --help               show this help\n",
	      stdout);
}

static int exists(ushm_space *space)
{
	message_error("%s: there is a namespace already", ushm_dir(space));
	message_hint("remove the directory first, or name another with --dir");
	ushm_close(space);

	return EXIT_FAILED;
}

/* Does the file system that 'dir' is to be on live in memory? */
static bool in_memory(const char *dir)
{
	const char *slash = strrchr(dir, '/');
	char parent[4096] = ".";
	struct statfs fs;

	if (slash)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - dir + 1),
			 dir);
	if (statfs(dir, &fs) < 0 && statfs(parent, &fs) < 0)
		return false;
	return (unsigned)fs.f_type == TMPFS || (unsigned)fs.f_type == RAMFS;
}

static int check_durable(const char *dir, bool force)
{
	if (!dir) {
		message_error("--durable needs --dir: the default directory "
			      "does not outlive a reboot");
		return EXIT_USAGE;
	}
	if (in_memory(dir) && !force) {
		message_error("%s: is in memory (tmpfs), and would be gone "
			      "after a reboot",
			      dir);
		message_hint("name a directory on a disk, or try it here with "
			     "--force");
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int make(const char *dir, unsigned flags,
		const struct ushm_options *options)
{
	struct ushm_info info;
	ushm_space *space;
	int r;

	r = namespace_open(dir, 0, NULL, &space);
	if (r == 0)
		return exists(space);
	if (r != -ENOENT)
		return EXIT_FAILED;

	if (namespace_open(dir, USHM_CREATE | flags, options, &space) < 0)
		return EXIT_FAILED;

	/* Somebody else may have made it between the two calls. */
	if (options->max_segments && ushm_info(space, &info) == 0 &&
	    info.shmmni != options->max_segments)
		return exists(space);
	ushm_close(space);

	return EXIT_DONE;
}

static int take_capacity(void *to, const char *text)
{
	uint32_t *capacity = to;
	uint64_t number;

	if (number_parse(text, MAX_CAPACITY, &number) < 0 || number == 0) {
		message_error("'%s' is not a number from 1 to %d", text,
			      MAX_CAPACITY);
		return -EINVAL;
	}
	*capacity = (uint32_t)number;
	return 0;
}

int cmd_init(int argc, char **argv)
{
	struct ushm_options capacity = { 0 };
	const char *dir = NULL;
	bool force = false;
	unsigned flags = 0;
	const struct tool_option options[] = {
		{ 0, "durable", .bits = &flags, .bit = USHM_DURABLE },
		{ 0, "force", .flag = &force },
		{ 0, "max-segments", .take = take_capacity,
		  .to = &capacity.max_segments },
		{ 0, "max-processes", .take = take_capacity,
		  .to = &capacity.max_processes },
		{ 0, "max-attachments", .take = take_capacity,
		  .to = &capacity.max_attachments },
		{ 'd', "dir", .text = &dir },
		{ 0 },
	};
	int r = options_parse(options, help, OPTIONS_ALONE, argc, argv);

	if (r != OPTIONS_GO_ON)
		return r;
	if (flags) {
		r = check_durable(dir, force);
		if (r != EXIT_DONE)
			return r;
	}
	return make(dir, flags, &capacity);
}
