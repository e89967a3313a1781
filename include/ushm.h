/* SPDX-License-Identifier: MIT */
/*
 * ushm - System V shared memory in user space.
 *
 * Two ways in:
 *
 *   - Drop-ins: ushm_shmget(), ushm_shmat(), ushm_shmdt() and ushm_shmctl()
 *     take and return what the functions of <sys/shm.h> do, errno included.
 *     Define USHM_DROP_IN before including this header and the plain names
 *     mean them. They work on the default namespace.
 *
 *   - Explicit namespaces: a namespace is a directory. ushm_open() it, then
 *     use ushm_get(), ushm_attach(), ... These return 0 or a negative errno
 *     value and never touch errno.
 *
 * Every function may be called from any thread. After fork() the child holds
 * its parent's attachments and open namespaces, as with the kernel's segments.
 * Words used here - segment, key, shmid, attach, nattch - are those of
 * sysvipc(7).
 */
#ifndef USHM_H
#define USHM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/shm.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define USHM_VERSION_MAJOR 0
#define USHM_VERSION_MINOR 1
#define USHM_VERSION_PATCH 0
#define USHM_VERSION	   "0.1.0"

#define USHM_API __attribute__((visibility("default")))

/* ------------------------------------------------------------ namespaces */

typedef struct ushm_space ushm_space;

/* Flags of ushm_open(). */
#define USHM_CREATE 0x1 /* make the directory and its registry if absent */
#define USHM_DURABLE                                          \
	0x2 /* with USHM_CREATE: one whose segments outlive a \
	     * reboot; see below */

/* What a new namespace is made with; a field of 0 means the default. */
struct ushm_options {
	uint32_t max_segments;	  /* 32768 by default, at most 16777216 */
	uint32_t max_processes;	  /* 32768 by default */
	uint32_t max_attachments; /* 262144 by default */
	uint32_t reserved[5];
};

/* Why a namespace was refused, in one line for a person. */
struct ushm_problem {
	int error; /* the positive errno value */
	char text[500];
};

/*
 * Open the namespace in directory 'dir'.
 *
 * 'dir' NULL is the default namespace: $USHM_DIR when set and the program is
 * not set-uid (secure_getenv(3)), else /dev/shm/ushm-<euid>, else
 * /tmp/ushm-<euid>. The directory must belong to the effective user, must not
 * be a symbolic link and must not be writable by group or others. 'options'
 * may be NULL and counts only for a namespace that is created by this call.
 * 'ret_problem' may be NULL; it is written on failure.
 *
 * No descriptor stays open. Opening one directory twice in a process gives
 * the same namespace, counted; close it as often.
 *
 * Returns 0, or
 *   -ENOENT   the directory or its registry does not exist (no USHM_CREATE)
 *   -EACCES   not ours, or others may write to it
 *   -ELOOP    the directory or the registry is a symbolic link
 *   -EPROTO   the registry is of another version, or damaged: left untouched
 *   -ESTALE   the registry is in use by another running system
 *   -EINVAL   'options' ask for more than there can be
 *   -ENOSPC   no space for the registry
 *   -ENOMEM   no address space
 *   or what mkdir(2), open(2) and mmap(2) returned.
 */
USHM_API int ushm_open(const char *dir, unsigned flags,
		       const struct ushm_options *options,
		       ushm_space **ret_space,
		       struct ushm_problem *ret_problem);

/*
 * Give up one reference. With the last one the registry is unmapped, unless
 * this process has ever changed something in the namespace: then others may
 * still look there for it, and the registry stays mapped.
 */
USHM_API void ushm_close(ushm_space *space);

/* The absolute path of the namespace's directory; lives as long as 'space'. */
USHM_API const char *ushm_dir(const ushm_space *space);

/*
 * The path of the directory in which the files of its segments are, and those
 * of shm_open(3) in "posix.<uid>": the same, or the working directory of a
 * durable namespace. Lives as long as 'space'.
 */
USHM_API const char *ushm_work_dir(const ushm_space *space);

/* -------------------------------------------------------------- segments */

