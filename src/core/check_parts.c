/* SPDX-License-Identifier: MIT */
/*
 * Owns the words in which a check tells what it found, and what that comes to.
 *
 * Lock: never told with the registry's held: whoever listens may do anything.
 */
#include "core/check_parts.h"

bool check_repairs(const struct check *c)
{
	return c->flags & CHECK_REPAIR;
}

enum fate check_fate(const struct check *c, int r)
{
	if (!check_repairs(c))
		return FATE_FOUND;
	return r < 0 ? FATE_LEFT : FATE_CORRECTED;
}

void check_tell(struct check *c, enum fate fate, const char *code,
		const char *text, const char *remedy)
{
	struct finding f = { code, text, remedy, fate, 0 };

	if (fate == FATE_CORRECTED)
		c->status |= CHECK_CORRECTED;
	else if (fate != FATE_NOTED)
		c->status |= CHECK_LEFT;
	c->report(c->arg, &f);
}

/* A name that may hold anything, as one word of a line. */
static void put_name(struct text *t, const char *name)
{
	for (; *name; name++)
		text_bytes(t, (unsigned char)*name < ' ' ? "?" : name, 1);
}

void check_tell_words(struct check *c, enum fate fate, const char *code,
		      const char *name, const char *words, const char *remedy,
		      uint64_t a, uint64_t b)
{
	char buf[CHECK_TEXT];
	struct text t;

	text_init(&t, buf, sizeof(buf));
	if (name) {
		put_name(&t, name);
		text_str(&t, " ");
	}
	text_words(&t, words, (const uint64_t[]){ a, b });
	check_tell(c, fate, code, buf, remedy);
}

void check_users_add(struct check_users *u, int pid)
{
	if (u->n == 0)
		text_init(&u->t, u->buf, sizeof(u->buf));
	text_str(&u->t, u->n++ ? ", " : "");
	text_uint(&u->t, (uint64_t)pid, 10, 0, ' ');
}

void check_users_put(const struct check_users *u, struct text *t)
{
	text_uint(t, u->n, 10, 0, ' ');
	text_str(t, u->n == 1 ? " process uses it: " : " processes use it: ");
	text_str(t, u->buf);
	if (u->t.full)
		text_str(t, ", ...");
}

int check_change_mode(struct check *c, const char *name, uint32_t mode)
{
	return (int)SYS3(SYS_fchmodat, c->dir, name, mode);
}
