/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_ELF_H
#define USHM_TOOL_ELF_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum elf_kind {
	ELF_KIND_DYNAMIC, /* an ELF program that names a dynamic linker */
	ELF_KIND_STATIC,  /* an ELF file that names none */
	ELF_KIND_DAMAGED, /* starts as an ELF file, but the kernel refuses it */
	ELF_KIND_SCRIPT,  /* starts with #! */
	ELF_KIND_OTHER,	  /* execvp(3) hands it to the shell */
};

/* The C library that a dynamic linker belongs to. */
enum elf_libc {
	ELF_LIBC_UNKNOWN,
	ELF_LIBC_GLIBC,
	ELF_LIBC_MUSL,
	ELF_LIBC_BIONIC,
	ELF_LIBC_UCLIBC,
};

struct elf_image {
	enum elf_kind kind;
	uint8_t elf_class; /* ELFCLASS32 or ELFCLASS64 */
	uint8_t elf_data;  /* ELFDATA2LSB or ELFDATA2MSB */
	uint16_t machine;  /* EM_X86_64, ... */
	/* The dynamic linker, or the program after #!. */
	char interpreter[PATH_MAX];
	/* What follows the program on the #! line: one argument, or "". */
	char argument[256];
};

/*
 * Read what the kernel reads of the file in descriptor 'fd' when it executes
 * it. Every file is an answer: a damaged one is ELF_KIND_DAMAGED. Returns 0 or
 * what pread(2) failed with, negative.
 */
int elf_read(int fd, struct elf_image *ret_image);

/* This very program. Returns 0 or a negative errno. */
int elf_read_self(struct elf_image *ret_image);

/* Can a library for 'a' be loaded into 'b', as far as the machine goes? */
bool elf_same_machine(const struct elf_image *a, const struct elf_image *b);

enum elf_libc elf_libc(const struct elf_image *image);
const char *elf_libc_name(enum elf_libc libc);

/* "64-bit x86-64", into a buffer of the caller. */
const char *elf_machine_name(const struct elf_image *image, char *buf,
			     size_t len);

#endif
