/* SPDX-License-Identifier: MIT */
/*
 * What the sidecar says: nothing (EMPTY), or a set of changes (FULL).
 *
 *	0	the header: one sector of 512 bytes, which a disk writes wholly
 *		or not at all; were it torn, its checksum would say so
 *	512	one range (offset, length) of the data file for each place
 *		that changes, in ascending order
 *	4096 n	their new bytes, range after range
 *
 * A commit, under the lock of the sidecar:
 *
 *	finish what an earlier one has left
 *	write ranges, bytes and a header that says FULL; flush the sidecar
 *	change the data file; flush it
 *	write a header that says EMPTY; flush the sidecar
 *
 * What always holds, however the disk orders and drops the writes between two
 * flushes: the data file changes only while the sidecar on the disk is FULL,
 * and what it is full of would repeat the changes. Before the first flush ends
 * it is FULL only if all of it has arrived: the header has the checksum of the
 * rest, begun with the header's own sequence number, and one of itself. The
 * last flush is for the sake of those who do not know of the journal: once a
 * commit has returned, no power cut can bring back a FULL one and undo what
 * they have written since. Without them (journal_place.alone) it is left out: a
 * FULL one that comes back repeats what the file has.
 *
 * A header that is FULL over ranges and bytes that are not of it is emptied
 * before the next commit writes: else that one could, cut off, complete it.
 *
 * What is found in the sidecar after a kill may be in the kernel's memory only,
 * and a flush that failed once may have left it there for good. So a replay
 * writes it once more, and flushes, before it relies on it. The data file gets
 * all changes again, also those that can be seen in it.
 *
 * The file that is meant is known by inode and birth time, not by its device
 * number, which may change from one start of the machine to the next; the
 * sidecar's must be the same as the data file's instead.
 */
#include "backing/journal.h"

#include <assert.h>
#include <string.h>

#include "backing/sidecar.h"
#include "base/checksum.h"
#include "base/fsize.h"
#include "base/step.h"
#include "base/transfer.h"

#define MAGIC	UINT64_C(0x314c4e4a6d687375) /* "ushmJNL1" */
#define VERSION 1u
#define BLOCK	4096u

enum { EMPTY = 1, FULL = 2 };

struct header {
	uint64_t magic;
	uint32_t version, state;
	uint64_t sequence;	     /* of the commit; the next has one more */
	uint64_t ino;		     /* of the data file */
	int64_t born;		     /* the same */
	uint64_t old_size, new_size; /* the same */
	uint64_t nranges;
	uint64_t length; /* of all of them */
	uint64_t body;	 /* checksum of the ranges, then the bytes */
	uint64_t spare[53];
	uint64_t sum; /* checksum of what is before */
};
static_assert(sizeof(struct header) == 512, "a sector");

struct range {
	uint64_t offset, length;
};

/* The data file and its journal, while a call works on them. */
struct work {
	int fd;
	struct sys_stat file;
	struct sys_identity id;
	struct sidecar sc;
	struct header head; /* as found, or as last written */
	bool known;	    /* the header is one of ours */
};

