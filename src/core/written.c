/* SPDX-License-Identifier: MIT */
/*
 * Owns the descriptor by which the kernel tells us what was written.
 *
 * It notes the first write to each page of a registered mapping by itself
 * (userfaultfd with WP_ASYNC), and PAGEMAP_SCAN returns and resets that. It
 * knows the page tables of this process only, and forgets them with it: so it
 * is asked only while nobody else uses an object, and what it has told is
 * compared all the same. Without it, all is: with the same result.
 * Lock: the mapping lock. Crash: the shadow tells the next user.
 */
#include "backing/linger.h"
#include "base/step.h"
#include "core/mapping_parts.h"
#include "core/ranges.h"

/* Of linux/userfaultfd.h and linux/fs.h, which may be older than the kernel. */
#define UFFD_USER_MODE_ONLY 1
#define UFFD_FEATURES	    (1u << 0 | 1u << 12 | 1u << 13 | 1u << 15)
#define UFFD_REGISTER_WP    2

struct uffd_api {
	uint64_t api, features, ioctls;
};

struct uffd_register {
	uint64_t start, length, mode, ioctls;
};

#define UFFDIO_API	0xc018aa3ful
#define UFFDIO_REGISTER 0xc020aa00ul

struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_length, max_pages,
		inverted, mask, anyof, returned;
};

struct scan_region {
	uint64_t start, end, categories;
};

#define PAGEMAP_SCAN	   0xc0606610ul
#define SCAN_WRITE_PROTECT 1
#define SCAN_CHECK_TRACKED 2
#define PAGE_IS_WRITTEN	   2

static int uffd = -1;
static bool unable; /* this kernel does not, or not for us */

int written_descriptor(void)
{
	return uffd;
}

void written_vacate(int fd)
{
	if (fd == uffd)
		uffd = sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
}

/* In a child it would speak of the parent's pages. */
void written_end(void)
{
	if (uffd >= 0)
		(void)sys_close(uffd);
	uffd = -1;
}

static bool is_able(void)
{
	struct uffd_api api = { 0xaa, UFFD_FEATURES, 0 };
	int fd;

	if (unable || uffd >= 0)
		return !unable;
	fd = sys_userfaultfd(O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd >= 0 && sys_ioctl(fd, UFFDIO_API, &api) < 0) {
		(void)sys_close(fd);
		fd = -1;
	}
	if (fd < 0)
		unable = true;
	else
		uffd = linger_raise(fd);
	return !unable;
}

/* ------------------------------------------------------------------- scan */

struct query {
	struct mapping_file *file;
	int pagemap;
	object_part *push; /* or NULL */
};

/* What was written there, which from now on is not. */
static int scan_range(const struct query *q, const struct range *r,
		      uintptr_t from, uintptr_t to)
{
	static struct scan_region found[64];
	struct scan s = { .size = sizeof(s),
			  .flags = SCAN_WRITE_PROTECT | SCAN_CHECK_TRACKED,
			  .start = from,
			  .end = to,
			  .vec = (uintptr_t)found,
			  .vec_length = sizeof(found) / sizeof(*found),
			  .mask = PAGE_IS_WRITTEN,
			  .returned = PAGE_IS_WRITTEN };
	int n, ret = 0;

	while (s.start < to) {
		n = sys_ioctl(q->pagemap, PAGEMAP_SCAN, &s);
		if (n < 0)
			return n;
		step("written: told");
		for (int i = 0; q->push && i < n; i++) {
			uint64_t base = r->offset - r->from;
			int error = q->push(q->file->object,
					    base + found[i].start,
					    base + found[i].end);

			if (error < 0)
				ret = error;
		}
		s.start = s.walk_end;
	}
	return ret;
}

/* Every mapping of those bytes of the file. */
static int scan_all(struct query *q, uint64_t from, uint64_t to)
{
	struct range *r = ranges_after(0);
	int ret = 0, error;

	q->pagemap = sys_openat(AT_FDCWD, "/proc/self/pagemap",
				O_RDONLY | O_CLOEXEC, 0);
	if (q->pagemap < 0)
		return -EPERM;
	for (; r; r = ranges_after(r->to)) {
		uint64_t end = r->offset + (r->to - r->from);
		uint64_t at = r->offset > from ? r->offset : from;

		if (r->file != q->file || !r->write || end <= from ||
		    r->offset >= to)
			continue;
		if (end > to)
			end = to;
		error = scan_range(q, r, r->from + (uintptr_t)(at - r->offset),
				   r->from + (uintptr_t)(end - r->offset));
		if (error < 0)
			ret = error;
	}
	(void)sys_close(q->pagemap);
	return ret;
}

static int protect(void *arg)
{
	struct query *q = arg;
	struct range *r = ranges_after(0);

	q->push = NULL;
	if (!is_able())
		return -ENOSYS;
	for (; r; r = ranges_after(r->to)) {
		struct uffd_register reg = { r->from, r->to - r->from,
					     UFFD_REGISTER_WP, 0 };

		if (r->file == q->file && r->write &&
		    sys_ioctl(uffd, UFFDIO_REGISTER, &reg) < 0)
			return -EPERM;
	}
	return scan_all(q, 0, UINT64_MAX);
}

static int scan(void *arg, uint64_t from, uint64_t to, object_part *push)
{
	struct query *q = arg;

	q->push = push;
	return scan_all(q, from, to);
}

int written_push(struct mapping_file *f, uint64_t from, uint64_t to,
		 bool atomic)
{
	uint64_t least = mapping_setup && mapping_setup->track
				 ? mapping_setup->track
				 : MAPPING_TRACK;
	struct query q = { .file = f };
	struct object_tracker t = { protect, scan, &q };
	bool told = !unable && f->object->size >= least;

	if (atomic)
		return object_commit(f->object, told ? &t : NULL);
	return told ? object_push_written(f->object, from, to, &t)
		    : object_push(f->object, from, to);
}
