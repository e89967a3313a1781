/* SPDX-License-Identifier: MIT */
/*
 * shm_open(3) and shm_unlink(3), for the preload: what a C library makes of a
 * name, of flags and of errors, before and after the system call.
 *
 * The directory is the namespace's instead of /dev/shm. Named semaphores,
 * which libc keeps in /dev/shm too, stay there. No cancellation points, as in
 * libc.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/posix.h"
#include "edge/place.h"
#include "edge/result.h"

/*
 * Where the libraries differ. glibc leaves "." and ".." to the kernel, has
 * room for the four letters that a semaphore's name has more, and says ENOENT
 * of what cannot be the name of anything to be removed.
 */
#ifdef __GLIBC__
#define FLAGS	    (O_NOFOLLOW | O_CLOEXEC)
#define DOTS_PASS   true
#define ROOM	    (NAME_MAX + 4)
#define NOT_REMOVED ENOENT
#else
#define FLAGS	    (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
#define DOTS_PASS   false
#define ROOM	    SIZE_MAX
#define NOT_REMOVED EINVAL
#endif

int pre_shm_open(const char *name, int oflag, mode_t mode) __asm__("shm_open")
	__attribute__((visibility("default"), used));
int pre_shm_unlink(const char *name) __asm__("shm_unlink")
	__attribute__((visibility("default"), used));

/* The name without its slashes, or -EINVAL or -ENAMETOOLONG. */
static int judge(const char *name, const char **ret)
{
	while (*name == '/')
		name++;
	if (!*name || strchr(name, '/') || strlen(name) > ROOM)
		return -EINVAL;
	if (!DOTS_PASS && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return -EINVAL;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	*ret = name;
	return 0;
}

static int space_of(struct space **ret)
{
	int r = place_default(ret);

	return r < 0 ? unavailable(r) : 0;
}

int pre_shm_open(const char *name, int oflag, mode_t mode)
{
	struct space *sp;
	int fd = judge(name, &name);

	if (fd == 0)
		fd = space_of(&sp);
	if (fd == 0)
		fd = posix_open(sp, name, oflag | FLAGS, mode);
	return result(fd == -EISDIR ? -EINVAL : fd);
}

int pre_shm_unlink(const char *name)
{
	struct space *sp;
	int r = judge(name, &name);

	if (r == -EINVAL)
		return result(-NOT_REMOVED);
	if (r == 0)
		r = space_of(&sp);
	if (r == 0)
		r = posix_unlink(sp, name);
	return result(r == -EPERM ? -EACCES : r);
}