static uint64_t round_up(uint64_t n)
{
	return (n + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
}

/* Where the bytes begin. */
static uint64_t bytes_at(uint64_t nranges)
{
	return round_up(sizeof(struct header) + nranges * sizeof(struct range));
}

static uint64_t header_sum(const struct header *h)
{
	return checksum_of(h, offsetof(struct header, sum), MAGIC);
}

/* ---------------------------------------------------------------- states */

/* Nothing is to be done any more. */
static int write_empty(struct work *w)
{
	uint64_t sequence = w->known ? w->head.sequence : 0;
	int r;

	w->head = (struct header){
		.magic = MAGIC,
		.version = VERSION,
		.state = EMPTY,
		.sequence = sequence,
	};
	w->head.sum = header_sum(&w->head);
	w->known = true;
	r = transfer_put(w->sc.fd, 0, &w->head, sizeof(w->head));
	step("journal: empty");
	return r;
}

/* And the disk knows it. */
static int make_empty(struct work *w)
{
	int r = write_empty(w);

	return r < 0 ? r : transfer_flush(w->sc.fd, false);
}

/* Is the header one of ours, and what does it say? */
static int read_header(struct work *w)
{
	struct header *h = &w->head;
	int r = transfer_get(w->sc.fd, 0, h, sizeof(*h));

	w->known = false;
	if (r == -ENODATA)
		return 0; /* shorter */
	if (r < 0)
		return r;
	if (h->magic != MAGIC || h->sum != header_sum(h))
		return 0;
	if (h->version != VERSION)
		return -EPROTO;
	w->known = h->state == EMPTY || h->state == FULL;
	return 0;
}

static int begin(struct work *w, const struct journal_place *place, int fd,
		 bool create)
{
	int r;

	w->fd = fd;
	r = sys_fstat(fd, &w->file);
	if (r < 0)
		return r;
	if (!S_ISREG(w->file.mode))
		return -EINVAL;
	r = sidecar_open(place, &w->file, create, &w->sc);
	if (r < 0)
		return r;

	/* As it is now that nobody else commits. */
	r = sys_fstat(fd, &w->file);
	if (r == 0)
		r = sys_identity(fd, "", AT_EMPTY_PATH, &w->id);
	if (r == 0)
		r = read_header(w);
	if (r < 0)
		sidecar_close(&w->sc);
	return r;
}

/* At its offsets, and nowhere else. */
static int writable(int fd)
{
	int flags = sys_fcntl(fd, F_GETFL, 0);

	if (flags < 0)
		return flags;
	if ((flags & O_ACCMODE) == O_RDONLY || flags & O_PATH)
		return -EBADF;
	return flags & O_APPEND ? -EINVAL : 0;
}

/* ---------------------------------------------------------------- replay */

#define BUFFER (256u << 10)

static size_t piece(uint64_t left)
{
	return left < BUFFER ? (size_t)left : BUFFER;
}

static int add_to_sum(struct work *w, char *buf, uint64_t at, uint64_t length,
		      struct checksum *sum)
{
	size_t n;
	int r;

	for (; length; length -= n, at += n) {
		n = piece(length);
		r = transfer_get(w->sc.fd, at, buf, n);
		if (r < 0)
			return r;
		checksum_add(sum, buf, n);
	}
	return 0;
}

/* From the sidecar to a file. */
static int copy(struct work *w, char *buf, uint64_t from, uint64_t length,
		int fd, uint64_t to)
{
	size_t n;
	int r;

	for (; length; length -= n, from += n, to += n) {
		n = piece(length);
		r = transfer_get(w->sc.fd, from, buf, n);
		if (r == 0)
			r = transfer_put(fd, to, buf, n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int get_range(const struct work *w, uint64_t i, struct range *ret)
{
	return transfer_get(w->sc.fd, sizeof(struct header) + i * sizeof(*ret),
			    ret, sizeof(*ret));
}

/* What no commit has written is not there, whatever its checksum says. */
static int check_ranges(struct work *w)
{
	const struct header *h = &w->head;
	uint64_t end = 0, total = 0;
	struct range range;
	int r;

	for (uint64_t i = 0; i < h->nranges; i++) {
		r = get_range(w, i, &range);
		if (r < 0)
			return r;
		if (range.length == 0 || range.offset < end ||
		    range.offset > h->new_size ||
		    range.length > h->new_size - range.offset)
			return -ENODATA;
		end = range.offset + range.length;
		total += range.length;
	}
	return total == h->length ? 0 : -ENODATA;
}

/* -ENODATA: the header is FULL, the rest is not of it. */
static int check_body(struct work *w, char *buf)
{
	const struct header *h = &w->head;
	uint64_t size = w->sc.size, at;
	struct checksum sum;
	int r;

	/* No range is empty, and none overlaps another. */
	if (h->nranges > size / sizeof(struct range) ||
	    h->nranges > h->length || h->length > h->new_size)
		return -ENODATA;
	at = bytes_at(h->nranges);
	if (h->length && (at > size || h->length > size - at))
		return -ENODATA;

	checksum_begin(&sum, h->sequence);
	r = add_to_sum(w, buf, sizeof(*h), h->nranges * sizeof(struct range),
		       &sum);
	if (r == 0)
		r = add_to_sum(w, buf, at, h->length, &sum);
	if (r == 0 && checksum_end(&sum) != h->body)
		r = -ENODATA;
	return r < 0 ? r : check_ranges(w);
}

static bool fits(const struct work *w)
{
	const struct header *h = &w->head;

	return h->ino == w->id.ino && h->born == w->id.born &&
	       (w->file.size == h->old_size || w->file.size == h->new_size);
}

/* Even if it has that size by now; and what it gains are zeros. */
static int set_size_again(struct work *w)
{
	const struct header *h = &w->head;
	int r = 0;

	if (h->old_size < h->new_size)
		r = fsize_truncate(w->fd, h->old_size);
	if (r == 0)
		r = fsize_truncate(w->fd, h->new_size);
	step("journal: file sized again");
	return r;
}

static int apply_found(struct work *w, char *buf)
{
	uint64_t at = bytes_at(w->head.nranges);
	struct range range;
	int r;

	/* It may never have come to the disk. */
	r = copy(w, buf, 0, at, w->sc.fd, 0);
	if (r == 0)
		r = copy(w, buf, at, w->head.length, w->sc.fd, at);
	if (r == 0)
		r = transfer_flush(w->sc.fd, false);
	if (r < 0)
		return r;
	step("journal: found on the disk");

	r = set_size_again(w);
	for (uint64_t i = 0; r == 0 && i < w->head.nranges; i++) {
		r = get_range(w, i, &range);
		if (r == 0)
			r = copy(w, buf, at, range.length, w->fd, range.offset);
		at += range.length;
	}
	w->file.size = w->head.new_size;
	return r < 0 ? r : transfer_flush(w->fd, true);
}

static int finish_with(struct work *w, char *buf, unsigned options)
{
	int r = check_body(w, buf);

	if (r == -ENODATA)
		return make_empty(w);
	if (r < 0)
		return r;
	if (!fits(w) && !(options & JOURNAL_ADOPT))
		return -ESTALE;
	r = writable(w->fd);
	if (r == 0)
		r = apply_found(w, buf);
	if (r == 0)
		r = make_empty(w);
	return r < 0 ? r : 1;
}

/* Whatever an earlier commit has left. 1: it was complete, and is done. */
static int finish(struct work *w, unsigned options)
{
	char *buf;
	int r;

	if (!w->known || w->head.state == EMPTY)
		return 0;
	buf = sys_mmap(NULL, BUFFER, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(buf))
		return (int)(intptr_t)buf;
	r = finish_with(w, buf, options);
	(void)sys_munmap(buf, BUFFER);
	return r;
}

int journal_replay(const struct journal_place *place, int fd, unsigned options)
{
	struct work w = { 0 };
	int r = begin(&w, place, fd, false);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = finish(&w, options);
	sidecar_close(&w.sc);
	return r;
}

/* ---------------------------------------------------------------- commit */

struct changes {
	const struct journal_run *runs;
	size_t n;
	uint64_t size; /* of the data file */
};

static int check_changes(const struct changes *c)
{
	uint64_t end = 0;

	if (c->size > INT64_MAX)
		return -EFBIG;
	for (size_t i = 0; i < c->n; i++) {
		const struct journal_run *run = &c->runs[i];

		if (run->length == 0 || run->offset < end ||
		    run->offset > c->size ||
		    run->length > c->size - run->offset)
			return -EINVAL;
		end = run->offset + run->length;
	}
	return 0;
}

/* The range that begins with run 'i'; returns the run behind it. */
static size_t next_range(const struct changes *c, size_t i, struct range *ret)
{
	uint64_t offset = c->runs[i].offset, end = offset;

	for (; i < c->n && c->runs[i].offset == end; i++)
		end += c->runs[i].length;
	*ret = (struct range){ offset, end - offset };
	return i;
}

/* Blocks for what the file does not have yet: later there is no way back. */
static int reserve_in_file(const struct work *w, const struct changes *c)
{
	struct range range;
	int r = 0;

	if (c->size <= w->file.size && w->file.blocks >= w->file.size / 512)
		return 0;
	for (size_t i = 0; r == 0 && i < c->n;) {
		i = next_range(c, i, &range);
		do
			r = sys_fallocate(w->fd, FALLOC_FL_KEEP_SIZE,
					  range.offset, range.length);
		while (r == -EINTR);
	}
	return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static void fill_header(struct work *w, const struct changes *c)
{
	struct header h = {
		.magic = MAGIC,
		.version = VERSION,
		.state = FULL,
		.sequence = (w->known ? w->head.sequence : 0) + 1,
		.ino = w->id.ino,
		.born = w->id.born,
		.old_size = w->file.size,
		.new_size = c->size,
	};
	struct checksum sum;
	struct range range;

	checksum_begin(&sum, h.sequence);
	for (size_t i = 0; i < c->n; h.nranges++) {
		i = next_range(c, i, &range);
		checksum_add(&sum, &range, sizeof(range));
		h.length += range.length;
	}
	for (size_t i = 0; i < c->n; i++)
		checksum_add(&sum, c->runs[i].data, c->runs[i].length);
	h.body = checksum_end(&sum);
	h.sum = header_sum(&h);
	w->head = h;
	w->known = true;
}

/* The header and the ranges; the rest of the last block is zeros. */
static int put_ranges(struct transfer *out, const struct work *w,
		      const struct changes *c, char *block)
{
	size_t used = sizeof(w->head);
	struct range range;
	uint64_t at = 0;
	int r;

	memset(block, 0, BLOCK);
	memcpy(block, &w->head, sizeof(w->head));
	for (size_t i = 0; i < c->n; used += sizeof(range)) {
		if (used == BLOCK) {
			r = transfer_put(out->fd, at, block, BLOCK);
			if (r < 0)
				return r;
			memset(block, 0, BLOCK);
			at += BLOCK;
			used = 0;
		}
		i = next_range(c, i, &range);
		memcpy(block + used, &range, sizeof(range));
	}
	return transfer_add(out, at, block, BLOCK);
}

static int put_bytes(struct transfer *out, const struct changes *c, uint64_t at)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		r = transfer_add(out, at, c->runs[i].data, c->runs[i].length);
		at += c->runs[i].length;
	}
	return r < 0 ? r : transfer_end(out);
}

static int write_journal(struct work *w, const struct changes *c)
{
	struct transfer out = { .fd = w->sc.fd };
	char block[BLOCK];
	int r;

	r = put_ranges(&out, w, c, block);
	if (r == 0)
		r = put_bytes(&out, c, bytes_at(w->head.nranges));
	if (r < 0)
		return r;
	step("journal: full");
	return transfer_flush(w->sc.fd, false);
}

static int apply(struct work *w, const struct changes *c)
{
	bool resized = w->file.size != c->size;
	struct transfer out = { .fd = w->fd };
	int r = 0;

	if (resized)
		r = fsize_truncate(w->fd, c->size);
	step("journal: file sized");
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = transfer_add(&out, c->runs[i].offset, c->runs[i].data,
				 c->runs[i].length);
	if (r == 0)
		r = transfer_end(&out);
	return r < 0 ? r : transfer_flush(w->fd, resized);
}

static int commit(struct work *w, const struct changes *c)
{
	bool named = w->known;
	int r;

	r = reserve_in_file(w, c);
	if (r < 0)
		return r;
	fill_header(w, c);
	r = sidecar_reserve(&w->sc, bytes_at(w->head.nranges) + w->head.length);
	if (r < 0)
		return r;

	/* Who finds a header of ours knows that this was done. */
	if (!named) {
		r = sidecar_sync_name(&w->sc);
		if (r < 0)
			return r;
	}

	r = write_journal(w, c);
	if (r < 0) {
		(void)make_empty(w);
		return r;
	}
	step("journal: full on the disk");
	r = apply(w, c);
	if (r < 0)
		return r;
	step("journal: file on the disk");
	return w->sc.place->alone ? write_empty(w) : make_empty(w);
}

int journal_commit(const struct journal_place *place, int fd,
		   const struct journal_run *runs, size_t nruns, uint64_t size)
{
	const struct changes c = { runs, nruns, size };
	struct work w = { 0 };
	int r;

	r = check_changes(&c);
	if (r == 0)
		r = writable(fd);
	if (r == 0)
		r = begin(&w, place, fd, true);
	if (r < 0)
		return r;
	r = finish(&w, 0);
	if (r >= 0)
		r = commit(&w, &c);
	sidecar_close(&w.sc);
	return r;
}

int journal_retire(const struct journal_place *place, int fd, unsigned options)
{
	struct work w = { 0 };
	int r = begin(&w, place, fd, false);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!(options & JOURNAL_DISCARD))
		r = finish(&w, 0);

	/* A power cut may bring the name back, but nothing to be done. */
	if (r >= 0 && w.known)
		r = make_empty(&w);
	if (r >= 0)
		r = sys_unlinkat(place->dir, place->name, 0);
	sidecar_close(&w.sc);
	return r;
}
