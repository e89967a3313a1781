/* SPDX-License-Identifier: MIT */
/*
 * A namespace in hostile surroundings. Each case is an attack: what it plants,
 * and what ushm says. Afterwards nothing outside of the namespace has changed:
 * a second namespace of the victim and his files have the same content, modes
 * and times; and no call took more than 100 ms.
 *
 * The victim is root, whom no permission protects from his own mistakes.
 */
#define CHECK_MAIN
#include "support/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/step.h"
#include "store/layout.h"
#include "ushm.h"

#define KEY	7
#define SIZE	8192
#define SLOW_NS 100000000

/* ------------------------------------------------------- the surroundings */

/*
 * base/        the parent, like /tmp: mode 1777
 *   ns         the namespace under attack
 * safe/        what must not change
 *   file       the victim's, 0600
 *   ns/        another namespace, with a segment of each id that is used
 */
static char top[64], ns[80], away[80], safe[80], file[90], other[90];

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void clean(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	CHECK(system(command) == 0);
}

static const char *in(const char *dir, const char *name)
{
	static char path[4][400];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void write_file(const char *path, mode_t mode, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, "canary", 6) == 6);
	REQUIRE_OK(ftruncate(fd, size));
	REQUIRE_OK(fchmod(fd, mode));
	close(fd);
}

/* In a process of its own: what it has open must not help later. */
static void make_namespace(const char *dir)
{
	struct ushm_problem problem;
	ushm_space *sp;
	void *p;
	int id;

	if (!child())
		return;
	REQUIRE(ushm_open(dir, USHM_CREATE, NULL, &sp, &problem) == 0);
	REQUIRE(ushm_get(sp, KEY, SIZE, IPC_CREAT | 0600, &id) == 0);
	REQUIRE(ushm_attach(sp, id, NULL, 0, &p) == 0);
	strcpy(p, "canary");
	child_exit();
}

static uint64_t snapshot(void);
static uint64_t before;

static void surround(mode_t mode)
{
	strcpy(top, "/tmp/ushm-hostile.XXXXXX");
	REQUIRE(mkdtemp(top));
	atexit(clean);
	REQUIRE_OK(chmod(top, 0755));
	REQUIRE_OK(mkdir(in(top, "base"), 0700));
	REQUIRE_OK(chmod(in(top, "base"), mode));
	snprintf(ns, sizeof(ns), "%s/base/ns", top);
	snprintf(away, sizeof(away), "%s/base/away", top);
	snprintf(safe, sizeof(safe), "%s/safe", top);
	snprintf(file, sizeof(file), "%s/file", safe);
	snprintf(other, sizeof(other), "%s/ns", safe);
	REQUIRE_OK(mkdir(safe, 0700));
	write_file(file, 0600, SIZE);
	make_namespace(other);
	for (int i = 1; i < 4; i++) {
		char name[20];

		snprintf(name, sizeof(name), "seg.0.%d", i);
		write_file(in(other, name), 0600, SIZE);
	}
	before = snapshot();
}

static uint64_t mix(uint64_t sum, const void *p, size_t n)
{
	const unsigned char *s = p;

	while (n-- > 0)
		sum = (sum ^ *s++) * 1099511628211u;
	return sum;
}

static uint64_t digest(uint64_t sum, const char *path)
{
	static char buf[1 << 16];
	struct stat st;
	ssize_t n;
	int fd;

	REQUIRE_OK(lstat(path, &st));
	sum = mix(sum, &st.st_mode, sizeof(st.st_mode));
	sum = mix(sum, &st.st_uid, sizeof(st.st_uid));
	sum = mix(sum, &st.st_size, sizeof(st.st_size));
	sum = mix(sum, &st.st_mtim, sizeof(st.st_mtim));
	if (!S_ISREG(st.st_mode))
		return sum;
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, buf, sizeof(buf));
	close(fd);
	return mix(sum, buf, (size_t)n);
}

