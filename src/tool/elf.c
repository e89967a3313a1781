/* SPDX-License-Identifier: MIT */
/*
 * Reads the first bytes of a program: what the kernel looks at in execve(2).
 *
 * The file is somebody else's and may change while it is read, so nothing is
 * mapped: every byte comes by pread(2) into a buffer of known size, every
 * count is bounded before it is used, and the limits are the kernel's
 * (fs/binfmt_elf.c, fs/binfmt_script.c).
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/elf.h"

#define SCRIPT_LINE 256	  /* BINPRM_BUF_SIZE */
#define PHDR_BYTES  65536 /* the kernel refuses a larger table */

/* Both classes' headers in one form. */
struct header {
	uint16_t type, machine, phentsize, phnum;
	uint64_t phoff;
};

struct segment {
	uint32_t type;
	uint64_t offset, filesz;
};

/* Returns the bytes read, fewer at the end of the file, or -errno. */
static ssize_t read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	if (offset > INT64_MAX - len)
		return 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}

	return (ssize_t)done;
}

static bool host_is_little(void)
{
	const uint16_t one = 1;

	return *(const uint8_t *)&one == 1;
}

static uint64_t get(const struct elf_image *im, const uint8_t *at, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++) {
		size_t pos = im->elf_data == ELFDATA2LSB ? len - 1 - i : i;

		v = v << 8 | at[pos];
	}

	return v;
}

#define GET(im, base, type, field) \
	get(im, (base) + offsetof(type, field), sizeof(((type *)0)->field))

static void decode_header(const struct elf_image *im, const uint8_t *raw,
			  struct header *ret)
{
	if (im->elf_class == ELFCLASS64) {
		ret->type = (uint16_t)GET(im, raw, Elf64_Ehdr, e_type);
		ret->machine = (uint16_t)GET(im, raw, Elf64_Ehdr, e_machine);
		ret->phoff = GET(im, raw, Elf64_Ehdr, e_phoff);
		ret->phentsize = (uint16_t)GET(im, raw, Elf64_Ehdr,
					       e_phentsize);
		ret->phnum = (uint16_t)GET(im, raw, Elf64_Ehdr, e_phnum);
	} else {
		ret->type = (uint16_t)GET(im, raw, Elf32_Ehdr, e_type);
		ret->machine = (uint16_t)GET(im, raw, Elf32_Ehdr, e_machine);
		ret->phoff = GET(im, raw, Elf32_Ehdr, e_phoff);
		ret->phentsize = (uint16_t)GET(im, raw, Elf32_Ehdr,
					       e_phentsize);
		ret->phnum = (uint16_t)GET(im, raw, Elf32_Ehdr, e_phnum);
	}
}

static void decode_segment(const struct elf_image *im, const uint8_t *raw,
			   struct segment *ret)
{
	if (im->elf_class == ELFCLASS64) {
		ret->type = (uint32_t)GET(im, raw, Elf64_Phdr, p_type);
		ret->offset = GET(im, raw, Elf64_Phdr, p_offset);
		ret->filesz = GET(im, raw, Elf64_Phdr, p_filesz);
	} else {
		ret->type = (uint32_t)GET(im, raw, Elf32_Phdr, p_type);
		ret->offset = GET(im, raw, Elf32_Phdr, p_offset);
		ret->filesz = GET(im, raw, Elf32_Phdr, p_filesz);
	}
}

/* Fill in im->interpreter from segment 'seg'; false when it is damaged. */
static int read_interpreter(int fd, struct elf_image *im,
			    const struct segment *seg)
{
	ssize_t n;

	if (seg->filesz < 2 || seg->filesz > sizeof(im->interpreter))
		return 0;

	n = read_at(fd, im->interpreter, (size_t)seg->filesz, seg->offset);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n != seg->filesz || im->interpreter[n - 1] != '\0')
		return 0;

	return 1;
}

static int read_elf(int fd, const uint8_t *start, size_t len,
		    struct elf_image *im)
{
	uint8_t raw[sizeof(Elf64_Phdr)];
	struct header h;
	size_t entry;
	int r;

	im->kind = ELF_KIND_DAMAGED;
	if (len < EI_NIDENT)
		return 0;
	im->elf_class = start[EI_CLASS];
	im->elf_data = start[EI_DATA];

	if (im->elf_class == ELFCLASS64 && len >= sizeof(Elf64_Ehdr))
		entry = sizeof(Elf64_Phdr);
	else if (im->elf_class == ELFCLASS32 && len >= sizeof(Elf32_Ehdr))
		entry = sizeof(Elf32_Phdr);
	else
		return 0;
	if (im->elf_data != ELFDATA2LSB && im->elf_data != ELFDATA2MSB)
		return 0;

	decode_header(im, start, &h);
	im->machine = h.machine;
	if (h.type != ET_EXEC && h.type != ET_DYN)
		return 0;
	if (h.phentsize != entry || h.phnum == 0 ||
	    h.phnum * entry > PHDR_BYTES)
		return 0;

	for (unsigned i = 0; i < h.phnum; i++) {
		struct segment seg;
		ssize_t n;

		if (h.phoff > INT64_MAX - PHDR_BYTES)
			return 0;
		n = read_at(fd, raw, entry, h.phoff + i * entry);
		if (n < 0)
			return (int)n;
		if ((size_t)n != entry)
			return 0;

		decode_segment(im, raw, &seg);
		if (seg.type != PT_INTERP)
			continue;

		r = read_interpreter(fd, im, &seg);
		if (r > 0)
			im->kind = ELF_KIND_DYNAMIC;
		return r < 0 ? r : 0;
	}

