/* SPDX-License-Identifier: MIT */
/*
 * Owns what is done about the dead of an object: an intent is finished, and the
 * next first user compares pages, shadow and file.
 *
 * Invariant: a page that is newer is written only if the file still is as its
 * shadow says. The file's identity does not tell, where nobody says when it was
 * born, so all of its bytes are asked.
 * Lock: the object's.
 * Crash: each of it can be done once more, from the start; the intent is taken
 * back last.
 */
#include "backing/object_recover.h"

#include <string.h>

#include "backing/object_commit.h"
#include "backing/object_copy.h"
#include "base/step.h"

int recover_intent(struct object *o)
{
	uint32_t intent = load_acquire(&o->h->intent);
	uint64_t from = o->h->from, to = o->h->to;
	int r = 0;

	to = to < o->size ? to : o->size;
	if (intent == INTENT_NONE || !o->may_share ||
	    (intent == INTENT_PUSH && !o->may_write))
		return 0;
	if (intent == INTENT_COMMIT) {
		r = commit_replay(o);
		from = 0;
		to = o->size;
	}
	/* To write all of it once more is as good as to finish. */
	if (intent == INTENT_PUSH && from < to)
		r = copy_push_again(o, from, to);
	else if (r == 0 && from < to)
		r = copy_pull(o, from, to);
	if (r == 0)
		store_release(&o->h->intent, INTENT_NONE);
	return r;
}

static bool equal(const char *a, const char *b, uint64_t n)
{
	return memcmp(a, b, (size_t)n) == 0;
}

/* A page that is neither as we know it nor as we would have it. */
static void look(struct object *o, uint64_t at, const char *bytes, uint64_t n)
{
	bool intended = o->h->intent != INTENT_NONE && at < o->h->to &&
			at + n > o->h->from;

	if (!intended && !equal(o->shadow + at, bytes, n) &&
	    !equal(o->page + at, bytes, n))
		o->strange = true;
}

/* What is newer than the file stays only if the file is as we knew it. */
static void compare(struct object *o, uint64_t at, const char *bytes,
		    uint64_t n)
{
	bool known = equal(o->shadow + at, bytes, n);
	bool newer = !equal(o->page + at, o->shadow + at, n);

	if (known && (!newer || !o->strange))
		return;
	if (newer && !equal(o->page + at, bytes, n))
		o->dropped++;
	memcpy(o->page + at, bytes, (size_t)n);
	memcpy(o->shadow + at, bytes, (size_t)n);
}

/*
 * Is it the file that the object was made from? Where the file system does not
 * say when a file was born, any difference means: another one of that number,
 * or one in other hands since. Then nothing is written.
 */
static int know_file(struct object *o)
{
	/* Who died over a change may have left another size. */
	if ((o->id.born && o->h->born) || o->h->intent == INTENT_PULL)
		o->strange = false;
	if ((o->id.born && o->h->born) || o->strange)
		return 0;
	return copy_read(o, 0, o->size, look);
}

int recover_object(struct object *o)
{
	int r = know_file(o);

	/* What was not committed is to go. */
	o->strange |= o->h->atomic;
	o->dropped = 0;
	if (o->strange)
		store_release(&o->h->intent, INTENT_NONE);
	else if (r == 0)
		r = recover_intent(o);
	if (r == 0)
		r = copy_read(o, 0, o->size, compare);
	step("object: compared");
	if (r == 0)
		r = copy_push(o, 0, o->size);
	if (r < 0)
		return r;
	if (o->h->atomic)
		return 0;
	o->h->dropped += o->dropped;
	return (int)o->dropped;
}