static uint64_t snapshot(void)
{
	static const char *const dirs[] = { safe, other };
	uint64_t total = 0;

	for (int i = 0; i < 2; i++) {
		DIR *list = opendir(dirs[i]);
		struct dirent *d;

		REQUIRE(list);
		while ((d = readdir(list)))
			if (strcmp(d->d_name, ".."))
				total += digest(mix(14695981039346656037u,
						    d->d_name,
						    strlen(d->d_name)),
						in(dirs[i], d->d_name));
		closedir(list);
	}
	return total;
}

static void unharmed(void)
{
	CHECK_EQ(snapshot(), before);
}

/* --------------------------------------------------------------- planting */

static void plant_symlink(const char *to, const char *at)
{
	REQUIRE_OK(symlink(to, at));
	REQUIRE_OK(lchown(at, OTHER_USER, OTHER_USER));
}

static void plant_socket(const char *at)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	REQUIRE(strlen(at) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, at);
	REQUIRE_OK(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	close(fd);
}

static void plant_device(const char *at)
{
	if (mknod(at, S_IFCHR | 0666, makedev(1, 5)) < 0)
		SKIP("no device nodes may be made");
}

/* ------------------------------------------------------------ the victim */

/* Whatever is refused must say so within SLOW_NS; the better of three. */
static int timed(int (*fn)(void))
{
	uint64_t best = UINT64_MAX;
	int r = 0;

	for (int i = 0; i < 3 && best > SLOW_NS; i++) {
		uint64_t begun = now();

		r = fn();
		if (now() - begun < best)
			best = now() - begun;
	}
	CHECK(best < SLOW_NS);
	return r;
}

static int do_open(void)
{
	struct ushm_problem problem;
	ushm_space *sp;
	int r = ushm_open(ns, USHM_CREATE, NULL, &sp, &problem);

	if (r < 0)
		CHECK(problem.error == -r && strstr(problem.text, ns));
	else
		ushm_close(sp);
	return r;
}

/* Opening is refused with 'error', 0: it works. */
static void opens_with(int error)
{
	if (child()) {
		CHECK_EQ(timed(do_open), -error);
		child_exit();
	}
	unharmed();
}

#define ATTACK(name) CASE_IF("hostile", NEEDS_ROOT, name)
#define REFUSED(name, error, plant) \
	ATTACK(name)                \
	{                           \
		surround(01777);    \
		plant;              \
		opens_with(error);  \
	}

/* ------------------------------------------------ instead of the directory */

REFUSED(directory_is_a_link_to_another_namespace, ELOOP,
	plant_symlink(other, ns))
REFUSED(directory_is_a_link_to_nothing, ELOOP,
	plant_symlink(in(safe, "new"), ns))
REFUSED(directory_is_a_link_to_a_file, ELOOP, plant_symlink(file, ns))
REFUSED(directory_is_a_fifo, ENOTDIR, REQUIRE_OK(mkfifo(ns, 0666)))
REFUSED(directory_is_a_socket, ENOTDIR, plant_socket(ns))
REFUSED(directory_is_a_file, ENOTDIR, write_file(ns, 0666, 100))
REFUSED(directory_is_a_device, ENOTDIR, plant_device(ns))

static void plant_foreign_directory(mode_t mode)
{
	if (child_as(OTHER_USER, OTHER_USER)) {
		REQUIRE_OK(mkdir(ns, mode));
		REQUIRE_OK(chmod(ns, mode));
		child_exit();
	}
}

REFUSED(directory_is_the_attackers, EACCES, plant_foreign_directory(0777))

static void plant_foreign_namespace(void)
{
	if (child_as(OTHER_USER, OTHER_USER)) {
		REQUIRE(do_open() == 0);
		REQUIRE_OK(chmod(ns, 0755));
		child_exit();
	}
}

REFUSED(directory_is_a_namespace_of_the_attackers, EACCES,
	plant_foreign_namespace())

static void namespace_of_mode(mode_t mode)
{
	make_namespace(ns);
	REQUIRE_OK(chmod(ns, mode));
}

REFUSED(directory_became_writable_by_the_group, EACCES, namespace_of_mode(0770))
REFUSED(directory_became_sticky_and_writable, EACCES, namespace_of_mode(01777))

/* ------------------------------------------------- instead of the registry */

