/* SPDX-License-Identifier: MIT */
/*
 * Owns the environment and the default namespace.
 *
 * The default place is a function of the user alone, so that a login shell
 * and a cron job meet. The environment is not trusted: secure_getenv(3).
 * Lock: none; two threads that open at once get the same namespace.
 */
#include "edge/place.h"

#include <stdlib.h>
#include <string.h>

static struct space *standard;

/* What an errno value says, where libc's strerror() is not to be used. */
static const char *reason(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "permission denied";
	case ENOENT:
		return "no such directory";
	case ENOTDIR:
		return "not a directory";
	case EROFS:
		return "read-only file system";
	case ENOSPC:
	case EDQUOT:
		return "no space left";
	case EMFILE:
	case ENFILE:
		return "too many open files";
	case ENOMEM:
		return "out of memory";
	case ENAMETOOLONG:
		return "name too long";
	case EFBIG:
		return "file size limit";
	case EIO:
		return "input/output error";
	default:
		return NULL;
	}
}

/* "cannot be ..." wants a reason; the other sentences are one. */
static bool cannot(const char *text)
{
	return strstr(text, "cannot be ") != NULL;
}

/* What it is about: as much of a long path as leaves room for the reason. */
static void begin_text(struct text *t, const char *dir)
{
	size_t n = strlen(dir), room = t->size - 150;

	if (n == 0)
		text_str(t, "an empty name");
	text_bytes(t, dir, n < room ? n : room);
	text_str(t, n < room ? ": " : "...: ");
}

static int try(const char *dir, bool create, const struct registry_shape *shape,
	       struct space **ret_space, struct ushm_problem *ret_problem)
{
	struct text why;
	int r;

	text_init(&why, ret_problem->text, sizeof(ret_problem->text));
	begin_text(&why, dir);
	r = space_open(dir, create, shape, ret_space, &why);
	if (r < 0 && cannot(ret_problem->text) && reason(-r)) {
		text_str(&why, ": ");
		text_str(&why, reason(-r));
	}
	ret_problem->error = -r;
	return r;
}

static bool exists(const char *path)
{
	struct sys_stat st;

	return sys_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st) == 0;
}

/* The directory that the environment names, or NULL. */
static const char *from_environment(void)
{
	const char *dir = secure_getenv("USHM_DIR");

	return dir && *dir ? dir : NULL;
}

static const char *const roots[] = { "/dev/shm/ushm-", "/tmp/ushm-" };

static void default_path(size_t root, char *buf, size_t size)
{
	struct text t;

	text_init(&t, buf, size);
	text_str(&t, roots[root]);
	text_uint(&t, sys_geteuid(), 10, 0, ' ');
}

int place_open(const char *dir, bool create, const struct registry_shape *shape,
	       struct space **ret_space, struct ushm_problem *ret_problem)
{
	struct ushm_problem ignored;
	char path[PLACE_ROOM];
	int r = -ENOENT;

	if (!ret_problem)
		ret_problem = &ignored;
	if (!dir)
		dir = from_environment();
	if (dir)
		return try(dir, create, shape, ret_space, ret_problem);

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		default_path(i, path, sizeof(path));
		r = try(path, create, shape, ret_space, ret_problem);

		/* What is there but refused must not be evaded. */
		if (r == 0 || exists(path))
			break;
	}
	return r;
}

const char *place_name(const char *dir, char buf[PLACE_ROOM])
{
	if (!dir)
		dir = from_environment();
	if (dir)
		return dir;
	default_path(0, buf, PLACE_ROOM);
	if (exists(buf))
		return buf;
	default_path(1, buf, PLACE_ROOM);
	if (!exists(buf))
		default_path(0, buf, PLACE_ROOM);
	return buf;
}

void place_log(const char *line)
{
	const char *log = secure_getenv("USHM_LOG");

	if (log && *log && strcmp(log, "0") != 0)
		(void)sys_write(2, line, strlen(line));
}

static void complain(const struct ushm_problem *problem)
{
	char line[600];
	struct text t;

	text_init(&t, line, sizeof(line));
	text_str(&t, "ushm: no shared memory: ");
	text_str(&t, problem->text);
	text_str(&t, "\n");
	place_log(line);
}

uint64_t place_mapping_max(uint64_t otherwise)
{
	static const char units[] = "KMG";
	const char *s = secure_getenv("USHM_FILEMAP_MAX"), *unit;
	uint64_t n;
	int shift = 0;

	if (!s || !text_parse(&s, s + strlen(s), 10, &n))
		return otherwise;
	unit = *s ? strchr(units, *s) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		s++;
	}
	return *s || n > (uint64_t)INT64_MAX >> shift ? otherwise : n << shift;
}

int place_default(struct space **ret_space)
{
	struct space *sp = load_acquire(&standard);
	struct ushm_problem problem;
	int r;

	if (!sp) {
		r = place_open(NULL, true, NULL, &sp, &problem);
		if (r < 0) {
			complain(&problem);
			return r;
		}
		store_release(&standard, sp);
	}
	*ret_space = sp;
	return 0;
}

struct space *place_opened(void)
{
	return load_acquire(&standard);
}
