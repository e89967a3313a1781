/* SPDX-License-Identifier: MIT */
/* Owns nothing: a directory is read and written as its caller says. */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

void image_registry(const char *dir, char *ret, size_t room)
{
	snprintf(ret, room, "%s/registry.%u", dir, geteuid());
}

/* --------------------------------------------------------------- reading */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct image_file *)a)->name,
		      ((const struct image_file *)b)->name);
}

static bool is_registry(const char *name)
{
	return strncmp(name, "registry.", 9) == 0 && !strstr(name, ".new-");
}

void image_take_files(struct image *im, const char *dir)
{
	DIR *list = opendir(dir);
	struct dirent *d;
	struct stat st;

	im->directory = list;
	im->nfiles = 0;
	if (!list)
		return;
	while ((d = readdir(list))) {
		struct image_file *f = &im->files[im->nfiles];

		if (strcmp(d->d_name, ".") == 0 ||
		    strcmp(d->d_name, "..") == 0 || is_registry(d->d_name))
			continue;
		must(im->nfiles < IMAGE_FILES, "too many files");
		must(fstatat(dirfd(list), d->d_name, &st,
			     AT_SYMLINK_NOFOLLOW) == 0,
		     d->d_name);
		memset(f, 0, sizeof(*f));
		snprintf(f->name, sizeof(f->name), "%.39s", d->d_name);
		f->size = (uint64_t)st.st_size;
		im->nfiles++;
	}
	closedir(list);
	qsort(im->files, im->nfiles, sizeof(im->files[0]), by_name);
}

void image_take(struct image *im, const char *dir)
{
	char path[100];
	ssize_t n;
	int fd;

	image_take_files(im, dir);
	im->size = 0;
	image_registry(dir, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, im->bytes, sizeof(im->bytes));
	close(fd);
	must(n > 0 && (size_t)n < sizeof(im->bytes), path);
	im->size = (size_t)n;
}

/* ------------------------------------------------------------- comparing */

bool image_same_files(const struct image *a, const struct image *b)
{
	return a->directory == b->directory && a->nfiles == b->nfiles &&
	       memcmp(a->files, b->files, a->nfiles * sizeof(a->files[0])) == 0;
}

bool image_same(const struct image *a, const struct image *b,
		const char **ret_what, size_t *ret_at)
{
	*ret_at = 0;
	*ret_what = "files";
	if (!image_same_files(a, b))
		return false;
	*ret_what = "size of the registry";
	if (a->size != b->size)
		return false;
	*ret_what = "byte of the registry";
	while (*ret_at < a->size && a->bytes[*ret_at] == b->bytes[*ret_at])
		++*ret_at;
	return *ret_at == a->size;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

uint64_t image_hash(const struct image *im)
{
	const uint64_t *words = (const void *)im->bytes;
	uint64_t h = mix(im->directory + 2u * im->child, im->size);

	for (size_t i = 0; i < im->size / 8; i++)
		h = mix(h, words[i]);
	for (unsigned f = 0; f < im->nfiles; f++) {
		h = mix(h, im->files[f].size);
		for (const char *s = im->files[f].name; *s; s++)
			h = mix(h, (unsigned char)*s);
	}
	return h;
}

/* --------------------------------------------------------------- writing */

void image_remove(const char *dir)
{
	DIR *list = opendir(dir);
	struct dirent *d;

	if (!list)
		return;
	while ((d = readdir(list)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			must(unlinkat(dirfd(list), d->d_name, 0) == 0,
			     d->d_name);
	closedir(list);
	must(rmdir(dir) == 0, dir);
}

void image_rewrite(const struct image *im, const char *dir)
{
	char path[100];
	int fd;

	image_registry(dir, path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, im->bytes, im->size) == (ssize_t)im->size,
	     path);
	close(fd);
}

void image_make(const struct image *im, const char *dir)
{
	char path[100];
	int fd;

	image_remove(dir);
	if (!im->directory)
		return;
	must(mkdir(dir, 0700) == 0, dir);
	for (unsigned f = 0; f < im->nfiles; f++) {
		snprintf(path, sizeof(path), "%s/%s", dir, im->files[f].name);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		must(fd >= 0 && ftruncate(fd, (off_t)im->files[f].size) == 0,
		     path);
		close(fd);
	}
	if (im->size)
		image_rewrite(im, dir);
}
