/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_OPTIONS_H
#define USHM_TOOL_OPTIONS_H

#include <stdbool.h>
#include <unistd.h> /* optind */

/* What is done about one option: 'flag', 'bits', 'text' or 'take' is set. */
struct tool_option {
	char letter; /* 0: it has none */
	const char *name;
	bool *flag; /* becomes true */
	unsigned *bits, bit;
	const char **text; /* becomes the argument */
	/* Is called with the argument; negative: wrong usage, and was said. */
	int (*take)(void *to, const char *argument);
	void *to;
	bool bare; /* there is no argument to take */
};

#define OPTIONS_MAX 16

/* Who takes words in their place among options does so under this letter. */
#define OPTION_WORD '\1'

/* What else a command may be given. */
enum options_words {
	OPTIONS_ALONE, /* nothing */
	OPTIONS_WORDS, /* words, which are at argv[optind] afterwards */
	OPTIONS_FIRST, /* the first word ends the options */
};

#define OPTIONS_GO_ON -1

/*
 * Do what the options of a command say. The table ends with an empty row;
 * --help is everybody's. Returns OPTIONS_GO_ON; or after a message EXIT_USAGE,
 * after help() EXIT_DONE.
 */
int options_parse(const struct tool_option *table, void (*help)(void),
		  enum options_words words, int argc, char **argv);

#endif
