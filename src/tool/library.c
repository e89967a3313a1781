/* SPDX-License-Identifier: MIT */
/*
 * Where the preload libraries lie and how they get into LD_PRELOAD.
 *
 * The tool works from a build directory, from an installation and from an
 * installation that was moved elsewhere as a whole, so it starts from its own
 * path. Beside several architectures' libraries it takes the one that is of
 * its own machine; those for other programs have directories beside that one.
 */
#include <dlfcn.h>
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

#define ANY "/any/$LIB/" /* every dynamic linker makes its own of it */

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

static int find_main(const char *name, char ret_path[PATH_MAX])
{
	static const char beside[] = "/../" USHM_LIBDIR_NAME "/ushm";
	static const char *const places[] = {
		"",
		beside,
		"/../lib/ushm",
		"/../lib64/ushm",
		"/../lib/*/ushm",
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
			snprintf(pattern, sizeof(pattern), "%s%s/%s", dir,
				 places[i], name);
			if (take(pattern, ret_path))
				return 0;
		}
	}

	quote(USHM_LIBDIR, dir, sizeof(dir));
	snprintf(pattern, sizeof(pattern), "%s/ushm/%s", dir, name);

	return take(pattern, ret_path) ? 0 : -ENOENT;
}

/* A library that the dynamic linker of this program loads by that name? */
static bool can_load(const char *preload)
{
	void *handle = dlopen(preload, RTLD_LAZY | RTLD_LOCAL);

	if (handle)
		dlclose(handle);

	return handle;
}

int library_find(const char *name, const char *variant, struct library *ret)
{
	char dir[PATH_MAX];
	int n;

	ret->path[0] = '\0';
	if (find_main(name, dir) < 0)
		return -ENOENT;
	*strrchr(dir, '/') = '\0';

	n = snprintf(ret->path, sizeof(ret->path), "%s/%s%s%s", dir, variant,
		     *variant ? "/" : "", name);
	if (n >= (int)sizeof(ret->path) || access(ret->path, R_OK) < 0)
		return -ENOENT;

	n = snprintf(ret->preload, sizeof(ret->preload), "%s" ANY "%s", dir,
		     name);
	if (n >= (int)sizeof(ret->preload) || !can_load(ret->preload))
		memcpy(ret->preload, ret->path, sizeof(ret->path));

	return 0;
}

int library_check_path(const char *path)
{
	/* Blanks and colons separate entries; $ORIGIN and the like expand. */
	return path[strcspn(path, " \t\n:$")] ? -EINVAL : 0;
}

int library_preload(const char *preload)
{
	const char *old = getenv("LD_PRELOAD");
	size_t len = strlen(preload);
	char *value;
	int r = 0;

	if (!old || old[strspn(old, " :")] == '\0')
		return setenv("LD_PRELOAD", preload, 1) < 0 ? -ENOMEM : 0;

	for (const char *at = old; *at; at += strcspn(at, " :")) {
		at += strspn(at, " :");
		if (strcspn(at, " :") == len && strncmp(at, preload, len) == 0)
			return 0;
	}

	if (asprintf(&value, "%s:%s", preload, old) < 0)
		return -ENOMEM;
	if (setenv("LD_PRELOAD", value, 1) < 0)
		r = -ENOMEM;
	free(value);

	return r;
}
