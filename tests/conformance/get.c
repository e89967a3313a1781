/* SPDX-License-Identifier: MIT */
/* shmget(2): which segment, or which errno, and in which order. */
#include "conformance.h"

#include <sys/socket.h>

CASE("C1", private_makes_a_new_segment_each_time)
{
	int a = shmget(IPC_PRIVATE, 1, 0600);
	int b = shmget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	int c = shmget(IPC_PRIVATE, 1, IPC_CREAT | IPC_EXCL | 0600);
	int d = shmget(IPC_PRIVATE, 1, IPC_EXCL | 0600);

	CHECK(a >= 0 && b >= 0 && c >= 0 && d >= 0);
	CHECK(a != b && a != c && a != d && b != c && b != d && c != d);

	destroy(a);
	destroy(b);
	destroy(c);
	destroy(d);
}

CASE("C2", absent_key_without_create_is_enoent)
{
	static const struct {
		const char *why;
		size_t size;
		int flags;
	} rows[] = {
		{ "plain", 4096, 0600 },
		{ "no flags", 4096, 0 },
		{ "size 0", 0, 0600 },
		{ "the largest size", (size_t)-1, 0600 },
		{ "exclusive", 4096, IPC_EXCL | 0600 },
		{ "huge page", 4096, SHM_HUGETLB | 0600 },
	};
	size_t i;

	for (i = 0; i < LEN(rows); i++) {
		NOTE("%s", rows[i].why);
		CHECK_ERRNO(shmget(KEY, rows[i].size, rows[i].flags), ENOENT);
	}
}

CASE("C3", exclusive_create_of_a_present_key_is_eexist_first_of_all)
{
	static const struct {
		const char *why;
		size_t size;
		int flags;
	} rows[] = {
		{ "same size", 4096, 0600 },
		{ "size 0", 0, 0600 },
		{ "too large", 8192, 0600 },
		{ "largest", (size_t)-1, 0600 },
		{ "all mode bits", 4096, 0777 },
	};
	int id = make_key(4096, 0);
	size_t i;

	for (i = 0; i < LEN(rows); i++) {
		NOTE("%s", rows[i].why);
		CHECK_ERRNO(shmget(KEY, rows[i].size,
				   IPC_CREAT | IPC_EXCL | rows[i].flags),
			    EEXIST);
	}

	NOTE("done");
	destroy(id);
}

CASE_IF("C3", NEEDS_USERS, stranger_meets_eexist_before_einval_and_eacces)
{
	int id = make_key(4096, 0600);

	if (child_as(OTHER_USER, OTHER_USER)) {
		CHECK_ERRNO(shmget(KEY, 8192, IPC_CREAT | IPC_EXCL | 0666),
			    EEXIST);
		CHECK_ERRNO(shmget(KEY, 8192, IPC_CREAT | 0666), EINVAL);
		CHECK_ERRNO(shmget(KEY, 4096, IPC_CREAT | 0666), EACCES);
		CHECK_EQ(shmget(KEY, 4096, 0), id);
		child_exit();
	}

	destroy(id);
}

CASE("C4", excl_without_creat_is_ignored)
{
	int id = make_key(4096, 0600);

	CHECK_EQ(shmget(KEY, 4096, IPC_EXCL | 0600), id);
	CHECK_EQ(shmget(KEY, 4096, IPC_CREAT | 0600), id);
	destroy(id);
}

CASE("C5", lookup_compares_with_the_exact_size)
{
	int id = make_key(5000, 0600);

	CHECK_EQ(shmget(KEY, 5000, 0600), id);
	CHECK_EQ(shmget(KEY, 4999, 0600), id);
	CHECK_EQ(shmget(KEY, 1, 0600), id);
	CHECK_EQ(shmget(KEY, 0, 0600), id);
	CHECK_ERRNO(shmget(KEY, 5001, 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY, 5001, IPC_CREAT | 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY, 8192, 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY, (size_t)-1, 0600), EINVAL);
	destroy(id);
}

CASE("C5", too_large_a_lookup_is_einval_before_eacces)
{
	int id = make_key(5000, 0);

	no_capabilities();
	CHECK_ERRNO(shmget(KEY, 5001, 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY, 5000, 0600), EACCES);
	CHECK_EQ(shmget(KEY, 5000, 0), id);
	destroy(id);
}

