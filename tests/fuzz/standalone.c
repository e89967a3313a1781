/* SPDX-License-Identifier: MIT */
/*
 * What libFuzzer does with files as arguments, for any compiler: play each
 * input, those of a directory one by one. An input that fails aborts.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"

static unsigned played;

static void play_file(const char *path)
{
	static uint8_t buf[1 << 20];
	size_t n;
	uint8_t *exact;
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		exit(1);
	}
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);

	/* Of its own size, so that a sanitizer sees a byte too many read. */
	exact = malloc(n ? n : 1);
	if (!exact)
		exit(1);
	memcpy(exact, buf, n);
	fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	played++;
}

static void play(const char *path)
{
	char file[4096];
	struct dirent *e;
	DIR *d = opendir(path);

	if (!d) {
		play_file(path);
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		play_file(file);
	}
	closedir(d);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		play(argv[i]);
	printf("%u inputs\n", played);
	return played == 0;
}
