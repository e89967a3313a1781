/* SPDX-License-Identifier: MIT */
/*
 * `ushm mk`: makes a segment, as ipcmk -M does in the kernel.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/size.h"

#define TRIES 16 /* random keys that are taken already */

static void help(void)
{
	fputs("Usage: ushm mk -M SIZE [OPTION...]\n"
	      "\n"
	      "Make a segment and print its id.\n"
	      "\n"
	      "  -M, --shmem SIZE  its size in bytes, or with a unit: K, M, G, KiB, KB ...\n"
	      "  -p, --mode MODE   its permissions in octal, 0644 by default\n"
	      "  -k, --key KEY     its key, 0 for none; a random one by default\n"
	      "  -d, --dir DIR     the namespace in this directory\n"
	      "  -h, --help        show this help\n",
	      stdout);
}

static int random_key(int32_t *ret_key)
{
	int32_t key;

	do {
		if (getrandom(&key, sizeof(key), 0) != sizeof(key))
			return -errno;
	} while (key == IPC_PRIVATE);

	*ret_key = key;
	return 0;
}

static void complain(ushm_space *space, uint64_t size, const int32_t *key,
		     int r)
{
	struct ushm_info info;
	char human[32];

	size_human(size, human, sizeof(human));
	if (r == -EEXIST && key) {
		message_error("key 0x%08x in %s: there is a segment with this "
			      "key",
			      (uint32_t)*key, ushm_dir(space));
		return;
	}

	message_error("cannot make a segment of %s in %s: %s", human,
		      ushm_dir(space), message_errno(r));
	if (ushm_info(space, &info) < 0)
		return;
	if (r == -EINVAL && (size == 0 || size > info.shmmax))
		message_hint("sizes go from 1 byte to %s",
			     size_human(info.shmmax, human, sizeof(human)));
	else if (r == -ENOSPC && info.used_ids >= info.shmmni)
		message_hint(
			"the namespace holds all the %llu segments it can; "
			"remove some with 'ushm rm'",
			(unsigned long long)info.shmmni);
	else if (r == -ENOSPC || r == -ENOMEM)
		message_hint(
			"there is not enough free space in that directory; "
			"name another with --dir or USHM_DIR");
}

static int make(ushm_space *space, uint64_t size, int mode, const int32_t *key,
		int *ret_id)
{
	int32_t random = 0;
	int r = -EEXIST;

	if (key)
		return ushm_get(space, *key, (size_t)size,
				IPC_CREAT | IPC_EXCL | mode, ret_id);

	for (int i = 0; i < TRIES && r == -EEXIST; i++) {
		r = random_key(&random);
		if (r == 0)
			r = ushm_get(space, random, (size_t)size,
				     IPC_CREAT | IPC_EXCL | mode, ret_id);
	}

	return r;
}

int cmd_mk(int argc, char **argv)
{
	static const struct option options[] = {
		{ "shmem", required_argument, NULL, 'M' },
		{ "mode", required_argument, NULL, 'p' },
		{ "key", required_argument, NULL, 'k' },
		{ "dir", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool have_size = false, have_key = false;
	const char *dir = NULL;
	ushm_space *space;
	unsigned long mode = 0644;
	uint64_t size = 0;
	int32_t key = 0;
	int c, id = -1, r;
	char *end;

	while ((c = getopt_long(argc, argv, ":M:p:k:d:h", options, NULL)) != -1)
		switch (c) {
		case 'M':
			r = size_parse(optarg, &size);
			if (r == 0 && size > SIZE_MAX)
				r = -ERANGE;
			if (r < 0) {
				message_error("'%s' is not a size: %s", optarg,
					      message_errno(r));
				return EXIT_USAGE;
			}
			have_size = true;
			break;
		case 'p':
			mode = strtoul(optarg, &end, 8);
			if (end == optarg || *end || mode > 0777) {
				message_error("'%s' is not an octal mode from "
					      "0 to 0777",
					      optarg);
				return EXIT_USAGE;
			}
			break;
		case 'k':
			if (key_parse(optarg, &key) < 0) {
				message_error("'%s' is not a key", optarg);
				return EXIT_USAGE;
			}
			have_key = true;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'h':
			help();
			return EXIT_DONE;
		default:
			message_bad_option(c, argv);
			return EXIT_USAGE;
		}

	if (optind < argc || !have_size) {
		if (optind < argc)
			message_error("'%s' is one argument too many",
				      argv[optind]);
		else
			message_error("give a size with -M");
		message_try_help();
		return EXIT_USAGE;
	}

	if (namespace_open(dir, USHM_CREATE, NULL, &space) < 0)
		return EXIT_FAILED;
	r = make(space, size, (int)mode, have_key ? &key : NULL, &id);
	if (r < 0)
		complain(space, size, have_key ? &key : NULL, r);
	else
		printf("Shared memory id: %d\n", id);
	ushm_close(space);

	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
