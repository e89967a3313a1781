/* SPDX-License-Identifier: MIT */
/*
 * `ushm mk`: makes a segment, as ipcmk -M does in the kernel.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tool/command.h"
#include "tool/message.h"
#include "tool/namespace.h"
#include "tool/options.h"
#include "tool/size.h"

#define TRIES 16 /* random keys that are taken already */

/* What is to be made. */
struct request {
	uint64_t size;
	bool have_size, have_key;
	int mode;
	int32_t key;
};

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

static void complain(ushm_space *space, const struct request *q, int r)
{
	struct ushm_info info;
	char human[32];

	size_human(q->size, human, sizeof(human));
	if (r == -EEXIST && q->have_key) {
		message_error("key 0x%08x in %s: there is a segment with this "
			      "key",
			      (uint32_t)q->key, ushm_dir(space));
		return;
	}

	message_error("cannot make a segment of %s in %s: %s", human,
		      ushm_dir(space), message_errno(r));
	if (ushm_info(space, &info) < 0)
		return;
	if (r == -EINVAL && (q->size == 0 || q->size > info.shmmax))
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

static int make(ushm_space *space, const struct request *q, int *ret_id)
{
	int flags = IPC_CREAT | IPC_EXCL | q->mode;
	int32_t random = 0;
	int r = -EEXIST;

	if (q->have_key)
		return ushm_get(space, q->key, (size_t)q->size, flags, ret_id);

	for (int i = 0; i < TRIES && r == -EEXIST; i++) {
		r = random_key(&random);
		if (r == 0)
			r = ushm_get(space, random, (size_t)q->size, flags,
				     ret_id);
	}

	return r;
}

static int take_size(void *to, const char *text)
{
	struct request *q = to;
	int r = size_parse(text, &q->size);

	if (r == 0 && q->size > SIZE_MAX)
		r = -ERANGE;
	if (r < 0)
		message_error("'%s' is not a size: %s", text, message_errno(r));
	q->have_size = true;
	return r;
}

static int take_mode(void *to, const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (end == text || *end || mode > 0777) {
		message_error("'%s' is not an octal mode from 0 to 0777", text);
		return -EINVAL;
	}
	((struct request *)to)->mode = (int)mode;
	return 0;
}

static int take_key(void *to, const char *text)
{
	struct request *q = to;

	if (key_parse(text, &q->key) < 0) {
		message_error("'%s' is not a key", text);
		return -EINVAL;
	}
	q->have_key = true;
	return 0;
}

int cmd_mk(int argc, char **argv)
{
	struct request q = { .mode = 0644 };
	const char *dir = NULL;
	const struct tool_option options[] = {
		{ 'M', "shmem", .take = take_size, .to = &q },
		{ 'p', "mode", .take = take_mode, .to = &q },
		{ 'k', "key", .take = take_key, .to = &q },
		{ 'd', "dir", .text = &dir },
		{ 0 },
	};
	ushm_space *space;
	int id = -1, r;

	r = options_parse(options, help, OPTIONS_ALONE, argc, argv);
	if (r != OPTIONS_GO_ON)
		return r;
	if (!q.have_size) {
		message_error("give a size with -M");
		message_try_help();
		return EXIT_USAGE;
	}

	if (namespace_open(dir, USHM_CREATE, NULL, &space) < 0)
		return EXIT_FAILED;
	r = make(space, &q, &id);
	if (r < 0)
		complain(space, &q, r);
	else
		printf("Shared memory id: %d\n", id);
	ushm_close(space);

	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
