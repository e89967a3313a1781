/* SPDX-License-Identifier: MIT */
/*
 * without-sysv - run a command as if the kernel had no System V shared memory.
 *
 * A seccomp filter makes shmget, shmat, shmdt and shmctl fail for the command
 * and all below it, of whatever word size. root gets it without
 * no_new_privs, so that su(1) and set-uid programs still work below; the
 * kernel demands no_new_privs of everybody else.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int calls[] = {
	SCMP_SYS(shmget),
	SCMP_SYS(shmat),
	SCMP_SYS(shmdt),
	SCMP_SYS(shmctl),
};

/*
 * The 32-bit halves of 64-bit machines. libseccomp knows that i386 programs
 * may also come through ipc(2) and filters its first argument.
 */
static int add_other_archs(scmp_filter_ctx ctx)
{
	uint32_t other = 0;
	int r;

	switch (seccomp_arch_native()) {
	case SCMP_ARCH_X86_64:
		r = seccomp_arch_add(ctx, SCMP_ARCH_X32);
		if (r < 0 && r != -EEXIST)
			return r;
		other = SCMP_ARCH_X86;
		break;
	case SCMP_ARCH_AARCH64:
		other = SCMP_ARCH_ARM;
		break;
	}

	if (!other)
		return 0;
	r = seccomp_arch_add(ctx, other);
	return r == -EEXIST ? 0 : r;
}

static int install(int err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	size_t i;
	int r;

	if (!ctx)
		return -ENOMEM;

	r = add_other_archs(ctx);
	for (i = 0; r == 0 && i < sizeof(calls) / sizeof(*calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)err),
				     calls[i], 0);
	if (r < 0)
		goto out;

	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, geteuid() != 0);
	if (r < 0)
		goto out;

	r = seccomp_load(ctx);
	if (r < 0 && geteuid() == 0) {
		/* root in name only */
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1);
		r = seccomp_load(ctx);
	}

out:
	seccomp_release(ctx);
	return r;
}

int main(int argc, char **argv)
{
	int err = ENOSYS, opt, r;

	while ((opt = getopt(argc, argv, "+e:")) != -1) {
		if (opt == 'e' && strcmp(optarg, "EPERM") == 0)
			err = EPERM;
		else if (opt == 'e' && strcmp(optarg, "ENOSYS") == 0)
			err = ENOSYS;
		else
			goto usage;
	}
	if (optind == argc)
		goto usage;

	r = install(err);
	if (r < 0) {
		fprintf(stderr, "without-sysv: no seccomp filter: %s\n",
			strerror(-r));
		return 77;
	}

	execvp(argv[optind], argv + optind);
	fprintf(stderr, "without-sysv: %s: %s\n", argv[optind],
		strerror(errno));
	return 127;

usage:
	fprintf(stderr, "usage: without-sysv [-e ENOSYS|EPERM] COMMAND...\n");
	return 2;
}
