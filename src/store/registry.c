/* SPDX-License-Identifier: MIT */
/*
 * Owns the registry file: its geometry, its birth, its check at the door.
 *
 * Invariant: a file under the registry's name is complete. It is built under
 * another name and linked into place, so a kill leaves at most the other name
 * behind, which its next user removes.
 * Lock: none. Two makers race for the link; the loser uses the winner's file.
 * After a reboot the old file is replaced under flock(2) by one process.
 */
#include "store/registry.h"

#include <stdio.h> /* RENAME_NOREPLACE */
#include <string.h>
#include <sys/file.h>

#include "base/borrow.h"
#include "base/fsize.h"
#include "base/step.h"
#include "base/sys.h"
#include "store/header.h"

#ifndef RENAME_NOREPLACE /* musl */
#define RENAME_NOREPLACE 1
#endif

#define TMPFS_TYPE 0x01021994u

static int refuse(struct text *why, int r, const char *what)
{
	text_str(why, what);
	return r;
}

static int file_check(const struct sys_stat *st, uint32_t uid, struct text *why)
{
	if (S_ISLNK(st->mode))
		return refuse(why, -ELOOP, "is a symbolic link");
	if (!S_ISREG(st->mode))
		return refuse(why, -EPROTO, "is not a regular file");
	if (st->uid != uid)
		return refuse(why, -EACCES, "belongs to another user");
	if (st->mode & 022)
		return refuse(why, -EACCES, "may be written by other users");
	if (st->size < LAYOUT_PAGE)
		return refuse(why, -EPROTO, "is a truncated registry");
	return 0;
}

/* ------------------------------------------------------------- the birth */