/*
 * Find or make a segment; flags and errors are those of shmget(2)
 * (IPC_CREAT, IPC_EXCL, mode bits, SHM_HUGETLB, SHM_NORESERVE).
 * Stores the shmid, which may be 0. Returns 0 or a negative errno.
 */
USHM_API int ushm_get(ushm_space *space, key_t key, size_t size, int flags,
		      int *ret_id);

/*
 * Attach segment 'id'; 'hint', 'flags' and errors are those of shmat(2)
 * (SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC). The address is stored in
 * *ret_addr. Returns 0 or a negative errno.
 */
USHM_API int ushm_attach(ushm_space *space, int id, const void *hint, int flags,
			 void **ret_addr);

/* Detach what was attached at 'addr': shmdt(2). 0 or -EINVAL. */
USHM_API int ushm_detach(ushm_space *space, const void *addr);

/* What is known of a segment. Sizes in bytes, times in seconds of the Epoch. */
struct ushm_segment {
	int32_t id;
	int32_t key; /* 0 once the segment was removed */
	uint64_t size;
	uint64_t nattch; /* attachments of living processes */
	uint32_t mode;	 /* permission bits, SHM_DEST and SHM_LOCKED */
	uint32_t uid, gid, cuid, cgid;
	int32_t cpid, lpid;
	int64_t atime, dtime, ctime; /* 0: never */
	uint64_t rss, swap;	     /* bytes present in memory, swapped out */
	uint32_t flags; /* SHM_HUGETLB, SHM_NORESERVE as it was created */
	uint32_t reserved;
};

/* IPC_STAT: needs read permission. -EINVAL, -EACCES. */
USHM_API int ushm_stat(ushm_space *space, int id, struct ushm_segment *ret);

/*
 * Step through the segments by ascending index, without a permission check
 * (as SHM_STAT_ANY). Start with *cursor = 0. Returns 1 and a segment, 0 at the
 * end, or a negative errno. Segments made or removed meanwhile may be missed.
 */
USHM_API int ushm_next(ushm_space *space, uint32_t *cursor,
		       struct ushm_segment *ret);

/* One attachment: a range of a process's addresses. */
struct ushm_attachment {
	int32_t id;  /* the segment */
	int32_t pid; /* 0 for a child that fork() is just making */
	uint64_t address;
	uint64_t length; /* bytes, whole pages */
	uint64_t offset; /* of 'address' in the segment */
	int64_t since;	 /* seconds of the Epoch */
	uint32_t flags;	 /* SHM_RDONLY, SHM_EXEC */
	uint32_t reserved;
};

/*
 * Step through the attachments of segment 'id', or of all segments when 'id'
 * is -1. As ushm_next(). The processes may be gone when you look.
 */
USHM_API int ushm_next_attachment(ushm_space *space, int id, uint32_t *cursor,
				  struct ushm_attachment *ret);

/* IPC_SET: owner, group and the nine mode bits. -EINVAL, -EPERM. */
USHM_API int ushm_set(ushm_space *space, int id, uid_t uid, gid_t gid,
		      mode_t mode);

/* IPC_RMID: destroyed now, or with the last detach. -EINVAL, -EPERM. */
USHM_API int ushm_remove(ushm_space *space, int id);

/* SHM_LOCK ('on' != 0) and SHM_UNLOCK. -EINVAL, -EPERM, -ENOMEM. */
USHM_API int ushm_lock(ushm_space *space, int id, int on);

/* Limits and totals of a namespace: IPC_INFO and SHM_INFO. */
struct ushm_info {
	uint64_t shmmax; /* bytes */
	uint64_t shmmni; /* segments */
	uint64_t shmall; /* pages */
	uint32_t used_ids;
	uint32_t max_index; /* highest index in use, 0 if none */
	uint64_t shm_tot;   /* pages of all segments */
	uint64_t shm_rss;   /* pages present */
	uint64_t shm_swp;   /* pages swapped out */
	uint32_t processes; /* processes known to the namespace */
	uint32_t attachments;
};

USHM_API int ushm_info(ushm_space *space, struct ushm_info *ret);