static const char *registry(void)
{
	return in(ns, "registry.0");
}

/* The directory was writable once, and something is left of that time. */
static const char *no_registry(void)
{
	make_namespace(ns);
	REQUIRE_OK(unlink(registry()));
	return registry();
}

REFUSED(registry_is_a_link_to_another, ELOOP,
	plant_symlink(in(other, "registry.0"), no_registry()))
REFUSED(registry_is_a_link_to_nothing, ELOOP,
	plant_symlink(in(safe, "new"), no_registry()))
REFUSED(registry_is_a_fifo, EPROTO, REQUIRE_OK(mkfifo(no_registry(), 0600)))
REFUSED(registry_is_a_socket, ENXIO, plant_socket(no_registry()))
REFUSED(registry_is_a_directory, EISDIR, REQUIRE_OK(mkdir(no_registry(), 0700)))
REFUSED(registry_is_a_device, EPROTO, plant_device(no_registry()))
REFUSED(registry_is_a_name_of_a_file_of_ours, EPROTO,
	REQUIRE_OK(link(file, no_registry()));
	before = snapshot())

static void make_sparse(off_t size)
{
	write_file(no_registry(), 0600, size);
}

REFUSED(registry_is_huge_and_empty, EPROTO, make_sparse((off_t)1 << 40))

static void patch(size_t offset, const void *value, size_t size)
{
	int fd;

	make_namespace(ns);
	fd = open(registry(), O_WRONLY);
	REQUIRE(pwrite(fd, value, size, (off_t)offset) == (ssize_t)size);
	close(fd);
}

REFUSED(registry_promises_more_than_it_has, EPROTO,
	patch(offsetof(struct layout_header, segments.capacity),
	      &(uint32_t){ 1u << 24 }, 4))

static void give_registry_away(void)
{
	make_namespace(ns);
	REQUIRE_OK(chown(registry(), OTHER_USER, OTHER_USER));
}

REFUSED(registry_is_the_attackers, EACCES, give_registry_away())

static void open_registry_to_all(void)
{
	make_namespace(ns);
	REQUIRE_OK(chmod(registry(), 0666));
}

REFUSED(registry_is_writable_by_all, EACCES, open_registry_to_all())

/* The name that the next maker will use is a link. */
static void plant_temporary(int kind)
{
	char name[40];

	REQUIRE_OK(mkdir(ns, 0700));
	if (!child())
		return;
	snprintf(name, sizeof(name), "registry.0.new-%d", (int)getpid());
	if (kind == 0)
		plant_symlink(file, in(ns, name));
	else if (kind == 1)
		REQUIRE_OK(mkfifo(in(ns, name), 0666));
	else
		REQUIRE_OK(mkdir(in(ns, name), 0700));
	CHECK_EQ(timed(do_open), kind == 2 ? -EEXIST : 0);
	child_exit();
}

ATTACK(temporary_registry_is_a_link)
{
	surround(01777);
	plant_temporary(0);
	unharmed();
}

ATTACK(temporary_registry_is_a_fifo)
{
	surround(01777);
	plant_temporary(1);
	unharmed();
}

ATTACK(temporary_registry_is_a_directory)
{
	surround(01777);
	plant_temporary(2);
	unharmed();
}

/* -------------------------------------------------- instead of a segment */

static ushm_space *space;
static int attach_flags;

static int do_attach(void)
{
	void *p;
	int r = ushm_attach(space, 0, NULL, attach_flags, &p);

	if (r == 0)
		*(char *)p = 'X';
	return r;
}

static int do_create(void)
{
	void *p;
	int id, r = ushm_get(space, IPC_PRIVATE, SIZE, 0600, &id);

	if (r < 0)
		return r;
	CHECK_EQ(ushm_attach(space, id, NULL, 0, &p), 0);
	strcpy(p, "mine");
	CHECK_EQ(ushm_detach(space, p), 0);
	return 0;
}

static int do_remove(void)
{
	return ushm_remove(space, 0);
}

static void open_space(void)
{
	struct ushm_problem problem;

	REQUIRE(ushm_open(ns, 0, NULL, &space, &problem) == 0);
}

