/* SPDX-License-Identifier: MIT */
/*
 * Any text in the files of /proc: stat and maps of other processes, and the
 * maps of a child that no fork handler saw, which records what it finds.
 *
 * An input is a byte that says which, and the text; "@" in it stands for the
 * namespace's directory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/procfs.h"
#include "input.h"
#include "scene.h"
#include "watch.h"

#define MAX_TEXT (1 << 20)

static char path[96]; /* of the text, below the directory */
static int file;
static unsigned lines;

static const char *instead(const char *name)
{
	const char *base = strrchr(name, '/');

	if (!base || (strcmp(base, "/stat") != 0 && strcmp(base, "/maps") != 0))
		return NULL;
	return path;
}

static void fill(const struct input *in)
{
	static char text[MAX_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < in->left && n < sizeof(text) - 100; i++) {
		if (in->at[i] == '@') {
			strcpy(text + n, scene.dir);
			n += strlen(scene.dir);
		} else {
			text[n++] = (char)in->at[i];
		}
	}
	if (pwrite(file, text, n, 0) != (ssize_t)n ||
	    ftruncate(file, (off_t)n) < 0)
		abort();
}

static int each_line(void *arg, const char *line, const char *end)
{
	(void)arg;
	for (const char *p = line; p < end; p++)
		if (*p == '\n')
			watch_fail("calls two lines one", "");
	lines++;
	return 0;
}

/* As a child of raw clone(2), whose page of marks is wiped. */
static void arrive(void)
{
	ushm_space *space;
	struct ushm_segment seg;
	void *p;

	if (ushm_open(scene.dir, 0, NULL, &space, NULL) < 0)
		abort();
	if (ushm_attach(space, scene.ids[0], NULL, 0, &p) < 0)
		watch_fail("cannot attach", "");
	*((struct space *)space)->here = 0;
	(void)ushm_stat(space, scene.ids[0], &seg);
	(void)ushm_detach(space, p);
	scene_close(space);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned which = input_u8(&in);
	struct procfs_task task;

	if (!scene.file) {
		scene_make();
		watch.dir = scene.dir;
		watch.instead = instead;
		snprintf(path, sizeof(path), "%s/.text", scene.dir);
		file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (file < 0)
			abort();
	}
	fill(&in);
	scene_restore(1);
	watch_begin();
	switch (which % 3) {
	case 0:
		(void)procfs_task(1, 0, &task);
		break;
	case 1:
		lines = 0;
		(void)procfs_each_map(1, 0, each_line, NULL);
		if (lines > size)
			watch_fail("sees too many lines", "");
		break;
	default:
		arrive();
		break;
	}
	watch_end();
	return 0;
}
