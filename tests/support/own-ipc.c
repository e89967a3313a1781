/* SPDX-License-Identifier: MIT */
/*
 * own-ipc - run a command in an IPC namespace of its own.
 *
 * There it finds no segment of anybody else and the default limits. Whoever is
 * not root gets there through a user namespace in which he is still himself.
 * Exits 77 when the machine does not allow either.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int through_user_namespace(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];
	int r;

	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC) < 0)
		return -errno;

	r = write_file("/proc/self/setgroups", "deny");
	if (r < 0)
		return r;

	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	r = write_file("/proc/self/uid_map", map);
	if (r < 0)
		return r;

	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return write_file("/proc/self/gid_map", map);
}

int main(int argc, char **argv)
{
	int r = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: own-ipc COMMAND...\n");
		return 2;
	}

	if (unshare(CLONE_NEWIPC) < 0)
		r = errno == EPERM ? through_user_namespace() : -errno;
	if (r < 0) {
		fprintf(stderr, "own-ipc: no IPC namespace to be had: %s\n",
			strerror(-r));
		return 77;
	}

	execvp(argv[1], argv + 1);
	fprintf(stderr, "own-ipc: %s: %s\n", argv[1], strerror(errno));
	return 127;
}
