/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a check share: one check in progress, and how it tells.
 *
 * check.c has the parts called in their order.
 */
#ifndef USHM_CORE_CHECK_PARTS_H
#define USHM_CORE_CHECK_PARTS_H

#include "core/check.h"

#define CHECK_TEXT 500 /* bytes of a text, at most */

struct check {
	unsigned flags;
	finding_report *report;
	void *arg;
	int status;
	const char *path;
	int dir;
	int disk; /* a durable namespace's directory; 'dir' is where it is
		   * worked in then. Else -1 */
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

/* "3 processes use it: 12, 13, 14" */
struct check_users {
	uint32_t n;
	struct text t;
	char buf[100];
};

void check_users_add(struct check_users *u, int pid);
void check_users_put(const struct check_users *u, struct text *t);

/* --------------------------------------------------------------- the parts */

/*
 * The directory, and the registry's header. 0, or 1: that is as far as one can
 * look; or -errno and a sentence.
 */
int check_door(struct check *c, struct text *why);

/* What files know better than records that may be damaged. */
int check_files_first(struct check *c);

/* All files, when the records are right. */
int check_files(struct check *c);

#endif
