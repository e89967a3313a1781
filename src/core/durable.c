/* SPDX-License-Identifier: MIT */
/*
 * Owns the door of a durable namespace: is a directory one, who uses it, and
 * where is it being worked in.
 *
 * The directory on disk has a marker, "durable"; bytes of it are locked, by
 * locks that belong to an open file description:
 *
 *   OPENING   by who opens the namespace, until it is open
 *   IN_USE    shared by all who have it open. The description is kept by a
 *             mapping of the marker's first page and not by a descriptor, so
 *             nothing stands open in the program, its children inherit it, and
 *             the kernel lets go of it with the last of them, also at execve()
 *   CHANGING  by who changes records: durable_change.c
 *
 * "work" in it says which directory, of which boot, it is being worked in.
 *
 * Invariant: while anybody has the namespace open, "work" names the directory
 * that he works in. It is written last, when that directory is complete, and
 * removed first, before another one is begun, for which IN_USE must be
 * nobody's. So two systems, or containers with a /dev/shm each, that share the
 * disk cannot both work in it: the second is refused while the first lives.
 * Crash: who dies within OPENING leaves no "work", or one that is right. The
 * next one restores from the beginning.
 */
#include "core/durable.h"

#include <string.h>

#include "base/signals.h"
#include "base/step.h"
#include "store/header.h"

#define POLL_NS	 2000000L
#define PATIENCE INT64_C(2000000000) /* for the dying to be gone */

#define PREFIX "ushm-durable-"

static const char *const roots[] = { "/dev/shm/", "/tmp/" };

static int refuse(struct text *why, int r, const char *what)
{
	text_str(why, what);
	return r;
}

/* ----------------------------------------------------------------- locks */

static void pause_a_little(void)
{
	uint32_t nobody = 0;

	(void)sys_futex_wait(&nobody, 0, POLL_NS);
}

int durable_lock(int marker, short type, unsigned byte, const uint64_t *signals)
{
	int r;

	while ((r = sys_lock(marker, type, byte, 1, false)) == -EAGAIN) {
		pause_a_little();
		signals_obey(signals);
	}
	return r;
}

/* Nobody uses it? They may be dying just now. */
static int lock_unused(int marker)
{
	int64_t begun = sys_monotonic_ns();
	int r;

	while ((r = sys_lock(marker, F_WRLCK, DURABLE_IN_USE, 1, false)) ==
		       -EAGAIN &&
	       sys_monotonic_ns() - begun < PATIENCE)
		pause_a_little();
	return r;
}

/* ---------------------------------------------------------------- marker */

