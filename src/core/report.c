/* SPDX-License-Identifier: MIT */
/* Owns nothing: reads segment by segment, without the lock. */
#include "core/report.h"

#include <string.h>

#include "core/segment.h"

/* As wide as a long of a 64-bit kernel needs, for 32-bit readers too. */
#define SIZE_COLUMN 21

static int write_all(int fd, const char *s, size_t n)
{
	while (n > 0) {
		long done = sys_write(fd, s, n);

		if (done == -EINTR)
			continue;
		if (done < 0)
			return (int)done;
		s += done;
		n -= (size_t)done;
	}
	return 0;
}

static void field(struct text *t, uint64_t value, int width)
{
	text_str(t, " ");
	text_uint(t, value, 10, width, ' ');
}

static void header(struct text *t)
{
	static const struct {
		const char *name;
		int width; /* with the space before it */
	} columns[] = {
		{ "key", 10 },	 { "shmid", 11 }, { "perms", 6 },
		{ "size", 0 },	 { "cpid", 6 },	  { "lpid", 6 },
		{ "nattch", 7 }, { "uid", 6 },	  { "gid", 6 },
		{ "cuid", 6 },	 { "cgid", 6 },	  { "atime", 11 },
		{ "dtime", 11 }, { "ctime", 11 }, { "rss", 0 },
		{ "swap", 0 },
	};

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		int width = columns[i].width ? columns[i].width
					     : SIZE_COLUMN + 1;

		for (int n = (int)strlen(columns[i].name); n < width; n++)
			text_str(t, " ");
		text_str(t, columns[i].name);
	}
	text_str(t, "\n");
}

static void row(struct text *t, const struct layout_segment *s, int id,
		uint64_t resident)
{
	text_int(t, s->key, 10);
	text_str(t, " ");
	text_int(t, id, 10);
	text_str(t, "  ");
	text_uint(t, s->mode, 8, 4, ' ');
	field(t, s->size, SIZE_COLUMN);
	field(t, (uint32_t)s->cpid, 5);
	field(t, (uint32_t)s->lpid, 5);
	text_str(t, " ");
	field(t, s->attaches, 5);
	field(t, s->uid, 5);
	field(t, s->gid, 5);
	field(t, s->cuid, 5);
	field(t, s->cgid, 5);
	field(t, (uint64_t)s->atime, 10);
	field(t, (uint64_t)s->dtime, 10);
	field(t, (uint64_t)s->ctime, 10);
	field(t, resident, SIZE_COLUMN);
	field(t, 0, SIZE_COLUMN);
	text_str(t, "\n");
}

int report_proc(struct space *sp, int fd)
{
	struct layout_segment s;
	uint32_t index = 0;
	char buf[512];
	struct text t;
	int r, id;

	text_init(&t, buf, sizeof(buf));
	header(&t);
	r = write_all(fd, buf, t.used);
	while (r == 0 &&
	       (index = segments_next(&sp->reg, index)) != UINT32_MAX) {
		if (segment_stat_index(sp, index, false, &s, &id) == 0) {
			text_init(&t, buf, sizeof(buf));
			row(&t, &s, id, segment_resident(sp, index, s.seq));
			r = write_all(fd, buf, t.used);
		}
		index++;
	}
	return r;
}
