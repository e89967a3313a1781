/* SPDX-License-Identifier: MIT */
/*
 * Every failure, one at a time.
 *
 * Each operation is played again and again, in a process and a directory of
 * its own: its first call into the kernel (or libc) fails with each errno that
 * is plausible there, then its second, until the operation comes through
 * without meeting a failure. After each:
 *
 *   - the answer is right, or an errno that the manual page has;
 *   - nothing half-done stays: every invariant of the registry holds, and on
 *     failure all is as before; no lock, descriptor or mapping is left, the
 *     signal mask and errno are what they were;
 *   - the same operation succeeds when nothing fails;
 *   - when the process is gone, there is a file for each segment, and no other.
 *
 * Then the same once for each shortage that is real: environments.c.
 *
 *	test_failure [OPERATION|ENVIRONMENT]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/space.h"
#include "failure/environments.h"
#include "failure/operations.h"
#include "store/verify.h"

/* What all processes of the test share. */
static struct {
	struct injection in;
	int failures;
	bool refused;
} * shared;

#define USER	      65534
#define CHECK_SKIPPED 77

static const struct operation *op;
static const struct environment *env; /* or NULL */
static long total;
static char top[64];

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	const struct injection *in = &shared->in;
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (env) {
		fprintf(stderr, "FAIL %s, %s: %s\n", op->name, env->name, text);
		shared->failures++;
		return;
	}
	fprintf(stderr, "FAIL %s, call %ld%s, %s(%s) = %s: %s\n", op->name,
		in->at, in->lasting ? " and later" : "",
		in->met ? inject_name(in->call) : "none", in->path,
		in->error ? strerror(in->error) : "0", text);
	shared->failures++;
}

/* ------------------------------------------------ what must stay the same */

struct state {
	uint64_t mask;
	int descriptors, maps, files;
	uint32_t in_use, nattaches;
	uint64_t pages, locked;
	struct layout_segment segment;
};

static struct registry *reg(void)
{
	struct space *sp = (struct space *)stage.sp;

	return sp && sp->reg.h ? &sp->reg : NULL;
}

static bool is_handle(uint64_t from, uint64_t to)
{
	const struct space *sp = (struct space *)stage.sp;

	for (int i = 0; i < SPACE_HANDLES; i++)
		if ((uintptr_t)sp->handles[i].page == from && to - from == 4096)
			return true;
	return false;
}

/* Bytes of the range that records of this process speak of. */
static uint64_t recorded(uint64_t from, uint64_t to)
{
	const struct space *sp = (struct space *)stage.sp;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < reg()->h->attaches.used; i++) {
		const struct layout_attach *a = &reg()->attaches[i];
		uint64_t start = a->addr, end = a->addr + a->length;

		if (a->state != ATTACH_LIVE || a->proc != sp->me - 1)
			continue;
		start = start > from ? start : from;
		end = end < to ? end : to;
		if (start < end)
			sum += end - start;
	}
	return sum;
}

/*
 * Each mapping of a segment is recorded, and nothing else is. Returns the
 * number of other mappings.
 */
static int check_maps(void)
{
	uint64_t from, to, mapped = 0;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[500];
	int others = 0;

	while (f && fgets(line, sizeof(line), f)) {
		const char *name = strstr(line, stage.dir);

		if (!name || !strstr(name, "/seg.")) {
			others += !strstr(line, "[heap]");
			continue;
		}
		if (!reg() || sscanf(line, "%lx-%lx", &from, &to) != 2) {
			fail("mapped without a namespace: %s", line);
			continue;
		}
		if (is_handle(from, to))
			continue;
		mapped += to - from;
		if (recorded(from, to) != to - from)
			fail("mapped and not recorded: %s", line);
	}
	if (f)
		fclose(f);
	if (reg() && recorded(0, UINT64_MAX) != mapped)
		fail("recorded: %lu bytes, mapped: %lu",
		     (long)recorded(0, UINT64_MAX), (long)mapped);
	return others;
}

static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int count_files(void)
{
	DIR *list = opendir(stage.dir);
	int n = 0;

	while (list && readdir(list))
		n++;
	if (list)
		closedir(list);
	return n;
}

