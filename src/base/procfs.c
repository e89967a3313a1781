/* SPDX-License-Identifier: MIT */
/* Owns nothing: a descriptor lives as long as a call. */
#include "base/procfs.h"

#include <string.h>

#include "base/sys.h"
#include "base/text.h"

#define DUMP_SHARED_ANONYMOUS 0x2u /* bits of coredump_filter */
#define DUMP_SHARED_FILES     0x8u

#define PF_EXITING 0x4u /* field 9 of stat: the task has begun to end */

/* A line of maps: numbers, and a path as long as paths can be. */
#define LINE_ROOM (PATH_ROOM + 256)

/* "/proc/<pid><rest>" or "/proc/<pid>/task/<tid><rest>"; pid 0 is "self" */
static void proc_path(char *buf, size_t size, int pid, int tid,
		      const char *rest)
{
	struct text t;

	text_init(&t, buf, size);
	text_str(&t, "/proc/");
	if (pid)
		text_uint(&t, (uint64_t)pid, 10, 0, ' ');
	else
		text_str(&t, "self");
	if (tid) {
		text_str(&t, "/task/");
		text_uint(&t, (uint64_t)tid, 10, 0, ' ');
	}
	text_str(&t, rest);
}

int procfs_task(int pid, int tid, struct procfs_task *ret)
{
	char path[64], buf[1024];
	const char *p, *end;
	uint64_t value;
	long n;
	int fd;

	proc_path(path, sizeof(path), pid, tid, "/stat");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, sizeof(buf));
	(void)sys_close(fd);
	if (n < 0)
		return n == -ESRCH ? -ENOENT : (int)n;

	/* The name in parentheses may hold anything: start behind it. */
	end = buf + n;
	p = memrchr(buf, ')', (size_t)n);
	if (!p || end - p < 4)
		return -EIO;
	p += 2;
	ret->state = *p++;
	for (int field = 4; field <= 22; field++) {
		if (p < end && *p == ' ')
			p++;
		if (p < end && *p == '-')
			p++;
		if (!text_parse(&p, end, 10, &value))
			return -EIO;
		if (field == 4)
			ret->ppid = (int)value;
		else if (field == 9)
			ret->exiting = value & PF_EXITING;
		else if (field == 20)
			ret->threads = (unsigned)value;
		else if (field == 22)
			ret->start_time = value;
	}
	ret->exiting |= ret->state == 'Z' || ret->state == 'X';
	return 0;
}

/* The last number of the line "NSpid:". */
static int innermost(const char *s, const char *end)
{
	static const char name[] = "\nNSpid:";
	uint64_t number = 0;

	s = memmem(s, (size_t)(end - s), name, sizeof(name) - 1);
	if (!s)
		return -EIO;
	for (s += sizeof(name) - 1; s < end && *s != '\n';)
		if (!text_parse(&s, end, 10, &number))
			s++;
	return (int)number;
}

int procfs_pid_space(int pid, uint64_t *ret_ns, int *ret_inner)
{
	char path[64], buf[2048];
	struct sys_stat st;
	int fd, r;
	long n;

	proc_path(path, sizeof(path), pid, 0, "/ns/pid");
	r = sys_stat(AT_FDCWD, path, 0, &st);
	if (r < 0)
		return r;
	proc_path(path, sizeof(path), pid, 0, "/status");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	n = sys_read(fd, buf, sizeof(buf));
	(void)sys_close(fd);
	if (n < 0)
		return (int)n;
	r = innermost(buf, buf + n);
	if (r < 0)
		return r;
	*ret_ns = st.ino;
	*ret_inner = r;
	return 0;
}

int procfs_each(int pid, int (*each)(void *arg, int number), void *arg)
{
	_Alignas(8) char buf[2048];
	char path[64] = "/proc";
	int fd, r = 0;
	long n;

	if (pid)
		proc_path(path, sizeof(path), pid, 0, "/task");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	while (r == 0 && (n = sys_getdents(fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			const struct sys_dirent *d = (void *)(buf + at);
			const char *s = d->name;
			uint64_t value;

			if (text_parse(&s, s + strlen(s), 10, &value) && !*s)
				r = each(arg, (int)value);
			at += d->length;
		}
	}
	(void)sys_close(fd);
	return r;
}

int procfs_each_map(int pid, int tid,
		    int (*each)(void *arg, const char *line, const char *end),
		    void *arg)
{
	char path[64], buf[LINE_ROOM];
	size_t have = 0;
	int fd, r = 0;
	long n = 0;

	proc_path(path, sizeof(path), pid, tid, "/maps");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	while (r == 0 &&
	       (n = sys_read(fd, buf + have, sizeof(buf) - have)) > 0) {
		size_t start = 0;
		char *nl;

		have += (size_t)n;
		while (r == 0 &&
		       (nl = memchr(buf + start, '\n', have - start))) {
			r = each(arg, buf + start, nl);
			start = (size_t)(nl - buf) + 1;
		}
		if (start == 0 && have == sizeof(buf))
			start = have; /* not a line that there can be */
		have -= start;
		memmove(buf, buf + start, have);
	}
	(void)sys_close(fd);
	return r == 0 && n < 0 ? (int)n : r;
}

void procfs_dump_shared_files(void)
{
	static const char path[] = "/proc/self/coredump_filter";
	const char *s;
	uint64_t filter;
	char buf[32];
	struct text t;
	long n;
	int fd;

	fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	n = sys_read(fd, buf, sizeof(buf));
	s = buf;
	if (n > 0 && text_parse(&s, buf + n, 16, &filter) &&
	    filter & DUMP_SHARED_ANONYMOUS && !(filter & DUMP_SHARED_FILES)) {
		text_init(&t, buf, sizeof(buf));
		text_str(&t, "0x");
		text_uint(&t, filter | DUMP_SHARED_FILES, 16, 0, ' ');
		(void)sys_write(fd, buf, t.used);
	}
	(void)sys_close(fd);
}
