/* SPDX-License-Identifier: MIT */
/*
 * filemap-orders - random calls on mapped files by several processes, told.
 *
 *	filemap-orders [-g] [-n NUMBER] SEED   run, or -g print, what the seed
 *makes filemap-orders [-g] -f FILE            run the orders in FILE
 *
 * In the current directory, which has to be empty. One process orders the
 * others what to do, one at a time, and prints what came of it. So the output
 * is the same wherever files are mapped: on the kernel's mappings and on ours.
 * See ./differ.
 *
 * An order is a line "WORKER NAME NUMBER...". What makes no sense where it
 * stands does nothing, so that lines may be taken away.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, FILES = 2, SLOTS = 4, MAPS = 4, ARGS = 5 };
enum { PAGE = 4096, PAGES = 10, SIZE = PAGES * PAGE };
enum { FIRST_SLOT = 20, FIRST_CHANNEL = 40 }; /* numbers of descriptors */

/*
 * Name, weight, and what its numbers are: a slot of descriptors, a file, a map,
 * an offset (@), a length (n), a page, pages (l), a worker, or any number (k).
 */
#define CODES(X)                     \
	X(open, 30, "sfk")           \
	X(close, 8, "s")             \
	X(dup, 8, "ss")              \
	X(seek, 15, "s@k")           \
	X(read, 15, "sn")            \
	X(write, 25, "snk")          \
	X(pread, 15, "sn@")          \
	X(pwrite, 25, "sn@k")        \
	X(readv, 5, "sn")            \
	X(writev, 5, "snk")          \
	X(preadv, 5, "sn@")          \
	X(pwritev, 8, "sn@k")        \
	X(ftruncate, 12, "s@")       \
	X(truncate, 6, "f@")         \
	X(fallocate, 10, "sk@n")     \
	X(posix_fallocate, 4, "s@n") \
	X(sendfile, 8, "ss@n")       \
	X(copy, 8, "ss@@n")          \
	X(splice, 8, "ss@n")         \
	X(fsync, 5, "s")             \
	X(fread, 5, "f@n")           \
	X(fwrite, 5, "f@nk")         \
	X(look, 8, "f@n")            \
	X(into, 8, "sm@n")           \
	X(from, 8, "sm@n")           \
	X(mmap, 60, "msplk")         \
	X(mapover, 6, "msplk")       \
	X(munmap, 16, "mlk")         \
	X(mremap, 14, "mlkm")        \
	X(mprotect, 12, "mk")        \
	X(msync, 12, "mk")           \
	X(store, 90, "m@nk")         \
	X(load, 60, "m@n")           \
	X(wholly, 10, "f")           \
	X(fork, 6, "w")              \
	X(exec, 2, "")               \
	X(exit, 4, "k")              \
	X(kill, 4, "")

enum code {
#define X(name, weight, numbers) OP_##name,
	CODES(X)
#undef X
		OPS
};

static const struct {
	const char *name;
	int weight;
	const char *numbers;
} known[] = {
#define X(name, weight, numbers) { #name, weight, numbers },
	CODES(X)
#undef X
};

struct order {
	int worker, code;
	long arg[ARGS];
};

struct answer {
	long r;
	int error;
	pid_t pid;
	uint64_t sum; /* of the bytes that it got */
};

/* ---------------------------------------------------------------- a worker */

static struct {
	char *at;
	size_t length;
	int file;
	long offset;
	bool readable, writable;
} maps[MAPS];

static char buf[4 * SIZE];

static char *name_of(long file)
{
	static char name[] = "f0";

	name[1] = (char)('0' + file);
	return name;
}

static int slot(long n)
{
	return FIRST_SLOT + (int)n;
}

