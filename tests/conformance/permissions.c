/* SPDX-License-Identifier: MIT */
/*
 * Who may do what. Cases marked NEEDS_USERS have another user come along in a
 * process of his own; the others judge a process that changes its effective
 * ids or gives up its capabilities after it has entered the namespace.
 */
#include "conformance.h"

/* A segment of another owner and group that we made. */
static int make_owned(uid_t uid, gid_t gid, int mode)
{
	struct shmid_ds ds;
	int id = make(1, 0600);

	memset(&ds, 0, sizeof(ds));
	ds.shm_perm.uid = uid;
	ds.shm_perm.gid = gid;
	ds.shm_perm.mode = (unsigned short)mode;
	REQUIRE_OK(shmctl(id, IPC_SET, &ds));
	return id;
}

/* Does the caller pass as reader? Asked by IPC_STAT. */
static bool may_read(int id)
{
	struct shmid_ds ds;
	int r = shmctl(id, IPC_STAT, &ds);

	CHECK(r == 0 || errno == EACCES);
	return r == 0;
}

/* What the caller is to a segment, and whether he may read it then. */
struct class
{
	const char *why;
	uid_t uid, cuid;
	gid_t gid, cgid;
	int mode;
	bool reads;
};

/* The caller becomes 1000, in group 100 and supplementary group 200. */
static void judge(const struct class *rows, size_t n)
{
	static const gid_t groups[] = { 200 };
	struct shm_info info;
	struct shmid_ds ds;
	size_t i;
	int id;

	/* Enter the namespace as root. */
	REQUIRE_OK(shmctl(0, SHM_INFO, (void *)&info));
	for (i = 0; i < n; i++) {
		NOTE("%s", rows[i].why);
		REQUIRE_OK(setegid(rows[i].cgid));
		REQUIRE_OK(seteuid(rows[i].cuid));
		id = shmget(IPC_PRIVATE, 1, 0600);
		REQUIRE_OK(id);
		act_as_root();

		memset(&ds, 0, sizeof(ds));
		ds.shm_perm.uid = rows[i].uid;
		ds.shm_perm.gid = rows[i].gid;
		ds.shm_perm.mode = (unsigned short)rows[i].mode;
		REQUIRE_OK(shmctl(id, IPC_SET, &ds));

		REQUIRE_OK(setgroups(1, groups));
		REQUIRE_OK(setegid(100));
		REQUIRE_OK(seteuid(1000));
		CHECK_EQ(may_read(id), rows[i].reads);
		act_as_root();
		destroy(id);
	}
}

CASE_IF("C62", NEEDS_ROOT, only_the_first_class_that_matches_counts)
{
	static const struct class rows[] = {
		{ "owner", 1000, 0, 1, 0, 0400, true },
		{ "owner without his bit", 1000, 0, 1, 0, 0044, false },
		{ "owner in group", 1000, 0, 100, 0, 0040, false },
		{ "group", 1, 0, 100, 0, 0040, true },
		{ "supplementary group", 1, 0, 200, 0, 0040, true },
		{ "group without its bit", 1, 0, 100, 0, 0404, false },
		{ "supplementary without", 1, 0, 200, 0, 0404, false },
		{ "other", 1, 0, 1, 0, 0004, true },
		{ "other without his bit", 1, 0, 1, 0, 0440, false },
		{ "other, write only", 1, 0, 1, 0, 0222, false },
	};

	judge(rows, LEN(rows));
}

CASE_IF("C62", NEEDS_USERS, creator_and_his_group_are_the_same_classes)
{
	static const struct class rows[] = {
		{ "creator", 1, 1000, 1, 1, 0400, true },
		{ "creator without his bit", 1, 1000, 1, 1, 0044, false },
		{ "creator in group", 1, 1000, 100, 1, 0040, false },
		{ "creator's group", 1, 1, 1, 100, 0040, true },
		{ "creator's group without", 1, 1, 1, 100, 0404, false },
		{ "creator's, supplementary", 1, 1, 1, 200, 0040, true },
		{ "other", 1, 1, 1, 1, 0004, true },
	};

	judge(rows, LEN(rows));
}

