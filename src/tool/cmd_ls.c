/* SPDX-License-Identifier: MIT */
/*
 * `ushm ls`: the segments of a namespace, as lsipc -m lists the kernel's.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/segment.h"

static void help(void)
{
	fputs("Usage: ushm ls [OPTION...]\n"
	      "\n"
	      "List the segments of a namespace.\n"
	      "\n"
	      "  -d, --dir DIR             the namespace in this directory\n"
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
	table_help(segment_columns, SEGMENT_NCOLUMNS);
}

static int list(const char *dir, const struct table_selection *sel,
		const struct table_style *style)
{
	ushm_space *space = NULL;
	struct libscols_table *tb;
	struct ushm_segment seg;
	uint32_t cursor = 0;
	int r;

	r = namespace_open(dir, 0, NULL, &space);
	if (r < 0 && r != -ENOENT)
		return EXIT_FAILED;

	tb = table_new("segments", sel, style);
	if (!tb)
		return EXIT_FAILED;

	r = 0;
	while (space && (r = ushm_next(space, &cursor, &seg)) > 0) {
		r = segment_add_line(tb, sel, style, &seg);
		if (r < 0)
			break;
	}
	if (r < 0)
		message_error("cannot list the segments of %s: %s",
			      ushm_dir(space), message_errno(r));
	else
		r = table_print(&tb, 1, style);

	scols_unref_table(tb);
	if (space)
		ushm_close(space);

	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

int cmd_ls(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "output", required_argument, NULL, 'o' },
		{ "time", no_argument, NULL, 't' },
		{ "time-format", required_argument, NULL, 'F' },
		{ "bytes", no_argument, NULL, 'b' },
		{ "noheadings", no_argument, NULL, 'n' },
		{ "notruncate", no_argument, NULL, 'T' },
		{ "raw", no_argument, NULL, 'r' },
		{ "export", no_argument, NULL, 'e' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct table_selection sel = {
		.columns = segment_columns,
		.ncolumns = SEGMENT_NCOLUMNS,
	};
	struct table_style style = { 0 };
	const char *dir = NULL;
	int c;

	table_select(&sel, "KEY,ID,PERMS,OWNER,SIZE,NATTCH,STATUS,CTIME,CPID,"
			   "LPID,COMMAND");

	while ((c = getopt_long(argc, argv, ":d:o:tbnreJh", options, NULL)) !=
	       -1)
		switch (c) {
		case 'd':
			dir = optarg;
			break;
		case 'o':
			if (table_select(&sel, optarg) < 0)
				return EXIT_USAGE;
			break;
		case 't':
			table_select(&sel, "KEY,ID,OWNER,ATTACH,DETACH,CTIME");
			break;
		case 'F':
			if (table_parse_time(optarg, &style.time) < 0)
				return EXIT_USAGE;
			break;
		case 'b':
			style.bytes = true;
			break;
		case 'n':
			style.noheadings = true;
			break;
		case 'T':
			style.notruncate = true;
			break;
		case 'r':
			style.raw = true;
			break;
		case 'e':
			style.export = true;
			break;
		case 'J':
			style.json = true;
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
	if (style.json + style.raw + style.export > 1) {
		message_error("--json, --raw and --export exclude each other");
		return EXIT_USAGE;
	}

	return list(dir, &sel, &style);
}
