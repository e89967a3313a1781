/* SPDX-License-Identifier: MIT */
/*
 * soak - a crowd that calls, of whom many are killed.
 *
 *	soak [-k KIND] [-w WORKERS] [-n KILLS -c CALLS] SECONDS [SEED]
 *
 * Rounds of one kind of workers each, in turn, half of them linked with the
 * library and half with the preload. In each round processes are killed at
 * random moments, and now and then all are parked and everything is compared.
 * Ends after SECONDS, or as soon as there were KILLS and CALLS.
 */
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
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "soak/soak.h"

struct shared *shared;

static unsigned seed, crowd = 24;
static uint64_t want_kills, want_calls;
static const char *only, *plain, *preload;
static char shared_path[64];

static struct {
	unsigned rounds, checks;
	uint64_t kills;
	double seconds;
} played[32];

/* ---------------------------------------------------------------- totals */

static uint64_t calls_of(unsigned kind)
{
	uint64_t n = 0;

	for (int c = CALL_LOOKUP; c < CALL_FORK; c++)
		n += totals[kind].done[c];
	return n;
}

static uint64_t all_calls(void)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < nkinds; k++)
		n += calls_of(k);
	return n;
}

static uint64_t all_kills(void)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < nkinds; k++)
		n += played[k].kills;
	return n;
}

static void print_messages(void)
{
	static uint32_t printed;

	for (; printed < shared->messages && printed < 32; printed++)
		printf("FAIL %s\n", shared->message[printed]);
}

/* ---------------------------------------------------------------- rounds */

static int any(int n)
{
	return rand_r(&seed) % n;
}

static bool enough(void)
{
	return want_kills && all_kills() >= want_kills &&
	       all_calls() >= want_calls;
}

static void top_up(unsigned k)
{
	unsigned n = crowd_size(), most = crowd;

	if (kinds[k].crowd && kinds[k].crowd < most)
		most = kinds[k].crowd;
	for (int i = 0; n < most && i < 16; n++, i++)
		crowd_order(kinds[k].lanes ? k : (unsigned)any((int)mixable),
			    (unsigned)any(INT_MAX));
}

/* One, or now and then many at the same moment. */
static unsigned kill_some(void)
{
	unsigned killed = 0;

	for (int n = any(40) ? 1 : 10; n > 0; n--)
		for (int try = 0; try < 20; try++)
			if (shared->used &&
			    crowd_kill((unsigned)any((int)shared->used))) {
				killed++;
				break;
			}
	return killed;
}

static void check(unsigned k)
{
	if (crowd_settle()) {
		truth_check_exactly();
		played[k].checks++;
	}
	crowd_go_on();
}

static void play_until(unsigned k, uint64_t end)
{
	uint64_t next_check = now_ns() + 200000000, next_watch = 0;

	while (now_ns() < end && !shared->failures) {
		top_up(k);
		usleep((useconds_t)any(6000));
		if (!(kinds[k].flags & STOPS))
			played[k].kills += kill_some();
		crowd_reap();
		if (now_ns() > next_watch) {
			crowd_watch();
			next_watch = now_ns() + 200000000;
		}
		if (now_ns() > next_check) {
			check(k);
			next_check = now_ns() +
				     (uint64_t)(200 + any(600)) * 1000000;
		}
	}
	check(k);
}

static void play(unsigned k, double seconds)
{
	uint64_t start = now_ns();
	pid_t checker = truth_start_checker(), stopper = 0;
	uint32_t takeovers = shared->takeovers;
	bool unborn;

	crowd_begin(&kinds[k], plain, preload);
	if (kinds[k].flags & STOPS)
		stopper = stopped_start();
	play_until(k, start + (uint64_t)(seconds * 1e9));
	if (stopper) {
		kill(stopper, SIGKILL);
		waitpid(stopper, NULL, 0);
	}
	played[k].kills += crowd_end(&unborn) + shared->takeovers - takeovers;
	kill(checker, SIGKILL);
	waitpid(checker, NULL, 0);

	/* The time until strangers count as never born: doc/semantics.md D29 */
	if (unborn && kinds[k].flags & (PID_SPACES | UNREAPED))
		usleep(3100000);
	truth_check_exactly();
	played[k].rounds++;
	played[k].checks++;
	played[k].seconds += (double)(now_ns() - start) / 1e9;
	print_messages();
}