/* Attaching the planted thing is EIDRM; creating and removing go on. */
static void segment_refused(void)
{
	if (child()) {
		open_space();
		CHECK_EQ(timed(do_attach), -EIDRM);
		attach_flags = SHM_RDONLY;
		CHECK_EQ(timed(do_attach), -EIDRM);
		CHECK_EQ(timed(do_create), 0);
		CHECK_EQ(do_remove(), 0);
		child_exit();
	}
	unharmed();
}

static const char *no_segment(void)
{
	surround(01777);
	make_namespace(ns);
	REQUIRE_OK(unlink(in(ns, "seg.0.0")));
	return in(ns, "seg.0.0");
}

#define SEGMENT(name, plant)       \
	ATTACK(name)               \
	{                          \
		plant;             \
		segment_refused(); \
	}

SEGMENT(segment_is_a_link_to_another, {
	const char *at = no_segment();

	plant_symlink(in(other, "seg.0.0"), at);
})
SEGMENT(segment_is_a_fifo, REQUIRE_OK(mkfifo(no_segment(), 0600)))
SEGMENT(segment_is_a_socket, plant_socket(no_segment()))
SEGMENT(segment_is_a_directory, REQUIRE_OK(mkdir(no_segment(), 0700)))
SEGMENT(segment_is_a_device, plant_device(no_segment()))
SEGMENT(segment_is_truncated, write_file(no_segment(), 0600, 10))
SEGMENT(segment_is_a_name_of_a_file_of_ours, {
	const char *at = no_segment();

	REQUIRE_OK(link(file, at));
	before = snapshot();
})
SEGMENT(segment_is_the_attackers, {
	const char *at = no_segment();

	write_file(at, 0666, SIZE);
	REQUIRE_OK(chown(at, OTHER_USER, OTHER_USER));
})

/* What the next segment's file would be called. */
static void next_segment(int kind)
{
	const char *at;

	surround(01777);
	make_namespace(ns);
	at = in(ns, "seg.0.1");
	if (kind == 0)
		plant_symlink(file, at);
	else if (kind == 1)
		REQUIRE_OK(mkfifo(at, 0666));
	else
		REQUIRE_OK(mkdir(at, 0700));
	if (child()) {
		open_space();
		CHECK_EQ(timed(do_create), kind == 2 ? -ENOMEM : 0);
		child_exit();
	}
	unharmed();
}

ATTACK(next_segment_is_a_link)
{
	next_segment(0);
}

ATTACK(next_segment_is_a_fifo)
{
	next_segment(1);
}

ATTACK(next_segment_is_a_directory)
{
	next_segment(2);
}

