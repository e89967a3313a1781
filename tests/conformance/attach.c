/* SPDX-License-Identifier: MIT */
/* shmat(2): where a segment is mapped, how, and what is refused. */
#include "conformance.h"

CASE("C34 C44", kernel_picks_an_address)
{
	int id = make(2 * page_size(), 0600);
	char *p = attach(id, 0), *q = attach(id, 0);

	CHECK(p != q);
	CHECK_EQ((uintptr_t)p % page_size(), 0);
	CHECK_EQ((uintptr_t)q % page_size(), 0);

	strcpy(p + page_size(), "seen through both");
	CHECK(strcmp(q + page_size(), "seen through both") == 0);

	detach(p);
	detach(q);
	destroy(id);
}

CASE("C34", remap_needs_an_address)
{
	int id = make(1, 0600);

	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP | SHM_RND), EINVAL);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C34", rounding_the_null_address_changes_nothing)
{
	int id = make(1, 0600);
	void *p = attach(id, SHM_RND);

	CHECK(p != NULL);
	detach(p);
	destroy(id);
}

CASE("C35", given_address_is_taken)
{
	int id = make(3 * page_size(), 0600);
	char *want = hole(3), *p = shmat(id, want, 0);

	CHECK_PTR(p, want);
	CHECK_EQ(touch_write(p + 3 * page_size() - 1), 0);
	detach(p);
	destroy(id);
}

CASE("C35", unaligned_address_is_refused_or_rounded_down)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *want = hole(2);

	CHECK_ERRNO(shmat(id, want + 1, 0), EINVAL);
	CHECK_ERRNO(shmat(id, want + page - 1, 0), EINVAL);
	CHECK_ERRNO(shmat(id, want + page / 2, SHM_REMAP), EINVAL);
	CHECK_EQ(nattch_of(id), 0);

	if (SHMLBA == (long)page) {
		CHECK_PTR(shmat(id, want + 1, SHM_RND), want);
		detach(want);
		CHECK_PTR(shmat(id, want + page - 1, SHM_RND), want);
		detach(want);
		CHECK_PTR(shmat(id, want + page, SHM_RND), want + page);
		detach(want + page);
	}
	destroy(id);
}

