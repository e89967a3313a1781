/* SPDX-License-Identifier: MIT */
/*
 * Any text in $USHM_DIR: a directory is made or refused, and what is wrong
 * with it is said in one piece of text that is no longer than its room.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/place.h"
#include "input.h"
#include "scene.h"
#include "watch.h"

static char place[96]; /* what it may make lies here */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

static void clean(void)
{
	(void)mkdir(place, 0700);
	if (nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct registry_shape shape = { 1, 1, 1 };
	static char text[6000];
	static int home; /* libFuzzer's paths may be relative */
	struct ushm_problem problem = { 0 };
	size_t n = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
	struct space *sp;
	int r;

	if (!scene.file) {
		scene_make();
		watch.dir = scene.dir;
		watch.deny = true; /* anything else is not permitted */
		snprintf(place, sizeof(place), "%s/.place", scene.dir);
		clean();
		home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	memcpy(text, data, n);
	text[n] = '\0';
	setenv("USHM_DIR", text, 1);
	if (chdir(place) < 0)
		abort();
	watch_begin();
	r = place_open(NULL, true, &shape, &sp, &problem);
	if (r == 0)
		scene_close((ushm_space *)sp);
	else if (problem.error != -r || !problem.text[0] ||
		 !memchr(problem.text, 0, sizeof(problem.text)))
		watch_fail("does not say what is wrong", text);
	watch_end();
	if (fchdir(home) < 0)
		abort();
	if (watch.dir_changed)
		clean();
	return 0;
}
