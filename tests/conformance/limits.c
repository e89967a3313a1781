/* SPDX-License-Identifier: MIT */
/* The limits and switches in /proc/sys/kernel, written and read there. */
#include "conformance.h"

#define SHMMAX	    "/proc/sys/kernel/shmmax"
#define SHMALL	    "/proc/sys/kernel/shmall"
#define SHMMNI	    "/proc/sys/kernel/shmmni"
#define NEXT_ID	    "/proc/sys/kernel/shm_next_id"
#define RMID_FORCED "/proc/sys/kernel/shm_rmid_forced"

#define LIMIT_CASE(clause, name) CASE_IF(clause, NEEDS_ROOT | NEEDS_PROC, name)

static void get(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	REQUIRE_OK(fd);
	n = read(fd, buf, size - 1);
	REQUIRE(n > 0);
	buf[n] = '\0';
	close(fd);
}

static long long value_of(const char *path)
{
	char buf[64];

	get(path, buf, sizeof(buf));
	return (long long)strtoull(buf, NULL, 10);
}

/* What write(2) says is not looked at: the value afterwards counts. */
static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	REQUIRE_OK(fd);
	if (write(fd, text, strlen(text)) < 0)
		NOTE("%s: %s refused", path, text);
	close(fd);
}

static void put_number(const char *path, unsigned long long value)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%llu\n", value);
	put(path, buf);
}

LIMIT_CASE("C9 C97", shmmax_bounds_the_size_of_a_new_segment)
{
	char before[64];
	int id;

	get(SHMMAX, before, sizeof(before));
	put_number(SHMMAX, 5000);
	CHECK_EQ(value_of(SHMMAX), 5000);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 5001, 0600), EINVAL);
	id = make(5000, 0600);
	destroy(id);
	put(SHMMAX, before);
}

LIMIT_CASE("C8", shmmax_does_not_bind_an_existing_segment)
{
	char before[64];
	int id = make_key(9000, 0600);

	get(SHMMAX, before, sizeof(before));
	put_number(SHMMAX, 4096);
	CHECK_EQ(shmget(KEY, 9000, 0600), id);
	CHECK_ERRNO(shmget(KEY, 9001, 0600), EINVAL);
	CHECK_EQ(shmget(KEY, 9000, IPC_CREAT | 0600), id);
	put(SHMMAX, before);
	destroy(id);
}

LIMIT_CASE("C10", shmall_bounds_the_pages_of_all)
{
	char before[64];
	int id;

	get(SHMALL, before, sizeof(before));
	put_number(SHMALL, 3);
	id = make(page_size() + 1, 0600); /* two pages */
	CHECK_ERRNO(shmget(IPC_PRIVATE, page_size() + 1, 0600), ENOSPC);
	CHECK_OK(shmctl(make(page_size(), 0600), IPC_RMID, NULL));
	NOTE("before a bad huge page size, and before memory");
	CHECK_ERRNO(
		shmget(IPC_PRIVATE, 9 * page_size(), 04000 | 20 << 26 | 0600),
		ENOSPC);
	CHECK_ERRNO(shmget(IPC_PRIVATE, (size_t)1 << 30, 0600), ENOSPC);
	destroy(id);
	put(SHMALL, before);
}

LIMIT_CASE("C12 C11", shmmni_bounds_the_number_of_segments)
{
	char before[64], *p;
	int a, b;

	get(SHMMNI, before, sizeof(before));
	put_number(SHMMNI, 2);
	a = make(1, 0600);
	b = make(1, 0600);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 1, 0600), ENOSPC);

	NOTE("a removed segment counts while it is attached");
	p = attach(a, 0);
	destroy(a);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 1, 0600), ENOSPC);
	detach(p);
	a = make(1, 0600);
	destroy(a);
	destroy(b);

	put_number(SHMMNI, 0);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 1, 0600), ENOSPC);
	put(SHMMNI, before);
}

LIMIT_CASE("C9 C12 C78", ipc_info_shows_the_limits)
{
	char max[64], all[64], mni[64];
	struct shminfo info;

	get(SHMMAX, max, sizeof(max));
	get(SHMALL, all, sizeof(all));
	get(SHMMNI, mni, sizeof(mni));
	put_number(SHMMAX, 123456);
	put_number(SHMALL, 789);
	put_number(SHMMNI, 55);
	CHECK_OK(shmctl(0, IPC_INFO, (void *)&info));
	CHECK_EQ(info.shmmax, 123456);
	CHECK_EQ(info.shmall, 789);
	CHECK_EQ(info.shmmni, 55);
	CHECK_EQ(info.shmseg, 55);
	put(SHMMAX, max);
	put(SHMALL, all);
	put(SHMMNI, mni);
}