static uint64_t sum_of(const char *p, long n)
{
	uint64_t sum = UINT64_C(14695981039346656037);

	for (long i = 0; i < n; i++)
		sum = (sum ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
	return sum;
}

static long size_of(int file)
{
	struct stat st;

	return stat(name_of(file), &st) < 0 ? 0 : (long)st.st_size;
}

/* Different bytes, so that what is mixed up is seen. */
static void fill(long n, long seed)
{
	for (long i = 0; i < n; i++)
		buf[i] = (char)(seed + i / 7);
}

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static void do_open(const struct order *o, struct answer *a)
{
	static const int flags[] = {
		O_RDWR,
		O_RDWR,
		O_RDWR,
		O_RDONLY,
		O_WRONLY,
		O_RDWR | O_APPEND,
		O_WRONLY | O_APPEND,
		O_RDWR | O_TRUNC,
		O_WRONLY | O_TRUNC,
		O_RDWR | O_CREAT,
	};
	int fd = open(name_of(o->arg[1]), flags[o->arg[2] % 10], 0644);

	a->r = fd;
	if (fd < 0)
		return;
	a->r = dup2(fd, slot(o->arg[0])) >= 0;
	close(fd);
}

/* What overlaps is as the kernel's cache has it, which not every file has. */
static bool same_file(const struct order *o)
{
	struct stat a, b;

	return fstat(slot(o->arg[0]), &a) == 0 &&
	       fstat(slot(o->arg[1]), &b) == 0 && a.st_ino == b.st_ino;
}

static void do_pipe(const struct order *o, struct answer *a)
{
	int in = slot(o->arg[0]), out = slot(o->arg[1]), ends[2];
	off64_t at = o->arg[2];

	if (same_file(o) || pipe(ends) < 0)
		return;
	a->r = splice(in, o->arg[3] & 1 ? &at : NULL, ends[1], NULL,
		      (size_t)o->arg[3], SPLICE_F_NONBLOCK);
	if (a->r > 0)
		a->r = splice(ends[0], NULL, out, NULL, (size_t)a->r,
			      SPLICE_F_NONBLOCK);
	close(ends[0]);
	close(ends[1]);
}

static void do_stream(const struct order *o, struct answer *a)
{
	bool writes = o->code == OP_fwrite;
	FILE *f = fopen(name_of(o->arg[0]), writes ? "r+e" : "re");

	if (!f)
		return;
	(void)fseek(f, o->arg[1], SEEK_SET);
	if (writes) {
		fill(o->arg[2], o->arg[3]);
		a->r = (long)fwrite(buf, 1, (size_t)o->arg[2], f);
	} else {
		a->r = (long)fread(buf, 1, (size_t)o->arg[2], f);
		a->sum = sum_of(buf, a->r);
	}
	(void)fclose(f);
}

/* A private mapping shows the file as it is when it is made. */
static void do_look(const struct order *o, struct answer *a)
{
	long size = size_of((int)o->arg[0]), at = o->arg[1] / PAGE * PAGE;
	int fd = open(name_of(o->arg[0]), O_RDONLY);
	char *p;

	if (fd < 0)
		return;
	p = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, at);
	close(fd);
	if (p == MAP_FAILED)
		return;
	a->r = size > at ? size - at : 0;
	a->r = a->r < o->arg[2] ? a->r : o->arg[2];
	a->sum = sum_of(p, a->r);
	munmap(p, SIZE);
}

/* MAP FD PAGE PAGES KIND; 'over': onto what the map has already. */
static void do_mmap(const struct order *o, struct answer *a, bool over)
{
	static const int kinds[] = { 3, 3, 3, 3, 1, 1, 2, 0, 7 };
	int kind = kinds[o->arg[4] % 9], prot = kind & 3;
	size_t length = (size_t)o->arg[3] * PAGE - (size_t)o->arg[4] % 3;
	typeof(maps[0]) *m = &maps[o->arg[0]];
	int fd = slot(o->arg[1]), flags;
	struct stat st, named;
	char *p, *want = NULL;

	if ((m->at != NULL) != over || fstat(fd, &st) < 0)
		return;
	if (over && m->length < length)
		length = m->length;
	want = m->at;
	flags = (kind & 4 ? MAP_SHARED_VALIDATE : MAP_SHARED) |
		(over ? MAP_FIXED : 0);
	p = mmap(want, length, prot, flags, fd, o->arg[2] * PAGE);
	a->r = p == MAP_FAILED ? -1 : 0;
	if (p == MAP_FAILED)
		return;
	length = (length + PAGE - 1) / PAGE * PAGE;
	if (over && m->length > length)
		munmap(p + length, m->length - length);
	m->at = p;
	m->length = length;
	m->offset = o->arg[2] * PAGE;
	m->readable = prot & PROT_READ;
	m->writable = prot & PROT_WRITE;
	m->file = stat(name_of(0), &named) == 0 && named.st_ino == st.st_ino
			  ? 0
			  : 1;
}

