/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_SEGMENT_H
#define USHM_TOOL_SEGMENT_H

#include <ushm.h>

#include "tool/table.h"

enum segment_column {
	SEGMENT_KEY,
	SEGMENT_ID,
	SEGMENT_PERMS,
	SEGMENT_OWNER,
	SEGMENT_SIZE,
	SEGMENT_NATTCH,
	SEGMENT_STATUS,
	SEGMENT_CTIME,
	SEGMENT_CPID,
	SEGMENT_LPID,
	SEGMENT_COMMAND,
	SEGMENT_ATTACH,
	SEGMENT_DETACH,
	SEGMENT_CUID,
	SEGMENT_CUSER,
	SEGMENT_CGID,
	SEGMENT_CGROUP,
	SEGMENT_UID,
	SEGMENT_USER,
	SEGMENT_GID,
	SEGMENT_GROUP,
	SEGMENT_RSS,
	SEGMENT_SWAP,
	SEGMENT_AGE,
	SEGMENT_SYNCED,
	SEGMENT_UNSYNCED,
	SEGMENT_NCOLUMNS,
};

extern const struct table_column segment_columns[SEGMENT_NCOLUMNS];

/* Add a line for the segment of 'space'. Returns 0 or -ENOMEM. */
int segment_add_line(struct libscols_table *tb, ushm_space *space,
		     const struct table_selection *sel,
		     const struct table_style *style,
		     const struct ushm_segment *seg);

/* "rw-r-----", and a name or a number; into a buffer of the caller. */
const char *segment_perms(uint32_t mode, char *buf, size_t len);
const char *segment_user(uint32_t uid, char *buf, size_t len);
const char *segment_group(uint32_t gid, char *buf, size_t len);

/* "dest,locked"; NULL for none of those. */
const char *segment_status(const struct ushm_segment *seg, char *buf,
			   size_t len);

/*
 * The command line of the creator while it lives, else NULL; free() it. A
 * process that started after the segment was made is another one.
 */
char *segment_creator(const struct ushm_segment *seg);

#endif
