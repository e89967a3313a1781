/* SPDX-License-Identifier: MIT */
#include "journal/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backing/journal.h"
#include "base/checksum.h"
#include "base/sys.h"

struct disk disk;
enum mutation mutation;
void (*disk_moment)(void);
struct disk_fate fate;

static uint16_t serial; /* of the last write */

static void impossible(const char *what, long detail)
{
	fprintf(stderr, "== the library %s: %ld\n", what, detail);
	abort();
}

/* ------------------------------------------------------------ what may be */

/* Sectors by content: the same one has the same number. */
#define STORE (1u << 16)
static uint8_t store[STORE][SECTOR];
static uint32_t stored = 1; /* 0: zeros */

const uint8_t *disk_sector(uint32_t value)
{
	return store[value];
}

static uint32_t table[STORE * 2], slot[STORE];

static uint32_t store_sector(const uint8_t *bytes)
{
	uint64_t hash = checksum_of(bytes, SECTOR, 0);
	static const uint8_t zeros[SECTOR];
	uint32_t *at;

	if (memcmp(bytes, zeros, SECTOR) == 0)
		return 0;
	for (;; hash++) {
		at = &table[hash % (STORE * 2)];
		if (*at == 0)
			break;
		if (memcmp(store[*at], bytes, SECTOR) == 0)
			return *at;
	}
	if (stored == STORE) {
		fprintf(stderr, "too many sectors for this test\n");
		abort();
	}
	memcpy(store[stored], bytes, SECTOR);
	slot[stored] = (uint32_t)(at - table);
	return *at = stored++;
}

uint32_t disk_mark(void)
{
	return stored;
}

void disk_release(uint32_t mark)
{
	while (stored > mark)
		table[slot[--stored]] = 0;
}

static void maybe_be(struct maybe *m, uint32_t value, bool dirties)
{
	if (dirties)
		m->dirty = true;
	if (m->value[m->n - 1] == value)
		return;
	if (m->n == MAYBE) { /* without the oldest that is not certain */
		for (unsigned i = 2; i < MAYBE; i++) {
			m->value[i - 1] = m->value[i];
			m->serial[i - 1] = m->serial[i];
		}
		m->n--;
	}
	m->value[m->n] = value;
	m->serial[m->n] = serial;
	m->n++;
}

static void maybe_flush(struct maybe *m, bool well)
{
	if (m->dirty && well) {
		m->value[0] = m->value[m->n - 1];
		m->serial[0] = 0;
		m->n = 1;
	}
	m->dirty = false;
}

/* From the kernel's memory. */
static void note_sectors(struct disk_file *f, uint64_t from, uint64_t to)
{
	if (to > ROOM)
		to = ROOM;
	for (uint64_t i = from / SECTOR; i * SECTOR < to; i++) {
		struct maybe *m = &f->sectors[i];
		uint32_t value = store_sector(f->bytes + i * SECTOR);

		maybe_be(m, value,
			 mutation != NO_REWRITING ||
				 value != m->value[m->n - 1]);
	}
}

static void flush_file(struct disk_file *f, bool well)
{
	for (unsigned i = 0; i < SECTORS; i++)
		maybe_flush(&f->sectors[i], well);
	maybe_flush(&f->sizes, well);
}

static void certain(struct maybe *m, uint32_t value)
{
	*m = (struct maybe){ .n = 1 };
	m->value[0] = value;
}

void disk_set_sector(int f, unsigned at, const uint8_t *sector)
{
	struct disk_file *file = &disk.file[f];

	memmove(file->bytes + (size_t)at * SECTOR, sector, SECTOR);
	certain(&file->sectors[at], store_sector(sector));
}

void disk_set_size(int f, uint64_t size)
{
	struct disk_file *file = &disk.file[f];

	file->size = size;
	certain(&file->sizes, (uint32_t)size);
	if (size >= ROOM)
		return;
	memset(file->bytes + size, 0, ROOM - size);
	for (uint64_t i = size / SECTOR; i < SECTORS; i++)
		certain(&file->sectors[i],
			store_sector(file->bytes + i * SECTOR));
}

void disk_set_named(bool named)
{
	disk.named = named;
	certain(&disk.names, named);
}

static void settle(void)
{
	for (int f = 0; f < FILES; f++) {
		for (unsigned i = 0; i < SECTORS; i++)
			disk_set_sector(
				f, i, disk.file[f].bytes + (size_t)i * SECTOR);
		disk_set_size(f, disk.file[f].size);
	}
	disk_set_named(disk.named);
}