/* From its end or from its beginning, so that one piece is left. */
static void do_munmap(const struct order *o, struct answer *a)
{
	typeof(maps[0]) *m = &maps[o->arg[0]];
	size_t n = (size_t)o->arg[1] * PAGE;

	if (!m->at)
		return;
	if (n >= m->length) {
		a->r = munmap(m->at, m->length);
		m->at = NULL;
	} else if (o->arg[2] & 1) {
		a->r = munmap(m->at, n);
		m->at += n;
		m->offset += (long)n;
		m->length -= n;
	} else {
		m->length -= n;
		a->r = munmap(m->at + m->length, n);
	}
}

/* MAP PAGES HOW TO */
static void do_mremap(const struct order *o, struct answer *a)
{
	typeof(maps[0]) *m = &maps[o->arg[0]], *to = &maps[o->arg[3]];
	size_t length = (size_t)o->arg[1] * PAGE;
	char *p;

	if (!m->at)
		return;
	if (o->arg[2] == 0) { /* twice */
		if (to->at || !m->writable)
			return;
		p = mremap(m->at, 0, length, MREMAP_MAYMOVE);
		a->r = p == MAP_FAILED ? -1 : 0;
		if (p == MAP_FAILED)
			return;
		*to = *m;
		m = to;
	} else if (o->arg[2] == 1 && to->at && to != m) { /* over another */
		if (length > to->length)
			length = to->length;
		p = mremap(m->at, m->length, length,
			   MREMAP_MAYMOVE | MREMAP_FIXED, to->at);
		a->r = p == MAP_FAILED ? -1 : 0;
		if (p == MAP_FAILED)
			return;
		if (to->length > length)
			munmap(to->at + length, to->length - length);
		*to = *m;
		m->at = NULL;
		m = to;
	} else {
		p = mremap(m->at, m->length, length, MREMAP_MAYMOVE);
		a->r = p == MAP_FAILED ? -1 : 0;
		if (p == MAP_FAILED)
			return;
	}
	m->at = p;
	m->length = length;
}

/* MAP PROT - of all of it */
static void do_mprotect(const struct order *o, struct answer *a)
{
	typeof(maps[0]) *m = &maps[o->arg[0]];

	if (!m->at)
		return;
	a->r = mprotect(m->at, m->length, (int)o->arg[1] & 3);
	if (a->r < 0)
		return;
	m->readable = o->arg[1] & PROT_READ;
	m->writable = o->arg[1] & PROT_WRITE;
}

/*
 * DF8: what was beyond the end can be touched after a call that concerns the
 * file. DF6: what is only to be read shows what has been written to the file.
 */
static void meet_differences(typeof(maps[0]) *m)
{
	int fd = open(name_of(m->file), O_RDONLY);
	char c;

	if (!m->writable && pread(fd, buf, SIZE, 0) < 0)
		c = 0;
	(void)msync(m->at, m->length, MS_ASYNC);
	(void)pread(fd, &c, 1, 0);
	close(fd);
}

/* Bytes beyond the end in the last page are nobody's: not looked at. */
static void do_memory(const struct order *o, struct answer *a)
{
	typeof(maps[0]) *m = &maps[o->arg[0]];
	long at = o->arg[1], n = o->arg[2], size, whole;

	if (!m->at || !m->readable || at >= (long)m->length)
		return;
	if (o->code != OP_load && !m->writable)
		return;
	if (n > (long)m->length - at)
		n = (long)m->length - at;
	size = size_of(m->file) - m->offset;
	whole = size <= 0 ? 0 : (size + PAGE - 1) / PAGE * PAGE;
	if (at >= size && at < whole)
		return;
	if (at < size && n > size - at)
		n = size - at;
	if (at + n > whole && at < whole)
		n = whole - at;
	if (!m->writable)
		meet_differences(m);
	for (volatile int again = 0; again < 2; again++) {
		if (sigsetjmp(fault, 1) == 0) {
			if (o->code == OP_store) {
				fill(n, o->arg[3]);
				memcpy(m->at + at, buf, (size_t)n);
			} else {
				memcpy(buf, m->at + at, (size_t)n);
				a->sum = sum_of(buf, n);
			}
			a->r = n;
			return;
		}
		a->r = -2;
		if (at >= size)
			return;
		meet_differences(m);
	}
}

