/* SPDX-License-Identifier: MIT */
/*
 * Any text written to /proc/sys/kernel/shm*: no value but one that the kernel
 * would take, as read by strtoull(3).
 *
 * An input is a byte that says which limit and how it is opened, and the text.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "edge/place.h"
#include "edge/procfile.h"
#include "input.h"
#include "scene.h"
#include "watch.h"

static const struct {
	const char *path;
	enum limit limit;
	uint64_t max;
} files[] = {
	{ "/proc/sys/kernel/shmmax", LIMIT_SHMMAX, UINT64_MAX },
	{ "/proc/sys/kernel/shmall", LIMIT_SHMALL, UINT64_MAX },
	{ "/proc/sys/kernel/shmmni", LIMIT_SHMMNI, SCENE_SEGMENTS },
	{ "/proc/sys/kernel/shm_next_id", LIMIT_NEXT_ID, INT32_MAX },
	{ "/proc/sys/kernel/shm_rmid_forced", LIMIT_RMID_FORCED, 1 },
};

/* What is to come of it. */
static uint64_t meaning(const char *text, uint64_t max, uint64_t before)
{
	uint64_t value;
	char *end;

	text += strspn(text, " \t\n");
	if (!isdigit((unsigned char)*text))
		return before;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || (*end && !strchr(" \t\n", *end)) || value > max)
		return before;
	return value;
}

static void check(unsigned which, int flags, const uint8_t *data, size_t size)
{
	uint64_t before, after;
	char text[32] = "";
	struct space *sp;
	int fd;

	if (place_default(&sp) < 0)
		abort();
	before = limits_get(sp, files[which].limit);
	fd = procfile_open(procfile_find(AT_FDCWD, files[which].path), flags);
	if (fd < 0)
		watch_fail("does not open a limit", files[which].path);
	(void)!write(fd, data, size);

	/* What is in the file now; no number is longer. */
	if (flags == O_RDWR)
		(void)!pread(fd, text, sizeof(text) - 1, 0);
	else
		memcpy(text, data,
		       size < sizeof(text) - 1 ? size : sizeof(text) - 1);
	close(fd);
	procfile_settle();
	after = limits_get(sp, files[which].limit);
	if (after != meaning(text, files[which].max, before))
		watch_fail("takes another value", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned how = input_u8(&in);

	if (geteuid() != 0)
		return 0; /* may not write */
	if (!scene.file) {
		scene_make();
		watch.dir = scene.dir;
		watch.keep = true;
		setenv("USHM_DIR", scene.dir, 1);
	}
	scene_restore(0);
	watch_begin();
	check(how % 5, how & 128 ? O_RDWR : O_WRONLY, in.at, in.left);
	watch_end();
	return 0;
}
