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

#ifndef RENAME_NOREPLACE /* musl */
#define RENAME_NOREPLACE 1
#endif

#define TMPFS_TYPE 0x01021994u
#define CHUNK	   16384u /* bytes made ready at a time, at least */

/* The whole geometry of a registry follows from its three capacities. */
struct geometry {
	struct layout_array segments, procs, attaches;
	struct layout_array key_heads, addr_heads, bitmap;
	uint64_t file_size;
	uint32_t seq_shift;
};

static uint64_t page_up(uint64_t n)
{
	return (n + LAYOUT_PAGE - 1) & ~(uint64_t)(LAYOUT_PAGE - 1);
}

static uint64_t place(struct layout_array *a, uint64_t at, uint32_t size,
		      uint32_t capacity, uint32_t ready)
{
	*a = (struct layout_array){
		.offset = at,
		.size = size,
		.capacity = capacity,
		.ready = ready < capacity ? ready : capacity,
	};
	return at + page_up((uint64_t)size * capacity);
}

static bool geometry_make(const struct registry_shape *s, struct geometry *g)
{
	uint64_t at = LAYOUT_PAGE;

	if (s->max_segments == 0 || s->max_segments > 1u << 24 ||
	    s->max_procs == 0 || s->max_procs > 1u << 22 ||
	    s->max_attaches == 0 || s->max_attaches > 1u << 26)
		return false;

	/* The kernel's split of an id: 15 bits of index, or 24 with more. */
	g->seq_shift = s->max_segments <= 32768 ? 15 : 24;
	at = place(&g->bitmap, at, 8, (s->max_segments + 63) / 64, UINT32_MAX);
	at = place(&g->key_heads, at, 4, LAYOUT_KEY_HEADS, UINT32_MAX);
	at = place(&g->addr_heads, at, 4, LAYOUT_ADDR_HEADS, UINT32_MAX);
	at = place(&g->procs, at, sizeof(struct layout_proc), s->max_procs,
		   CHUNK / sizeof(struct layout_proc));
	at = place(&g->segments, at, sizeof(struct layout_segment),
		   s->max_segments, CHUNK / sizeof(struct layout_segment));
	at = place(&g->attaches, at, sizeof(struct layout_attach),
		   s->max_attaches, CHUNK / sizeof(struct layout_attach));
	g->file_size = at;
	return g->file_size < UINT32_MAX; /* the undo log's offsets */
}

/* ------------------------------------------------------------- the check */

static bool same_array(const struct layout_array *have,
		       const struct layout_array *want)
{
	return have->offset == want->offset && have->size == want->size &&
	       have->capacity == want->capacity &&
	       have->ready <= have->capacity && have->used <= have->ready;
}

static int refuse(struct text *why, int r, const char *what)
{
	text_str(why, what);
	return r;
}

/* Check a copy of the header against the file that it came from. */
static int header_check(const struct layout_header *h, uint32_t uid,
			uint64_t file_size, struct geometry *ret,
			struct text *why)
{
	struct registry_shape shape = { h->segments.capacity, h->procs.capacity,
					h->attaches.capacity };

	if (h->magic != LAYOUT_MAGIC)
		return refuse(why, -EPROTO, "is not a ushm registry (magic)");
	if (h->version != LAYOUT_VERSION) {
		text_str(why, "is a registry of format version ");
		text_uint(why, h->version, 10, 0, ' ');
		text_str(why, ", this ushm knows version ");
		text_uint(why, LAYOUT_VERSION, 10, 0, ' ');
		return -EPROTO;
	}
	if (h->features)
		return refuse(why, -EPROTO,
			      "uses features that this ushm does not know");
	if (h->header_size != sizeof(struct layout_header) ||
	    !geometry_make(&shape, ret) ||
	    !same_array(&h->segments, &ret->segments) ||
	    !same_array(&h->procs, &ret->procs) ||
	    !same_array(&h->attaches, &ret->attaches) ||
	    !same_array(&h->key_heads, &ret->key_heads) ||
	    !same_array(&h->addr_heads, &ret->addr_heads) ||
	    !same_array(&h->bitmap, &ret->bitmap) ||
	    h->seq_shift != ret->seq_shift || h->file_size != ret->file_size)
		return refuse(why, -EPROTO,
			      "is a damaged registry (its sizes do not fit)");
	if (h->uid != uid)
		return refuse(why, -EPROTO,
			      "is a registry made for another user");
	if (h->file_size != file_size)
		return refuse(why, -EPROTO, "is a truncated registry");
	return 0;
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

static void boot_id(char *ret, size_t size)
{
	int fd = sys_openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id",
			    O_RDONLY | O_CLOEXEC, 0);
	long n = 0;

