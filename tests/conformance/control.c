/* SPDX-License-Identifier: MIT */
/* shmctl(2): order of refusals, buffers, and what each command does. */
#include "conformance.h"

CASE("C69", negative_command_is_einval_first)
{
	struct shmid_ds ds;
	int id = make(1, 0600);

	CHECK_ERRNO(shmctl(id, -1, &ds), EINVAL);
	CHECK_ERRNO(shmctl(-1, -1, NULL), EINVAL);
	CHECK_ERRNO(shmctl(-1, IPC_INFO, &ds), EINVAL);
	CHECK_ERRNO(shmctl(-1, SHM_INFO, &ds), EINVAL);
	destroy(id);
}

CASE("C70", unknown_command_is_einval_whatever_the_rest)
{
	static const int commands[] = { 4,  5,	 10,   16,     17,
					99, 255, 1000, 0x8000, 0x7fffffff };
	size_t i;
	int id;

	NEED_BARE_BUFFERS();
	id = make(1, 0600);
	for (i = 0; i < LEN(commands); i++) {
		NOTE("command %d", commands[i]);
		CHECK_ERRNO(shmctl(id, commands[i], NULL), EINVAL);
		CHECK_ERRNO(shmctl(id, commands[i], (void *)-1), EINVAL);
		CHECK_ERRNO(shmctl(32000, commands[i], NULL), EINVAL);
	}
	destroy(id);
}

CASE("C70", command_bit_of_old_machines_is_einval_on_64_bits)
{
	struct shmid_ds ds;
	int id;

	if (!LONG_64)
		SKIP("not a 64-bit program");

	id = make(1, 0600);
	CHECK_ERRNO(shmctl(id, IPC_STAT | 0x100, &ds), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_RMID | 0x100, NULL), EINVAL);
	destroy(id);
}

CASE("C71", set_reads_its_buffer_before_it_looks_at_the_id)
{
	struct shmid_ds ds;
	int id = make(1, 0600);

	memset(&ds, 0, sizeof(ds));
	CHECK_ERRNO(shmctl(32000, IPC_SET, NULL), EFAULT);
	CHECK_ERRNO(shmctl(32000, IPC_SET, &ds), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_SET, NULL), EFAULT);
	destroy(id);
}

CASE_IF("C71", NEEDS_ROOT, set_reads_its_buffer_before_it_judges_the_caller)
{
	struct shmid_ds ds;
	int id = make(1, 0666);

	memset(&ds, 0, sizeof(ds));
	act_as(OTHER_USER, OTHER_USER);
	CHECK_ERRNO(shmctl(id, IPC_SET, NULL), EFAULT);
	CHECK_ERRNO(shmctl(id, IPC_SET, &ds), EPERM);
	act_as_root();
	destroy(id);
}

CASE("C71", stat_judges_id_then_access_then_buffer)
{
	static const int commands[] = { IPC_STAT, SHM_STAT };
	int id = make(1, 0200), free_id = make(1, 0400);
	size_t i;

	no_capabilities();
	for (i = 0; i < LEN(commands); i++) {
		int any = commands[i] == IPC_STAT;

		NOTE("command %d", commands[i]);
		CHECK_ERRNO(shmctl(32000, commands[i], NULL), EINVAL);
		CHECK_ERRNO(shmctl(any ? id : index_of(id), commands[i], NULL),
			    EACCES);
		CHECK_ERRNO(shmctl(any ? free_id : index_of(free_id),
				   commands[i], NULL),
			    EFAULT);
	}
	CHECK_ERRNO(shmctl(32000, SHM_STAT_ANY, NULL), EINVAL);
	CHECK_ERRNO(shmctl(index_of(id), SHM_STAT_ANY, NULL), EFAULT);
	destroy(id);
	destroy(free_id);
}

CASE("C71", remove_and_lock_ignore_the_buffer)
{
	int id;

	NEED_BARE_BUFFERS();
	id = make(1, 0600);
	CHECK_OK(shmctl(id, SHM_LOCK, (void *)-1));
	CHECK_OK(shmctl(id, SHM_UNLOCK, (void *)-1));
	CHECK_OK(shmctl(id, IPC_RMID, (void *)-1));
}

