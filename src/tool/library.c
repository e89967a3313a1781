/* SPDX-License-Identifier: MIT */
/*
 * Where the preload library lies and how it gets into LD_PRELOAD.
 *
 * The tool works from a build directory, from an installation and from an
 * installation that was moved elsewhere as a whole, so it starts from its own
 * path. Beside several architectures' libraries it takes the one that is of
 * its own machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/elf.h"
#include "tool/library.h"

#define NAME "libushm-preload.so"

static bool is_library(const char *path)
{
	struct elf_image im, self;
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	r = elf_read(fd, &im);
	close(fd);

	return r == 0 && elf_read_self(&self) == 0 &&
	       (im.kind == ELF_KIND_STATIC || im.kind == ELF_KIND_DYNAMIC) &&
	       elf_same_machine(&im, &self);
}

/* The first match of a glob(7) pattern that is a library for us. */
static bool take(const char *pattern, char ret_path[PATH_MAX])
{
	bool found = false;
	glob_t g;

	if (glob(pattern, 0, NULL, &g) != 0)
		return false;
	for (size_t i = 0; i < g.gl_pathc && !found; i++)
		found = is_library(g.gl_pathv[i]) &&
			realpath(g.gl_pathv[i], ret_path);
	globfree(&g);

	return found;
}

/* A directory's name may hold what glob(7) takes for a pattern. */
static void quote(const char *text, char *buf, size_t len)
{
	size_t n = 0;

	for (; *text && n + 2 < len; text++) {
		if (strchr("*?[]\\", *text))
			buf[n++] = '\\';
		buf[n++] = *text;
	}
	buf[n] = '\0';
}

int library_find(char ret_path[PATH_MAX])
{
	static const char *const places[] = {
		"/" NAME,
		"/../" USHM_LIBDIR_NAME "/ushm/" NAME,
		"/../lib/ushm/" NAME,
		"/../lib64/ushm/" NAME,
		"/../lib/*/ushm/" NAME,
	};
	char self[PATH_MAX], dir[2 * PATH_MAX], pattern[2 * PATH_MAX + 128];
	ssize_t n;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		*strrchr(self, '/') = '\0';
		quote(self, dir, sizeof(dir));

		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]);
		     i++) {
			snprintf(pattern, sizeof(pattern), "%s%s", dir,
				 places[i]);
			if (take(pattern, ret_path))
				return 0;
		}
	}

	quote(USHM_LIBDIR, dir, sizeof(dir));
	snprintf(pattern, sizeof(pattern), "%s/ushm/%s", dir, NAME);

	return take(pattern, ret_path) ? 0 : -ENOENT;
}

int library_check_path(const char *path)
{
	/* Blanks and colons separate entries; $ORIGIN and the like expand. */
	return path[strcspn(path, " \t\n:$")] ? -EINVAL : 0;
}

int library_preload(const char *path)
{
	const char *old = getenv("LD_PRELOAD");
	size_t len = strlen(path);
	char *value;
	int r = 0;

	if (!old || old[strspn(old, " :")] == '\0')
		return setenv("LD_PRELOAD", path, 1) < 0 ? -ENOMEM : 0;

	for (const char *at = old; *at; at += strcspn(at, " :")) {
		at += strspn(at, " :");
		if (strcspn(at, " :") == len && strncmp(at, path, len) == 0)
			return 0;
	}

	if (asprintf(&value, "%s:%s", path, old) < 0)
		return -ENOMEM;
	if (setenv("LD_PRELOAD", value, 1) < 0)
		r = -ENOMEM;
	free(value);

	return r;
}
