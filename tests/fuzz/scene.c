/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "base/step.h"
#include "core/process.h"
#include "watch.h"

#define MAX_IMAGES 16
#define MAX_FILES  16

struct scene scene;

static unsigned char *images[MAX_IMAGES];
static struct robust_list_head *robust; /* of this thread */
static struct {
	char name[32];
	off_t size;
} files[MAX_FILES];
static unsigned nfiles;

static void broken(const char *what)
{
	perror(what);
	_exit(1);
}

/* ------------------------------------------------------------ the actors */

static ushm_space *open_space(void)
{
	struct ushm_options shape = {
		SCENE_SEGMENTS, SCENE_PROCS, SCENE_ATTACHES, { 0 }
	};
	struct ushm_problem problem;
	ushm_space *sp;

	if (ushm_open(scene.dir, USHM_CREATE, &shape, &sp, &problem) < 0)
		broken(problem.text);
	return sp;
}

static int get(ushm_space *sp, key_t key, size_t size, int flags)
{
	int id;

	return ushm_get(sp, key, size, flags | 0600, &id) < 0 ? -1 : id;
}

static void attach(ushm_space *sp, key_t key)
{
	void *p;

	if (ushm_attach(sp, get(sp, key, 0, 0), NULL, 0, &p) < 0)
		broken("attach");
}

/* Lives, and has a bit of everything. */
static void act_living(ushm_space *sp)
{
	int id;

	get(sp, 1, 4096, IPC_CREAT);
	get(sp, 2, 10000, IPC_CREAT);
	id = get(sp, 3, 4096, IPC_CREAT);
	get(sp, IPC_PRIVATE, 65536, 0);
	ushm_lock(sp, get(sp, 4, 8192, IPC_CREAT), 1);
	attach(sp, 1);
	attach(sp, 1);
	attach(sp, 2);
	attach(sp, 3);
	ushm_remove(sp, id);
	process_before_fork(); /* and stays there */
}

static void act_attach(ushm_space *sp)
{
	attach(sp, 1);
	attach(sp, 2);
}

static void act_create(ushm_space *sp)
{
	get(sp, 5, 4096, IPC_CREAT);
}

static void act_remove(ushm_space *sp)
{
	ushm_remove(sp, get(sp, 4, 0, 0));
}

static void act_set(ushm_space *sp)
{
	ushm_set(sp, get(sp, 2, 0, 0), 0, 0, 0640);
}

static void act_detach(ushm_space *sp)
{
	void *p;

	ushm_attach(sp, get(sp, 1, 0, 0), NULL, 0, &p);
	ushm_detach(sp, p);
}

static void act_fork(ushm_space *sp)
{
	attach(sp, 1);
	process_before_fork();
}

/* Who is killed where; each finds what the living and the dead have left. */
static const struct death {
	void (*act)(ushm_space *sp);
	const char *step;
	int times; /* it comes there */
} deaths[] = {
	{ act_attach, "ledger: condemned", 1 },
	{ act_attach, "ledger: swept a record", 1 },
	{ act_attach, "procs: claiming", 1 },
	{ act_set, "lock: value stored", 21 },
	{ act_detach, "lock: value stored", 40 },
	{ act_remove, "lock: committed", 3 },
	{ act_remove, "sweep: file destroyed", 1 },
	{ act_create, "segment: reserved", 1 },
	{ act_create, "segment: file made", 1 },
	{ act_fork, "process: ready to fork", 1 },
};
#define DEATHS (sizeof(deaths) / sizeof(deaths[0]))

static const struct death *dying;
static int came;

static void die_there(const char *name)
{
	if (strcmp(name, dying->step) == 0 && ++came == dying->times)
		kill(getpid(), SIGKILL);
}

