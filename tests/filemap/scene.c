/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filemap/scene.h"

#undef scene_make
#undef scene_join
#undef scene_mapped
#undef scene_read
#undef scene_stored
#undef scene_check

static void place(char *buf, const char *variable, const char *name)
{
	const char *dir = getenv(variable);

	MUST(dir != NULL);
	MUST(snprintf(buf, PATH_MAX, "%s/%s", dir, name) < PATH_MAX);
}

bool scene_is_filtered(void)
{
	return getenv("FILEMAP_FILTER");
}

void scene_need_no_filter(void)
{
	if (scene_is_filtered())
		SKIP("a filter refuses, not the file system");
}

bool scene_server_locks(void)
{
	return getenv("FILEMAP_SERVER_LOCKS");
}

static void map(struct scene *s)
{
	s->map = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	MUST(s->map != MAP_FAILED);
}

void scene_make(struct scene *s, const char *name, size_t size)
{
	memset(s, 0, sizeof(*s));
	place(s->path, "FILEMAP_DIR", name);
	(void)unlink(s->path);
	s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	MUST(s->fd >= 0);

	for (size_t i = 0; i < size; i++)
		s->want[i] = (char)('a' + i % 23);
	s->size = size;
	MUST(pwrite(s->fd, s->want, size, 0) == (ssize_t)size);
	map(s);
}

void scene_join(struct scene *s)
{
	s->fd = open(s->path, O_RDWR | O_CLOEXEC);
	MUST(s->fd >= 0);
	map(s);
}

void scene_store(struct scene *s, size_t at, size_t n, int byte)
{
	memset(s->map + at, byte, n);
	memset(s->want + at, byte, n);
}

void scene_expect(struct scene *s, size_t at, size_t n, int byte)
{
	memset(s->want + at, byte, n);
	if (at + n > s->size)
		s->size = at + n;
}

void scene_resize(struct scene *s, size_t size)
{
	if (size < s->size)
		memset(s->want + size, 0, ROOM - size);
	s->size = size;
}

static bool same(const char *got, const char *want, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (got[i] != want[i]) {
			check_fail(NULL, 0,
				   "%s: byte %zu of %zu is 0x%02x, not 0x%02x",
				   what, i, n, (unsigned char)got[i],
				   (unsigned char)want[i]);
			return false;
		}
	return true;
}

void scene_mapped(struct scene *s)
{
	(void)same(s->map, s->want, s->size, "mapping");
}

static void file_holds(struct scene *s, const char *path)
{
	static char got[ROOM + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t r;

	MUST(fd >= 0);
	while ((r = pread(fd, got + n, sizeof(got) - n, (off_t)n)) > 0)
		n += (size_t)r;
	close(fd);
	if (n != s->size)
		check_fail(NULL, 0, "the file has %zu bytes, not %zu", n,
			   s->size);
	else
		(void)same(got, s->want, n, "file");
}

void scene_read(struct scene *s)
{
	file_holds(s, s->path);
}

void scene_stored(struct scene *s)
{
	char path[PATH_MAX];

	place(path, "FILEMAP_BACKING", strrchr(s->path, '/') + 1);
	file_holds(s, path);
}

void scene_check(struct scene *s)
{
	char path[PATH_MAX];
	int fd;

	scene_mapped(s);
	scene_read(s);

	place(path, "FILEMAP_EXPECT", strrchr(s->path, '/') + 1);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	MUST(fd >= 0);
	MUST(write(fd, s->want, s->size) == (ssize_t)s->size);
	close(fd);
}

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

bool scene_faults(const char *p)
{
	struct sigaction now = { .sa_handler = on_fault }, before;
	volatile bool faults = true;

	sigaction(SIGBUS, &now, &before);
	if (sigsetjmp(fault, 1) == 0) {
		(void)*(const volatile char *)p;
		faults = false;
	}
	sigaction(SIGBUS, &before, NULL);
	return faults;
}
