/* SPDX-License-Identifier: MIT */
/*
 * Any bytes in what a killed program, or anybody who may write the file, has
 * left of a file's object: header, shadow, pages, of any length.
 *
 * An input says what the file, the object's two files and the header are, and
 * is put right where its first bytes say so, to come deep; then calls follow.
 *
 * What must hold: a byte of the file is what it was, or what the page of that
 * place held, or a call has put there, never one of another place or file;
 * where no call comes in between it is exactly what the rule of three says; an
 * object that is refused stays, as does the file; no descriptor, no mapping and
 * no lock is left; and `ushm gc` removes what there is or says why not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backing/journal.h"
#include "backing/linger.h"
#include "backing/object.h"
#include "backing/object_files.h"
#include "base/step.h"
#include "core/collect.h"
#include "core/mapping.h"
#include "input.h"
#include "watch.h"

#define PAGE	  OBJECT_PAGE
#define PAGES	  10
#define ROOM	  (PAGES * PAGE)
#define COMMITTED 9000 /* bytes of the file that the journal is of */
#define MAX_OPS	  12

/* What is put right in the header. */
enum {
	MAGIC = 1,
	IDENTITY = 2,
	BORN = 4,
	SIZE = 8,
	USED = 16,
	PATH = 32,
	SHADOW = 64, /* the shadow is as the file */
	JOURNAL = 128,
};

/* What the object's files are like. */
enum {
	PAGES_LONG = 1, /* as the file */
	CTL_LONG = 2,
	NO_PAGES = 4,
	NO_CTL = 8,
	HUGE = 16,	/* with a hole at the end */
	READ_ONLY = 32, /* the program's descriptor */
	ATOMIC = 64,
	FORGET = 128,
};

static char dir[64], data[96], other[96], sidecar[112];
static int file, beside;
static struct sys_identity id, beside_id;
static struct object_name name[2];
static uint8_t journal[64 << 10];
static ssize_t journal_size;
static unsigned pieces;

/* The bytes of each version; and what calls have put there: a bit for each of
 * 'v' and what follows. */
static uint8_t old[ROOM], page[ROOM], shadow[ROOM], put[ROOM];
static uint8_t want[ROOM], now[ROOM];
static struct object_header header;
static uint64_t old_size, size, pages_size, ctl_size;
static unsigned right, shape;
static bool resized, exact;

/* ---------------------------------------------------------------- begin */

static void broken(const char *what)
{
	perror(what);
	exit(1);
}

static void remove_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

static int make_file(const char *path, struct sys_identity *ret)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || sys_identity(fd, "", AT_EMPTY_PATH, ret) < 0)
		broken(path);
	return fd;
}

static void fill(uint8_t *to, char first)
{
	for (size_t i = 0; i < ROOM; i++)
		to[i] = (uint8_t)(first + i / PAGE);
}

static void keep_journal(const char *step)
{
	int fd;

	if (strcmp(step, "journal: full on the disk") != 0)
		return;
	fd = open(sidecar, O_RDONLY | O_CLOEXEC);
	journal_size = read(fd, journal, sizeof(journal));
	close(fd);
}

/* The journal of a commit that was cut off. */
static void make_journal(void)
{
	struct journal_place place = { AT_FDCWD, sidecar };
	char byte = 'j';
	struct journal_run run = { PAGE + 1, &byte, 1 };

	fill(old, 'a');
	if (pwrite(file, old, COMMITTED, 0) != COMMITTED)
		broken(data);
	ushm_step_hook = keep_journal;
	if (journal_commit(&place, file, &run, 1, COMMITTED) < 0 ||
	    journal_size <= 0)
		broken(sidecar);
	ushm_step_hook = NULL;
}

/* Those that lead here; a fuzzer has others. */
static unsigned count_descriptors(void)
{
	char link[40], to[200];
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n += readlink(link, to, sizeof(to)) > (ssize_t)strlen(dir) &&
		     memcmp(to, dir, strlen(dir)) == 0;
	}
	return n;
}

