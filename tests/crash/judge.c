/* SPDX-License-Identifier: MIT */
/*
 * Owns the verdict, in memory that it shares with the process that judges.
 */
#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "core/space.h"

static struct verdict *verdict;

/* ------------------------------------------------------------- execve() */

/* The same claim in our name, if it is the victim's. */
static uint64_t claim_ours(uint64_t claim, pid_t victim)
{
	if (claim_pid(claim) != victim)
		return claim;
	return claim_make(claim, claim_state(claim), getpid());
}

/*
 * Take the victim's place, as if another of its threads had called execve():
 * the pid is the same, no younger than the slot, and the image another.
 */
static void become(pid_t victim)
{
	static struct image im;
	struct layout_segment *s;
	struct layout_proc *p;

	image_take(&im, entries_dir);
	if (!im.size)
		return;
	p = image_procs(&im);
	for (uint32_t i = 0; i < image_header(&im)->procs.used; i++) {
		/* There, it is the claim of the parent. */
		if (claim_state(p[i].claim) == PROC_UNBORN)
			p[i].image = claim_ours(p[i].image, victim);
		if (claim_pid(p[i].claim) != victim)
			continue;
		p[i].claim = claim_ours(p[i].claim, victim);
		p[i].image ^= 2;
		p[i].born = life_clock();
	}
	s = (void *)(im.bytes + image_header(&im)->segments.offset);
	for (uint32_t i = 0; i < image_header(&im)->segments.used; i++)
		if (s[i].lpid == victim)
			s[i].lpid = getpid();
	image_rewrite(&im, entries_dir);
}

/* A slot that it was just claiming is empty, and stays until it ends. */
static unsigned half_claimed(const struct space *sp)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < sp->reg.h->procs.used; i++) {
		const struct layout_proc *p = &sp->reg.procs[i];

		n += claim_state(p->claim) == PROC_CLAIMING &&
		     claim_pid(p->claim) == getpid() && !p->attaches;
	}
	return n;
}

/* --------------------------------------------------------- the next call */

static void fail(const char *what, long a, long b)
{
	if (verdict->wrong++ == 0)
		snprintf(verdict->what, sizeof(verdict->what), "%s (%ld, %ld)",
			 what, a, b);
}

static int next_call(ushm_space *sp, unsigned nth)
{
	int id, r;

	/* One that only reads, as far as it knows; or one that changes. */
	if (nth % 2 == 0) {
		r = ushm_get(sp, 'A', 0, 0, &id);
		return r == -ENOENT ? 0 : r;
	}
	r = ushm_get(sp, IPC_PRIVATE, 100, 0600, &id);
	return r < 0 ? r : ushm_remove(sp, id);
}

/* The call after the next one finds nothing to do. */
static void check_idle(ushm_space *sp)
{
	const struct registry *r = &((struct space *)sp)->reg;
	static unsigned char before[IMAGE_ROOM];
	char outcome[400];
	int id;

	memcpy(before, r->h, r->size);
	(void)ushm_get(sp, 'A', 0, 0, &id);
	entries_outcome(sp, 0, outcome, sizeof(outcome));
	for (size_t i = 0; i < r->size; i++) {
		if (before[i] == ((const unsigned char *)r->h)[i])
			continue;
		fail("repaired once more", (long)i, 0);
		return;
	}
}

/* Something of everything that a program does. */
static void check_use(const struct check *c, ushm_space *sp)
{
	uint64_t forced = 0;
	int id, r;

	(void)ushm_limit_get(sp, USHM_SHM_RMID_FORCED, &forced);
	r = ushm_get(sp, 'P', 4096, IPC_CREAT | IPC_EXCL | 0600, &id);
	if (r < 0) {
		fail("cannot create", r, 0);
		return;
	}
	check_zeroed(c, sp, id, 4096);
	r = ushm_remove(sp, id);
	if (r != (forced ? -EINVAL : 0))
		fail("cannot remove", r, 0);
}

static void check_all(const struct scene *scene)
{
	const struct check c = { entries_dir, scene->entry->leftover, fail };
	pid_t victim = scene->same ? getpid() : scene->victim;
	unsigned living = scene->living;
	ushm_space *sp;
	int r, id;

	if (scene->same)
		become(scene->victim);
	sp = entries_open();

	/* A crowd is looked through in turns, 64 at a time. */
	for (unsigned seen = 0; seen <= scene->living; seen += 64) {
		r = next_call(sp, scene->nth);
		if (r < 0)
			fail("the next call", r, 0);
	}
	if (scene->same)
		living += half_claimed((struct space *)sp);
	check_settled(&c, sp, living);
	check_registry(&c, sp);
	entries_outcome(sp, victim, verdict->outcome, sizeof(verdict->outcome));
	check_directory(&c, sp);
	check_idle(sp);
	if (ushm_get(sp, 'A', 0, 0, &id) == 0)
		check_zeroed(&c, sp, id, 8192);
	check_use(&c, sp);
	check_settled(&c, sp, living);
	check_registry(&c, sp);
	check_directory(&c, sp);
}

/* Who waits for a lock blocks its signals: only we can end that. */
static pid_t waited_for;

static void too_long(int sig)
{
	(void)sig;
	kill(waited_for, SIGKILL);
}

const struct verdict *judge(const char *dir, const struct scene *scene)
{
	const struct sigaction on_alarm = { .sa_handler = too_long };
	const char *before = entries_dir;
	int status;
	pid_t pid;

	if (!verdict)
		verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(verdict, 0, sizeof(*verdict));
	entries_dir = dir;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		check_all(scene);
		_exit(0);
	}
	waited_for = pid;
	sigaction(SIGALRM, &on_alarm, NULL);
	alarm(20);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	alarm(0);
	if (status)
		fail("the next caller died, or never came back", status, 0);
	entries_dir = before;
	return verdict;
}

/* ----------------------------------------------------------- the stand-in */

pid_t stand_in_begin(const char *dir)
{
	char path[100];
	struct stat st;
	int ready[2], fd;
	pid_t pid;
	char c;

	if (pipe(ready) < 0)
		exit(1);
	fflush(stdout);
	pid = fork();
	if (pid > 0) {
		close(ready[1]);
		(void)!read(ready[0], &c, 1);
		close(ready[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	image_registry(dir, path, sizeof(path));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 ||
	    mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) ==
		    MAP_FAILED)
		_exit(1);
	(void)!write(ready[1], "", 1);
	for (;;)
		pause();
}

void stand_in_end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
