/* SPDX-License-Identifier: MIT */
/*
 * Owns the mapping lock, the list of files, and what becomes of both when a
 * process forks, executes and ends.
 *
 * Lock: held over fork(), so that the child's copy is whole. A child that no
 * handler has seen (raw clone()) finds a page wiped, and takes the lock for
 * free: nobody of its parent's threads is there to give it back.
 * Crash: all of it dies with the process. Its objects' locks go, and the next
 * user of a file settles what was left.
 */
#include "core/mapping_parts.h"

#include <pthread.h>

#include "backing/linger.h"
#include "base/latch.h"
#include "base/signals.h"
#include "base/text.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

struct mapping_file *mapping_files;
const struct mapping_setup *mapping_setup;

static uint32_t latch;
static uint32_t *here; /* 0 in a child that is new here; or NULL: unknown */
static uint64_t fork_signals;

bool mapping_any(void)
{
	return load_acquire(&mapping_files) != NULL;
}

void mapping_configure(const struct mapping_setup *setup)
{
	store_release(&mapping_setup, setup);
}

/* ------------------------------------------------------------------- lock */

/* What a raw clone() has left us: we share all with a parent. */
static void arrive(void)
{
	store_release(&latch, 0);
	*here = 1;
	written_end();
	for (struct mapping_file *f = mapping_files; f; f = f->next) {
		f->calls = 0;
		if (!f->object)
			continue;
		f->object->shared = true;
		f->object->lock = -1;
		f->object->tracked = 0;
	}
}

void mapping_enter(uint64_t *ret_signals)
{
	uint64_t signals;

	signals_block(&signals);
	if (here && !load_relaxed(here))
		arrive();
	latch_take(&latch, &signals);
	*ret_signals = signals;
}

void mapping_leave(const uint64_t *signals)
{
	latch_release(&latch);
	signals_restore(signals);
}

/* ------------------------------------------------------------------- fork */

static void before_fork(void)
{
	uint64_t signals;

	mapping_enter(&signals);
	fork_signals = signals;
	for (struct mapping_file *f = mapping_files; f; f = f->next)
		if (f->object)
			object_before_fork(f->object);
}

static void after_fork(bool child)
{
	uint64_t signals = fork_signals;

	if (child && here)
		*here = 1;
	for (struct mapping_file *f = mapping_files; f; f = f->next)
		if (f->object)
			object_after_fork(f->object, child);
	if (child) {
		linger_inherit();
		written_end();
	}
	mapping_leave(&signals);
}

static void after_fork_in_parent(void)
{
	after_fork(false);
}

static void after_fork_in_child(void)
{
	after_fork(true);
}

/* Before the first file. Without memory for the handlers nothing is served. */
static int watch(void)
{
	static bool watched;
	void *p;

	if (watched)
		return 0;
	p = sys_mmap(NULL, OBJECT_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(p))
		return -ENOMEM;
	if (pthread_atfork(before_fork, after_fork_in_parent,
			   after_fork_in_child) != 0) {
		(void)sys_munmap(p, OBJECT_PAGE);
		return -ENOMEM;
	}
	/* Before Linux 4.14 only raw clone() goes unnoticed. */
	if (sys_madvise(p, OBJECT_PAGE, MADV_WIPEONFORK) == 0) {
		*(uint32_t *)p = 1;
		store_release(&here, (uint32_t *)p);
	}
	watched = true;
	return 0;
}

/* ------------------------------------------------------------------ files */

/* One bit of 64 for each file there is. */
static word64 sieve;

static uint64_t bit_of(uint64_t dev, uint64_t ino)
{
	uint64_t mixed = (dev ^ ino) * UINT64_C(0x9e3779b97f4a7c15);

	return UINT64_C(1) << (mixed >> 58);
}

bool mapping_may_have(uint64_t dev, uint64_t ino)
{
	return load_relaxed(&sieve) & bit_of(dev, ino);
}

static void sieve_again(void)
{
	uint64_t bits = 0;

	for (struct mapping_file *f = mapping_files; f; f = f->next)
		bits |= bit_of(f->id.dev, f->id.ino);
	store_relaxed(&sieve, bits);
}

struct mapping_file *mapping_find(uint64_t dev, uint64_t ino)
{
	struct mapping_file *f = mapping_files;

	while (f && !(f->id.dev == dev && f->id.ino == ino))
		f = f->next;
	return f;
}