static int make_ready(int fd, const struct layout_array *a, uint32_t from,
		      uint32_t to)
{
	uint64_t start = a->offset + (uint64_t)from * a->size;
	uint64_t end = a->offset + (uint64_t)to * a->size;
	int r;

	start &= ~(uint64_t)(LAYOUT_PAGE - 1);
	end = header_page_up(end);
	r = fsize_allocate(fd, start, end - start);

	/* A file system without fallocate() leaves no way to know. */
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static int file_build(int fd, uint32_t uid, const struct geometry *g,
		      bool durable)
{
	struct layout_header h;
	int r;

	r = (int)SYS3(SYS_fchmod, fd, 0600, 0);
	if (r < 0)
		return r;
	r = fsize_truncate(fd, g->file_size);
	if (r < 0)
		return r;

	/* The header, the bitmap and the two tables of heads are one piece. */
	r = make_ready(fd, &g->bitmap, 0, g->bitmap.capacity);
	if (r == 0)
		r = make_ready(fd, &g->key_heads, 0, g->key_heads.capacity);
	if (r == 0)
		r = make_ready(fd, &g->addr_heads, 0, g->addr_heads.capacity);
	if (r == 0)
		r = make_ready(fd, &g->procs, 0, g->procs.ready);
	if (r == 0)
		r = make_ready(fd, &g->segments, 0, g->segments.ready);
	if (r == 0)
		r = make_ready(fd, &g->attaches, 0, g->attaches.ready);
	if (r < 0)
		return r;

	header_fill(&h, uid, g, durable ? LAYOUT_DURABLE : 0);
	return fsize_write(fd, &h, sizeof(h));
}

static int file_create(int dir, const char *name, uint32_t uid,
		       const struct registry_shape *shape, struct text *why)
{
	struct registry_shape s = *shape;
	struct geometry g;
	char temp[64];
	struct text t;
	int fd, r;

	if (s.max_segments == 0)
		s.max_segments = HEADER_SEGMENTS;
	if (s.max_procs == 0)
		s.max_procs = HEADER_PROCS;
	if (s.max_attaches == 0)
		s.max_attaches = HEADER_ATTACHES;
	if (!header_geometry(&s, &g))
		return refuse(why, -EINVAL,
			      "cannot be made with these capacities");

	text_init(&t, temp, sizeof(temp));
	text_str(&t, name);
	text_str(&t, ".new-");
	text_uint(&t, (uint64_t)sys_gettid(), 10, 0, ' ');

	/* A name of our own thread id: what lies there is a dead one's. */
	(void)sys_unlinkat(dir, temp, 0);
	fd = sys_openat(dir, temp,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (fd < 0)
		return refuse(why, fd, "cannot be created");
	step("registry: temporary file created");
	r = file_build(fd, uid, &g, s.durable);
	if (r < 0) {
		text_str(why, "cannot be created");
		goto out;
	}
	step("registry: file built");
	r = sys_linkat(dir, temp, dir, name, 0);
	if (r == -EPERM || r == -EACCES || r == -EOPNOTSUPP) {
		/* No hard links here (Android, some FUSE). */
		r = (int)SYS6(SYS_renameat2, dir, temp, dir, name,
			      RENAME_NOREPLACE, 0);
	}
	if (r == -EEXIST)
		r = 0;
	if (r < 0)
		text_str(why, "cannot be put in place");
	step("registry: linked");
out:
	(void)sys_unlinkat(dir, temp, 0);
	(void)sys_close(fd);
	return r;
}

/* Remove the files in 'path' whose names begin with 'prefix'. */
static int remove_files(int dir, const char *path, const char *prefix)
{
	_Alignas(8) char buf[2048];
	long n = 0;
	int list, r = 0;

	list = sys_openat(dir, path,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (list < 0)
		return list;
	while (r == 0 && (n = sys_getdents(list, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			const struct sys_dirent *d = (void *)(buf + at);

			if (strncmp(d->name, prefix, strlen(prefix)) == 0 &&
			    strcmp(d->name, ".") != 0 &&
			    strcmp(d->name, "..") != 0)
				r = sys_unlinkat(list, d->name, 0);
			at += d->length;
		}
	}
	(void)sys_close(list);
	return r == 0 && n < 0 ? (int)n : r;
}

/* Remove the files of an older boot, then its registry. */
static int file_retire(int dir, const char *name, int fd, uint64_t ino)
{
	const char *uid = strchr(name, '.'); /* of "registry.<uid>" */
	char words[32];
	struct sys_stat st;
	struct text t;
	int r;

	r = (int)SYS3(SYS_flock, fd, LOCK_EX, 0);
	if (r < 0)
		return r;
	r = sys_stat(dir, name, AT_SYMLINK_NOFOLLOW, &st);
	if (r < 0 || st.ino != ino)
		return 0; /* somebody else has done it */

	/* As long as there are files, there is a registry that says so. */
	text_init(&t, words, sizeof(words));
	text_str(&t, "seg");
	text_str(&t, uid);
	text_str(&t, ".");
	r = remove_files(dir, ".", words);
	if (r < 0)
		return r;
	text_init(&t, words, sizeof(words));
	text_str(&t, "posix");
	text_str(&t, uid);
	r = remove_files(dir, words, "");
	if (r == 0)
		r = sys_unlinkat(dir, words, AT_REMOVEDIR);
	if (r < 0 && r != -ENOENT)
		return r;
	return sys_unlinkat(dir, name, 0);
}

/* --------------------------------------------------------------- opening */

static int map_file(int fd, const struct geometry *g, struct registry *ret,
		    struct text *why)
{
	unsigned char *base;

	base = sys_mmap(NULL, (size_t)g->file_size, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	if (sys_failed(base))
		return refuse(why, (int)(intptr_t)base, "cannot be mapped");
	(void)sys_madvise(base, (size_t)g->file_size, MADV_DONTDUMP);

	ret->h = (struct layout_header *)base;
	ret->size = (size_t)g->file_size;
	ret->bitmap = (uint64_t *)(base + g->bitmap.offset);
	ret->key_heads = (uint32_t *)(base + g->key_heads.offset);
	ret->addr_heads = (uint32_t *)(base + g->addr_heads.offset);
	ret->procs = (struct layout_proc *)(base + g->procs.offset);
	ret->segments = (struct layout_segment *)(base + g->segments.offset);
	ret->attaches = (struct layout_attach *)(base + g->attaches.offset);
	ret->max_segments = g->segments.capacity;
	ret->max_procs = g->procs.capacity;
	ret->max_attaches = g->attaches.capacity;
	ret->key_mask = g->key_heads.capacity - 1;
	ret->addr_mask = g->addr_heads.capacity - 1;
	ret->seq_shift = g->seq_shift;
	return 0;
}

/* Open the file and read its header. A descriptor, or -errno. */
static int file_look(int dir, const char *name, uint32_t uid,
		     struct sys_stat *ret_st, struct layout_header *ret,
		     struct text *why)
{
	long n;
	int fd, r;

	fd = sys_openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			0);
	if (fd == -ENOENT)
		return fd;
	if (fd == -ELOOP)
		return refuse(why, fd, "is a symbolic link");
	if (fd < 0)
		return refuse(why, fd, "cannot be opened");
	r = sys_fstat(fd, ret_st);
	if (r == 0)
		r = file_check(ret_st, uid, why);
	if (r == 0) {
		n = sys_read(fd, ret, sizeof(*ret));
		if (n != (long)sizeof(*ret))
			r = refuse(why, n < 0 ? (int)n : -EPROTO,
				   "cannot be read");
	}
	if (r == 0)
		return fd;
	(void)sys_close(fd);
	return r;
}

/* Nothing on a tmpfs outlives a reboot: another system uses it. */
static int other_system(int fd, struct text *why)
{
	struct sys_space space;
	char path[64];
	struct text t;

	text_init(&t, path, sizeof(path));
	text_str(&t, "/proc/self/fd/");
	text_uint(&t, (uint64_t)fd, 10, 0, ' ');
	if (sys_statfs(path, &space) == 0 && space.type == TMPFS_TYPE)
		return refuse(why, -ESTALE,
			      "is in use by another running system");
	return 0;
}

/* 1: it was of an older boot and is gone now. */
static int file_open(int dir, uint32_t uid, bool durable, struct registry *ret,
		     struct text *why)
{
	struct layout_header h;
	struct sys_stat st;
	struct geometry g;
	int fd, r;

	fd = file_look(dir, ret->name, uid, &st, &h, why);
	if (fd < 0)
		return fd;
	r = header_check(&h, uid, st.size, durable, &g, why);
	if (r < 0)
		goto out;

	if (header_other_boot(&h)) {
		r = other_system(fd, why);
		if (r < 0)
			goto out;
		r = file_retire(dir, ret->name, fd, st.ino);
		if (r == 0)
			r = 1;
		else
			text_str(why, "is of before the last reboot and "
				      "cannot be removed");
		goto out;
	}

	ret->uid = uid;
	ret->dev = st.dev;
	ret->ino = st.ino;
	r = map_file(fd, &g, ret, why);
out:
	(void)sys_close(fd);
	return r;
}

void registry_name(uint32_t uid, char *buf, size_t size)
{
	struct text t;

	text_init(&t, buf, size);
	text_str(&t, "registry.");
	text_uint(&t, uid, 10, 0, ' ');
}

int registry_open(int dir, uint32_t uid, bool create,
		  const struct registry_shape *shape, struct registry *ret,
		  struct text *why)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	registry_name(uid, ret->name, sizeof(ret->name));

	for (int attempt = 0; attempt < 8; attempt++) {
		r = file_open(dir, uid, shape->durable, ret, why);
		if (r == 1)
			continue;
		if (r != -ENOENT)
			return r;
		if (!create) {
			text_str(why, "does not exist");
			return r;
		}
		r = file_create(dir, ret->name, uid, shape, why);
		if (r < 0)
			return r;
	}
	return refuse(why, -EAGAIN, "is being replaced again and again");
}

void registry_close(struct registry *r)
{
	if (r->h)
		(void)sys_munmap(r->h, r->size);
	r->h = NULL;
}

/* ------------------------------------------------------ looking, mending */

/* Store what differs in the fixed part, and nothing else: it may be in use. */
static int header_store(int fd, const struct layout_header *to, bool blocks)
{
	const uint32_t *from = (const uint32_t *)(const void *)to;
	uint32_t *at;
	int r = 0;

	if (blocks)
		r = make_ready(fd, &to->procs, 0, to->procs.capacity);
	if (blocks && r == 0)
		r = make_ready(fd, &to->segments, 0, to->segments.capacity);
	if (blocks && r == 0)
		r = make_ready(fd, &to->attaches, 0, to->attaches.capacity);
	if (r < 0)
		return r;
	at = sys_mmap(NULL, LAYOUT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      0);
	if (sys_failed(at))
		return (int)(intptr_t)at;
	for (size_t w = 0; w < offsetof(struct layout_header, lock) / 4; w++)
		if (at[w] != from[w])
			store_release(&at[w], from[w]);
	(void)sys_munmap(at, LAYOUT_PAGE);
	return 0;
}

int registry_inspect(int dir, uint32_t uid, bool durable, bool mend,
		     struct text *why)
{
	struct layout_header h, mended;
	struct sys_stat st;
	struct geometry g;
	char name[24];
	bool blocks;
	int fd, r;

	registry_name(uid, name, sizeof(name));
	fd = file_look(dir, name, uid, &st, &h, why);
	if (fd < 0)
		return fd;
	r = header_check(&h, uid, st.size, durable, &g, why);
	if (r == 0 && !header_other_boot(&h)) {
		(void)sys_close(fd);
		return REGISTRY_GOOD;
	}

	mended = h;
	if (header_mend(&mended, uid, st.size, durable, &blocks) &&
	    !header_other_boot(&mended)) {
		if (r == 0)
			text_str(why, "does not say which system it is of");
		r = mend ? header_store(fd, &mended, blocks) : 0;
		if (r == 0)
			r = REGISTRY_MENDABLE;
	} else if (r == 0) {
		r = other_system(fd, why);
		if (r == 0)
			r = REGISTRY_OLD;
	}
	(void)sys_close(fd);
	return r;
}

/* Where the array is and how large: not as it says, but as it must be. */
static struct layout_array array_as_made(const struct registry *r,
					 const struct layout_array *array)
{
	struct registry_shape shape = { r->max_segments, r->max_procs,
					r->max_attaches };
	struct geometry g = { 0 };

	(void)header_geometry(&shape, &g);
	return array == &r->h->segments ? g.segments
	       : array == &r->h->procs	? g.procs
					: g.attaches;
}

/* The file of an open registry once more: a descriptor, or -errno. */
static int file_reopen(const struct registry *r, const char *path)
{
	char file[PATH_ROOM];
	struct sys_stat st;
	struct text t;
	int fd, ret;

	text_init(&t, file, sizeof(file));
	text_str(&t, path);
	text_str(&t, "/");
	text_str(&t, r->name);
	if (t.full)
		return -ENAMETOOLONG;
	fd = sys_openat(AT_FDCWD, file,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ret = sys_fstat(fd, &st);
	if (ret == 0 && (st.dev != r->dev || st.ino != r->ino))
		ret = -ESTALE;
	if (ret == 0)
		return fd;
	(void)sys_close(fd);
	return ret;
}

int registry_copy(const struct registry *r, const char *path,
		  struct registry *ret)
{
	const char *old = (const char *)r->h;
	char *base;
	int fd = file_reopen(r, path);

	if (fd < 0)
		return fd;
	base = sys_mmap(NULL, r->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	(void)sys_close(fd);
	if (sys_failed(base))
		return (int)(intptr_t)base;

#define MOVED(field) (void *)(base + ((const char *)r->field - old))
	*ret = *r;
	ret->h = MOVED(h);
	ret->segments = MOVED(segments);
	ret->procs = MOVED(procs);
	ret->attaches = MOVED(attaches);
	ret->key_heads = MOVED(key_heads);
	ret->addr_heads = MOVED(addr_heads);
	ret->bitmap = MOVED(bitmap);
#undef MOVED
	return 0;
}

struct growth {
	const struct registry *r;
	const char *path; /* of the directory */
	const struct layout_array *made;
	uint32_t ready, want;
};

static int do_grow(void *arg)
{
	const struct growth *g = arg;
	int fd = file_reopen(g->r, g->path), ret;

	if (fd < 0)
		return fd;
	ret = make_ready(fd, g->made, g->ready, g->want);
	(void)sys_close(fd);
	return ret;
}

int registry_grow(struct registry *r, const char *path,
		  struct layout_array *array)
{
	const struct layout_array made = array_as_made(r, array);
	uint32_t ready = load_acquire(&array->ready), want;
	uint32_t chunk = HEADER_CHUNK / made.size;
	struct growth g;
	int ret;

	if (ready >= made.capacity)
		return -ENOSPC;
	if (chunk < ready / 2)
		chunk = ready / 2;
	want = made.capacity - ready > chunk ? ready + chunk : made.capacity;

	g = (struct growth){ r, path, &made, ready, want };
	ret = do_grow(&g);
	if (ret == -EMFILE)
		ret = borrow_run(do_grow, &g);
	if (ret < 0)
		return ret;
	step("registry: blocks allocated");

	/* Grows only; whoever else grew it as well has blocks there too. */
	while (ready < want && !swap_if(&array->ready, &ready, want))
		;
	return 0;
}