/* There may be no descriptor to look through, and no room to complain in. */
static void lift_limits(void)
{
	static const int limits[] = { RLIMIT_NOFILE, RLIMIT_FSIZE };
	struct rlimit limit;

	for (int i = 0; i < 2; i++) {
		getrlimit(limits[i], &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(limits[i], &limit);
	}
}

static void look(struct state *s)
{
	struct rlimit files, size;

	memset(s, 0, sizeof(*s));
	(void)sys_sigmask(SIG_BLOCK, NULL, &s->mask);
	s->descriptors = count_descriptors();
	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_FSIZE, &size);
	lift_limits();
	s->maps = check_maps();
	s->files = count_files();
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_FSIZE, &size);
	if (!reg())
		return;
	s->in_use = reg()->h->in_use;
	s->nattaches = reg()->h->nattaches;
	s->pages = reg()->h->pages;
	s->locked = reg()->h->locked;
	if (s->in_use) {
		s->segment = reg()->segments[0];
		s->segment.guard = 0;
		s->segment.flags &= ~SEG_HANDLES;
	}
}

static void on_finding(void *arg, const struct verify_finding *finding)
{
	(void)arg;
	fail("%s", finding->text);
}

static void check_registry(void)
{
	struct space *sp = (struct space *)stage.sp;

	if (!reg())
		return;
	verify_registry(reg(), on_finding, NULL);
	if (reg()->h->lock || sp->local)
		fail("a lock is held");
}

static void compare(const struct state *a, const struct state *b, int r)
{
	if (a->mask != b->mask && shared->in.call != SYS_rt_sigprocmask)
		fail("the signal mask is %lx, was %lx", (long)b->mask,
		     (long)a->mask);
	if (a->descriptors != b->descriptors)
		fail("%d descriptors, were %d", b->descriptors, a->descriptors);
	if (r >= 0)
		return;
	if (!(op->flags & OPENS) && a->files != b->files &&
	    shared->in.call != SYS_unlinkat)
		fail("failed, and left %d files, were %d", b->files, a->files);
	if (!(op->flags & OPENS) && a->maps != b->maps)
		fail("%d mappings, were %d", b->maps, a->maps);
	if (a->in_use != b->in_use || a->nattaches != b->nattaches ||
	    a->pages != b->pages || a->locked != b->locked)
		fail("failed, and left something: %u segments, were %u; %u "
		     "attachments, were %u; %lu pages, were %lu",
		     b->in_use, a->in_use, b->nattaches, a->nattaches,
		     (long)b->pages, (long)a->pages);
	if (memcmp(&a->segment, &b->segment, sizeof(a->segment)) != 0)
		fail("failed, and changed the segment");
}

/* --------------------------------------------------------------- playing */

static bool documented(int r)
{
	if (r <= WRONG)
		return false;
	if (op->flags & SAME && r == -shared->in.error)
		return true;
	/* ushm_open() has more, from ushm.h. */
	if (op->flags & OPENS && op->flags & SAME &&
	    (r == -ENOMEM || r == -ENOSPC || r == -EACCES ||
	     (env && (r == -EMFILE || r == -EROFS || r == -EFBIG))))
		return true;
	for (size_t i = 0; i < sizeof(op->errors) / sizeof(op->errors[0]); i++)
		if (op->errors[i] && r == -op->errors[i])
			return true;
	return false;
}

static void judge(int r)
{
	if (r >= 0)
		return;
	if (r <= WRONG)
		fail("a wrong answer, at line %d", WRONG - r);
	else if (!shared->in.met)
		fail("failed by itself: %s", strerror(-r));
	else if (shared->in.harmless &&
		 !(op->flags & (EXPOSED | GIVES) && shared->in.error == EMFILE))
		fail("must not matter, but: %s", strerror(-r));
	else if (!documented(r))
		fail("undocumented: %s", strerror(-r));
}

/* Once more, and nothing fails. */
static void repeat(void)
{
	struct injection none = { 0 };
	int r;

	none = shared->in;
	shared->in.met = false;
	r = op->act();
	shared->in = none;
	if (r < 0)
		fail("repeated without a failure: %s%d",
		     r <= WRONG ? "wrong at line " : strerror(-r),
		     r <= WRONG ? WRONG - r : 0);
	check_registry();
	(void)check_maps();
}

