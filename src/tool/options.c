/* SPDX-License-Identifier: MIT */
/*
 * Owns how a command line is read: getopt_long(3) over a table that says what
 * becomes of each option.
 */
#include "tool/options.h"

#include <getopt.h>
#include <stdio.h>

#include "tool/message.h"

#define LONG_ONLY 256 /* and the row's index */

static bool has_argument(const struct tool_option *o)
{
	return o->text || (o->take && !o->bare);
}

static bool is_end(const struct tool_option *o)
{
	return !o->name && !o->letter;
}

/* For getopt_long(): what it returns is a letter, or LONG_ONLY and a row. */
static void translate(const struct tool_option *table, char *letters,
		      struct option *names)
{
	for (const struct tool_option *o = table; !is_end(o); o++) {
		if (!o->name) /* OPTION_WORD */
			continue;
		*names++ = (struct option){
			o->name,
			has_argument(o) ? required_argument : no_argument, NULL,
			o->letter ? o->letter : LONG_ONLY + (int)(o - table)
		};
		if (!o->letter)
			continue;
		*letters++ = o->letter;
		if (has_argument(o))
			*letters++ = ':';
	}
	*names++ = (struct option){ "help", no_argument, NULL, 'h' };
	*names = (struct option){ 0 };
	*letters++ = 'h';
	*letters = '\0';
}

static const struct tool_option *find(const struct tool_option *table, int c)
{
	for (const struct tool_option *o = table; !is_end(o); o++)
		if (o->letter ? o->letter == c : LONG_ONLY + (o - table) == c)
			return o;
	return NULL;
}

static int obey(const struct tool_option *o)
{
	if (o->flag)
		*o->flag = true;
	if (o->bits)
		*o->bits |= o->bit;
	if (o->text)
		*o->text = optarg;
	return o->take ? o->take(o->to, optarg) : 0;
}

int options_parse(const struct tool_option *table, void (*help)(void),
		  enum options_words words, int argc, char **argv)
{
	struct option names[OPTIONS_MAX + 2];
	char letters[2 * OPTIONS_MAX + 4];
	const struct tool_option *o;
	char *to = letters;
	int c;

	if (words == OPTIONS_FIRST)
		*to++ = '+';
	else if (find(table, OPTION_WORD))
		*to++ = '-';
	*to++ = ':';
	translate(table, to, names);

	optind = 0; /* from the start, also for the second time */
	while ((c = getopt_long(argc, argv, letters, names, NULL)) != -1) {
		if (c == 'h') {
			help();
			return EXIT_DONE;
		}
		o = find(table, c);
		if (!o) {
			message_bad_option(c, argv);
			return EXIT_USAGE;
		}
		if (obey(o) < 0)
			return EXIT_USAGE;
	}

	if (words == OPTIONS_ALONE && optind < argc) {
		message_error("'%s' is one argument too many", argv[optind]);
		message_try_help();
		return EXIT_USAGE;
	}
	return OPTIONS_GO_ON;
}
