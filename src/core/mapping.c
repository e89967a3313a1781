/* SPDX-License-Identifier: MIT */
/*
 * Owns what mmap() and its family mean for files that we serve.
 *
 * A range is either a part of an object's pages, or a stand-in: a private
 * mapping of the file itself where a shared one was asked for, only to be read,
 * and nobody has an object. A stand-in becomes a part of the object as soon as
 * this process has one, or wants to write.
 * Lock: the mapping lock around the system call and the table together.
 * Crash: the process takes both along.
 */
#include "backing/linger.h"
#include "core/mapping_parts.h"
#include "core/ranges.h"

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define MAP_KINDS 0x0f
#define MASK	  (uintptr_t)(OBJECT_PAGE - 1)

bool mapping_touches(const void *addr, size_t length)
{
	return ranges_touch((uintptr_t)addr, length);
}

/* ------------------------------------------------------------------- mmap */

static bool is_shared_file(const struct mapping_request *q)
{
	int kind = q->flags & MAP_KINDS;

	return (kind == MAP_SHARED || kind == MAP_SHARED_VALIDATE) &&
	       !(q->flags & MAP_ANONYMOUS);
}

/* What the kernel says of such a file itself, before it asks its file system;
 * in its order. 0: it could be mapped. *ret_write: with PROT_WRITE too. */
static int judge(const struct mapping_request *q, bool *ret_write)
{
	uint64_t length = mapping_whole(q->length);
	struct sys_stat st;
	int mode;

	if (q->offset & MASK)
		return -EINVAL;
	mode = sys_fcntl(q->fd, F_GETFL, 0);
	if (mode < 0 || mode & O_PATH)
		return -EBADF;
	if (q->length == 0)
		return -EINVAL;
	if (length == 0)
		return -ENOMEM;
	if (length > SIZE_MAX / 2)
		return -ENOMEM;
	if (q->offset + length < length || q->offset + length > INT64_MAX)
		return -EOVERFLOW;
	if (q->flags & MAP_SYNC && (q->flags & MAP_KINDS) != MAP_SHARED)
		return -EOPNOTSUPP;
	if (q->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) &&
	    (uintptr_t)q->addr & MASK)
		return -EINVAL;
	mode &= O_ACCMODE;
	if (mode == O_WRONLY || (q->prot & PROT_WRITE && mode != O_RDWR))
		return -EACCES;
	if (sys_fstat(q->fd, &st) < 0 || !S_ISREG(st.mode))
		return -ENODEV;
	*ret_write = mode == O_RDWR;
	return 0;
}

/* Errors that a file system which does not want this gives. */
static bool is_refusal(int error)
{
	return error == -ENODEV || error == -EINVAL || error == -ENOSYS ||
	       error == -EOPNOTSUPP;
}

static void *kernel_mmap(void *addr, size_t length, int prot, int flags, int fd,
			 uint64_t offset)
{
	return mapping_setup ? mapping_setup->kernel.mmap(addr, length, prot,
							  flags, fd, offset)
			     : sys_mmap(addr, length, prot, flags, fd, offset);
}

/* Map the pages of the object where a request wants them. */
static void *map_object(const struct mapping_file *f, void *addr, size_t length,
			int prot, int flags, uint64_t offset, bool write)
{
	int fd = object_open_pages(f->object, write);
	void *p;

	if (fd < 0)
		return (void *)(intptr_t)fd;
	p = kernel_mmap(addr, length, prot, flags, fd, offset);
	(void)sys_close(fd);
	return p;
}

/* Those that may be written to, or those that may not. All of one description:
 * what lies side by side is one mapping to the kernel, as it was. */
static int replace_some(struct mapping_file *f, bool write)
{
	struct range *r = ranges_after(0);
	int fd = -1, ret = 0;

	for (; r && ret == 0; r = ranges_after(r->to)) {
		void *p;

		if (r->file != f || !r->stand_in || r->write != write)
			continue;
		if (fd < 0)
			fd = object_open_pages(f->object, write);
		if (fd < 0)
			return fd;
		p = kernel_mmap((void *)r->from, r->to - r->from, r->prot,
				MAP_SHARED | MAP_FIXED, fd, r->offset);
		if (sys_failed(p))
			ret = (int)(intptr_t)p;
		else
			r->stand_in = false;
	}
	if (fd >= 0)
		(void)sys_close(fd);
	return ret;
}

/* There is an object now: what was private becomes a part of it. */
static int replace_stand_ins(struct mapping_file *f)
{
	int r = replace_some(f, true);

	if (r == 0)
		r = replace_some(f, false);
	if (r < 0)
		return r;
	linger_close(f->fd, &f->id);
	f->fd = -1;
	return 0;
}

/* A call beside the mapping may have got the object before. */
static int get_object(struct mapping_file *f, int fd, unsigned flags)
{
	int r = mapping_file_attach(f, fd, flags);

	return r == 0 ? replace_stand_ins(f) : r;
}

