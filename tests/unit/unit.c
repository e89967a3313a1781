/* SPDX-License-Identifier: MIT */
#define CHECK_MAIN
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char dir[64];

static void remove_dir(void)
{
	char command[100];

	if (!*dir)
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	CHECK(system(command) == 0);
}

const char *unit_dir(void)
{
	if (!*dir) {
		strcpy(dir, access("/dev/shm", W_OK) == 0
				    ? "/dev/shm/ushm-unit.XXXXXX"
				    : "/tmp/ushm-unit.XXXXXX");
		REQUIRE(mkdtemp(dir));
		atexit(remove_dir);
	}
	return dir;
}

const char *unit_path(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", unit_dir(), name);
	return path;
}
