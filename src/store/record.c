/* SPDX-License-Identifier: MIT */
/*
 * Owns how a record gets onto the disk and off it.
 *
 * Invariant: under its name a record is whole. It is written under another
 * name, "<name>.new", flushed, and renamed; then the names are flushed.
 * Lock: none; who writes one keeps others from it.
 * Crash: before the rename the old record stands, and a "<name>.new" is left,
 * which the next writer, a restoration or a cleaning removes. After it the new
 * one stands for all who look; for a power cut, once the names are flushed.
 */
#include "store/record.h"

#include <stdio.h> /* RENAME_NOREPLACE */
#include <string.h>
#include <sys/shm.h>

#include "base/checksum.h"
#include "base/fsize.h"
#include "base/step.h"
#include "base/text.h"
#include "store/layout.h"
#include "store/verify.h"

#ifndef RENAME_NOREPLACE /* musl */
#define RENAME_NOREPLACE 1
#endif

/* 'record' is changed and changed back: it is the caller's own copy. */
static uint64_t check_of(struct record_head *record, size_t size)
{
	uint64_t check = record->check, found;

	record->check = 0;
	found = checksum_of(record, size, 0);
	record->check = check;
	return found;
}

static int dir_flush_result(int r)
{
	/* There is nothing to flush on such a file system. */
	return r == -EINVAL || r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

int record_flush_names(int dir)
{
	/* 'dir' may be one that only names the directory (O_PATH). */
	int fd = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return fd;
	r = dir_flush_result(sys_fsync(fd));
	(void)sys_close(fd);
	return r;
}

static int write_new(int dir, const char *name, const void *record, size_t size,
		     bool flush)
{
	int fd, r;

	(void)sys_unlinkat(dir, name, 0);
	fd = sys_openat(dir, name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	if (fd < 0)
		return fd;
	step("record: new file created");
	r = (int)SYS3(SYS_fchmod, fd, 0600, 0); /* whatever the umask */
	if (r == 0)
		r = fsize_write(fd, record, size);
	if (r == 0 && flush)
		r = sys_fsync(fd);
	(void)sys_close(fd);
	if (r < 0)
		(void)sys_unlinkat(dir, name, 0);
	return r;
}

static void head_fill(struct record_head *record, uint64_t magic, size_t size)
{
	record->magic = magic;
	record->version = RECORD_VERSION;
	record->size = (uint32_t)size;
	record->check = check_of(record, size);
}

static void new_name(const char *name, char buf[RECORD_NAME])
{
	struct text t;

	text_init(&t, buf, RECORD_NAME);
	text_str(&t, name);
	text_str(&t, ".new");
}

static int write_record(int dir, const char *name, uint64_t magic,
			struct record_head *record, size_t size, bool flush)
{
	char new[RECORD_NAME];
	int r;

	head_fill(record, magic, size);
	new_name(name, new);
	r = write_new(dir, new, record, size, flush);
	if (r < 0)
		return r;
	step("record: new file flushed");
	r = sys_renameat(dir, new, dir, name);
	if (r < 0) {
		(void)sys_unlinkat(dir, new, 0);
		return r;
	}
	step("record: in place");
	return flush ? record_flush_names(dir) : 0;
}

int record_write(int dir, const char *name, uint64_t magic,
		 struct record_head *record, size_t size)
{
	return write_record(dir, name, magic, record, size, true);
}

int record_write_unflushed(int dir, const char *name, uint64_t magic,
			   struct record_head *record, size_t size)
{
	return write_record(dir, name, magic, record, size, false);
}

int record_create(int dir, const char *name, uint64_t magic,
		  struct record_head *record, size_t size)
{
	char new[RECORD_NAME];
	struct text t;
	int r;

	head_fill(record, magic, size);
	text_init(&t, new, sizeof(new));
	text_str(&t, name);
	text_str(&t, ".new-"); /* two may do this at once */
	text_uint(&t, (uint64_t)sys_gettid(), 10, 0, ' ');
	r = write_new(dir, new, record, size, true);
	if (r < 0)
		return r;
	r = sys_linkat(dir, new, dir, name, 0);
	if (r == -EPERM || r == -EACCES || r == -EOPNOTSUPP)
		r = (int)SYS6(SYS_renameat2, dir, new, dir, name,
			      RENAME_NOREPLACE, 0); /* no hard links here */
	step("record: linked");
	(void)sys_unlinkat(dir, new, 0);
	return r < 0 ? r : record_flush_names(dir);
}

int record_read_open(int fd, uint64_t magic, struct record_head *ret,
		     size_t size)
{
	struct sys_stat st;
	long n;
	int r = sys_fstat(fd, &st);

	if (r < 0)
		return r;
	if (!S_ISREG(st.mode) || st.size != size)
		return -EPROTO;
	n = sys_pread(fd, ret, size, 0);
	if (n < 0)
		return (int)n;
	return n == (long)size && ret->magic == magic &&
			       ret->version == RECORD_VERSION &&
			       ret->size == size &&
			       ret->check == check_of(ret, size)
		       ? 0
		       : -EPROTO;
}

int record_read(int dir, const char *name, uint64_t magic,
		struct record_head *ret, size_t size)
{
	int fd, r;

	fd = sys_openat(dir, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd == -ELOOP || fd == -ENXIO)
		return -EPROTO;
	if (fd < 0)
		return fd;
	r = record_read_open(fd, magic, ret, size);
	(void)sys_close(fd);
	return r;
}

int record_remove(int dir, const char *name)
{
	int r = sys_unlinkat(dir, name, 0);

	step("record: removed");
	/* Who removed it before us may not have come to this. */
	return r < 0 && r != -ENOENT ? r : record_flush_names(dir);
}

void record_segment_name(int id, const char *what, char buf[RECORD_NAME])
{
	struct text t;

	text_init(&t, buf, RECORD_NAME);
	text_str(&t, "seg.");
	text_uint(&t, (uint64_t)id, 10, 0, ' ');
	text_str(&t, ".");
	text_str(&t, what);
}

int record_segment_id(const char *name, const char *what)
{
	const char *s = name + 4;
	uint64_t id;

	if (strncmp(name, "seg.", 4) != 0 || (*s == '0' && s[1] != '.') ||
	    !text_parse(&s, s + strspn(s, "0123456789"), 10, &id) ||
	    id > INT32_MAX || *s++ != '.' || strcmp(s, what) != 0)
		return -1;
	return (int)id;
}

bool record_segment_good(const struct record_segment *s, int id)
{
	return s->id == id && verify_size_good(s->size) &&
	       !(s->mode & ~0777u) &&
	       !(s->flags & ~(uint32_t)(SEG_HUGE | SEG_NORESERVE));
}

bool record_limits_good(const struct record_limits *l, uint64_t max_segments)
{
	return l->shmmni <= max_segments && l->rmid_forced <= 1;
}