static int play(const struct death *d)
{
	int pid = fork(), status = 0;

	if (pid == 0) {
		dying = d;
		ushm_step_hook = die_there;
		d->act(open_space());
		fprintf(stderr, "came to '%s' %d times\n", d->step, came);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		broken("fork");
	if (!WIFSIGNALED(status))
		exit(1);
	return pid;
}

/* ------------------------------------------------------------- its files */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static void remove_dir(const char *dir)
{
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Of the maps of the living process the line that somebody may look for. */
static void list_maps(void)
{
	char line[600];
	FILE *from, *to;

	snprintf(line, sizeof(line), "/proc/%d/maps", scene.living);
	from = fopen(line, "re");
	to = fopen(scene.maps, "we");
	if (!from || !to)
		broken(scene.maps);
	while (fgets(line, sizeof(line), from))
		if (strstr(line, "/registry."))
			fputs(line, to);
	fclose(from);
	fclose(to);
}

static void list_processes(void)
{
	const int pids[] = { getpid(), scene.living, scene.dead };
	char path[200];
	int fd;

	snprintf(scene.maps, sizeof(scene.maps), "%s/maps", scene.procs);
	list_maps();

	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
		snprintf(path, sizeof(path), "%s/%d", scene.procs, pids[i]);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			broken(path);
		close(fd);
	}
}

/* Those of all images: one too many does no harm. */
static void note_files(void)
{
	struct dirent *e;
	char path[400];
	struct stat st;
	DIR *d = opendir(scene.dir);

	while (d && (e = readdir(d))) {
		unsigned i = 0;

		if (strncmp(e->d_name, "seg.", 4) != 0)
			continue;
		while (i < nfiles && strcmp(files[i].name, e->d_name) != 0)
			i++;
		if (i < nfiles || nfiles == MAX_FILES)
			continue;
		snprintf(path, sizeof(path), "%s/%s", scene.dir, e->d_name);
		if (stat(path, &st) < 0)
			broken(path);
		snprintf(files[i].name, sizeof(files[i].name), "%.31s",
			 e->d_name);
		files[i].size = st.st_size;
		nfiles++;
	}
	if (d)
		closedir(d);
}

static void restore_files(void)
{
	char path[400];
	struct dirent *e;
	DIR *d = opendir(scene.dir);

	while (d && (e = readdir(d))) {
		unsigned i = 0;

		if (e->d_name[0] == '.' ||
		    strncmp(e->d_name, "registry.", 9) == 0)
			continue;
		while (i < nfiles && strcmp(files[i].name, e->d_name) != 0)
			i++;
		snprintf(path, sizeof(path), "%s/%s", scene.dir, e->d_name);
		if (i == nfiles && unlink(path) < 0)
			(void)rmdir(path);
	}
	if (d)
		closedir(d);
	for (unsigned i = 0; i < nfiles; i++) {
		struct stat st;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", scene.dir, files[i].name);
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    st.st_size == files[i].size && (st.st_mode & 0600) == 0600)
			continue;
		if (unlink(path) < 0)
			(void)rmdir(path);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, files[i].size) < 0)
			broken(path);
		close(fd);
	}
	watch.dir_changed = false;
}

#define HEADS 16

/* Where heads of a table are that are in use in the busy image. */
struct heads {
	size_t at[HEADS];
	unsigned n;
};

static struct heads key_heads, addr_heads;

static void find_heads(const struct layout_array *a, struct heads *ret)
{
	const uint32_t *heads = (const void *)(images[1] + a->offset);

	for (uint32_t i = 0; i < a->capacity && ret->n < HEADS; i++)
		if (heads[i])
			ret->at[ret->n++] = a->offset + i * 4;
}

/* ---------------------------------------------------------------- making */

static void snapshot(void)
{
	unsigned char *copy = malloc(scene.size);

	if (!copy)
		broken("malloc");
	memcpy(copy, scene.file, scene.size);
	images[scene.nimages++] = copy;
	note_files();
}

/* Also removes the directory, as soon as this process has ended. */
static void start_living(void)
{
	int ready[2], end[2];
	char c;

	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
		broken("pipe");
	scene.living = fork();
	if (scene.living == 0) {
		close(end[1]);
		close(ready[0]);
		setsid();
		act_living(open_space());
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		while (read(end[0], &c, 1) < 0)
			;
		remove_dir(scene.dir);
		remove_dir(scene.procs);
		_exit(0);
	}
	close(ready[1]);
	close(end[0]);
	if (scene.living < 0 || read(ready[0], &c, 1) != 1)
		broken("the living process");
	close(ready[0]);
}