/* FD MAP AT N: between a file and what is mapped, by the kernel. */
static void do_between(const struct order *o, struct answer *a)
{
	typeof(maps[0]) *m = &maps[o->arg[1]];
	long at = o->arg[2], n = o->arg[3], size;

	if (!m->at || !m->writable || !m->readable)
		return;
	size = size_of(m->file) - m->offset;
	if (at + n > size || at + n > (long)m->length)
		return;
	/* Onto itself: what comes first is not said anywhere. */
	if (labs(lseek(slot(o->arg[0]), 0, SEEK_CUR) - (m->offset + at)) < n)
		return;
	meet_differences(m);
	a->r = o->code == OP_into
		       ? read(slot(o->arg[0]), m->at + at, (size_t)n)
		       : write(slot(o->arg[0]), m->at + at, (size_t)n);
}

static void do_copy(const struct order *o, struct answer *a)
{
	off64_t from = o->arg[2], to = o->arg[3];

	if (same_file(o))
		return;
	a->r = copy_file_range(slot(o->arg[0]), &from, slot(o->arg[1]), &to,
			       (size_t)o->arg[4], 0);
}

static void do_sendfile(const struct order *o, struct answer *a)
{
	off_t from = o->arg[2];

	if (same_file(o))
		return;
	a->r = sendfile(slot(o->arg[1]), slot(o->arg[0]),
			o->arg[3] & 1 ? &from : NULL, (size_t)o->arg[3]);
}

static void do_fallocate(const struct order *o, struct answer *a)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE |
					     FALLOC_FL_KEEP_SIZE };

	a->r = fallocate(slot(o->arg[0]), modes[o->arg[1] % 3], o->arg[2],
			 o->arg[3]);
}

static void vector(struct iovec v[3], long n)
{
	v[0] = (struct iovec){ buf, (size_t)n / 3 };
	v[1] = (struct iovec){ buf, 0 };
	v[2] = (struct iovec){ buf + n / 3, (size_t)(n - n / 3) };
}

static void transfer(const struct order *o, struct answer *a)
{
	int fd = slot(o->arg[0]);
	long n = o->arg[1], at = o->arg[2];
	struct iovec v[3];

	vector(v, n);
	switch (o->code) {
	case OP_read:
		a->r = read(fd, buf, (size_t)n);
		break;
	case OP_readv:
		a->r = readv(fd, v, 3);
		break;
	case OP_pread:
		a->r = pread(fd, buf, (size_t)n, at);
		break;
	case OP_preadv:
		a->r = at % 5 ? preadv(fd, v, 3, at) : preadv2(fd, v, 3, -1, 0);
		break;
	case OP_write:
		fill(n, at);
		a->r = write(fd, buf, (size_t)n);
		return;
	case OP_writev:
		fill(n, at);
		a->r = writev(fd, v, 3);
		return;
	case OP_pwrite:
		fill(n, o->arg[3]);
		a->r = pwrite(fd, buf, (size_t)n, at);
		return;
	default:
		fill(n, o->arg[3]);
		a->r = at % 5 ? pwritev(fd, v, 3, at)
			      : pwritev2(fd, v, 3, -1, 0);
		return;
	}
	a->sum = sum_of(buf, a->r);
}

/* The whole file as a fresh descriptor has it. */
static void do_wholly(const struct order *o, struct answer *a)
{
	int fd = open(name_of(o->arg[0]), O_RDONLY);

	a->r = pread(fd, buf, sizeof(buf), 0);
	a->sum = sum_of(buf, a->r);
	close(fd);
}

