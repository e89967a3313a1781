/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char stage_dir[PATH_MAX - 100];
static void (*before)(void);
static pid_t owner;

void stage_remove(const char *dir)
{
	DIR *d = *dir ? opendir(dir) : NULL;
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0); /* not "." and ".." */
	closedir(d);
	rmdir(dir);
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	if (before)
		before();
	stage_remove(stage_dir);
}

static void on_signal(int sig)
{
	clean_up(); /* most likely in order, and the alternative is none */
	signal(sig, SIG_DFL);
	raise(sig);
}

void stage_make(const char *base, void (*end)(void))
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };

	if (!base)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(stage_dir, sizeof(stage_dir), "%s/ushm-bench.XXXXXX", base);
	if (!mkdtemp(stage_dir)) {
		*stage_dir = '\0';
		die("%s: %s", base, strerror(errno));
	}
	owner = getpid();
	before = end;
	atexit(clean_up);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], on_signal);
}

void die(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}
