/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/durable.h"
#include "store/layout.h"

char world_dir[128];
const char *world_now = "";
int *world_failures;
bool world_in_use;
char world_said[200];
const char *const reboot_names[REBOOTS] = { "removed", "other boot", "torn",
					    "no reboot" };

static char base[64];

static void remove_tree(const char *path)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command) != 0)
		abort();
}

/* The working directory's path; false if there is none. */
static bool work_path(char buf[DURABLE_WORK_ROOM], bool *ret_used)
{
	struct durable_door door;
	int dir = open(world_dir, O_RDONLY | O_DIRECTORY), work = -1;
	bool found;

	*ret_used = false;
	found = dir >= 0 && durable_look(dir, &door, &work, ret_used) == 1;
	if (found) {
		found = work >= 0;
		memcpy(buf, door.work, DURABLE_WORK_ROOM);
		durable_leave(&door);
	}
	if (work >= 0)
		close(work);
	if (dir >= 0)
		close(dir);
	return found;
}

/* Wherever: also one that nothing names any more. */
static void remove_work(void)
{
	char pattern[200];
	struct stat st;
	glob_t g;

	if (stat(world_dir, &st) < 0)
		return;
	snprintf(pattern, sizeof(pattern), "/dev/shm/ushm-durable-*-%llx-*",
		 (long long)st.st_ino);
	if (glob(pattern, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			remove_tree(g.gl_pathv[i]);
	globfree(&g);
}

void world_here(void)
{
	world_failures = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world_failures == MAP_FAILED)
		abort();
}

void world_begin(void)
{
	const char *tmp = getenv("TMPDIR");

	world_here();
	snprintf(base, sizeof(base), "%s/ushm-test-durable.XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(base))
		abort();
	chmod(base, 0755);
	snprintf(world_dir, sizeof(world_dir), "%s/ns", base);
}

void world_end(void)
{
	remove_work();
	remove_tree(base);
}

void world_nowhere(void)
{
	remove_work();
	remove_tree(world_dir);
}

void world_anew(void)
{
	struct ushm_problem problem;
	ushm_space *sp;
	pid_t pid;

	world_nowhere();
	pid = fork();
	if (pid == 0) {
		if (ushm_open(world_dir, USHM_CREATE | USHM_DURABLE, NULL, &sp,
			      &problem) < 0)
			FAIL("%s", problem.text);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

void world_registry(char *buf, size_t size)
{
	struct durable_door door;
	int dir = open(world_dir, O_RDONLY | O_DIRECTORY), work = -1;
	bool used;

	if (durable_look(dir, &door, &work, &used) != 1 ||
	    !durable_work_path(&door, 0, door.work))
		abort();
	snprintf(buf, size, "%s/registry.%d", door.work, (int)geteuid());
	durable_leave(&door);
	if (work >= 0)
		close(work);
	close(dir);
}

static void change_boot(void)
{
	struct record_work w;
	int dir = open(world_dir, O_RDONLY | O_DIRECTORY);

	if (dir >= 0 &&
	    record_read(dir, "work", RECORD_WORK, &w.head, sizeof(w)) == 0) {
		w.boot_id[3] ^= 1;
		if (record_write_unflushed(dir, "work", RECORD_WORK, &w.head,
					   sizeof(w)) < 0)
			FAIL("work cannot be written");
	}
	close(dir);
}

static void tear_registry(const char *work)
{
	char path[DURABLE_WORK_ROOM + 32];
	int fd;

	snprintf(path, sizeof(path), "%s/registry.%d", work, (int)geteuid());
	fd = open(path, O_RDWR);
	if (fd < 0 || pwrite(fd, "torn", 4, 0) != 4)
		FAIL("%s cannot be torn", path);
	close(fd);
}

void world_reboot(enum reboot kind)
{
	char work[DURABLE_WORK_ROOM];
	bool used;

	if (kind == NOT_AT_ALL || !work_path(work, &used))
		return;
	if (used != world_in_use)
		FAIL("is somebody using it?");
	if (kind == REMOVED)
		remove_tree(work);
	else if (kind == OTHER_BOOT)
		change_boot();
	else
		tear_registry(work);
}

void world_wait(void)
{
	char work[DURABLE_WORK_ROOM];
	bool used = true;

	for (int i = 0; used && i < 10000; i++) {
		(void)work_path(work, &used);
		usleep(1000);
	}
}

int world_run(void (*act)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		act();
		exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

ushm_space *world_open(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(world_dir, 0, NULL, &sp, &problem) == 0)
		return sp;
	FAIL("%s", problem.text);
	_exit(1);
}

static void tell(void *arg, const struct ushm_finding *f)
{
	if (f->fate != USHM_NOTED)
		snprintf(arg, sizeof(world_said), "%s [%s]", f->text, f->code);
}

int world_check(unsigned flags)
{
	struct ushm_problem problem;
	int r;

	world_said[0] = '\0';
	r = ushm_check(world_dir, flags, tell, world_said, &problem);
	if (r < 0)
		FAIL("%s", problem.text);
	return r;
}

unsigned world_count(const char *pattern)
{
	char path[200];
	unsigned n;
	glob_t g;

	snprintf(path, sizeof(path), "%s/%s", world_dir, pattern);
	n = glob(path, 0, NULL, &g) == 0 ? (unsigned)g.gl_pathc : 0;
	globfree(&g);
	return n;
}
