/* SPDX-License-Identifier: MIT */
/*
 * What the tool says on standard error, and the last look at standard output.
 *
 * A message is one line that starts with the command's name, so that it can
 * be told from what the program under `ushm run` prints. It leaves in one
 * write(2): lines of several processes do not mix.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/message.h"

static const char *command;

static void write_line(const char *lead, const char *fmt, va_list ap)
{
	char line[8192];
	size_t len;
	int n;

	n = snprintf(line, sizeof(line), "ushm%s%s: %s", command ? " " : "",
		     command ? command : "", lead);
	if (n < 0)
		return;
	len = (size_t)n;

	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	if (n < 0)
		return;
	len += (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';

	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nowhere left to complain */
}

void message_set_command(const char *name)
{
	command = name;
}

void message_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line("", fmt, ap);
	va_end(ap);
}

void message_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line("", fmt, ap);
	va_end(ap);
}

void message_hint(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line("hint: ", fmt, ap);
	va_end(ap);
}

void message_try_help(void)
{
	message_hint("see 'ushm%s%s --help'", command ? " " : "",
		     command ? command : "");
}

void message_bad_option(int c, char **argv)
{
	const char *given = argv[optind - 1];
	const char *why = c == ':' ? "needs an argument" : "is unknown";

	/* Long options that take no argument, but got one, have optopt set to
	 * their letter as well. */
	if (strncmp(given, "--", 2) == 0)
		message_error("option '%s' %s", given,
			      c == '?' && optopt && strchr(given, '=')
				      ? "takes no argument"
				      : why);
	else
		message_error("option '-%c' %s", optopt, why);
	message_try_help();
}

const char *message_errno(int error)
{
	return strerror(error < 0 ? -error : error);
}

int message_finish_output(int status)
{
	int failed = ferror(stdout);

	errno = 0;
	if (fclose(stdout) == 0 && !failed)
		return status;

	/* A standard output that was closed from the start is fine as long
	 * as there was nothing to say. */
	if (errno == EBADF && !failed)
		return status;

	message_error("cannot write standard output: %s",
		      errno ? message_errno(errno) : "write error");
	return EXIT_FAILED;
}
