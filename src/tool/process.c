/* SPDX-License-Identifier: MIT */
/*
 * Looks at other processes through /proc: alive or not, since when, doing
 * what. Everything read here may be out of date when it is returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool/process.h"

/* Read the start of /proc/PID/NAME; returns its length or -errno. */
static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t len)
{
	char path[64];
	size_t done = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	do {
		n = read(fd, buf + done, len - 1 - done);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && done < len - 1);
	if (n < 0)
		n = -errno;
	close(fd);

	buf[done] = '\0';
	return n < 0 ? n : (ssize_t)done;
}

/* When the machine was booted, in seconds of the Epoch; 0 if unknown. */
static int64_t boot_time(void)
{
	struct timespec now, up;

	if (clock_gettime(CLOCK_REALTIME, &now) < 0 ||
	    clock_gettime(CLOCK_BOOTTIME, &up) < 0)
		return 0;

	return now.tv_sec - up.tv_sec;
}

static bool have_proc(void)
{
	static int known = -1;

	if (known < 0)
		known = access("/proc/self/stat", R_OK) == 0;

	return known;
}

int process_read(pid_t pid, struct process *ret)
{
	struct process p = { 0 };
	char buf[1024], path[64];
	struct stat st;
	long hz, threads;
	char *at;
	ssize_t n;

	n = read_proc(pid, "stat", buf, sizeof(buf));
	if (n == -ENOENT)
		return have_proc() ? -ESRCH : -ENOENT;
	if (n < 0)
		return (int)n;

	/* The name may hold blanks and brackets: the last ")" ends it. Then
	 * state is field 3, the threads field 20 and the start time 22. */
	at = strrchr(buf, ')');
	if (!at || sscanf(at + 1,
			  " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
			  " %*s %*s %*s %*s %ld %*s %" SCNu64,
			  &p.state, &threads, &p.start_ticks) != 3)
		return -EPROTO;
	/* Its first thread is over, others run. */
	if (p.state == 'Z' && threads > 1)
		p.state = 'S';

	hz = sysconf(_SC_CLK_TCK);
	if (hz > 0 && boot_time())
		p.start = boot_time() + (int64_t)(p.start_ticks / (uint64_t)hz);

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	p.uid = st.st_uid;

	*ret = p;
	return 0;
}

bool process_alive(pid_t pid, uint64_t start_ticks)
{
	struct process p = { 0 };
	int r;

	if (pid <= 0)
		return false;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return false;

	r = process_read(pid, &p);
	if (r == -ESRCH)
		return false;
	if (r < 0)
		return true;
	if (start_ticks && p.start_ticks != start_ticks)
		return false;

	return p.state != 'Z' && p.state != 'X';
}

char *process_command(pid_t pid)
{
	char buf[4096] = { 0 }, name[64], *text;
	ssize_t n;

	n = read_proc(pid, "cmdline", buf, sizeof(buf));
	if (n < 0)
		return NULL;

	while (n > 0 && buf[n - 1] == '\0')
		n--;
	if (n > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] == '\0' || buf[i] == '\n')
				buf[i] = ' ';
		buf[n] = '\0';
		return strdup(buf);
	}

	n = read_proc(pid, "comm", name, sizeof(name));
	if (n < 0)
		return NULL;
	name[strcspn(name, "\n")] = '\0';
	if (asprintf(&text, "[%s]", name) < 0)
		return NULL;

	return text;
}