/* As much of the file as is asked for must be in memory. */
static int is_room(struct mapping_file *f, const struct mapping_request *q)
{
	int64_t size = sys_file_size(q->fd, true), here;

	here = object_size(f->object);
	if (here < 0)
		return (int)here;
	if (here < size &&
	    q->offset + mapping_whole(q->length) > (uint64_t)here)
		return -ENOMEM;
	return 0;
}

/* Only to be read, and nobody stores into it: the file itself will do. */
static int map_stand_in(struct mapping_file *f, const struct mapping_request *q,
			bool write, void **ret_addr)
{
	int flags = (q->flags & ~MAP_KINDS) | MAP_PRIVATE;
	void *p;

	/* Without it mprotect() will refuse. */
	if (write && f->fd < 0)
		f->fd = linger_open(q->fd, &f->id, O_RDWR);
	p = kernel_mmap(q->addr, q->length, q->prot, flags, q->fd, q->offset);
	if (sys_failed(p))
		return (int)(intptr_t)p;
	*ret_addr = p;
	return 1;
}

static int map_shared(struct mapping_file *f, const struct mapping_request *q,
		      bool write, void **ret_addr)
{
	unsigned flags = OBJECT_CREATE;
	void *p;
	int r;

	if (!q->options && !f->object && !(q->prot & PROT_WRITE) &&
	    !object_exists(&f->id))
		return map_stand_in(f, q, write, ret_addr);
	if (write)
		flags |= OBJECT_WRITE;
	if (q->options & MAPPING_ATOMIC)
		flags |= OBJECT_ATOMIC;
	r = get_object(f, q->fd, flags);
	if (r < 0)
		return r;
	if (f->object->h->atomic != ((q->options & MAPPING_ATOMIC) != 0))
		return -EBUSY;
	r = is_room(f, q);
	if (r < 0)
		return r;
	p = map_object(f, q->addr, q->length, q->prot, q->flags, q->offset,
		       write);
	if (sys_failed(p))
		return (int)(intptr_t)p;
	*ret_addr = p;
	return 0;
}

static int serve_entered(const struct mapping_request *q, bool write,
			 void **ret_addr)
{
	struct range new = { .offset = q->offset,
			     .prot = q->prot,
			     .write = write };
	struct mapping_file *f;
	int r;

	r = ranges_reserve(3);
	if (r < 0)
		return r;
	r = mapping_file_get(q->fd, &f);
	if (r < 0)
		return r;
	f->calls++;
	r = map_shared(f, q, write, ret_addr);
	f->calls--;
	if (r >= 0) {
		new.from = (uintptr_t)*ret_addr;
		new.to = new.from + mapping_whole(q->length);
		new.file = f;
		new.stand_in = r == 1;
		ranges_remove(new.from, new.to);
		ranges_add(&new);
	}
	mapping_reap();
	return r < 0 ? r : 0;
}

static int serve(const struct mapping_request *q, void **ret_addr)
{
	uint64_t signals;
	bool write;
	int r;

	r = judge(q, &write);
	if (r < 0)
		return r;
	mapping_enter(&signals);
	r = serve_entered(q, write, ret_addr);
	mapping_leave(&signals);
	return r;
}

/* The kernel's own, and what it was mapped over is no more. */
static int map_plainly(const struct mapping_request *q, void **ret_addr)
{
	uint64_t signals;
	void *p;
	int r;

	mapping_enter(&signals);
	r = ranges_reserve(1);
	if (r == 0) {
		p = kernel_mmap(q->addr, q->length, q->prot, q->flags, q->fd,
				q->offset);
		if (sys_failed(p))
			r = (int)(intptr_t)p;
	}
	if (r == 0) {
		*ret_addr = p;
		ranges_remove((uintptr_t)p,
			      (uintptr_t)p + mapping_whole(q->length));
		mapping_reap();
	}
	mapping_leave(&signals);
	return r;
}

/*
 * Would the kernel map it? With MAP_FIXED that must be known before: when it
 * finds out that the file cannot be mapped, it may have removed what was there.
 */
static int ask_kernel(const struct mapping_request *q)
{
	void *p = kernel_mmap(NULL, OBJECT_PAGE, q->prot & ~PROT_EXEC,
			      q->flags & MAP_KINDS, q->fd, q->offset);

	if (sys_failed(p))
		return (int)(intptr_t)p;
	(void)sys_munmap(p, OBJECT_PAGE);
	return 0;
}

int mapping_mmap(const struct mapping_request *q, void **ret_addr)
{
	bool fixed = q->flags & MAP_FIXED, write;
	int r = 0, own;

	if (!is_shared_file(q))
		return map_plainly(q, ret_addr);
	if (q->options)
		return serve(q, ret_addr);
	if (fixed)
		r = ask_kernel(q);
	if (!is_refusal(r))
		r = map_plainly(q, ret_addr);
	if (!is_refusal(r))
		return r;

	/* What else is wrong with it has not been seen when it was asked. */
	own = judge(q, &write);
	if (own < 0)
		return fixed ? own : r;
	return serve(q, ret_addr) < 0 ? r : 0;
}

/* ----------------------------------------------------------------- munmap */

