/* SPDX-License-Identifier: MIT */
/*
 * Cases that must fail, and some that must not: run by check-itself.sh, which
 * knows which. A case fails when its name says so.
 */
#define CHECK_MAIN
#include "support/check.h"

CASE("-", passes)
{
	CHECK(1 + 1 == 2);
	CHECK_EQ(3, 3u);
	CHECK_ERRNO(close(-1), EBADF);
	CHECK_OK(getpid());
}

CASE("-", fails_by_condition)
{
	CHECK(1 + 1 == 3);
}

CASE("-", fails_by_value)
{
	CHECK_EQ(-1, 0xffffffffu);
}

CASE("-", fails_by_errno)
{
	CHECK_ERRNO(close(-1), EINVAL);
}

CASE("-", fails_by_success)
{
	CHECK_ERRNO(getpid(), EINVAL);
}

CASE("-", fails_in_a_grandchild_without_descriptors)
{
	int fd;

	if (child()) {
		if (child()) {
			for (fd = 0; fd < 1024; fd++)
				close(fd);
			CHECK(!"heard");
			child_exit();
		}
		child_exit();
	}
}

CASE("-", fails_by_a_signal)
{
	raise(SIGSEGV);
}

CASE("-", fails_by_a_childs_signal)
{
	if (child())
		raise(SIGKILL);
}

CASE("-", fails_by_exit_status)
{
	_exit(3);
}

CASE("-", fails_by_a_child_that_runs_on)
{
	if (child())
		return;
}

CASE("-", fails_by_time)
{
	alarm(1);
	pause();
}

CASE("-", fails_by_a_silent_peer)
{
	struct peer peer;

	if (peer_start(&peer))
		child_exit();
	peer_hear(&peer);
}

CASE("-", passes_with_a_talking_peer)
{
	struct peer peer;

	if (peer_start(&peer)) {
		peer_hear(&peer);
		peer_say(&peer);
		child_exit();
	}
	peer_say(&peer);
	peer_hear(&peer);
	peer_join(&peer);
}

CASE("-", passes_although_a_child_is_left)
{
	if (fork() == 0)
		pause();
}

CASE("-", is_skipped)
{
	SKIP("as it says");
}

CASE_IF("-", NEEDS_RAW, is_skipped_without_raw)
{
	CHECK(false);
}

CASE("-", differs)
{
	CHECK(!"as expected");
}
