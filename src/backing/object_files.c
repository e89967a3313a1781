/* SPDX-License-Identifier: MIT */
/*
 * Owns the names of objects, and the decision whom to believe.
 *
 * All objects lie in one directory that belongs to the system, where nobody
 * can rename or remove another user's files. Anybody can make files there: one
 * is believed only if it is of the file's owner, of ours, or root's, and no
 * more people may open it than the file itself.
 * Crash: a file without a header is one that was never used.
 */
#include "backing/object_files.h"

#include <string.h>

#include "backing/linger.h"
#include "base/step.h"
#include "base/text.h"

#define PREFIX "ushm-file."

/* Nobody but its owner may replace what is in it. */
static bool is_system_directory(const char *path)
{
	struct sys_stat st;

	if (sys_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st) < 0 ||
	    !S_ISDIR(st.mode))
		return false;
	if (st.uid != 0 && st.uid != sys_geteuid())
		return false;
	return st.mode & S_ISVTX || !(st.mode & 022);
}

/* The same for the life of a process. */
static const char *directory(void)
{
	static const char *chosen;
	const char *dir = load_relaxed(&chosen);

	if (!dir) {
		dir = is_system_directory("/dev/shm") ? "/dev/shm" : "/tmp";
		store_relaxed(&chosen, dir);
	}
	return dir;
}

void object_name(const struct sys_identity *id, bool ctl,
		 struct object_name *ret)
{
	struct text t;

	text_init(&t, ret->path, sizeof(ret->path));
	text_str(&t, directory());
	text_str(&t, "/" PREFIX);
	text_uint(&t, id->dev, 16, 0, ' ');
	text_str(&t, "-");
	text_uint(&t, id->ino, 16, 0, ' ');
	if (ctl)
		text_str(&t, ".ctl");
}

bool object_exists(const struct sys_identity *id)
{
	struct object_name name;
	struct sys_stat st;

	object_name(id, true, &name);
	return sys_stat(AT_FDCWD, name.path, AT_SYMLINK_NOFOLLOW, &st) == 0;
}

bool object_file_is(const struct object_name *name, int fd)
{
	struct sys_stat there, here;

	return sys_fstat(fd, &here) == 0 &&
	       sys_stat(AT_FDCWD, name->path, AT_SYMLINK_NOFOLLOW, &there) ==
		       0 &&
	       there.dev == here.dev && there.ino == here.ino;
}

/*
 * Who may open the object: as many as the file, or fewer. Where we could not
 * give it to the file's group, those are "others": they get no more than both.
 */
static uint32_t mode_for(const struct sys_stat *file, const struct sys_stat *st)
{
	uint32_t mode = (file->mode & 0666) | 0600;

	if (st->gid != file->gid)
		mode = (mode & 0600) | (mode & mode >> 3 & 07);
	return mode;
}

static bool is_genuine(const struct sys_stat *st, const struct sys_stat *file)
{
	return S_ISREG(st->mode) && st->nlink <= 1 &&
	       (st->uid == file->uid || st->uid == 0 ||
		st->uid == sys_geteuid());
}

/* The file's own rights may have been changed since. */
static int adopt_mode(int fd, struct sys_stat *st, const struct sys_stat *file)
{
	uint32_t mode = mode_for(file, st);

	if ((st->mode & 07777) == mode)
		return 0;
	if (sys_fchmod(fd, mode) == 0)
		return 0;
	return st->mode & 07777 & ~mode ? -EACCES : 0;
}

static int open_there(const struct object_name *name, bool *ret_share)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = sys_openat(AT_FDCWD, name->path, flags | O_RDWR, 0);

	*ret_share = true;
	if (fd == -EACCES) {
		*ret_share = false;
		fd = sys_openat(AT_FDCWD, name->path, flags | O_RDONLY, 0);
	}
	return fd;
}

static int create(const struct object_name *name, const struct sys_stat *file)
{
	int fd = sys_openat(AT_FDCWD, name->path,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);

	if (fd < 0)
		return fd;
	step("object: file created");
	/* Root gives it away; of others it is the group at most. */
	if (sys_fchown(fd, file->uid, file->gid) < 0)
		(void)sys_fchown(fd, (uint32_t)-1, file->gid);
	return fd;
}

int object_file_open(const struct object_name *name,
		     const struct sys_stat *file, bool make, bool *ret_share)
{
	struct sys_stat st;
	int fd, r;

	/* With O_CREAT the kernel may refuse to open what is another user's in
	 * such a directory: fs.protected_regular. */
	fd = open_there(name, ret_share);
	if (fd == -ENOENT && make) {
		*ret_share = true;
		fd = create(name, file);
		if (fd == -EEXIST)
			fd = open_there(name, ret_share);
	}
	if (fd < 0)
		return fd;
	fd = linger_raise(fd);

	r = sys_fstat(fd, &st);
	if (r == 0 && !is_genuine(&st, file))
		r = -EACCES;
	if (r == 0)
		r = adopt_mode(fd, &st, file);
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	return fd;
}

int object_remove_names(const struct object *o)
{
	struct object_name name;
	int r = 0;

	for (int ctl = 0; ctl <= 1 && r == 0; ctl++) {
		object_name(&o->id, ctl, &name);
		if (object_file_is(&name, ctl ? o->ctl : o->pages))
			r = sys_unlinkat(AT_FDCWD, name.path, 0);
		step("object: name removed");
	}
	return r;
}

/* ----------------------------------------------------------------- listing */

static bool parse_name(const char *s, struct sys_identity *ret)
{
	const char *end = s + strlen(s);

	if (strncmp(s, PREFIX, strlen(PREFIX)) != 0)
		return false;
	s += strlen(PREFIX);
	*ret = (struct sys_identity){ 0 };
	return text_parse(&s, end, 16, &ret->dev) && *s++ == '-' &&
	       text_parse(&s, end, 16, &ret->ino) && strcmp(s, ".ctl") == 0;
}

int object_each(int (*each)(void *arg, const struct sys_identity *id),
		void *arg)
{
	_Alignas(8) char buf[4096];
	struct sys_identity id;
	int list, r = 0;
	long n = 0;

	list = sys_openat(AT_FDCWD, directory(),
			  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (list < 0)
		return list;
	while (r == 0 && (n = sys_getdents(list, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n && r == 0;) {
			const struct sys_dirent *d = (void *)(buf + at);

			at += d->length;
			if (parse_name(d->name, &id))
				r = each(arg, &id);
		}
	}
	(void)sys_close(list);
	return r == 0 && n < 0 ? (int)n : r;
}
