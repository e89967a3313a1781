/* SPDX-License-Identifier: MIT */
/*
 * `ushm stat`: everything that is known of one segment, and who is attached.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/process.h"
#include "tool/segment.h"
#include "tool/size.h"

enum {
	ATT_PID,
	ATT_USER,
	ATT_MODE,
	ATT_ADDRESS,
	ATT_LENGTH,
	ATT_SINCE,
	ATT_STATE,
	ATT_COMMAND,
	ATT_NCOLUMNS,
};

static const struct table_column columns[ATT_NCOLUMNS] = {
	[ATT_PID] = { "PID", 1, SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, NULL },
	[ATT_USER] = { "USER", 1, 0, SCOLS_JSON_STRING, NULL },
	[ATT_MODE] = { "MODE", 1, 0, SCOLS_JSON_STRING, NULL },
	[ATT_ADDRESS] = { "ADDRESS", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			  NULL },
	[ATT_LENGTH] = { "LENGTH", 1, SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER, NULL },
	[ATT_SINCE] = { "SINCE", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING, NULL },
	[ATT_STATE] = { "STATE", 1, 0, SCOLS_JSON_STRING, NULL },
	[ATT_COMMAND] = { "COMMAND", 0, SCOLS_FL_TRUNC, SCOLS_JSON_STRING,
			  NULL },
};

static void help(void)
{
	fputs("Usage: ushm stat [OPTION...] ID\n"
	      "\n"
	      "Show everything about one segment, and the processes that have it\n"
	      "attached.\n"
	      "\n"
	      "  -d, --dir DIR             the namespace in this directory\n"
	      "      --time-format FORMAT  short, full or iso\n"
	      "  -b, --bytes               sizes in bytes\n"
	      "      --notruncate          do not cut off the commands\n"
	      "  -J, --json                JSON: sizes in bytes, times in UTC\n"
	      "  -h, --help                show this help\n"
	      "\n"
	      "STATE is alive, stopped, zombie, gone, or fork for a child that is just\n"
	      "being made.\n",
	      stdout);
}

static const char *state_of(const struct ushm_attachment *att, int r,
			    const struct process *p)
{
	if (att->pid == 0)
		return "fork";
	if (r == -ESRCH)
		return "gone";
	if (r < 0)
		return NULL;

	/* The pid is another process's by now; both times are rounded. */
	if (p->start > att->since + 2)
		return "gone";

	switch (p->state) {
	case 'Z':
	case 'X':
		return "zombie";
	case 'T':
	case 't':
		return "stopped";
	default:
		return "alive";
	}
}

static int add_attachment(struct libscols_table *tb,
			  const struct table_style *style,
			  const struct ushm_attachment *att)
{
	struct libscols_line *line = scols_table_new_line(tb, NULL);
	struct process p = { 0 };
	char buf[256], *command;
	const char *state;
	int r;

	if (!line)
		return -ENOMEM;

	r = att->pid > 0 ? process_read(att->pid, &p) : -ESRCH;
	state = state_of(att, r, &p);
	if (att->pid > 0)
		table_set(line, ATT_PID,
			  table_number(att->pid, buf, sizeof(buf)));
	if (r == 0)
		table_set(line, ATT_USER,
			  segment_user(p.uid, buf, sizeof(buf)));
	table_set(line, ATT_MODE, att->flags & SHM_RDONLY ? "ro" : "rw");
	snprintf(buf, sizeof(buf), "0x%" PRIx64, att->address);
	table_set(line, ATT_ADDRESS, buf);
	table_set(line, ATT_LENGTH,
		  table_size(att->length, style, buf, sizeof(buf)));
	table_set(line, ATT_SINCE,
		  table_when(att->since, style, buf, sizeof(buf)));
	table_set(line, ATT_STATE, state);
	if (r == 0 && p.start <= att->since + 2) {
		command = process_command(att->pid);
		table_set_foreign(line, ATT_COMMAND, command, style);
		free(command);
	}

	return 0;
}

static void print_process(const char *what, pid_t pid, char *command)
{
	/* Somebody else chose these bytes: none shall reach the terminal as a
	 * control sequence. */
	for (char *c = command; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == '\177')
			*c = '?';

	if (pid == 0)
		printf("  %-12s nobody\n", what);
	else
		printf("  %-12s process %d%s%s\n", what, (int)pid,
		       command ? ": " : "", command ? command : "");
}

static void print_durability(ushm_space *space, int id,
			     const struct table_style *style)
{
	struct ushm_durability d;
	const char *when;
	char a[128];

	if (ushm_durability(space, id, &d) < 0)
		return;
	when = table_when(d.synced, style, a, sizeof(a));
	printf("  %-12s %s%s%s\n", "durable", when ? "last synced " : "",
	       when ? when : "never synced",
	       d.unsynced ? ", attached for writing since"
			  : ", nothing to sync");
}

