/* SPDX-License-Identifier: MIT */
/*
 * The calls of a flavour, and files to map.
 *
 * With MAPPING_KERNEL the calls are the kernel's; with MAPPING_REFUSED those of
 * 'ushm run --filemap' over a kernel that refuses to share files of the disk;
 * otherwise ushm_map() and its family, which never ask it.
 */
#ifndef MAPPING_H
#define MAPPING_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/check.h"

#define PAGE	   4096
#define RW	   (PROT_READ | PROT_WRITE)
#define LEN(array) (sizeof(array) / sizeof(*(array)))

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

/* 0 or -errno. */
int map(void *addr, size_t length, int prot, int flags, int fd, int64_t offset,
	void **ret_addr);
int sync_range(void *addr, size_t length, int flags);
int unmap(void *addr, size_t length);
int protect(void *addr, size_t length, int prot);
int remap(void *old, size_t old_size, size_t new_size, int flags,
	  void *new_addr, void **ret_addr);

/* Beside a mapping. */
long file_read(int fd, void *buf, size_t size, int64_t at);
long file_write(int fd, const void *buf, size_t size, int64_t at);
int file_resize(int fd, int64_t size);

/* A shared mapping that works. */
char *share(int fd, size_t length, int prot, int64_t offset);

/* ------------------------------------------------------------------ files */

/* A directory on a file system of a disk; the case's own. */
const char *work_path(const char *name);

/* A new file of 'size' bytes, byte i being pattern(i); open for both. */
int file_of(const char *name, size_t size);
char pattern(size_t i);

/* The byte there, by pread(2) alone: what the file itself holds; -1: no. */
int byte_of(int fd, int64_t at);
int64_t size_of(int fd);

/* The range holds the pattern of the file's bytes from 'at' on. */
bool holds_pattern(const char *p, size_t length, size_t at);

/* A /dev/shm that nobody else sees; or the case is skipped. */
void own_dev_shm(const char *options);

/* ----------------------------------------------------------------- touching */

/* 0, or the signal that it raises. */
int touch_read(const volatile char *p);
int touch_write(volatile char *p, char c);

#endif
