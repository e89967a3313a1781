/* SPDX-License-Identifier: MIT */
/*
 * differential - random System V shared memory, told in a canonical form.
 *
 *	differential [-nNUMBER] [-x] [-t] SEED    run what the seed makes
 *	differential -g [-nNUMBER] [-x] [-t] SEED print what the seed makes
 *	differential -f FILE                      run the operations in FILE
 *	differential -c FILE                      print them as C: standalone.c
 *
 * -x: with SHM_EXEC; -t: with pauses that let times differ;
 * -m: with what meets the bugs in known/, too. Run once on the
 * kernel and once on something else, the two outputs must be the same: see
 * ./compare.
 */
#include "op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage(void)
{
	fprintf(stderr,
		"usage: differential [-g] [-nNUMBER] [-x] [-t] [-m] SEED\n"
		"       differential [-m] -f|-c FILE\n");
	return 2;
}

/* '#' begins a comment line. */
static int read_ops(const char *path, struct op **ret_ops, int *ret_n)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	struct op *ops = NULL, op, *more;
	int n = 0, room = 0, line = 0;
	char buf[200];

	if (!f) {
		perror(path);
		return -1;
	}
	while (fgets(buf, sizeof(buf), f)) {
		line++;
		if (buf[0] == '#' || buf[0] == '\n')
			continue;
		if (!op_parse(buf, &op)) {
			fprintf(stderr, "%s:%d: no operation\n", path, line);
			return -1;
		}
		if (n == room) {
			room = 2 * room + 64;
			more = realloc(ops, (size_t)room * sizeof(*ops));
			if (!more)
				return -1;
			ops = more;
		}
		ops[n++] = op;
	}
	if (f != stdin)
		fclose(f);
	*ret_ops = ops;
	*ret_n = n;
	return 0;
}

int main(int argc, char **argv)
{
	struct op_options options = { 0 };
	const char *run_file = NULL, *c_file = NULL;
	bool only_print = false, with_known = false;
	struct op *ops = NULL;
	int opt, n = 1000, r;
	char buf[200];

	if (argc > 1 && strcmp(argv[1], "-W") == 0)
		return run_again(argc - 1, argv + 1);

	while ((opt = getopt(argc, argv, "gn:xtmf:c:")) != -1) {
		if (opt == 'g')
			only_print = true;
		else if (opt == 'n')
			n = atoi(optarg);
		else if (opt == 'x')
			options.exec = true;
		else if (opt == 't')
			options.ticks = true;
		else if (opt == 'm')
			with_known = true;
		else if (opt == 'f')
			run_file = optarg;
		else if (opt == 'c')
			c_file = optarg;
		else
			return usage();
	}
	if (run_file || c_file) {
		if (read_ops(run_file ? run_file : c_file, &ops, &n) < 0)
			return 2;
	} else {
		if (optind + 1 != argc || n < 1)
			return usage();
		ops = calloc((size_t)n, sizeof(*ops));
		if (!ops)
			return 1;
		op_generate(strtoull(argv[optind], NULL, 0), ops, n, &options);
	}

	r = 0;
	if (c_file) {
		standalone_print(ops, n, stdout);
	} else if (only_print) {
		for (int i = 0; i < n; i++) {
			op_print(&ops[i], buf, sizeof(buf));
			puts(buf);
		}
	} else {
		r = run(ops, n, with_known);
	}
	free(ops);
	return r;
}
