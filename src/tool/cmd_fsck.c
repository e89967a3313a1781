/* SPDX-License-Identifier: MIT */
/*
 * `ushm fsck`: says what is wrong with a namespace, and repairs it when told
 * to. The exit status is that of e2fsck(8).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <ushm.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/table.h"

enum { FATE, CODE, TEXT, REMEDY, NCOLUMNS };

static const struct table_column columns[NCOLUMNS] = {
	[FATE] = { "FATE", 1, 0, SCOLS_JSON_STRING, "what became of it" },
	[CODE] = { "CODE", 1, 0, SCOLS_JSON_STRING, "which kind it is" },
	[TEXT] = { "TEXT", 1, 0, SCOLS_JSON_STRING, "what it is" },
	[REMEDY] = { "REMEDY", 1, 0, SCOLS_JSON_STRING, "what a repair does" },
};

static const struct table_selection selection = {
	columns, NCOLUMNS, { FATE, CODE, TEXT, REMEDY }, NCOLUMNS
};

static const char *const fates[] = {
	[USHM_NOTED] = "note",
	[USHM_FOUND] = "wrong",
	[USHM_CORRECTED] = "corrected",
	[USHM_LEFT] = "not corrected",
};

struct fsck {
	const char *dir;
	unsigned flags;
	bool quiet;
	struct table_style style;
	struct libscols_table *tb; /* JSON, or NULL */
};

static void help(void)
{
	fputs("Usage: ushm fsck [OPTION...]\n"
	      "\n"
	      "Check a namespace: its directory, its registry, its files. It may be in use.\n"
	      "\n"
	      "  -r, --repair      correct what is wrong\n"
	      "      --start-over  with --repair: a registry that cannot be repaired, and that\n"
	      "                    no program uses, is moved aside with all segments\n"
	      "  -q, --quiet       print only what is wrong\n"
	      "  -d, --dir DIR     the namespace in this directory\n"
	      "  -J, --json        the findings as JSON\n"
	      "  -h, --help        show this help\n"
	      "\n"
	      "The exit status is the sum of: 1 something was corrected, 2 programs that use\n"
	      "the namespace should be restarted, 4 something is left uncorrected, 8 it could\n"
	      "not be checked, 16 wrong usage.\n",
	      stdout);
}

static void on_finding(void *arg, const struct ushm_finding *f)
{
	struct fsck *fsck = arg;
	struct libscols_line *line;

	if (fsck->quiet && f->fate == USHM_NOTED)
		return;
	if (!fsck->tb) {
		printf("%s: %s [%s]\n", fates[f->fate], f->text, f->code);
		if (f->remedy)
			printf("    --repair %s\n", f->remedy);
		return;
	}
	line = scols_table_new_line(fsck->tb, NULL);
	if (!line)
		return;
	table_set(line, FATE, fates[f->fate]);
	table_set(line, CODE, f->code);
	table_set_foreign(line, TEXT, f->text, &fsck->style);
	table_set(line, REMEDY, f->remedy);
}

/* What it comes to, in a line. */
static void conclude(const struct fsck *fsck, int r)
{
	if (r == 0 && !fsck->quiet)
		puts("nothing is wrong");
	if (r & USHM_CHECK_CORRECTED)
		puts(r & USHM_CHECK_LEFT ? "some of it was corrected"
					 : "all of it was corrected");
	if (r & USHM_CHECK_RESTART)
		puts("restart the programs that use the namespace");
	if (r & USHM_CHECK_LEFT)
		puts(fsck->flags & USHM_REPAIR
			     ? "something is wrong still"
			     : "nothing was changed; 'ushm fsck --repair' "
			       "corrects what can be");
}

static int check(struct fsck *fsck)
{
	struct ushm_problem problem = { 0 };
	int r;

	if (fsck->style.json) {
		fsck->tb = table_new("findings", &selection, &fsck->style);
		if (!fsck->tb)
			return FSCK_OPERATIONAL;
	}
	r = ushm_check(fsck->dir, fsck->flags, on_finding, fsck, &problem);
	if (r < 0) {
		message_error("%s", problem.text);
		if (r == -EACCES)
			message_hint("only its owner can check it");
		r = FSCK_OPERATIONAL;
	} else if (!fsck->tb) {
		conclude(fsck, r);
	}
	if (fsck->tb) {
		if (table_print(&fsck->tb, 1, &fsck->style) < 0)
			r |= FSCK_OPERATIONAL;
		scols_unref_table(fsck->tb);
	}
	return r;
}

int cmd_fsck(int argc, char **argv)
{
	enum { START_OVER = 256 };
	static const struct option options[] = {
		{ "repair", no_argument, NULL, 'r' },
		{ "start-over", no_argument, NULL, START_OVER },
		{ "quiet", no_argument, NULL, 'q' },
		{ "dir", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct fsck fsck = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, ":rqd:Jh", options, NULL)) != -1)
		switch (c) {
		case 'r':
			fsck.flags |= USHM_REPAIR;
			break;
		case START_OVER:
			fsck.flags |= USHM_START_OVER;
			break;
		case 'q':
			fsck.quiet = true;
			break;
		case 'd':
			fsck.dir = optarg;
			break;
		case 'J':
			fsck.style.json = true;
			break;
		case 'h':
			help();
			return EXIT_DONE;
		default:
			message_bad_option(c, argv);
			return FSCK_USAGE;
		}

	if (optind < argc) {
		message_error("'%s' is one argument too many", argv[optind]);
		message_try_help();
		return FSCK_USAGE;
	}
	if (fsck.flags == USHM_START_OVER) {
		message_error("--start-over goes with --repair only");
		return FSCK_USAGE;
	}
	return check(&fsck);
}
