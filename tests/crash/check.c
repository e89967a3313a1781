/* SPDX-License-Identifier: MIT */
/* Owns nothing: looks at what a crash has left and its repair has made. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/space.h"
#include "store/verify.h"

static void check_names(const struct check *c, long nsegments)
{
	struct dirent *d;
	long files = 0;
	DIR *list = opendir(c->dir);

	while (list && (d = readdir(list))) {
		if (strncmp(d->d_name, "seg.", 4) == 0)
			files++;
		else if (d->d_name[0] != '.' &&
			 strncmp(d->d_name, "registry.", 9) != 0)
			c->fail("a stranger in the directory", 0, 0);
		else if (strstr(d->d_name, ".new-") && !c->leftover)
			c->fail("a half-made registry is left", 0, 0);
	}
	if (list)
		closedir(list);
	if (files != nsegments)
		c->fail("files in the directory", files, nsegments);
}

void check_directory(const struct check *c, ushm_space *sp)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	char path[600];
	struct stat st;
	long n = 0;

	for (; ushm_next(sp, &cursor, &seg) == 1; n++) {
		snprintf(path, sizeof(path), "%s/seg.%u.%d", c->dir, geteuid(),
			 seg.id);
		if (stat(path, &st) < 0)
			c->fail("a segment has no file", seg.id, errno);
		else if ((uint64_t)st.st_size != ((seg.size + 4095) & ~4095ul))
			c->fail("a segment's file has another size",
				(long)st.st_size, (long)seg.size);
	}
	check_names(c, n);
}

static void on_finding(void *arg, const struct verify_finding *finding)
{
	const struct check *c = arg;

	c->fail(finding->text, 0, 0);
}

void check_registry(const struct check *c, ushm_space *sp)
{
	verify_registry(&((struct space *)sp)->reg, on_finding,
			(void *)(uintptr_t)c);
}

/* Whoever takes it finds nothing of an earlier owner in it. */
static bool is_clean(const struct layout_proc *p)
{
	static const unsigned char none[LIFE_BYTES];

	return memcmp(p->life, none, sizeof(none)) == 0 && !p->attaches &&
	       !p->first_attach && !p->exit_time;
}

void check_settled(const struct check *c, ushm_space *sp, unsigned living)
{
	const struct space *space = (const struct space *)sp;
	const struct layout_header *h = space->reg.h;
	unsigned others = 0;

	if (h->lock)
		c->fail("somebody holds the lock", h->lock, 0);
	if (h->unsettled)
		c->fail("segments are half made or half gone", h->unsettled, 0);
	for (uint32_t i = 0; i < h->procs.used; i++) {
		const struct layout_proc *p = &space->reg.procs[i];

		if (claim_state(p->claim) != PROC_FREE)
			others += i + 1 != space->me;
		else if (!is_clean(p))
			c->fail("a free process slot is not clean", i, 0);
	}
	if (others != living)
		c->fail("process slots of others", others, living);
}

void check_zeroed(const struct check *c, ushm_space *sp, int id, size_t size)
{
	unsigned char *p;
	void *addr;

	if (ushm_attach(sp, id, NULL, 0, &addr) < 0) {
		c->fail("cannot be attached", id, 0);
		return;
	}
	p = addr;
	for (size_t i = 0; i < size; i++) {
		if (p[i]) {
			c->fail("is not zero-filled", (long)i, p[i]);
			break;
		}
	}
	ushm_detach(sp, addr);
}
