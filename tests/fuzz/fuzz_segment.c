/* SPDX-License-Identifier: MIT */
/*
 * Anything in the place of segments' files: no call crashes, what shmat()
 * returned can be touched to its end, and only documented errors.
 *
 * An input is a sequence of 8 bytes each: a call, or another kind of file at a
 * segment's path.
 *
 *	what	1 byte: below 128 a change of the file, else a call
 *	which	1 byte: the segment
 *	how	2 bytes
 *	length	4 bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "input.h"
#include "scene.h"
#include "watch.h"

#define MAX_OPS 24

static ushm_space *space;
static void *attached[4];
static bool held;   /* something is attached, or was */
static bool shrunk; /* and its file may be shorter now */

static void expect(const char *what, int r, const char *errors)
{
	char name[16];

	if (r >= 0)
		return;
	snprintf(name, sizeof(name), "%s ", strerrorname_np(-r));
	if (!strstr(errors, name))
		watch_fail(what, name);
}

static void make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", path);
	(void)!bind(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
}

static void make_file(const char *path, mode_t mode, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, mode);

	if (fd < 0)
		return;
	(void)!ftruncate(fd, size);
	close(fd);
}

static void replace(int id, unsigned kind, uint32_t length)
{
	char path[200], other[200];

	snprintf(path, sizeof(path), "%s/seg.%u.%d", scene.dir,
		 (unsigned)geteuid(), id);
	snprintf(other, sizeof(other), "%s/seg.%u.%d", scene.dir,
		 (unsigned)geteuid(), scene.ids[length % scene.nids]);
	if (kind % 11 != 0 && unlink(path) < 0)
		(void)rmdir(path);
	switch (kind % 11) {
	case 0:
		(void)!truncate(path, length % 100000);
		break;
	case 1:
		make_file(path, 0600, length % 100000);
		break;
	case 2: /* sparse, and much too long */
		make_file(path, 0600, (off_t)length << 12);
		break;
	case 3:
		(void)mkfifo(path, 0600);
		break;
	case 4:
		(void)mkdir(path, 0700);
		break;
	case 5:
		(void)!symlink(other, path);
		break;
	case 6:
		(void)!symlink(length & 1 ? path : "/nowhere", path);
		break;
	case 7:
		make_socket(path);
		break;
	case 8:
		make_file(path, 0, 65536);
		break;
	case 9:
		(void)!link(other, path);
		break;
	default: /* nothing */
		break;
	}
	watch.dir_changed = true;
	shrunk |= held;
}

/* All of it is there, or this is SIGBUS. */
static void touch(int id, const void *p)
{
	struct ushm_segment seg;

	if (ushm_stat(space, id, &seg) < 0)
		return;
	for (uint64_t at = 0; at < seg.size; at += 4096)
		(void)*((const volatile char *)p + at);
	(void)*((const volatile char *)p + seg.size - 1);
}

static void call_attach(int id, unsigned how)
{
	static const int flags[] = { 0, SHM_RDONLY, SHM_EXEC, 0 };
	void *p;
	int r = ushm_attach(space, id, NULL, flags[how & 3], &p);

	expect("ushm_attach", r, "EINVAL EACCES EIDRM ENOMEM ");
	if (r < 0)
		return;
	attached[how >> 2 & 3] = p;
	held = true;
	if (!shrunk)
		touch(id, p);
}

static void call(unsigned op, int id, unsigned how, uint32_t length)
{
	struct ushm_segment seg;
	struct ushm_info info;
	int made;

	switch (op % 8) {
	case 0:
	case 1:
		call_attach(id, how);
		break;
	case 2:
		expect("ushm_detach", ushm_detach(space, attached[how & 3]),
		       "EINVAL ");
		break;
	case 3:
		expect("ushm_stat", ushm_stat(space, id, &seg),
		       "EINVAL EACCES ");
		break;
	case 4:
		expect("ushm_remove", ushm_remove(space, id), "EINVAL EPERM ");
		break;
	case 5:
		expect("ushm_info", ushm_info(space, &info), "");
		break;
	case 6: /* the name may be taken by anything */
		expect("ushm_get",
		       ushm_get(space, (key_t)(how & 7), length % 20000,
				IPC_CREAT | 0600, &made),
		       "EINVAL EACCES ENOSPC ENOMEM ");
		break;
	default:
		if (watch_mapped((uintptr_t)attached[how & 3]))
			(void)ushm_munmap(attached[how & 3], 4096);
		attached[how & 3] = NULL;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!scene.file) {
		scene_make();
		watch.dir = scene.dir;
		watch.instead = scene_instead;
	}
	scene_restore(1);
	memset(attached, 0, sizeof(attached));
	held = shrunk = false;
	watch_begin();
	if (ushm_open(scene.dir, 0, NULL, &space, NULL) < 0)
		abort();
	for (unsigned n = 0; n < MAX_OPS && in.left; n++) {
		unsigned what = input_u8(&in), which = input_u8(&in);
		unsigned how = (unsigned)input_take(&in, 2);
		int id = scene.ids[which % scene.nids];
		uint32_t length = input_u32(&in);

		if (what < 128)
			replace(id, what, length);
		else
			call(what, id, how, length);
	}
	scene_close(space);
	watch_end();
	return 0;
}
