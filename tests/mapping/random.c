/* SPDX-License-Identifier: MIT */
/*
 * Any order of calls, by several processes, against a model: an array of bytes.
 * The model holds for the kernel's mappings too.
 */
#include "mapping.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef MAPPING_KERNEL
#include "base/sys.h"
#include "core/mapping_parts.h"
#endif

#define WORKERS 3
#define PAGES	24
#define SIZE	(PAGES * PAGE)

enum op { MAP, UNMAP, STORE, LOAD, READ, WRITE, RESIZE, SYNC, DROP, OPS };
static const char *const names[] = { "map",   "unmap",	"store", "load", "read",
				     "write", "resize", "sync",	 "drop" };

struct order {
	enum op op;
	long at, n;
	unsigned char byte;
};

static unsigned char model[SIZE];
static long size;
static unsigned state;

static long any(long n)
{
	state = state * 1664525 + 1013904223;
	return (long)(state >> 8) % n;
}

/* ----------------------------------------------------------------- workers */

struct worker {
	pid_t pid;
	int fd;
	long at, n; /* what it has mapped */
};

#ifndef MAPPING_KERNEL
/* So that who has not mapped it looks for an object. */
static long unknown_file_system(long n, long a, long b)
{
	(void)a;
	(void)b;
#ifdef SYS_fstatfs64
	if (n == SYS_fstatfs64)
		return -EIO;
#endif
	return n == SYS_fstatfs ? -EIO : 0;
}
#endif

/* What it reads goes back, else a byte: how many errors. */
static void obey(int channel, int fd, const struct order *o, char **p,
		 struct order *mapped)
{
	static char buf[SIZE];
	char *at = *p ? *p + (o->at - mapped->at) : NULL;
	int r = 0;

	memset(buf, o->byte, (size_t)o->n);
	switch (o->op) {
	case MAP:
		*p = share(fd, (size_t)o->n, RW, o->at);
		*mapped = *o;
		break;
	case UNMAP:
		r = unmap(*p, (size_t)mapped->n);
		*p = NULL;
		break;
	case STORE:
		memcpy(at, buf, (size_t)o->n);
		break;
	case LOAD:
		memcpy(buf, at, (size_t)o->n);
		break;
	case READ:
		r = file_read(fd, buf, (size_t)o->n, o->at) != o->n;
		break;
	case WRITE:
		r = file_write(fd, buf, (size_t)o->n, o->at) != o->n;
		break;
	case RESIZE:
		r = file_resize(fd, o->at);
		break;
	case SYNC:
		r = sync_range(*p, (size_t)mapped->n,
			       o->byte & 1 ? MS_SYNC | MS_INVALIDATE
					   : MS_ASYNC);
		break;
	case DROP: /* a part of its mapping */
		r = unmap(at, (size_t)o->n);
		mapped->n = o->at - mapped->at;
		break;
	case OPS:
		break;
	}
	if (o->op != LOAD && o->op != READ)
		buf[0] = (char)(r != 0);
	REQUIRE(write(channel, buf,
		      o->op == LOAD || o->op == READ ? (size_t)o->n : 1) > 0);
}