int mapping_munmap(void *addr, size_t length)
{
	uint64_t signals;
	int r;

	mapping_enter(&signals);
	r = ranges_reserve(1);
	if (r == 0)
		r = mapping_setup ? mapping_setup->kernel.munmap(addr, length)
				  : sys_munmap(addr, length);
	if (r == 0) {
		ranges_remove((uintptr_t)addr,
			      (uintptr_t)addr + mapping_whole(length));
		mapping_reap();
	}
	mapping_leave(&signals);
	return r;
}

/* --------------------------------------------------------------- mprotect */

/* Stand-ins there are to be written to: they become what they stand for. */
static int make_writable(uintptr_t from, uintptr_t to)
{
	struct range *r = ranges_after(from);

	for (; r && r->from < to; r = ranges_after(r->to)) {
		int ret;

		if (!r->stand_in)
			continue;
		if (!r->write || r->file->fd < 0)
			return -EACCES;
		ret = get_object(r->file, r->file->fd,
				 OBJECT_CREATE | OBJECT_WRITE);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* A stand-in may have to be mapped again as it is. */
static void note_protection(uintptr_t from, uintptr_t to, int prot)
{
	struct range *r = ranges_after(from);

	for (; r && r->from < to; r = ranges_after(r->to)) {
		if (!r->stand_in)
			continue;
		ranges_cut(from);
		ranges_cut(to);
		r = ranges_after(r->from < from ? from : r->from);
		r->prot = prot;
	}
}

int mapping_mprotect(void *addr, size_t length, int prot)
{
	uintptr_t from = (uintptr_t)addr, to = from + mapping_whole(length);
	uint64_t signals;
	int r;

	mapping_enter(&signals);
	r = ranges_reserve(2);
	if (r == 0 && prot & PROT_WRITE && !(from & MASK) && to > from)
		r = make_writable(from, to);
	if (r == 0)
		r = mapping_setup
			    ? mapping_setup->kernel.mprotect(addr, length, prot)
			    : sys_mprotect(addr, length, prot);
	if (r == 0 && to > from)
		note_protection(from, to, prot);
	mapping_leave(&signals);
	return r;
}

/* ----------------------------------------------------------------- mremap */

static uintptr_t lesser(uintptr_t a, uintptr_t b)
{
	return a < b ? a : b;
}

/* What lies from 'r' on has grown to 'to'. */
static void extend(struct range r, uintptr_t to)
{
	r.offset += r.to - r.from;
	r.from = r.to;
	r.to = to;
	if (r.file && r.from < to && ranges_reserve(1) == 0)
		ranges_add(&r);
}

/* The kernel has moved, or duplicated, what was at 'old'. */
static void follow_mremap(uintptr_t old, size_t old_size, uintptr_t p,
			  size_t new_size, int flags)
{
	uintptr_t before = mapping_whole(old_size),
		  after = mapping_whole(new_size);
	uintptr_t span = before ? lesser(before, after) : after;
	uintptr_t end = old + span, delta = p - old;
	struct range last = { 0 }, *r;

	if (p == old && before) {
		ranges_remove(end, old + before);
		r = ranges_after(end - 1);
		if (after > before && r && r->from < end)
			extend((struct range){ r->from, end, r->offset, r->file,
					       r->prot, r->write, r->stand_in },
			       p + after);
		return;
	}
	ranges_remove(p, p + after);
	for (uintptr_t at = old; at < end; at = last.to - delta) {
		r = ranges_after(at);
		if (!r || r->from >= end || ranges_reserve(1) < 0)
			break;
		r = ranges_after(at);
		last = *r;
		if (last.from < at) {
			last.offset += at - last.from;
			last.from = at;
		}
		last.from += delta;
		last.to = lesser(last.to, end) + delta;
		ranges_add(&last);
	}
	extend(last, p + after);
	if (before && !(flags & MREMAP_DONTUNMAP))
		ranges_remove(old, old + before);
}

/* A copy of a stand-in is one of what it stands for. */
static int before_copy(uintptr_t old)
{
	struct range *r = ranges_after(old);

	if (!r || r->from > old || !r->stand_in)
		return 0;
	return make_writable(old, old + 1) < 0 ? -EINVAL : 0;
}

int mapping_mremap(void *old, size_t old_size, size_t new_size, int flags,
		   void *new_addr, void **ret_addr)
{
	uint64_t signals;
	void *p = NULL;
	int r;

	mapping_enter(&signals);
	r = ranges_reserve(5);
	if (r == 0 && old_size == 0)
		r = before_copy((uintptr_t)old);
	if (r == 0) {
		p = mapping_setup
			    ? mapping_setup->kernel.mremap(
				      old, old_size, new_size, flags, new_addr)
			    : sys_mremap(old, old_size, new_size, flags,
					 new_addr);
		if (sys_failed(p))
			r = (int)(intptr_t)p;
	}
	if (r == 0) {
		follow_mremap((uintptr_t)old, old_size, (uintptr_t)p, new_size,
			      flags);
		mapping_reap();
		*ret_addr = p;
	}
	mapping_leave(&signals);
	return r;
}