static bool is_played(unsigned k)
{
	if (only && strcmp(only, kinds[k].name) != 0)
		return false;
	return !(kinds[k].flags & NEEDS_ROOT) || geteuid() == 0;
}

static void play_all(double seconds)
{
	double end = (double)now_ns() / 1e9 + seconds, each;
	unsigned n = 0;

	for (unsigned k = 0; k < nkinds; k++) {
		n += is_played(k);
		if (!only && !is_played(k))
			printf("%s: skipped, needs root\n", kinds[k].name);
	}
	each = n && seconds / n < 10 ? seconds / n : 10;
	while (n && (double)now_ns() / 1e9 < end && !enough())
		for (unsigned k = 0; k < nkinds && !shared->failures; k++)
			if (is_played(k) && !enough() &&
			    (double)now_ns() / 1e9 < end)
				play(k, each);
	if (!n)
		fail("no such kind");
}

/* --------------------------------------------------------------- results */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double worst_ms(const struct totals *t, bool changing)
{
	uint64_t worst = 0;

	for (int c = CALL_LOOKUP; c < CALL_FORK; c++)
		if (call_changes((enum call)c) == changing &&
		    t->worst[c] > worst)
			worst = t->worst[c];
	return (double)worst / 1e6;
}

static void print_kinds(void)
{
	printf("%-9s%7s%7s%8s%11s%8s%11s%12s\n", "kind", "rounds", "checks",
	       "kills", "calls", "kills/s", "reads, ms", "changes, ms");
	for (unsigned k = 0; k < nkinds; k++)
		if (played[k].rounds || calls_of(k))
			printf("%-9s%7u%7u%8ju%11ju%8.0f%11.1f%12.1f\n",
			       kinds[k].name, played[k].rounds,
			       played[k].checks, (uintmax_t)played[k].kills,
			       (uintmax_t)calls_of(k),
			       played[k].rounds ? (double)played[k].kills /
							  played[k].seconds
						: 0,
			       worst_ms(&totals[k], false),
			       worst_ms(&totals[k], true));
	printf("(The longest call of each kind, of a crowd larger than the "
	       "machine;\nmixture's workers are counted with their own "
	       "kinds.)\n");
}

static void print_calls(void)
{
	for (int c = CALL_LOOKUP; c < CALLS; c++) {
		uint64_t n = 0;

		for (unsigned k = 0; k < nkinds; k++)
			n += totals[k].done[c];
		printf("%s%ju %s", c == CALL_LOOKUP ? "" : ", ", (uintmax_t)n,
		       call_names[c]);
	}
	printf("\n");
}

static void print_stops(void)
{
	uint32_t n = shared->takeovers;

	if (!shared->stops)
		return;
	if (n > sizeof(shared->takeover) / sizeof(shared->takeover[0]))
		n = sizeof(shared->takeover) / sizeof(shared->takeover[0]);
	qsort(shared->takeover, n, sizeof(shared->takeover[0]), compare);
	printf("stopped: %u times, %u with the lock; a reader of another "
	       "segment waited for it %u times, %.1f ms at most\n",
	       shared->stops, shared->held_stops, shared->reader_waits,
	       (double)shared->reader_waited / 1e6);
	if (n)
		printf("a stopped holder killed: the next change after %.1f ms "
		       "(p50), %.1f (p99), %.1f (max of %u)\n",
		       (double)shared->takeover[n / 2] / 1e6,
		       (double)shared->takeover[n * 99 / 100] / 1e6,
		       (double)shared->takeover[n - 1] / 1e6, n);
}

