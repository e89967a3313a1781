/* SPDX-License-Identifier: MIT */
/*
 * `ushm gc`: removes what nobody can use any more, from a namespace and of
 * `ushm run --private`. What somebody may still want, `ushm rm` removes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include <ushm.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/options.h"
#include "tool/private.h"
#include "tool/size.h"

struct gc {
	const char *dir;
	unsigned flags; /* USHM_... */
	bool dry_run, quiet, failed;
	unsigned things;
	uint64_t bytes;
};

static void help(void)
{
	fputs("Usage: ushm gc [OPTION...]\n"
	      "\n"
	      "Remove what nobody can use any more: what killed processes have left in the\n"
	      "namespace, files that belong to no segment, abandoned directories of\n"
	      "'ushm run --private'. Segments stay, attached or not: see 'ushm ls' and\n"
	      "'ushm rm'. Without --dir also what killed programs have left of files that\n"
	      "they had mapped: what they stored is written.\n"
	      "\n"
	      "  -N, --dry-run  only say what would be removed\n"
	      "      --forget   also give up what is newer than a file that is not to be found\n"
	      "  -q, --quiet    say nothing but errors\n"
	      "  -d, --dir DIR  the namespace in this directory\n"
	      "  -h, --help     show this help\n",
	      stdout);
}

static void on_finding(void *arg, const struct ushm_finding *f)
{
	struct gc *gc = arg;
	char size[32];

	if (f->fate == USHM_LEFT) {
		gc->failed = true;
		message_error("cannot be removed: %s", f->text);
		return;
	}
	if (f->fate == USHM_NOTED) {
		message_note("%s", f->text);
		return;
	}
	gc->things++;
	gc->bytes += f->bytes;
	if (gc->quiet)
		return;
	printf("%s: %s", gc->dry_run ? "would remove" : "removed", f->text);
	if (f->bytes)
		printf(" (%s)", size_human(f->bytes, size, sizeof(size)));
	putchar('\n');
}

static void on_private(void *arg, const char *path, uint64_t bytes, int r)
{
	struct gc *gc = arg;
	char text[4200];
	struct ushm_finding f = {
		.code = "private",
		.text = text,
		.fate = gc->dry_run ? USHM_FOUND
			: r < 0	    ? USHM_LEFT
				    : USHM_CORRECTED,
		.bytes = bytes,
	};

	snprintf(text, sizeof(text),
		 "%s, of an 'ushm run --private' that was "
		 "killed",
		 path);
	on_finding(gc, &f);
}

static int collect(struct gc *gc)
{
	struct ushm_problem problem = { 0 };
	char size[32];
	int r;

	if (gc->dry_run)
		gc->flags |= USHM_DRY_RUN;
	r = ushm_collect(gc->dir, gc->flags, on_finding, gc, &problem);
	if (r < 0 && r != -ENOENT) { /* where nothing is, nothing is too much */
		gc->failed = true;
		message_error("%s", problem.text);
	}
	private_sweep(!gc->dry_run, on_private, gc);

	if (!gc->quiet && gc->things)
		printf("%s %s\n", gc->dry_run ? "would free" : "freed",
		       size_human(gc->bytes, size, sizeof(size)));
	return gc->failed ? EXIT_FAILED : EXIT_DONE;
}

int cmd_gc(int argc, char **argv)
{
	struct gc gc = { 0 };
	const struct tool_option options[] = {
		{ 'N', "dry-run", .flag = &gc.dry_run },
		{ 0, "forget", .bits = &gc.flags, .bit = USHM_FORGET },
		{ 'q', "quiet", .flag = &gc.quiet },
		{ 'd', "dir", .text = &gc.dir },
		{ 0 },
	};
	int r = options_parse(options, help, OPTIONS_ALONE, argc, argv);

	return r == OPTIONS_GO_ON ? collect(&gc) : r;
}