/* The limits and switches of a namespace: proc_sys_kernel(5), shm*. */
enum ushm_limit {
	USHM_SHMMAX, /* bytes of a segment */
	USHM_SHMALL, /* pages of all segments */
	USHM_SHMMNI, /* segments; at most what the namespace was made for */
	USHM_SHM_NEXT_ID,     /* the id of the next segment; UINT64_MAX: any */
	USHM_SHM_RMID_FORCED, /* 1: segments go with their last user */
};

/*
 * Read or change one. They hold for the namespace as long as it exists.
 * -EINVAL: no such limit, or a value that Linux would refuse too.
 */
USHM_API int ushm_limit_get(ushm_space *space, enum ushm_limit which,
			    uint64_t *ret_value);
USHM_API int ushm_limit_set(ushm_space *space, enum ushm_limit which,
			    uint64_t value);

/*
 * Write the text of /proc/sysvipc/shm for this namespace to descriptor 'fd'
 * (proc_sysvipc(5), byte by byte as Linux does). 0 or a negative errno.
 */
USHM_API int ushm_write_proc(ushm_space *space, int fd);

/* -------------------------------------------------------------- durable */

/*
 * A namespace that ushm_open() made with USHM_DURABLE, in a directory on disk,
 * keeps its segments over a reboot: ids, keys, sizes, owners, modes and times,
 * with nattch 0, and the contents of the last sync. It is opened and used like
 * any other. What shmget(), IPC_SET and IPC_RMID did is on disk when they
 * return. Contents are synced by ushm_sync_segment(), and without being asked
 * when the last attachment of a segment ends: by who detaches, by a process
 * that exits, or by the next call of anybody after one was killed.
 *
 * Such a namespace can also fail to open with
 *   -EBUSY    programs use it whose working directory is not to be found: it
 *             was removed, or they have another /dev/shm
 *   -EEXIST   (USHM_DURABLE) there is a namespace that is not durable
 *   -ENOSPC   no room in memory for its segments
 *   -EPROTO   a file of it is damaged; see ushm_check()
 */

/*
 * Make the contents on disk those in memory, all or nothing: after a power cut
 * the segment holds what one of the syncs wrote, never a mixture. Programs may
 * go on writing meanwhile; what they write during the call comes along or not,
 * each page for itself, so whoever needs one moment's state lets nobody write
 * then. Needs a few free descriptors, and memory for the pages that have
 * changed; no permission, for nobody sees more by it. 'flags' is 0.
 *
 * Returns 0, or
 *   -EOPNOTSUPP  the namespace is not durable
 *   -EINVAL      no such segment, or unknown flags
 *   -EIDRM       it was removed, and lives as long as it is attached
 *   -ENOSPC, -EDQUOT, -EFBIG  no room on disk: it is as it was there
 *   -ENOMEM, -EMFILE
 *   -ESTALE      another directory has the namespace's name now
 *   -EIO         or what else the file system returned
 */
USHM_API int ushm_sync_segment(ushm_space *space, int id, unsigned flags);

struct ushm_durability {
	int64_t synced; /* seconds of the Epoch; 0: its contents never were */
	uint32_t unsynced; /* 1: it was attached for writing since then */
	uint32_t reserved[3];
};

/* How durable a segment is. -EOPNOTSUPP, -EINVAL, -EIDRM as above. */
USHM_API int ushm_durability(ushm_space *space, int id,
			     struct ushm_durability *ret);

/* ---------------------------------------------------------------- upkeep */

/* What became of a thing that ushm_check() or ushm_collect() came upon. */
enum ushm_fate {
	USHM_NOTED,	/* worth knowing; nothing is wrong */
	USHM_FOUND,	/* nothing was done about it, as asked */
	USHM_CORRECTED, /* repaired, or removed */
	USHM_LEFT,	/* it could not be done */
};

struct ushm_finding {
	const char *code;   /* a stable short name, for programs */
	const char *text;   /* what it is, in a sentence for a person */
	const char *remedy; /* what a repair does, or NULL */
	enum ushm_fate fate;
	uint32_t reserved;
	uint64_t bytes; /* of memory that its removal frees */
};