	memset(ret, 0, size);
	if (fd < 0)
		return;
	n = sys_read(fd, ret, 36);
	(void)sys_close(fd);
	if (n != 36)
		memset(ret, 0, size);
}

/* True if both are known and they differ. */
static bool other_boot(const struct layout_header *h)
{
	char now[sizeof(h->boot_id)];

	boot_id(now, sizeof(now));
	return now[0] && h->boot_id[0] &&
	       memcmp(now, h->boot_id, sizeof(now)) != 0;
}

/* ------------------------------------------------------------- the birth */

static int make_ready(int fd, const struct layout_array *a, uint32_t from,
		      uint32_t to)
{
	uint64_t start = a->offset + (uint64_t)from * a->size;
	uint64_t end = a->offset + (uint64_t)to * a->size;
	int r;

	start &= ~(uint64_t)(LAYOUT_PAGE - 1);
	end = page_up(end);
	r = fsize_allocate(fd, start, end - start);

	/* A file system without fallocate() leaves no way to know. */
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static void header_fill(struct layout_header *h, uint32_t uid,
			const struct geometry *g)
{
	/* Linux's own default: unlimited, with room to add without overflow. */
	const uint64_t unlimited = ~UINT64_C(0) - (UINT64_C(1) << 24);

	memset(h, 0, sizeof(*h));
	h->magic = LAYOUT_MAGIC;
	h->version = LAYOUT_VERSION;
	h->header_size = sizeof(*h);
	h->file_size = g->file_size;
	h->uid = uid;
	h->seq_shift = g->seq_shift;
	boot_id((char *)h->boot_id, sizeof(h->boot_id));
	h->segments = g->segments;
	h->procs = g->procs;
	h->attaches = g->attaches;
	h->key_heads = g->key_heads;
	h->addr_heads = g->addr_heads;
	h->bitmap = g->bitmap;
	h->shmmax = unlimited;
	h->shmall = unlimited;
	h->shmmni = g->segments.capacity;
	h->next_id = -1;
	h->next_attach = 1;
}

static int file_build(int fd, uint32_t uid, const struct geometry *g)
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

	header_fill(&h, uid, g);
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
		s.max_segments = 32768;
	if (s.max_procs == 0)
		s.max_procs = 32768;
	if (s.max_attaches == 0)
		s.max_attaches = 262144;
	if (!geometry_make(&s, &g))
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
	r = file_build(fd, uid, &g);
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

/* Remove the segment files of an older boot, then its registry. */
static int file_retire(int dir, const char *name, int fd, uint64_t ino)
{
	_Alignas(8) char buf[2048];
	char prefix[32];
	struct sys_stat st;
	struct text t;
	long n = 0;
	int list, r;

	r = (int)SYS3(SYS_flock, fd, LOCK_EX, 0);
	if (r < 0)
		return r;
	r = sys_stat(dir, name, AT_SYMLINK_NOFOLLOW, &st);
	if (r < 0 || st.ino != ino)
		return 0; /* somebody else has done it */

	/* "seg.<uid>.", as our registry's own name ends */
	text_init(&t, prefix, sizeof(prefix));
	text_str(&t, "seg");
	text_str(&t, strchr(name, '.'));
	text_str(&t, ".");
	list = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (list < 0)
		return list;
	while (r == 0 && (n = sys_getdents(list, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			const struct sys_dirent *d = (void *)(buf + at);

			if (strncmp(d->name, prefix, t.used) == 0)
				r = sys_unlinkat(dir, d->name, 0);
			at += d->length;
		}
	}
	(void)sys_close(list);

	/* As long as there are files, there is a registry that says so. */
	if (r == 0 && n < 0)
		r = (int)n;
	return r < 0 ? r : sys_unlinkat(dir, name, 0);
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

/* 1: it was of an older boot and is gone now. */
static int file_open(int dir, uint32_t uid, struct registry *ret,
		     struct text *why)
{
	struct layout_header h;
	struct sys_space space;
	struct sys_stat st;
	struct geometry g;
	char path[64];
	struct text t;
	long n;
	int fd, r;

	fd = sys_openat(dir, ret->name,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd == -ENOENT)
		return fd;
	if (fd == -ELOOP)
		return refuse(why, fd, "is a symbolic link");
	if (fd < 0)
		return refuse(why, fd, "cannot be opened");

	r = sys_fstat(fd, &st);
	if (r < 0)
		goto out;
	r = file_check(&st, uid, why);
	if (r < 0)
		goto out;
	n = sys_read(fd, &h, sizeof(h));
	if (n != (long)sizeof(h)) {
		r = refuse(why, n < 0 ? (int)n : -EPROTO, "cannot be read");
		goto out;
	}
	r = header_check(&h, uid, st.size, &g, why);
	if (r < 0)
		goto out;

	if (other_boot(&h)) {
		text_init(&t, path, sizeof(path));
		text_str(&t, "/proc/self/fd/");
		text_uint(&t, (uint64_t)fd, 10, 0, ' ');
		if (sys_statfs(path, &space) == 0 && space.type == TMPFS_TYPE) {
			r = refuse(why, -ESTALE,
				   "is in use by another running system");
			goto out;
		}
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

int registry_open(int dir, uint32_t uid, bool create,
		  const struct registry_shape *shape, struct registry *ret,
		  struct text *why)
{
	struct text t;
	int r;

	memset(ret, 0, sizeof(*ret));
	text_init(&t, ret->name, sizeof(ret->name));
	text_str(&t, "registry.");
	text_uint(&t, uid, 10, 0, ' ');

	for (int attempt = 0; attempt < 8; attempt++) {
		r = file_open(dir, uid, ret, why);
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

/* Where the array is and how large: not as it says, but as it must be. */
static struct layout_array array_as_made(const struct registry *r,
					 const struct layout_array *array)
{
	struct registry_shape shape = { r->max_segments, r->max_procs,
					r->max_attaches };
	struct geometry g = { 0 };

	(void)geometry_make(&shape, &g);
	return array == &r->h->segments ? g.segments
	       : array == &r->h->procs	? g.procs
					: g.attaches;
}

struct growth {
	const struct registry *r;
	const char *path; /* of the file */
	const struct layout_array *made;
	uint32_t ready, want;
};

static int do_grow(void *arg)
{
	const struct growth *g = arg;
	struct sys_stat st;
	int fd, ret;

	fd = sys_openat(AT_FDCWD, g->path,
			O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ret = sys_fstat(fd, &st);
	if (ret == 0 && (st.dev != g->r->dev || st.ino != g->r->ino))
		ret = -ESTALE;
	if (ret == 0)
		ret = make_ready(fd, g->made, g->ready, g->want);
	(void)sys_close(fd);
	return ret;
}

int registry_grow(struct registry *r, const char *path,
		  struct layout_array *array)
{
	const struct layout_array made = array_as_made(r, array);
	uint32_t ready = load_acquire(&array->ready), want;
	uint32_t chunk = CHUNK / made.size;
	char file[PATH_ROOM];
	struct growth g;
	struct text t;
	int ret;

	if (ready >= made.capacity)
		return -ENOSPC;
	if (chunk < ready / 2)
		chunk = ready / 2;
	want = made.capacity - ready > chunk ? ready + chunk : made.capacity;

	text_init(&t, file, sizeof(file));
	text_str(&t, path);
	text_str(&t, "/");
	text_str(&t, r->name);
	if (t.full)
		return -ENAMETOOLONG;
	g = (struct growth){ r, file, &made, ready, want };
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
