/* SPDX-License-Identifier: MIT */
/*
 * `ushm fsck`: says what is wrong with a namespace, and repairs it when told
 * to. The exit status is that of e2fsck(8).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <ushm.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/options.h"
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
	struct fsck fsck = { 0 };
	const struct tool_option options[] = {
		{ 'r', "repair", .bits = &fsck.flags, .bit = USHM_REPAIR },
		{ 0, "start-over", .bits = &fsck.flags,
		  .bit = USHM_START_OVER },
		{ 'q', "quiet", .flag = &fsck.quiet },
		{ 'd', "dir", .text = &fsck.dir },
		{ 'J', "json", .flag = &fsck.style.json },
		{ 0 },
	};
	int r = options_parse(options, help, OPTIONS_ALONE, argc, argv);

	if (r != OPTIONS_GO_ON)
		return r == EXIT_USAGE ? FSCK_USAGE : r;
	if (fsck.flags == USHM_START_OVER) {
		message_error("--start-over goes with --repair only");
		return FSCK_USAGE;
	}
	return check(&fsck);
}
