/* SPDX-License-Identifier: MIT */
/*
 * Owns the way of what was stored into mappings of files to the disk, when a
 * program asks for it: msync(), and the sync of a file by its descriptor.
 *
 * A stand-in has nothing that its file has not. A file without an object may
 * still have a journal that a killed program has left full.
 * Lock: the mapping lock, for all of a call.
 * Crash: as the object has it.
 */
#include "backing/object_commit.h"
#include "core/mapping_parts.h"
#include "core/ranges.h"

static int sync_range(const struct range *r, uint64_t from, uint64_t to,
		      int flags, bool atomic)
{
	struct object *o = r->file->object;
	int ret = 0;

	if (r->stand_in)
		return 0;
	ret = written_push(r->file, from, to, atomic);
	if (atomic)
		return ret;
	if (ret == 0 && flags & MS_INVALIDATE)
		ret = object_refresh(o, from, to);
	if (ret == 0 && flags & MS_SYNC)
		ret = object_sync(o);
	return ret;
}

int mapping_msync(void *addr, size_t length, int flags, bool atomic)
{
	uintptr_t from = (uintptr_t)addr, to = from + mapping_whole(length);
	struct range *p;
	uint64_t signals;
	int r, own = 0;

	/* It knows what is wrong with the arguments, and what is not mapped:
	 * then the rest is synced all the same. */
	r = sys_msync(addr, length, flags);
	if ((r < 0 && r != -ENOMEM) || to <= from || !mapping_any())
		return r;
	mapping_enter(&signals);
	for (p = ranges_after(from); p && p->from < to && own == 0;
	     p = ranges_after(p->to)) {
		uintptr_t at = p->from > from ? p->from : from;
		uintptr_t end = p->to < to ? p->to : to;

		own = sync_range(p, p->offset + (at - p->from),
				 p->offset + (end - p->from), flags, atomic);
	}
	mapping_leave(&signals);
	return own < 0 ? own : r;
}

static int sync_object(struct object *o)
{
	int r = o->h->atomic ? object_commit(o, NULL)
			     : object_push(o, 0, UINT64_MAX);

	return r < 0 ? r : object_sync(o);
}

/* Of the file's object, joined for as long as that takes; -ENOENT: none. */
static int sync_joined(struct mapping_file *f, int fd)
{
	bool had = f->object;
	int r;

	if (!had && !object_exists(&f->id))
		return -ENOENT;
	r = mapping_file_attach(f, fd, OBJECT_WRITE);
	if (r == -EBUSY)
		r = mapping_file_attach(f, fd, OBJECT_WRITE | OBJECT_ATOMIC);
	if (r == 0)
		r = sync_object(f->object);
	return r < 0 || had ? r : (int)f->object->dropped;
}

int mapping_sync_file(int fd)
{
	int mode = sys_fcntl(fd, F_GETFL, 0), r;
	struct mapping_file *f;
	uint64_t signals;

	if (mode < 0 || (mode & O_ACCMODE) != O_RDWR || mode & O_PATH)
		return -EBADF;
	mapping_enter(&signals);
	r = mapping_file_get(fd, &f);
	if (r == 0) {
		f->calls++;
		r = sync_joined(f, fd);
		if (r == -ENOENT)
			r = commit_finish(fd);
		f->calls--;
		mapping_reap();
	}
	mapping_leave(&signals);
	return r;
}
