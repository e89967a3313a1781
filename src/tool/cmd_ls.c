/* SPDX-License-Identifier: MIT */
/*
 * `ushm ls`: the segments of a namespace, as lsipc -m lists the kernel's, or
 * its POSIX shared memory objects.
 */
#include <errno.h>
#include <stdio.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/posix.h"
#include "tool/segment.h"

static void help(void)
{
	fputs("Usage: ushm ls [OPTION...]\n"
	      "\n"
	      "List the segments of a namespace, or what shm_open() made in it.\n"
	      "\n"
	      "  -d, --dir DIR             the namespace in this directory\n"
	      "      --posix               the POSIX shared memory objects\n"
	      "  -o, --output LIST         show these columns; +LIST adds them\n"
	      "  -t, --time                show the times of attach, detach and change\n"
	      "      --time-format FORMAT  short, full or iso\n"
	      "  -b, --bytes               sizes in bytes, ages in seconds\n"
	      "  -n, --noheadings          print no headings\n"
	      "      --notruncate          do not cut off the command\n"
	      "  -r, --raw                 columns without alignment\n"
	      "  -e, --export              NAME=\"value\" pairs\n"
	      "  -J, --json                JSON: sizes in bytes, times in UTC\n"
	      "  -h, --help                show this help\n",
	      stdout);
	table_help("Columns", segment_columns, SEGMENT_NCOLUMNS);
	table_help("Columns with --posix", posix_columns, POSIX_NCOLUMNS);
}

static int add_segments(struct libscols_table *tb,
			const struct table_selection *sel,
			const struct table_style *style, ushm_space *space)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	int r;

	while ((r = ushm_next(space, &cursor, &seg)) > 0) {
		r = segment_add_line(tb, space, sel, style, &seg);
		if (r < 0)
			break;
	}
	return r;
}

static int list(const char *dir, const struct table_selection *sel,
		const struct table_style *style)
{
	bool posix = sel->columns == posix_columns;
	ushm_space *space = NULL;
	struct libscols_table *tb;
	int r;

	r = namespace_open(dir, 0, NULL, &space);
	if (r < 0 && r != -ENOENT)
		return EXIT_FAILED;

	tb = table_new(posix ? "objects" : "segments", sel, style);
	if (!tb)
		return EXIT_FAILED;

	r = 0;
	if (space)
		r = posix ? posix_add_lines(tb, sel, style, space)
			  : add_segments(tb, sel, style, space);
	if (r < 0)
		message_error("cannot list the %s of %s: %s",
			      posix ? "objects" : "segments", ushm_dir(space),
			      message_errno(r));
	else
		r = table_print(&tb, 1, style);

	scols_unref_table(tb);
	if (space)
		ushm_close(space);

	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* What a listing shows, and how. */
struct listing {
	const char *dir;
	bool posix;
	struct table_selection sel;
	struct table_style style;
};

static void select_standard(struct listing *ls, bool times)
{
	if (ls->posix)
		table_select(&ls->sel,
			     times ? POSIX_TIME_COLUMNS : POSIX_COLUMNS);
	else
		table_select(&ls->sel,
			     times ? "KEY,ID,OWNER,ATTACH,DETACH,CTIME"
				   : "KEY,ID,PERMS,OWNER,SIZE,NATTCH,STATUS,"
				     "CTIME,CPID,LPID,COMMAND");
}

static int take_times(void *to, const char *none)
{
	struct listing *ls = to;

	(void)none;
	if (ls->sel.columns)
		select_standard(ls, true);
	return 0;
}

static int take_columns(void *to, const char *list)
{
	struct listing *ls = to;

	return ls->sel.columns ? table_select(&ls->sel, list) : 0;
}

int cmd_ls(int argc, char **argv)
{
	struct listing ls = { 0 };
	const struct tool_option options[] = {
		{ 'd', "dir", .text = &ls.dir },
		{ 0, "posix", .flag = &ls.posix },
		{ 'o', "output", .take = take_columns, .to = &ls },
		{ 't', "time", .take = take_times, .to = &ls, .bare = true },
		{ 0, "time-format", .take = table_take_time, .to = &ls.style },
		{ 'b', "bytes", .flag = &ls.style.bytes },
		{ 'n', "noheadings", .flag = &ls.style.noheadings },
		{ 0, "notruncate", .flag = &ls.style.notruncate },
		{ 'r', "raw", .flag = &ls.style.raw },
		{ 'e', "export", .flag = &ls.style.export },
		{ 'J', "json", .flag = &ls.style.json },
		{ 0 },
	};
	int r;

	/* Once to know what is listed, then, with columns to choose from. */
	r = options_parse(options, help, OPTIONS_WORDS, argc, argv);
	if (r == OPTIONS_GO_ON) {
		ls.sel.columns = ls.posix ? posix_columns : segment_columns;
		ls.sel.ncolumns = ls.posix ? POSIX_NCOLUMNS : SEGMENT_NCOLUMNS;
		select_standard(&ls, false);
		r = options_parse(options, help, OPTIONS_ALONE, argc, argv);
	}
	if (r != OPTIONS_GO_ON)
		return r;
	if (ls.style.json + ls.style.raw + ls.style.export > 1) {
		message_error("--json, --raw and --export exclude each other");
		return EXIT_USAGE;
	}

	return list(ls.dir, &ls.sel, &ls.style);
}