static void start(struct worker *w)
{
	int ends[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	w->pid = fork();
	if (w->pid == 0) {
		int fd = open(work_path("f"), O_RDWR);
		struct order o, mapped = { 0 };
		char *p = NULL;

		close(ends[0]);
#ifndef MAPPING_KERNEL
#ifdef USHM_STEPS
		ushm_call_hook = unknown_file_system;
#else
		(void)unknown_file_system;
#endif
#endif
		while (read(ends[1], &o, sizeof(o)) == sizeof(o))
			obey(ends[1], fd, &o, &p, &mapped);
		_exit(0);
	}
	close(ends[1]);
	w->fd = ends[0];
	w->n = 0;
}

static void stop(struct worker *w)
{
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	close(w->fd);
	w->pid = 0;
	w->n = 0;
}

static void tell(struct worker *w, const struct order *o, void *ret, long n)
{
	char *p = ret;

	REQUIRE(write(w->fd, o, sizeof(*o)) == sizeof(*o));
	while (n > 0) {
		long got = read(w->fd, p, (size_t)n);

		REQUIRE(got > 0);
		p += got;
		n -= got;
	}
}

/* ---------------------------------------------------------------- the model */

/* What can be done by that worker now; false: not this. */
static bool choose(struct worker *w, struct order *o)
{
	long end = w->at + w->n < size ? w->at + w->n : size;

	o->op = (enum op)any(OPS);
	o->byte = (unsigned char)any(256);
	switch (o->op) {
	case MAP:
		o->at = any(PAGES) * PAGE;
		o->n = 1 + any(SIZE - o->at);
		return !w->n;
	case UNMAP:
		return w->n && any(4) == 0;
	case STORE:
	case LOAD:
		if (!w->n || end <= w->at)
			return false;
		o->at = w->at + any(end - w->at);
		o->n = 1 + any(end - o->at < 3 * PAGE ? end - o->at : 3 * PAGE);
		return true;
	case READ:
		if (!size)
			return false;
		o->at = any(size);
		o->n = 1 + any(size - o->at);
		return true;
	case WRITE:
		o->at = any(SIZE - 1);
		o->n = 1 + any(SIZE - o->at < 5000 ? SIZE - o->at : 5000);
		return true;
	case RESIZE:
		o->at = any(3) ? any(SIZE) : any(PAGES) * PAGE;
		return any(4) == 0;
	case SYNC:
		return w->n;
	case DROP:
		/* Its end, so that what is left is one piece. */
		o->n = PAGE;
		o->at = w->at + (w->n - 1) / PAGE * PAGE;
		return w->n > PAGE && any(3) == 0;
	case OPS:
		break;
	}
	return false;
}

static bool carry_out(struct worker *w, const struct order *o)
{
	static unsigned char got[SIZE];
	bool reads = o->op == LOAD || o->op == READ;

	tell(w, o, got, reads ? o->n : 1);
	if (reads)
		return memcmp(got, model + o->at, (size_t)o->n) == 0;
	if (got[0])
		return false;
	switch (o->op) {
	case MAP:
		w->at = o->at;
		w->n = o->n;
		break;
	case UNMAP:
		w->n = 0;
		break;
	case DROP:
		w->n = o->at - w->at;
		break;
	case WRITE:
		if (o->at + o->n > size)
			size = o->at + o->n;
		/* fall through */
	case STORE:
		memset(model + o->at, o->byte, (size_t)o->n);
		break;
	case RESIZE:
		if (o->at < size)
			memset(model + o->at, 0, (size_t)(size - o->at));
		size = o->at;
		break;
	default:
		break;
	}
	return true;
}

static void play(unsigned seed, int rounds, bool kills)
{
	struct worker workers[WORKERS] = { { 0 } };
	int fd = file_of("f", 10 * PAGE + 123);
	unsigned char got[SIZE];
	struct order o;

	state = seed * 2654435761u;
	size = 10 * PAGE + 123;
	memset(model, 0, sizeof(model));
	for (long i = 0; i < size; i++)
		model[i] = (unsigned char)pattern((size_t)i);
	for (int i = 0; i < rounds; i++) {
		struct worker *w = &workers[any(WORKERS)];

		if (!w->pid)
			start(w);
		if (kills && any(60) == 0) {
			stop(w);
			continue;
		}
		o = (struct order){ 0 };
		if (!choose(w, &o))
			continue;
		NOTE("seed %u, order %d: worker %d, %s %ld at %ld of %ld", seed,
		     i, (int)(w - workers), names[o.op], o.n, o.at, size);
		if (!CHECK(carry_out(w, &o)))
			break;
	}
	NOTE("seed %u, in the end", seed);
	for (int i = 0; i < WORKERS; i++) {
		o = (struct order){ .op = UNMAP };
		if (workers[i].n)
			CHECK(carry_out(&workers[i], &o));
	}
	for (int i = 0; i < WORKERS; i++)
		if (workers[i].pid)
			stop(&workers[i]);
	/* Its last user may have been killed. */
	CHECK_EQ(unmap(share(fd, PAGE, RW, 0), PAGE), 0);
	CHECK_EQ(size_of(fd), size);
	REQUIRE(pread(fd, got, SIZE, 0) == size);
	CHECK(memcmp(got, model, (size_t)size) == 0);
	close(fd);
}

#if !defined(MAPPING_KERNEL) && !defined(USHM_STEPS)
#define SKIP_WITHOUT_HOOK SKIP("this is of mapping.engine")
#else
#define SKIP_WITHOUT_HOOK (void)0
#endif

CASE("random", any_order_of_calls_is_as_the_model)
{
	SKIP_WITHOUT_HOOK;
	for (unsigned seed = 1; seed <= 20 && !check_failures(); seed++)
		play(seed, 400, false);
}

CASE("random", and_whoever_is_killed)
{
	SKIP_WITHOUT_HOOK;
	for (unsigned seed = 101; seed <= 120 && !check_failures(); seed++)
		play(seed, 400, true);
}

#ifdef USHM_STEPS
static int *told;

static void on_step(const char *name)
{
	if (strcmp(name, "written: told") == 0)
		__atomic_fetch_add(told, 1, __ATOMIC_RELAXED);
}

/* Files of any size, as if they were large. */
static void track_all(void)
{
	static struct mapping_setup setup;

	unmap(share(file_of("g", 1), 1, RW, 0), 1);
	setup = *mapping_setup;
	setup.track = 1;
	mapping_configure(&setup);
	told = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ushm_step_hook = on_step;
}

CASE("random", what_the_kernel_tells_of_pages_changes_nothing)
{
	track_all();
	for (unsigned seed = 1; seed <= 20 && !check_failures(); seed++)
		play(seed, 400, false);
	for (unsigned seed = 101; seed <= 120 && !check_failures(); seed++)
		play(seed, 400, true);
	if (!*told)
		SKIP("this kernel does not tell");
}

CASE("random", what_was_stored_by_any_mapping_is_told)
{
	int fd = file_of("f", SIZE);
	char *p, *q, *r;
	struct peer peer;

	track_all();
	if (peer_start(&peer)) {
		peer_hear(&peer);
		fd = open(work_path("f"), O_RDWR);
		p = share(fd, SIZE, RW, 0);
		p[8 * PAGE] = 'o';
		peer_say(&peer);
		peer_hear(&peer);
		p[8 * PAGE] = 'O';
		peer_say(&peer);
		peer_hear(&peer);
	}
	p = share(fd, SIZE, RW, 0);
	q = share(fd, SIZE, RW, 0);
	for (int i = 0; i < 3; i++) {
		p[i * PAGE] = 'p';
		q[PAGE * (i + 10)] = 'q';
		CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
		CHECK_EQ(byte_of(fd, i * PAGE), 'p');
		CHECK_EQ(byte_of(fd, (i + 10) * PAGE), 'q');
	}
	NOTE("by one that is gone");
	q[5 * PAGE] = 'g';
	CHECK_EQ(unmap(q, SIZE), 0);
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 5 * PAGE), 'g');
	NOTE("by one that is new");
	r = share(fd, SIZE, RW, 0);
	r[6 * PAGE] = 'n';
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 6 * PAGE), 'n');
	NOTE("by a child, which lives on");
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	if (child()) {
		p[7 * PAGE] = 'c';
		_exit(0);
	}
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 7 * PAGE), 'c');
	NOTE("by another process");
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	peer_say(&peer);
	peer_hear(&peer);
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 8 * PAGE), 'o');
	peer_say(&peer);
	peer_hear(&peer);
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 8 * PAGE), 'O');
	peer_kill(&peer);
	NOTE("by the kernel");
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(pread(fd, p + 9 * PAGE, 1, 0), 1);
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	CHECK_EQ(byte_of(fd, 9 * PAGE), 'p');
	NOTE("moved");
	{
		void *moved = NULL;

		CHECK_EQ(remap(p, SIZE, SIZE, MREMAP_MAYMOVE, NULL, &moved), 0);
		p = moved;
		p[12 * PAGE] = 'm';
		CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
		CHECK_EQ(byte_of(fd, 12 * PAGE), 'm');
	}
	CHECK_EQ(unmap(p, SIZE), 0);
	CHECK_EQ(unmap(r, SIZE), 0);
	CHECK_EQ(mapping_next_descriptor(0), -1);
	if (!*told)
		SKIP("this kernel does not tell");
}
#endif