int mapping_file_get(int fd, struct mapping_file **ret_file)
{
	struct sys_identity id;
	struct mapping_file *f;
	int r;

	r = sys_identity(fd, "", AT_EMPTY_PATH, &id);
	if (r < 0)
		return r;
	f = mapping_find(id.dev, id.ino);
	if (!f) {
		r = watch();
		if (r < 0)
			return r;
		f = sys_mmap(NULL, OBJECT_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (!f || sys_failed(f))
			return -ENOMEM;
		f->id = id;
		f->fd = -1;
		f->next = mapping_files;
		store_release(&mapping_files, f);
		sieve_again();
	}
	*ret_file = f;
	return 0;
}

/* In a line: which file, how much, and what became of it. */
static void tell(const struct mapping_file *f, uint64_t n, const char *what)
{
	uint64_t numbers[] = { f->id.dev, f->id.ino, n };
	char line[200];
	struct text t;

	if (!mapping_setup || !mapping_setup->report)
		return;
	text_init(&t, line, sizeof(line));
	text_words(&t, "ushm: mapped file #-#: ", numbers);
	text_words(&t, what, numbers + 2);
	text_str(&t, "\n");
	mapping_setup->report(line);
}

int mapping_file_attach(struct mapping_file *f, int fd, unsigned flags)
{
	uint64_t max = mapping_setup ? mapping_setup->max : MAPPING_MAX;
	int r;

	if (f->object)
		return flags & OBJECT_WRITE ? object_allow_write(f->object, fd)
					    : 0;
	r = object_attach(fd, &f->id, flags, max, &f->object);
	if (r > 0)
		tell(f, (uint64_t)r,
		     "% pages that a dead program left are not written, for the file was changed meanwhile");
	return r < 0 ? r : 0;
}

static void forget(struct mapping_file *f)
{
	int r = f->object ? object_detach(f->object) : 0;

	if (r < 0)
		tell(f, (uint64_t)-r,
		     "error % in writing; what is not written stays in memory");
	linger_close(f->fd, &f->id);
	(void)sys_munmap(f, OBJECT_PAGE);
}

void mapping_reap(void)
{
	struct mapping_file **link = &mapping_files, *f;

	while ((f = *link)) {
		if (f->ranges || f->calls) {
			link = &f->next;
			continue;
		}
		store_release(link, f->next);
		sieve_again();
		forget(f);
	}
	if (!mapping_files)
		written_end();
	linger_retry();
}

/* -------------------------------------------------------------------- end */

void mapping_flush(bool ends)
{
	uint64_t signals;

	if (!mapping_any())
		return;
	mapping_enter(&signals);
	for (struct mapping_file *f = mapping_files; f; f = f->next) {
		if (!f->object)
			continue;
		if (ends)
			object_finish(f->object);
		else
			(void)object_push(f->object, 0, UINT64_MAX);
	}
	mapping_leave(&signals);
}

/* ------------------------------------------------------------ descriptors */

int mapping_next_descriptor(int fd)
{
	int lowest, other;
	uint64_t signals;

	/* Of most processes: this is asked at each close(). */
	if (!mapping_any() && !linger_any())
		return -1;
	mapping_enter(&signals);
	lowest = linger_next(fd);
	other = written_descriptor();
	if (other >= fd && (lowest < 0 || other < lowest))
		lowest = other;
	for (struct mapping_file *f = mapping_files; f; f = f->next) {
		other = f->object ? object_next_descriptor(f->object, fd) : -1;
		if (f->fd >= fd && (other < 0 || f->fd < other))
			other = f->fd;
		if (other >= 0 && (lowest < 0 || other < lowest))
			lowest = other;
	}
	mapping_leave(&signals);
	return lowest;
}

void mapping_vacate(int fd)
{
	uint64_t signals;

	mapping_enter(&signals);
	linger_vacate(fd);
	written_vacate(fd);
	for (struct mapping_file *f = mapping_files; f; f = f->next) {
		if (f->object)
			object_vacate(f->object, fd);
		if (f->fd == fd) {
			int other = sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);

			if (other >= 0)
				f->fd = other;
		}
	}
	mapping_leave(&signals);
}

void mapping_after_close(void)
{
	uint64_t signals;

	if (!linger_any())
		return;
	mapping_enter(&signals);
	linger_retry();
	mapping_leave(&signals);
}