static void carry_out(const struct order *o, struct answer *a, int *ret_channel)
{
	switch (o->code) {
	case OP_open:
		do_open(o, a);
		return;
	case OP_close:
		a->r = close(slot(o->arg[0]));
		return;
	case OP_dup:
		a->r = dup2(slot(o->arg[0]), slot(o->arg[1])) >= 0;
		return;
	case OP_seek:
		a->r = lseek(slot(o->arg[0]), o->arg[1], (int)o->arg[2] % 3);
		return;
	case OP_ftruncate:
		a->r = ftruncate(slot(o->arg[0]), o->arg[1]);
		return;
	case OP_truncate:
		a->r = truncate(name_of(o->arg[0]), o->arg[1]);
		return;
	case OP_fallocate:
		do_fallocate(o, a);
		return;
	case OP_posix_fallocate:
		a->r = posix_fallocate(slot(o->arg[0]), o->arg[1], o->arg[2]);
		errno = 0;
		return;
	case OP_sendfile:
		do_sendfile(o, a);
		return;
	case OP_copy:
		do_copy(o, a);
		return;
	case OP_splice:
		do_pipe(o, a);
		return;
	case OP_fsync:
		a->r = o->worker & 1 ? fsync(slot(o->arg[0]))
				     : fdatasync(slot(o->arg[0]));
		return;
	case OP_fread:
	case OP_fwrite:
		do_stream(o, a);
		return;
	case OP_look:
		do_look(o, a);
		return;
	case OP_into:
	case OP_from:
		do_between(o, a);
		return;
	case OP_mmap:
	case OP_mapover:
		do_mmap(o, a, o->code == OP_mapover);
		return;
	case OP_munmap:
		do_munmap(o, a);
		return;
	case OP_mremap:
		do_mremap(o, a);
		return;
	case OP_mprotect:
		do_mprotect(o, a);
		return;
	case OP_msync:
		if (maps[o->arg[0]].at)
			a->r = msync(maps[o->arg[0]].at, maps[o->arg[0]].length,
				     o->arg[1] & 1 ? MS_SYNC | MS_INVALIDATE
						   : MS_ASYNC);
		return;
	case OP_store:
	case OP_load:
		do_memory(o, a);
		return;
	case OP_wholly:
		do_wholly(o, a);
		return;
	case OP_fork:
		a->r = 0;
		if (fork() == 0) {
			if (fork() == 0) {
				*ret_channel = FIRST_CHANNEL + (int)o->arg[0];
				return;
			}
			_exit(0);
		}
		(void)wait(NULL);
		return;
	default:
		transfer(o, a);
	}
}

static void answer(int channel, struct answer *a)
{
	a->error = a->r == -1 ? errno : 0;
	a->pid = getpid();
	if (write(channel, a, sizeof(*a)) != sizeof(*a))
		_exit(4);
}

static void execute(int channel)
{
	char number[20];

	(void)snprintf(number, sizeof(number), "%d", channel);
	execl("/proc/self/exe", "filemap-orders", "-W", number, NULL);
	_exit(3);
}

/* Of a fork the child answers, on its own channel. */
static int work(int channel)
{
	struct sigaction act = { .sa_handler = on_fault };
	struct order o;

	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	while (read(channel, &o, sizeof(o)) == sizeof(o)) {
		struct answer a = { .r = -3 };
		int before = channel;

		errno = 0;
		if (o.code == OP_exec)
			execute(channel);
		if (o.code == OP_exit && o.arg[0] & 1)
			exit(0);
		if (o.code == OP_exit)
			_exit(0);
		carry_out(&o, &a, &channel);
		if (o.code != OP_fork || channel != before)
			answer(channel, &a);
	}
	_exit(0);
}

/* ------------------------------------------------------------ the conductor */

static struct {
	pid_t pid; /* or 0 */
	int fd;
} workers[WORKERS];

/* Channels are there before anybody is born: who forks has them all. */
static void make_channel(int w)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0 ||
	    dup2(ends[1], FIRST_CHANNEL + w) < 0)
		exit(2);
	workers[w].fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 60);
	close(ends[0]);
	close(ends[1]);
}

static void beget(int w)
{
	workers[w].pid = fork();
	if (workers[w].pid == 0)
		work(FIRST_CHANNEL + w);
}

static void wait_for(int w)
{
	if (waitpid(workers[w].pid, NULL, 0) != workers[w].pid)
		exit(2);
	workers[w].pid = 0;
}

static void end(int w, int signal)
{
	struct order o = { .worker = w, .code = OP_exit };

	if (signal)
		kill(workers[w].pid, signal);
	else if (write(workers[w].fd, &o, sizeof(o)) != sizeof(o))
		exit(2);
	wait_for(w);
}

static void tell(const struct order *o, int line, const struct answer *a)
{
	printf("%d: %d %s", line, o->worker, known[o->code].name);
	for (size_t i = 0; i < strlen(known[o->code].numbers); i++)
		printf(" %ld", o->arg[i]);
	printf(" = %ld %s %llx, %ld %ld\n", a->r,
	       a->r == -1 ? strerrorname_np(a->error) : "",
	       (unsigned long long)a->sum, size_of(0), size_of(1));
	fflush(stdout);
}

static void conduct(const struct order *o, int line)
{
	struct answer a = { 0 };
	int from = o->code == OP_fork ? (int)o->arg[0] : o->worker;

	if (!workers[o->worker].pid)
		beget(o->worker);
	if (o->code == OP_fork && workers[from].pid)
		return;
	if (o->code == OP_kill) {
		end(o->worker, SIGKILL);
		return;
	}
	if (write(workers[o->worker].fd, o, sizeof(*o)) != sizeof(*o))
		exit(2);
	if (o->code == OP_exit) {
		wait_for(o->worker);
		return;
	}
	if (read(workers[from].fd, &a, sizeof(a)) != sizeof(a))
		exit(2);
	workers[from].pid = a.pid;
	tell(o, line, &a);
}

