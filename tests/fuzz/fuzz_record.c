/* SPDX-License-Identifier: MIT */
/*
 * Any text in the record of a private directory: it is read as a whole, or
 * refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "tool/private.h"
#include "tool/process.h"

static char dir[64], path[96];
static int file;

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "%s/ushm-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/.private", dir);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0)
		exit(1);
}

static void remove_dir(void)
{
	unlink(path);
	rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct private_record rec = { .pidns = 7 };
	int r;

	if (!*dir) {
		make_dir();
		(void)atexit(remove_dir);
	}
	if (pwrite(file, data, size, 0) != (ssize_t)size ||
	    ftruncate(file, (off_t)size) < 0)
		abort();
	r = private_read(dir, &rec);
	if (r != 0 && (r != -EPROTO || rec.pidns != 7))
		abort();
	if (r == 0 && rec.holder[PRIVATE_LAUNCHER].pid <= 0)
		abort();
	for (int i = 0; r == 0 && i < PRIVATE_ROLES; i++)
		(void)process_alive(rec.holder[i].pid, rec.holder[i].start);
	return 0;
}
