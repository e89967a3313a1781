/* SPDX-License-Identifier: MIT */
/*
 * All or nothing: many changes of one data file, made as one.
 *
 * A redo journal in a file beside the data file (the sidecar). A commit writes
 * what shall change there, with a checksum, and waits until the disk has it;
 * only then does it change the data file. Whoever comes after a kill or a
 * power cut finds the journal complete, and makes the changes once more, or
 * incomplete, and then the data file was never touched.
 *
 * No state in memory and no descriptor that stays open: each call opens the
 * sidecar, locks it, works and closes it. Safe between processes, threads and
 * over fork(); not from a signal handler that interrupts a call of its own
 * process on the same file, which would wait for itself.
 *
 * All return 0 or more, or -errno.
 */
#ifndef USHM_BACKING_JOURNAL_H
#define USHM_BACKING_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a data file's name gets for that of its sidecar. */
#define JOURNAL_SUFFIX ".ushm-journal"

/* Where the sidecar is: as openat(2) has it; AT_FDCWD with an absolute path.
 * It must be on the file system of its data file. */
struct journal_place {
	int dir;
	const char *name;

	/* Nobody but journal_commit() ever writes the data file, until
	 * journal_retire(). Saves a commit the last of its three flushes; a
	 * write of anybody else's could be undone by a power cut. */
	bool alone;
};

/* Bytes of the data file that become others. */
struct journal_run {
	uint64_t offset;
	const void *data;
	size_t length;
};

/*
 * The place beside the file of a descriptor: its path as the kernel knows it
 * now, and the suffix. Follows a rename, so ask again for each call. 'buf' has
 * PATH_ROOM bytes and must live as long as the place; 'alone' is not set.
 *
 *   -ENOENT        the file has no name any more, or none that is seen here
 *   -EMLINK        it has several: under another one nobody would look for
 *                  the journal
 *   -ENAMETOOLONG
 */
int journal_place(int fd, char *buf, struct journal_place *ret);

/*
 * Make 'size' the size of file 'fd' and put the runs into it, all or nothing.
 * On return the file has it, and so has the disk.
 *
 * The runs are in ascending order, do not overlap and end within 'size'. They
 * may touch: neighbours are written together. Their memory must not change
 * during the call: it is read for the checksum, for the journal and for the
 * file. So give a copy of what others may write into, not the thing itself.
 * What no run names stays as it is; a file that grows has zeros there.
 *
 * 'fd' is open for writing, without O_APPEND. What others write to
 * the file during the call may be lost or not; before and after it, it counts.
 *
 * Begins with what journal_replay() does. A failure says nothing about whose
 * turn it was; the next commit, or replay, brings the file into one of the two
 * states, the old or the new one:
 *   -ENOSPC, -EDQUOT, -EFBIG  no room for the journal, or for the file: as a
 *                   rule nothing was changed
 *   -EINVAL         the runs, or 'fd', are not as described
 *   -EBADF          'fd' is not open for writing
 *   -EXDEV          the sidecar would be on another file system
 *   -EACCES, -EPERM no permission for the sidecar, or it is one that somebody
 *                   else has put there
 *   -ESTALE         see journal_replay()
 *   -EPROTO         a newer version has written the journal
 *   -EIO            and what else the file system says: what had to be written
 *                   is not known to be on the disk
 */
int journal_commit(const struct journal_place *place, int fd,
		   const struct journal_run *runs, size_t nruns, uint64_t size);

/*
 * For journal_replay() only: the journal was written for this file, whatever
 * its inode and its size say. True of both files copied or restored together.
 */
#define JOURNAL_ADOPT 1u

/*
 * Finish what was begun. To be called before the file is read for the first
 * time. Without a sidecar it costs next to nothing.
 *
 * 1: a complete journal was found and its changes are in the file, and on the
 * disk. 0: there was none, or an incomplete one, which is void: its file was
 * not touched.
 *   -ESTALE  a complete journal is there, but not this file's: the file is
 *            another inode (it was restored, or replaced), or has another size
 *            than a commit that was cut off can have left. Nothing is touched:
 *            JOURNAL_ADOPT applies it, JOURNAL_DISCARD drops it.
 *   other    as journal_commit()
 */
int journal_replay(const struct journal_place *place, int fd, unsigned options);

/* For journal_retire() only: what is in the journal is not wanted. */
#define JOURNAL_DISCARD 1u

/*
 * The clean end: finish what was begun, and remove the sidecar. The next
 * commit makes another one. A power cut may bring the sidecar back: empty.
 *
 * 0, also if there is none; else it is still there.
 */
int journal_retire(const struct journal_place *place, int fd, unsigned options);

#endif