void disk_begin(const uint8_t *bytes, uint64_t size)
{
	memset(&disk, 0, sizeof(disk));
	memset(&fate, 0, sizeof(fate));
	memset(table, 0, sizeof(table));
	stored = 1;
	disk.file[DATA].ino = 7;
	disk.file[DATA].size = size;
	memcpy(disk.file[DATA].bytes, bytes, size);
	disk.file[SIDECAR].ino = 8;
	settle();
}

void disk_write_plainly(uint64_t at, const void *bytes, size_t n)
{
	struct disk_file *f = &disk.file[DATA];

	memcpy(f->bytes + at, bytes, n);
	serial++;
	note_sectors(f, at, at + n);
	flush_file(f, true);
}

/* ---------------------------------------------------------------- changes */

/* A change begins: is it the last one? Returns the bytes to be done. */
static uint64_t change(uint64_t bytes)
{
	serial++;
	if (++fate.changes == fate.die_at && fate.die_after < bytes)
		return fate.die_after;
	return bytes;
}

static void changed(void)
{
	if (fate.changes == fate.die_at)
		longjmp(fate.dead, 1);
}

static struct disk_file *file_of(long fd)
{
	if (fd != FD_DATA && fd != FD_SIDECAR)
		impossible("uses a descriptor that it does not have", fd);
	return &disk.file[fd == FD_DATA ? DATA : SIDECAR];
}

static bool is_header(const struct disk_file *f, uint64_t at, uint64_t n)
{
	return f == &disk.file[SIDECAR] && at == 0 && n == SECTOR;
}

static long do_pwritev(long fd, const struct iovec *iov, long n, uint64_t at,
		       bool half)
{
	struct disk_file *f = file_of(fd);
	uint64_t size = 0, todo, done = 0;

	for (long i = 0; i < n; i++)
		size += iov[i].iov_len;
	if (at > ROOM || size > ROOM - at)
		return -EFBIG;
	if (mutation == NO_EMPTYING && is_header(f, at, size))
		return (long)size;
	todo = change(half && size > 1 ? size / 2 : size);
	for (long i = 0; i < n && done < todo; i++) {
		uint64_t part = iov[i].iov_len < todo - done ? iov[i].iov_len
							     : todo - done;

		memcpy(f->bytes + at + done, iov[i].iov_base, part);
		done += part;
	}
	if (done) {
		note_sectors(f, at, at + done);
		if (at + done > f->size) {
			f->size = at + done;
			maybe_be(&f->sizes, (uint32_t)f->size, true);
		}
	}
	changed();
	return (long)done;
}

static long do_resize(long fd, uint64_t size)
{
	struct disk_file *f = file_of(fd);
	uint64_t old = f->size;

	if (size > UINT32_MAX)
		return -EFBIG;
	if (change(1)) {
		f->size = size;
		/* Beyond the end there are zeros, whenever it moves. */
		if (size < old && size < ROOM)
			memset(f->bytes + size, 0, ROOM - size);
		note_sectors(f, size < old ? size : old, ROOM);
		maybe_be(&f->sizes, (uint32_t)size, true);
	}
	changed();
	return 0;
}

static bool is_left_out(long fd)
{
	uint32_t state;

	memcpy(&state, disk.file[SIDECAR].bytes + 12, sizeof(state));
	switch (mutation) {
	case NO_JOURNAL_FLUSH:
		return fd == FD_SIDECAR && state == 2;
	case NO_EMPTY_FLUSH:
		return fd == FD_SIDECAR && state == 1;
	case NO_DATA_FLUSH:
		return fd == FD_DATA;
	case NO_NAME_FLUSH:
		return fd == FD_PARENT;
	default:
		return false;
	}
}

static long do_flush(long fd, bool well)
{
	if (disk_moment)
		disk_moment();
	if (change(1) && !is_left_out(fd)) {
		if (fd == FD_PARENT)
			maybe_flush(&disk.names, well);
		else
			flush_file(file_of(fd), well);
	}
	changed();
	return 0;
}

/* ------------------------------------------------------------------ calls */

static void name_sidecar(bool named)
{
	struct disk_file *f = &disk.file[SIDECAR];

	if (change(1)) {
		disk.named = named;
		maybe_be(&disk.names, named, true);
		if (named) {
			f->size = 0;
			memset(f->bytes, 0, ROOM);
			for (unsigned i = 0; i < SECTORS; i++)
				certain(&f->sectors[i], 0);
			certain(&f->sizes, 0);
		}
	}
	changed();
}

static long do_openat(long dir, const char *name, long flags)
{
	if (dir != FD_DIR)
		impossible("leaves its directory", dir);
	if (strcmp(name, ".") == 0)
		return FD_PARENT;
	if (strcmp(name, SIDECAR_NAME) != 0)
		impossible("opens something else", 0);
	if (!disk.named) {
		if (!(flags & O_CREAT))
			return -ENOENT;
		name_sidecar(true);
	}
	return FD_SIDECAR;
}