CASE("C6 C9", creating_with_a_bad_size_is_einval)
{
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY, 0, IPC_CREAT | 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY, 0, IPC_CREAT | IPC_EXCL | 0600), EINVAL);
	if (LONG_64) { /* else it is within the limit */
		CHECK_ERRNO(shmget(IPC_PRIVATE, (size_t)-1, 0600), EINVAL);
		CHECK_ERRNO(shmget(KEY, (size_t)-1, IPC_CREAT | 0600), EINVAL);
	}
	CHECK_ERRNO(shmget(KEY, 1, 0600), ENOENT);
}

CASE("C6 C14", smallest_segment_is_one_byte)
{
	int id = make(1, 0600);

	CHECK_EQ(stat_of(id).shm_segsz, 1);
	destroy(id);
}

CASE("C7", lookup_asks_for_the_permissions_in_its_flags)
{
	static const struct {
		int mode, flags, err;
	} rows[] = {
		{ 0600, 0, 0 },		{ 0600, 0600, 0 },
		{ 0600, 0400, 0 },	{ 0600, 0200, 0 },
		{ 0600, 0700, EACCES }, { 0600, 0100, EACCES },
		{ 0600, 0777, EACCES }, { 0600, 0666, 0 },
		{ 0600, 0004, 0 },	{ 0600, 0001, EACCES },
		{ 0400, 0200, EACCES }, { 0400, 0020, EACCES },
		{ 0400, 0002, EACCES }, { 0400, 0440, 0 },
		{ 0000, 0, 0 },		{ 0000, 0400, EACCES },
		{ 0000, 0040, EACCES }, { 0000, 0004, EACCES },
		{ 0077, 0600, EACCES }, { 0077, 0066, EACCES },
		{ 0700, 0111, 0 },	{ 0777, 0777, 0 },
	};
	size_t i;
	int id, r;

	no_capabilities();
	for (i = 0; i < LEN(rows); i++) {
		NOTE("flags %04o of mode %04o", rows[i].flags, rows[i].mode);
		id = make_key(4096, rows[i].mode);
		r = rows[i].err ? CHECK_ERRNO(shmget(KEY, 0, rows[i].flags),
					      rows[i].err)
				: CHECK_EQ(shmget(KEY, 0, rows[i].flags), id);
		(void)r;
		destroy(id);
	}
}

CASE("C7", privileged_lookup_is_never_refused)
{
	int id;

	if (geteuid() != 0)
		SKIP("not root");

	id = make_key(4096, 0);
	CHECK_EQ(shmget(KEY, 0, 0777), id);
	destroy(id);
}

CASE_IF("C7", NEEDS_USERS, strangers_look_up_any_key_without_mode_bits)
{
	int id = make_key(4096, 0644);

	if (child_as(OTHER_USER, OTHER_USER)) {
		CHECK_EQ(shmget(KEY, 0, 0), id);
		CHECK_EQ(shmget(KEY, 4096, 0444), id);
		CHECK_ERRNO(shmget(KEY, 0, 0666), EACCES);
		CHECK_ERRNO(shmget(KEY, 0, 0777), EACCES);
		CHECK_ERRNO(shmget(KEY, 0, 0111), EACCES);
		child_exit();
	}

	set_mode(id, 0);
	if (child_as(OTHER_USER, OTHER_USER)) {
		CHECK_EQ(shmget(KEY, 0, 0), id);
		CHECK_ERRNO(shmget(KEY, 0, 0400), EACCES);
		child_exit();
	}

	destroy(id);
}

static int overcommit_memory(void)
{
	FILE *f = fopen("/proc/sys/vm/overcommit_memory", "re");
	int n = -1;

	if (f) {
		if (fscanf(f, "%d", &n) != 1)
			n = -1;
		fclose(f);
	}
	return n;
}

CASE("C13", segment_larger_than_all_memory_is_enomem)
{
	size_t size;

	if (!LONG_64)
		SKIP("not a 64-bit program");
	if (overcommit_memory() != 0)
		SKIP("overcommit_memory is not 0");

	size = (size_t)1 << (LONG_64 ? 46 : 0);
	CHECK_ERRNO(shmget(IPC_PRIVATE, size, 0600), ENOMEM);
	CHECK_ERRNO(shmget(KEY, size, IPC_CREAT | 0600), ENOMEM);
	CHECK_ERRNO(shmget(KEY, 0, 0), ENOENT);
}

CASE("C13", segment_larger_than_all_memory_needs_noreserve)
{
	size_t size = (size_t)1 << (LONG_64 ? 40 : 29);
	int id;
	char *p;

	if (overcommit_memory() == 2)
		SKIP("overcommit_memory is 2");

	id = shmget(IPC_PRIVATE, size, SHM_NORESERVE | 0600);
	REQUIRE_OK(id);
	CHECK_EQ(stat_of(id).shm_segsz, size);
	p = attach(id, 0);
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(touch_write(p + size / 2), 0);
	CHECK_EQ(touch_write(p + size - 1), 0);
	detach(p);
	destroy(id);
}

