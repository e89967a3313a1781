/* SPDX-License-Identifier: MIT */
/*
 * Any bytes in the files of a durable namespace that nobody works in: marker,
 * "work", limits, records, contents, journals.
 *
 * An input is what each file has, put right where it says so: heads, checksums,
 * ids. Then the namespace is opened, as after a reboot.
 *
 * What must hold: it comes back as the records say, with their contents, or is
 * refused, in words, and every file stays; then a check finds something, and
 * repairs what it is, so that the rest can be opened, and nothing is removed
 * that could be a segment's; no descriptor and no mapping is left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/step.h"
#include "core/check.h"
#include "core/durable.h"
#include "backing/journal.h"
#include "input.h"
#include "store/verify.h"
#include "watch.h"

#define SEGMENTS 3
#define SMALL	 32 /* capacities */
#define PAGE	 4096
#define MAX_DATA (3 * PAGE)

/* What is put right in a record, and what its segment's files are like. */
enum {
	HEAD = 1,
	CHECK = 2,
	ID = 4,
	FIELDS = 8,  /* mode, flags, size */
	LENGTH = 16, /* of the contents */
	NO_DATA = 32,
	JOURNAL = 64, /* of a commit that was cut off, of two pages */
	NO_RECORD = 128,
};

static char dir[64], disk[80], shm[80];
static int disk_fd;
static unsigned pieces;
static uint8_t journal[64 << 10];
static ssize_t journal_size;

/* What is on disk of each. */
static struct seg {
	unsigned right;
	int id; /* of the files' names */
	struct record_segment record;
	uint8_t data[MAX_DATA];
	size_t length;
	bool good; /* a record that counts */
} segs[SEGMENTS];