static void make(void)
{
	snprintf(dir, sizeof(dir), "%s/ushm-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		broken(dir);
	(void)atexit(remove_dir);
	snprintf(data, sizeof(data), "%s/data", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	snprintf(sidecar, sizeof(sidecar), "%s" JOURNAL_SUFFIX, data);
	file = make_file(data, &id);
	beside = make_file(other, &beside_id);
	make_journal();
	watch.dir = dir;
	watch.keep = true;
	watch.shm = watch_works() ? dir : NULL;

	/* What a process keeps for good it has from here on. */
	watch_begin();
	(void)mapping_sync_file(file);
	watch_end();
	pieces = watch_pieces();
}

/* -------------------------------------------------------------- the scene */

/* Where it is when /dev/shm is somewhere else. */
static const char *place(int ctl)
{
	static char path[200];

	if (!watch.shm)
		return name[ctl].path;
	snprintf(path, sizeof(path), "%s%s", watch.shm,
		 strrchr(name[ctl].path, '/'));
	return path;
}

static void take_header(struct input *in)
{
	memset(&header, 0, sizeof(header));
	header.size = input_u64(in);
	header.from = input_u64(in);
	header.to = input_u64(in);
	header.intent = input_u8(in);
	header.atomic = input_u8(in);
	header.users = input_u8(in);
	header.born = input_u64(in);
	header.magic = OBJECT_MAGIC;
	header.version = OBJECT_VERSION;
	header.page = PAGE;
	if (!(right & MAGIC)) {
		header.magic ^= input_u8(in);
		header.version ^= input_u8(in);
		header.page ^= input_u8(in);
	}
	header.dev = id.dev;
	header.ino = id.ino;
	if (!(right & IDENTITY)) {
		header.dev ^= input_u8(in);
		header.ino = input_u8(in) & 1 ? beside_id.ino : input_u8(in);
	}
	if (right & BORN)
		header.born = (uint64_t)id.born;
	if (right & SIZE)
		header.size = size;
	if (right & USED)
		header.users |= 1;
	if (right & PATH)
		memcpy(header.path, data, sizeof(data));
	else if (input_u8(in) & 1)
		memcpy(header.path, other, sizeof(other));
	else
		for (size_t i = 0; i < sizeof(header.path); i++)
			header.path[i] = (char)(in->left ? input_u8(in) : '/');
}

/* Two bits for each page: of which kind the shadow is, and the page. */
static void take_versions(struct input *in)
{
	uint32_t shadows = input_u32(in), kinds = input_u32(in);

	fill(old, 'a');
	fill(page, 'A');
	fill(shadow, 'q');
	memset(put, 0, sizeof(put));
	for (size_t i = 0; i < PAGES; i++) {
		uint8_t *f = old + i * PAGE, *p = page + i * PAGE,
			*s = shadow + i * PAGE;
		unsigned of = right & SHADOW ? 0 : shadows >> i * 2 & 3;

		if (of == 0 || of == 1)
			memcpy(s, f, PAGE);
		if (of == 1)
			s[100] = 'q';
		switch (kinds >> i * 2 & 3) {
		case 0:
			memcpy(p, s, PAGE);
			break;
		case 1:
			memcpy(p, s, PAGE);
			p[200 + i] = 'X';
			break;
		case 2:
			memcpy(p, f, PAGE);
			break;
		default:
			break;
		}
	}
}

static uint64_t round_up(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void take_sizes(struct input *in)
{
	size = input_take(in, 2) % (ROOM + 1);
	pages_size = input_take(in, 2) % (ROOM + 1);
	ctl_size = input_take(in, 2) % (ROOM + PAGE + 1);
	if (right & JOURNAL)
		size = COMMITTED;
	old_size = size;
	if (shape & PAGES_LONG)
		pages_size = round_up(size);
	if (shape & CTL_LONG)
		ctl_size = PAGE + round_up(size);
	if (shape & HUGE && ctl_size < PAGE)
		ctl_size = PAGE;
}

static void write_at(int fd, const void *bytes, uint64_t n, uint64_t at)
{
	if (n && pwrite(fd, bytes, n, (off_t)at) != (ssize_t)n)
		broken("pwrite");
}

static void put_file(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		broken(path);
	write_at(fd, bytes, n, 0);
	close(fd);
}

static void put_object(void)
{
	int fd;

	object_name(&id, false, &name[0]);
	object_name(&id, true, &name[1]);
	(void)unlink(place(0));
	(void)unlink(place(1));
	if (!(shape & NO_PAGES))
		put_file(place(0), page, pages_size);
	if (!(shape & NO_PAGES) && shape & HUGE &&
	    truncate(place(0), (off_t)1 << 38) < 0)
		broken(place(0));
	if (shape & NO_CTL)
		return;
	put_file(place(1), &header, ctl_size < PAGE ? ctl_size : PAGE);
	fd = open(place(1), O_RDWR | O_CLOEXEC);
	if (ctl_size > PAGE)
		write_at(fd, shadow, ctl_size - PAGE, PAGE);
	if (shape & HUGE && ftruncate(fd, (off_t)1 << 38) < 0)
		broken(place(1));
	close(fd);
}

static void lay_out(struct input *in)
{
	static const char text[] = "0123456789";

	right = input_u8(in);
	shape = input_u8(in);
	take_sizes(in);
	take_header(in);
	take_versions(in);
	/* What is not in the files reads as zeros, if they are that long. */
	memset(page + pages_size, 0, ROOM - pages_size);
	for (size_t i = ctl_size < PAGE ? 0 : ctl_size - PAGE; i < ROOM; i++)
		shadow[i] = 0;
	if (ftruncate(file, 0) < 0)
		broken(data);
	write_at(file, old, size, 0);
	write_at(beside, text, sizeof(text), 0);
	put_object();
	(void)unlink(sidecar);
	if (right & JOURNAL)
		put_file(sidecar, journal, (size_t)journal_size);
	resized = false;
}

/* -------------------------------------------------------------- what is so */

static bool is_ours(void)
{
	return !(shape & NO_CTL) && ctl_size >= PAGE &&
	       header.magic == OBJECT_MAGIC &&
	       header.version == OBJECT_VERSION && header.page == PAGE &&
	       header.dev == id.dev && header.ino == id.ino &&
	       (header.born == (uint64_t)id.born || !header.born || !id.born);
}

/* As much of the file as the object has. */
static uint64_t known_size(void)
{
	uint64_t least = size, room = ctl_size - PAGE;

	if (!(shape & HUGE) && room < least)
		least = room;
	if (!(shape & HUGE) && pages_size < least)
		least = pages_size;
	return header.size < least ? header.size : least;
}

/* How far pages are there. What is stored to those that the object does not
 * know of yet, as by a program that sees the file grow, goes to the file. */
static uint64_t pages_end(void)
{
	if (!is_ours() || shape & NO_PAGES)
		return 0;
	return shape & HUGE ? ROOM : round_up(pages_size);
}

static bool in_intent(uint64_t at, uint64_t end)
{
	return header.intent == 1 && at < header.to && end > header.from;
}

/* A page of a file that says not when it was born: another one's? */
static bool is_strange(uint64_t known)
{
	if (id.born && header.born)
		return false;
	if (header.size != size)
		return true;
	for (uint64_t at = 0; at < known; at += PAGE) {
		uint64_t n = known - at < PAGE ? known - at : PAGE;

		if (!in_intent(at, at + n) &&
		    memcmp(old + at, shadow + at, n) &&
		    memcmp(old + at, page + at, n))
			return true;
	}
	return false;
}

/* The rule of three: 'want' is what the file will hold. */
static void foresee(void)
{
	uint64_t known;

	memcpy(want, old, sizeof(want));
	exact = !(right & JOURNAL);
	if (!is_ours() || shape & NO_PAGES || header.atomic)
		return;
	exact &= header.intent <= 1;
	known = known_size();
	if (is_strange(known))
		return;
	for (uint64_t at = 0; at < known; at += PAGE) {
		uint64_t n = known - at < PAGE ? known - at : PAGE;

		if (in_intent(at, at + n) ||
		    memcmp(old + at, shadow + at, n) == 0)
			memcpy(want + at, page + at, n);
	}
	for (uint64_t i = known; i < size && i < pages_end(); i++)
		exact &= page[i] == shadow[i];
}

static bool may_be(uint64_t i, uint8_t byte)
{
	return (byte == old[i] && i < old_size) ||
	       (byte >= 'v' && put[i] & 1 << (byte - 'v') % 8) ||
	       (i < pages_end() && byte == page[i] && !header.atomic) ||
	       (byte == 0 && resized) ||
	       (right & JOURNAL && i == PAGE + 1 && byte == 'j');
}

static void look_at_file(void)
{
	char text[11] = "";
	struct stat st;

	if (fstat(file, &st) < 0 || (uint64_t)st.st_size != size)
		watch_fail("changes the size of the file", "");
	if (pread(file, now, ROOM, 0) != (ssize_t)size)
		watch_fail("changes the file", "short");
	for (uint64_t i = 0; i < size; i++)
		if (!may_be(i, now[i])) {
			snprintf(text, sizeof(text), "%u=%02x", (unsigned)i,
				 now[i]);
			watch_fail("writes what is not of the file", text);
		}
	if (pread(beside, text, 11, 0) != 11 ||
	    memcmp(text, "0123456789", 11) != 0)
		watch_fail("changes another file", "");
}

/* ------------------------------------------------------------------ calls */

static void store(struct object *o, uint64_t at, uint8_t byte)
{
	struct stat st;

	/* Beyond its end a program gets SIGBUS. */
	if (!o->may_share || at >= o->room || at >= ROOM ||
	    fstat(o->pages, &st) < 0 || at >= round_up((uint64_t)st.st_size))
		return;
	o->page[at] = (char)byte;
	put[at] |= (uint8_t)(1 << (byte - 'v'));
}

static void change(struct object *o, uint64_t at, unsigned n, uint8_t byte)
{
	bool held = object_hold(o) == 0;

	if (held)
		object_before_change(o, at, at + n);
	for (unsigned i = 0; i < n && at + i < size; i++) {
		put[at + i] |= (uint8_t)(1 << (byte - 'v'));
		write_at(file, &byte, 1, at + i);
	}
	if (held)
		object_release(o);
}

/* What is stored behind the new end does not come back. */
static void resize(struct object *o, uint64_t to)
{
	bool held = object_hold(o) == 0;

	if (held)
		object_before_change(o, to, UINT64_MAX);
	if (ftruncate(file, (off_t)to) < 0)
		broken(data);
	if (to < old_size)
		old_size = to;
	size = to;
	resized = true;
	if (held)
		object_release(o);
}

static void call(struct object *o, struct input *in)
{
	unsigned op = input_u8(in), n = input_u8(in);
	uint64_t at = input_take(in, 2) % ROOM;

	exact = false;
	switch (op % 9) {
	case 0:
		store(o, at, 'v');
		break;
	case 1:
		(void)object_push(o, at, at + n * 64);
		break;
	case 2:
		(void)object_refresh(o, at, at + n * 64);
		break;
	case 3:
		change(o, at, n, 'w');
		break;
	case 4:
		resize(o, at);
		break;
	case 5:
		(void)object_size(o);
		break;
	case 6:
		(void)object_push_written(o, 0, UINT64_MAX, NULL);
		break;
	case 7:
		(void)object_commit(o, NULL);
		break;
	default: /* behind our back */
		put[at] |= 1 << ('y' - 'v');
		if (at < size)
			write_at(file, "y", 1, at);
		break;
	}
}

static struct object *attach(unsigned flags, int *ret)
{
	int fd = shape & READ_ONLY ? open(data, O_RDONLY | O_CLOEXEC) : file;
	struct object *o = NULL;

	*ret = object_attach(fd, &id, flags, ROOM, &o);
	if (fd != file)
		close(fd);
	return *ret < 0 ? NULL : o;
}

static void look_at_names(const char *what)
{
	if (access(place(0), F_OK) == 0 || access(place(1), F_OK) == 0)
		watch_fail(what, "is left");
}

static void check_exactly(void)
{
	if (!exact)
		return;
	if (pread(file, now, ROOM, 0) != (ssize_t)size ||
	    memcmp(now, want, size) != 0)
		watch_fail("does not follow the rule of three", "");
}

/* Two users, of which the second comes and goes. */
static void use(struct input *in)
{
	unsigned flags = (input_u8(in) & 3) | (shape & ATOMIC ? 4 : 0);
	struct object *o, *second = NULL;
	int r;

	o = attach(flags, &r);
	if (!o) {
		if (r != -ENOENT && r != -EFBIG)
			watch_fail("refuses", strerror(-r));
		look_at_file();
		return;
	}
	if (!o->may_write && !(flags & OBJECT_WRITE))
		exact = false;
	for (unsigned i = 0; i < MAX_OPS && in->left >= 4; i++) {
		if (in->at[0] >= 200 && !second) {
			(void)input_u8(in);
			second = attach(flags, &r);
			continue;
		}
		call(second && in->at[0] >= 100 ? second : o, in);
	}
	if (second)
		(void)object_detach(second);
	r = object_detach(o);
	if (r == 0)
		look_at_names("the object");
	look_at_file();
	if (r == 0)
		check_exactly();
}

static unsigned told;

static void tell(void *arg, const struct finding *f)
{
	(void)arg;
	told++;
	for (const char *s = f->text; *s; s++)
		if ((unsigned char)*s < ' ')
			watch_fail("says", "what is no text");
}

/* All of it is gone now, or somebody was told. */
static void collect(void)
{
	told = 0;
	(void)collect_objects(COLLECT_DRY_RUN, tell, NULL);
	look_at_file();
	(void)collect_objects(shape & FORGET ? COLLECT_FORGET : 0, tell, NULL);
	look_at_file();
	if (told == 0 && access(place(1), F_OK) == 0)
		watch_fail("says nothing", "of what is left");
}

static void end(void)
{
	static unsigned played;

	if (linger_any())
		watch_fail("leaves", "a descriptor behind");
	if (watch_pieces() != pieces)
		watch_fail("leaves", "mappings");
	if (played++ % 256 == 0 && count_descriptors() != 2)
		watch_fail("leaves", "descriptors open");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct input in = { bytes, length };
	unsigned first;

	if (!*dir)
		make();
	lay_out(&in);
	foresee();
	first = input_u8(&in);
	watch_begin();
	if (first % 4 == 1)
		collect();
	else
		use(&in);
	if (first % 4 > 1)
		collect();
	watch_end();
	end();
	return 0;
}