CASE("C72", bad_buffer_is_efault_never_a_signal)
{
	char *none = page_with(PROT_NONE), *ro = page_with(PROT_READ);
	char *edge = end_of_page(16);
	struct {
		const char *why;
		void *buf;
		bool readable; /* IPC_SET succeeds then */
	} bad[] = {
		{ "NULL", NULL, false },
		{ "-1", (void *)-1, false },
		{ "1", (void *)1, false },
		{ "no access", none, false },
		{ "read-only", ro, true },
		{ "partly mapped", edge, false },
		{ "kernel's half", (void *)(uintptr_t)(~(uintptr_t)0 << 12),
		  false },
	};
	static const int commands[] = { IPC_STAT, SHM_STAT, SHM_STAT_ANY,
					IPC_INFO, SHM_INFO };
	size_t i, j;
	int id;

	NEED_BARE_BUFFERS();
	id = make(1, 0600);
	for (i = 0; i < LEN(bad); i++) {
		for (j = 0; j < LEN(commands); j++) {
			NOTE("%s, command %d", bad[i].why, commands[j]);
			CHECK_ERRNO(shmctl(commands[j] == IPC_STAT
						   ? id
						   : index_of(id),
					   commands[j], bad[i].buf),
				    EFAULT);
		}

		NOTE("%s, IPC_SET", bad[i].why);
		if (!bad[i].readable)
			CHECK_ERRNO(shmctl(id, IPC_SET, bad[i].buf), EFAULT);
	}

	NOTE("unchanged");
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	CHECK_EQ(stat_of(id).shm_perm.uid, geteuid());
	destroy(id);
}

CASE("C72", set_takes_a_read_only_buffer)
{
	struct shmid_ds *ds = (void *)page_with(PROT_READ | PROT_WRITE);
	int id = make(1, 0600);

	*ds = stat_of(id);
	ds->shm_perm.mode = 0640;
	REQUIRE_OK(mprotect(ds, page_size(), PROT_READ));
	CHECK_OK(shmctl(id, IPC_SET, ds));
	CHECK_EQ(stat_of(id).shm_perm.mode, 0640);
	destroy(id);
}

CASE("C72", buffer_may_lie_in_the_segment_itself)
{
	int id = make(sizeof(struct shmid_ds), 0600);
	struct shmid_ds *ds = attach(id, 0);

	CHECK_EQ(shmctl(id, IPC_STAT, ds), 0);
	CHECK_EQ(ds->shm_nattch, 1);
	ds->shm_perm.mode = 0644;
	CHECK_EQ(shmctl(id, IPC_SET, ds), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0644);
	detach(ds);
	destroy(id);
}

CASE("C72", failed_stat_writes_nothing)
{
	unsigned char buf[sizeof(struct shmid_ds)], want[sizeof(buf)];

	memset(buf, 0xa5, sizeof(buf));
	memset(want, 0xa5, sizeof(want));
	CHECK_ERRNO(shmctl(32000, IPC_STAT, (void *)buf), EINVAL);
	CHECK_ERRNO(shmctl(32000, SHM_STAT, (void *)buf), EINVAL);
	CHECK(memcmp(buf, want, sizeof(buf)) == 0);
}

CASE("C73", each_command_returns_what_it_should)
{
	struct shminfo info;
	struct shm_info shm_info;
	struct shmid_ds ds;
	int a, b, top;

	CHECK_EQ(shmctl(0, IPC_INFO, (void *)&info), 0);
	CHECK_EQ(shmctl(0, SHM_INFO, (void *)&shm_info), 0);

	a = make(1, 0600);
	b = make(1, 0600);
	top = index_of(a) > index_of(b) ? index_of(a) : index_of(b);

	CHECK_EQ(shmctl(a, IPC_STAT, &ds), 0);
	CHECK_EQ(shmctl(index_of(a), SHM_STAT, &ds), a);
	CHECK_EQ(shmctl(index_of(b), SHM_STAT_ANY, &ds), b);
	CHECK_EQ(shmctl(0, IPC_INFO, (void *)&info), top);
	CHECK_EQ(shmctl(0, SHM_INFO, (void *)&shm_info), top);
	CHECK_EQ(shmctl(0x7fffffff, SHM_INFO, (void *)&shm_info), top);
	CHECK_EQ(shmctl(a, SHM_LOCK, NULL), 0);
	CHECK_EQ(shmctl(a, SHM_UNLOCK, NULL), 0);
	CHECK_EQ(shmctl(a, IPC_SET, &ds), 0);
	CHECK_EQ(shmctl(a, IPC_RMID, NULL), 0);

	/* A hole below the top. */
	if (index_of(a) < index_of(b)) {
		CHECK_ERRNO(shmctl(index_of(a), SHM_STAT, &ds), EINVAL);
		CHECK_ERRNO(shmctl(index_of(a), SHM_STAT_ANY, &ds), EINVAL);
		CHECK_EQ(shmctl(0, SHM_INFO, (void *)&shm_info), index_of(b));
	}
	CHECK_EQ(shmctl(b, IPC_RMID, NULL), 0);
}

