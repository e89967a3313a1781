/* SPDX-License-Identifier: MIT */
/*
 * Judges a program before it is executed: would the dynamic linker load the
 * preload library into it? If not, the program would quietly use the kernel's
 * System V shared memory, which is the one thing that must not happen unseen.
 *
 * The answer follows execvp(3) for the search, fs/exec.c for #! chains and
 * security/commoncap.c for AT_SECURE. It is advice about a file that may
 * change before execve(2); it guards nothing.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tool/elf.h"
#include "tool/message.h"
#include "tool/target.h"

/* The kernel follows this many #! lines, then says ELOOP. */
#define MAX_SCRIPTS 5

static void verdict(struct target *t, enum target_verdict v, const char *fmt,
		    ...) MESSAGE_PRINTF(3, 4);

static void verdict(struct target *t, enum target_verdict v, const char *fmt,
		    ...)
{
	va_list ap;

	t->verdict = v;
	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
}

/* 0 if execve(2) would take the file, else a positive errno value. */
static int runnable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return errno;

	return 0;
}

/* Search as execvp(3) does: 0 and a path, or a positive errno value. */
static int look_up(const char *command, char *ret_path, size_t len)
{
	char standard[256] = "/bin:/usr/bin";
	const char *path, *end;
	bool denied = false;

	if (*command == '\0')
		return ENOENT;

	if (strchr(command, '/')) {
		if (strlen(command) >= len)
			return ENAMETOOLONG;
		memcpy(ret_path, command, strlen(command) + 1);
		return runnable(command);
	}

	path = getenv("PATH");
	if (!path) {
		confstr(_CS_PATH, standard, sizeof(standard));
		path = standard;
	}

	for (;; path = end + 1) {
		char file[PATH_MAX];
		int n, r;

		end = strchrnul(path, ':');
		n = snprintf(file, sizeof(file), "%.*s%s%s", (int)(end - path),
			     path, end > path ? "/" : "", command);
		r = n < (int)sizeof(file) ? runnable(file) : ENAMETOOLONG;

		if (r == 0 || (r == EACCES && !denied))
			snprintf(ret_path, len, "%s", file);
		if (r == 0)
			return 0;
		if (r == EACCES)
			denied = true;
		if (*end == '\0')
			break;
	}

	return denied ? EACCES : ENOENT;
}

static void judge_missing(struct target *t, const char *command, int error)
{
	struct stat st;

	if (error == ENOENT || error == ENOTDIR) {
		verdict(t, TARGET_ABSENT, "%s: %s", command,
			strchr(command, '/') ? message_errno(error)
					     : "command not found");
		return;
	}

	if (error == EACCES && stat(t->path, &st) == 0 && S_ISDIR(st.st_mode))
		error = EISDIR;
	verdict(t, TARGET_NOT_RUNNABLE, "%s: %s",
		t->path[0] ? t->path : command, message_errno(error));
}

/*
 * A user namespace may lack 'id': then the kernel ignores the set-id bits of
 * files that belong to it. 'map' is /proc/self/uid_map or gid_map.
 */
static bool id_is_mapped(const char *map, unsigned long id)
{
	unsigned long inside, outside, count;
	bool mapped = false;
	FILE *f;

	f = fopen(map, "re");
	if (!f)
		return true;
	while (!mapped &&
	       fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3)
		mapped = id >= inside && id - inside < count;
	fclose(f);

	return mapped;
}

/*
 * Does the security.capability attribute (vfs_cap_data) make the program
 * AT_SECURE? The effective bit alone does, even where no_new_privs then keeps
 * the capabilities away.
 */