static void become_user(void)
{
	if (env && env->as_user && setresuid(USER, USER, USER) < 0)
		_exit(CHECK_SKIPPED);
}

static void play(void)
{
	bool ends = op->flags & ENDS;
	struct state before, after;
	int r, saved;

	alarm(10);
	become_user();
	if (op->flags & NO_LINKS)
		inject_without_links();
	op->prepare();
	look(&before);
	if (env && !env->impose())
		_exit(CHECK_SKIPPED);

	inject_arm(&shared->in, op->flags & BOTH ? 0 : getpid(),
		   op->flags & (FORKS | BOTH));
	errno = ENOTTY;
	r = op->act();
	saved = errno;
	inject_disarm();
	if (ends)
		_exit(0);
	if (env)
		env->lift();
	lift_limits();
	shared->refused = r < 0;

	judge(r);
	if (r >= 0 && saved != ENOTTY && !(op->flags & FORKS))
		fail("errno is %s", strerror(saved));
	look(&after);
	check_registry();
	compare(&before, &after, r);
	if (op->flags & LOOKS)
		usleep(11000); /* who was found alive is not asked at once */
	if (r < 0 || op->flags & LOOKS)
		repeat();
	fflush(NULL);
	_exit(0);
}

/* From outside, when the process is gone. */
static void inspect(void)
{
	struct ushm_segment seg;
	struct ushm_info info;
	uint32_t cursor = 0;
	struct dirent *d;
	uint32_t files = 0;
	char path[200];
	DIR *list;

	alarm(10);
	become_user();
	stage_open();
	check_registry();
	ushm_info(stage.sp, &info);
	while (ushm_next(stage.sp, &cursor, &seg) == 1) {
		if (seg.nattch)
			fail("segment %d: nattch %lu, and nobody is there",
			     seg.id, (long)seg.nattch);
		snprintf(path, sizeof(path), "%s/seg.%u.%d", stage.dir,
			 geteuid(), seg.id);
		if (access(path, F_OK) < 0)
			fail("segment %d has no file", seg.id);
	}
	/* What was doomed or reserved goes with the next change. */
	ushm_get(stage.sp, 0x77777777, 0, 0, &(int){ 0 });
	check_registry();
	if (reg()->h->unsettled || reg()->h->nattaches)
		fail("%u unsettled segments, %u attachments are left",
		     reg()->h->unsettled, reg()->h->nattaches);

	list = opendir(stage.dir);
	while (list && (d = readdir(list))) {
		if (strncmp(d->d_name, "seg.", 4) == 0)
			files++;
		else if (strstr(d->d_name, ".new-") &&
			 shared->in.call != SYS_unlinkat)
			fail("%s is left", d->d_name);
	}
	closedir(list);
	if (files != reg()->h->in_use)
		fail("%u files for %u segments", files, reg()->h->in_use);
	_exit(0);
}

static void empty(const char *dir)
{
	struct dirent *d;
	DIR *list = opendir(dir);
	char below[400];

	while (list && (d = readdir(list))) {
		unlinkat(dirfd(list), d->d_name, 0);
		if (strncmp(d->d_name, "posix.", 6) == 0) {
			snprintf(below, sizeof(below), "%s/%s", dir, d->d_name);
			empty(below);
		}
	}
	if (list)
		closedir(list);
	rmdir(dir);
}

static int run_in_child(void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status && !(env && WEXITSTATUS(status) == CHECK_SKIPPED))
		fail("ended with status %x", status);
	return status;
}

/* Injections made, or -1: it cannot be played here. */
static long run(void)
{
	struct injection *in = &shared->in;
	int choices, before;
	long n = 0;

	/* Each errno twice: it happens once, or it lasts. */
	for (long at = 1;; at++) {
		choices = 1;
		for (int which = 0; which < 2 * choices; which++) {
			empty(stage.dir);
			*in = (struct injection){ .at = at,
						  .which = which / 2,
						  .lasting = which % 2 };
			before = shared->failures;
			(void)run_in_child(play);
			(void)run_in_child(inspect);
			if (!in->met)
				return n;
			choices = in->choices;
			n++;
			if (shared->failures > before + 20)
				return n;
		}
	}
}