static int marker_open(int dir)
{
	return sys_openat(dir, "durable",
			  O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
}

/* A file of somebody else's that we would remove, or read. Our own are there
 * where only the marker was lost. */
static bool is_taken(int dir, const char *name, uint64_t magic, size_t size)
{
	union {
		struct record_head head;
		struct record_work work;
		struct record_limits limits;
	} any;
	int r = record_read(dir, name, magic, &any.head, size);

	return r < 0 && r != -ENOENT;
}

/* The directory may be a new one: its name, too, outlives a power cut. */
static int flush_own_name(int dir)
{
	int above = sys_openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int r;

	if (above < 0)
		return above;
	r = record_flush_names(above);
	(void)sys_close(above);
	return r == -EACCES ? 0 : r; /* that is as far as we can do it */
}

static int marker_make(int dir, uint32_t uid,
		       const struct registry_shape *shape, struct text *why)
{
	struct record_marker m = { .max_segments = shape->max_segments,
				   .max_procs = shape->max_procs,
				   .max_attaches = shape->max_attaches };
	struct geometry g;
	struct sys_stat st;
	char name[24];
	int r;

	registry_name(uid, name, sizeof(name));
	if (sys_stat(dir, name, AT_SYMLINK_NOFOLLOW, &st) == 0)
		return refuse(why, -EEXIST,
			      "has a namespace that is not durable");
	if (is_taken(dir, "work", RECORD_WORK, sizeof(struct record_work)))
		return refuse(why, -EEXIST,
			      "has a file work that is not ushm's");
	if (is_taken(dir, "limits", RECORD_LIMITS,
		     sizeof(struct record_limits)))
		return refuse(why, -EEXIST,
			      "has a file limits that is not ushm's");
	m.max_segments = m.max_segments ?: HEADER_SEGMENTS;
	m.max_procs = m.max_procs ?: HEADER_PROCS;
	m.max_attaches = m.max_attaches ?: HEADER_ATTACHES;
	if (!header_geometry(&(struct registry_shape){ m.max_segments,
						       m.max_procs,
						       m.max_attaches },
			     &g))
		return refuse(why, -EINVAL,
			      "cannot be made with these capacities");
	r = flush_own_name(dir);
	if (r == 0)
		r = record_create(dir, "durable", RECORD_MARKER, &m.head,
				  sizeof(m));
	if (r < 0 && r != -EEXIST)
		return refuse(why, r, "cannot be made durable");
	return 0;
}

/* ------------------------------------------------- the working directory */

const char *durable_work_root(unsigned i)
{
	return i < sizeof(roots) / sizeof(roots[0]) ? roots[i] : NULL;
}

bool durable_work_parse(const char *name, uint32_t *ret_uid,
			struct sys_identity *ret_disk)
{
	const char *end = name + strlen(name);
	uint64_t uid, born;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	name += strlen(PREFIX);
	if (!text_parse(&name, end, 10, &uid) || *name++ != '.' ||
	    !text_parse(&name, end, 16, &ret_disk->dev) || *name++ != '-' ||
	    !text_parse(&name, end, 16, &ret_disk->ino) || *name++ != '-' ||
	    !text_parse(&name, end, 16, &born) || *name)
		return false;
	*ret_uid = (uint32_t)uid;
	ret_disk->born = (int64_t)born;
	return true;
}

bool durable_work_path(const struct durable_door *door, unsigned i,
		       char buf[DURABLE_WORK_ROOM])
{
	const char *root = durable_work_root(i);
	struct text t;

	if (!root)
		return false;
	text_init(&t, buf, DURABLE_WORK_ROOM);
	text_str(&t, root);
	text_str(&t, PREFIX);
	text_uint(&t, door->uid, 10, 0, ' ');
	text_str(&t, ".");
	text_uint(&t, door->id.dev, 16, 0, ' ');
	text_str(&t, "-");
	text_uint(&t, door->id.ino, 16, 0, ' ');
	text_str(&t, "-");
	text_uint(&t, (uint64_t)door->id.born, 16, 0, ' ');
	return true;
}

static bool same_boot(const struct record_work *w)
{
	char now[sizeof(w->boot_id)];

	header_boot_id(now, sizeof(now));
	return !now[0] || memcmp(now, w->boot_id, sizeof(now)) == 0;
}

/* The directory of this path, if it is the one that 'w' names. */
static int work_match(const char *path, const struct record_work *w)
{
	struct sys_identity id;
	int fd, r;

	fd = sys_openat(AT_FDCWD, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -EACCES)
		return -ENOENT; /* somebody else's */
	if (fd < 0)
		return fd;
	r = sys_identity(fd, "", AT_EMPTY_PATH, &id);
	if (r == 0 &&
	    (id.dev != w->dev || id.ino != w->ino || id.born != w->born))
		r = -ENOENT;
	if (r == 0)
		return fd;
	(void)sys_close(fd);
	return r;
}

int durable_work_open(struct durable_door *door)
{
	struct record_work w;
	int fd, r;

	r = record_read(door->dir, "work", RECORD_WORK, &w.head, sizeof(w));
	if (r == -EPROTO || (r == 0 && !same_boot(&w)))
		return -ENOENT;
	if (r < 0)
		return r;
	fd = -ENOENT;
	for (unsigned i = 0;
	     fd == -ENOENT && durable_work_path(door, i, door->work); i++)
		fd = work_match(door->work, &w);
	return fd;
}

/*
 * For 'ushm gc', which finds it when nobody opens the namespace any more: where
 * that is. Without it, it is left alone.
 */
static void note_disk(const struct durable_door *door)
{
	char link[40], now[PATH_ROOM], old[PATH_ROOM];
	struct text t;
	long n, m;
	int work;

	text_init(&t, link, sizeof(link));
	text_str(&t, "/proc/self/fd/");
	text_uint(&t, (uint64_t)door->dir, 10, 0, ' ');
	n = sys_readlink(link, now, sizeof(now) - 1);
	if (n <= 0)
		return;
	now[n] = '\0';
	work = sys_openat(AT_FDCWD, door->work,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (work < 0)
		return;
	m = sys_readlinkat(work, ".disk", old, sizeof(old));
	if (m != n || memcmp(old, now, (size_t)n) != 0) {
		(void)sys_unlinkat(work, ".disk", 0);
		(void)sys_symlinkat(now, work, ".disk");
	}
	(void)sys_close(work);
}

/* --------------------------------------------------------------- leftovers */

static bool slot_has(const struct registry *r, int id)
{
	const struct layout_segment *s =
		registry_segment(r, registry_index(r, id));

	return s && load_acquire(&s->state) != SEG_FREE &&
	       load_relaxed(&s->seq) == registry_seq(r, id);
}

/* A new record that was not put in its place. */
static bool is_unfinished(int dir, const char *name)
{
	const char *end = strstr(name, ".new");
	struct sys_stat st;

	if (!end)
		return false;
	if (end[4] == '\0')
		return strncmp(name, "seg.", 4) == 0 ||
		       strcmp(name, "durable.new") == 0 ||
		       strcmp(name, "limits.new") == 0 ||
		       strcmp(name, "work.new") == 0;
	/* Makers of the marker wait for nobody. */
	return strncmp(name, "durable.new-", 12) == 0 &&
	       sys_stat(dir, name, AT_SYMLINK_NOFOLLOW, &st) == 0 &&
	       sys_now() - st.mtime > 60;
}

bool durable_leftover(int dir, const char *name, const struct registry *r)
{
	int id = record_segment_id(name, "data");

	if (id < 0)
		id = record_segment_id(name, "journal");
	return id < 0 ? is_unfinished(dir, name) : !slot_has(r, id);
}

/* --------------------------------------------------------------- opening */

/* Nobody can have what 'work' (or -1: none) was any more. */
static int begin_anew(struct durable_door *door, int work, struct text *why)
{
	int r = 0;

	if (work >= 0)
		r = durable_rescue(door, work, why);
	return r < 0 ? r : durable_restore(door, why);
}

/* 1: it can be worked in. 0: its registry is lost. Or why that is not known:
 * what is in memory must not be given up for want of a descriptor. */
static int look_at_registry(const struct durable_door *door, int work)
{
	char ignored[200];
	struct text t;
	int r;

	text_init(&t, ignored, sizeof(ignored));
	r = registry_inspect(work, door->uid, true, false, &t);
	if (r == REGISTRY_GOOD)
		return 1;
	return r >= 0 || r == -ENOENT || r == -EPROTO || r == -ELOOP ||
			       r == -ESTALE
		       ? 0
		       : r;
}

/* 'work' has no good registry, or is -1. */
static int work_anew(struct durable_door *door, int work, struct text *why)
{
	int r = lock_unused(door->marker);

	if (r == 0)
		return begin_anew(door, work, why);
	if (r != -EAGAIN)
		return refuse(why, r, "is on a file system without locks");
	if (work >= 0)
		return 0; /* damaged, and in use: as any namespace */
	return refuse(why, -EBUSY,
		      "is in use by programs whose working directory is not to "
		      "be found here: it was removed, or they have another "
		      "/dev/shm; end them first");
}

/* OPENING is locked. */
static int choose_work(struct durable_door *door, struct text *why)
{
	int work = durable_work_open(door), r = 0;

	if (work >= 0)
		r = look_at_registry(door, work);
	else if (work != -ENOENT)
		r = work;
	if (r < 0)
		text_str(why, "cannot be looked at");
	else if (r == 0)
		r = work_anew(door, work, why);
	if (work >= 0)
		(void)sys_close(work);
	if (r < 0)
		return r;
	note_disk(door);
	return sys_lock(door->marker, F_RDLCK, DURABLE_IN_USE, 1, true);
}

/* Read the marker, lock OPENING. */
static int door_close_behind(struct durable_door *door)
{
	struct record_marker m;
	struct geometry g;
	int r;

	r = record_read_open(door->marker, RECORD_MARKER, &m.head, sizeof(m));
	if (r < 0)
		return r;
	door->shape = (struct registry_shape){ m.max_segments, m.max_procs,
					       m.max_attaches, true };
	if (!header_geometry(&door->shape, &g))
		return -EPROTO;
	r = sys_identity(door->dir, "", AT_EMPTY_PATH, &door->id);
	if (r < 0)
		return r;
	return durable_lock(door->marker, F_WRLCK, DURABLE_OPENING,
			    door->signals);
}

static int open_marked(struct durable_door *door, struct text *why)
{
	int r = door_close_behind(door);

	if (r == -EPROTO)
		return refuse(why, r,
			      "is a durable namespace whose marker is damaged, "
			      "or of a newer ushm: see 'ushm fsck'");
	if (r < 0)
		return refuse(why, r, "cannot be locked");
	step("durable: opening");
	return choose_work(door, why);
}

int durable_look(int dir, struct durable_door *ret, int *ret_work,
		 bool *ret_used)
{
	static const uint64_t none = ~UINT64_C(0);
	int r;

	*ret = (struct durable_door){ .dir = dir,
				      .uid = sys_geteuid(),
				      .signals = &none };
	/* That it cannot be opened now does not make it a damaged one. */
	ret->marker = marker_open(dir);
	if (ret->marker == -ENOENT)
		return 0;
	if (ret->marker == -ELOOP || ret->marker == -ENXIO ||
	    ret->marker == -EISDIR)
		return -EPROTO; /* no file at all */
	if (ret->marker < 0)
		return ret->marker;
	r = door_close_behind(ret);
	if (r < 0) {
		durable_leave(ret);
		return r;
	}
	*ret_work = durable_work_open(ret);
	if (*ret_work < 0 && *ret_work != -ENOENT) {
		durable_leave(ret);
		return *ret_work;
	}
	*ret_used = sys_lock(ret->marker, F_WRLCK, DURABLE_IN_USE, 1, false) ==
		    -EAGAIN;
	return 1;
}

int durable_marker_mend(int dir)
{
	struct record_marker m = { .max_segments = HEADER_SEGMENTS,
				   .max_procs = HEADER_PROCS,
				   .max_attaches = HEADER_ATTACHES };
	int marker = marker_open(dir), r = 0;

	/* Who uses it has locks on the old one. */
	if (marker >= 0) {
		r = sys_lock(marker, F_WRLCK, DURABLE_IN_USE, 1, false);
		(void)sys_close(marker);
	}
	if (r < 0)
		return r;
	return record_write(dir, "durable", RECORD_MARKER, &m.head, sizeof(m));
}

int durable_enter(int dir, bool make, const struct registry_shape *shape,
		  const uint64_t *signals, struct durable_door *ret,
		  struct text *why)
{
	int r;

	*ret = (struct durable_door){ .dir = dir,
				      .uid = sys_geteuid(),
				      .signals = signals };
	ret->marker = marker_open(dir);
	if (ret->marker == -ENOENT && make) {
		r = marker_make(dir, ret->uid, shape, why);
		if (r < 0)
			return r;
		ret->marker = marker_open(dir);
	}
	if (ret->marker == -ENOENT)
		return 0;
	if (ret->marker < 0)
		return refuse(why, ret->marker,
			      "has a marker that cannot be opened");
	r = open_marked(ret, why);
	if (r == 0)
		return 1;
	durable_leave(ret);
	return r;
}

int durable_join(struct durable *d, const struct durable_door *door,
		 const char *path, const struct sys_stat *st)
{
	/* The description lives on in it, and with it IN_USE. Private: some
	 * file systems refuse to share, and nobody looks at the page. */
	void *hold = sys_mmap(NULL, LAYOUT_PAGE, PROT_NONE, MAP_PRIVATE,
			      door->marker, 0);

	if (sys_failed(hold))
		return (int)(intptr_t)hold;
	*d = (struct durable){ .on = true, .hold = hold, .dir = -1 };
	directory_fill(&d->disk, path, st);
	return 0;
}

void durable_part(struct durable *d)
{
	if (d->on)
		(void)sys_munmap(d->hold, LAYOUT_PAGE);
	d->on = false;
}

void durable_leave(struct durable_door *door)
{
	/* A child that was made meanwhile may have the description too. */
	if (door->marker >= 0) {
		(void)sys_lock(door->marker, F_UNLCK, DURABLE_OPENING, 1,
			       false);
		(void)sys_close(door->marker);
	}
	door->marker = -1;
}
