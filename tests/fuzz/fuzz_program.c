/* SPDX-License-Identifier: MIT */
/*
 * Any file that `ushm run` is asked to run: every one is judged, none is
 * executed, and the judgement is one that a person can read.
 *
 * An input is the file. "@@" in it stands for the path of the file itself.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "tool/elf.h"
#include "tool/target.h"

static char path[64];
static int file;

static void make_file(void)
{
	snprintf(path, sizeof(path), "%s/ushm-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	file = mkstemp(path);
	if (file < 0 || fchmod(file, 0700) < 0) {
		perror(path);
		exit(1);
	}
}

static void remove_file(void)
{
	unlink(path);
}

/* Returns its length. */
static size_t fill(const uint8_t *data, size_t size)
{
	static uint8_t text[1 << 20];
	size_t n = 0, room = sizeof(text) - sizeof(path);

	for (size_t i = 0; i < size && n < room; i++) {
		if (data[i] == '@' && i + 1 < size && data[i + 1] == '@') {
			memcpy(text + n, path, strlen(path));
			n += strlen(path);
			i++;
		} else {
			text[n++] = data[i];
		}
	}
	if (pwrite(file, text, n, 0) != (ssize_t)n ||
	    ftruncate(file, (off_t)n) < 0)
		abort();
	return n;
}

static void check_image(const struct elf_image *im, size_t size)
{
	char name[64];

	if (im->kind > ELF_KIND_OTHER ||
	    !memchr(im->interpreter, 0, sizeof(im->interpreter)) ||
	    !memchr(im->argument, 0, sizeof(im->argument)))
		abort();
	if (im->kind == ELF_KIND_DYNAMIC && size < 52)
		abort(); /* not even a header */
	if (strlen(elf_machine_name(im, name, sizeof(name))) >= sizeof(name) ||
	    !elf_libc_name(elf_libc(im)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct target t;
	struct elf_image im;
	size_t n;

	if (!*path) {
		make_file();
		(void)atexit(remove_file);
	}
	n = fill(data, size);
	if (elf_read(file, &im) < 0)
		abort();
	check_image(&im, n);
	target_judge(path, &t);
	if ((t.verdict == TARGET_FINE) != (t.why[0] == '\0') ||
	    strlen(t.why) >= sizeof(t.why))
		abort();
	return 0;
}
