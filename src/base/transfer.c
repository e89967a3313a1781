/* SPDX-License-Identifier: MIT */
/* Owns nothing: a row that was not ended was not written. */
#include "base/transfer.h"

#include <string.h>

#include "base/fsize.h"
#include "base/step.h"
#include "base/sys.h"

int transfer_get(int fd, uint64_t offset, void *data, size_t length)
{
	char *p = data;
	long n;

	while (length) {
		n = sys_pread(fd, p, length, offset);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -ENODATA;
		p += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int transfer_put(int fd, uint64_t offset, const void *data, size_t length)
{
	struct transfer t = { .fd = fd };

	(void)transfer_add(&t, offset, data, length);
	return transfer_end(&t);
}

int transfer_flush(int fd, bool all)
{
	int r;

	do
		r = all ? sys_fsync(fd) : sys_fdatasync(fd);
	while (r == -EINTR);
	return r;
}

int transfer_add(struct transfer *t, uint64_t offset, const void *data,
		 size_t length)
{
	int r;

	if (t->n == TRANSFER_PIECES || (t->n && offset != t->at + t->size)) {
		r = transfer_end(t);
		if (r < 0)
			return r;
	}
	if (t->n == 0) {
		t->at = offset;
		t->size = 0;
	}
	t->piece[t->n++] = (struct iovec){ (void *)(uintptr_t)data, length };
	t->size += length;
	return 0;
}

static void drop_written(struct transfer *t, uint64_t done)
{
	unsigned i = 0;

	t->at += done;
	t->size -= done;
	while (i < t->n && done >= t->piece[i].iov_len)
		done -= t->piece[i++].iov_len;
	memmove(t->piece, t->piece + i, (t->n - i) * sizeof(t->piece[0]));
	t->n -= i;
	if (done) {
		t->piece[0].iov_base = (char *)t->piece[0].iov_base + done;
		t->piece[0].iov_len -= (size_t)done;
	}
}

int transfer_end(struct transfer *t)
{
	int r;

	while (t->n) {
		r = fsize_pwritev(t->fd, t->piece, t->n, t->at, t->size);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? r : -EIO;
		drop_written(t, (uint64_t)r);
		step("transfer: written");
	}
	return 0;
}