/* No attack that could be fended off: what the same user can do. */
ATTACK(truncated_by_the_same_user_is_sigbus)
{
	volatile char *p;
	int status;
	pid_t pid;
	void *at;

	surround(01777);
	make_namespace(ns);
	pid = fork();
	if (pid == 0) {
		open_space();
		REQUIRE(ushm_attach(space, 0, NULL, 0, &at) == 0);
		REQUIRE_OK(truncate(in(ns, "seg.0.0"), 0));
		p = at;
		p[0] = 1;
		child_exit();
	}
	status = wait_status(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	unharmed();
}

/* ------------------------------------------------------------------ races */

/*
 * Names are replaced while the victim is at work: before his N-th system call,
 * for N = 1, 2, ...; for good, or for that call alone.
 */
static struct {
	long at, calls;
	bool once; /* for one call alone */
	bool is_out;
	void (*replace)(void), (*restore)(void);
} swap;

static long on_call(long n, long a, long b)
{
	(void)n;
	(void)a;
	(void)b;
	swap.calls++;
	if (swap.calls == swap.at) {
		swap.replace();
		swap.is_out = true;
	} else if (swap.is_out && swap.once) {
		swap.restore();
		swap.is_out = false;
	}
	return 0;
}

static void work(bool open_first)
{
	struct ushm_problem problem;
	struct ushm_segment seg;
	ushm_space *sp = NULL;
	int id = -1;
	void *p;

	if (open_first)
		REQUIRE(ushm_open(ns, 0, NULL, &sp, &problem) == 0);
	ushm_call_hook = on_call;
	if (!sp && ushm_open(ns, USHM_CREATE, NULL, &sp, &problem) < 0)
		return;
	for (int i = 0; i < 3; i++) {
		if (ushm_get(sp, KEY + i, SIZE, IPC_CREAT | 0600, &id) < 0)
			continue;
		for (int again = 0; again < 3; again++) {
			if (ushm_attach(sp, id, NULL, 0, &p) < 0)
				continue;
			memset(p, 'X', SIZE);
			CHECK_EQ(ushm_detach(sp, p), 0);
		}
		ushm_stat(sp, id, &seg);
		CHECK_EQ(ushm_remove(sp, id), 0);
	}
}

static void race(bool open_first, void (*replace)(void), void (*restore)(void))
{
	bool again = true;
	struct peer peer;
	uint64_t begun;
	char byte;

	for (long n = 1; again; n++) {
		for (int once = 0; once < 2; once++) {
			if (access(ns, F_OK) < 0)
				make_namespace(ns);
			if (peer_start(&peer)) {
				swap.at = n;
				swap.once = once;
				swap.replace = replace;
				swap.restore = restore;
				begun = now();
				work(open_first);
				CHECK(now() - begun < 10 * SLOW_NS);
				ushm_call_hook = NULL;
				if (swap.is_out)
					restore();
				if (swap.calls >= n)
					peer_say(&peer);
				child_exit();
			}
			again = read(peer.fd, &byte, 1) == 1;
			peer_join(&peer);
		}
	}
	unharmed();
}

/* The parent is writable, and not sticky: the attacker may rename ns away. */
static void link_in(void)
{
	CHECK_OK(rename(ns, away));
	CHECK_OK(symlink(other, ns));
}

static void link_out(void)
{
	CHECK_OK(unlink(ns));
	CHECK_OK(rename(away, ns));
}

ATTACK(directory_is_swapped_for_a_link)
{
	surround(0777);
	make_namespace(ns);
	race(false, link_in, link_out);
}

ATTACK(directory_is_swapped_for_a_link_after_it_was_opened)
{
	surround(0777);
	make_namespace(ns);
	race(true, link_in, link_out);
}

/* With links to the victim's file under the names that he may use. */
static void own_in(void)
{
	char name[20];

	CHECK_OK(rename(ns, away));
	CHECK_OK(mkdir(ns, 0777));
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "seg.0.%d", i);
		CHECK_OK(symlink(file, in(ns, name)));
	}
	CHECK_OK(chown(ns, OTHER_USER, OTHER_USER));
}

static void own_out(void)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -rf %s", ns);
	CHECK_EQ(system(command), 0);
	CHECK_OK(rename(away, ns));
}

ATTACK(directory_is_swapped_for_the_attackers)
{
	surround(0777);
	make_namespace(ns);
	race(false, own_in, own_out);
}

/* Another namespace of the victim's lies beside the first. */
static char second[90];

static void second_in(void)
{
	CHECK_OK(rename(ns, away));
	CHECK_OK(rename(second, ns));
}

static void second_out(void)
{
	CHECK_OK(rename(ns, second));
	CHECK_OK(rename(away, ns));
}

ATTACK(directory_is_swapped_for_another_of_ours)
{
	uint64_t segment, list;

	surround(0777);
	make_namespace(ns);
	snprintf(second, sizeof(second), "%s/base/second", top);
	make_namespace(second);
	segment = digest(0, in(second, "seg.0.0"));
	list = digest(0, second);
	race(true, second_in, second_out);
	CHECK_EQ(digest(0, in(second, "seg.0.0")), segment);
	CHECK_EQ(digest(0, second), list);
}

