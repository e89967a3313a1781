/* SPDX-License-Identifier: MIT */
/*
 * passthrough [-o cached] [-o locks] [-o delay=MICROSECONDS] DIR MOUNTPOINT -
 * DIR once more, as a file system of which the kernel keeps no pages
 * (direct_io): it refuses to map its files shared, with ENODEV.
 *
 *   cached  it keeps them, and maps: to compare with
 *   locks   it keeps record locks, which are else left to the kernel
 *   delay   what each read and write takes longer
 *
 * Inode numbers are those of DIR, birth times
 * are not told. A file that is removed while it is open is .fuse_hidden...
 * until it is closed. Everything else is an option of libfuse: -f, -o
 * allow_other.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct options {
	int cached, locks;
	unsigned delay;
	char *dir;
} options;

static int root; /* of what is passed through */

/* Paths are absolute; to an open file there may be none any more. */
static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static int handle(const struct fuse_file_info *fi)
{
	return (int)fi->fh;
}

/* ------------------------------------------------------------------ names */

static int pass_getattr(const char *path, struct stat *ret,
			struct fuse_file_info *fi)
{
	if (fi)
		return result(fstat(handle(fi), ret));
	return result(fstatat(root, below(path), ret, AT_SYMLINK_NOFOLLOW));
}

static int pass_opendir(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(root, below(path), O_RDONLY | O_DIRECTORY);

	fi->fh = (uint64_t)fd;
	return fd < 0 ? -errno : 0;
}

static int pass_readdir(const char *path, void *buf, fuse_fill_dir_t fill,
			off_t offset, struct fuse_file_info *fi,
			enum fuse_readdir_flags flags)
{
	int fd = openat(handle(fi), ".", O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	(void)path;
	(void)offset;
	(void)flags;
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		struct stat st = { .st_ino = e->d_ino,
				   .st_mode = (mode_t)e->d_type << 12 };

		if (fill(buf, e->d_name, &st, 0, 0))
			break;
	}
	closedir(d);
	return 0;
}

static int pass_mkdir(const char *path, mode_t mode)
{
	return result(mkdirat(root, below(path), mode));
}

static int pass_unlink(const char *path)
{
	return result(unlinkat(root, below(path), 0));
}

static int pass_rmdir(const char *path)
{
	return result(unlinkat(root, below(path), AT_REMOVEDIR));
}

static int pass_rename(const char *from, const char *to, unsigned flags)
{
	return result(renameat2(root, below(from), root, below(to), flags));
}

static int pass_link(const char *from, const char *to)
{
	return result(linkat(root, below(from), root, below(to), 0));
}

static int pass_symlink(const char *target, const char *path)
{
	return result(symlinkat(target, root, below(path)));
}

