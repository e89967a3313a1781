/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_MESSAGE_H
#define USHM_TOOL_MESSAGE_H

#define MESSAGE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Exit codes of every subcommand but `run` and `fsck`. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* Those of `fsck` are the sum of these, as of e2fsck(8). */
enum {
	FSCK_CORRECTED = 1,
	FSCK_RESTART = 2,
	FSCK_LEFT = 4,
	FSCK_OPERATIONAL = 8,
	FSCK_USAGE = 16,
};

/* Errors read "ushm NAME: ..." from now on; NULL is plain "ushm: ...". */
void message_set_command(const char *name);

/* One line each on standard error. */
void message_error(const char *fmt, ...) MESSAGE_PRINTF(1, 2);
void message_note(const char *fmt, ...) MESSAGE_PRINTF(1, 2);

/* What to do next: a line of its own after an error. */
void message_hint(const char *fmt, ...) MESSAGE_PRINTF(1, 2);

/* "Try 'ushm NAME --help'." */
void message_try_help(void);

/*
 * What getopt_long() with ':' in front answered: '?' or ':'. Says which option
 * and points to --help.
 */
void message_bad_option(int c, char **argv);

/* strerror(), for a positive or a negative errno value. */
const char *message_errno(int error);

/*
 * Write out what stands in standard output's buffer. Returns 'status', or
 * EXIT_FAILED after a message when the output could not be written.
 */
int message_finish_output(int status);

#endif
