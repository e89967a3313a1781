/* SPDX-License-Identifier: MIT */
/*
 * Any bytes in the journal beside a data file: it is applied as a whole, or the
 * file stays what it is.
 *
 * An input is a byte that says what is put right in it (the checksums, the
 * identity), the header of 512 bytes, and what comes behind it. The bytes of
 * the ranges, which lie at the next multiple of 4096, are the last ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backing/journal.h"
#include "base/checksum.h"
#include "base/sys.h"
#include "input.h"
#include "watch.h"

#define HEADER	512
#define SIDECAR (64 << 10)
#define ROOM	(64 << 10)

/* What is put right. */
#define MAGIC	 1u
#define IDENTITY 2u
#define BODY	 4u
#define SUM	 8u
#define ADOPT	 16u
#define DISCARD	 32u

/* 64-bit words of the header. */
enum {
	W_MAGIC,
	W_VERSION,
	W_SEQUENCE,
	W_INO,
	W_BORN,
	W_OLD,
	W_NEW,
	W_NRANGES,
	W_LENGTH,
	W_BODY,
	W_SUM = 63,
};

static char dir[64], path[96], sidecar[112];
static int file;
static uint8_t journal[SIDECAR], old[ROOM], want[ROOM], now[ROOM];
static uint64_t word[HEADER / 8];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "%s/ushm-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/data", dir);
	snprintf(sidecar, sizeof(sidecar), "%s" JOURNAL_SUFFIX, path);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0)
		exit(1);
	for (size_t i = 0; i < sizeof(old); i++)
		old[i] = (uint8_t)(i * 7 + i / 512);
}

static void remove_dir(void)
{
	unlink(sidecar);
	unlink(path);
	rmdir(dir);
}

static uint64_t bytes_at(void)
{
	return (HEADER + word[W_NRANGES] * 16 + 4095) / 4096 * 4096;
}

static uint64_t body_sum(void)
{
	struct checksum c;

	checksum_begin(&c, word[W_SEQUENCE]);
	checksum_add(&c, journal + HEADER, word[W_NRANGES] * 16);
	checksum_add(&c, journal + bytes_at(), word[W_LENGTH]);
	return checksum_end(&c);
}

/* Ranges and bytes are in the file. */
static bool has_body(void)
{
	return word[W_NRANGES] <= 1000 && word[W_LENGTH] <= SIDECAR &&
	       bytes_at() + word[W_LENGTH] <= SIDECAR;
}

static void lay_out(unsigned right, const uint8_t *data, size_t size)
{
	struct sys_identity id;
	size_t head = size < HEADER ? size : HEADER;

	memset(journal, 0, sizeof(journal));
	memset(word, 0, sizeof(word));
	memcpy(word, data, head);
	memcpy(journal + HEADER, data + head, size - head);
	if (right & MAGIC) {
		word[W_MAGIC] = 0x314c4e4a6d687375;
		word[W_VERSION] = 1 | (word[W_VERSION] & 3ull << 32);
	}
	if (right & IDENTITY &&
	    sys_identity(file, "", AT_EMPTY_PATH, &id) == 0) {
		word[W_INO] = id.ino;
		word[W_BORN] = (uint64_t)id.born;
	}
	if (has_body()) {
		size_t n = word[W_LENGTH] < size - head ? word[W_LENGTH]
							: size - head;

		memcpy(journal + bytes_at(), data + size - n, n);
		if (right & BODY)
			word[W_BODY] = body_sum();
	}
	memcpy(journal, word, HEADER);
	if (right & SUM)
		word[W_SUM] = checksum_of(journal, HEADER - 8, word[W_MAGIC]);
	memcpy(journal, word, HEADER);
}

/* Puts into 'want' what the journal asks for; false if it must not count. */
static bool play(void)
{
	uint64_t at = bytes_at(), end = 0, range[2];

	if (!has_body() || word[W_BODY] != body_sum())
		return false;
	for (uint64_t i = 0; i < word[W_NRANGES]; i++) {
		memcpy(range, journal + HEADER + i * 16, 16);
		if (range[1] == 0 || range[0] < end ||
		    range[0] + range[1] < range[0] ||
		    range[0] + range[1] > word[W_NEW] ||
		    at + range[1] > SIDECAR)
			return false;
		for (uint64_t b = 0; b < range[1]; b++)
			if (range[0] + b < ROOM)
				want[range[0] + b] = journal[at + b];
		end = range[0] + range[1];
		at += range[1];
	}
	return true;
}

static void look(const uint8_t *expected, uint64_t size, const char *what)
{
	uint64_t n = size < ROOM ? size : ROOM;
	struct stat st;

	if (fstat(file, &st) < 0 || (uint64_t)st.st_size != size)
		watch_fail(what, "size");
	if (pread(file, now, ROOM, 0) != (ssize_t)n ||
	    memcmp(now, expected, n) != 0)
		watch_fail(what, "bytes");
}

static void put_files(uint64_t size)
{
	int fd = open(sidecar, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, journal, SIDECAR) != SIDECAR ||
	    ftruncate(file, 0) < 0 ||
	    pwrite(file, old, size, 0) != (ssize_t)size)
		exit(1);
	close(fd);
}

static void replay(const struct journal_place *place, unsigned right,
		   uint64_t size)
{
	uint8_t byte = 'x';
	struct journal_run run = { 10, &byte, 1 };
	uint64_t least = word[W_OLD] < size ? word[W_OLD] : size;
	int r;

	r = journal_replay(place, file, right & ADOPT ? JOURNAL_ADOPT : 0);
	if (r == 1) {
		memset(want, 0, sizeof(want));
		memcpy(want, old, least < ROOM ? least : ROOM);
		if (word[W_OLD] >= word[W_NEW])
			memcpy(want, old, size);
		if (word[W_NEW] < ROOM)
			memset(want + word[W_NEW], 0, ROOM - word[W_NEW]);
		if (!play())
			watch_fail("applies what is no journal", "");
		look(want, word[W_NEW], "applies something else");
		size = word[W_NEW];
	} else if (r != -EFBIG && r != -EINVAL) {
		memcpy(want, old, ROOM);
		look(old, size, "touches the file without a journal");
	}
	if (r < 0) {
		if (right & DISCARD && r != -EPROTO &&
		    journal_retire(place, file, JOURNAL_DISCARD) != 0)
			watch_fail("cannot drop it", "");
		return;
	}
	if (journal_replay(place, file, 0) != 0)
		watch_fail("replays twice", "");
	look(want, size, "changes it at the second time");
	if (size > 10 && size < ROOM &&
	    (journal_commit(place, file, &run, 1, size) != 0 ||
	     pread(file, now, 1, 10) != 1 || now[0] != 'x'))
		watch_fail("cannot commit", "");
	if (journal_retire(place, file, 0) != 0 || access(sidecar, F_OK) == 0)
		watch_fail("cannot retire it", "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_place place = { AT_FDCWD, sidecar };
	struct input in = { data, size };
	uint64_t length;
	unsigned right;

	if (!*dir) {
		make_dir();
		(void)atexit(remove_dir);
	}
	right = input_u8(&in);
	length = input_u8(&in) * 64;
	lay_out(right, in.at, in.left);
	put_files(length);
	watch.dir = dir;
	watch_begin();
	replay(&place, right, length);
	watch_end();
	return 0;
}