LIMIT_CASE("C97", values_out_of_range_change_nothing)
{
	long long before = value_of(SHMMNI);

	put(SHMMNI, "40000");
	CHECK_EQ(value_of(SHMMNI), before);
	put(SHMMNI, "-1");
	CHECK_EQ(value_of(SHMMNI), before);
	put(RMID_FORCED, "2");
	CHECK_EQ(value_of(RMID_FORCED), 0);
	put(NEXT_ID, "-5");
	CHECK_EQ(value_of(NEXT_ID), -1);
}

LIMIT_CASE("C97", number_needs_no_newline_and_a_good_end)
{
	char before[64];

	get(SHMMNI, before, sizeof(before));
	put(SHMMNI, "7");
	CHECK_EQ(value_of(SHMMNI), 7);
	put(SHMMNI, "1000");
	CHECK_EQ(value_of(SHMMNI), 1000);
	put(SHMMNI, "5");
	CHECK_EQ(value_of(SHMMNI), 5);

	NOTE("2^64 + 6, and what only begins as a number");
	put(SHMMNI, "18446744073709551622");
	CHECK_EQ(value_of(SHMMNI), 5);
	put(SHMMNI, "6x");
	CHECK_EQ(value_of(SHMMNI), 5);
	put(SHMMNI, " 6 7");
	CHECK_EQ(value_of(SHMMNI), 6);
	put(SHMMNI, before);
}

LIMIT_CASE("C30", next_id_chooses_the_id_once)
{
	int a, b, c, d;

	a = make(1, 0600);
	put_number(NEXT_ID, 327690);
	CHECK_EQ(value_of(NEXT_ID), 327690);
	b = make(1, 0600);
	CHECK_EQ(b, 327690);
	CHECK_EQ(value_of(NEXT_ID), -1);

	NOTE("the cycle of indexes stays where it is");
	c = make(1, 0600);
	CHECK_EQ(c % 32768, a % 32768 + 1);

	NOTE("a taken index: the next free one above it");
	put_number(NEXT_ID, 327690);
	d = make(1, 0600);
	CHECK(d > 327690 && d / 32768 == 10);
	destroy(a);
	destroy(b);
	destroy(c);
	destroy(d);
}

LIMIT_CASE("C20 C30", failed_creation_keeps_next_id)
{
	put_number(NEXT_ID, 70000);
	CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	CHECK_EQ(value_of(NEXT_ID), 70000);
	destroy(make(1, 0600));
	CHECK_EQ(value_of(NEXT_ID), -1);
}

/* Another process makes a segment and ends. */
static int orphan(size_t size)
{
	int *id = mmap(NULL, sizeof(*id), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(id != MAP_FAILED);
	if (child()) {
		*id = make(size, 0600);
		child_exit();
	}
	return *id;
}

LIMIT_CASE("C92", forcing_destroys_what_dead_creators_left)
{
	int left = orphan(1), held = orphan(1), mine = make(1, 0600);
	char *p = attach(held, 0);

	CHECK(exists(left));
	put(RMID_FORCED, "1");
	CHECK_EQ(value_of(RMID_FORCED), 1);
	CHECK(!exists(left));
	CHECK(exists(held));
	CHECK(exists(mine));
	detach(p);
	CHECK(!exists(held));
	put(RMID_FORCED, "0");
	destroy(mine);
}

LIMIT_CASE("C93", forced_last_detach_destroys)
{
	int id;
	char *p, *q;

	put(RMID_FORCED, "1");
	id = make(1, 0600);
	p = attach(id, 0);
	q = attach(id, 0);
	detach(p);
	CHECK(exists(id));
	detach(q);
	CHECK(!exists(id));
	put(RMID_FORCED, "0");
}

LIMIT_CASE("C94", forced_end_of_the_creator_destroys)
{
	int id, held;
	char *p;

	put(RMID_FORCED, "1");
	id = orphan(1);
	CHECK(!exists(id));

	NOTE("attached by another: with the last detach");
	held = make(1, 0600);
	p = attach(held, 0);
	if (child()) {
		CHECK(exists(held));
		child_exit();
	}
	CHECK(exists(held));
	detach(p);
	CHECK(!exists(held));
	put(RMID_FORCED, "0");
}

LIMIT_CASE("C49", forced_failed_attach_destroys)
{
	int id;
	char *p;

	put(RMID_FORCED, "1");
	id = make(1, 0600);
	CHECK_ERRNO(shmat(id, (void *)(uintptr_t)1, 0), EINVAL);
	CHECK(exists(id)); /* before it was looked for */
	p = (char *)((uintptr_t)&id & ~(uintptr_t)(page_size() - 1));
	CHECK_ERRNO(shmat(id, p, 0), EINVAL);
	CHECK(!exists(id));
	put(RMID_FORCED, "0");
}

LIMIT_CASE("C95", unforced_end_of_the_creator_destroys_nothing)
{
	int id = orphan(1);

	CHECK(exists(id));
	destroy(id);
}
