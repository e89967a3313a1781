/* SPDX-License-Identifier: MIT */
/*
 * no-shared-map COMMAND... - run a command as if no file could be mapped
 * shared.
 *
 * A seccomp filter has mmap() fail with ENODEV for the command and all below
 * it: MAP_SHARED and MAP_SHARED_VALIDATE, not anonymous, of a descriptor below
 * 512. It cannot see what the descriptor is of: ushm's own, which it maps
 * shared, have higher numbers. What private and anonymous mappings are is left
 * alone.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_ALLOWED 512

static int refuse(scmp_filter_ctx ctx, int call, uint64_t type)
{
	const struct scmp_arg_cmp which[] = {
		SCMP_A3_32(SCMP_CMP_MASKED_EQ, MAP_TYPE | MAP_ANONYMOUS, type),
		SCMP_A4_32(SCMP_CMP_LT, FIRST_ALLOWED),
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(ENODEV), call, 2,
				      which);
}

static int install(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = refuse(ctx, SCMP_SYS(mmap), MAP_SHARED);
	if (r == 0)
		r = refuse(ctx, SCMP_SYS(mmap), MAP_SHARED_VALIDATE);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, geteuid() != 0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 2) {
		fprintf(stderr, "usage: no-shared-map COMMAND...\n");
		return 2;
	}
	r = install();
	if (r < 0) {
		fprintf(stderr, "no-shared-map: no seccomp filter: %s\n",
			strerror(-r));
		return 77;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "no-shared-map: %s: %s\n", argv[1], strerror(errno));
	return 127;
}
