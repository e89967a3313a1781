/* SPDX-License-Identifier: MIT */
/*
 * System calls, returning 0 or more, or -errno.
 *
 * This is the only place that enters the kernel. The libc functions of the
 * same names are avoided on purpose: they set errno, are cancellation points,
 * and in the preload library some of them are our own.
 */
#ifndef USHM_BASE_SYS_H
#define USHM_BASE_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/step.h"

#if defined(__clang_analyzer__)
/* It cannot see that the instruction writes memory; of a function it expects
 * that. */
long sys_call6(long n, long a, long b, long c, long d, long e, long f);
long sys_call3(long n, long a, long b, long c);
void cpu_relax(void);
#elif defined(__x86_64__) && !defined(__ILP32__)
#include "base/syscall_x86_64.h"
#elif defined(__i386__)
#include "base/syscall_i386.h"
#elif defined(__aarch64__)
#include "base/syscall_aarch64.h"
#else
#error "ushm has no system call stub for this machine: add base/syscall_<arch>.h"
#endif

/* The system call, unless a test wants it to fail. */
#define SYS6(n, a, b, c, d, e, f)                                              \
	(step_call((n), (long)(a), (long)(b))                                  \
		 ?: sys_call6((n), (long)(a), (long)(b), (long)(c), (long)(d), \
			      (long)(e), (long)(f)))
#define SYS3(n, a, b, c)                      \
	(step_call((n), (long)(a), (long)(b)) \
		 ?: sys_call3((n), (long)(a), (long)(b), (long)(c)))

#if defined(__i386__)
#define SYS_ID(name) SYS_##name##32
#else
#define SYS_ID(name) SYS_##name
#endif

static inline int sys_openat(int dir, const char *path, int flags, mode_t mode)
{
#if defined(__i386__)
	flags |= O_LARGEFILE;
#endif
	return (int)SYS6(SYS_openat, dir, path, flags, mode, 0, 0);
}

static inline int sys_close(int fd)
{
	return (int)SYS3(SYS_close, fd, 0, 0);
}

static inline long sys_read(int fd, void *buf, size_t size)
{
	return SYS3(SYS_read, fd, buf, size);
}

static inline long sys_write(int fd, const void *buf, size_t size)
{
	return SYS3(SYS_write, fd, buf, size);
}

/* A file offset as two arguments; the second counts where the first has but
 * 32 bits. */
#if defined(__i386__)
#define SYS_LOW(offset)	 (uint32_t)(offset)
#define SYS_HIGH(offset) (uint32_t)((uint64_t)(offset) >> 32)
#else
#define SYS_LOW(offset)	 (offset)
#define SYS_HIGH(offset) 0
#endif

static inline long sys_pread(int fd, void *buf, size_t size, uint64_t offset)
{
	return SYS6(SYS_pread64, fd, buf, size, SYS_LOW(offset),
		    SYS_HIGH(offset), 0);
}

static inline long sys_pwrite(int fd, const void *buf, size_t size,
			      uint64_t offset)
{
	return SYS6(SYS_pwrite64, fd, buf, size, SYS_LOW(offset),
		    SYS_HIGH(offset), 0);
}

static inline long sys_pwritev(int fd, const struct iovec *iov, unsigned n,
			       uint64_t offset)
{
	/* The offset in two longs on every ABI; the second is void in 64 bits.
	 */
	return SYS6(SYS_pwritev, fd, iov, n, (unsigned long)offset,
		    (unsigned long)(offset >> 32), 0);
}

/* The new position, or -errno. */
static inline int64_t sys_lseek(int fd, int64_t offset, int whence)
{
#if defined(__i386__)
	int64_t position = 0;
	int r = (int)SYS6(SYS__llseek, fd, (uint32_t)((uint64_t)offset >> 32),
			  (uint32_t)offset, &position, whence, 0);

	return r < 0 ? r : position;
#else
	return SYS3(SYS_lseek, fd, offset, whence);
#endif
}

static inline int sys_fsync(int fd)
{
	return (int)SYS3(SYS_fsync, fd, 0, 0);
}

static inline int sys_fdatasync(int fd)
{
	return (int)SYS3(SYS_fdatasync, fd, 0, 0);
}

static inline int sys_renameat(int from, const char *old, int to,
			       const char *path)
{
	return (int)SYS6(SYS_renameat2, from, old, to, path, 0, 0);
}

static inline int sys_unlinkat(int dir, const char *path, int flags)
{
	return (int)SYS3(SYS_unlinkat, dir, path, flags);
}