static int pass_readlink(const char *path, char *buf, size_t size)
{
	ssize_t n = readlinkat(root, below(path), buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static int pass_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	if (fi)
		return result(fchmod(handle(fi), mode));
	return result(fchmodat(root, below(path), mode, 0));
}

static int pass_chown(const char *path, uid_t uid, gid_t gid,
		      struct fuse_file_info *fi)
{
	if (fi)
		return result(fchown(handle(fi), uid, gid));
	return result(
		fchownat(root, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int pass_utimens(const char *path, const struct timespec times[2],
			struct fuse_file_info *fi)
{
	if (fi)
		return result(futimens(handle(fi), times));
	return result(utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int pass_statfs(const char *path, struct statvfs *ret)
{
	(void)path;
	return result(fstatvfs(root, ret));
}

/* ------------------------------------------------------------------ files */

/* Positions are the kernel's, so O_APPEND is its business too. */
static int open_file(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(root, below(path), fi->flags & ~O_APPEND, mode);

	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->direct_io = !options.cached;
	fi->keep_cache = options.cached;
	return 0;
}

static int pass_open(const char *path, struct fuse_file_info *fi)
{
	return open_file(path, 0, fi);
}

static int pass_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_context *caller = fuse_get_context();
	int r;

	fi->flags |= O_CREAT;
	r = open_file(path, mode, fi);
	if (r == 0 && geteuid() == 0)
		r = result(fchown(handle(fi), caller->uid, caller->gid));
	return r;
}

static int pass_read(const char *path, char *buf, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	(void)path;
	if (options.delay)
		usleep(options.delay);
	return result(pread(handle(fi), buf, size, offset));
}

static int pass_write(const char *path, const char *buf, size_t size,
		      off_t offset, struct fuse_file_info *fi)
{
	(void)path;
	if (options.delay)
		usleep(options.delay);
	return result(pwrite(handle(fi), buf, size, offset));
}

static int pass_truncate(const char *path, off_t size,
			 struct fuse_file_info *fi)
{
	int fd, r;

	if (fi)
		return result(ftruncate(handle(fi), size));
	fd = openat(root, below(path), O_WRONLY);
	if (fd < 0)
		return -errno;
	r = result(ftruncate(fd, size));
	close(fd);
	return r;
}

static int pass_fallocate(const char *path, int mode, off_t offset, off_t size,
			  struct fuse_file_info *fi)
{
	(void)path;
	return result(fallocate(handle(fi), mode, offset, size));
}

static int pass_fsync(const char *path, int data, struct fuse_file_info *fi)
{
	(void)path;
	return result(data ? fdatasync(handle(fi)) : fsync(handle(fi)));
}

static int pass_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	close(handle(fi));
	return 0;
}

/* ------------------------------------------------------------------ locks */

/*
 * An owner's locks on a file are those of a description that is his. When a
 * process closes the file libfuse has us unlock all that the process has. For
 * the locks of an open file description the kernel tells us of no end: they
 * stay, as with any server.
 */
static struct owner {
	struct owner *next;
	uint64_t id;
	ino_t inode;
	int fd;
} * owners;

static int fd_of_owner(struct fuse_file_info *fi)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct owner *o = NULL;
	struct stat st;
	char path[40];

	if (fstat(handle(fi), &st) < 0)
		return -1;
	pthread_mutex_lock(&mutex);
	for (o = owners; o; o = o->next)
		if (o->id == fi->lock_owner && o->inode == st.st_ino)
			break;
	if (!o && (o = malloc(sizeof(*o)))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", handle(fi));
		*o = (struct owner){ owners, fi->lock_owner, st.st_ino,
				     open(path, O_RDWR) };
		owners = o;
	}
	pthread_mutex_unlock(&mutex);
	return o ? o->fd : -1;
}

static int pass_lock(const char *path, struct fuse_file_info *fi, int command,
		     struct flock *lock)
{
	pid_t pid = lock->l_pid;
	int r;

	(void)path;
	lock->l_pid = 0;
	r = fcntl(fd_of_owner(fi),
		  command == F_GETLK   ? F_OFD_GETLK
		  : command == F_SETLK ? F_OFD_SETLK
				       : F_OFD_SETLKW,
		  lock);
	lock->l_pid = pid;
	return result(r);
}

/* ------------------------------------------------------------------- main */

static void *pass_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	if (!options.locks)
		conn->want &= ~(unsigned)FUSE_CAP_POSIX_LOCKS;
	config->use_ino = 1;
	config->nullpath_ok = 1;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = pass_init,
	.getattr = pass_getattr,
	.opendir = pass_opendir,
	.readdir = pass_readdir,
	.releasedir = pass_release,
	.mkdir = pass_mkdir,
	.unlink = pass_unlink,
	.rmdir = pass_rmdir,
	.rename = pass_rename,
	.link = pass_link,
	.symlink = pass_symlink,
	.readlink = pass_readlink,
	.chmod = pass_chmod,
	.chown = pass_chown,
	.utimens = pass_utimens,
	.statfs = pass_statfs,
	.open = pass_open,
	.create = pass_create,
	.read = pass_read,
	.write = pass_write,
	.truncate = pass_truncate,
	.fallocate = pass_fallocate,
	.fsync = pass_fsync,
	.release = pass_release,
	.lock = pass_lock,
};

static const struct fuse_opt known[] = {
	{ "cached", offsetof(struct options, cached), 1 },
	{ "locks", offsetof(struct options, locks), 1 },
	{ "delay=%u", offsetof(struct options, delay), 0 },
	FUSE_OPT_END,
};

/* The first word that is no option is ours, the other libfuse's. */
static int take(void *data, const char *word, int key, struct fuse_args *out)
{
	struct options *o = data;

	(void)out;
	if (key != FUSE_OPT_KEY_NONOPT || o->dir)
		return 1;
	o->dir = realpath(word, NULL);
	return o->dir ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);

	umask(0); /* the caller's has been applied */
	if (fuse_opt_parse(&args, &options, known, take) < 0 || !options.dir) {
		fprintf(stderr,
			"usage: passthrough [OPTION...] DIR MOUNTPOINT\n");
		return 2;
	}
	root = open(options.dir, O_PATH | O_DIRECTORY);
	if (root < 0) {
		perror(options.dir);
		return 1;
	}
	return fuse_main(args.argc, args.argv, &operations, NULL);
}
