/* SPDX-License-Identifier: MIT */
/*
 * `ushm run`: executes a program with the preload library in front.
 *
 * Without --private nothing of the tool is left: the program replaces it.
 * Exit statuses are those of env(1): 125 for a failure of our own, 126 for a
 * program that was found but is not run, 127 for one that was not found.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tool/command.h"
#include "tool/guard.h"
#include "tool/library.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/private.h"
#include "tool/size.h"
#include "tool/target.h"

enum {
	EXIT_OWN_FAILURE = 125,
	EXIT_NOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
};

struct run {
	const char *dir; /* --dir */
	bool private, verbose, allow_native, filemap;
	char **argv;
	struct library library, filemap_library;
	const char *missing; /* one of these, of the program's variant */
	char private_dir[PATH_MAX];
};

static void help(void)
{
	fputs("Usage: ushm run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	      "\n"
	      "Run a program so that shmget, shmat, shmdt and shmctl of it and of its\n"
	      "children work on a namespace of ushm instead of on the kernel's.\n"
	      "\n"
	      "  -d, --dir DIR       use the namespace in this directory\n"
	      "  -p, --private       use a new namespace, which is removed at the end\n"
	      "      --filemap       serve shared mappings of files too, where the kernel\n"
	      "                      refuses them: on some FUSE, virtiofs and 9p mounts\n"
	      "  -v, --verbose       say which library, which directory, how much space;\n"
	      "                      sets USHM_LOG=1\n"
	      "      --allow-native  run the program even if the library cannot be loaded\n"
	      "                      into it (set-user-ID, static, other machine or libc)\n"
	      "  -h, --help          show this help\n"
	      "\n"
	      "Exit status: that of PROGRAM; 125 if ushm itself fails, 126 if PROGRAM is\n"
	      "found but not run, 127 if it is not found.\n",
	      stdout);
}

/* Returns -1 to go on, else the exit status. */
static int parse(struct run *run, int argc, char **argv)
{
	const struct tool_option options[] = {
		{ 'd', "dir", .text = &run->dir },
		{ 'p', "private", .flag = &run->private },
		{ 0, "filemap", .flag = &run->filemap },
		{ 'v', "verbose", .flag = &run->verbose },
		{ 0, "allow-native", .flag = &run->allow_native },
		{ 0 },
	};
	int r = options_parse(options, help, OPTIONS_FIRST, argc, argv);

	if (r != OPTIONS_GO_ON)
		return r == EXIT_USAGE ? EXIT_OWN_FAILURE : r;
	if (run->dir && run->private) {
		message_error("--dir and --private exclude each other");
		return EXIT_OWN_FAILURE;
	}
	if (optind >= argc) {
		message_error("no program was given");
		message_try_help();
		return EXIT_OWN_FAILURE;
	}

	run->argv = argv + optind;
	return -1;
}

/*
 * A library for programs of 'variant'. Returns -1 to go on, else the exit
 * status.
 */
static int find_one(struct run *run, const char *name, const char *variant,
		    struct library *ret)
{
	if (library_find(name, variant, ret) < 0) {
		run->missing = ret->path;
		if (*variant && ret->path[0])
			return EXIT_NOT_RUN;
		message_error("cannot find %s beside this program or in "
			      "%s/ushm",
			      name, USHM_LIBDIR);
		return EXIT_OWN_FAILURE;
	}

	if (library_check_path(ret->path) < 0) {
		message_error(
			"%s: LD_PRELOAD cannot hold a path with a blank, "
			"a colon or a dollar sign; install ushm elsewhere",
			ret->path);
		return EXIT_OWN_FAILURE;
	}

	return -1;
}

static int find_libraries(struct run *run, const char *variant)
{
	int r = find_one(run, LIBRARY_PRELOAD, variant, &run->library);

	if (r >= 0 || !run->filemap)
		return r;
	return find_one(run, LIBRARY_FILEMAP, variant, &run->filemap_library);
}

