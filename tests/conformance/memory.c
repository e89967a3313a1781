/* SPDX-License-Identifier: MIT */
/*
 * What the memory calls - munmap, mmap over it, mremap, mprotect, madvise - do
 * to an attach. Linux counts mappings: a hole in the middle makes two of one.
 */
#include "conformance.h"

CASE("C55 C56", unmapping_it_all_is_a_detach)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0);
	time_t before = now();
	struct shmid_ds ds;

	CHECK_OK(munmap(p, 3 * page));
	ds = stat_of(id);
	CHECK_EQ(ds.shm_nattch, 0);
	CHECK_STAMP(ds.shm_dtime, before);
	CHECK_EQ(ds.shm_lpid, getpid());
	CHECK_ERRNO(shmdt(p), EINVAL);
	destroy(id);
}

CASE("C55 C56", unmapping_page_by_page_is_a_detach_with_the_last)
{
	static const int orders[][3] = {
		{ 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 }, { 1, 2, 0 }, { 0, 2, 1 },
	};
	static const int counts[][3] = {
		{ 1, 1, 0 }, { 1, 1, 0 }, { 2, 1, 0 }, { 2, 1, 0 }, { 1, 1, 0 },
	};
	size_t page = page_size(), i, j;
	int id = make(3 * page, 0600);

	for (i = 0; i < LEN(orders); i++) {
		char *p = attach(id, 0);

		for (j = 0; j < 3; j++) {
			NOTE("order %d, step %d", (int)i, (int)j);
			CHECK_OK(munmap(p + orders[i][j] * page, page));
			CHECK_EQ(nattch_of(id), counts[i][j]);
		}
		CHECK_ERRNO(shmdt(p), EINVAL);
	}
	destroy(id);
}

CASE("C56", unmapping_a_removed_segment_destroys_it)
{
	size_t page = page_size();
	int id = make(2 * page, 0600);
	char *p = attach(id, 0);

	destroy(id);
	CHECK_OK(munmap(p, page));
	CHECK_EQ(nattch_of(id), 1);
	CHECK_OK(munmap(p + page, page));
	CHECK(!exists(id));
}

CASE("C55", unmapping_across_several_attaches_counts_for_each)
{
	size_t page = page_size();
	int a = make(2 * page, 0600), b = make(2 * page, 0600);
	char *p = hole(6);

	CHECK_PTR(shmat(a, p, 0), p);
	CHECK_PTR(shmat(b, p + 3 * page, 0), p + 3 * page);

	NOTE("tail of one, gap, head of the other");
	CHECK_OK(munmap(p + page, 3 * page));
	CHECK_EQ(nattch_of(a), 1);
	CHECK_EQ(nattch_of(b), 1);
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(touch_read(p + page), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_read(p + 3 * page), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_write(p + 4 * page), 0);

	NOTE("more than all");
	CHECK_OK(munmap(p, 6 * page));
	CHECK_EQ(nattch_of(a), 0);
	CHECK_EQ(nattch_of(b), 0);
	destroy(a);
	destroy(b);
}

CASE("C55", unmapping_elsewhere_counts_for_nothing)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = hole(3);

	CHECK_PTR(shmat(id, p + page, 0), p + page);
	CHECK_OK(munmap(p, page));
	CHECK_OK(munmap(p + 2 * page, page));
	CHECK_ERRNO(munmap(p + page, 0), EINVAL);
	CHECK_ERRNO(munmap(p + page + 1, page), EINVAL);
	CHECK_EQ(nattch_of(id), 1);
	detach(p + page);
	destroy(id);
}

CASE("C55", length_of_munmap_is_rounded_up)
{
	size_t page = page_size();
	int id = make(2 * page, 0600);
	char *p = attach(id, 0);

	CHECK_OK(munmap(p, 1));
	CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_read(p + page), 0);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_OK(munmap(p + page, 1));
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C55", mapping_over_an_attach_takes_its_pages)
{
	static const struct {
		const char *why;
		int first, n, left;
	} rows[] = {
		{ "head", 0, 1, 1 },
		{ "tail", 2, 1, 1 },
		{ "middle", 1, 1, 2 },
		{ "all", 0, 3, 0 },
	};
	size_t page = page_size(), i;
	int id = make(3 * page, 0600);

	for (i = 0; i < LEN(rows); i++) {
		char *p = attach(id, 0), *q = p + rows[i].first * page;

		NOTE("%s", rows[i].why);
		CHECK_PTR(mmap(q, rows[i].n * page, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			  q);
		CHECK_EQ(nattch_of(id), rows[i].left);
		CHECK_EQ(q[0], 0);
		if (rows[i].left)
			detach(p);
		else
			CHECK_ERRNO(shmdt(p), EINVAL);
		CHECK_EQ(nattch_of(id), 0);
		munmap(q, rows[i].n * page);
	}
	destroy(id);
}

CASE("C55", mapping_at_a_mere_hint_leaves_an_attach_alone)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0), *q;

	q = mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(q != MAP_FAILED && q != p);
	CHECK_EQ(nattch_of(id), 1);
	munmap(q, page);
	detach(p);
	destroy(id);
}