static void broken(const char *what)
{
	perror(what);
	exit(1);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static void remove_below(const char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void remove_dir(void)
{
	remove_below(dir);
}

static void put_file(const char *name, const void *bytes, size_t size)
{
	int fd = openat(disk_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		broken(name);
	close(fd);
}

/* ------------------------------------------------------------------- making */

static void keep_journal(const char *step)
{
	int fd;

	if (strcmp(step, "journal: full on the disk") != 0)
		return;
	fd = openat(disk_fd, "j", O_RDONLY | O_CLOEXEC);
	journal_size = read(fd, journal, sizeof(journal));
	close(fd);
}

static void make_journal(void)
{
	struct journal_place place = { disk_fd, "j", .alone = true };
	char byte = 'j';
	struct journal_run run = { 1, &byte, 1 };
	int fd = openat(disk_fd, "d", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, 2 * PAGE) < 0)
		broken("d");
	ushm_step_hook = keep_journal;
	if (journal_commit(&place, fd, &run, 1, 2 * PAGE) < 0 ||
	    journal_size <= 0)
		broken("j");
	ushm_step_hook = NULL;
	close(fd);
}

static void make(void)
{
	snprintf(dir, sizeof(dir), "%s/ushm-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		broken(dir);
	(void)atexit(remove_dir);
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(shm, sizeof(shm), "%s/shm", dir);
	if (mkdir(disk, 0700) < 0 || mkdir(shm, 0700) < 0)
		broken(dir);
	disk_fd = open(disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_journal();
	watch.dir = dir;
	watch.shm = watch_works() ? shm : NULL;
	watch.keep = true;
}

/* -------------------------------------------------------------- the scene */

static void empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char name[400];

	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		remove_below(name);
	}
	if (d)
		closedir(d);
}

static void take(struct input *in, void *to, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memset(to, 0, size);
	memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

static void put_right(unsigned right, struct record_head *head, uint64_t magic,
		      size_t size)
{
	if (right & HEAD) {
		head->magic = magic;
		head->version = RECORD_VERSION;
		head->size = (uint32_t)size;
	}
	if (right & CHECK) {
		head->check = 0;
		head->check = checksum_of(head, size, 0);
	}
}

/* It is as record_read() wants it. */
static bool is_record(const struct record_head *head, uint64_t magic,
		      size_t size)
{
	_Alignas(8) uint8_t copy[sizeof(struct record_segment)];
	struct record_head *h = (void *)copy;

	memcpy(copy, head, size);
	h->check = 0;
	return head->magic == magic && head->version == RECORD_VERSION &&
	       head->size == size && head->check == checksum_of(h, size, 0);
}

static void put_marker(struct input *in)
{
	struct record_marker m;
	unsigned right = input_u8(in);

	take(in, &m, right & FIELDS ? 0 : sizeof(m));
	if (right & FIELDS)
		m = (struct record_marker){ .max_segments = SMALL,
					    .max_procs = SMALL,
					    .max_attaches = SMALL };
	m.max_segments &= 0xfff; /* to be quick */
	m.max_procs &= 0xfff;
	m.max_attaches &= 0xfff;
	put_right(right, &m.head, RECORD_MARKER, sizeof(m));
	put_file("durable", &m, right & LENGTH ? sizeof(m) : right % 41);
}

static void put_limits(struct input *in)
{
	struct record_limits l;
	unsigned right = input_u8(in);

	if (right & NO_RECORD)
		return;
	take(in, &l, sizeof(l));
	if (right & FIELDS) {
		l.shmmni %= SMALL;
		l.rmid_forced %= 2;
	}
	put_right(right, &l.head, RECORD_LIMITS, sizeof(l));
	put_file("limits", &l, right & LENGTH ? sizeof(l) : right % 57);
}

static void put_work(struct input *in)
{
	struct record_work w;
	unsigned right = input_u8(in);

	if (right & NO_RECORD)
		return;
	take(in, &w, sizeof(w));
	put_right(right, &w.head, RECORD_WORK, sizeof(w));
	put_file("work", &w, right & LENGTH ? sizeof(w) : right % 89);
}

static void put_segment(struct input *in, struct seg *s, int nth)
{
	char name[RECORD_NAME];
	unsigned right = s->right = input_u8(in);

	s->id = input_u8(in) % 8 ? nth : (int)(input_u32(in) & INT32_MAX);
	for (int i = 0; i < nth; i++)
		if (segs[i].id == s->id) /* its files are there */
			right = s->right = NO_RECORD | NO_DATA;
	s->length = input_u8(in) * 64 % (MAX_DATA + 1);
	take(in, &s->record, sizeof(s->record));
	if (right & ID)
		s->record.id = s->id;
	if (right & FIELDS) {
		s->record.mode &= 0777;
		s->record.flags &= SEG_NORESERVE;
		s->record.size %= MAX_DATA;
		s->record.size += !s->record.size;
	}
	/* A large one takes long: whether a size can be is for registries. */
	s->record.size &= UINT64_C(0xff000000ffffff);
	if (right & JOURNAL && right & FIELDS)
		s->record.size = 2 * PAGE;
	if (right & LENGTH && s->record.size <= MAX_DATA)
		s->length = (s->record.size + PAGE - 1) / PAGE * PAGE;
	put_right(right, &s->record.head, RECORD_SEGMENT, sizeof(s->record));
	for (size_t i = 0; i < s->length; i++)
		s->data[i] = (uint8_t)('a' + nth + i / PAGE * 8);
	s->good =
		is_record(&s->record.head, RECORD_SEGMENT, sizeof(s->record)) &&
		!(right & NO_RECORD) && record_segment_good(&s->record, s->id);

	if (!(right & NO_RECORD)) {
		record_segment_name(s->id, "record", name);
		put_file(name, &s->record, sizeof(s->record));
	}
	if (!(right & NO_DATA)) {
		record_segment_name(s->id, "data", name);
		put_file(name, s->data, s->length);
	}
	if (right & JOURNAL) {
		record_segment_name(s->id, "journal", name);
		put_file(name, journal, (size_t)journal_size);
	}
}

static void lay_out(struct input *in)
{
	empty(disk);
	empty(shm);
	put_marker(in);
	put_limits(in);
	put_work(in);
	for (int i = 0; i < SEGMENTS; i++) {
		if (i && !in->left) {
			segs[i].right = NO_RECORD | NO_DATA;
			segs[i].good = false;
			segs[i].id = -1;
			continue;
		}
		put_segment(in, &segs[i], i);
	}
}

/* ------------------------------------------------------------- what is so */

/* Wherever it is: in its place, or moved aside. */
static bool is_there(const char *name)
{
	char path[300];
	bool found = faccessat(disk_fd, name, F_OK, 0) == 0;
	struct dirent *e;
	DIR *d = opendir(disk);

	while (d && !found && (e = readdir(d))) {
		if (strncmp(e->d_name, "damaged.", 8) != 0)
			continue;
		snprintf(path, sizeof(path), "%.200s/%s", e->d_name, name);
		found = faccessat(disk_fd, path, F_OK, 0) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

/* Nothing of a segment that has a record is removed. */
static void look_at_disk(const char *what)
{
	char name[RECORD_NAME];

	for (int i = 0; i < SEGMENTS; i++) {
		const struct seg *s = &segs[i];

		if (s->right & NO_RECORD)
			continue;
		record_segment_name(s->id, "record", name);
		if (!is_there(name))
			watch_fail(what, name);
		record_segment_name(s->id, "data", name);
		if (!(s->right & NO_DATA) && !is_there(name))
			watch_fail(what, name);
	}
}

static void on_fault(void *arg, const struct verify_finding *finding)
{
	(void)arg;
	watch_fail("restores a registry that is wrong", finding->text);
}

/* Where it is when /dev/shm is somewhere else. */
static const char *work_of(const struct durable_door *door)
{
	static char path[300];
	size_t skip = watch.shm ? strlen("/dev/shm") : 0;

	snprintf(path, sizeof(path), "%s%s", skip ? shm : "",
		 door->work + skip);
	return path;
}

static void look_at_contents(const struct durable_door *door,
			     const struct seg *s)
{
	static uint8_t now[MAX_DATA + 1];
	char path[300];
	ssize_t n;
	int fd;

	if (s->length > MAX_DATA || s->record.flags & SEG_HUGE ||
	    s->right & NO_DATA)
		return;
	snprintf(path, sizeof(path), "%.200s/seg.%u.%d", work_of(door),
		 door->uid, s->id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, now, sizeof(now));
	close(fd);
	/* A journal tells the size too. */
	if (n != (ssize_t)(s->right & JOURNAL ? 2 * PAGE : s->length))
		watch_fail("restores contents of another length", path);
	for (size_t i = 0; i < (size_t)n; i++)
		if (now[i] != (i < s->length ? s->data[i] : 0) &&
		    !(s->right & JOURNAL && i == 1 && now[i] == 'j'))
			watch_fail("restores other contents", path);
}

/* Each record is a segment, and there is no other. */
static void look_at_registry(const struct durable_door *door)
{
	unsigned n = 0, want = 0;
	uint32_t index = 0;
	struct registry r;
	struct text why;
	char text[300];
	int work;

	for (int i = 0; i < SEGMENTS; i++)
		want += segs[i].good;
	text_init(&why, text, sizeof(text));
	work = open(work_of(door), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (work < 0 ||
	    registry_open(work, door->uid, false, &door->shape, &r, &why) < 0)
		watch_fail("restores no registry", text);
	(void)sys_close(work);
	(void)verify_registry(&r, on_fault, NULL);
	while ((index = segments_next(&r, index)) != UINT32_MAX) {
		const struct layout_segment *s = &r.segments[index];
		int id = registry_id(&r, index, s->seq), i = 0;

		while (i < SEGMENTS && (!segs[i].good || segs[i].id != id))
			i++;
		if (i == SEGMENTS || s->key != segs[i].record.key ||
		    s->size != segs[i].record.size ||
		    s->uid != segs[i].record.uid ||
		    s->gid != segs[i].record.gid ||
		    (s->mode & 0777) != segs[i].record.mode ||
		    s->ctime != segs[i].record.ctime)
			watch_fail("restores another segment", "");
		look_at_contents(door, &segs[i]);
		index++;
		n++;
	}
	registry_close(&r);
	if (n != want)
		watch_fail("restores not all segments", "");
}

/* ------------------------------------------------------------------- calls */

static char text[400]; /* why it was refused */

/* Open it, and end; 'look' at what there is then. */
static int open_it(bool look)
{
	static const uint64_t signals = ~UINT64_C(0);
	struct durable_door door;
	struct text why;
	int fd, r;

	text_init(&why, text, sizeof(text));
	fd = sys_openat(AT_FDCWD, disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	r = durable_enter(fd, false, &(struct registry_shape){ 0 }, &signals,
			  &door, &why);
	if (r == 0)
		watch_fail("does not see", "the marker");
	if (r < 0 && why.used == 0)
		watch_fail("refuses without a word", strerror(-r));
	if (r == 1) {
		if (look)
			look_at_registry(&door);
		durable_leave(&door);
	}
	(void)sys_close(fd);
	return r;
}

static void note(void *arg, const struct finding *f)
{
	if (f->fate != FATE_NOTED)
		++*(unsigned *)arg;
}

static unsigned check(unsigned flags, int *ret)
{
	unsigned found = 0;
	struct text why;

	text_init(&why, text, sizeof(text));
	*ret = check_namespace(disk, flags, note, &found, &why);
	if (*ret < 0)
		watch_fail("cannot check", text);
	return found;
}

static void play(void)
{
	int r = open_it(true), status;

	/* A check of what is worked in opens it, and keeps memory for that. */
	empty(shm);
	look_at_disk("removes");
	if (r < 0) {
		if (check(0, &status) == 0)
			watch_fail("refuses what it finds nothing wrong with",
				   strerror(-r));
		look_at_disk("removes in a check");
	}
	(void)check(CHECK_REPAIR, &status);
	look_at_disk("removes in a repair");
	(void)check(CHECK_REPAIR, &status);
	look_at_disk("removes in a second repair");
	r = open_it(false);
	/* There may be a segment that no memory holds. */
	if (r < 0 && r != -ENOSPC && r != -ENOMEM && r != -EFBIG)
		watch_fail("cannot be opened after a repair", text);
	empty(shm);
	if (check(0, &status) != 0)
		watch_fail("finds something", "after a repair");
}

static void end(void)
{
	static unsigned played;
	char link[40], to[200];

	if (watch_pieces() != pieces)
		watch_fail("leaves", "mappings");
	for (int fd = 0; played % 256 == 0 && fd < 1024; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (fd != disk_fd &&
		    readlink(link, to, sizeof(to)) > (ssize_t)strlen(dir) &&
		    memcmp(to, dir, strlen(dir)) == 0)
			watch_fail("leaves a descriptor open", to);
	}
	played++;
}

static void play_bytes(const uint8_t *bytes, size_t length)
{
	struct input in = { bytes, length };

	lay_out(&in);
	watch_begin();
	play();
	watch_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const uint8_t empty_one[] = { HEAD | CHECK | FIELDS | LENGTH,
					     NO_RECORD, NO_RECORD,
					     NO_RECORD | NO_DATA };

	/* What a process keeps for good it has from then on. */
	if (!*dir) {
		make();
		play_bytes(empty_one, sizeof(empty_one));
		pieces = watch_pieces();
	}
	play_bytes(bytes, length);
	end();
	return 0;
}
