/* SPDX-License-Identifier: MIT */
/*
 * `ushm rm`: removes segments, as ipcrm -m and -M do in the kernel, and POSIX
 * shared memory objects, as rm does in /dev/shm.
 *
 * What is named goes, attached or not, as shmctl(IPC_RMID) has it. With --all
 * nothing was named, so what somebody is attached to stays unless --force.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/posix.h"
#include "tool/size.h"

struct rm {
	const char *dir;
	bool all, force, verbose, dry_run;
	bool failed;
	unsigned named;
	void (*remove)(struct rm *, const char *);
	ushm_space *space;
};

static void help(void)
{
	fputs("Usage: ushm rm [OPTION...] -m ID... | -M KEY... | --posix NAME... | --all\n"
	      "\n"
	      "Remove segments, or what shm_open() made. A segment that is attached somewhere\n"
	      "loses its key now and its memory with the last detach.\n"
	      "\n"
	      "  -m, --shmem-id ID...    the segments with these ids\n"
	      "  -M, --shmem-key KEY...  the segments with these keys (12, 0xc, 014)\n"
	      "      --posix NAME...     the POSIX shared memory objects of these names\n"
	      "  -a, --all               all segments that nobody is attached to\n"
	      "  -f, --force             with --all: also those that are attached\n"
	      "  -N, --dry-run           only say what would be removed\n"
	      "  -v, --verbose           say what is removed\n"
	      "  -d, --dir DIR           the namespace in this directory\n"
	      "  -h, --help              show this help\n",
	      stdout);
}

static void remove_id(struct rm *rm, int id)
{
	int r = 0;

	if (rm->dry_run) {
		printf("would remove shared memory segment id '%d'\n", id);
		return;
	}
	if (rm->verbose)
		printf("removing shared memory segment id '%d'\n", id);

	r = ushm_remove(rm->space, id);
	if (r == 0)
		return;

	rm->failed = true;
	message_error("segment %d in %s: %s", id, ushm_dir(rm->space),
		      r == -EINVAL ? "there is no such segment"
				   : message_errno(r));
}

static void remove_by_id(struct rm *rm, const char *text)
{
	struct ushm_segment seg;
	uint64_t id;

	if (number_parse(text, INT32_MAX, &id) < 0) {
		rm->failed = true;
		message_error("'%s' is not a segment id", text);
		return;
	}
	if (rm->dry_run && ushm_stat(rm->space, (int)id, &seg) == -EINVAL) {
		rm->failed = true;
		message_error("segment %d in %s: there is no such segment",
			      (int)id, ushm_dir(rm->space));
		return;
	}

	remove_id(rm, (int)id);
}

static void remove_by_key(struct rm *rm, const char *text)
{
	int32_t key;
	int id, r;

	if (key_parse(text, &key) < 0 || key == IPC_PRIVATE) {
		rm->failed = true;
		message_error("'%s' is not a key that a segment can be found "
			      "by",
			      text);
		return;
	}

	r = ushm_get(rm->space, key, 0, 0, &id);
	if (r < 0) {
		rm->failed = true;
		message_error("key %s in %s: %s", text, ushm_dir(rm->space),
			      r == -ENOENT ? "there is no segment with this key"
					   : message_errno(r));
		return;
	}

	remove_id(rm, id);
}

static void remove_posix(struct rm *rm, const char *name)
{
	int r;

	if (rm->verbose && !rm->dry_run)
		printf("removing POSIX shared memory object '%s'\n", name);
	r = rm->dry_run ? posix_find(rm->space, name)
			: posix_remove(rm->space, name);
	if (r == 0) {
		if (rm->dry_run)
			printf("would remove POSIX shared memory object '%s'\n",
			       name);
		return;
	}
	rm->failed = true;
	if (r == -EINVAL)
		message_error("'%s' is not the name of an object", name);
	else
		message_error("object '%s' in %s: %s", name,
			      ushm_dir(rm->space),
			      r == -ENOENT ? "there is no such object"
					   : message_errno(r));
}

static void remove_all(struct rm *rm)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	unsigned kept = 0;
	int r;

	while ((r = ushm_next(rm->space, &cursor, &seg)) > 0) {
		if (seg.mode & SHM_DEST)
			continue;
		if (seg.nattch && !rm->force) {
			kept++;
			if (rm->verbose || rm->dry_run)
				printf("keeping shared memory segment id '%d': "
				       "%" PRIu64 " attached\n",
				       seg.id, seg.nattch);
			continue;
		}
		remove_id(rm, seg.id);
	}

	if (r < 0) {
		rm->failed = true;
		message_error("cannot list the segments of %s: %s",
			      ushm_dir(rm->space), message_errno(r));
	}
	if (kept && rm->verbose)
		message_hint("--force removes attached segments as well");
}

/*
 * What is named. A word without an option belongs to the -m, -M or --posix
 * before it. In the first round through the arguments the namespace is not open
 * yet, and what is named is counted.
 */
static int take_word(void *to, const char *text)
{
	struct rm *rm = to;

	rm->named++;
	if (rm->space)
		rm->remove(rm, text);
	return 0;
}

static int take_id(void *to, const char *text)
{
	((struct rm *)to)->remove = remove_by_id;
	return take_word(to, text);
}

static int take_key(void *to, const char *text)
{
	((struct rm *)to)->remove = remove_by_key;
	return take_word(to, text);
}

static int take_posix(void *to, const char *text)
{
	((struct rm *)to)->remove = remove_posix;
	return take_word(to, text);
}

static int each_argument(struct rm *rm, int argc, char **argv)
{
	const struct tool_option options[] = {
		{ OPTION_WORD, .take = take_word, .to = rm },
		{ 'm', "shmem-id", .take = take_id, .to = rm },
		{ 'M', "shmem-key", .take = take_key, .to = rm },
		{ 0, "posix", .take = take_posix, .to = rm },
		{ 'a', "all", .flag = &rm->all },
		{ 'f', "force", .flag = &rm->force },
		{ 'N', "dry-run", .flag = &rm->dry_run },
		{ 'v', "verbose", .flag = &rm->verbose },
		{ 'd', "dir", .text = &rm->dir },
		{ 0 },
	};
	int r;

	rm->remove = remove_by_id;
	r = options_parse(options, help, OPTIONS_WORDS, argc, argv);
	for (int i = optind; r == OPTIONS_GO_ON && i < argc; i++)
		(void)take_word(rm, argv[i]); /* after -- */
	return r;
}

int cmd_rm(int argc, char **argv)
{
	struct rm rm = { 0 };
	int r;

	r = each_argument(&rm, argc, argv);
	if (r != OPTIONS_GO_ON)
		return r;
	if (!rm.named == !rm.all) {
		message_error(rm.named ? "--all and what is named exclude each "
					 "other"
				       : "name segments with -m or -M, objects "
					 "with --posix, or give --all");
		message_try_help();
		return EXIT_USAGE;
	}
	if (rm.force && !rm.all) {
		message_error(
			"--force goes with --all only; named segments are "
			"removed in any case");
		return EXIT_USAGE;
	}

	if (rm.all) {
		r = namespace_open(rm.dir, 0, NULL, &rm.space);
		if (r == -ENOENT)
			return EXIT_DONE;
	} else {
		r = namespace_open_existing(rm.dir, &rm.space);
	}
	if (r < 0)
		return EXIT_FAILED;

	if (rm.all)
		remove_all(&rm);
	else
		each_argument(&rm, argc, argv);
	ushm_close(rm.space);

	return rm.failed ? EXIT_FAILED : EXIT_DONE;
}
