/* SPDX-License-Identifier: MIT */
/*
 * elf_read() on files that nobody would write: cut off anywhere, with bytes
 * of the headers replaced, with sizes and offsets at the ends of their range.
 * It must return, within bounds (run it with sanitizers), and never claim an
 * interpreter that does not end.
 */
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tool/elf.h"

#define IMAGE_BYTES 8192
#define ROUNDS	    20000

static uint8_t original[IMAGE_BYTES];
static size_t original_len;
static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;

	return seed;
}

static int failures;

static void check(int fd, const char *what, unsigned round)
{
	struct elf_image im;
	int r;

	memset(&im, 0xff, sizeof(im));
	r = elf_read(fd, &im);
	if (r == 0 && im.kind <= ELF_KIND_OTHER &&
	    memchr(im.interpreter, '\0', sizeof(im.interpreter)) &&
	    memchr(im.argument, '\0', sizeof(im.argument)))
		return;

	failures++;
	printf("%s, round %u: %d, kind %d\n", what, round, r, im.kind);
}

static void put(int fd, const void *bytes, size_t len, off_t at)
{
	if (pwrite(fd, bytes, len, at) != (ssize_t)len)
		abort();
}

static void reset(int fd)
{
	if (ftruncate(fd, 0) < 0)
		abort();
	put(fd, original, original_len, 0);
}

/* Every length of the headers. */
static void cut_off(int fd)
{
	for (size_t len = 0; len <= 2048 && len <= original_len; len++) {
		reset(fd);
		if (ftruncate(fd, (off_t)len) < 0)
			abort();
		check(fd, "cut off", (unsigned)len);
	}
}

static void replace_bytes(int fd)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		reset(fd);
		for (unsigned n = 1 + next_random() % 8; n; n--) {
			uint8_t byte = (uint8_t)next_random();

			put(fd, &byte, 1, (off_t)(next_random() % 1024));
		}
		check(fd, "bytes replaced", i);
	}
}

/* The fields that lead elsewhere, with values that overflow sums. */
static void extreme_fields(int fd)
{
	static const uint64_t values[] = {
		0,	    1,		63,
		64,	    4095,	4096,
		4097,	    0x7fff,	0xffff,
		0x7fffffff, 0xffffffff, INT64_MAX - 1,
		INT64_MAX,  UINT64_MAX, UINT64_MAX - 55,
	};
	static const struct {
		size_t at, len;
	} fields[] = {
		{ offsetof(Elf64_Ehdr, e_phoff), 8 },
		{ offsetof(Elf64_Ehdr, e_phnum), 2 },
		{ offsetof(Elf64_Ehdr, e_phentsize), 2 },
		{ offsetof(Elf32_Ehdr, e_phoff), 4 },
		{ offsetof(Elf32_Ehdr, e_phnum), 2 },
		{ sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_offset), 8 },
		{ sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz), 8 },
		{ sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) +
			  offsetof(Elf64_Phdr, p_offset),
		  8 },
		{ sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) +
			  offsetof(Elf64_Phdr, p_filesz),
		  8 },
	};
	unsigned round = 0;

	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++)
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			for (uint8_t class = 1; class <= 2; class ++) {
				reset(fd);
				put(fd, &values[v], fields[f].len,
				    (off_t)fields[f].at);
				put(fd, &class, 1, EI_CLASS);
				check(fd, "extreme field", round++);
			}
}

static void scripts(int fd)
{
	static const struct {
		const char *text, *interpreter, *argument;
		enum elf_kind kind;
	} cases[] = {
		{ "#!/bin/sh\n", "/bin/sh", "", ELF_KIND_SCRIPT },
		{ "#!/bin/sh", "/bin/sh", "", ELF_KIND_SCRIPT },
		{ "#! \t/bin/sh  -e x \t\nmore", "/bin/sh", "-e x",
		  ELF_KIND_SCRIPT },
		{ "#!\n/bin/sh", "", "", ELF_KIND_OTHER },
		{ "#!", "", "", ELF_KIND_OTHER },
		{ "#!   ", "", "", ELF_KIND_OTHER },
		{ "#", "", "", ELF_KIND_OTHER },
		{ "", "", "", ELF_KIND_OTHER },
		{ "echo\n", "", "", ELF_KIND_OTHER },
		{ "\177ELF", "", "", ELF_KIND_DAMAGED },
	};
	struct elf_image im;
	char line[1024];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (ftruncate(fd, 0) < 0)
			abort();
		put(fd, cases[i].text, strlen(cases[i].text), 0);
		if (elf_read(fd, &im) == 0 && im.kind == cases[i].kind &&
		    strcmp(im.interpreter, cases[i].interpreter) == 0 &&
		    strcmp(im.argument, cases[i].argument) == 0)
			continue;
		failures++;
		printf("script %zu: kind %d, '%s', '%s'\n", i, im.kind,
		       im.interpreter, im.argument);
	}

	/* Longer than the kernel looks: a cut interpreter is none. */
	memset(line, 'x', sizeof(line));
	memcpy(line, "#!/", 3);
	put(fd, line, sizeof(line), 0);
	if (elf_read(fd, &im) != 0 || im.kind != ELF_KIND_OTHER) {
		failures++;
		puts("a cut interpreter was taken");
	}
	line[100] = ' ';
	put(fd, line, sizeof(line), 0);
	if (elf_read(fd, &im) != 0 || im.kind != ELF_KIND_SCRIPT ||
	    strlen(im.interpreter) != 98) {
		failures++;
		puts("a cut argument spoilt the interpreter");
	}
}

int main(void)
{
	ssize_t n;
	int fd;

	fd = open("/proc/self/exe", O_RDONLY);
	n = fd < 0 ? -1 : read(fd, original, sizeof(original));
	if (n < 2048) {
		puts("cannot read this program");
		return 77;
	}
	close(fd);
	original_len = (size_t)n;

	fd = memfd_create("elf", MFD_CLOEXEC);
	if (fd < 0) {
		puts("no memfd_create()");
		return 77;
	}

	cut_off(fd);
	replace_bytes(fd);
	extreme_fields(fd);
	scripts(fd);

	return failures ? 1 : 0;
}