CASE("C62", owner_without_his_bits_is_refused)
{
	struct shmid_ds ds;
	int id = make(1, 0077);

	no_capabilities();
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
	CHECK_ERRNO(shmat(id, NULL, 0), EACCES);
	CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
	destroy(id);
}

CASE_IF("C63", NEEDS_ROOT, capability_ipc_owner_opens_everything)
{
	int id = make(1, 0);
	void *p;

	keep_capabilities(1ull << CAP_IPC_OWNER_BIT);
	CHECK(may_read(id));
	p = attach(id, 0);
	detach(p);

	/* CAP_DAC_OVERRIDE, CAP_SYS_ADMIN and all the rest do not. */
	keep_capabilities(~(1ull << CAP_IPC_OWNER_BIT));
	CHECK(!may_read(id));
	CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
	full_capabilities();
	destroy(id);
}

CASE_IF("C63", NEEDS_ROOT, real_and_saved_ids_do_not_count)
{
	int mine = make_owned(1000, 1000, 0400), id;

	/* Real and saved are root's, who made it. */
	id = make(1, 0600);
	act_as(1000, 1000);
	CHECK(!may_read(id));
	CHECK(may_read(mine));
	act_as_root();
	destroy(id);
	destroy(mine);
}

CASE_IF("C64", NEEDS_ROOT, stat_needs_read_and_stat_any_does_not)
{
	struct shm_info shm_info;
	struct shminfo info;
	struct shmid_ds ds;
	int id = make(1, 0600);

	act_as(OTHER_USER, OTHER_USER);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
	CHECK_ERRNO(shmctl(index_of(id), SHM_STAT, &ds), EACCES);
	CHECK_EQ(shmctl(index_of(id), SHM_STAT_ANY, &ds), id);
	CHECK_EQ(ds.shm_segsz, 1);
	CHECK_OK(shmctl(0, IPC_INFO, (void *)&info));
	CHECK_OK(shmctl(0, SHM_INFO, (void *)&shm_info));
	act_as_root();

	set_mode(id, 0604);
	act_as(OTHER_USER, OTHER_USER);
	CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
	CHECK_EQ(shmctl(index_of(id), SHM_STAT, &ds), id);
	act_as_root();
	destroy(id);
}

CASE_IF("C65", NEEDS_ROOT, control_needs_owner_or_creator_not_mode_bits)
{
	int id = make(1, 0777);

	act_as(OTHER_USER, OTHER_USER);
	CHECK_ERRNO(set_owner(id, OTHER_USER, OTHER_USER), EPERM);
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
	act_as_root();
	CHECK_EQ(stat_of(id).shm_perm.uid, 0);

	NOTE("a group is not enough");
	CHECK_OK(set_owner(id, 0, OTHER_USER));
	act_as(OTHER_USER, OTHER_USER);
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
	act_as_root();

	NOTE("owner of mode 0");
	CHECK_OK(set_owner(id, OTHER_USER, 0));
	set_mode(id, 0);
	act_as(OTHER_USER, OTHER_USER);
	CHECK_OK(set_owner(id, OTHER_USER, 0));
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	act_as_root();
}

CASE_IF("C65", NEEDS_ROOT, capability_sys_admin_controls_ipc_owner_does_not)
{
	int id = make(1, 0);

	act_as(1000, 1000);
	keep_capabilities(1ull << CAP_IPC_OWNER_BIT);
	CHECK_ERRNO(set_owner(id, 0, 0), EPERM);
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
	CHECK(may_read(id));

	keep_capabilities(1ull << CAP_SYS_ADMIN_BIT);
	CHECK_OK(set_owner(id, 0, 0));
	act_as_root();
	set_mode(id, 0);

	act_as(1000, 1000);
	keep_capabilities(1ull << CAP_SYS_ADMIN_BIT);
	CHECK(!may_read(id));
	CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	act_as_root();
}