CASE("C73", walk_by_index_finds_every_segment_once)
{
	enum { N = 40 };
	struct shm_info info;
	struct shmid_ds ds;
	int ids[N], seen[N] = { 0 }, last, i, j, id, n = 0;

	for (i = 0; i < N; i++)
		ids[i] = make((size_t)i + 1, 0600);

	last = shmctl(0, SHM_INFO, (void *)&info);
	CHECK_EQ(info.used_ids, N);
	for (i = 0; i <= last; i++) {
		id = shmctl(i, SHM_STAT, &ds);
		if (id < 0)
			continue;
		n++;
		for (j = 0; j < N; j++) {
			if (ids[j] == id) {
				seen[j]++;
				CHECK_EQ(ds.shm_segsz, j + 1);
			}
		}
	}
	CHECK_EQ(n, N);
	for (j = 0; j < N; j++) {
		CHECK_EQ(seen[j], 1);
		destroy(ids[j]);
	}
}

CASE("C74", unused_bytes_of_the_answers_are_zero)
{
	unsigned char a[512], b[512];
	static const struct {
		const char *why;
		int command;
		size_t size, size64;
	} rows[] = {
		{ "shmid_ds", IPC_STAT, sizeof(struct shmid_ds), 112 },
		{ "shmid_ds by index", SHM_STAT, sizeof(struct shmid_ds), 112 },
		{ "shminfo", IPC_INFO, sizeof(struct shminfo), 72 },
		{ "shm_info", SHM_INFO, sizeof(struct shm_info), 48 },
	};
	size_t i, j;
	int id;

	NEED_BARE_BUFFERS();
	id = make(1, 0600);
	for (i = 0; i < LEN(rows); i++) {
		NOTE("%s", rows[i].why);
		if (LONG_64)
			CHECK_EQ(rows[i].size, rows[i].size64);

		/* The same whatever was there, and not a byte more. */
		memset(a, 0x00, sizeof(a));
		memset(b, 0xff, sizeof(b));
		CHECK_OK(shmctl(rows[i].command == IPC_STAT ? id : index_of(id),
				rows[i].command, (void *)a));
		CHECK_OK(shmctl(rows[i].command == IPC_STAT ? id : index_of(id),
				rows[i].command, (void *)b));
		for (j = 0; j < sizeof(a); j++) {
			if (j < rows[i].size ? a[j] != b[j] : b[j] != 0xff) {
				NOTE("%s, byte %d", rows[i].why, (int)j);
				CHECK(!"bytes are written as they should be");
			}
		}
	}
	destroy(id);
}

CASE("C75", set_changes_owner_group_and_mode_and_nothing_else)
{
	struct shmid_ds ds, was;
	int id = make_key(5000, 0600);
	char *p;

	if (geteuid() == 0) {
		p = attach(id, 0);
		detach(p);
		was = stat_of(id);

		memset(&ds, 0xee, sizeof(ds));
		ds.shm_perm.uid = 1234;
		ds.shm_perm.gid = 4321;
		ds.shm_perm.mode = (unsigned short)~0123;
		CHECK_OK(shmctl(id, IPC_SET, &ds));

		ds = stat_of(id);
		CHECK_EQ(ds.shm_perm.uid, 1234);
		CHECK_EQ(ds.shm_perm.gid, 4321);
		CHECK_EQ(ds.shm_perm.mode, 0777 & ~0123);
		CHECK_EQ(ds.shm_perm.cuid, was.shm_perm.cuid);
		CHECK_EQ(ds.shm_perm.cgid, was.shm_perm.cgid);
		CHECK_EQ(ds.shm_perm.__key, was.shm_perm.__key);
		CHECK_EQ(ds.shm_perm.__seq, was.shm_perm.__seq);
		CHECK_EQ(ds.shm_segsz, was.shm_segsz);
		CHECK_EQ(ds.shm_atime, was.shm_atime);
		CHECK_EQ(ds.shm_dtime, was.shm_dtime);
		CHECK_EQ(ds.shm_cpid, was.shm_cpid);
		CHECK_EQ(ds.shm_lpid, was.shm_lpid);
		CHECK_EQ(ds.shm_nattch, was.shm_nattch);
	} else {
		set_mode(id, 0640);
		CHECK_EQ(stat_of(id).shm_perm.mode, 0640);
	}
	destroy(id);
}

