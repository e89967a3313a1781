/* SPDX-License-Identifier: MIT */
/*
 * Segments as plain files, on tmpfs as a rule.
 *
 * Owns nothing but what a path names; keeps no descriptor open. A file that
 * was created and never published is destroyed by the sweep that finds the
 * reserved slot. The directory may be hostile: nothing but a regular file of
 * our own is ever opened, and a FIFO cannot block us.
 */
#include "backing/backing.h"

#include "base/borrow.h"
#include "base/fsize.h"
#include "base/signals.h"
#include "base/step.h"

#define GIB (UINT64_C(1) << 30)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static int file_room(const char *dir, uint64_t size, uint64_t promised,
		     uint64_t filled)
{
	struct sys_space fs;
	uint64_t open, margin;
	int r;

	r = sys_statfs(dir, &fs);
	if (r < 0)
		return r;
	if (fs.total == 0)
		return 0;

	/* Not all that was promised has been taken: that much of what is
	 * free is spoken for. */
	open = promised > filled ? promised - filled : 0;
	if (fs.free < open || fs.free - open < size)
		return -ENOMEM;

	/* Others fill the file system too. With little left, a promise is
	 * worth something only if the blocks are taken at once. */
	margin = fs.total / 8 < GIB ? fs.total / 8 : GIB;
	if (fs.total < GIB || fs.free - open - size < margin)
		return 1;
	return 0;
}

/* A program may have used up its descriptors: then borrow one. */
static int with_descriptor(int (*fn)(void *arg), void *arg)
{
	int r = fn(arg);

	return r == -EMFILE ? borrow_run(fn, arg) : r;
}

struct create {
	const char *path;
	uint64_t size;
	bool take;
};

static int do_create(void *arg)
{
	const struct create *c = arg;
	const char *path = c->path;
	uint64_t size = c->size;
	bool take = c->take;
	int fd, r;

	fd = sys_openat(AT_FDCWD, path,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (fd == -EEXIST) {
		/* The name is ours by the reserved index: a leftover. */
		r = sys_unlinkat(AT_FDCWD, path, 0);
		if (r < 0)
			return r;
		fd = sys_openat(AT_FDCWD, path,
				O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
					O_CLOEXEC,
				0600);
		if (fd == -EEXIST)
			return -EIO; /* somebody plays with us */
	}
	if (fd < 0)
		return fd;
	step("file: created");

	/* The umask may have taken our own rights. */
	r = sys_fchmod(fd, 0600);
	if (r == 0)
		r = fsize_truncate(fd, size);
	if (r == 0 && take) {
		r = fsize_allocate(fd, 0, size);
		if (r == -EOPNOTSUPP || r == -ENOSYS)
			r = 0;
	}
	(void)sys_close(fd);
	if (r < 0)
		(void)sys_unlinkat(AT_FDCWD, path, 0);
	step("file: sized");
	return r;
}

static int file_create(const char *path, uint64_t size, bool take)
{
	struct create c = { path, size, take };

	return with_descriptor(do_create, &c);
}

static int file_destroy(const char *path)
{
	return sys_unlinkat(AT_FDCWD, path, 0);
}

static int file_open(const char *path, int flags, struct sys_stat *ret)
{
	int fd = sys_openat(AT_FDCWD, path,
			    flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	int r;

	/* Nothing, a link, a directory, a socket. */
	if (fd == -ENOENT || fd == -ELOOP || fd == -EISDIR || fd == -ENXIO)
		return -EIDRM;
	if (fd < 0)
		return fd;
	r = sys_fstat(fd, ret);
	if (r == 0 && !S_ISREG(ret->mode))
		r = -EIDRM;
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	return fd;
}

/* An address range aligned for huge pages, with the file mapped into it. */
static void *map_huge(int fd, uint64_t size, int prot, int flags)
{
	const uintptr_t huge = BACKING_HUGE_SIZE;
	size_t room = (size_t)size + huge;
	char *base, *at;
	void *p;

	base = sys_mmap(NULL, room, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(base))
		return base;
	at = (char *)(((uintptr_t)base + huge - 1) & ~(huge - 1));
	p = sys_mmap(at, (size_t)size, prot, flags | MAP_FIXED, fd, 0);
	if (at > base)
		(void)sys_munmap(base, (size_t)(at - base));
	if (at + size < base + room)
		(void)sys_munmap(at + size, (size_t)(base + room - at - size));
	if (sys_failed(p)) {
		(void)sys_munmap(at, (size_t)size);
		return p;
	}

	/* Needs no privilege and no mount option; without it, plain pages. */
	(void)sys_madvise(p, (size_t)size, MADV_COLLAPSE);
	return p;
}

struct map {
	const char *path;
	uint32_t owner;
	void *hint;
	uint64_t size;
	int prot, flags;
	unsigned kind;
	void **ret_addr, **ret_handle;
};

/* What we make has one name, and the owner, or a process of another user's
 * that may work in the owner's directory, has made it. */
static bool is_genuine(const struct sys_stat *st, uint32_t owner)
{
	return st->nlink == 1 && (st->uid == owner || st->uid == sys_geteuid());
}

static int do_map(void *arg)
{
	const struct map *m = arg;
	int prot = m->prot, flags = m->flags;
	uint64_t size = m->size;
	struct sys_stat st;
	void *p;
	int fd;

	if (size > SIZE_MAX / 2)
		return -ENOMEM;
	fd = file_open(m->path, prot & PROT_WRITE ? O_RDWR : O_RDONLY, &st);
	if (fd < 0)
		return fd;
	if (st.size < size || !is_genuine(&st, m->owner)) {
		(void)sys_close(fd);
		return -EIDRM;
	}
	if (m->kind & BACKING_HUGE && !m->hint && !(flags & MAP_FIXED))
		p = map_huge(fd, size, prot, MAP_SHARED | flags);
	else
		p = sys_mmap(m->hint, (size_t)size, prot, MAP_SHARED | flags,
			     fd, 0);
	if (m->ret_handle) {
		*m->ret_handle = NULL;
		if (!sys_failed(p) && prot & PROT_WRITE)
			*m->ret_handle = sys_mmap(NULL, 4096,
						  PROT_READ | PROT_WRITE,
						  MAP_SHARED, fd, 0);
		if (sys_failed(*m->ret_handle))
			*m->ret_handle = NULL;
	}
	(void)sys_close(fd);
	if (sys_failed(p))
		return (int)(intptr_t)p;
	*m->ret_addr = p;
	return 0;
}

static int file_map(const char *path, uint32_t owner, void *hint, uint64_t size,
		    int prot, int flags, unsigned kind, void **ret_addr,
		    void **ret_handle)
{
	struct map m = { path,	owner, hint,	 size,	    prot,
			 flags, kind,  ret_addr, ret_handle };

	return with_descriptor(do_map, &m);
}

static uint64_t file_resident(const char *path)
{
	struct sys_stat st;

	if (sys_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    !S_ISREG(st.mode))
		return 0;
	return st.blocks * 512;
}

static void file_empty(const char *path)
{
	struct sys_stat st;
	int fd = file_open(path, O_RDWR, &st);

	if (fd < 0)
		return;
	(void)sys_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			    st.size);
	(void)sys_close(fd);
}

const struct backing_ops backing_file = {
	.name = "file",
	.room = file_room,
	.create = file_create,
	.destroy = file_destroy,
	.map = file_map,
	.resident = file_resident,
	.empty = file_empty,
};