CASE("C33 C34 C35", address_form_is_judged_before_id_and_access)
{
	int id = make(1, 0);
	char *want = hole(1);

	no_capabilities();
	CHECK_ERRNO(shmat(id, want + 1, 0), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	CHECK_ERRNO(shmat(id, want, 0), EACCES);
	CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
	full_capabilities();
	destroy(id);
}

CASE_IF("C37 C41", NEEDS_ROOT, access_is_judged_before_overlap)
{
	int id = make(1, 0);
	char *used = page_with(PROT_READ);

	no_capabilities();
	CHECK_ERRNO(shmat(id, used, 0), EACCES);
	full_capabilities();
	CHECK_ERRNO(shmat(id, used, 0), EINVAL);
	destroy(id);
}

CASE_IF("C36", NEEDS_ROOT, address_below_a_page_is_rounded_to_null)
{
	int id = make(1, 0600);
	char *low = (char *)(uintptr_t)(page_size() / 2), *p;

	CHECK_ERRNO(shmat(id, low, SHM_RND | SHM_REMAP), EINVAL);

	p = shmat(id, low, SHM_RND);
	CHECK_PTR(p, NULL);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(shmdt(NULL), 0);
	CHECK_ERRNO(shmdt(NULL), EINVAL);
	CHECK_EQ(nattch_of(id), 0);

	destroy(id);
}

CASE("C36 C39", low_address_is_eperm_for_the_unprivileged)
{
	int id = make(1, 0600);
	char *low = (char *)(uintptr_t)(page_size() / 2);

	no_capabilities();
	CHECK_ERRNO(shmat(id, low, SHM_RND), EPERM);
	full_capabilities();
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C37", overlap_with_any_mapping_is_einval)
{
	size_t page = page_size();
	int id = make(3 * page, 0600);
	char *p = hole(7), *q;
	int i;

	for (i = 0; i < 7; i++) {
		q = mmap(p + i * page, page, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		REQUIRE(q == p + i * page);

		NOTE("page %d of 2..4 is taken", i);
		if (i >= 2 && i <= 4) {
			CHECK_ERRNO(shmat(id, p + 2 * page, 0), EINVAL);
		} else {
			CHECK_PTR(shmat(id, p + 2 * page, 0), p + 2 * page);
			detach(p + 2 * page);
		}
		munmap(q, page);
	}

	NOTE("its own attach");
	q = attach(id, 0);
	CHECK_ERRNO(shmat(id, q, 0), EINVAL);
	CHECK_ERRNO(shmat(id, q + page, 0), EINVAL);
	CHECK_ERRNO(shmat(id, q - 2 * page, 0), EINVAL);
	CHECK_EQ(nattch_of(id), 1);
	detach(q);
	destroy(id);
}

CASE("C37", range_that_wraps_round_is_einval)
{
	size_t page = page_size();
	uintptr_t top = ~(uintptr_t)0 - page + 1;
	int id;

	if (!LONG_64)
		SKIP("the end of 32 bits need not be the kernel's");

	id = make(4 * page, 0600);
	CHECK_ERRNO(shmat(id, (void *)top, 0), EINVAL);
	CHECK_ERRNO(shmat(id, (void *)(top - page), 0), EINVAL);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C39", address_beyond_the_limit_is_enomem)
{
	int id = make(4 * page_size(), 0600);
	uintptr_t top = ~(uintptr_t)0 - page_size() + 1;

	CHECK_ERRNO(shmat(id, (void *)top, SHM_REMAP), ENOMEM);
	if (LONG_64)
		CHECK_ERRNO(shmat(id, (void *)(top - 0x100000), 0), ENOMEM);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C38", remap_replaces_what_was_there_and_no_more)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = hole(3);

	REQUIRE(mmap(p, 3 * page, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	memset(p, 'x', 3 * page);

	CHECK_PTR(shmat(id, p + page, SHM_REMAP), p + page);
	CHECK_EQ(p[0], 'x');
	CHECK_EQ(p[page], 0);
	CHECK_EQ(p[2 * page], 'x');
	CHECK_EQ(nattch_of(id), 1);

	detach(p + page);
	CHECK_EQ(touch_read(p + page), FAULT(SIGSEGV, SEGV_MAPERR));
	CHECK_EQ(touch_read(p), 0);
	CHECK_EQ(touch_read(p + 2 * page), 0);

	NOTE("on free addresses");
	CHECK_PTR(shmat(id, p + page, SHM_REMAP), p + page);
	CHECK_EQ(nattch_of(id), 1);
	detach(p + page);

	munmap(p, 3 * page);
	destroy(id);
}

CASE("C38", remap_over_its_own_attach_keeps_the_count)
{
	int id = make(2 * page_size(), 0600);
	char *p = attach(id, 0);

	p[0] = 9;
	CHECK_PTR(shmat(id, p, SHM_REMAP), p);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(p[0], 9);
	CHECK_PTR(shmat(id, p, SHM_REMAP | SHM_RDONLY), p);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p), FAULT(SIGSEGV, SEGV_ACCERR));
	detach(p);
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C38", remap_takes_pages_from_another_attach)
{
	size_t page = page_size();
	int big = make(3 * page, 0600), small = make(page, 0600);
	char *p = attach(big, 0);

	CHECK_PTR(shmat(small, p, SHM_REMAP), p);
	CHECK_EQ(nattch_of(big), 1);
	CHECK_EQ(nattch_of(small), 1);
	detach(p); /* the small one is found first */
	CHECK_EQ(nattch_of(big), 1);
	CHECK_EQ(nattch_of(small), 0);
	CHECK_EQ(shmdt(p), 0); /* now what remains of the big one */
	CHECK_EQ(nattch_of(big), 0);

	NOTE("middle");
	p = attach(big, 0);
	CHECK_PTR(shmat(small, p + page, SHM_REMAP), p + page);
	CHECK_EQ(nattch_of(big), 2);
	CHECK_EQ(nattch_of(small), 1);
	detach(p);
	CHECK_EQ(nattch_of(big), 0);
	CHECK_EQ(nattch_of(small), 1);
	detach(p + page);

	NOTE("all");
	p = hole(3);
	CHECK_PTR(shmat(small, p + page, 0), p + page);
	CHECK_PTR(shmat(big, p, SHM_REMAP), p);
	CHECK_EQ(nattch_of(small), 0);
	CHECK_EQ(nattch_of(big), 1);
	detach(p);

	destroy(big);
	destroy(small);
}

CASE("C40", address_space_limit_is_enomem)
{
	size_t size = 64 << 20;
	struct rlimit limit;
	int id = make(size, SHM_NORESERVE | 0600);
	void *p = attach(id, 0); /* all that is set up once is set up */

	detach(p);
	if (child()) {
		limit.rlim_cur = limit.rlim_max = 32 << 20;
		REQUIRE_OK(setrlimit(RLIMIT_AS, &limit));
		CHECK_ERRNO(shmat(id, NULL, 0), ENOMEM);
		CHECK_EQ(nattch_of(id), 0);
		child_exit();
	}
	destroy(id);
}

CASE("C40", attach_fails_with_enomem_when_mappings_run_out)
{
	int id = make(4096, 0600), limit = 0, n = 0;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	void *p;

	if (f) {
		if (fscanf(f, "%d", &limit) != 1)
			limit = 0;
		fclose(f);
	}
	if (limit < 1000 || limit > 100000) {
		destroy(id);
		SKIP("max_map_count is %d", limit);
	}

	if (child()) {
		do {
			p = shmat(id, NULL, 0);
		} while (p != FAILED_ATTACH && ++n <= limit);
		CHECK_EQ(errno, ENOMEM);
		CHECK(n > limit / 2 && n < limit);
		CHECK_EQ(nattch_of(id), n);
		child_exit();
	}
	CHECK_EQ(nattch_of(id), 0);
	destroy(id);
}

CASE("C40", locked_future_beyond_the_limit_is_eagain)
{
	struct rlimit limit;
	int id;

	if (SANITIZED)
		SKIP("no mlockall() under the sanitizer");

	id = make(1 << 20, 0600);
	detach(attach(id, 0)); /* all that is set up once is set up */
	if (child()) {
		REQUIRE_OK(getrlimit(RLIMIT_MEMLOCK, &limit));
		limit.rlim_cur = 1 << 16;
		REQUIRE_OK(setrlimit(RLIMIT_MEMLOCK, &limit));
		no_capabilities();
		REQUIRE_OK(mlockall(MCL_FUTURE));
		CHECK_ERRNO(shmat(id, NULL, 0), EAGAIN);
		CHECK_EQ(nattch_of(id), 0);
		munlockall();
		child_exit();
	}
	destroy(id);
}

CASE("C41", mode_decides_how_one_may_attach)
{
	static const struct {
		int mode, flags, err;
	} rows[] = {
		{ 0600, 0, 0 },
		{ 0600, SHM_RDONLY, 0 },
		{ 0600, SHM_EXEC, EACCES },
		{ 0600, SHM_EXEC | SHM_RDONLY, EACCES },
		{ 0400, 0, EACCES },
		{ 0400, SHM_RDONLY, 0 },
		{ 0200, 0, EACCES },
		{ 0200, SHM_RDONLY, EACCES },
		{ 0222, 0, EACCES },
		{ 0700, SHM_EXEC, 0 },
		{ 0500, SHM_EXEC | SHM_RDONLY, 0 },
		{ 0500, SHM_EXEC, EACCES },
		{ 0100, SHM_EXEC | SHM_RDONLY, EACCES },
		{ 0066, 0, EACCES },
		{ 0000, SHM_RDONLY, EACCES },
	};
	size_t i;
	void *p;
	int id;

	no_capabilities();
	for (i = 0; i < LEN(rows); i++) {
		NOTE("mode %04o, flags %o", rows[i].mode, rows[i].flags);
		id = make(1, rows[i].mode);
		p = shmat(id, NULL, rows[i].flags);
		CHECK_EQ(p == FAILED_ATTACH ? errno : 0, rows[i].err);
		if (p != FAILED_ATTACH)
			detach(p);
		destroy(id);
	}
}

CASE("C42", read_only_attach_cannot_be_written)
{
	size_t page = page_size();
	int id = make(2 * page, 0600);
	char *w = attach(id, 0), *r = attach(id, SHM_RDONLY);

	w[0] = 3;
	CHECK_EQ(r[0], 3);
	CHECK_EQ(touch_write(r), FAULT(SIGSEGV, SEGV_ACCERR));
	CHECK_EQ(touch_write(r + page), FAULT(SIGSEGV, SEGV_ACCERR));
	CHECK_EQ(w[0], 3);
	detach(w);
	detach(r);
	destroy(id);
}

CASE("C42", read_only_attach_cannot_be_made_writable)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *r = attach(id, SHM_RDONLY);

	CHECK_ERRNO(mprotect(r, page, PROT_READ | PROT_WRITE), EACCES);
	CHECK_ERRNO(mprotect(r, page, PROT_WRITE), EACCES);
	CHECK_EQ(touch_write(r), FAULT(SIGSEGV, SEGV_ACCERR));
	CHECK_OK(mprotect(r, page, PROT_NONE));
	CHECK_EQ(touch_read(r), FAULT(SIGSEGV, SEGV_ACCERR));
	CHECK_OK(mprotect(r, page, PROT_READ));
	CHECK_EQ(touch_read(r), 0);
	detach(r);
	destroy(id);
}

CASE("C42", read_only_attach_can_be_made_executable)
{
	int id = make(1, 0600);
	char *r = attach(id, SHM_RDONLY);

	CHECK_OK(mprotect(r, page_size(), PROT_READ | PROT_EXEC));
	detach(r);
	destroy(id);
}

CASE("C43", writable_attach_can_be_protected_and_opened_again)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = attach(id, 0);

	CHECK_OK(mprotect(p, page, PROT_READ));
	CHECK_EQ(touch_write(p), FAULT(SIGSEGV, SEGV_ACCERR));
	CHECK_OK(mprotect(p, page, PROT_READ | PROT_WRITE));
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C43", unknown_flags_of_shmat_are_ignored)
{
	int id = make(1, 0600);
	char *p = attach(id, 0777 | 01000 | 02000 | 04000 | 02000000);

	CHECK_EQ(touch_write(p), 0);
	detach(p);
	destroy(id);
}

#if defined(__x86_64__) || defined(__i386__)
CASE("C43", executable_attach_runs_code)
{
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	int id = make(4096, 0700);
	char *w = attach(id, 0), *x = attach(id, SHM_EXEC | SHM_RDONLY), *wx;
	int (*f)(void);

	memcpy(w, code, sizeof(code));
	memcpy(&f, &x, sizeof(f));
	CHECK_EQ(f(), 42);
	CHECK_EQ(touch_write(x), FAULT(SIGSEGV, SEGV_ACCERR));
	wx = attach(id, SHM_EXEC);
	wx[1] = 43;
	memcpy(&f, &wx, sizeof(f));
	CHECK_EQ(f(), 43);

	detach(w);
	detach(x);
	detach(wx);
	destroy(id);
}
#endif

CASE("C45", tail_of_the_last_page_is_shared_and_lasts)
{
	size_t page = page_size();
	int id = make(page + 1, 0600);
	char *p = attach(id, 0), *q;

	p[2 * page - 1] = 77;
	q = attach(id, SHM_RDONLY);
	CHECK_EQ(q[2 * page - 1], 77);
	detach(p);
	detach(q);

	p = attach(id, 0);
	CHECK_EQ(p[2 * page - 1], 77);
	detach(p);
	destroy(id);
}

CASE("C46", success_stamps_time_and_pid)
{
	int id = make(1, 0600);
	time_t before = now();
	char *p = attach(id, 0);
	struct shmid_ds ds = stat_of(id);

	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_STAMP(ds.shm_atime, before);
	CHECK_EQ(ds.shm_lpid, getpid());
	CHECK_EQ(ds.shm_dtime, 0);
	detach(p);
	destroy(id);
}

CASE("C46", failure_changes_no_field)
{
	int id = make(1, 0600);
	char *used = page_with(PROT_READ);
	struct shmid_ds ds;

	no_capabilities();
	CHECK_ERRNO(shmat(id, used, 0), EINVAL);
	CHECK_ERRNO(shmat(id, used + 1, 0), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, SHM_EXEC), EACCES);

	ds = stat_of(id);
	CHECK_EQ(ds.shm_nattch, 0);
	CHECK_EQ(ds.shm_atime, 0);
	CHECK_EQ(ds.shm_dtime, 0);
	CHECK_EQ(ds.shm_lpid, 0);
	destroy(id);
}

CASE("C47", removed_segment_can_still_be_attached_by_id)
{
	int id = make_key(4096, 0600);
	char *p = attach(id, 0), *q;

	strcpy(p, "still here");
	destroy(id);

	q = attach(id, SHM_RDONLY);
	CHECK(strcmp(q, "still here") == 0);
	CHECK_EQ(nattch_of(id), 2);

	if (child()) {
		char *r = attach(id, 0);

		CHECK(strcmp(r, "still here") == 0);
		child_exit();
	}

	detach(p);
	CHECK_EQ(nattch_of(id), 1);
	detach(q);
	CHECK(!exists(id));
}

CASE_IF("C47", NEEDS_USERS, others_attach_a_removed_segment_if_permitted)
{
	int id = make(4096, 0666);
	char *p = attach(id, 0);

	destroy(id);
	if (child_as(OTHER_USER, OTHER_USER)) {
		char *q = attach(id, 0);

		q[0] = 1;
		child_exit();
	}
	CHECK_EQ(p[0], 1);
	detach(p);
	CHECK(!exists(id));
}

CASE("C50", later_change_of_mode_leaves_mappings_alone)
{
	int id = make(page_size(), 0600);
	char *p = attach(id, 0);

	no_capabilities();
	set_mode(id, 0);
	CHECK_EQ(touch_write(p), 0);
	CHECK_OK(mprotect(p, page_size(), PROT_READ));
	CHECK_OK(mprotect(p, page_size(), PROT_READ | PROT_WRITE));
	CHECK_EQ(touch_write(p), 0);
	CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
	full_capabilities();

	detach(p);
	destroy(id);
}

CASE("C44", two_processes_see_the_same_memory)
{
	int id = make_key(4096, 0600);
	char *p = attach(id, 0);
	struct peer peer;

	if (peer_start(&peer)) {
		char *q = attach(shmget(KEY, 4096, 0600), 0);

		peer_hear(&peer);
		CHECK(strcmp(q, "to the child") == 0);
		strcpy(q, "to the parent");
		peer_say(&peer);
		child_exit();
	}

	strcpy(p, "to the child");
	peer_say(&peer);
	peer_hear(&peer);
	CHECK(strcmp(p, "to the parent") == 0);
	peer_join(&peer);
	detach(p);
	destroy(id);
}

CASE("C44", contents_outlive_every_attach)
{
	int id = make(3 * page_size(), 0600), i;

	for (i = 0; i < 3; i++) {
		char *p = attach(id, 0);

		CHECK_EQ(p[i * page_size()], 0);
		p[i * page_size()] = 1;
		CHECK_EQ(p[0], 1);
		detach(p);
	}
	destroy(id);
}

CASE("C44", segments_attached_side_by_side_are_kept_apart)
{
	size_t page = page_size();
	int a = make(page, 0600), b = make(page, 0600);
	char *p = hole(2);

	CHECK_PTR(shmat(a, p, 0), p);
	CHECK_PTR(shmat(b, p + page, 0), p + page);
	p[page - 1] = 1;
	p[page] = 2;
	detach(p);
	CHECK_EQ(p[page], 2);
	CHECK_EQ(nattch_of(a), 0);
	CHECK_EQ(nattch_of(b), 1);
	detach(p + page);
	destroy(a);
	destroy(b);
}

CASE("C44 C59", one_segment_attached_side_by_side_is_two_attaches)
{
	size_t page = page_size();
	int id = make(page, 0600);
	char *p = hole(2);

	CHECK_PTR(shmat(id, p, 0), p);
	CHECK_PTR(shmat(id, p + page, 0), p + page);
	CHECK_EQ(nattch_of(id), 2);
	p[0] = 8;
	CHECK_EQ(p[page], 8);
	detach(p);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_read(p + page), 0);
	detach(p + page);
	destroy(id);
}

CASE("C25", huge_segment_is_attached_at_multiples_of_its_page)
{
	int id = shmget(IPC_PRIVATE, 2 << 20, 04000 | 010000 | 0600);
	uintptr_t p;

	if (id < 0)
		SKIP("no huge pages for us: errno %d", errno);
	p = (uintptr_t)hole((8 << 20) / page_size());
	p = (p + (2 << 20)) & ~(uintptr_t)((2 << 20) - 1);
	CHECK_ERRNO(shmat(id, (void *)(p + page_size()), 0), EINVAL);
	CHECK_ERRNO(shmat(id, (void *)(p + (1 << 20)), 0), EINVAL);
	CHECK_ERRNO(shmat(id, (void *)(p + page_size() + 1), SHM_RND), EINVAL);
	destroy(id);
}