CASE("C75", set_cannot_set_or_clear_the_upper_mode_bits)
{
	int id = make(1, 0600);
	char *p = attach(id, 0);

	set_mode(id, 07777);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0777);

	CHECK_OK(shmctl(id, SHM_LOCK, NULL));
	set_mode(id, 0600);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_LOCKED | 0600);
	CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));

	destroy(id);
	set_mode(id, 0640);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_DEST | 0640);
	detach(p);
	CHECK(!exists(id));
}

CASE("C75", set_refuses_the_id_that_means_nobody)
{
	struct shmid_ds ds;
	int id = make(1, 0600);

	CHECK_ERRNO(set_owner(id, (uid_t)-1, getegid()), EINVAL);
	CHECK_ERRNO(set_owner(id, geteuid(), (gid_t)-1), EINVAL);
	ds = stat_of(id);
	CHECK_EQ(ds.shm_perm.uid, geteuid());
	CHECK_EQ(ds.shm_perm.gid, getegid());
	destroy(id);
}

CASE("C76", removing_an_unattached_segment_destroys_it)
{
	int id = make_key(4096, 0600);

	CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK(!exists(id));
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
	CHECK_ERRNO(shmget(KEY, 0, 0), ENOENT);
}

CASE("C76 C77", removed_segment_stays_until_last_detach)
{
	struct shm_info info;
	int id = make_key(4096, 0640);
	char *p = attach(id, 0), *q = attach(id, 0);
	struct shmid_ds ds;

	destroy(id);
	ds = stat_of(id);
	CHECK_EQ(ds.shm_perm.mode, SHM_DEST | 0640);
	CHECK_EQ(ds.shm_perm.__key, IPC_PRIVATE);
	CHECK_EQ(ds.shm_nattch, 2);
	CHECK_ERRNO(shmget(KEY, 0, 0), ENOENT);

	CHECK_EQ(touch_write(p), 0);
	CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
	CHECK_EQ(info.used_ids, 1);
	CHECK_EQ(info.shm_tot, 4096 / page_size());
	CHECK_EQ(shmctl(index_of(id), SHM_STAT, &ds), id);

	detach(p);
	CHECK_EQ(nattch_of(id), 1);
	detach(q);
	CHECK(!exists(id));
	CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
	CHECK_EQ(info.used_ids, 0);
	CHECK_EQ(info.shm_tot, 0);
}

CASE("C76", removing_again_changes_nothing)
{
	int id = make(1, 0600), i;
	char *p = attach(id, 0);

	for (i = 0; i < 6; i++)
		CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK_EQ(nattch_of(id), 1);
	CHECK_EQ(touch_write(p), 0);
	detach(p);
	CHECK(!exists(id));
}

CASE("C78", ipc_info_tells_the_limits)
{
	struct shminfo info;

	CHECK_EQ(shmctl(0, IPC_INFO, (void *)&info), 0);
	CHECK_EQ(info.shmmin, 1);
	CHECK_EQ(info.shmseg, info.shmmni);
	CHECK(info.shmmni >= 4096);
	CHECK(info.shmmax >= 1 << 30);
	CHECK(info.shmall >= (1 << 30) / 4096);
}

CASE("C9 C78", limits_of_a_new_namespace_are_the_defaults)
{
	struct shminfo info;

	CHECK_EQ(shmctl(0, IPC_INFO, (void *)&info), 0);
	CHECK_EQ(info.shmmni, 4096);
	if (LONG_64) {
		CHECK_EQ(info.shmmax, -1 - (1l << 24));
		CHECK_EQ(info.shmall, -1 - (1l << 24));
	}
}