/* Called for each; the finding and its texts are gone when it returns. */
typedef void ushm_report(void *arg, const struct ushm_finding *finding);

/* Flags of ushm_check(). */
#define USHM_REPAIR	0x1
#define USHM_START_OVER 0x2 /* with USHM_REPAIR; see ushm_check() */

/* What ushm_check() returns, added up. */
#define USHM_CHECK_CORRECTED 1 /* something was wrong, and is not now */
#define USHM_CHECK_RESTART   2 /* programs lost something by the repair */
#define USHM_CHECK_LEFT	     4 /* something is wrong still */

/*
 * Check the namespace in 'dir' (NULL: the default one), also one that
 * ushm_open() refuses: directory, registry, files. It may be in use. Other
 * programs wait while the registry is looked at: some milliseconds.
 *
 * With USHM_REPAIR, what is wrong is corrected. An attachment of a living
 * process that is known stays counted. With USHM_START_OVER as well, a
 * registry that cannot be repaired, and that no process here has mapped, is
 * moved into a directory "damaged.<uid>.<n>" with the files of all segments.
 *
 * Returns 0 when nothing is wrong, a sum of USHM_CHECK_..., or a negative errno
 * with *ret_problem (which may be NULL) when it could not be checked:
 *   -ENOENT  there is no namespace
 *   -EACCES  the directory belongs to another user
 *   -EBUSY   a living process has held the lock for ten seconds
 *   -ENOMEM  no memory, or no room for another process in the registry
 *   or what open(2) and mmap(2) returned.
 */
USHM_API int ushm_check(const char *dir, unsigned flags, ushm_report *report,
			void *arg, struct ushm_problem *ret_problem);

/* Flags of ushm_collect(). */
#define USHM_DRY_RUN 0x1
#define USHM_FORGET  0x2 /* also give up what has lost its file */

/*
 * Remove from the namespace in 'dir' (NULL: the default one) what nobody can
 * use any more: what processes that died have left, files that belong to no
 * segment, what is of before a reboot. With USHM_DRY_RUN it is only reported.
 * A segment that can be found by its id stays, whether attached or not.
 *
 * With NULL also what belongs to no namespace, of this user: what programs that
 * were killed have left of files that they had mapped (below) is written to the
 * file, as the next ushm_map() of it would, and leaves memory; and what is in
 * memory of durable namespaces that are gone. Where the file, or a durable
 * namespace with segments, is not where it was, it stays and is reported as
 * USHM_LEFT, unless USHM_FORGET is given.
 *
 * Returns how many things could not be removed, or a negative errno:
 *   -EPROTO  the registry is damaged; see ushm_check()
 *   or one of those of ushm_check().
 */
USHM_API int ushm_collect(const char *dir, unsigned flags, ushm_report *report,
			  void *arg, struct ushm_problem *ret_problem);

/* ---------------------------------------------------------- file mappings */

/*
 * Files mapped into memory as mmap(2), msync(2), munmap(2), mprotect(2) and
 * mremap(2) do it, by the kernel where it does. It refuses to share a file of
 * some file systems (FUSE with direct_io, 9p and virtiofs without a cache,
 * ...); there the processes of this machine that map the file by ushm share it
 * through memory in /dev/shm: an "object". All return 0 or a negative errno,
 * take and leave any range, be it of ushm_map() or not, and never touch errno.
 *
 * What an object does not do as the kernel does:
 *   - It holds all of the file, at most 256 MiB ($USHM_FILEMAP_MAX: bytes, or
 *     with K, M, G). The memory for it is taken when it is mapped: -ENOMEM, not
 *     SIGBUS.
 *   - Changes reach the file by ushm_sync(), when the process has unmapped all
 *     of it, and by exit(3). If the last process that maps it is killed, they
 *     do when next a process maps it by ushm, unless somebody has changed the
 *     file meanwhile: then they are lost.
 *   - read(2) and write(2) beside the mapping go to the file alone, unless
 *     'ushm run --filemap' has started the program.
 *   - It is of one machine, and of those who see the same /dev/shm: of a file
 *     that is served elsewhere, and one that the program has locked by
 *     flock(2), the kernel's refusal stands.
 */