/* Stores at any moment: none of them may be lost. */
CASE("random", stores_during_a_sync_are_not_lost)
{
	int fd = file_of("f", SIZE);
	char *p = share(fd, SIZE, RW, 0);
	volatile int *started = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS,
				     -1, 0);
	volatile int *stop = started + 2;
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		for (unsigned n = 1; !*stop; n++) {
			for (int page = 0; page < PAGES; page++)
				p[page * PAGE + 64 * i] = (char)n;
			started[i] = 1;
		}
		unmap(p, SIZE);
		_exit(0);
	}
	for (int i = 0; i < 300; i++)
		CHECK_EQ(sync_range(p, SIZE, i % 2 ? MS_ASYNC : MS_INVALIDATE),
			 0);
	while (!started[0] || !started[1])
		sched_yield();
	*stop = 1;
	for (int i = 0; i < 2; i++)
		join(pid[i]);
	for (int page = 1; page < PAGES; page++)
		for (int i = 0; i < 2; i++)
			CHECK_EQ(p[page * PAGE + 64 * i], p[64 * i]);
	CHECK_EQ(sync_range(p, SIZE, MS_SYNC), 0);
	for (int page = 0; page < PAGES; page++)
		for (int i = 0; i < 2; i++)
			CHECK_EQ(byte_of(fd, page * PAGE + 64 * i),
				 p[page * PAGE + 64 * i]);
	CHECK_EQ(unmap(p, SIZE), 0);
}

