/* SPDX-License-Identifier: MIT */
/*
 * Owns the token.
 *
 * A lock of an open file description, on one byte, leaves alone what programs
 * do with flock(2) and with parts of files. But it must end with us: a file
 * system that keeps such locks itself (FUSE with a server that does) is told of
 * the end of a process, not of that of a description, and would keep it for
 * ever. There it is flock(), of whose end file systems are told.
 * Invariant: of one file system all take the same kind.
 * Crash: the kernel gives it back. Killed before the kind is found, we leave a
 * read lock where nobody asks for it.
 */
#include "backing/token.h"

#include "base/text.h"

static int refusal(int r)
{
	return r == -EAGAIN || r == -EACCES ? -EBUSY : r;
}

int token_join(int fd, enum token kind)
{
	if (kind == TOKEN_WHOLE)
		return refusal(sys_flock(fd, LOCK_SH | LOCK_NB));
	return refusal(sys_lock(fd, F_RDLCK, TOKEN_BYTE, 1, false));
}

void token_drop(int fd)
{
	(void)sys_flock(fd, LOCK_UN);
	(void)sys_lock(fd, F_UNLCK, TOKEN_BYTE, 1, false);
}

/*
 * Does the kernel itself keep the lock that the description has? Then it is in
 * the list. 1, 0, or -errno.
 */
static int is_kept(int fd)
{
	static const char word[] = "OFDLCK";
	char path[40], buf[256];
	size_t met = 0;
	struct text t;
	ssize_t n;
	int list;

	text_init(&t, path, sizeof(path));
	text_str(&t, "/proc/self/fdinfo/");
	text_uint(&t, (uint64_t)fd, 10, 0, ' ');
	list = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (list < 0)
		return list;
	while ((n = sys_read(list, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n && word[met]; i++)
			met = buf[i] == word[met] ? met + 1 : buf[i] == *word;
	(void)sys_close(list);
	return n < 0 ? (int)n : !word[met];
}

/* The token is held: does another /dev/shm have it too? */
static int claim(int fd, enum token kind)
{
	int r;

	if (kind == TOKEN_BYTES) {
		r = sys_is_locked(fd, TOKEN_BYTE, 1);
		return r > 0 ? -EBUSY : r;
	}
	r = refusal(sys_flock(fd, LOCK_EX | LOCK_NB));
	return r < 0 ? r : token_join(fd, kind);
}

int token_take(int fd, bool first, enum token *ret_kind)
{
	int r = token_join(fd, TOKEN_BYTES);

	*ret_kind = TOKEN_BYTES;
	if (r == 0)
		r = is_kept(fd);
	if (r == 0) {
		*ret_kind = TOKEN_WHOLE;
		token_drop(fd);
		r = token_join(fd, TOKEN_WHOLE);
	}
	return r >= 0 && first ? claim(fd, *ret_kind) : r < 0 ? r : 0;
}