CASE_IF("C66", NEEDS_ROOT, lock_needs_owner_creator_or_capability)
{
	int id = make(1, 0);

	act_as(1000, 1000);
	keep_capabilities(~(1ull << CAP_IPC_LOCK_BIT));
	CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
	CHECK_ERRNO(shmctl(id, SHM_UNLOCK, NULL), EPERM);

	keep_capabilities(1ull << CAP_IPC_LOCK_BIT);
	CHECK_OK(shmctl(id, SHM_LOCK, NULL));
	CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));
	act_as_root();

	NOTE("owner, mode 0");
	CHECK_OK(set_owner(id, 1000, 1000));
	set_mode(id, 0);
	act_as(1000, 1000);
	CHECK_OK(shmctl(id, SHM_LOCK, NULL));
	CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));
	act_as_root();
	destroy(id);
}

CASE_IF("C67", NEEDS_ROOT, owner_who_gives_away_loses_control_at_once)
{
	int id = make_owned(1000, 1000, 0600);

	act_as(1000, 1000);
	CHECK_OK(set_owner(id, 2000, 2000));
	CHECK_ERRNO(set_owner(id, 1000, 1000), EPERM);
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
	CHECK(!may_read(id));
	act_as_root();
	destroy(id);
}

CASE_IF("C67", NEEDS_ROOT, creator_never_loses_control)
{
	int id = make(1, 0600);

	no_capabilities();
	CHECK_OK(set_owner(id, 2000, 2000)); /* no chown restriction */
	CHECK(may_read(id));
	CHECK_OK(set_owner(id, 3000, 3000));
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

CASE_IF("C62 C63 C65", NEEDS_USERS, stranger_gets_what_the_mode_grants_others)
{
	static const struct {
		int mode, read, write;
	} rows[] = {
		{ 0600, EACCES, EACCES }, { 0660, EACCES, EACCES },
		{ 0604, 0, EACCES },	  { 0602, EACCES, EACCES },
		{ 0606, 0, 0 },		  { 0006, 0, 0 },
	};
	struct shmid_ds ds;
	size_t i;
	void *p;
	int id;

	for (i = 0; i < LEN(rows); i++) {
		NOTE("mode %04o", rows[i].mode);
		id = make_key(4096, rows[i].mode);
		if (child_as(OTHER_USER, OTHER_USER)) {
			p = shmat(id, NULL, SHM_RDONLY);
			CHECK_EQ(p == FAILED_ATTACH ? errno : 0, rows[i].read);
			p = shmat(id, NULL, 0);
			CHECK_EQ(p == FAILED_ATTACH ? errno : 0, rows[i].write);
			CHECK_EQ(shmctl(id, IPC_STAT, &ds) ? errno : 0,
				 rows[i].read);
			CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
			CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
			child_exit();
		}
		destroy(id);
	}
}

CASE_IF("C42", NEEDS_USERS, stranger_cannot_make_a_read_only_attach_writable)
{
	int id = make(page_size(), 0604);

	if (child_as(OTHER_USER, OTHER_USER)) {
		char *p = attach(id, SHM_RDONLY);

		CHECK_ERRNO(mprotect(p, page_size(), PROT_READ | PROT_WRITE),
			    EACCES);
		child_exit();
	}
	destroy(id);
}

CASE_IF("C67", NEEDS_USERS, new_owner_has_full_control)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);

	CHECK_OK(set_owner(id, OTHER_USER, OTHER_USER));
	if (child_as(OTHER_USER, OTHER_USER)) {
		char *q = attach(id, 0);

		q[0] = 4;
		CHECK_OK(shmctl(id, IPC_RMID, NULL));
		child_exit();
	}
	CHECK_EQ(p[0], 4);
	CHECK_EQ(stat_of(id).shm_perm.mode, SHM_DEST | 0600);
	detach(p);
	CHECK(!exists(id));
}

CASE_IF("C90", NEEDS_ROOT, giving_up_ids_after_attach_changes_nothing)
{
	int id = make(4096, 0600);
	char *p = attach(id, 0);

	if (child()) {
		REQUIRE_OK(setgroups(0, NULL));
		REQUIRE_OK(setresgid(OTHER_USER, OTHER_USER, OTHER_USER));
		REQUIRE_OK(setresuid(OTHER_USER, OTHER_USER, OTHER_USER));
		CHECK_EQ(touch_write(p), 0);
		CHECK_OK(shmdt(p));
		CHECK_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
		child_exit();
	}
	CHECK_EQ(nattch_of(id), 1);
	detach(p);
	destroy(id);
}
