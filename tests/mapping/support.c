/* SPDX-License-Identifier: MIT */
#define CHECK_MAIN
#include "mapping.h"

#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

static char work[64];
static dev_t disk; /* what it is on */

/* ------------------------------------------------------------------ calls */

#ifdef MAPPING_KERNEL

static int result(void *p, void **ret_addr)
{
	if (p == MAP_FAILED)
		return -errno;
	*ret_addr = p;
	return 0;
}

int map(void *addr, size_t length, int prot, int flags, int fd, int64_t offset,
	void **ret_addr)
{
	return result(mmap(addr, length, prot, flags, fd, offset), ret_addr);
}

int sync_range(void *addr, size_t length, int flags)
{
	return msync(addr, length, flags) < 0 ? -errno : 0;
}

int unmap(void *addr, size_t length)
{
	return munmap(addr, length) < 0 ? -errno : 0;
}

int protect(void *addr, size_t length, int prot)
{
	return mprotect(addr, length, prot) < 0 ? -errno : 0;
}

int remap(void *old, size_t old_size, size_t new_size, int flags,
	  void *new_addr, void **ret_addr)
{
	return result(mremap(old, old_size, new_size, flags, new_addr),
		      ret_addr);
}

long file_read(int fd, void *buf, size_t size, int64_t at)
{
	return pread(fd, buf, size, at);
}

long file_write(int fd, const void *buf, size_t size, int64_t at)
{
	return pwrite(fd, buf, size, at);
}

int file_resize(int fd, int64_t size)
{
	return ftruncate(fd, size);
}

#else
#include "core/mapping.h"
#include "ushm.h"

#ifdef MAPPING_REFUSED
#include "base/sys.h"

/*
 * A kernel that finds out late that it cannot share the file: what was there
 * is gone by then.
 */
static void *refusing_mmap(void *addr, size_t length, int prot, int flags,
			   int fd, uint64_t offset)
{
	void *p = sys_mmap(addr, length, prot, flags, fd, offset);
	struct stat st;

	if (sys_failed(p) || flags & MAP_ANONYMOUS || !(flags & MAP_SHARED) ||
	    fstat(fd, &st) < 0 || st.st_dev != disk)
		return p;
	munmap(p, length);
	return (void *)(intptr_t)-ENODEV;
}

int map(void *addr, size_t length, int prot, int flags, int fd, int64_t offset,
	void **ret_addr)
{
	static const struct mapping_setup setup = {
		.kernel = { refusing_mmap, sys_munmap, sys_mremap,
			    sys_mprotect },
		.max = MAPPING_MAX,
		.track = 1,
	};
	struct mapping_request q = { addr, length,	     prot, flags,
				     fd,   (uint64_t)offset, 0 };

	mapping_configure(&setup);
	return mapping_mmap(&q, ret_addr);
}
#else
int map(void *addr, size_t length, int prot, int flags, int fd, int64_t offset,
	void **ret_addr)
{
	return ushm_map(addr, length, prot, flags, fd, offset, USHM_MAP_OBJECT,
			ret_addr);
}
#endif

int sync_range(void *addr, size_t length, int flags)
{
	return ushm_sync(addr, length, flags);
}

int unmap(void *addr, size_t length)
{
	return ushm_unmap(addr, length);
}

int protect(void *addr, size_t length, int prot)
{
	return ushm_protect(addr, length, prot);
}

int remap(void *old, size_t old_size, size_t new_size, int flags,
	  void *new_addr, void **ret_addr)
{
	return ushm_remap(old, old_size, new_size, flags, new_addr, ret_addr);
}

long file_read(int fd, void *buf, size_t size, int64_t at)
{
	mapping_before_read(fd, (uint64_t)at, size);
	return pread(fd, buf, size, at);
}

long file_write(int fd, const void *buf, size_t size, int64_t at)
{
	struct mapping_change c;
	bool held = mapping_before_change(&c, fd, (uint64_t)at, size);
	long n = pwrite(fd, buf, size, at);

	if (held)
		mapping_after_change(&c);
	return n;
}

int file_resize(int fd, int64_t size)
{
	struct mapping_change c;
	bool held = mapping_before_change(&c, fd, (uint64_t)size, MAPPING_ALL);
	int r = ftruncate(fd, size);

	if (held)
		mapping_after_change(&c);
	return r;
}
#endif

char *share(int fd, size_t length, int prot, int64_t offset)
{
	void *p = NULL;

	CHECK_HERE;
	MUST(map(NULL, length, prot, MAP_SHARED, fd, offset, &p) == 0);
	return p;
}

/* ------------------------------------------------------------------ files */

static void remove_dir(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", work);
	if (*work && system(command) != 0)
		CHECK(!"removed");
}

const char *work_path(const char *name)
{
	static char path[200];
	struct stat st;

	if (!*work) {
		strcpy(work, "/var/tmp/ushm-mapping.XXXXXX");
		REQUIRE(mkdtemp(work));
		/* Others come here too, in some cases. */
		REQUIRE(chmod(work, 0755) == 0);
		REQUIRE(stat(work, &st) == 0);
		disk = st.st_dev;
		atexit(remove_dir);
	}
	snprintf(path, sizeof(path), "%s/%s", work, name);
	return path;
}

char pattern(size_t i)
{
	return (char)('a' + (i * 7 + i / PAGE) % 26);
}

int file_of(const char *name, size_t size)
{
	int fd = open(work_path(name), O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *bytes = malloc(size + 1);

	REQUIRE(fd >= 0 && bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = pattern(i);
	REQUIRE(write(fd, bytes, size) == (ssize_t)size);
	free(bytes);
	return fd;
}

int byte_of(int fd, int64_t at)
{
	char c;

	return pread(fd, &c, 1, at) == 1 ? c : -1;
}

int64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : -1;
}

bool holds_pattern(const char *p, size_t length, size_t at)
{
	for (size_t i = 0; i < length; i++)
		if (p[i] != pattern(at + i))
			return false;
	return true;
}

void own_dev_shm(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, options) < 0)
		SKIP("no mount namespace: errno %d", errno);
}

/* ----------------------------------------------------------------- touching */

static sigjmp_buf out;

static void on_fault(int sig)
{
	siglongjmp(out, sig);
}

static int touch(volatile char *p, bool write, char c)
{
	struct sigaction act = { .sa_handler = on_fault }, bus, segv;
	int sig;

	sigaction(SIGBUS, &act, &bus);
	sigaction(SIGSEGV, &act, &segv);
	sig = sigsetjmp(out, 1);
	if (sig == 0) {
		if (write)
			*p = c;
		else
			(void)*p;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return sig;
}

int touch_read(const volatile char *p)
{
	return touch((volatile char *)(uintptr_t)p, false, 0);
}

int touch_write(volatile char *p, char c)
{
	return touch(p, true, c);
}