/* All files of the directory whose name begins so. */
static void files_in(const char *prefix, const char *to)
{
	DIR *list = opendir(ns);
	struct dirent *d;
	char keep[300];

	while (list && (d = readdir(list))) {
		if (strncmp(d->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(keep, sizeof(keep), "kept.%s", d->d_name);
		CHECK_OK(rename(in(ns, d->d_name), in(ns, keep)));
		CHECK_OK(symlink(to, in(ns, d->d_name)));
	}
	if (list)
		closedir(list);
}

static void files_out(void)
{
	DIR *list = opendir(ns);
	struct dirent *d;

	while (list && (d = readdir(list)))
		if (strncmp(d->d_name, "kept.", 5) == 0)
			rename(in(ns, d->d_name), in(ns, d->d_name + 5));
	if (list)
		closedir(list);
}

static void registry_in(void)
{
	files_in("registry.", in(other, "registry.0"));
}

static void segments_in(void)
{
	files_in("seg.", file);
}

ATTACK(registry_is_swapped_for_a_link)
{
	surround(01777);
	make_namespace(ns);
	race(false, registry_in, files_out);
}

ATTACK(new_registry_is_swapped_for_a_link)
{
	surround(01777);
	REQUIRE_OK(mkdir(ns, 0700));
	race(false, registry_in, files_out);
}

ATTACK(segments_are_swapped_for_links)
{
	surround(01777);
	make_namespace(ns);
	race(false, segments_in, files_out);
}

/* ------------------------------------------------------ the default place */

static int do_open_default(void)
{
	struct ushm_problem problem;
	ushm_space *sp;

	return ushm_open(NULL, USHM_CREATE, NULL, &sp, &problem);
}

/* /dev/shm and /tmp of our own; what is refused in one is not evaded. */
static void default_place(void (*plant)(void), int error)
{
	surround(01777);
	unsetenv("USHM_DIR");
	if (child()) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("ushm", "/dev/shm", "tmpfs", 0, "mode=1777") < 0)
			SKIP("no mount namespace of our own");
		plant();
		CHECK_EQ(timed(do_open_default), -error);
		CHECK(access("/tmp/ushm-0/registry.0", F_OK) < 0);
		child_exit();
	}
	unharmed();
}

static void plant_default_directory(void)
{
	strcpy(ns, "/dev/shm/ushm-0");
	plant_foreign_directory(0777);
}

ATTACK(default_directory_was_made_by_the_attacker)
{
	default_place(plant_default_directory, EACCES);
}

static void plant_default_link(void)
{
	plant_symlink(other, "/dev/shm/ushm-0");
}

ATTACK(default_directory_is_a_link)
{
	default_place(plant_default_link, ELOOP);
}

static void plant_default_fifo(void)
{
	REQUIRE_OK(mkfifo("/dev/shm/ushm-0", 0666));
}

ATTACK(default_directory_is_a_fifo)
{
	default_place(plant_default_fifo, ENOTDIR);
}

/* ------------------------------------------------------------ set-user-ID */

PROGRAM(which_directory)
{
	struct ushm_problem problem;
	ushm_space *sp;
	char want[40];

	(void)argc;
	(void)argv;
	if (ushm_open(NULL, USHM_CREATE, NULL, &sp, &problem) < 0)
		return 2;
	snprintf(want, sizeof(want), "/dev/shm/ushm-%u", (unsigned)geteuid());
	return geteuid() == OTHER_USER && strcmp(ushm_dir(sp), want) == 0 ? 0
									  : 1;
}

ATTACK(environment_of_a_set_user_id_program_is_ignored)
{
	char copy[500], command[5000];

	surround(01777);
	strcpy(copy, in(top, "copy"));
	snprintf(command, sizeof(command), "cp %s %s", check_self(), copy);
	REQUIRE(system(command) == 0);
	REQUIRE_OK(chown(copy, OTHER_USER, OTHER_USER));
	REQUIRE_OK(chmod(copy, 04755));
	if (child()) {
		char *argv[] = CHECK_ARGV("which_directory", NULL, NULL);

		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("ushm", "/dev/shm", "tmpfs", 0, "mode=1777") < 0)
			SKIP("no mount namespace of our own");
		/* A directory that the program's user could use. */
		REQUIRE_OK(mkdir(ns, 0700));
		REQUIRE_OK(chown(ns, OTHER_USER, OTHER_USER));
		setenv("USHM_DIR", ns, 1);
		execv(copy, argv);
		child_exit();
	}
	unharmed();
}
