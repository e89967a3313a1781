/* SPDX-License-Identifier: MIT */
/*
 * Owns the texts of /proc/sysvipc/shm and /proc/sys/kernel/shm*.
 *
 * A text is a memfd. For reading that is all. What a program writes goes into
 * the memfd as well, past every function that we could watch (stdio's own
 * system calls, a descriptor that became another program's standard output),
 * so we keep the page mapped and look at it later: when the descriptor is
 * closed, before the next shared memory call, at fork() and at the end.
 * Lock: 'busy', a flag; who finds it taken leaves the work to its holder.
 */
#include "edge/procfile.h"

#include <string.h>

#include "base/user.h"
#include "core/limits.h"
#include "core/report.h"
#include "edge/place.h"

#define PROC_IPC    "/proc/sysvipc"
#define PROC_KERNEL "/proc/sys/kernel"
#define THE_LIST    0 /* /proc/sysvipc/shm: the others are limits */
#define PAGE	    4096
#define MAX_OPEN    8

static const struct {
	const char *dir, *name;
	enum limit limit;
} files[] = {
	{ PROC_IPC, "shm", 0 },
	{ PROC_KERNEL, "shmmax", LIMIT_SHMMAX },
	{ PROC_KERNEL, "shmall", LIMIT_SHMALL },
	{ PROC_KERNEL, "shmmni", LIMIT_SHMMNI },
	{ PROC_KERNEL, "shm_next_id", LIMIT_NEXT_ID },
	{ PROC_KERNEL, "shm_rmid_forced", LIMIT_RMID_FORCED },
};
#define FILES (int)(sizeof(files) / sizeof(files[0]))

/* Limits that a program has opened for writing. */
static struct {
	int which; /* 0: unused */
	char *page;
	char seen[32]; /* its text when we last looked */
} written[MAX_OPEN];
static uint32_t nwritten, next_written, busy;

/* --------------------------------------------------------------- finding */

/* The directory that a descriptor, or the working directory, stands for. */
static bool dir_is(int dir, const char *want)
{
	char link[64], path[64];
	struct text t;
	long n;

	text_init(&t, link, sizeof(link));
	if (dir == AT_FDCWD) {
		text_str(&t, "/proc/self/cwd");
	} else {
		text_str(&t, "/proc/self/fd/");
		text_uint(&t, (uint64_t)dir, 10, 0, ' ');
	}
	n = sys_readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return strcmp(path, want) == 0;
}

int procfile_find(int dir, const char *path)
{
	if (!path)
		return -1;
	for (int i = 0; i < FILES; i++) {
		size_t n = strlen(files[i].dir);

		if (path[0] == '/'
			    ? strncmp(path, files[i].dir, n) == 0 &&
				      path[n] == '/' &&
				      strcmp(path + n + 1, files[i].name) == 0
			    : strcmp(path, files[i].name) == 0 &&
				      dir_is(dir, files[i].dir))
			return i;
	}
	return -1;
}

/* --------------------------------------------------------------- writing */

static void limit_text(const struct space *sp, int which, struct text *t)
{
	uint64_t value = limits_get(sp, files[which].limit);

	if (files[which].limit == LIMIT_NEXT_ID && value == UINT64_MAX)
		text_str(t, "-1");
	else
		text_uint(t, value, 10, 0, ' ');
	text_str(t, "\n");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/*
 * The program has put 'text' into the file: the first number counts. As in
 * the kernel, what it does not end well is no number.
 */
static void apply(struct space *sp, int which, const char *text)
{
	const char *s = text, *end = text + strlen(text);
	uint64_t value;

	while (is_blank(*s))
		s++;
	if (text_parse(&s, end, 10, &value) && (s == end || is_blank(*s)))
		(void)limits_set(sp, files[which].limit, value);
}

static void settle_one(struct space *sp, int i)
{
	char now[sizeof(written[i].seen)];

	/* The program may have truncated it under our mapping. */
	if (user_read(now, written[i].page, sizeof(now)) < 0)
		return;
	now[sizeof(now) - 1] = '\0';
	if (strcmp(now, written[i].seen) == 0)
		return;
	memcpy(written[i].seen, now, sizeof(now));
	apply(sp, written[i].which, now);
}

void procfile_settle(void)
{
	struct space *sp;

	if (load_relaxed(&nwritten) == 0 || exchange(&busy, 1u))
		return;
	sp = place_opened();
	for (int i = 0; sp && i < MAX_OPEN; i++)
		if (written[i].which)
			settle_one(sp, i);
	store_release(&busy, 0u);
}

/* Keep the page of a limit that was opened for writing. */
static int watch(int fd, int which, const char *text)
{
	uint32_t i = next_written++ % MAX_OPEN;
	char *page;

	page = sys_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (sys_failed(page))
		return (int)(intptr_t)page;
	if (written[i].page)
		(void)sys_munmap(written[i].page, PAGE);
	written[i].page = page;
	memset(written[i].seen, 0, sizeof(written[i].seen));
	memcpy(written[i].seen, text, strlen(text));
	written[i].which = which;
	(void)fetch_add(&nwritten, 1u);
	return 0;
}

/* --------------------------------------------------------------- opening */

static int fill(struct space *sp, int fd, int which, int flags)
{
	int mode = flags & O_ACCMODE;
	char value[32];
	struct text t;
	long n;

	if (which == THE_LIST)
		return report_proc(sp, fd);
	text_init(&t, value, sizeof(value));

	/* Who only writes begins with nothing: "5" is not to be the first
	 * digit of what was there. */
	if (mode == O_RDONLY || (mode == O_RDWR && !(flags & O_TRUNC)))
		limit_text(sp, which, &t);
	n = sys_write(fd, value, t.used);
	if (n < 0)
		return (int)n;
	return mode != O_RDONLY ? watch(fd, which, value) : 0;
}

/*
 * The same file once more, read-only and at its start. Not for a process that
 * may not look into its own /proc entry (PR_SET_DUMPABLE): it keeps 'fd'.
 */
static int reopen(int fd, int flags)
{
	char path[64];
	struct text t;
	int again;

	text_init(&t, path, sizeof(path));
	text_str(&t, "/proc/self/fd/");
	text_uint(&t, (uint64_t)fd, 10, 0, ' ');
	again = sys_openat(AT_FDCWD, path, flags & (O_ACCMODE | O_CLOEXEC), 0);
	if (again >= 0) {
		(void)sys_close(fd);
		return again;
	}
	(void)sys_rewind(fd);
	if (!(flags & O_CLOEXEC))
		(void)SYS3(SYS_fcntl, fd, F_SETFD, 0);
	return fd;
}

int procfile_open(int which, int flags)
{
	bool writable = (flags & O_ACCMODE) != O_RDONLY;
	struct space *sp;
	int fd, r;

	/* 0444 and 0644, root's; root may all the same. */
	if (writable && (sys_geteuid() != 0))
		return -EACCES;
	r = place_default(&sp);
	if (r < 0)
		return -ENOENT;
	procfile_settle();
	fd = sys_memfd_create(files[which].name, 1 /* MFD_CLOEXEC */);
	if (fd < 0)
		return fd;
	if (writable && which != THE_LIST)
		while (exchange(&busy, 1u))
			cpu_relax();
	r = fill(sp, fd, which, flags);
	if (writable && which != THE_LIST)
		store_release(&busy, 0u);
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	return reopen(fd, flags);
}