/* Without an injection; each operation once. */
static void run_environment(void)
{
	int status, before, passed = 0, refused = 0;

	before = shared->failures;
	for (op = operations; op < operations + noperations; op++) {
		if (op->flags & (SMALL | ON_RAM | EXPOSED))
			continue;
		empty(stage.dir);
		shared->in = (struct injection){ .met = true, .at = -1 };
		shared->refused = false;
		status = run_in_child(play);
		if (env->stays)
			env->lift();
		if (WEXITSTATUS(status) == CHECK_SKIPPED)
			continue;
		(void)run_in_child(inspect);
		passed += !shared->refused;
		refused += shared->refused;
	}
	empty(stage.dir);
	printf("%-28s %d operations succeed, %d are refused\n", env->name,
	       passed, refused);
	total += passed + refused;
	if (passed + refused == 0 && shared->failures == before)
		printf("%-28s skipped: cannot be had here\n", env->name);
}

/* ---------------------------------------------------------------- places */

static bool mount_under_top(const char *name, const char *type,
			    const char *options)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	return mkdir(path, 0700) == 0 &&
	       mount("ushm", path, type, 0, options) == 0;
}

static const struct {
	const char *name, *type, *options;
} places[] = {
	/* so small that blocks are taken at once */
	{ "small", "tmpfs", "size=4m" },
	{ "nodes", "tmpfs", "size=16m,nr_inodes=300" },
	/* not tmpfs: a registry of another boot may be replaced */
	{ "ram", "ramfs", "mode=700" },
	{ "user", "tmpfs", "uid=65534,mode=700" },
	{ "exposed", "tmpfs", "mode=777" },
};

#define PLACES (sizeof(places) / sizeof(places[0]))

static bool mount_all(void)
{
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	for (size_t i = 0; i < PLACES; i++)
		if (!mount_under_top(places[i].name, places[i].type,
				     places[i].options))
			return false;
	return true;
}

static void unmount_all(void)
{
	char path[80];

	for (size_t i = 0; i < PLACES; i++) {
		snprintf(path, sizeof(path), "%s/%s", top, places[i].name);
		(void)umount2(path, MNT_DETACH);
		rmdir(path);
	}
}

static void place(const char *name)
{
	snprintf(stage.dir, sizeof(stage.dir), "%s%s%s/ns", top,
		 name ? "/" : "", name ? name : "");
	setenv("USHM_DIR", stage.dir, 1);
}

int main(int argc, char **argv)
{
	bool mounted;
	long n;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stage.in = &shared->in;
	snprintf(top, sizeof(top), "%s/ushm-failure.%d",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
		 (int)getpid());
	if (mkdir(top, 0700) < 0)
		return 1;
	chmod(top, 0711);
	mounted = mount_all();
	for (op = operations; op < operations + noperations; op++) {
		if (argc > 1 && strcmp(argv[1], op->name) != 0)
			continue;
		if (op->flags & (SMALL | ON_RAM | EXPOSED) && !mounted) {
			printf("%-28s skipped: may not mount\n", op->name);
			continue;
		}
		place(op->flags & ON_RAM    ? "ram"
		      : op->flags & SMALL   ? "small"
		      : op->flags & EXPOSED ? "exposed"
					    : NULL);
		n = run();
		printf("%-28s %ld failures\n", op->name, n);
		fflush(stdout);
		total += n;
		empty(stage.dir);
	}
	for (env = environments; env < environments + nenvironments; env++) {
		if (argc > 1 && strcmp(argv[1], env->name) != 0)
			continue;
		if (env->mount && !mounted) {
			printf("%-28s skipped: may not mount\n", env->name);
			continue;
		}
		place(env->mount);
		run_environment();
	}
	unmount_all();
	rmdir(top);
	printf("%ld passed, %d failed\n", total, shared->failures);
	return shared->failures != 0;
}
