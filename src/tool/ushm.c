/* SPDX-License-Identifier: MIT */
/*
 * The `ushm` command: finds the subcommand and hands over to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ushm.h>

#include "tool/command.h"
#include "tool/message.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *what;
	int failed; /* status when the output cannot be written; 0: the usual */
} commands[] = {
	{ "run", cmd_run,
	  "run a program with System V shared memory of its own" },
	{ "ls", cmd_ls, "list the segments" },
	{ "stat", cmd_stat, "show one segment and who is attached to it" },
	{ "mk", cmd_mk, "make a segment" },
	{ "rm", cmd_rm, "remove segments" },
	{ "sync", cmd_sync, "write the contents of durable segments to disk" },
	{ "init", cmd_init,
	  "make a durable namespace, or one with other capacities" },
	{ "limits", cmd_limits, "show or change limits and switches" },
	{ "fsck", cmd_fsck, "check a namespace, and repair it",
	  FSCK_OPERATIONAL },
	{ "gc", cmd_gc, "remove what nobody can use any more" },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];

	return NULL;
}

static void usage(FILE *out)
{
	fputs("Usage: ushm COMMAND [ARGUMENT...]\n"
	      "       ushm run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	      "\n"
	      "System V shared memory in user space.\n"
	      "\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-6s  %s\n", commands[i].name,
			commands[i].what);
	fputs("\n"
	      "Options:\n"
	      "  -h, --help     show this help\n"
	      "  -V, --version  show the version\n"
	      "\n"
	      "'ushm COMMAND --help' explains one command. A namespace is a\n"
	      "directory: --dir DIR, or else $USHM_DIR, or else one of your own\n"
	      "in /dev/shm or /tmp.\n",
	      out);
}

int main(int argc, char **argv)
{
	char help[] = "--help";
	const struct command *cmd;
	char *help_argv[4];
	int status, finished;

	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}

	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && argc == 2)) {
		usage(stdout);
		return message_finish_output(EXIT_DONE);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("ushm " USHM_VERSION);
		return message_finish_output(EXIT_DONE);
	}

	if (strcmp(argv[1], "help") == 0) {
		help_argv[0] = argv[0];
		help_argv[1] = argv[2];
		help_argv[2] = help;
		help_argv[3] = NULL;
		argv = help_argv;
		argc = 3;
	}

	cmd = find(argv[1]);
	if (!cmd) {
		message_error("there is no command '%s'", argv[1]);
		message_try_help();
		return EXIT_USAGE;
	}

	message_set_command(cmd->name);
	status = cmd->main(argc - 1, argv + 1);
	finished = message_finish_output(EXIT_DONE);
	if (finished == EXIT_DONE)
		return status;
	return cmd->failed ? cmd->failed : finished;
}