#ifdef MAP_FIXED_NOREPLACE
CASE("C55", mapping_that_may_not_replace_leaves_an_attach_alone)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0);

	CHECK_ERRNO(mmap(p, page, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0),
		    EEXIST);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p), 0);
	detach(p);
	destroy(id);
}
#endif

CASE("C55", failed_mapping_leaves_an_attach_alone)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0);

	CHECK_ERRNO(mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, -1, 0),
		    EBADF);
	CHECK_ERRNO(mmap(p, 0, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		    EINVAL);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p), 0);
	detach(p);
	destroy(id);
}

CASE("C55", protecting_the_middle_makes_three_of_one_for_good)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0);

	CHECK_OK(mprotect(p + page, page, PROT_READ));
	CHECK_EQ(nattch_of(id), 3);
	CHECK_OK(mprotect(p + page, page, PROT_READ | PROT_WRITE));
	CHECK_EQ(nattch_of(id), 3);
	detach(p);
	CHECK_EQ(nattch_of(id), 0);
	CHECK_EQ(touch_read(p + page), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_read(p + 2 * page), FAULT(SIGSEGV, SEGV_MAPERR));
	destroy(id);
}

CASE("C55", calls_on_the_whole_range_keep_the_count)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0);

	CHECK_OK(mprotect(p, 3 * page, PROT_READ));
	CHECK_EQ(nattch_of(id), 1);
	CHECK_OK(mlock(p, 3 * page));
	CHECK_EQ(nattch_of(id), 1);
	CHECK_OK(munlock(p, 3 * page));
	CHECK_EQ(nattch_of(id), 1);
	CHECK_OK(madvise(p, 3 * page, MADV_DONTFORK));
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C55", locking_or_advising_the_middle_makes_three_of_one)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0);

	if (!SANITIZED) {
		CHECK_OK(mlock(p + page, page));
		CHECK_EQ(nattch_of(id), 3);
	}
	detach(p);

	p = attach(id, 0);
	CHECK_OK(madvise(p + page, page, MADV_DONTFORK));
	CHECK_EQ(nattch_of(id), 3);
	detach(p);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C58", moving_a_mapping_keeps_count_and_contents)
{
	size_t page = page_size();
	int id = make(2 * page, 0600);
	char *p = attach(id, 0), *to = hole(2);

	p[page] = 5;
	CHECK_PTR(mremap(p, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED,
			 to),
		  to);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(to[page], 5);
	CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_ERRNO(shmdt(p), EINVAL);
	CHECK_OK(shmdt(to));
	CHECK_EQ(nattch_of(id), 0);
	CHECK_EQ(touch_read(to), FAULT(SIGSEGV, SEGV_MAPERR));
	destroy(id);
}

CASE("C58", moving_onto_another_attach_detaches_that)
{
	size_t page = page_size();
	int a = make(page, 0600), b = make(page, 0600);
	char *p = attach(a, 0), *q = attach(b, 0);

	p[0] = 1;
	q[0] = 2;
	CHECK_PTR(mremap(p, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, q), q);
	CHECK_EQ(q[0], 1);
	CHECK_EQ(nattch_of(a), 1);
	CHECK_EQ(nattch_of(b), 0);
	detach(q);
	destroy(a);
	destroy(b);
}

CASE("C58", shrinking_a_mapping_keeps_the_count)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0);

	CHECK_PTR(mremap(p, 3 * page, page, 0), p);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_read(p + page), FAULT(SIGSEGV, SEGV_MAPERR));
	detach(p);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C58", mapping_can_grow_beyond_the_segment_but_not_be_used_there)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0), *to = hole(3);

	p[0] = 6;
	CHECK_PTR(mremap(p, page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to),
		  to);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(to[0], 6);
	CHECK_EQ(touch_read(to + page), FAULT(SIGBUS, BUS_ADRERR));
	CHECK_EQ(touch_write(to + 2 * page), FAULT(SIGBUS, BUS_ADRERR));
	CHECK_OK(munmap(to, 3 * page));
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C58", old_size_0_duplicates_the_mapping)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0), *q = mremap(p, 0, page, MREMAP_MAYMOVE);

	REQUIRE(q != MAP_FAILED && q != p);
	CHECK_EQ(nattch_of(id), 2);
	p[0] = 4;
	CHECK_EQ(q[0], 4);
	detach(p);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(q[0], 4);
	detach(q);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

