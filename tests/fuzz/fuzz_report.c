/* SPDX-License-Identifier: MIT */
/*
 * Any values in segments: each line of /proc/sysvipc/shm has the kernel's
 * format (ipc/shm.c), and says what ushm_next() says.
 *
 * An input is up to eight segment records, 128 bytes each.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "scene.h"
#include "watch.h"

#define MAX_TEXT 16384

static ushm_space *space;

/* The input's values into the segments of the image. */
static void fill(struct input *in)
{
	const struct layout_header *h = (const void *)scene.file;
	struct layout_segment *all = (void *)(scene.file + h->segments.offset);

	for (unsigned i = 0; i < scene.nids && in->left; i++) {
		struct layout_segment *s = &all[scene.ids[i] & 32767];
		struct layout_segment before = *s;
		size_t n = in->left < sizeof(*s) ? in->left : sizeof(*s);

		memcpy(s, in->at, n);
		in->at += n;
		in->left -= n;

		/* What makes it a segment at all. */
		s->guard = before.guard & ~1u;
		s->state = SEG_LIVE;
		s->first_attach = before.first_attach;
	}
}

/* The kernel's own words, with what is read out of the line. */
static void check_line(const char *line, const struct ushm_segment *seg)
{
	char again[512];
	int key, id;
	unsigned mode, cpid, lpid, uid, gid, cuid, cgid;
	uint64_t size, nattch, atime, dtime, ctime, rss, swap;

	if (sscanf(line,
		   "%d %d %o %" SCNu64 " %u %u %" SCNu64 " %u %u %u %u %" SCNu64
		   " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &key, &id, &mode, &size, &cpid, &lpid, &nattch, &uid, &gid,
		   &cuid, &cgid, &atime, &dtime, &ctime, &rss, &swap) != 16)
		watch_fail("writes a line that cannot be read", line);
	snprintf(again, sizeof(again),
		 "%10d %10d  %4o %21" PRIu64 " %5u %5u  %5" PRIu64
		 " %5u %5u %5u %5u %10" PRIu64 " %10" PRIu64 " %10" PRIu64
		 " %21" PRIu64 " %21" PRIu64,
		 key, id, mode, size, cpid, lpid, nattch, uid, gid, cuid, cgid,
		 atime, dtime, ctime, rss, swap);
	if (strcmp(line, again) != 0)
		watch_fail("writes a line in another format", line);
	if (key != seg->key || id != seg->id || mode != seg->mode ||
	    size != seg->size || cpid != (unsigned)seg->cpid ||
	    lpid != (unsigned)seg->lpid || nattch != seg->nattch ||
	    uid != seg->uid || gid != seg->gid || cuid != seg->cuid ||
	    cgid != seg->cgid || atime != (uint64_t)seg->atime ||
	    dtime != (uint64_t)seg->dtime || ctime != (uint64_t)seg->ctime ||
	    rss != seg->rss || swap != 0)
		watch_fail("writes other values than ushm_next()", line);
}

static void check_text(char *text)
{
	static const char header[] =
		"       key      shmid perms                  size  cpid  lpid "
		"nattch   uid   gid  cuid  cgid      atime      dtime      "
		"ctime                   rss                  swap";
	char *line = strsep(&text, "\n");
	struct ushm_segment seg;
	uint32_t cursor = 0;

	if (strcmp(line, header) != 0)
		watch_fail("writes another header", line);
	while (ushm_next(space, &cursor, &seg) == 1) {
		line = strsep(&text, "\n");
		if (!line || !text)
			watch_fail("leaves out a line", "");
		check_line(line, &seg);
	}
	if (!text || *text)
		watch_fail("writes more lines", text ? text : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[MAX_TEXT];
	static int file;
	struct input in = { data, size };
	ssize_t n;

	if (!scene.file) {
		scene_make();
		watch.dir = scene.dir;
		file = memfd_create("text", MFD_CLOEXEC);
	}
	scene_restore(1);
	fill(&in);
	watch_begin();
	if (ushm_open(scene.dir, 0, NULL, &space, NULL) < 0)
		abort();
	/* The first call sweeps the dead, which changes some of them. */
	(void)ushm_set(space, -1, 0, 0, 0);
	(void)ushm_set(space, 0, 0, 0, 0);
	if (ftruncate(file, 0) < 0 || lseek(file, 0, SEEK_SET) != 0 ||
	    ushm_write_proc(space, file) < 0)
		abort();
	n = pread(file, text, sizeof(text) - 1, 0);
	if (n < 0)
		abort();
	text[n] = '\0';
	check_text(text);
	scene_close(space);
	watch_end();
	return 0;
}
