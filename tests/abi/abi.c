/* SPDX-License-Identifier: MIT */
/*
 * Programs of several kinds in one namespace: 64-bit with glibc, 32-bit with
 * glibc, musl. Whatever one of them does, the others see, also when it is
 * killed. Like the conformance cases these pass on the kernel's segments too.
 *
 * The programs are peers (peer.c). $ABI_BUILD is the build directory; what is
 * in $ABI_PRELOAD becomes their LD_PRELOAD.
 */
#define CHECK_MAIN
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "support/check.h"

#define KEY 0x616269

enum { KINDS = 3 };
static const char *const kinds[KINDS] = { "", "m32/", "musl/" };

static struct kin {
	pid_t pid;
	FILE *to, *from;
} kin[KINDS];

static void start(int kind)
{
	const char *build = getenv("ABI_BUILD");
	const char *preload = getenv("ABI_PRELOAD");
	int down[2], up[2];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%stests/abi-peer", build ? build : ".",
		 kinds[kind]);
	if (access(path, X_OK) < 0)
		SKIP("there is no %s: no compiler for it", path);

	REQUIRE_OK(pipe2(down, O_CLOEXEC));
	REQUIRE_OK(pipe2(up, O_CLOEXEC));
	kin[kind].pid = fork();
	REQUIRE_OK(kin[kind].pid);
	if (kin[kind].pid == 0) {
		dup2(down[0], 0);
		dup2(up[1], 1);
		if (preload)
			setenv("LD_PRELOAD", preload, 1);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(down[0]);
	close(up[1]);
	kin[kind].to = fdopen(down[1], "w");
	kin[kind].from = fdopen(up[0], "r");
}

static void start_all(void)
{
	int i;

	for (i = 0; i < KINDS; i++)
		start(i);
}

static void tell(int kind, char what, long a, long b)
{
	fprintf(kin[kind].to, "%c %ld %ld\n", what, a, b);
	fflush(kin[kind].to);
}

static long ask(int kind, char what, long a, long b)
{
	long answer;

	tell(kind, what, a, b);
	REQUIRE(fscanf(kin[kind].from, "%ld", &answer) == 1);
	return answer;
}

static void slay(int kind)
{
	kill(kin[kind].pid, SIGKILL);
	waitpid(kin[kind].pid, NULL, 0);
	fclose(kin[kind].to);
	fclose(kin[kind].from);
}

CASE("C44", each_kind_sees_what_the_others_do)
{
	int maker, other, i;
	long id, time;

	start_all();
	for (maker = 0; maker < KINDS; maker++) {
		NOTE("made by %d", maker);
		other = (maker + 1) % KINDS;
		id = ask(maker, 'g', KEY, 5000);
		REQUIRE(id >= 0);
		time = ask(maker, 't', id, 0);
		for (i = 0; i < KINDS; i++) {
			CHECK_EQ(ask(i, 'g', KEY, 5000), id);
			CHECK_EQ(ask(i, 's', id, 0), 5000);
			CHECK_EQ(ask(i, 't', id, 0), time);
			CHECK_EQ(ask(i, 'n', id, 0), i);
			CHECK_EQ(ask(i, 'a', id, 0), 0);
			ask(i, 'w', 4990 + i, 'a' + i);
		}
		for (i = 0; i < KINDS; i++) {
			CHECK_EQ(ask(i, 'n', id, 0), KINDS);
			CHECK_EQ(ask(i, 'v', 4990, 0), 'a');
			CHECK_EQ(ask(i, 'v', 4991, 0), 'b');
			CHECK_EQ(ask(i, 'v', 4992, 0), 'c');
		}

		CHECK_EQ(ask(other, 'M', id, 0640), 0);
		for (i = 0; i < KINDS; i++)
			CHECK_EQ(ask(i, 'm', id, 0), 0640);

		CHECK_EQ(ask(other, 'r', id, 0), 0);
		for (i = 0; i < KINDS; i++) {
			CHECK_EQ(ask(i, 'm', id, 0), 0640 | 01000);
			CHECK_EQ(ask(i, 'n', id, 0), KINDS - i);
			CHECK_EQ(ask(i, 'd', 0, 0), 0);
		}
		for (i = 0; i < KINDS; i++)
			CHECK_EQ(ask(i, 'a', id, 0), -EINVAL);
	}
}

/* All orders of death, and in each either of the living notices first. */
CASE("C86", death_of_any_kind_is_seen_by_the_others)
{
	int first, second, third, round;
	long id;

	for (round = 0; round < 12; round++) {
		first = round % 3;
		second = (first + 1 + round / 3 % 2) % 3;
		third = 3 - first - second;
		NOTE("%d dies before %d before %d, %d notices", first, second,
		     third, round < 6 ? second : third);

		start_all();
		id = ask(first, 'g', KEY, 4096);
		CHECK_EQ(ask(0, 'a', id, 0), 0);
		CHECK_EQ(ask(1, 'a', id, 0), 0);
		CHECK_EQ(ask(2, 'a', id, 0), 0);
		CHECK_EQ(ask(second, 'n', id, 0), 3);
		ask(first, 'w', 0, round);

		slay(first);
		CHECK_EQ(ask(round < 6 ? second : third, 'n', id, 0), 2);
		CHECK_EQ(ask(round < 6 ? third : second, 'n', id, 0), 2);
		CHECK_EQ(ask(third, 'v', 0, 0), round);

		CHECK_EQ(ask(second, 'r', id, 0), 0);
		slay(second);
		CHECK_EQ(ask(third, 'n', id, 0), 1);
		CHECK_EQ(ask(third, 'v', 0, 0), round);
		slay(third);

		/* The last holder of a removed segment: it is gone. */
		start(second);
		CHECK_EQ(ask(second, 'm', id, 0), 0);
		CHECK_EQ(ask(second, 'n', id, 0), -EINVAL);
		slay(second);
	}
}

CASE("C86", death_within_a_call_stops_nobody)
{
	int round, victim, i;
	long id;

	start_all();
	id = ask(0, 'g', KEY, 4096);
	for (round = 0; round < 200; round++) {
		victim = round % KINDS;
		NOTE("round %d", round);
		tell(victim, 'c', id, 0);
		/* A time of its own in each round. */
		for (i = 0; i < 20 + round % 50; i++)
			(void)ask((victim + 1) % KINDS, 'g', KEY, 4096);
		slay(victim);
		CHECK_EQ(ask((victim + 1 + round % 2) % KINDS, 'n', id, 0), 0);
		start(victim);
	}
	CHECK_EQ(ask(0, 'r', id, 0), 0);
}

/* What does not fit is not attached; its size is cut, as the kernel does. */
CASE("C106", segment_for_64_bits_is_too_large_for_32)
{
	const long size = sizeof(long) == 8 ? (long)1 << 32 | 8192 : 0;
	long id;

	if (!size)
		SKIP("this machine has 32 bits");
	start(0);
	start(1);
	id = ask(0, 'g', KEY, size);
	if (id == -ENOMEM)
		SKIP("no memory for a segment of 4 GiB");
	CHECK_EQ(ask(0, 'a', id, 0), 0);
	CHECK_EQ(ask(1, 's', id, 0), 8192);
	CHECK_EQ(ask(1, 'g', KEY, 8193), id);
	CHECK_EQ(ask(1, 'a', id, 0), -ENOMEM);
	CHECK_EQ(ask(1, 'n', id, 0), 1);
	CHECK_EQ(ask(1, 'r', id, 0), 0);
	CHECK_EQ(ask(0, 'd', 0, 0), 0);
}