/* ------------------------------------------------------------------ main */

static void map_shared(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*shared)) < 0)
		exit(1);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	if (shared == MAP_FAILED)
		exit(1);
	close(fd);
}

/* Workers and nurseries are this program once more. */
static void be_another(char **argv)
{
	map_shared(argv[2], 0);
	if (strcmp(argv[1], "worker") == 0)
		worker_main(&shared->workers[atoi(argv[3])]);
	prctl(PR_SET_NAME, "nursery");
	nursery_main(atoi(argv[3]), strcmp(argv[1], "nursery") == 0);
}

/* Beside this program, if they were built. */
static void find_preload(void)
{
	static char self[PATH_MAX], other[PATH_MAX + 16],
		library[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return;
	self[n] = 0;
	slash = strrchr(self, '/');
	*slash = 0;
	snprintf(other, sizeof(other), "%s/soak-plain", self);
	snprintf(library, sizeof(library), "%s/../libushm-preload.so", self);
	if (access(other, X_OK) < 0 || access(library, R_OK) < 0) {
		printf("without the preload: it was not built\n");
		return;
	}
	plain = other;
	preload = library;
}

static void set_up(void)
{
	const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(shared_path, sizeof(shared_path), "%s/ushm-soak.%d.shared",
		 root, (int)getpid());
	map_shared(shared_path, O_CREAT | O_EXCL);
	snprintf(shared->dir, sizeof(shared->dir), "%s/ushm-soak.%d", root,
		 (int)getpid());
	snprintf(shared->proc, sizeof(shared->proc), "%s/ushm-soak.%d.proc",
		 root, (int)getpid());
	mkdir(shared->proc, 0700);
	setenv("SOAK_SHARED", shared_path, 1);
	setenv("USHM_DIR", shared->dir, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* Who has no parent any more becomes ours: then we can wait. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void clean_up(void)
{
	char command[100];

	unlink(shared_path);
	rmdir(shared->proc);
	if (shared->failures) {
		printf("left for a look: %s\n", shared->dir);
		return;
	}
	snprintf(command, sizeof(command), "rm -rf %s", shared->dir);
	if (system(command) != 0)
		printf("%s stays\n", shared->dir);
}

static int usage(void)
{
	fprintf(stderr, "usage: soak [-k KIND] [-w WORKERS] [-n KILLS -c CALLS]"
			" SECONDS [SEED]\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned first;
	double start;
	int opt;

	if (argc == 4 && argv[1][0] != '-' && strchr(argv[2], '/'))
		be_another(argv);
	while ((opt = getopt(argc, argv, "k:w:n:c:")) != -1) {
		if (opt == 'k')
			only = optarg;
		else if (opt == 'w')
			crowd = (unsigned)atoi(optarg);
		else if (opt == 'n')
			want_kills = strtoull(optarg, NULL, 10);
		else if (opt == 'c')
			want_calls = strtoull(optarg, NULL, 10);
		else
			return usage();
	}
	if (optind == argc || crowd == 0 || crowd > WORKERS / 4)
		return usage();
	first = seed = optind + 1 < argc ? (unsigned)atoi(argv[optind + 1])
					 : (unsigned)time(NULL);
	find_preload();
	set_up();
	start = (double)now_ns() / 1e9;
	play_all(atof(argv[optind]));
	print_messages();
	print_kinds();
	print_calls();
	print_stops();
	if (want_kills && !enough() && !shared->failures)
		fail("not reached: %ju kills, %ju calls", (uintmax_t)want_kills,
		     (uintmax_t)want_calls);
	print_messages();
	printf("seed %u: %ju killed, %ju calls, %ju comparisons in %.0f s, "
	       "%u failures\n",
	       first, (uintmax_t)all_kills(), (uintmax_t)all_calls(),
	       (uintmax_t)shared->comparisons, (double)now_ns() / 1e9 - start,
	       shared->failures);
	clean_up();
	return shared->failures != 0;
}