/* Returns -1 to go on, else the exit status. */
static int judge(struct run *run, bool *ret_preload)
{
	static struct target t;
	int r;

	target_judge(run->argv[0], &t);
	*ret_preload = t.verdict != TARGET_OTHER_LIBC;

	switch (t.verdict) {
	case TARGET_FINE:
		r = find_libraries(run, t.variant);
		if (r != EXIT_NOT_RUN)
			return r;
		if (!run->allow_native) {
			message_error(
				"%s needs %s, which is missing, so it would "
				"use the kernel's System V shared memory. "
				"Use --allow-native to run it anyway.",
				t.path, run->missing);
			return EXIT_NOT_RUN;
		}
		*ret_preload = strcmp(t.variant, "musl") != 0;
		return find_libraries(run, "");
	case TARGET_NATIVE:
	case TARGET_OTHER_LIBC:
		if (run->allow_native)
			return find_libraries(run, "");
		break;
	case TARGET_ABSENT:
	case TARGET_NOT_RUNNABLE:
		break;
	}

	message_error("%s", t.why);
	return t.verdict == TARGET_ABSENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

static void describe(const struct run *run, const char *dir)
{
	char available[32], total[32];
	struct statvfs fs;

	if (run->filemap)
		message_note("library: %s", run->filemap_library.path);
	message_note("library: %s", run->library.path);
	message_note("directory: %s", dir);
	if (statvfs(dir, &fs) < 0)
		return;
	message_note("free space: %s of %s",
		     size_human((uint64_t)fs.f_bavail * fs.f_frsize, available,
				sizeof(available)),
		     size_human((uint64_t)fs.f_blocks * fs.f_frsize, total,
				sizeof(total)));
}

/*
 * Open the namespace once, so that what is wrong with it is said now and in
 * words, and name it to the program by its absolute path.
 */
static int prepare_namespace(struct run *run)
{
	const char *dir = run->private ? run->private_dir : run->dir;
	ushm_space *space;
	int r = 0;

	if (namespace_open(dir, USHM_CREATE, NULL, &space) < 0)
		return -EIO;

	if (dir || getenv("USHM_DIR"))
		r = setenv("USHM_DIR", ushm_dir(space), 1);
	if (run->verbose) {
		describe(run, ushm_dir(space));
		r |= setenv("USHM_LOG", "1", 1);
	}
	ushm_close(space);

	return r < 0 ? -ENOMEM : 0;
}

static int prepare_environment(const struct run *run, bool preload)
{
	int r = 0;

	/* The one put in last is the first to be asked. */
	if (preload)
		r = library_preload(run->library.preload);
	if (preload && r == 0 && run->filemap)
		r = library_preload(run->filemap_library.preload);

	/* UCX patches mmap and shmat in memory, behind the library's back. */
	if (r == 0 && setenv("UCX_MEM_MMAP_HOOK_MODE", "none", 0) < 0)
		r = -ENOMEM;
	if (r < 0)
		message_error("cannot set the environment: %s",
			      message_errno(r));

	return r;
}

static int start(void *arg)
{
	struct run *run = arg;
	int error;

	execvp(run->argv[0], run->argv);

	error = errno;
	message_error("%s: %s", run->argv[0], message_errno(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

int cmd_run(int argc, char **argv)
{
	static struct run run;
	bool preload;
	int r;

	r = parse(&run, argc, argv);
	if (r >= 0)
		return r;
	r = judge(&run, &preload);
	if (r >= 0)
		return r;

	if (run.private) {
		private_sweep(true, NULL, NULL);
		r = private_make(run.private_dir);
		if (r < 0) {
			message_error("cannot make a private directory in "
				      "/dev/shm or /tmp: %s",
				      message_errno(r));
			return EXIT_OWN_FAILURE;
		}
	}

	if (prepare_namespace(&run) < 0 ||
	    prepare_environment(&run, preload) < 0) {
		if (run.private)
			private_remove(run.private_dir);
		return EXIT_OWN_FAILURE;
	}

	return run.private ? guard_run(run.private_dir, start, &run)
			   : start(&run);
}