static long do_stat(long fd, const char *name, struct stat *st)
{
	const struct disk_file *f;

	if (fd == FD_DIR && !disk.named)
		return -ENOENT;
	f = fd == FD_DIR ? &disk.file[SIDECAR] : file_of(fd);
	(void)name;
	memset(st, 0, sizeof(*st));
	st->st_dev = 1;
	st->st_ino = f->ino;
	st->st_size = (off_t)f->size;
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	st->st_blocks = ROOM / 512;
	return 0;
}

static long do_statx(long fd, struct sys_statx *sx)
{
	memset(sx, 0, sizeof(*sx));
	sx->ino = mutation == NO_IDENTITY ? 7 : file_of(fd)->ino;
	return 0;
}

static long do_pread(long fd, char *buf, uint64_t size, uint64_t at)
{
	const struct disk_file *f = file_of(fd);
	uint64_t have;

	if (at >= f->size)
		return 0;
	if (size > f->size - at)
		size = f->size - at;
	have = at >= ROOM ? 0 : size > ROOM - at ? ROOM - at : size;
	if (have)
		memcpy(buf, f->bytes + at, have);
	memset(buf + have, 0, size - have);
	return (long)size;
}

/* True if this call fails, or with fail_with 0 comes short. */
static bool fails(long n)
{
	switch (n) {
	case SYS_openat:
	case SYS_newfstatat:
	case SYS_statx:
	case SYS_fcntl:
	case SYS_pread64:
	case SYS_pwritev:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_unlinkat:
	case SYS_mmap:
		break;
	default:
		return false;
	}
	if (++fate.calls != fate.fail_at)
		return false;
	fate.failed = true;
	return true;
}

#ifdef USHM_WATCHED
long watch_call(long n, long a, long b, long c, long d, long e, long f)
{
	static char memory[256 << 10];
	bool failing = fails(n);

	(void)f;
	if (failing && fate.fail_with) {
		if (n == SYS_fsync || n == SYS_fdatasync)
			(void)do_flush(a, false);
		return -fate.fail_with;
	}
	switch (n) {
	case SYS_openat:
		return do_openat(a, (const char *)b, c);
	case SYS_newfstatat:
		return do_stat(a, (const char *)b, (struct stat *)c);
	case SYS_statx:
		return do_statx(a, (struct sys_statx *)e);
	case SYS_pread64:
		return do_pread(a, (char *)b,
				failing && c > 1 ? (uint64_t)c / 2
						 : (uint64_t)c,
				(uint64_t)d);
	case SYS_pwritev:
		return do_pwritev(a, (const struct iovec *)b, c, (uint64_t)d,
				  failing);
	case SYS_fsync:
	case SYS_fdatasync:
		return do_flush(a, true);
	case SYS_ftruncate:
		return do_resize(a, (uint64_t)b);
	case SYS_fallocate:
		if (b == 0 && (uint64_t)(c + d) > file_of(a)->size)
			return do_resize(a, (uint64_t)(c + d));
		return 0;
	case SYS_unlinkat:
		name_sidecar(false);
		return 0;
	case SYS_fcntl:
		return b == F_GETFL ? O_RDWR : 0;
	case SYS_close:
	case SYS_fchmod:
	case SYS_fchown:
	case SYS_geteuid:
		return 0;
	case SYS_munmap:
		return 0;
	case SYS_mmap:
		if ((size_t)b > sizeof(memory))
			return -ENOMEM;
		return (long)memory;
	case SYS_prlimit64:
		*(struct sys_rlimit *)d = (struct sys_rlimit){ ~0ul, ~0ul };
		return 0;
	default:
		impossible("makes a call that the disk does not know", n);
		return 0;
	}
}
#endif

/* ------------------------------------- the checksums: linked with --wrap */

uint64_t __real_checksum_end(struct checksum *c);
uint64_t __wrap_checksum_end(struct checksum *c);
uint64_t __wrap_checksum_end(struct checksum *c)
{
	return mutation == NO_BODY_CHECKSUM ? 0 : __real_checksum_end(c);
}

uint64_t __real_checksum_of(const void *data, size_t n, uint64_t seed);
uint64_t __wrap_checksum_of(const void *data, size_t n, uint64_t seed);
uint64_t __wrap_checksum_of(const void *data, size_t n, uint64_t seed)
{
	/* The disk has one of its own to tell sectors by, with seed 0. */
	return mutation == NO_HEADER_CHECKSUM && seed != 0
		       ? 0
		       : __real_checksum_of(data, n, seed);
}
