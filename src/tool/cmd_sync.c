/* SPDX-License-Identifier: MIT */
/*
 * `ushm sync`: writes the contents of durable segments, and of files that ushm
 * maps, to disk. With --all it belongs into what shuts a system down.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/size.h"

struct sync {
	const char *dir;
	bool all, verbose, failed;
	ushm_space *space; /* or NULL: not opened yet */
};

static void help(void)
{
	fputs("Usage: ushm sync [OPTION...] ID|FILE... | --all\n"
	      "\n"
	      "Write the contents of durable segments to disk, each all or nothing: a reboot\n"
	      "brings back what was written last. Write what programs have stored into the\n"
	      "mapping of a file, and what killed ones have left. A number is a segment's id;\n"
	      "a file of that name is ./NUMBER.\n"
	      "\n"
	      "  -a, --all      all segments of the namespace\n"
	      "  -v, --verbose  say what is written\n"
	      "  -d, --dir DIR  the namespace in this directory\n"
	      "  -h, --help     show this help\n",
	      stdout);
}

static void sync_segment(struct sync *s, int id)
{
	int r = ushm_sync_segment(s->space, id, 0);

	if (r == 0) {
		if (s->verbose)
			printf("segment %d is on disk\n", id);
		return;
	}
	if ((r == -EIDRM || r == -EINVAL) && s->all)
		return; /* removed, just now perhaps: it has nothing to keep */
	s->failed = true;
	if (r == -EOPNOTSUPP)
		message_error("%s: is not a durable namespace",
			      ushm_dir(s->space));
	else
		message_error("segment %d in %s: %s", id, ushm_dir(s->space),
			      r == -EINVAL  ? "there is no such segment"
			      : r == -EIDRM ? "it was removed, and is not kept"
					    : message_errno(r));
}

static void sync_all(struct sync *s)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	int r;

	while ((r = ushm_next(s->space, &cursor, &seg)) > 0)
		sync_segment(s, seg.id);
	if (r < 0) {
		s->failed = true;
		message_error("cannot list the segments of %s: %s",
			      ushm_dir(s->space), message_errno(r));
	}
}

static const char *file_problem(int error)
{
	switch (error) {
	case -EBUSY:
		return "it is mapped by programs with another /dev/shm, or "
		       "a program has locked all of it";
	case -ESTALE:
		return "the journal beside it was written for another file";
	default:
		return message_errno(error);
	}
}

static void sync_file(struct sync *s, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int r = fd < 0 ? -errno : ushm_sync_file(fd);

	if (fd >= 0)
		close(fd);
	if (r < 0) {
		s->failed = true;
		message_error("%s: %s", path, file_problem(r));
	} else if (s->verbose) {
		printf("%s is on disk\n", path);
	}
}

static bool open_once(struct sync *s)
{
	return s->space || namespace_open_existing(s->dir, &s->space) == 0;
}

static void sync_named(struct sync *s, const char *name)
{
	uint64_t id;

	if (number_parse(name, INT32_MAX, &id) < 0)
		sync_file(s, name);
	else if (open_once(s))
		sync_segment(s, (int)id);
	else
		s->failed = true;
}

int cmd_sync(int argc, char **argv)
{
	struct sync s = { 0 };
	const struct tool_option options[] = {
		{ 'a', "all", .flag = &s.all },
		{ 'v', "verbose", .flag = &s.verbose },
		{ 'd', "dir", .text = &s.dir },
		{ 0 },
	};
	int r = options_parse(options, help, OPTIONS_WORDS, argc, argv);

	if (r != OPTIONS_GO_ON)
		return r;
	if (s.all != (optind == argc)) {
		message_error(s.all ? "--all excludes names"
				    : "name segments by their ids, or files; "
				      "or give --all");
		message_try_help();
		return EXIT_USAGE;
	}

	if (s.all && open_once(&s))
		sync_all(&s);
	else if (s.all)
		s.failed = true;
	for (int i = optind; i < argc; i++)
		sync_named(&s, argv[i]);
	if (s.space)
		ushm_close(s.space);
	return s.failed ? EXIT_FAILED : EXIT_DONE;
}