static void make_files(void)
{
	for (int i = 0; i < FILES; i++) {
		int fd = open(name_of(i), O_RDWR | O_CREAT | O_TRUNC, 0644);

		fill(SIZE, i);
		if (fd < 0 || write(fd, buf, 3 * PAGE + 1000) < 0)
			exit(2);
		close(fd);
	}
}

/* What was killed last has left its stores to the next who maps the file. */
static void collect(void)
{
	for (int i = 0; i < FILES; i++) {
		int fd = open(name_of(i), O_RDWR);
		char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       fd, 0);

		if (p != MAP_FAILED)
			munmap(p, PAGE);
		close(fd);
	}
}

/* --------------------------------------------------------------- sequences */

static uint64_t state;

static long any(long n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (long)(state >> 16 & 0x7fffffff) % n;
}

static long number(char kind)
{
	switch (kind) {
	case 's':
		return any(SLOTS);
	case 'm':
		return any(MAPS);
	case 'f':
		return any(FILES);
	case 'w':
		return any(WORKERS);
	case 'p':
		return any(3) ? 0 : any(PAGES);
	case 'l':
		return 1 + any(PAGES);
	case '@':
		return any(4) ? any(SIZE) : any(PAGES) * PAGE;
	case 'n':
		return any(3) ? 1 + any(500) : 1 + any(4 * PAGE);
	default:
		return any(100);
	}
}

static void choose(struct order *o)
{
	long sum = 0, at;

	for (int i = 0; i < OPS; i++)
		sum += known[i].weight;
	at = any(sum);
	*o = (struct order){ .worker = (int)any(WORKERS) };
	while (at >= known[o->code].weight)
		at -= known[o->code++].weight;
	for (size_t i = 0; i < strlen(known[o->code].numbers); i++)
		o->arg[i] = number(known[o->code].numbers[i]);
	if (o->code == OP_mremap)
		o->arg[2] = any(4);
}

static bool parse(char *text, struct order *o)
{
	char *word = strtok(text, " \n");

	*o = (struct order){ 0 };
	if (!word)
		return false;
	o->worker = atoi(word) % WORKERS;
	word = strtok(NULL, " \n");
	while (word && o->code < OPS && strcmp(known[o->code].name, word) != 0)
		o->code++;
	if (!word || o->code == OPS)
		return false;
	for (int i = 0; i < ARGS && (word = strtok(NULL, " \n")); i++)
		o->arg[i] = atol(word);
	return true;
}

static void print(const struct order *o)
{
	printf("%d %s", o->worker, known[o->code].name);
	for (size_t i = 0; i < strlen(known[o->code].numbers); i++)
		printf(" %ld", o->arg[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	bool only_print = false;
	FILE *f = NULL;
	char line[200];
	struct order o;
	long n = 1000;
	int opt;

	while ((opt = getopt(argc, argv, "gn:f:W:")) != -1) {
		struct answer a = { 0 };

		switch (opt) {
		case 'g':
			only_print = true;
			break;
		case 'n':
			n = atol(optarg);
			break;
		case 'f':
			f = fopen(optarg, "re");
			if (!f)
				return 2;
			break;
		case 'W':
			answer(atoi(optarg), &a);
			return work(atoi(optarg));
		default:
			return 2;
		}
	}
	if (!f && optind + 1 != argc)
		return 2;
	state = f ? 0
		  : strtoull(argv[optind], NULL, 10) * 2654435761u +
				88172645463325252u;

	alarm(60);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!only_print) {
		for (int w = 0; w < WORKERS; w++)
			make_channel(w);
		make_files();
	}
	for (int i = 1; f || i <= n; i++) {
		if (!f) {
			choose(&o);
		} else {
			if (!fgets(line, sizeof(line), f))
				break;
			if (!parse(line, &o))
				continue;
		}
		if (only_print)
			print(&o);
		else
			conduct(&o, i);
	}
	if (only_print)
		return 0;
	for (int w = 0; w < WORKERS; w++)
		if (workers[w].pid)
			end(w, 0);
	collect();
	return 0;
}
