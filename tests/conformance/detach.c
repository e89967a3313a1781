/* SPDX-License-Identifier: MIT */
/* shmdt(2): which attach an address means. */
#include "conformance.h"

CASE("C51", address_that_is_no_attach_is_einval)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0), *other = page_with(PROT_READ | PROT_WRITE);

	CHECK_ERRNO(shmdt(NULL), EINVAL);
	CHECK_ERRNO(shmdt((void *)-1), EINVAL);
	CHECK_ERRNO(shmdt(p + 1), EINVAL);
	CHECK_ERRNO(shmdt(p + page), EINVAL);
	CHECK_ERRNO(shmdt(p + 2 * page), EINVAL);
	CHECK_ERRNO(shmdt(p + 3 * page), EINVAL);
	CHECK_ERRNO(shmdt(p - page), EINVAL);
	CHECK_ERRNO(shmdt(other), EINVAL);
	CHECK_ERRNO(shmdt((void *)(uintptr_t)0x1000), EINVAL);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_read(other), 0);

	detach(p);
	destroy(id);
}

CASE("C51", detaching_with_nothing_ever_attached_is_einval)
{
	CHECK_ERRNO(shmdt(NULL), EINVAL);
	CHECK_ERRNO(shmdt(page_with(PROT_READ)), EINVAL);
}

CASE("C54", second_detach_is_refused_and_the_memory_is_gone)
{
	int id = make(2 * page_size(), 0600);
	char *p = attach(id, 0);

	CHECK_EQ(shmdt(p), 0);
	CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_read(p + page_size()), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_ERRNO(shmdt(p), EINVAL);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C44 C54", each_attach_is_detached_by_itself)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0), *q = attach(id, 0),
	     *r = attach(id, SHM_RDONLY);

	CHECK_EQ(nattch_of(id), 3);
	detach(q);
	CHECK_EQ(nattch_of(id), 2);
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(touch_read(r), 0);
	detach(p);
	CHECK_EQ(r[0], 1);
	detach(r);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C52", address_names_its_attach_after_parts_of_it_are_gone)
{
	static const struct {
		const char *why;
		int first, n; /* pages unmapped of 0..3 */
		int left;
	} rows[] = {
		{ "head", 0, 1, 1 },
		{ "middle", 1, 2, 2 },
		{ "tail", 3, 1, 1 },
		{ "all but the last", 0, 3, 1 },
	};
	size_t page = page_size(), i;
	int id = make(4 * page, 0600);

	for (i = 0; i < LEN(rows); i++) {
		char *p = attach(id, 0);

		NOTE("%s unmapped", rows[i].why);
		REQUIRE_OK(munmap(p + rows[i].first * page, rows[i].n * page));
		CHECK_EQ(nattch_of(id), rows[i].left);
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 0);
		CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
		CHECK_EQ(touch_read(p + 3 * page), FAULT(SIGSEGV, SEGV_MAPERR));
		CHECK_ERRNO(shmdt(p), EINVAL);
	}

	destroy(id);
}

CASE("C52", foreign_mapping_inside_an_attach_stays)
{
	size_t page = page_size();
	int id = make(3 * page, 0600), i;

	for (i = 0; i < 3; i++) {
		char *p = attach(id, 0), *q = p + i * page;

		NOTE("page %d replaced", i);
		REQUIRE(mmap(q, page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			     0) == q);
		q[0] = 42;
		CHECK_OK(shmdt(p));
		CHECK_EQ(nattch_of(id), 0);
		CHECK_EQ(touch_read(q), 0);
		CHECK_EQ(q[0], 42);
		munmap(q, page);
	}

	destroy(id);
}

CASE("C52", start_of_a_surviving_part_is_no_attach)
{
	size_t page = page_size();
	int id = make(4 * page, 0600);
	char *p = attach(id, 0);

	REQUIRE_OK(munmap(p, page));
	CHECK_ERRNO(shmdt(p + page), EINVAL);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C52", moved_part_is_detached_at_its_address_less_its_offset)
{
	size_t page = page_size();
	int id = make(4 * page, 0600);
	char *p = attach(id, 0), *to = hole(8), *q;

	p[2 * page] = 7;
	q = mremap(p + 2 * page, page, page, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to + 4 * page);
	REQUIRE(q == to + 4 * page);
	CHECK_EQ(q[0], 7);
	CHECK_EQ(nattch_of(id), 3);

	CHECK_ERRNO(shmdt(q), EINVAL);
	CHECK_OK(shmdt(q - 2 * page));
	CHECK_EQ(touch_read(q), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(nattch_of(id), 2);

	detach(p);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C53", other_attach_of_the_same_segment_in_the_range_survives)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = attach(id, 0), *q = attach(id, 0);

	/* The last page of q goes where the last of p was. */
	REQUIRE(mremap(q + 2 * page, page, page, MREMAP_MAYMOVE | MREMAP_FIXED,
		       p + 2 * page) == p + 2 * page);
	CHECK_EQ(nattch_of(id), 3);

	CHECK_EQ(shmdt(p), 0);
	CHECK_EQ(touch_read(p), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_read(p + 2 * page), 0);
	CHECK_EQ(nattch_of(id), 2);

	CHECK_EQ(shmdt(p), 0);
	CHECK_EQ(touch_read(p + 2 * page), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(nattch_of(id), 1);
	CHECK_ERRNO(shmdt(p), EINVAL);

	detach(q);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C54 C77", detaching_a_removed_segment_destroys_it)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0), *q = attach(id, 0);

	destroy(id);
	detach(p);
	CHECK_EQ(nattch_of(id), 1);
	detach(q);
	CHECK(!exists(id));
}

CASE("C46 C54", detach_stamps_time_and_pid)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);
	time_t before = now();
	struct shmid_ds ds;

	CHECK_EQ(stat_of(id).shm_dtime, 0);
	detach(p);
	ds = stat_of(id);
	CHECK_STAMP(ds.shm_dtime, before);
	CHECK_EQ(ds.shm_lpid, getpid());
	destroy(id);
}

CASE_IF("C68", NEEDS_ROOT, detaching_needs_no_permission)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);

	act_as(OTHER_USER, OTHER_USER);
	CHECK_OK(shmdt(p));
	act_as_root();
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C44 C54", many_attaches_come_and_go)
{
	enum { N = 500 };
	static char *p[N];
	int id = make(4096, 0600), i;

	for (i = 0; i < N; i++)
		p[i] = attach(id, i % 2 ? SHM_RDONLY : 0);
	CHECK_EQ(nattch_of(id), N);

	p[0][17] = 5;
	for (i = 0; i < N; i++)
		CHECK_EQ(p[i][17], 5);

	for (i = 0; i < N; i += 2)
		detach(p[i]);
	CHECK_EQ(nattch_of(id), N / 2);
	for (i = 1; i < N; i += 2)
		detach(p[i]);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}