static inline int sys_mkdirat(int dir, const char *path, mode_t mode)
{
	return (int)SYS3(SYS_mkdirat, dir, path, mode);
}

static inline int sys_linkat(int from, const char *old, int to,
			     const char *path, int flags)
{
	return (int)SYS6(SYS_linkat, from, old, to, path, flags, 0);
}

static inline int sys_fchmod(int fd, mode_t mode)
{
	return (int)SYS3(SYS_fchmod, fd, mode, 0);
}

static inline int sys_symlinkat(const char *target, int dir, const char *path)
{
	return (int)SYS3(SYS_symlinkat, target, dir, path);
}

static inline int sys_ftruncate(int fd, uint64_t size)
{
#if defined(__i386__)
	return (int)SYS3(SYS_ftruncate64, fd, SYS_LOW(size), SYS_HIGH(size));
#else
	return (int)SYS3(SYS_ftruncate, fd, size, 0);
#endif
}

static inline int sys_truncate(const char *path, uint64_t size)
{
#if defined(__i386__)
	return (int)SYS3(SYS_truncate64, path, SYS_LOW(size), SYS_HIGH(size));
#else
	return (int)SYS3(SYS_truncate, path, size, 0);
#endif
}

static inline int sys_fallocate(int fd, int mode, uint64_t from, uint64_t size)
{
#if defined(__i386__)
	return (int)SYS6(SYS_fallocate, fd, mode, (uint32_t)from,
			 (uint32_t)(from >> 32), (uint32_t)size,
			 (uint32_t)(size >> 32));
#else
	return (int)SYS6(SYS_fallocate, fd, mode, from, size, 0, 0);
#endif
}

/* What we ask of a file, the same for every ABI. */
struct sys_stat {
	uint64_t dev, ino, size, blocks; /* blocks of 512 bytes */
	uint32_t mode, uid, gid, nlink;
	int64_t mtime; /* seconds of the Epoch */
};

/* 'flags': AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH */
static inline int sys_stat(int dir, const char *path, int flags,
			   struct sys_stat *ret)
{
#if defined(__i386__)
	struct stat64 st;
#define SYS_STAT_CALL SYS_fstatat64
#else
	struct stat st;
#define SYS_STAT_CALL SYS_newfstatat
#endif
	int r = (int)SYS6(SYS_STAT_CALL, dir, path, &st, flags, 0, 0);

	if (r < 0)
		return r;
	*ret = (struct sys_stat){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.blocks = (uint64_t)st.st_blocks,
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.nlink = (uint32_t)st.st_nlink,
		.mtime = st.st_mtime,
	};
	return 0;
}

static inline int sys_fstat(int fd, struct sys_stat *ret)
{
	return sys_stat(fd, "", AT_EMPTY_PATH, ret);
}

/* What tells a file from any other that ever was: a number is used again. */
struct sys_identity {
	uint64_t dev, ino;
	int64_t born; /* ns of the Epoch; 0 where the file system does not say
		       */
};

/* struct statx as the kernel has it; musl's headers may not know it. */
struct sys_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	struct {
		int64_t sec;
		uint32_t nsec, pad;
	} atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare[14];
};

#define SYS_STATX_INO	0x100
#define SYS_STATX_SIZE	0x200
#define SYS_STATX_BTIME 0x800

static inline int sys_identity(int dir, const char *path, int flags,
			       struct sys_identity *ret)
{
	struct sys_statx sx = { 0 };
	int r = (int)SYS6(SYS_statx, dir, path, flags,
			  SYS_STATX_INO | SYS_STATX_BTIME, &sx, 0);

	if (r < 0)
		return r;
	*ret = (struct sys_identity){
		.dev = (uint64_t)sx.dev_major << 32 | sx.dev_minor,
		.ino = sx.ino,
	};
	if (sx.mask & SYS_STATX_BTIME)
		ret->born = sx.btime.sec * 1000000000 + sx.btime.nsec;
	return 0;
}

/*
 * A file's size; 'ask' the file system, which may be far away, or take what the
 * kernel knows by itself.
 */
static inline int64_t sys_file_size(int fd, bool ask)
{
	struct sys_statx sx = { 0 };
	int r = (int)SYS6(SYS_statx, fd, "",
			  AT_EMPTY_PATH | (ask ? 0 : AT_STATX_DONT_SYNC),
			  SYS_STATX_SIZE, &sx, 0);

	return r < 0 ? r : (int64_t)sx.size;
}

static inline int sys_fcntl(int fd, int command, long argument)
{
#if defined(__i386__)
	return (int)SYS3(SYS_fcntl64, fd, command, argument);
#else
	return (int)SYS3(SYS_fcntl, fd, command, argument);
#endif
}

