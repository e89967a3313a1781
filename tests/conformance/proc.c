/* SPDX-License-Identifier: MIT */
/* /proc/sysvipc/shm, byte by byte, however it is opened. */
#include "conformance.h"

#define PATH "/proc/sysvipc/shm"

#define HEADER                                                                    \
	"       key      shmid perms                  size  cpid  lpid nattch   " \
	"uid   gid  cuid  cgid      atime      dtime      ctime              "    \
	"     rss                  swap\n"

static size_t read_all(int fd, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t r;

	do {
		r = read(fd, buf + n, size - 1 - n);
		if (r > 0)
			n += (size_t)r;
	} while (r > 0);

	CHECK_EQ(r, 0);
	buf[n] = 0;
	return n;
}

static size_t read_proc(char *buf, size_t size)
{
	int fd = open(PATH, O_RDONLY);
	size_t n;

	REQUIRE_OK(fd);
	n = read_all(fd, buf, size);
	close(fd);
	return n;
}

/* The row of segment 'id' as IPC_STAT describes it. */
static int format_row(char *buf, size_t size, int id, size_t rss, size_t swap)
{
	struct shmid_ds ds;

	REQUIRE_OK(shmctl(index_of(id), SHM_STAT_ANY, &ds));
	return snprintf(
		buf, size,
		"%10d %10d  %4o %21lu %5u %5u  "
		"%5lu %5u %5u %5u %5u %10llu %10llu %10llu %21lu %21lu\n",
		ds.shm_perm.__key, id, ds.shm_perm.mode,
		(unsigned long)ds.shm_segsz, ds.shm_cpid, ds.shm_lpid,
		(unsigned long)ds.shm_nattch, ds.shm_perm.uid, ds.shm_perm.gid,
		ds.shm_perm.cuid, ds.shm_perm.cgid,
		(unsigned long long)ds.shm_atime,
		(unsigned long long)ds.shm_dtime,
		(unsigned long long)ds.shm_ctime, (unsigned long)rss,
		(unsigned long)swap);
}

CASE_IF("C96", NEEDS_PROC, empty_namespace_is_one_header_line)
{
	char buf[4096];

	CHECK_EQ(read_proc(buf, sizeof(buf)), 170);
	CHECK(strcmp(buf, HEADER) == 0);
}

CASE_IF("C96", NEEDS_PROC, each_segment_is_one_row_by_index)
{
	static char buf[65536], want[65536];
	size_t page = page_size();
	int ids[5], i, j, n;
	char *p, *q;

	ids[0] = make(1, 0600);
	ids[1] = shmget((key_t)0xdeadbeef, 5000, IPC_CREAT | 0644);
	ids[2] = shmget(KEY, 123456789, IPC_CREAT | SHM_NORESERVE | 0777);
	ids[3] = shmget(-1, 4096, IPC_CREAT | 0);
	ids[4] = shmget(0x7fffffff, 3 * page, IPC_CREAT | 0666);
	for (i = 0; i < 5; i++)
		REQUIRE_OK(ids[i]);

	p = attach(ids[2], 0);
	q = attach(ids[4], 0);
	q[0] = q[page] = 1;
	destroy(ids[2]);
	CHECK_OK(shmctl(ids[1], SHM_LOCK, NULL));

	/* By index; the index may have gone round. */
	for (i = 0; i < 5; i++) {
		for (j = i + 1; j < 5; j++) {
			if (index_of(ids[j]) < index_of(ids[i])) {
				n = ids[i];
				ids[i] = ids[j];
				ids[j] = n;
			}
		}
	}

	n = sprintf(want, "%s", HEADER);
	for (i = 0; i < 5; i++) {
		struct shmid_ds ds;
		size_t rss;

		/* Two pages of the last one made were touched. */
		REQUIRE_OK(shmctl(index_of(ids[i]), SHM_STAT_ANY, &ds));
		rss = ds.shm_perm.__key == 0x7fffffff ? 2 * page : 0;
		n += format_row(want + n, sizeof(want) - (size_t)n, ids[i], rss,
				0);
	}

	read_proc(buf, sizeof(buf));
	if (!CHECK(strcmp(buf, want) == 0))
		fprintf(stderr, "wanted:\n%sread:\n%s", want, buf);

	detach(p);
	detach(q);
	for (i = 0; i < 5; i++)
		shmctl(ids[i], IPC_RMID, NULL);
}