/* Options of ushm_map(). */
#define USHM_MAP_OBJECT 0x1	/* do not ask the kernel: always an object */
#define USHM_ATOMIC	0x10000 /* also a flag of ushm_sync() */

/*
 * As mmap(2); the address is stored in *ret_addr.
 *
 * With USHM_ATOMIC, of a shared file, the file changes by
 * ushm_sync(... USHM_ATOMIC) only, and then to all that was stored at once or
 * not at all, whatever happens meanwhile. What was not synced when the last who
 * maps it unmaps it, or dies, is dropped. All who map a file at the same time
 * map it so, or none: else -EBUSY.
 *
 * Returns the kernel's errors. -EFBIG, -EBUSY, -EACCES and the like, for what
 * only an object knows, are returned only if one was asked for by 'options'.
 */
USHM_API int ushm_map(void *addr, size_t length, int prot, int flags, int fd,
		      int64_t offset, unsigned options, void **ret_addr);

/*
 * As msync(2): MS_SYNC, MS_ASYNC, MS_INVALIDATE. For an object MS_ASYNC writes
 * too, without a wait for the disk. With USHM_ATOMIC, all that was stored into
 * the file that is mapped there: -EINVAL if it was not mapped with it. -EIO,
 * -ENOSPC and so on: what is not written is tried again next time.
 */
USHM_API int ushm_sync(void *addr, size_t length, int flags);

/*
 * What anybody on this machine has stored by such mappings of the file that
 * descriptor 'fd' is open for reads and writes of, and what killed programs
 * have left, reaches the file and the disk; as one commit, if the file is
 * mapped with USHM_ATOMIC. Nothing of it needs to be mapped by the caller.
 * -EBADF, -ESTALE (a journal beside the file is of another file), -EBUSY (it is
 * served from another /dev/shm), or as ushm_sync().
 */
USHM_API int ushm_sync_file(int fd);

USHM_API int ushm_unmap(void *addr, size_t length);
USHM_API int ushm_protect(void *addr, size_t length, int prot);

/* 'new_addr' counts with MREMAP_FIXED. */
USHM_API int ushm_remap(void *old_addr, size_t old_length, size_t new_length,
			int flags, void *new_addr, void **ret_addr);

/* -------------------------------------------------------------- drop-ins */

/* As shmget(2), shmat(2), shmdt(2), shmctl(2) on the default namespace. */
USHM_API int ushm_shmget(key_t key, size_t size, int shmflg);
USHM_API void *ushm_shmat(int shmid, const void *shmaddr, int shmflg);
USHM_API int ushm_shmdt(const void *shmaddr);
#ifdef __USE_TIME_BITS64 /* 32-bit glibc with -D_TIME_BITS=64 */
USHM_API int ushm_shmctl(int shmid, int cmd,
			 struct shmid_ds *buf) __asm__("ushm_shmctl_time64");
#else
USHM_API int ushm_shmctl(int shmid, int cmd, struct shmid_ds *buf);
#endif

/*
 * As munmap(2), mmap(2) and mremap(2), for programs that use them on attached
 * segments: nattch follows what happens to the mappings.
 */
USHM_API int ushm_munmap(void *addr, size_t length);
USHM_API void *ushm_mmap(void *addr, size_t length, int prot, int flags, int fd,
			 int64_t offset);
USHM_API void *ushm_mremap(void *old_address, size_t old_size, size_t new_size,
			   int flags, ...);

/* The same for mprotect(2), mlock(2), munlock(2) and madvise(2). */
USHM_API int ushm_mprotect(void *addr, size_t length, int prot);
USHM_API int ushm_mlock(const void *addr, size_t length);
USHM_API int ushm_munlock(const void *addr, size_t length);
USHM_API int ushm_madvise(void *addr, size_t length, int advice);

#ifdef USHM_DROP_IN
#define shmget ushm_shmget
#define shmat  ushm_shmat
#define shmdt  ushm_shmdt
#define shmctl ushm_shmctl
#endif

#ifdef __cplusplus
}
#endif
#endif
