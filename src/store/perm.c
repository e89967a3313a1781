/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: asks the kernel who the calling thread is, each time, because
 * that may change between two calls. Cheap questions come first.
 */
#include "store/perm.h"

#include <linux/capability.h>

#include "base/sys.h"

static bool capable(unsigned cap)
{
	return sys_capabilities() >> cap & 1;
}

static bool in_group(const struct layout_segment *s)
{
	gid_t some[64], *groups = some, gid = sys_getegid();
	size_t size = sizeof(some);
	bool found = false;
	int n;

	if (gid == s->cgid || gid == s->gid)
		return true;

	/* Up to 65536 of them: more than fit on a stack that is not ours. */
	n = sys_getgroups(0, NULL);
	if (n > (int)(sizeof(some) / sizeof(some[0]))) {
		size = (size_t)n * sizeof(gid_t);
		groups = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (sys_failed(groups))
			return false;
	}
	n = sys_getgroups((int)(size / sizeof(gid_t)), groups);
	for (int i = 0; i < n && !found; i++)
		found = groups[i] == s->cgid || groups[i] == s->gid;
	if (groups != some)
		(void)sys_munmap(groups, size);
	return found;
}

int perm_check(const struct layout_segment *s, unsigned want)
{
	unsigned mode = s->mode, granted;
	uid_t uid;

	/* What every class grants needs no question. */
	granted = mode & mode >> 3 & mode >> 6 & 07;
	if ((want & ~granted) == 0)
		return 0;

	uid = sys_geteuid();
	if (uid == s->cuid || uid == s->uid)
		granted = mode >> 6;
	else if (in_group(s))
		granted = mode >> 3;
	else
		granted = mode;
	if ((want & ~granted & 07) == 0 || capable(CAP_IPC_OWNER))
		return 0;
	return -EACCES;
}

int perm_check_flags(const struct layout_segment *s, int flags)
{
	unsigned f = (unsigned)flags;

	return perm_check(s, (f >> 6 | f >> 3 | f) & 07);
}

static bool is_owner(const struct layout_segment *s)
{
	uid_t uid = sys_geteuid();

	return uid == s->cuid || uid == s->uid;
}

int perm_check_control(const struct layout_segment *s)
{
	return is_owner(s) || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

int perm_check_lock(const struct layout_segment *s, bool lock)
{
	struct sys_rlimit limit;

	if (capable(CAP_IPC_LOCK))
		return 0;
	if (!is_owner(s))
		return -EPERM;
	if (lock && sys_prlimit(RLIMIT_MEMLOCK, NULL, &limit) == 0 &&
	    limit.cur == 0)
		return -EPERM;
	return 0;
}

int perm_check_lock_limit(uint64_t pages)
{
	struct sys_rlimit limit = { 0 };

	if (sys_prlimit(RLIMIT_MEMLOCK, NULL, &limit) < 0 ||
	    pages <= limit.cur / LAYOUT_PAGE || capable(CAP_IPC_LOCK))
		return 0;
	return -ENOMEM;
}
