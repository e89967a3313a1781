/* SPDX-License-Identifier: MIT */
/*
 * `ushm init`: makes a namespace that is durable, or whose tables are of
 * another size.
 *
 * Everything else makes a missing namespace by itself, an ordinary one of the
 * default size; both are fixed from then on, hence this command.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
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

int cmd_init(int argc, char **argv)
{
	enum { DURABLE = 256, FORCE };
	static const struct option long_options[] = {
		{ "durable", no_argument, NULL, DURABLE },
		{ "force", no_argument, NULL, FORCE },
		{ "max-segments", required_argument, NULL, 's' },
		{ "max-processes", required_argument, NULL, 'P' },
		{ "max-attachments", required_argument, NULL, 'A' },
		{ "dir", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct ushm_options options = { 0 };
	const char *dir = NULL;
	bool force = false;
	unsigned flags = 0;
	uint64_t number;
	uint32_t *to;
	int c;

	while ((c = getopt_long(argc, argv, ":d:h", long_options, NULL)) != -1)
		switch (c) {
		case 's':
		case 'P':
		case 'A':
			to = c == 's'	? &options.max_segments
			     : c == 'P' ? &options.max_processes
					: &options.max_attachments;
			if (number_parse(optarg, MAX_CAPACITY, &number) < 0 ||
			    number == 0) {
				message_error("'%s' is not a number from 1 to "
					      "%d",
					      optarg, MAX_CAPACITY);
				return EXIT_USAGE;
			}
			*to = (uint32_t)number;
			break;
		case DURABLE:
			flags = USHM_DURABLE;
			break;
		case FORCE:
			force = true;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'h':
			help();
			return EXIT_DONE;
		default:
			message_bad_option(c, argv);
			return EXIT_USAGE;
		}

	if (optind < argc) {
		message_error("'%s' is one argument too many", argv[optind]);
		message_try_help();
		return EXIT_USAGE;
	}

	if (flags) {
		c = check_durable(dir, force);
		if (c != EXIT_DONE)
			return c;
	}
	return make(dir, flags, &options);
}