	im->kind = ELF_KIND_STATIC;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The line after #!, cut up as the kernel does. */
static void read_script(const char *start, size_t len, struct elf_image *im)
{
	char line[SCRIPT_LINE + 1];
	char *word, *end, *stop;
	bool whole;

	im->kind = ELF_KIND_OTHER; /* what ENOEXEC leads to */

	if (len > SCRIPT_LINE - 1)
		len = SCRIPT_LINE - 1;
	memcpy(line, start, len);
	line[len] = '\0';

	stop = memchr(line, '\n', len);
	whole = stop || len < SCRIPT_LINE - 1;
	if (!stop)
		stop = line + len;
	*stop = '\0';

	word = line + 2;
	while (is_blank(*word))
		word++;
	end = word;
	while (*end && !is_blank(*end))
		end++;
	if (end == word || (*end == '\0' && !whole))
		return;

	memcpy(im->interpreter, word, (size_t)(end - word));
	im->interpreter[end - word] = '\0';
	im->kind = ELF_KIND_SCRIPT;

	while (is_blank(*end))
		end++;
	stop = end + strlen(end);
	while (stop > end && is_blank(stop[-1]))
		stop--;
	memcpy(im->argument, end, (size_t)(stop - end));
	im->argument[stop - end] = '\0';
}

int elf_read(int fd, struct elf_image *ret_image)
{
	uint8_t start[SCRIPT_LINE];
	struct elf_image im = { .kind = ELF_KIND_OTHER };
	ssize_t n;
	int r = 0;

	n = read_at(fd, start, sizeof(start), 0);
	if (n < 0)
		return (int)n;

	if (n >= SELFMAG && memcmp(start, ELFMAG, SELFMAG) == 0)
		r = read_elf(fd, start, (size_t)n, &im);
	else if (n >= 2 && start[0] == '#' && start[1] == '!')
		read_script((const char *)start, (size_t)n, &im);
	if (r < 0)
		return r;

	*ret_image = im;
	return 0;
}

/* The first object dl_iterate_phdr(3) names is the program. */
static int find_interpreter(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct elf_image *im = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_INTERP ||
		    ph->p_memsz > sizeof(im->interpreter))
			continue;
		memcpy(im->interpreter,
		       (const void *)(info->dlpi_addr + ph->p_vaddr),
		       ph->p_memsz);
		im->interpreter[sizeof(im->interpreter) - 1] = '\0';
		im->kind = ELF_KIND_DYNAMIC;
	}

	return 1;
}

int elf_read_self(struct elf_image *ret_image)
{
	struct elf_image im = { .kind = ELF_KIND_STATIC };
	int fd, r;

	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		r = elf_read(fd, &im);
		close(fd);
		if (r == 0 && (im.kind == ELF_KIND_DYNAMIC ||
			       im.kind == ELF_KIND_STATIC)) {
			*ret_image = im;
			return 0;
		}
	}

	/* No /proc: look at our own memory. The machine stays unknown. */
	im = (struct elf_image){ .kind = ELF_KIND_STATIC };
	im.elf_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
	im.elf_data = host_is_little() ? ELFDATA2LSB : ELFDATA2MSB;
	im.machine = EM_NONE;
	dl_iterate_phdr(find_interpreter, &im);

	*ret_image = im;
	return 0;
}

bool elf_same_machine(const struct elf_image *a, const struct elf_image *b)
{
	return a->elf_class == b->elf_class && a->elf_data == b->elf_data &&
	       (a->machine == b->machine || a->machine == EM_NONE ||
		b->machine == EM_NONE);
}

enum elf_libc elf_libc(const struct elf_image *image)
{
	static const struct {
		const char *prefix;
		enum elf_libc libc;
	} names[] = {
		{ "ld-linux", ELF_LIBC_GLIBC },
		{ "ld.so.", ELF_LIBC_GLIBC },
		{ "ld64.so.", ELF_LIBC_GLIBC },
		{ "ld-musl-", ELF_LIBC_MUSL },
		{ "linker", ELF_LIBC_BIONIC },
		{ "ld-uClibc", ELF_LIBC_UCLIBC },
		{ "ld64-uClibc", ELF_LIBC_UCLIBC },
	};
	const char *base = strrchr(image->interpreter, '/');

	base = base ? base + 1 : image->interpreter;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(base, names[i].prefix, strlen(names[i].prefix)) ==
		    0)
			return names[i].libc;

	return ELF_LIBC_UNKNOWN;
}

const char *elf_libc_name(enum elf_libc libc)
{
	switch (libc) {
	case ELF_LIBC_GLIBC:
		return "glibc";
	case ELF_LIBC_MUSL:
		return "musl";
	case ELF_LIBC_BIONIC:
		return "bionic";
	case ELF_LIBC_UCLIBC:
		return "uClibc";
	case ELF_LIBC_UNKNOWN:
		break;
	}

	return "unknown";
}

const char *elf_machine_name(const struct elf_image *image, char *buf,
			     size_t len)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{ EM_386, "x86" },	   { EM_X86_64, "x86-64" },
		{ EM_ARM, "ARM" },	   { EM_AARCH64, "AArch64" },
		{ EM_RISCV, "RISC-V" },	   { EM_PPC, "PowerPC" },
		{ EM_PPC64, "PowerPC64" }, { EM_S390, "S/390" },
		{ EM_MIPS, "MIPS" },	   { EM_SPARCV9, "SPARC" },
	};
	int bits = image->elf_class == ELFCLASS64 ? 64 : 32;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].machine == image->machine) {
			snprintf(buf, len, "%d-bit %s", bits, names[i].name);
			return buf;
		}

	snprintf(buf, len, "%d-bit machine %u", bits, image->machine);
	return buf;
}