/* A range of bytes to lock, with 64 bits everywhere. */
#if defined(__i386__) && defined(__GLIBC__)
typedef struct flock64 sys_range;
#else
typedef struct flock sys_range;
#endif

/*
 * A lock that belongs to the open file description, on bytes of its file:
 * 'type' F_RDLCK, F_WRLCK or F_UNLCK. Without 'wait', -EAGAIN.
 */
static inline int sys_lock(int fd, short type, uint64_t from, uint64_t length,
			   bool wait)
{
	sys_range range = { .l_type = type,
			    .l_start = (int64_t)from,
			    .l_len = (int64_t)length };

	return sys_fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, (long)&range);
}

/* 1 if another owner has a fcntl() lock on the bytes (length 0: all); or 0. */
static inline int sys_is_locked(int fd, uint64_t from, uint64_t length)
{
	sys_range range = { .l_type = F_WRLCK,
			    .l_start = (int64_t)from,
			    .l_len = (int64_t)length };
	int r = sys_fcntl(fd, F_OFD_GETLK, (long)&range);

	return r < 0 ? r : range.l_type != F_UNLCK;
}

static inline int sys_dup3(int from, int to, int flags)
{
	return (int)SYS3(SYS_dup3, from, to, flags);
}

static inline int sys_flock(int fd, int operation)
{
	return (int)SYS3(SYS_flock, fd, operation, 0);
}

struct sys_space {
	uint64_t type, total, free; /* bytes; total 0: without a limit */
};

static inline int sys_statfs(const char *path, struct sys_space *ret)
{
#if defined(__i386__)
	struct statfs64 fs;
	int r = (int)SYS3(SYS_statfs64, path, sizeof(fs), &fs);
#else
	struct statfs fs;
	int r = (int)SYS3(SYS_statfs, path, &fs, 0);
#endif
	if (r < 0)
		return r;
	ret->type = (uint64_t)fs.f_type & 0xffffffffu;
	ret->total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
	ret->free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	return 0;
}

/* The type of the file system that 'fd' is on. */
static inline int64_t sys_fstatfs_type(int fd)
{
#if defined(__i386__)
	struct statfs64 fs;
	int r = (int)SYS3(SYS_fstatfs64, fd, sizeof(fs), &fs);
#else
	struct statfs fs;
	int r = (int)SYS3(SYS_fstatfs, fd, &fs, 0);
#endif

	return r < 0 ? r : (int64_t)((uint64_t)fs.f_type & 0xffffffffu);
}

/* True if 'p', as a system call returned it, is an error. */
static inline bool sys_failed(const void *p)
{
	return (uintptr_t)p > (uintptr_t)-4096;
}

static inline void *sys_mmap(void *addr, size_t length, int prot, int flags,
			     int fd, uint64_t offset)
{
#if defined(__i386__)
	if (offset & 4095 || offset >> 44)
		return (void *)(intptr_t)-EINVAL;
	return (void *)SYS6(SYS_mmap2, addr, length, prot, flags, fd,
			    (long)(offset >> 12));
#else
	return (void *)SYS6(SYS_mmap, addr, length, prot, flags, fd, offset);
#endif
}

static inline int sys_munmap(void *addr, size_t length)
{
	return (int)SYS3(SYS_munmap, addr, length, 0);
}

static inline void *sys_mremap(void *old, size_t old_size, size_t new_size,
			       int flags, void *new_addr)
{
	return (void *)SYS6(SYS_mremap, old, old_size, new_size, flags,
			    new_addr, 0);
}

static inline int sys_mprotect(void *addr, size_t length, int prot)
{
	return (int)SYS3(SYS_mprotect, addr, length, prot);
}

static inline int sys_msync(void *addr, size_t length, int flags)
{
	return (int)SYS3(SYS_msync, addr, length, flags);
}

static inline int sys_madvise(void *addr, size_t length, int advice)
{
	return (int)SYS3(SYS_madvise, addr, length, advice);
}

static inline int sys_getpid(void)
{
	return (int)SYS3(SYS_getpid, 0, 0, 0);
}

static inline int sys_gettid(void)
{
	return (int)SYS3(SYS_gettid, 0, 0, 0);
}

static inline uid_t sys_geteuid(void)
{
	return (uid_t)SYS3(SYS_ID(geteuid), 0, 0, 0);
}

static inline gid_t sys_getegid(void)
{
	return (gid_t)SYS3(SYS_ID(getegid), 0, 0, 0);
}

