/* SPDX-License-Identifier: MIT */
/*
 * The judge of `ushm run` against all programs of this machine: it must let
 * every program pass into which the library can be loaded, and no other.
 *
 * The oracle for "dynamically linked" is the dynamic linker's own --verify,
 * and for privileges the plain mode bits.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tool/elf.h"
#include "tool/target.h"

static char linker[PATH_MAX];

/* The linker run by hand obeys LD_PRELOAD, but does not verify itself. */
static int is_linker(const char *path)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(linker, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* 0: a program for this linker. Everything else is not. */
static int ask_linker(const char *path)
{
	int status;
	pid_t pid;

	pid = vfork();
	if (pid == 0) {
		execl(linker, linker, "--verify", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return -1;

	return WEXITSTATUS(status);
}

static int is_elf(const char *path)
{
	char magic[4] = "";
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, magic, sizeof(magic));
	close(fd);

	return n == 4 && memcmp(magic, "\177ELF", 4) == 0;
}

static int judge_directory(const char *dir, unsigned count[2])
{
	char path[PATH_MAX], raw[64];
	static struct target t;
	int failures = 0;
	struct dirent *e;
	struct stat st;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return 0;

	while ((e = readdir(d))) {
		int privileged, fine;

		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
		    access(path, X_OK | R_OK) < 0 || !is_elf(path))
			continue;

		privileged =
			((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
			((st.st_mode & S_ISGID) && st.st_gid != getgid()) ||
			(getuid() != 0 && getxattr(path, "security.capability",
						   raw, sizeof(raw)) > 0);
		fine = !privileged &&
		       (is_linker(path) || ask_linker(path) == 0);
		target_judge(path, &t);
		count[fine]++;
		if ((t.verdict == TARGET_FINE && !*t.variant) == fine)
			continue;

		failures++;
		printf("%s: should be %s: %s\n", path,
		       fine ? "let pass" : "refused",
		       t.why[0] ? t.why : "was let pass");
	}
	closedir(d);

	return failures;
}

int main(void)
{
	unsigned count[2] = { 0, 0 };
	struct elf_image self;
	int failures;

	if (elf_read_self(&self) < 0 || self.kind != ELF_KIND_DYNAMIC ||
	    elf_libc(&self) != ELF_LIBC_GLIBC) {
		puts("only glibc's dynamic linker can be asked");
		return 77;
	}
	snprintf(linker, sizeof(linker), "%s", self.interpreter);

	/* The oracle must know a program from what is none. */
	if (ask_linker("/proc/self/exe") < 0 || ask_linker(linker) == 127) {
		puts("the dynamic linker does not answer");
		return 77;
	}

	failures = judge_directory("/usr/bin", count);
	failures += judge_directory("/usr/sbin", count);
	printf("%u programs pass, %u are refused, %d wrong\n", count[1],
	       count[0], failures);

	return failures || count[1] == 0 ? 1 : 0;
}