CASE_IF("C64 C96", NEEDS_PROC | NEEDS_ROOT, reading_it_needs_no_permission)
{
	char buf[4096], want[512];
	int id = make(1, 0);

	act_as(OTHER_USER, OTHER_USER);
	read_proc(buf, sizeof(buf));
	act_as_root();
	format_row(want, sizeof(want), id, 0, 0);
	CHECK(strcmp(buf + 170, want) == 0);
	destroy(id);
}

CASE_IF("C96", NEEDS_PROC, it_can_be_opened_in_every_way)
{
	char want[4096], buf[4096], line[512];
	int id = make_key(4096, 0600), fd, i;
	size_t n = read_proc(want, sizeof(want)), m;
	FILE *f;

	NOTE("fopen, fgets");
	f = fopen(PATH, "r");
	REQUIRE(f);
	buf[0] = 0;
	while (fgets(line, sizeof(line), f))
		strcat(buf, line);
	fclose(f);
	CHECK(strcmp(buf, want) == 0);

	NOTE("fopen re, fread");
	f = fopen(PATH, "re");
	REQUIRE(f);
	m = fread(buf, 1, sizeof(buf) - 1, f);
	buf[m] = 0;
	fclose(f);
	CHECK(strcmp(buf, want) == 0);

	NOTE("openat");
	fd = openat(AT_FDCWD, PATH, O_RDONLY | O_CLOEXEC);
	REQUIRE_OK(fd);
	read_all(fd, buf, sizeof(buf));
	CHECK(strcmp(buf, want) == 0);

	NOTE("from the start again");
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	read_all(fd, buf, sizeof(buf));
	CHECK(strcmp(buf, want) == 0);
	close(fd);

	NOTE("a byte at a time");
	fd = open(PATH, O_RDONLY | O_CLOEXEC);
	REQUIRE_OK(fd);
	for (i = 0; (size_t)i < n; i++)
		CHECK_EQ(read(fd, buf + i, 1), 1);
	CHECK_EQ(read(fd, buf + i, 1), 0);
	CHECK(memcmp(buf, want, n) == 0);
	close(fd);

	destroy(id);
}

CASE_IF("C96", NEEDS_PROC, it_can_be_opened_relative_to_its_directory)
{
	char want[4096], buf[4096];
	int id = make_key(4096, 0600), fd, dir;

	read_proc(want, sizeof(want));
	dir = open("/proc/sysvipc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	REQUIRE_OK(dir);
	fd = openat(dir, "shm", O_RDONLY | O_CLOEXEC);
	REQUIRE_OK(fd);
	read_all(fd, buf, sizeof(buf));
	CHECK(strcmp(buf, want) == 0);
	close(fd);
	close(dir);

	destroy(id);
}

CASE_IF("C96", NEEDS_PROC, it_is_a_read_only_file_of_size_0)
{
	struct stat st;

	CHECK_OK(stat(PATH, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0444);
	CHECK_EQ(st.st_size, 0);
	CHECK_OK(access(PATH, F_OK));
	CHECK_OK(access(PATH, R_OK));
}

CASE_IF("C98", NEEDS_PROC, maps_shows_key_and_id)
{
	char line[512], want[64], name[32];
	int id = make(2 * page_size(), 0600), n = 0, inode;
	char *p = attach(id, 0);
	FILE *f;

	sprintf(want, "%lx-", (unsigned long)(uintptr_t)p);
	sprintf(name, "/SYSV%08x (deleted)\n", 0);
	f = fopen("/proc/self/maps", "re");
	REQUIRE(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, want, strlen(want)) != 0)
			continue;
		n++;
		CHECK(strstr(line, " rw-s 00000000 00:01 "));
		CHECK(strstr(line, name));
		CHECK(sscanf(line, "%*s %*s %*s %*s %d", &inode) == 1);
		CHECK_EQ(inode, id);
	}
	fclose(f);
	CHECK_EQ(n, 1);
	detach(p);
	destroy(id);
}