static void map_registry(void)
{
	struct stat st;
	int fd;

	snprintf(scene.registry, sizeof(scene.registry), "%s/registry.%u",
		 scene.dir, (unsigned)geteuid());
	fd = open(scene.registry, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		broken(scene.registry);
	scene.size = (size_t)st.st_size;
	scene.file = mmap(NULL, scene.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);
	if (scene.file == MAP_FAILED)
		broken("mmap");
	close(fd);
}

void scene_make(void)
{
	static const struct death attached = { act_attach, "attach: recorded",
					       2 };
	ushm_space *sp;
	size_t size;
	uint32_t cursor = 0;
	struct ushm_segment seg;

	snprintf(scene.dir, sizeof(scene.dir), "%s/ushm-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(scene.dir))
		broken(scene.dir);
	snprintf(scene.procs, sizeof(scene.procs), "%s.proc", scene.dir);
	if (mkdir(scene.procs, 0700) < 0)
		broken(scene.procs);

	/* A space has its memory for good: before anything is watched. */
	sp = open_space();
	map_registry();
	snapshot();
	start_living();
	scene.dead = play(&attached);
	list_processes();
	snapshot();
	find_heads(&((struct layout_header *)(void *)scene.file)->key_heads,
		   &key_heads);
	find_heads(&((struct layout_header *)(void *)scene.file)->addr_heads,
		   &addr_heads);
	for (size_t i = 0; i < DEATHS; i++) {
		scene_restore(1);
		play(&deaths[i]);
		snapshot();
	}

	scene_restore(1);
	while (ushm_next(sp, &cursor, &seg) == 1)
		scene.ids[scene.nids++] = seg.id;
	scene_close(sp);
	if (syscall(SYS_get_robust_list, 0, &robust, &size) < 0)
		broken("get_robust_list");
}

const char *scene_instead(const char *path)
{
	const char *number = strncmp(path, "/proc", 5) == 0 ? path + 5 : "";
	size_t n = strlen(path);

	if (strcmp(path, "/proc") == 0)
		return scene.procs;
	if (*number == '/' && atoi(number + 1) == scene.living && n > 5 &&
	    strcmp(path + n - 5, "/maps") == 0)
		return scene.maps;
	return NULL;
}

void scene_restore(unsigned image)
{
	if (watch.dir_changed || scene.nimages < DEATHS + 2)
		restore_files();
	memcpy(scene.file, images[image % scene.nimages], scene.size);
}

void scene_close(ushm_space *space)
{
	struct space *sp = (struct space *)space;

	/* Our life word is in the image, which is about to be overwritten. */
	if (robust)
		robust->list.next = &robust->list;
	sp->me = 0;
	sp->has_child = false;
	sp->look_from = sp->asked_slot = 0;
	sp->asked_claim = 0;
	sp->asked_at = 0;
	sp->low = UINTPTR_MAX;
	sp->high = 0;
	memset(sp->handles, 0, sizeof(sp->handles));
	sp->next_handle = 0;
	ushm_close(space);
}

/* ---------------------------------------------------------------- damage */

static size_t place(unsigned where, unsigned index, unsigned field)
{
	/* Where things are by the image: the header may be damaged already. */
	const struct layout_header *h = (const void *)images[0];

	switch (where % 8) {
	case 0:
		return field * 4 % offsetof(struct layout_header, undo);
	case 1:
		return h->segments.offset +
		       index % (index < 192 ? 8 : SCENE_SEGMENTS) *
			       sizeof(struct layout_segment) +
		       field % 32 * 4;
	case 2:
		return h->procs.offset +
		       index % (index < 192 ? 6 : SCENE_PROCS) *
			       sizeof(struct layout_proc) +
		       field % 32 * 4;
	case 3:
		return h->attaches.offset +
		       index % (index < 192 ? 12 : SCENE_ATTACHES) *
			       sizeof(struct layout_attach) +
		       field % 24 * 4;
	case 4:
		return key_heads.at[index % key_heads.n];
	case 5:
		return addr_heads.at[index % addr_heads.n];
	case 6:
		return h->bitmap.offset;
	default:
		return offsetof(struct layout_header, undo_count) +
		       (field & 128 ? field % 6 * 4
				    : 24 + index % 16 * 16 + field % 4 * 4);
	}
}

static uint64_t value_of(unsigned kind, uint32_t raw, uint64_t before)
{
	const int pids[] = { scene.living, scene.dead, getpid(), 0, 1, -1 };

	switch (kind % 8) {
	case 0:
		return raw;
	case 1:
		return raw % 16;
	case 2:
		return ~(uint64_t)(raw % 4);
	case 3: /* a pid, and in 64 bits a claim */
		return (uint64_t)(uint32_t)pids[raw % 6] << 32 |
		       (raw >> 8 & 0xff00) | (raw >> 8 & 7);
	case 4:
		return before + raw;
	case 5:
		return before ^ UINT64_C(1) << raw % 64;
	case 6: /* an offset */
		return raw % (scene.size / 4) * 4;
	default:
		return (uint64_t)raw << 32 | raw;
	}
}

void scene_damage(uint64_t patch)
{
	unsigned where = patch & 0xff, index = patch >> 8 & 0xff;
	unsigned field = patch >> 16 & 0xff, kind = patch >> 24 & 0xff;
	size_t at = place(where, index, field);
	size_t width = kind & 8 && at % 8 == 0 ? 8 : 4;
	uint64_t value = 0;

	memcpy(&value, scene.file + at, width);
	value = value_of(kind, (uint32_t)(patch >> 32), value);
	if (kind % 8 == 3 && width == 4)
		value >>= 32;
	memcpy(scene.file + at, &value, width);
}