static bool grants_capabilities(int fd, bool no_new_privs)
{
	uint8_t raw[64];
	ssize_t n;

	n = fgetxattr(fd, "security.capability", raw, sizeof(raw));
	if (n < 4)
		return false;
	if (raw[0] & 1) /* VFS_CAP_FLAGS_EFFECTIVE */
		return true;
	if (no_new_privs)
		return false;

	/* Pairs of permitted and inheritable; the former count. */
	for (ssize_t at = 4; at + 8 <= n && at < 20; at += 8)
		if (raw[at] | raw[at + 1] | raw[at + 2] | raw[at + 3])
			return true;

	return false;
}

/*
 * The conditions of AT_SECURE. Returns what is the matter with the file, in
 * words that follow its name, or NULL.
 */
static const char *find_privilege(int fd)
{
	uid_t euid = geteuid();
	gid_t egid = getegid();
	const char *what = NULL;
	struct statvfs fs;
	struct stat st;
	bool no_new_privs, nosuid, honoured;

	if (fstat(fd, &st) < 0)
		return NULL;

	no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	nosuid = fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOSUID);
	honoured = !no_new_privs && !nosuid;
	if (honoured && (st.st_mode & (S_ISUID | S_ISGID)))
		honoured = id_is_mapped("/proc/self/uid_map", st.st_uid) &&
			   id_is_mapped("/proc/self/gid_map", st.st_gid);

	if (honoured && (st.st_mode & S_ISUID)) {
		euid = st.st_uid;
		what = "is set-user-ID";
	}
	if (honoured && (st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP)) {
		egid = st.st_gid;
		if (!what || euid == getuid())
			what = "is set-group-ID";
	}
	if (euid != getuid() || egid != getgid())
		return what ? what
			    : "runs with different real and effective ids";

	if (!nosuid && getuid() != 0 && grants_capabilities(fd, no_new_privs))
		return "has file capabilities";

	return NULL;
}

