/* SPDX-License-Identifier: MIT */
/*
 * A segment as a line of a table: the columns of lsipc(1), with the same
 * names and in the same order, then our own.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/process.h"
#include "tool/segment.h"

#define NUMBER SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER
#define STRING 0, SCOLS_JSON_STRING

const struct table_column segment_columns[SEGMENT_NCOLUMNS] = {
	[SEGMENT_KEY] = { "KEY", 1, STRING, "resource key" },
	[SEGMENT_ID] = { "ID", 1, 0, SCOLS_JSON_NUMBER, "resource id" },
	[SEGMENT_PERMS] = { "PERMS", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			    "permissions" },
	[SEGMENT_OWNER] = { "OWNER", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			    "owner's name or uid" },
	[SEGMENT_SIZE] = { "SIZE", 1, NUMBER, "segment size" },
	[SEGMENT_NATTCH] = { "NATTCH", 1, NUMBER,
			     "attachments of living processes" },
	[SEGMENT_STATUS] = { "STATUS", 1, STRING,
			     "dest, locked, hugetlb, noreserve" },
	[SEGMENT_CTIME] = { "CTIME", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			    "time of creation or of the last change" },
	[SEGMENT_CPID] = { "CPID", 1, NUMBER, "pid of the creator" },
	[SEGMENT_LPID] = { "LPID", 1, NUMBER, "pid of the last user" },
	[SEGMENT_COMMAND] = { "COMMAND", 0, SCOLS_FL_TRUNC, SCOLS_JSON_STRING,
			      "creator's command line, if it lives" },
	[SEGMENT_ATTACH] = { "ATTACH", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			     "time of the last attach" },
	[SEGMENT_DETACH] = { "DETACH", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			     "time of the last detach" },
	[SEGMENT_CUID] = { "CUID", 1, NUMBER, "creator's uid" },
	[SEGMENT_CUSER] = { "CUSER", 1, STRING, "creator's name" },
	[SEGMENT_CGID] = { "CGID", 1, NUMBER, "creator's gid" },
	[SEGMENT_CGROUP] = { "CGROUP", 1, STRING, "creator's group" },
	[SEGMENT_UID] = { "UID", 1, NUMBER, "owner's uid" },
	[SEGMENT_USER] = { "USER", 1, STRING, "owner's name" },
	[SEGMENT_GID] = { "GID", 1, NUMBER, "owner's gid" },
	[SEGMENT_GROUP] = { "GROUP", 1, STRING, "owner's group" },
	[SEGMENT_RSS] = { "RSS", 1, NUMBER, "bytes present in memory" },
	[SEGMENT_SWAP] = { "SWAP", 1, NUMBER, "bytes swapped out" },
	[SEGMENT_AGE] = { "AGE", 1, NUMBER, "time since CTIME" },
	[SEGMENT_SYNCED] = { "SYNCED", 1, SCOLS_FL_RIGHT, SCOLS_JSON_STRING,
			     "time of the last sync, if durable" },
	/* Not a number: it is printed as it is, and null can be. */
	[SEGMENT_UNSYNCED] = { "UNSYNCED", 1, SCOLS_FL_RIGHT, SCOLS_JSON_NUMBER,
			       "may it have changed since then?" },
};

const char *segment_perms(uint32_t mode, char *buf, size_t len)
{
	static const char letters[] = "rwxrwxrwx";
	char text[] = "---------";

	for (unsigned i = 0; i < 9; i++)
		if (mode & (0400u >> i))
			text[i] = letters[i];
	snprintf(buf, len, "%s", text);

	return buf;
}

/* One name is remembered: most lines of a table have the same owner. */
const char *segment_user(uint32_t uid, char *buf, size_t len)
{
	static char name[64];
	static uint32_t known;
	struct passwd *pw;

	if (!name[0] || known != uid) {
		pw = getpwuid(uid);
		if (pw)
			snprintf(name, sizeof(name), "%s", pw->pw_name);
		else
			snprintf(name, sizeof(name), "%u", uid);
		known = uid;
	}

	snprintf(buf, len, "%s", name);
	return buf;
}

const char *segment_group(uint32_t gid, char *buf, size_t len)
{
	static char name[64];
	static uint32_t known;
	struct group *gr;

	if (!name[0] || known != gid) {
		gr = getgrgid(gid);
		if (gr)
			snprintf(name, sizeof(name), "%s", gr->gr_name);
		else
			snprintf(name, sizeof(name), "%u", gid);
		known = gid;
	}

	snprintf(buf, len, "%s", name);
	return buf;
}