CASE("C14", new_segment_is_described_completely)
{
	time_t before = now();
	int id = make_key(5000, 0640);
	struct shmid_ds ds = stat_of(id);

	CHECK_EQ(ds.shm_perm.__key, KEY);
	CHECK_EQ(ds.shm_perm.uid, geteuid());
	CHECK_EQ(ds.shm_perm.cuid, geteuid());
	CHECK_EQ(ds.shm_perm.gid, getegid());
	CHECK_EQ(ds.shm_perm.cgid, getegid());
	CHECK_EQ(ds.shm_perm.mode, 0640);
	CHECK_EQ(ds.shm_segsz, 5000);
	CHECK_EQ(ds.shm_atime, 0);
	CHECK_EQ(ds.shm_dtime, 0);
	CHECK_STAMP(ds.shm_ctime, before);
	CHECK_EQ(ds.shm_cpid, getpid());
	CHECK_EQ(ds.shm_lpid, 0);
	CHECK_EQ(ds.shm_nattch, 0);
	destroy(id);
}

CASE_IF("C14", NEEDS_USERS, new_segment_belongs_to_the_effective_ids)
{
	struct shmid_ds ds;
	int id;

	/* The namespace is opened before the ids change. */
	CHECK_ERRNO(shmget(KEY, 0, 0), ENOENT);

	REQUIRE_OK(setegid(4321));
	REQUIRE_OK(seteuid(1234));
	id = shmget(IPC_PRIVATE, 1, 0600);
	REQUIRE_OK(seteuid(0));
	REQUIRE_OK(setegid(0));
	REQUIRE_OK(id);

	ds = stat_of(id);
	CHECK_EQ(ds.shm_perm.uid, 1234);
	CHECK_EQ(ds.shm_perm.cuid, 1234);
	CHECK_EQ(ds.shm_perm.gid, 4321);
	CHECK_EQ(ds.shm_perm.cgid, 4321);
	destroy(id);
}

CASE("C14", umask_does_not_touch_the_mode)
{
	mode_t old = umask(0777);
	int id = make(1, 0666);

	umask(old);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0666);
	destroy(id);
}

CASE("C14", each_mode_is_kept_as_given)
{
	int mode, id;

	for (mode = 0; mode <= 0777; mode += 0111) {
		struct shmid_ds ds;

		id = make(1, mode);
		CHECK_EQ(shmctl(index_of(id), SHM_STAT_ANY, &ds), id);
		CHECK_EQ(ds.shm_perm.mode, mode);
		destroy(id);
	}
}

CASE("C15", unknown_flags_are_ignored)
{
	int id = make(1, 0600 | 0100000 | 0200000 | 020000000);

	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	destroy(id);

	/* Bits of the mode that mean "removed" and "locked" in IPC_STAT:
	 * the first is IPC_CREAT, the second IPC_EXCL. */
	id = make(1, 03600);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	destroy(id);
}

CASE("C15", noreserve_is_accepted)
{
	int id = make(4096, SHM_NORESERVE | 0600);
	char *p = attach(id, 0);

	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	detach(p);
	destroy(id);
}

CASE("C16", memory_begins_as_zeroes_to_the_end_of_the_last_page)
{
	size_t page = page_size(), i, n = 0;
	int id = make(2 * page + 1, 0600);
	char *p = attach(id, 0);

	for (i = 0; i < 3 * page; i++)
		n += p[i] != 0;
	CHECK_EQ(n, 0);

	memset(p, 0xa5, 3 * page);
	detach(p);
	destroy(id);

	/* Nothing of a destroyed segment comes back. */
	id = make(3 * page, 0600);
	p = attach(id, 0);
	for (i = 0; i < 3 * page; i++)
		n += p[i] != 0;
	CHECK_EQ(n, 0);
	detach(p);
	destroy(id);
}

CASE("C17", no_call_takes_a_descriptor)
{
	int before = dup(0), after, id;
	char *p;

	REQUIRE_OK(before);
	close(before);

	id = make_key(4096, 0600);
	p = attach(id, 0);
	after = dup(0);
	CHECK_EQ(after, before);
	close(after);

	detach(p);
	destroy(id);
	after = dup(0);
	CHECK_EQ(after, before);
	close(after);
}

