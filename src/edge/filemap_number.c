/* SPDX-License-Identifier: MIT */
/*
 * The same calls by number, through syscall(2). Owns nothing.
 *
 * Six arguments and no more: who is next is then reached by a jump, as if we
 * had not been there.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/sys.h"
#include "edge/filemap.h"

typedef long syscall_fn(long n, long a, long b, long c, long d, long e, long f);
syscall_fn fm_syscall EXPORT(syscall);
NEXT(syscall_fn, syscall)

/* An offset, which i386 passes in two halves. */
#if defined(__i386__)
#define OFFSET(low, high) ((int64_t)((uint64_t)(high) << 32 | (uint32_t)(low)))
#else
#define OFFSET(low, high) (low)
#endif

static long on_memory(long n, long a, long b, long c, long d, long e, long f)
{
	void *p = (void *)a;

	switch (n) {
#if defined(__i386__)
	case SYS_mmap2:
		return (long)mmap(p, (size_t)b, (int)c, (int)d, (int)e,
				  (int64_t)(uint32_t)f << 12);
#else
	case SYS_mmap:
		return (long)mmap(p, (size_t)b, (int)c, (int)d, (int)e, f);
#endif
	case SYS_munmap:
		return munmap(p, (size_t)b);
	case SYS_mremap:
		return (long)mremap(p, (size_t)b, (size_t)c, (int)d, (void *)e);
	case SYS_mprotect:
		return mprotect(p, (size_t)b, (int)c);
	case SYS_msync:
		return msync(p, (size_t)b, (int)c);
	default:
		return real_syscall()(n, a, b, c, d, e, f);
	}
}

long fm_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	int fd = (int)a;
	long r;

	switch (n) {
	case SYS_read:
		return read(fd, (void *)b, (size_t)c);
	case SYS_readv:
		return readv(fd, (const struct iovec *)b, (int)c);
	case SYS_pread64:
		return pread(fd, (void *)b, (size_t)c, OFFSET(d, e));
	case SYS_write:
		return write(fd, (const void *)b, (size_t)c);
	case SYS_writev:
		return writev(fd, (const struct iovec *)b, (int)c);
	case SYS_pwrite64:
		return pwrite(fd, (const void *)b, (size_t)c, OFFSET(d, e));
	case SYS_copy_file_range:
		return copy_file_range(fd, (void *)b, (int)c, (void *)d,
				       (size_t)e, (unsigned)f);
	case SYS_fsync:
		return fsync(fd);
	case SYS_fdatasync:
		return fdatasync(fd);
#if defined(__i386__)
	case SYS_ftruncate64:
		return ftruncate(fd, OFFSET(b, c));
#else
	case SYS_ftruncate:
		return ftruncate(fd, b);
	case SYS_fallocate:
		return fallocate(fd, (int)b, c, d);
#endif
#ifdef SYS_fcntl64
	case SYS_fcntl64:
#endif
	case SYS_fcntl:
		return fcntl(fd, (int)b, c);
	case SYS_close:
		return close(fd);
	case SYS_openat:
		return openat(fd, (const char *)b, (int)c, (unsigned)d);
#ifdef SYS_open
	case SYS_open:
		return open((const char *)a, (int)b, (unsigned)c);
#endif
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2(fd, (int)b);
#endif
	case SYS_dup3:
		return dup3(fd, (int)b, (int)c);
	case SYS_recvmsg:
		r = real_syscall()(n, a, b, c, d, e, f);
		doubt_everything();
		return r;
	case SYS_execve:
		return execve((const char *)a, (char **)b, (char **)c);
	case SYS_exit_group:
		_exit((int)a);
	default:
		return on_memory(n, a, b, c, d, e, f);
	}
}