#ifdef MREMAP_DONTUNMAP
CASE("C58", moving_without_unmapping_duplicates_the_mapping)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0), *q;

	p[0] = 4;
	q = mremap(p, page, page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (q == MAP_FAILED && errno == EINVAL) {
		detach(p);
		destroy(id);
		SKIP("not for shared memory here");
	}
	REQUIRE(q != MAP_FAILED);
	CHECK_EQ(nattch_of(id), 2);
	CHECK_EQ(q[0], 4);
	CHECK_EQ(p[0], 4);
	detach(p);
	detach(q);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}
#endif

CASE("C58", failed_mremap_leaves_an_attach_alone)
{
	size_t page = page_size();
	int id = make(2 * page, 0600);
	char *p = attach(id, 0);

	CHECK_ERRNO(mremap(p + 1, page, page, MREMAP_MAYMOVE), EINVAL);
	CHECK_ERRNO(mremap(p, page, 0, MREMAP_MAYMOVE), EINVAL);
	CHECK_ERRNO(mremap(p, 2 * page, page, MREMAP_MAYMOVE | MREMAP_FIXED,
			   p + page),
		    EINVAL); /* overlapping */
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p + page), 0);
	detach(p);
	destroy(id);
}

CASE("C60", advice_and_sync_do_what_they_do_to_shared_memory)
{
	size_t page = page_size();
	int id = make(2 * page, 0600);
	char *p = attach(id, 0), *q = attach(id, 0);
	unsigned char present[2] = { 0, 0 };

	p[0] = p[page] = 9;
	CHECK_OK(madvise(p, 2 * page, MADV_DONTNEED));
	CHECK_EQ(p[0], 9);
	CHECK_EQ(nattch_of(id), 2);
#ifdef MADV_WIPEONFORK
	CHECK_ERRNO(madvise(p, 2 * page, MADV_WIPEONFORK), EINVAL);
#endif
	CHECK_EQ(msync(p, 2 * page, MS_SYNC), 0);
	CHECK_EQ(msync(p, 2 * page, MS_ASYNC), 0);
	CHECK_EQ(mincore((void *)p, 2 * page, (void *)present), 0);
	CHECK_EQ(present[0] & 1, 1);
	CHECK_EQ(present[1] & 1, 1);

	CHECK_OK(madvise(p, page, MADV_REMOVE));
	CHECK_EQ(q[0], 0);
	CHECK_EQ(q[page], 9);
	detach(p);
	detach(q);
	destroy(id);
}

CASE("C60", system_calls_read_and_write_attached_memory)
{
	int id = make(2 * page_size(), 0600), fd[2];
	char *p = attach(id, 0);

	REQUIRE_OK(pipe(fd));
	strcpy(p, "through a pipe");
	CHECK_EQ(write(fd[1], p, 15), 15);
	CHECK_EQ(read(fd[0], p + page_size(), 15), 15);
	CHECK(strcmp(p + page_size(), "through a pipe") == 0);

	CHECK_EQ(write(fd[1], p, 15), 15);
	detach(p);
	CHECK_ERRNO(read(fd[0], p, 15), EFAULT);
	destroy(id);
}

/* The core file of a process that died here, or a skip. */
static int core_of(void (*die)(void))
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	char pattern[64] = "", dir[] = "/tmp/ushm-core.XXXXXX";
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (fd < 0 || read(fd, pattern, sizeof(pattern) - 1) < 0 ||
	    strcmp(pattern, "core\n") != 0)
		SKIP("core files go elsewhere: %s", pattern);
	close(fd);
	REQUIRE(mkdtemp(dir));
	REQUIRE_OK(chdir(dir));
	pid = fork();
	REQUIRE_OK(pid);
	if (pid == 0) {
		if (setrlimit(RLIMIT_CORE, &limit) < 0)
			_exit(1);
		die();
		_exit(1);
	}
	if (!WCOREDUMP(wait_status(pid))) {
		rmdir(dir);
		SKIP("no core file is written here");
	}
	fd = open("core", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		char name[32];

		snprintf(name, sizeof(name), "core.%d", (int)pid);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		unlink(name);
	}
	unlink("core");
	REQUIRE_OK(fd);
	REQUIRE_OK(rmdir(dir));
	return fd;
}

static int core_id;

static void die_attached(void)
{
	char *p = attach(core_id, 0);

	/* Only this puts the two halves together in memory. */
	strcpy(p, "this is what the segment");
	strcat(p, " of a dead process held");
	abort();
}

CASE("C100", core_file_contains_the_segment)
{
	static const char want[] = "segment\0of a dead";
	char buf[65536];
	char text[64];
	ssize_t n;
	bool found = false;
	int fd;

	core_id = make(page_size(), 0600);
	fd = core_of(die_attached);

	/* Not earlier: it would be in the dead process's stack. */
	memcpy(text, want, sizeof(want));
	text[7] = ' ';
	while (!found && (n = read(fd, buf, sizeof(buf))) > 0)
		found = memmem(buf, (size_t)n, text, 17) != NULL;
	CHECK(found);
	close(fd);
	destroy(core_id);
}
