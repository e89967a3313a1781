/* SPDX-License-Identifier: MIT */
/*
 * Owns what happens when a program reads and writes a file beside its mapping.
 *
 * The rule: before a read, what the pages have newer goes to the file; a change
 * of the file is made under the object's lock, and comes into the pages from
 * there. A program that has not mapped the file does the same while others
 * have: it joins them for the length of the call.
 * Lock: the mapping lock, and the object's, over the program's own call.
 * Crash: the object's intent says that the file's bytes win.
 */
#include "core/mapping_parts.h"

/* File systems that never refuse MAP_SHARED, or have no files of that kind;
 * linux/magic.h. */
static bool is_obliging(int64_t type)
{
	static const uint32_t types[] = {
		0xef53,	    /* ext2, ext3, ext4 */
		0x58465342, /* xfs */
		0x9123683e, /* btrfs */
		0x01021994, /* tmpfs */
		0x858458f6, /* ramfs */
		0x794c7630, /* overlayfs */
		0xf2f52010, /* f2fs */
		0x2fc12fc1, /* zfs */
		0x4d44,	    /* vfat */
		0x73717368, /* squashfs */
		0xe0f5e1e2, /* erofs */
		0x50495045, /* pipes */
		0x534f434b, /* sockets */
		0x09041934, /* eventfd and the like */
		0x1cd1,	    /* terminals */
		0x9fa0,	    /* proc */
		0x62656572, /* sysfs */
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (type == types[i])
			return true;
	return false;
}

/*
 * May there be objects of files on this device? Answers are remembered. The
 * number may be another file system's one day; then a process that was there
 * before misses what others map, but never what it has mapped itself.
 */
static bool is_served(int fd, uint64_t dev)
{
	static word64 known[16]; /* dev * 2, + 1: obliging */
	word64 *place = &known[dev % 16];
	uint64_t seen = load_relaxed(place);
	bool obliging;

	if (dev && seen >> 1 == dev)
		return !(seen & 1);
	obliging = is_obliging(sys_fstatfs_type(fd));
	store_relaxed(place, dev << 1 | obliging);
	return !obliging;
}

bool mapping_in_doubt(int fd)
{
	struct sys_identity id;

	if (sys_identity(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, &id) < 0)
		return false;
	return mapping_may_have(id.dev, id.ino) || is_served(fd, id.dev);
}

/* Is it worth to take the lock for this file? It is asked again under it. */
bool mapping_concerns(int fd)
{
	struct sys_identity id;

	if (sys_identity(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, &id) < 0)
		return false;
	if (mapping_may_have(id.dev, id.ino))
		return true;
	return is_served(fd, id.dev) && object_exists(&id);
}

/* Under the lock: the file with its object, held by a call; or NULL. */
static struct mapping_file *hold(int fd, unsigned flags)
{
	struct mapping_file *f;

	if (mapping_file_get(fd, &f) < 0)
		return NULL;
	f->calls++;
	if ((f->object || object_exists(&f->id)) &&
	    mapping_file_attach(f, fd, flags) == 0)
		return f;
	f->calls--;
	mapping_reap();
	return NULL;
}

static uint64_t range_end(uint64_t offset, uint64_t length)
{
	return offset + length < offset ? UINT64_MAX : offset + length;
}

static void visit(int fd, uint64_t offset, uint64_t length,
		  int (*work)(struct object *o, uint64_t from, uint64_t to))
{
	struct mapping_file *f;
	uint64_t signals;

	if (!mapping_concerns(fd))
		return;
	mapping_enter(&signals);
	f = hold(fd, 0);
	if (f) {
		(void)work(f->object, offset, range_end(offset, length));
		f->calls--;
		mapping_reap();
	}
	mapping_leave(&signals);
}

void mapping_before_read(int fd, uint64_t offset, uint64_t length)
{
	if (length)
		visit(fd, offset, length, object_push);
}

void mapping_notice(int fd, uint64_t offset, uint64_t length)
{
	visit(fd, offset, length, object_refresh);
}

/* The file, with the object's lock and ours: true. */
static bool begin(struct mapping_change *c, int fd, unsigned flags)
{
	struct mapping_file *f;

	if (!mapping_concerns(fd))
		return false;
	mapping_enter(&c->signals);
	f = hold(fd, flags);
	if (f && object_hold(f->object) == 0) {
		c->object = f;
		c->fd = -1;
		c->result = -1;
		return true;
	}
	if (f) {
		f->calls--;
		mapping_reap();
	}
	mapping_leave(&c->signals);
	return false;
}

/* What the offset means, now that no other call is made of it. */
static uint64_t look_up(struct mapping_change *c, int fd, uint64_t offset)
{
	int64_t at = (int64_t)offset;

	if (offset == MAPPING_HERE) {
		at = sys_lseek(fd, 0, SEEK_CUR);
		c->fd = fd;
	} else if (offset == MAPPING_END) {
		at = sys_file_size(fd, false);
	}
	c->from = at < 0 ? 0 : (uint64_t)at;
	return c->from;
}

bool mapping_before_change(struct mapping_change *c, int fd, uint64_t offset,
			   uint64_t length)
{
	const struct mapping_file *f;

	if (!begin(c, fd, OBJECT_WRITE))
		return false;
	f = c->object;
	offset = look_up(c, fd, offset);
	object_before_change(f->object, offset, range_end(offset, length));
	return true;
}

bool mapping_before_read_here(struct mapping_change *c, int fd, uint64_t length)
{
	const struct mapping_file *f;
	uint64_t offset;

	if (!begin(c, fd, 0))
		return false;
	f = c->object;
	offset = look_up(c, fd, MAPPING_HERE);
	object_before_read(f->object, offset, range_end(offset, length));
	c->fd = -1;
	return true;
}

/* lseek(2) waits for nobody: did it come between? */
static bool was_elsewhere(const struct mapping_change *c)
{
	return c->fd >= 0 && c->result > 0 &&
	       sys_lseek(c->fd, 0, SEEK_CUR) != (int64_t)c->from + c->result;
}

void mapping_after_change(struct mapping_change *c)
{
	struct mapping_file *f = c->object;

	if (was_elsewhere(c))
		object_changed_anywhere(f->object);
	object_release(f->object);
	f->calls--;
	mapping_reap();
	mapping_leave(&c->signals);
}
