/* SPDX-License-Identifier: MIT */
/*
 * `ushm limits`: shows and changes the limits and switches of a namespace,
 * under the names that Linux gives them in /proc/sys/kernel.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/size.h"
#include "tool/table.h"

static const struct {
	const char *name;
	enum ushm_limit limit;
	bool size; /* may be given as 64M */
	const char *help;
} limits[] = {
	{ "shmmax", USHM_SHMMAX, true, "bytes of a segment, at most" },
	{ "shmall", USHM_SHMALL, false, "pages of all segments, at most" },
	{ "shmmni", USHM_SHMMNI, false, "segments, at most" },
	{ "shm_next_id", USHM_SHM_NEXT_ID, false,
	  "id of the next segment; -1: any" },
	{ "shm_rmid_forced", USHM_SHM_RMID_FORCED, false,
	  "1: segments go with their last user" },
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

static const struct table_column columns[] = {
	{ "NAME", 1, 0, SCOLS_JSON_STRING, "of the limit" },
	{ "VALUE", 1, SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, "in force" },
	{ "MEANING", 1, 0, SCOLS_JSON_STRING, "in words" },
};

static void help(void)
{
	fputs("Usage: ushm limits [OPTION...] [NAME=VALUE...]\n"
	      "\n"
	      "Show the limits of a namespace, or change them.\n"
	      "\n"
	      "  -d, --dir DIR  of the namespace in this directory\n"
	      "  -J, --json     as JSON\n"
	      "  -h, --help     show this help\n"
	      "\n"
	      "Names:\n",
	      stdout);
	for (size_t i = 0; i < LIMITS; i++)
		printf("  %-16s %s\n", limits[i].name, limits[i].help);
}

/* "NAME=VALUE": the limit's index, or -EINVAL after a message. */
static int parse(const char *text, uint64_t *ret_value)
{
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : strlen(text);

	for (size_t i = 0; i < LIMITS; i++) {
		int r;

		if (strlen(limits[i].name) != length ||
		    memcmp(limits[i].name, text, length) != 0)
			continue;
		if (!equals)
			break;
		r = limits[i].size
			    ? size_parse(equals + 1, ret_value)
			    : number_parse(equals + 1, UINT64_MAX, ret_value);
		if (r == 0)
			return (int)i;
		break;
	}
	message_error("'%s' is not NAME=VALUE of a limit", text);
	return -EINVAL;
}

static int change(ushm_space *space, char **args, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t value;
		int which = parse(args[i], &value), r;

		if (which < 0)
			return EXIT_USAGE;
		r = ushm_limit_set(space, limits[which].limit, value);
		if (r < 0) {
			message_error("%s: %s: %s", ushm_dir(space), args[i],
				      message_errno(r));
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}

static int show(ushm_space *space, const struct table_style *style)
{
	struct table_selection sel = { columns, 3, { 0, 1, 2 }, 3 };
	struct libscols_table *tb = table_new("limits", &sel, style);
	int r = 0;

	if (!tb)
		return EXIT_FAILED;
	for (size_t i = 0; i < LIMITS && r == 0; i++) {
		struct libscols_line *line = scols_table_new_line(tb, NULL);
		uint64_t value;
		char text[32];

		if (!line) {
			r = -ENOMEM;
			break;
		}
		(void)ushm_limit_get(space, limits[i].limit, &value);
		if (limits[i].limit == USHM_SHM_NEXT_ID && value == UINT64_MAX)
			strcpy(text, "-1");
		else
			snprintf(text, sizeof(text), "%" PRIu64, value);
		table_set(line, 0, limits[i].name);
		table_set(line, 1, text);
		table_set(line, 2, limits[i].help);
	}
	if (r == 0)
		r = table_print(&tb, 1, style);
	scols_unref_table(tb);
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

int cmd_limits(int argc, char **argv)
{
	struct table_style style = { 0 };
	const char *dir = NULL;
	const struct tool_option options[] = {
		{ 'd', "dir", .text = &dir },
		{ 'J', "json", .flag = &style.json },
		{ 0 },
	};
	ushm_space *space;
	int r = options_parse(options, help, OPTIONS_WORDS, argc, argv);

	if (r != OPTIONS_GO_ON)
		return r;
	r = optind < argc ? namespace_open(dir, USHM_CREATE, NULL, &space)
			  : namespace_open_existing(dir, &space);
	if (r < 0)
		return EXIT_FAILED;
	r = optind < argc ? change(space, argv + optind, argc - optind)
			  : show(space, &style);
	ushm_close(space);
	return r;
}
