/* SPDX-License-Identifier: MIT */
/* Which ids a namespace gives out, what a stale one means, and ftok(3). */
#include "conformance.h"

CASE("C26 C29", id_is_made_of_sequence_and_index)
{
	int id, i;

	for (i = 0; i < 100; i++) {
		id = make(1, 0600);
		CHECK(id >= 0);
		CHECK_EQ(stat_of(id).shm_perm.__seq, id / 32768);
		destroy(id);
	}
}

CASE("C27 C28", index_goes_round_and_sequence_counts_the_rounds)
{
	int last = make(1, 0600), id, i, wraps = 0;

	destroy(last);
	for (i = 0; i < 300; i++) {
		NOTE("after id %d", last);
		id = make(1, 0600);
		destroy(id);

		CHECK(id != last);
		if (index_of(id) > index_of(last)) {
			CHECK_EQ(index_of(id), index_of(last) + 1);
			CHECK_EQ(id / 32768, last / 32768);
		} else {
			/* With next to nothing in use a round is 64. */
			CHECK_EQ(index_of(id), 0);
			CHECK(index_of(last) >= 63);
			CHECK_EQ(id / 32768, (last / 32768 + 1) % 65536);
			wraps++;
		}
		last = id;
	}

	NOTE("in the end");
	CHECK(wraps >= 4);
}

CASE("C27 C28", index_in_use_is_passed_over)
{
	int kept = make(1, 0600), id, i;

	for (i = 0; i < 200; i++) {
		id = make(1, 0600);
		CHECK(index_of(id) != index_of(kept));
		destroy(id);
	}
	destroy(kept);
}

CASE("C26 C31", living_segments_differ_in_id_and_index)
{
	enum { N = 300 };
	static int ids[N];
	static bool taken[32768];
	int i;

	for (i = 0; i < N; i++) {
		ids[i] = make(1, 0600);
		CHECK(!taken[index_of(ids[i])]);
		taken[index_of(ids[i])] = true;
	}
	for (i = 0; i < N; i++)
		destroy(ids[i]);
}

CASE("C31", stale_id_is_refused_although_its_index_lives)
{
	struct shmid_ds ds;
	int old = make(1, 0600), id, i;

	destroy(old);
	for (i = 0; i < 40000; i++) {
		id = make(1, 0600);
		if (index_of(id) == index_of(old))
			break;
		destroy(id);
	}
	REQUIRE(index_of(id) == index_of(old) && id != old);

	CHECK_ERRNO(shmctl(old, IPC_STAT, &ds), EINVAL);
	CHECK_ERRNO(shmctl(old, IPC_SET, &ds), EINVAL);
	CHECK_ERRNO(shmctl(old, IPC_RMID, NULL), EINVAL);
	CHECK_ERRNO(shmctl(old, SHM_LOCK, NULL), EINVAL);
	CHECK_ERRNO(shmctl(old, SHM_UNLOCK, NULL), EINVAL);
	CHECK_ERRNO(shmat(old, NULL, 0), EINVAL);

	/* These two look at the index alone. */
	CHECK_EQ(shmctl(old, SHM_STAT, &ds), id);
	CHECK_EQ(shmctl(old, SHM_STAT_ANY, &ds), id);
	CHECK_EQ(shmctl(index_of(id), SHM_STAT, &ds), id);

	destroy(id);
}

CASE("C32", destroyed_id_is_einval_never_eidrm)
{
	struct shmid_ds ds;
	int id = make(1, 0600);

	destroy(id);
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_SET, &ds), EINVAL);
	CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, SHM_UNLOCK, NULL), EINVAL);
	CHECK_ERRNO(shmctl(id, SHM_STAT, &ds), EINVAL);
	CHECK_ERRNO(shmctl(id, SHM_STAT_ANY, &ds), EINVAL);
	CHECK_ERRNO(shmat(id, NULL, 0), EINVAL);
}

CASE("C33 C69", negative_id_is_einval_everywhere)
{
	static const int commands[] = { IPC_STAT, IPC_SET,    IPC_RMID,
					IPC_INFO, SHM_INFO,   SHM_STAT,
					SHM_LOCK, SHM_UNLOCK, SHM_STAT_ANY };
	static const int ids[] = { -1, -2, -32768, (int)0x80000000 };
	size_t i, j;

	for (i = 0; i < LEN(ids); i++) {
		NOTE("id %d", ids[i]);
		CHECK_ERRNO(shmat(ids[i], NULL, 0), EINVAL);
		CHECK_ERRNO(shmat(ids[i], (void *)1, 0), EINVAL);
		for (j = 0; j < LEN(commands); j++) {
			NOTE("id %d, command %d", ids[i], commands[j]);
			CHECK_ERRNO(shmctl(ids[i], commands[j], NULL), EINVAL);
		}
	}
}

CASE("C31 C73", id_that_never_was_is_einval)
{
	static const int ids[] = { 32767, 32768 * 5 + 32000, 0x7fffffff };
	struct shmid_ds ds;
	size_t i;

	for (i = 0; i < LEN(ids); i++) {
		NOTE("id %d", ids[i]);
		CHECK_ERRNO(shmctl(ids[i], IPC_STAT, &ds), EINVAL);
		CHECK_ERRNO(shmctl(ids[i], SHM_STAT, &ds), EINVAL);
		CHECK_ERRNO(shmctl(ids[i], SHM_STAT_ANY, &ds), EINVAL);
		CHECK_ERRNO(shmctl(ids[i], IPC_RMID, NULL), EINVAL);
		CHECK_ERRNO(shmctl(ids[i], SHM_LOCK, NULL), EINVAL);
		CHECK_ERRNO(shmat(ids[i], NULL, 0), EINVAL);
	}
}

CASE("C110", ftok_is_made_of_device_inode_and_number)
{
	char file[] = "/tmp/ushm-ftok.XXXXXX", link1[64], link2[64];
	int fd = mkstemp(file);
	struct stat st;
	key_t want;

	REQUIRE_OK(fd);
	REQUIRE_OK(fstat(fd, &st));
	want = (key_t)((st.st_ino & 0xffff) | (st.st_dev & 0xff) << 16);

	CHECK_EQ(ftok(file, 'U'), want | (key_t)'U' << 24);
	CHECK_EQ(ftok(file, 0), want);
	CHECK_EQ(ftok(file, 256 + 'U'), ftok(file, 'U'));
	CHECK(ftok(file, 1) != ftok(file, 2));

	snprintf(link1, sizeof(link1), "%s.link", file);
	snprintf(link2, sizeof(link2), "%s.symlink", file);
	REQUIRE_OK(link(file, link1));
	REQUIRE_OK(symlink(file, link2));
	CHECK_EQ(ftok(link1, 'U'), ftok(file, 'U'));
	CHECK_EQ(ftok(link2, 'U'), ftok(file, 'U'));

	unlink(link1);
	unlink(file);
	CHECK_ERRNO(ftok(link2, 'U'), ENOENT);
	unlink(link2);
	close(fd);
}