/* All at once: each has bytes of its own in every page, and one in four goes by
 * a write. Who maps and unmaps all the time meets those who come and go. */
CASE("random", many_at_once_lose_nothing)
{
	enum { MEN = 4, TURNS = 150 };
	int fd = file_of("f", SIZE);
	pid_t pid[MEN];

	for (int i = 0; i < MEN; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		fd = open(work_path("f"), O_RDWR);
		for (int n = 1; n <= TURNS; n++) {
			char *p = share(fd, SIZE, RW, 0), c = (char)n;

			for (int page = 0; page < PAGES; page++) {
				long at = page * PAGE + 64 * i;

				if (page % 4)
					p[at] = c;
				else if (file_write(fd, &c, 1, at) != 1)
					_exit(1);
			}
			if (n % 3 == 0)
				sync_range(p, SIZE, MS_ASYNC);
			for (int page = 0; page < PAGES; page++)
				if (p[page * PAGE + 64 * i] != c)
					_exit(2);
			unmap(p, SIZE);
		}
		_exit(0);
	}
	for (int i = 0; i < MEN; i++)
		join(pid[i]);
	CHECK_EQ(unmap(share(fd, PAGE, RW, 0), PAGE), 0);
	for (int page = 0; page < PAGES; page++)
		for (int i = 0; i < MEN; i++)
			CHECK_EQ(byte_of(fd, page * PAGE + 64 * i),
				 (char)TURNS);
}