/* Is 'fd' the dynamic linker that also loaded us? It obeys LD_PRELOAD. */
static bool is_own_linker(int fd, const struct elf_image *self)
{
	struct stat a, b;

	return self->kind == ELF_KIND_DYNAMIC && fstat(fd, &a) == 0 &&
	       stat(self->interpreter, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Which build of the library fits a program, or NULL if none can. */
static const char *find_variant(const struct elf_image *im,
				const struct elf_image *self)
{
	enum elf_libc libc = elf_libc(im), own = elf_libc(self);

	if (libc == ELF_LIBC_UNKNOWN || own == ELF_LIBC_UNKNOWN)
		libc = own;
	if (elf_same_machine(im, self) && libc == own)
		return "";
	if (elf_same_machine(im, self) && libc == ELF_LIBC_MUSL)
		return "musl";
	if (self->machine == EM_X86_64 && im->machine == EM_386 && libc == own)
		return "m32";

	return NULL;
}

static void judge_elf(struct target *t, int fd, const char *path,
		      const struct elf_image *im)
{
	static const char instead[] =
		"so it would use the kernel's System V shared memory. "
		"Use --allow-native to run it anyway.";
	char theirs[64], ours[64];
	enum elf_libc libc, own;
	struct elf_image self;
	const char *what;

	if (im->kind == ELF_KIND_DAMAGED) {
		verdict(t, TARGET_NOT_RUNNABLE,
			"%s is a damaged ELF file or no program", path);
		return;
	}

	if (elf_read_self(&self) < 0)
		return;
	if (im->kind == ELF_KIND_STATIC && !is_own_linker(fd, &self)) {
		verdict(t, TARGET_NATIVE,
			"%s is statically linked; no dynamic linker reads "
			"LD_PRELOAD for it, %s",
			path, instead);
		return;
	}

	t->variant = find_variant(im, &self);
	libc = elf_libc(im);
	own = elf_libc(&self);
	if (!t->variant && libc != own && libc != ELF_LIBC_UNKNOWN) {
		verdict(t, TARGET_OTHER_LIBC,
			"%s uses %s, but ushm's library was built for %s, %s",
			path, elf_libc_name(libc), elf_libc_name(own), instead);
		return;
	}
	if (!t->variant) {
		verdict(t, TARGET_NATIVE,
			"%s is a program for %s, but ushm's library is for %s, "
			"%s",
			path, elf_machine_name(im, theirs, sizeof(theirs)),
			elf_machine_name(&self, ours, sizeof(ours)), instead);
		return;
	}

	if (im->kind == ELF_KIND_DYNAMIC &&
	    runnable(im->interpreter) == ENOENT) {
		verdict(t, TARGET_ABSENT, "%s: its dynamic linker %s: %s", path,
			im->interpreter, message_errno(ENOENT));
		return;
	}

	what = find_privilege(fd);
	if (what)
		verdict(t, TARGET_NATIVE,
			"%s %s; the dynamic linker ignores LD_PRELOAD for it, "
			"%s",
			path, what, instead);
}

static void judge_file(struct target *t, const char *path, int nscripts);

/*
 * `#!/usr/bin/env prog`: env is what the kernel loads, prog what it is about.
 * Options other than -S are left to env.
 */
static void judge_env_argument(struct target *t, const char *argument,
			       int nscripts)
{
	char words[sizeof(((struct elf_image *)0)->argument)];
	char found[PATH_MAX];
	char *word, *rest;
	bool split = true;

	snprintf(words, sizeof(words), "%s", argument);
	rest = words;
	if (strncmp(rest, "-S", 2) == 0)
		rest += 2;
	else if (strncmp(rest, "--split-string=", 15) == 0)
		rest += 15;
	else
		split = false; /* the kernel passes all of it as one word */

	do {
		word = split ? strsep(&rest, " \t") : words;
	} while (split && word && (*word == '\0' || strchr(word, '=')));

	if (!word || *word == '\0' || *word == '-' || strchr(word, '='))
		return;
	if (look_up(word, found, sizeof(found)) == 0)
		judge_file(t, found, nscripts + 1);
}

static void judge_script(struct target *t, const char *path,
			 const struct elf_image *im, int nscripts)
{
	const char *base;
	int error;

	if (nscripts >= MAX_SCRIPTS) {
		verdict(t, TARGET_NOT_RUNNABLE,
			"%s: too many #! lines lead to each other", path);
		return;
	}

	error = runnable(im->interpreter);
	if (error) {
		verdict(t,
			error == ENOENT ? TARGET_ABSENT : TARGET_NOT_RUNNABLE,
			"%s: its interpreter %s: %s", path, im->interpreter,
			message_errno(error));
		return;
	}

	judge_file(t, im->interpreter, nscripts + 1);

	base = strrchr(im->interpreter, '/');
	base = base ? base + 1 : im->interpreter;
	if (t->verdict == TARGET_FINE && strcmp(base, "env") == 0)
		judge_env_argument(t, im->argument, nscripts);
}

static void judge_file(struct target *t, const char *path, int nscripts)
{
	struct elf_image im;
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return; /* it may be executed, but not read: no opinion */
	r = elf_read(fd, &im);
	if (r < 0)
		goto out;

	switch (im.kind) {
	case ELF_KIND_SCRIPT:
		judge_script(t, path, &im, nscripts);
		break;
	case ELF_KIND_OTHER:
		/* execvp(3) runs the shell then, the kernel says ENOEXEC. */
		if (nscripts == 0)
			judge_file(t, "/bin/sh", MAX_SCRIPTS);
		else
			verdict(t, TARGET_NOT_RUNNABLE, "%s: %s", path,
				message_errno(ENOEXEC));
		break;
	default:
		judge_elf(t, fd, path, &im);
		break;
	}
out:
	close(fd);
}

void target_judge(const char *command, struct target *ret)
{
	int error;

	memset(ret, 0, sizeof(*ret));
	ret->verdict = TARGET_FINE;
	ret->variant = "";

	error = look_up(command, ret->path, sizeof(ret->path));
	if (error)
		judge_missing(ret, command, error);
	else
		judge_file(ret, ret->path, 0);
}