CASE("C17", all_calls_work_with_every_descriptor_in_use)
{
	int id, id2;
	char *p;

	/* The namespace may be opened before. */
	id = make_key(4096, 0600);

	while (dup(0) >= 0)
		;
	REQUIRE(errno == EMFILE);

	CHECK_EQ(shmget(KEY, 4096, 0600), id);
	p = attach(id, 0);
	CHECK_EQ(touch_write(p), 0);
	CHECK_EQ(nattch_of(id), 1);

	id2 = shmget(IPC_PRIVATE, 4096, 0600);
	if (CHECK_OK(id2))
		destroy(id2);

	detach(p);
	destroy(id);
}

CASE("C17", all_calls_work_when_no_descriptor_is_allowed)
{
	struct rlimit limit;
	char *p;
	int id;

	REQUIRE_OK(getrlimit(RLIMIT_NOFILE, &limit));
	id = make_key(4096, 0600);

	limit.rlim_cur = 0;
	REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK_EQ(shmget(KEY, 4096, 0600), id);
	p = attach(id, 0);
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}

CASE("C17", file_size_limit_does_not_matter)
{
	struct rlimit limit = { 0, RLIM_INFINITY };
	char *p;
	int id;

	REQUIRE_OK(getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = 0;
	REQUIRE_OK(setrlimit(RLIMIT_FSIZE, &limit));

	id = make(3 * page_size(), 0600);
	p = attach(id, 0);
	CHECK_EQ(touch_write(p + 2 * page_size()), 0);
	detach(p);
	destroy(id);
}

CASE_IF("C17 C90", NEEDS_ROOT, all_calls_work_in_an_empty_root_directory)
{
	char dir[] = "/tmp/ushm-empty.XXXXXX";
	int id, id2;
	char *p;

	REQUIRE(mkdtemp(dir));
	id = make_key(4096, 0600);

	if (child()) {
		REQUIRE_OK(chroot(dir));
		REQUIRE_OK(chdir("/"));
		CHECK_EQ(shmget(KEY, 4096, 0600), id);
		p = attach(id, 0);
		CHECK_EQ(touch_write(p), 0);
		CHECK_EQ(nattch_of(id), 1);
		detach(p);
		id2 = shmget(IPC_PRIVATE, 4096, 0600);
		if (CHECK_OK(id2))
			destroy(id2);
		child_exit();
	}

	rmdir(dir);
	destroy(id);
}

CASE("C18", any_number_but_0_is_a_key)
{
	static const key_t keys[] = {
		-1, 1, -2, 0x7fffffff, (key_t)0x80000000, (key_t)0xdeadbeef
	};
	int ids[LEN(keys)];
	size_t i;

	for (i = 0; i < LEN(keys); i++) {
		NOTE("key %d", (int)keys[i]);
		ids[i] = shmget(keys[i], 1, IPC_CREAT | IPC_EXCL | 0600);
		REQUIRE_OK(ids[i]);
	}

	for (i = 0; i < LEN(keys); i++) {
		NOTE("key %d", (int)keys[i]);
		CHECK_EQ(shmget(keys[i], 1, 0600), ids[i]);
		CHECK_EQ(stat_of(ids[i]).shm_perm.__key, keys[i]);
		destroy(ids[i]);
		CHECK_ERRNO(shmget(keys[i], 1, 0600), ENOENT);
	}
}

CASE("C19", key_is_free_as_soon_as_its_segment_is_removed)
{
	int old = make_key(4096, 0600), new;
	char *p = attach(old, 0), *q;

	strcpy(p, "old");
	destroy(old);

	CHECK_ERRNO(shmget(KEY, 0, 0), ENOENT);
	new = make_key(8192, 0600);
	CHECK(new != old);
	CHECK_EQ(shmget(KEY, 8192, 0600), new);

	q = attach(new, 0);
	CHECK_EQ(q[0], 0);
	CHECK(strcmp(p, "old") == 0);
	CHECK_EQ(nattch_of(old), 1);
	CHECK_EQ(stat_of(old).shm_perm.__key, IPC_PRIVATE);

	/* The last detach of the old one leaves the new one its key. */
	detach(p);
	CHECK_EQ(shmget(KEY, 8192, 0600), new);
	CHECK(!exists(old));

	detach(q);
	destroy(new);
}

CASE("C20", failed_call_leaves_no_trace)
{
	struct shm_info before, after;
	int id = make_key(4096, 0600), next;

	REQUIRE_OK(shmctl(0, SHM_INFO, (struct shmid_ds *)&before));
	CHECK_ERRNO(shmget(KEY, 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	CHECK_ERRNO(shmget(KEY, 8192, 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY + 1, 1, 0600), ENOENT);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_ERRNO(shmget(KEY + 1, 0, IPC_CREAT | 0600), EINVAL);
	REQUIRE_OK(shmctl(0, SHM_INFO, (struct shmid_ds *)&after));
	CHECK_EQ(after.used_ids, before.used_ids);
	CHECK_EQ(after.shm_tot, before.shm_tot);

	/* Nor was an index spent. */
	next = make(1, 0600);
	CHECK(index_of(next) == index_of(id) + 1 || index_of(next) == 0);
	destroy(next);
	destroy(id);
}

/*
 * Let 'n' children shmget(KEY, 'flags') at once; count who got a segment in
 * *ret_won and who met EEXIST in *ret_lost; *ret_id is the last id seen.
 */
static void race(int n, int flags, int *ret_won, int *ret_lost, int *ret_id,
		 bool *ret_same)
{
	int gate[2], answer[2], id, i;
	char c;

	REQUIRE_OK(pipe(gate));
	REQUIRE_OK(pipe(answer));
	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		REQUIRE(pid >= 0);
		if (pid == 0) {
			close(gate[1]);
			if (read(gate[0], &c, 1) != 0)
				_exit(1);
			id = shmget(KEY, 4096, flags);
			if (id < 0)
				id = -errno;
			REQUIRE(write(answer[1], &id, sizeof(id)) ==
				sizeof(id));
			child_exit();
		}
	}

	close(answer[1]); /* so that a dead child is an end of file */
	close(gate[0]);
	close(gate[1]); /* go */

	*ret_won = *ret_lost = 0;
	*ret_id = -1;
	*ret_same = true;
	for (i = 0; i < n; i++) {
		REQUIRE(read(answer[0], &id, sizeof(id)) == sizeof(id));
		if (id >= 0) {
			*ret_same &= *ret_id < 0 || *ret_id == id;
			*ret_id = id;
			++*ret_won;
		} else if (id == -EEXIST) {
			++*ret_lost;
		}
	}

	for (i = 0; i < n; i++) {
		int status;

		REQUIRE(waitpid(-1, &status, 0) > 0);
		CHECK_EQ(status, 0);
	}
	close(answer[0]);
}

CASE("C21", one_process_wins_an_exclusive_create)
{
	int round, won, lost, id;
	bool same;

	for (round = 0; round < 20; round++) {
		race(8, IPC_CREAT | IPC_EXCL | 0600, &won, &lost, &id, &same);
		CHECK_EQ(won, 1);
		CHECK_EQ(lost, 7);
		destroy(id);
	}
}

CASE("C21", racing_creators_share_one_segment)
{
	int round, won, lost, id;
	bool same;

	for (round = 0; round < 20; round++) {
		race(8, IPC_CREAT | 0600, &won, &lost, &id, &same);
		CHECK_EQ(won, 8);
		CHECK(same);
		destroy(id);
	}
}

#define HUGE_SHIFT 26

CASE_IF("C22 C23", NEEDS_ROOT, unknown_huge_size_is_einval_before_eperm)
{
	const int bad = SHM_HUGETLB | 20 << HUGE_SHIFT | 0600;
	int id;

	/* Group 0 may be the one that is allowed huge pages. */
	REQUIRE_OK(setgroups(0, NULL));
	REQUIRE_OK(setegid(4321));
	no_capabilities();
	CHECK_ERRNO(shmget(IPC_PRIVATE, 1, bad), EINVAL);
	CHECK_ERRNO(shmget(KEY, 1, IPC_CREAT | SHM_HUGETLB | 0600), EPERM);
	full_capabilities();
	CHECK_ERRNO(shmget(IPC_PRIVATE, 1, bad), EINVAL);

	/* Of no meaning without SHM_HUGETLB. */
	id = make(1, 20 << HUGE_SHIFT | 0600);
	destroy(id);
}

CASE("C23 C24", huge_segment_needs_no_reservation_if_told_so)
{
	int id = shmget(IPC_PRIVATE, 5000, SHM_HUGETLB | SHM_NORESERVE | 0600);

	if (id < 0 && errno == EINVAL)
		SKIP("no huge pages in this kernel");
	if (id < 0 && errno == EPERM)
		SKIP("no leave to use huge pages");
	REQUIRE_OK(id);
	CHECK_EQ(stat_of(id).shm_segsz, 5000);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	destroy(id);
}