static void print_words(ushm_space *space, const struct ushm_segment *seg,
			const struct table_style *style)
{
	char a[128], b[128], *command;
	const char *when;

	printf("Segment %d\n", seg->id);
	printf("  %-12s 0x%08x%s\n", "key", (uint32_t)seg->key,
	       seg->key ? "" : " (private, or removed)");
	if (style->bytes)
		printf("  %-12s %" PRIu64 " bytes, %" PRIu64
		       " in memory, %" PRIu64 " swapped out\n",
		       "size", seg->size, seg->rss, seg->swap);
	else
		printf("  %-12s %s (%" PRIu64 " bytes), %s in memory, ", "size",
		       size_human(seg->size, a, sizeof(a)), seg->size,
		       size_human(seg->rss, b, sizeof(b)));
	if (!style->bytes)
		printf("%s swapped out\n", size_human(seg->swap, a, sizeof(a)));
	printf("  %-12s %s (0%03o)\n", "permissions",
	       segment_perms(seg->mode, a, sizeof(a)), seg->mode & 0777);
	printf("  %-12s %s (%u), group %s (%u)\n", "owner",
	       segment_user(seg->uid, a, sizeof(a)), seg->uid,
	       segment_group(seg->gid, b, sizeof(b)), seg->gid);
	printf("  %-12s %s (%u), group %s (%u)\n", "creator",
	       segment_user(seg->cuid, a, sizeof(a)), seg->cuid,
	       segment_group(seg->cgid, b, sizeof(b)), seg->cgid);
	when = segment_status(seg, a, sizeof(a));
	printf("  %-12s %s\n", "status", when ? when : "in service");
	if (seg->mode & SHM_DEST)
		printf("  %-12s removed; its memory is freed with the last detach\n",
		       "");

	command = segment_creator(seg);
	print_process("created by", seg->cpid, command);
	free(command);
	print_process("last used by", seg->lpid, NULL);

	when = table_when(seg->ctime, style, a, sizeof(a));
	printf("  %-12s %s\n", "changed", when ? when : "never");
	when = table_when(seg->atime, style, a, sizeof(a));
	printf("  %-12s %s\n", "last attach", when ? when : "never");
	when = table_when(seg->dtime, style, a, sizeof(a));
	printf("  %-12s %s\n", "last detach", when ? when : "never");
	print_durability(space, seg->id, style);
	printf("  %-12s %" PRIu64 "\n", "attachments", seg->nattch);
}

static int show(ushm_space *space, int id, const struct table_style *style)
{
	struct table_selection seg_sel = { segment_columns, SEGMENT_NCOLUMNS };
	struct table_selection att_sel = { columns, ATT_NCOLUMNS };
	struct libscols_table *tables[2] = { NULL, NULL };
	struct ushm_attachment att;
	struct ushm_segment seg;
	uint32_t cursor = 0;
	int r;

	r = ushm_stat(space, id, &seg);
	if (r < 0) {
		message_error("segment %d in %s: %s", id, ushm_dir(space),
			      r == -EINVAL ? "there is no such segment"
					   : message_errno(r));
		return r;
	}

	for (int i = 0; i < SEGMENT_NCOLUMNS; i++)
		seg_sel.shown[seg_sel.nshown++] = i;
	for (int i = 0; i < ATT_NCOLUMNS; i++)
		att_sel.shown[att_sel.nshown++] = i;

	tables[0] = table_new("segments", &seg_sel, style);
	tables[1] = table_new("attachments", &att_sel, style);
	r = tables[0] && tables[1] ? 0 : -ENOMEM;
	if (r < 0)
		goto out;

	while ((r = ushm_next_attachment(space, id, &cursor, &att)) > 0) {
		r = add_attachment(tables[1], style, &att);
		if (r < 0)
			break;
	}
	if (r == 0 && style->json)
		r = segment_add_line(tables[0], space, &seg_sel, style, &seg);
	if (r < 0) {
		message_error("cannot list who is attached to segment %d: %s",
			      id, message_errno(r));
		goto out;
	}

	if (style->json) {
		r = table_print(tables, 2, style);
		goto out;
	}
	print_words(space, &seg, style);
	if (scols_table_get_nlines(tables[1]) > 0) {
		putchar('\n');
		r = table_print(&tables[1], 1, style);
	}
out:
	scols_unref_table(tables[0]);
	scols_unref_table(tables[1]);
	return r;
}

int cmd_stat(int argc, char **argv)
{
	struct table_style style = { .time = TABLE_TIME_FULL };
	const char *dir = NULL;
	const struct tool_option options[] = {
		{ 'd', "dir", .text = &dir },
		{ 0, "time-format", .take = table_take_time, .to = &style },
		{ 'b', "bytes", .flag = &style.bytes },
		{ 0, "notruncate", .flag = &style.notruncate },
		{ 'J', "json", .flag = &style.json },
		{ 0 },
	};
	ushm_space *space;
	uint64_t id;
	int r = options_parse(options, help, OPTIONS_WORDS, argc, argv);

	if (r != OPTIONS_GO_ON)
		return r;
	if (argc - optind != 1) {
		message_error("give one segment id");
		message_try_help();
		return EXIT_USAGE;
	}
	if (number_parse(argv[optind], INT32_MAX, &id) < 0) {
		message_error("'%s' is not a segment id", argv[optind]);
		return EXIT_USAGE;
	}

	if (namespace_open_existing(dir, &space) < 0)
		return EXIT_FAILED;
	r = show(space, (int)id, &style);
	ushm_close(space);

	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
