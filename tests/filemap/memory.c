/* SPDX-License-Identifier: MIT */
/*
 * Mapping the file, and what is done to the mapping.
 */
#include <signal.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "filemap/scene.h"

#define SHARED (PROT_READ | PROT_WRITE), MAP_SHARED

CASE("map", stores_are_shared_by_mappings_of_a_file)
{
	static struct scene s;
	struct peer peer;
	char *second;

	scene_make(&s, "shared", 4 * PAGE);
	second = mmap(NULL, 2 * PAGE, SHARED, s.fd, 2 * PAGE);
	REQUIRE(second != MAP_FAILED);
	if (peer_start(&peer)) {
		scene_join(&s);
		scene_store(&s, PAGE, 100, 'p');
		peer_say(&peer);
		peer_hear(&peer);
		CHECK_EQ(s.map[2 * PAGE + 7], '2');
		child_exit();
	}
	peer_hear(&peer);
	scene_expect(&s, PAGE, 100, 'p');
	scene_mapped(&s);
	second[7] = '2';
	scene_expect(&s, 2 * PAGE + 7, 1, '2');
	peer_say(&peer);
	peer_join(&peer);
	scene_check(&s);
}

CASE("map", a_private_mapping_sees_what_was_stored)
{
	static struct scene s;
	char *p;

	scene_make(&s, "private", 2 * PAGE);
	scene_store(&s, 10, 10, 'x');
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, s.fd, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(p[10], 'x');
	p[11] = 'y';
	scene_check(&s);
}

CASE("map", read_only_mappings_may_become_writable)
{
	static struct scene s;
	char *p;

	scene_make(&s, "upgrade", 2 * PAGE);
	REQUIRE_OK(munmap(s.map, ROOM));
	p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, s.fd, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_EQ(p[1], s.want[1]);
	CHECK_EQ(pwrite(s.fd, "w", 1, 1), 1);
	scene_expect(&s, 1, 1, 'w');
	CHECK_EQ(p[1], 'w');

	REQUIRE_OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	p[2] = 'x';
	s.want[2] = 'x';
	scene_join(&s);
	scene_check(&s);
	s.map[PAGE + 1] = 'y';
	s.want[PAGE + 1] = 'y';
	CHECK_EQ(p[PAGE + 1], 'y');
	scene_check(&s);
}

CASE("map", a_descriptor_for_reading_gives_no_writable_mapping)
{
	static struct scene s;
	int fd;
	char *p;

	scene_need_no_filter();
	scene_make(&s, "rdonly", PAGE);
	fd = open(s.path, O_RDONLY);
	REQUIRE(fd >= 0);
	CHECK_ERRNO(mmap(NULL, PAGE, SHARED, fd, 0), EACCES);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	CHECK_ERRNO(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
	scene_store(&s, 5, 5, 'x');
	CHECK_EQ(p[5], 'x');
	scene_check(&s);
}

CASE("map", parts_are_unmapped_and_replaced)
{
	static struct scene s;
	char *p;

	scene_make(&s, "parts", 8 * PAGE);
	scene_store(&s, 0, 8 * PAGE, '0');
	REQUIRE_OK(munmap(s.map + PAGE, PAGE));
	p = mmap(s.map + PAGE, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK_PTR(p, s.map + PAGE);
	memset(p, 'n', PAGE); /* not the file's */
	p = mmap(s.map + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK_PTR(p, s.map + 3 * PAGE);
	memset(p, 'n', PAGE);
	memset(s.map + 2 * PAGE, '2', PAGE);
	memset(s.want + 2 * PAGE, '2', PAGE);
	CHECK_OK(msync(s.map + 2 * PAGE, PAGE, MS_SYNC));
	scene_read(&s);
	scene_stored(&s);

	/* And the file over what is not. */
	p = mmap(s.map, 4 * PAGE, SHARED | MAP_FIXED, s.fd, 0);
	CHECK_PTR(p, s.map);
	scene_check(&s);
}

CASE("map", mappings_grow_and_move)
{
	static struct scene s;
	char *p, *q;

	scene_make(&s, "move", 8 * PAGE);
	p = mmap(NULL, PAGE, SHARED, s.fd, 2 * PAGE);
	REQUIRE(p != MAP_FAILED);
	p[0] = 'a';
	p = mremap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	REQUIRE(p != MAP_FAILED);
	p[3 * PAGE] = 'b';
	q = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(q != MAP_FAILED);
	p = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q);
	CHECK_PTR(p, q);
	p[1] = 'c';
	s.want[2 * PAGE] = 'a';
	s.want[5 * PAGE] = 'b';
	s.want[2 * PAGE + 1] = 'c';
	scene_check(&s);
	CHECK_OK(munmap(p, 4 * PAGE));
	scene_check(&s);
}

CASE("map", what_was_unmapped_is_in_the_file)
{
	static struct scene s;

	scene_make(&s, "unmapped", 4 * PAGE);
	scene_store(&s, 100, 2 * PAGE, 'u');
	REQUIRE_OK(munmap(s.map, ROOM));
	scene_stored(&s);
	scene_join(&s);
	scene_check(&s);
}

CASE("map", msync_reaches_the_file)
{
	static struct scene s;

	scene_make(&s, "msync", 4 * PAGE);
	scene_store(&s, 100, 2 * PAGE, 'u');
	REQUIRE_OK(msync(s.map, ROOM, MS_SYNC));
	scene_stored(&s);
	scene_store(&s, 3 * PAGE, 1, 'v');
	REQUIRE_OK(msync(s.map, ROOM, MS_ASYNC));
	scene_store(&s, 3 * PAGE, 2, 'w');
	REQUIRE_OK(fsync(s.fd));
	scene_stored(&s);
	CHECK_ERRNO(msync(s.map, ROOM, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERRNO(msync(s.map + 1, PAGE, MS_SYNC), EINVAL);
	scene_check(&s);
}

/* The records of segments are kept by who is next. */
CASE("map", a_file_over_an_attached_segment_detaches_it)
{
	static struct scene s;
	struct shmid_ds ds;
	char *p;
	int id;

	scene_need_no_filter(); /* segments are shared mappings too */
	id = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
	REQUIRE(id >= 0);
	p = shmat(id, NULL, 0);
	REQUIRE(p != (void *)-1);
	scene_make(&s, "over-segment", 2 * PAGE);
	CHECK_PTR(mmap(p, 2 * PAGE, SHARED | MAP_FIXED, s.fd, 0), p);
	CHECK_EQ(p[0], s.want[0]);
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 0);

	/* And the other way. */
	CHECK_PTR(shmat(id, p, SHM_REMAP), p);
	p[0] = 's';
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_OK(munmap(p, 2 * PAGE));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 0);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	scene_check(&s);
}

CASE("map", errors_are_those_of_the_call)
{
	static struct scene s;

	scene_need_no_filter();
	scene_make(&s, "map-errors", PAGE);
	CHECK_ERRNO(mmap(NULL, 0, SHARED, s.fd, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, SHARED, s.fd, 1), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, SHARED, -1, 0), EBADF);
	CHECK_ERRNO(munmap(s.map + 1, PAGE), EINVAL);
	CHECK_ERRNO(munmap(s.map, 0), EINVAL);
	scene_check(&s);
}