CASE("C79", shm_info_adds_up_the_segments)
{
	size_t page = page_size();
	struct shm_info info;
	int a, b, i;
	char *p;

	CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
	CHECK_EQ(info.used_ids, 0);
	CHECK_EQ(info.shm_tot, 0);
	CHECK_EQ(info.shm_rss, 0);
	CHECK_EQ(info.shm_swp, 0);

	a = make(1, 0600);
	b = make(5 * page + 1, 0600);
	CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
	CHECK_EQ(info.used_ids, 2);
	CHECK_EQ(info.shm_tot, 7);
	CHECK_EQ(info.swap_attempts, 0);
	CHECK_EQ(info.swap_successes, 0);

	/* Pages present, attached or not. */
	p = attach(b, 0);
	for (i = 0; i < 3; i++)
		p[i * page] = 1;
	detach(p);
	CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
	CHECK_EQ(info.shm_rss + info.shm_swp, 3);

	destroy(b);
	CHECK_OK(shmctl(0, SHM_INFO, (void *)&info));
	CHECK_EQ(info.used_ids, 1);
	CHECK_EQ(info.shm_tot, 1);
	CHECK_EQ(info.shm_rss, 0);
	destroy(a);
}

CASE("C80 C82", locking_sets_a_bit_and_unlocking_clears_it)
{
	int id = make(1, 0600);

	CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_LOCKED | 0600);
	CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_LOCKED | 0600);
	CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	destroy(id);
}

CASE("C80", lock_outlives_the_process_that_set_it)
{
	int id = make(1, 0600);

	if (child()) {
		CHECK_OK(shmctl(id, SHM_LOCK, NULL));
		child_exit();
	}
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_LOCKED | 0600);
	destroy(id);
}

CASE("C80", removed_segment_can_be_locked)
{
	int id = make(1, 0600);
	char *p = attach(id, 0);

	destroy(id);
	CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_DEST | SHM_LOCKED | 0600);
	detach(p);
	CHECK(!exists(id));
}

CASE("C66 C81", lock_limit_binds_whoever_may_not_lock_at_will)
{
	size_t page = page_size();
	struct rlimit limit = { 4 * page, RLIM_INFINITY };
	int a = make(3 * page, 0600), b = make(2 * page, 0600);
	bool *could = mmap(NULL, 1, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(could != MAP_FAILED);
	if (child()) {
		REQUIRE_OK(getrlimit(RLIMIT_MEMLOCK, &limit));
		limit.rlim_cur = 4 * page;
		REQUIRE_OK(setrlimit(RLIMIT_MEMLOCK, &limit));
		no_capabilities();

		/* The kernel adds up what one user has locked anywhere: wait
		 * for another test's locks to go. */
		for (int n = 0; n < 100 && shmctl(a, SHM_LOCK, NULL) < 0; n++)
			usleep(20000);
		*could = stat_of(a).shm_perm.mode & SHM_LOCKED;
		if (!*could)
			child_exit();
		CHECK_EQ(stat_of(a).shm_perm.mode, SHM_LOCKED | 0600);
		CHECK_ERRNO(shmctl(b, SHM_LOCK, NULL), ENOMEM);
		CHECK_EQ(stat_of(b).shm_perm.mode, 0600);
		CHECK_OK(shmctl(a, SHM_LOCK, NULL)); /* not charged again */
		CHECK_OK(shmctl(a, SHM_UNLOCK, NULL));
		CHECK_OK(shmctl(b, SHM_LOCK, NULL));
		child_exit();
	}
	destroy(a);
	destroy(b);
	if (!*could)
		SKIP("other processes of this user have locked too much");
}

CASE_IF("C66 C82", NEEDS_ROOT, zero_lock_limit_is_eperm_but_unlock_works)
{
	struct rlimit limit;
	int id = make(1, 0600);

	REQUIRE_OK(getrlimit(RLIMIT_MEMLOCK, &limit));
	limit.rlim_cur = 0;
	REQUIRE_OK(setrlimit(RLIMIT_MEMLOCK, &limit));

	CHECK_OK(shmctl(id, SHM_LOCK, NULL)); /* CAP_IPC_LOCK */
	no_capabilities();
	CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));
	CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
	CHECK_EQ(stat_of(id).shm_perm.mode, 0600);
	destroy(id);
}
