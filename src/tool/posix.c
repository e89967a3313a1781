/* SPDX-License-Identifier: MIT */
/*
 * The POSIX shared memory objects of a namespace: files in the directory
 * "posix.<uid>" of its working directory, each under its name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/posix.h"
#include "tool/segment.h"

enum {
	NAME,
	PERMS,
	OWNER,
	SIZE,
	RSS,
	MTIME,
	ATIME,
	CTIME,
	UID,
	GID,
	GROUP,
};

#define NUMBER SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER
#define STRING SCOLS_FL_RIGHT, SCOLS_JSON_STRING

const struct table_column posix_columns[POSIX_NCOLUMNS] = {
	[NAME] = { "NAME", 1, 0, SCOLS_JSON_STRING, "the object's name" },
	[PERMS] = { "PERMS", 1, STRING, "permissions" },
	[OWNER] = { "OWNER", 1, STRING, "owner's name or uid" },
	[SIZE] = { "SIZE", 1, NUMBER, "its length" },
	[RSS] = { "RSS", 1, NUMBER, "bytes present in memory" },
	[MTIME] = { "MTIME", 1, STRING, "time of the last change by a call" },
	[ATIME] = { "ATIME", 1, STRING, "time of the last reading" },
	[CTIME] = { "CTIME", 1, STRING, "time of the last change of any kind" },
	[UID] = { "UID", 1, NUMBER, "owner's uid" },
	[GID] = { "GID", 1, NUMBER, "owner's gid" },
	[GROUP] = { "GROUP", 1, STRING, "owner's group" },
};

/* The directory, which must be ours and no link. A descriptor or -errno. */
static int open_objects(const ushm_space *space)
{
	char name[32];
	struct stat st;
	int dir, fd;

	dir = open(ushm_work_dir(space), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	snprintf(name, sizeof(name), "posix.%u", (unsigned)geteuid());
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(dir);
	if (fd < 0)
		return -errno;

	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

static const char *format(int column, const struct table_style *style,
			  const char *name, const struct stat *st, char *buf,
			  size_t len)
{
	switch (column) {
	case NAME:
		return name;
	case PERMS:
		return segment_perms(st->st_mode, buf, len);
	case OWNER:
		return segment_user(st->st_uid, buf, len);
	case SIZE:
		return table_size((uint64_t)st->st_size, style, buf, len);
	case RSS:
		return table_size((uint64_t)st->st_blocks * 512, style, buf,
				  len);
	case MTIME:
		return table_when(st->st_mtime, style, buf, len);
	case ATIME:
		return table_when(st->st_atime, style, buf, len);
	case CTIME:
		return table_when(st->st_ctime, style, buf, len);
	case UID:
		return table_number(st->st_uid, buf, len);
	case GID:
		return table_number(st->st_gid, buf, len);
	default:
		return segment_group(st->st_gid, buf, len);
	}
}

static int add_line(struct libscols_table *tb,
		    const struct table_selection *sel,
		    const struct table_style *style, const char *name,
		    const struct stat *st)
{
	struct libscols_line *line = scols_table_new_line(tb, NULL);
	char buf[256];

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < sel->nshown; i++)
		table_set_foreign(line, i,
				  format(sel->shown[i], style, name, st, buf,
					 sizeof(buf)),
				  style);
	return 0;
}

static int is_object(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

int posix_add_lines(struct libscols_table *tb,
		    const struct table_selection *sel,
		    const struct table_style *style, const ushm_space *space)
{
	int dir = open_objects(space), n, r = 0;
	struct dirent **entries;
	struct stat st;

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	n = scandirat(dir, ".", &entries, is_object, alphasort);
	r = n < 0 ? -errno : 0;
	for (int i = 0; i < n; i++) {
		/* It may have been removed meanwhile. */
		if (r == 0 && fstatat(dir, entries[i]->d_name, &st,
				      AT_SYMLINK_NOFOLLOW) == 0)
			r = add_line(tb, sel, style, entries[i]->d_name, &st);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	close(dir);
	return r;
}

/* Look for the object, and remove it if it is to be. */
static int find(const ushm_space *space, const char *name, int remove)
{
	struct stat st;
	int dir, r;

	name += strspn(name, "/");
	if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return -EINVAL;
	dir = open_objects(space);
	if (dir < 0)
		return dir;
	r = remove ? unlinkat(dir, name, 0)
		   : fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		r = -errno;
	close(dir);
	return r;
}

int posix_find(const ushm_space *space, const char *name)
{
	return find(space, name, 0);
}

int posix_remove(const ushm_space *space, const char *name)
{
	return find(space, name, 1);
}