const char *segment_status(const struct ushm_segment *seg, char *buf,
			   size_t len)
{
	const struct {
		uint32_t set;
		const char *name;
	} states[] = {
		{ seg->mode & SHM_DEST, "dest" },
		{ seg->mode & SHM_LOCKED, "locked" },
		{ seg->flags & SHM_HUGETLB, "hugetlb" },
		{ seg->flags & SHM_NORESERVE, "noreserve" },
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (states[i].set && n < len)
			n += (size_t)snprintf(buf + n, len - n, "%s%s",
					      n ? "," : "", states[i].name);

	return n ? buf : NULL;
}

char *segment_creator(const struct ushm_segment *seg)
{
	struct process p;

	/* The start time is rounded twice: allow for it. */
	if (seg->cpid <= 0 || process_read(seg->cpid, &p) < 0 ||
	    p.start > seg->ctime + 2)
		return NULL;

	return process_command(seg->cpid);
}

static const char *synced(ushm_space *space, int id,
			  const struct table_style *style, char *buf,
			  size_t len)
{
	struct ushm_durability d;

	if (ushm_durability(space, id, &d) < 0)
		return NULL;
	return table_when(d.synced, style, buf, len);
}

static const char *unsynced(ushm_space *space, int id,
			    const struct table_style *style)
{
	struct ushm_durability d;

	if (ushm_durability(space, id, &d) < 0)
		return NULL;
	if (style->json)
		return d.unsynced ? "true" : "false";
	return d.unsynced ? "yes" : "no";
}

static const char *format(enum segment_column column, ushm_space *space,
			  const struct table_style *style,
			  const struct ushm_segment *seg, char *buf, size_t len)
{
	switch (column) {
	case SEGMENT_KEY:
		snprintf(buf, len, "0x%08x", (uint32_t)seg->key);
		return buf;
	case SEGMENT_ID:
		return table_number(seg->id, buf, len);
	case SEGMENT_PERMS:
		return segment_perms(seg->mode, buf, len);
	case SEGMENT_SIZE:
		return table_size(seg->size, style, buf, len);
	case SEGMENT_NATTCH:
		return table_number((int64_t)seg->nattch, buf, len);
	case SEGMENT_STATUS:
		return segment_status(seg, buf, len);
	case SEGMENT_CTIME:
		return table_when(seg->ctime, style, buf, len);
	case SEGMENT_CPID:
		return seg->cpid ? table_number(seg->cpid, buf, len) : NULL;
	case SEGMENT_LPID:
		return seg->lpid ? table_number(seg->lpid, buf, len) : NULL;
	case SEGMENT_ATTACH:
		return table_when(seg->atime, style, buf, len);
	case SEGMENT_DETACH:
		return table_when(seg->dtime, style, buf, len);
	case SEGMENT_CUID:
		return table_number(seg->cuid, buf, len);
	case SEGMENT_CUSER:
		return segment_user(seg->cuid, buf, len);
	case SEGMENT_CGID:
		return table_number(seg->cgid, buf, len);
	case SEGMENT_CGROUP:
		return segment_group(seg->cgid, buf, len);
	case SEGMENT_UID:
		return table_number(seg->uid, buf, len);
	case SEGMENT_OWNER:
	case SEGMENT_USER:
		return segment_user(seg->uid, buf, len);
	case SEGMENT_GID:
		return table_number(seg->gid, buf, len);
	case SEGMENT_GROUP:
		return segment_group(seg->gid, buf, len);
	case SEGMENT_RSS:
		return table_size(seg->rss, style, buf, len);
	case SEGMENT_SWAP:
		return table_size(seg->swap, style, buf, len);
	case SEGMENT_AGE:
		return table_age(time(NULL) - seg->ctime, style, buf, len);
	case SEGMENT_SYNCED:
		return synced(space, seg->id, style, buf, len);
	case SEGMENT_UNSYNCED:
		return unsynced(space, seg->id, style);
	case SEGMENT_COMMAND:
	case SEGMENT_NCOLUMNS:
		break;
	}

	return NULL;
}

int segment_add_line(struct libscols_table *tb, ushm_space *space,
		     const struct table_selection *sel,
		     const struct table_style *style,
		     const struct ushm_segment *seg)
{
	struct libscols_line *line = scols_table_new_line(tb, NULL);
	char buf[256];

	if (!line)
		return -ENOMEM;

	for (size_t i = 0; i < sel->nshown; i++) {
		enum segment_column column = (enum segment_column)sel->shown[i];
		char *command;

		if (column == SEGMENT_COMMAND) {
			command = segment_creator(seg);
			table_set_foreign(line, i, command, style);
			free(command);
			continue;
		}
		table_set_foreign(
			line, i,
			format(column, space, style, seg, buf, sizeof(buf)),
			style);
	}

	return 0;
}