static inline int sys_getgroups(int n, gid_t *groups)
{
	return (int)SYS3(SYS_ID(getgroups), n, groups, 0);
}

/* The effective capabilities of the calling thread as a bit set. */
static inline uint64_t sys_capabilities(void)
{
	struct {
		uint32_t version;
		int pid;
	} header = { 0x20080522, 0 };
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2] = { { 0 } };

	if (SYS3(SYS_capget, &header, data, 0) < 0)
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

static inline int sys_fchown(int fd, uid_t uid, gid_t gid)
{
	return (int)SYS3(SYS_ID(fchown), fd, uid, gid);
}

static inline int sys_kill(int pid, int sig)
{
	return (int)SYS3(SYS_kill, pid, sig, 0);
}

struct sys_rlimit {
	uint64_t cur, max;
};

static inline int sys_prlimit(int what, const struct sys_rlimit *set,
			      struct sys_rlimit *ret)
{
	return (int)SYS6(SYS_prlimit64, 0, what, set, ret, 0, 0);
}

/*
 * The kernel's signal set: 64 bits. Given to the system call itself so that
 * libc's internal signals (thread cancellation) are covered too.
 */
static inline int sys_sigmask(int how, const uint64_t *set, uint64_t *ret)
{
	return (int)SYS6(SYS_rt_sigprocmask, how, set, ret, 8, 0, 0);
}

/* What a signal does now: a handler, or 0 (SIG_DFL) or 1 (SIG_IGN). */
static inline uintptr_t sys_sighandler(int sig)
{
	/* The kernel's struct sigaction begins with it, on every ABI. */
	uintptr_t action[8] = { 0 };

	(void)SYS6(SYS_rt_sigaction, sig, NULL, action, 8, 0, 0);
	return action[0];
}

static inline int sys_sigpending(uint64_t *ret)
{
	return (int)SYS3(SYS_rt_sigpending, ret, 8, 0);
}

static inline int sys_sigtimedwait(const uint64_t *set, long seconds, long ns)
{
	/* The kernel's old_timespec32 or timespec: two longs on every ABI. */
	long timeout[2] = { seconds, ns };

	return (int)SYS6(SYS_rt_sigtimedwait, set, 0, timeout, 8, 0, 0);
}

/* Shared (between processes) futex; 'timeout_ns' below one second. */
static inline int sys_futex_wait(uint32_t *word, uint32_t value,
				 long timeout_ns)
{
	long timeout[2] = { 0, timeout_ns };

	return (int)SYS6(SYS_futex, word, FUTEX_WAIT, value, timeout, 0, 0);
}

static inline int sys_futex_wake(uint32_t *word, int count)
{
	return (int)SYS6(SYS_futex, word, FUTEX_WAKE, count, 0, 0, 0);
}

static inline int sys_rewind(int fd)
{
	return (int)SYS3(SYS_lseek, fd, 0, 0 /* SEEK_SET */);
}

static inline int sys_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)SYS3(SYS_ioctl, fd, request, argument);
}

static inline int sys_userfaultfd(int flags)
{
	return (int)SYS3(SYS_userfaultfd, flags, 0, 0);
}

static inline int sys_memfd_create(const char *name, unsigned flags)
{
	return (int)SYS3(SYS_memfd_create, name, flags, 0);
}

/* An entry as sys_getdents() stores it: linux_dirent64. */
struct sys_dirent {
	uint64_t ino, off;
	uint16_t length; /* of this entry */
	unsigned char type;
	char name[];
};

static inline long sys_getdents(int fd, void *buf, size_t size)
{
	return SYS3(SYS_getdents64, fd, buf, size);
}

static inline int sys_getcwd(char *buf, size_t size)
{
	return (int)SYS3(SYS_getcwd, buf, size, 0);
}

static inline long sys_readlink(const char *path, char *buf, size_t size)
{
	return SYS6(SYS_readlinkat, AT_FDCWD, path, buf, size, 0, 0);
}

static inline long sys_readlinkat(int dir, const char *path, char *buf,
				  size_t size)
{
	return SYS6(SYS_readlinkat, dir, path, buf, size, 0, 0);
}

/* Seconds of the Epoch as the kernel stamps them: never ahead of time(2). */
static inline int64_t sys_now(void)
{
	struct timespec ts;

	/* libc's own answers this from the vDSO, without the kernel. */
	if (clock_gettime(CLOCK_REALTIME_COARSE, &ts) < 0)
		return 0;
	return ts.tv_sec;
}

/* Nanoseconds of a clock that never goes back. */
static inline int64_t sys_monotonic_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif
