/* SPDX-License-Identifier: MIT */
/*
 * What check.c and check_files.c share: one check in progress.
 */
#ifndef USHM_CORE_CHECK_PARTS_H
#define USHM_CORE_CHECK_PARTS_H

#include "core/check.h"

struct check {
	unsigned flags;
	finding_report *report;
	void *arg;
	int status;
	const char *path;
	int dir;
	uint32_t uid;
	struct space *sp;
};

bool check_repairs(const struct check *c);

/* What has become of a thing whose repair, if there was one, gave 'r'. */
enum fate check_fate(const struct check *c, int r);

void check_tell(struct check *c, enum fate fate, const char *code,
		const char *text, const char *remedy);

/* The same with a text of parts: a name, or NULL, and words (text_words()). */
void check_tell_words(struct check *c, enum fate fate, const char *code,
		      const char *name, const char *words, const char *remedy,
		      uint64_t a, uint64_t b);

int check_change_mode(struct check *c, const char *name, uint32_t mode);

/* What files know better than records that may be damaged. */
int check_files_first(struct check *c);

/* All files, when the records are right. */
int check_files(struct check *c);

#endif
