/* SPDX-License-Identifier: MIT */
/*
 * Owns the part of the header that is fixed at creation.
 *
 * Invariant: all of it follows from three capacities, the user, the system
 * that it lives on, and constants. So it can be checked, and where enough of
 * it is left, restored.
 * Lock: none; it never changes.
 */
#include "store/header.h"

#include <string.h>

#include "base/sys.h"

static uint64_t place(struct layout_array *a, uint64_t at, uint32_t size,
		      uint32_t capacity, uint32_t ready)
{
	*a = (struct layout_array){
		.offset = at,
		.size = size,
		.capacity = capacity,
		.ready = ready < capacity ? ready : capacity,
	};
	return at + header_page_up((uint64_t)size * capacity);
}

bool header_geometry(const struct registry_shape *s, struct geometry *g)
{
	uint64_t at = LAYOUT_PAGE;

	if (s->max_segments == 0 || s->max_segments > 1u << 24 ||
	    s->max_procs == 0 || s->max_procs > 1u << 22 ||
	    s->max_attaches == 0 || s->max_attaches > 1u << 26)
		return false;

	/* The kernel's split of an id: 15 bits of index, or 24 with more. */
	g->seq_shift = s->max_segments <= 32768 ? 15 : 24;
	at = place(&g->bitmap, at, 8, (s->max_segments + 63) / 64, UINT32_MAX);
	at = place(&g->key_heads, at, 4, LAYOUT_KEY_HEADS, UINT32_MAX);
	at = place(&g->addr_heads, at, 4, LAYOUT_ADDR_HEADS, UINT32_MAX);
	at = place(&g->procs, at, sizeof(struct layout_proc), s->max_procs,
		   HEADER_CHUNK / sizeof(struct layout_proc));
	at = place(&g->segments, at, sizeof(struct layout_segment),
		   s->max_segments,
		   HEADER_CHUNK / sizeof(struct layout_segment));
	at = place(&g->attaches, at, sizeof(struct layout_attach),
		   s->max_attaches,
		   HEADER_CHUNK / sizeof(struct layout_attach));
	g->file_size = at;
	return g->file_size < UINT32_MAX; /* the undo log's offsets */
}

/* ------------------------------------------------------------- the check */

static bool same_array(const struct layout_array *have,
		       const struct layout_array *want)
{
	return have->offset == want->offset && have->size == want->size &&
	       have->capacity == want->capacity &&
	       have->ready <= have->capacity && have->used <= have->ready;
}

static int refuse(struct text *why, int r, const char *what)
{
	text_str(why, what);
	return r;
}

/* Check a copy of the header against the file that it came from. */
int header_check(const struct layout_header *h, uint32_t uid,
		 uint64_t file_size, bool durable, struct geometry *ret,
		 struct text *why)
{
	struct registry_shape shape = { h->segments.capacity, h->procs.capacity,
					h->attaches.capacity };

	if (h->magic != LAYOUT_MAGIC)
		return refuse(why, -EPROTO, "is not a ushm registry (magic)");
	if (h->version != LAYOUT_VERSION) {
		text_str(why, "is a registry of format version ");
		text_uint(why, h->version, 10, 0, ' ');
		text_str(why, ", this ushm knows version ");
		text_uint(why, LAYOUT_VERSION, 10, 0, ' ');
		return -EPROTO;
	}
	if (h->features & ~LAYOUT_DURABLE)
		return refuse(why, -EPROTO,
			      "uses features that this ushm does not know");
	if (h->features & LAYOUT_DURABLE && !durable)
		return refuse(why, -EPROTO,
			      "is that of a durable namespace's working "
			      "directory: name the directory on disk");
	if (!(h->features & LAYOUT_DURABLE) && durable)
		return refuse(why, -EPROTO,
			      "is not that of a durable namespace");
	if (h->header_size != sizeof(struct layout_header) ||
	    !header_geometry(&shape, ret) ||
	    !same_array(&h->segments, &ret->segments) ||
	    !same_array(&h->procs, &ret->procs) ||
	    !same_array(&h->attaches, &ret->attaches) ||
	    !same_array(&h->key_heads, &ret->key_heads) ||
	    !same_array(&h->addr_heads, &ret->addr_heads) ||
	    !same_array(&h->bitmap, &ret->bitmap) ||
	    h->seq_shift != ret->seq_shift || h->file_size != ret->file_size)
		return refuse(why, -EPROTO,
			      "is a damaged registry (its sizes do not fit)");
	if (h->uid != uid)
		return refuse(why, -EPROTO,
			      "is a registry made for another user");
	if (h->file_size != file_size)
		return refuse(why, -EPROTO, "is a truncated registry");
	return 0;
}

void header_boot_id(char *ret, size_t size)
{
	int fd = sys_openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id",
			    O_RDONLY | O_CLOEXEC, 0);
	long n = 0;

	memset(ret, 0, size);
	if (fd < 0)
		return;
	n = sys_read(fd, ret, 36);
	(void)sys_close(fd);
	if (n != 36)
		memset(ret, 0, size);
}

/* True if both are known and they differ. */
bool header_other_boot(const struct layout_header *h)
{
	char now[sizeof(h->boot_id)];

	header_boot_id(now, sizeof(now));
	return now[0] && h->boot_id[0] &&
	       memcmp(now, h->boot_id, sizeof(now)) != 0;
}

void header_fill(struct layout_header *h, uint32_t uid,
		 const struct geometry *g, uint64_t features)
{
	/* Linux's own default: unlimited, with room to add without overflow. */
	const uint64_t unlimited = ~UINT64_C(0) - (UINT64_C(1) << 24);

	memset(h, 0, sizeof(*h));
	h->magic = LAYOUT_MAGIC;
	h->version = LAYOUT_VERSION;
	h->header_size = sizeof(*h);
	h->file_size = g->file_size;
	h->uid = uid;
	h->features = features;
	h->seq_shift = g->seq_shift;
	header_boot_id((char *)h->boot_id, sizeof(h->boot_id));
	h->segments = g->segments;
	h->procs = g->procs;
	h->attaches = g->attaches;
	h->key_heads = g->key_heads;
	h->addr_heads = g->addr_heads;
	h->bitmap = g->bitmap;
	h->shmmax = unlimited;
	h->shmall = unlimited;
	h->shmmni = g->segments.capacity;
	h->next_id = -1;
	h->next_attach = 1;
}

/* ------------------------------------------------------------ the repair */

/* Words of the fixed part that are what the geometry makes them. */
static unsigned words_right(const struct layout_header *h,
			    const struct geometry *g, uint32_t uid)
{
	const struct layout_array *have = &h->segments;
	const struct layout_array want[] = { g->segments,   g->procs,
					     g->attaches,   g->key_heads,
					     g->addr_heads, g->bitmap };
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		n += (have[i].offset == want[i].offset) +
		     (have[i].size == want[i].size) +
		     (have[i].capacity == want[i].capacity);
	return n + (h->magic == LAYOUT_MAGIC) + (h->version == LAYOUT_VERSION) +
	       (h->header_size == sizeof(*h)) + (h->uid == uid) +
	       (h->file_size == g->file_size) + (h->seq_shift == g->seq_shift);
}

/* Of 24. So many do not come together by chance. */
#define ENOUGH_RIGHT 18u

/*
 * The geometry of a header that has some words wrong: its own capacities, or
 * the standard ones in place of some, if they give a file of this size and
 * nearly all of the other words.
 */
static bool geometry_guess(const struct layout_header *h, uint32_t uid,
			   uint64_t file_size, struct geometry *ret)
{
	for (unsigned i = 0; i < 8; i++) {
		struct registry_shape s = {
			i & 1 ? HEADER_SEGMENTS : h->segments.capacity,
			i & 2 ? HEADER_PROCS : h->procs.capacity,
			i & 4 ? HEADER_ATTACHES : h->attaches.capacity,
		};

		if (header_geometry(&s, ret) && ret->file_size == file_size &&
		    words_right(h, ret, uid) >= ENOUGH_RIGHT)
			return true;
	}
	return false;
}

static void array_mend(struct layout_array *have,
		       const struct layout_array *want, bool *ret_blocks)
{
	have->offset = want->offset;
	have->size = want->size;
	have->capacity = want->capacity;

	/* How many have blocks is not known any more: all shall have. */
	if (have->ready > have->capacity || have->used > have->ready) {
		have->ready = have->capacity;
		*ret_blocks = true;
	}
	if (have->used > have->ready)
		have->used = have->ready;
}

/* A few characters differ: that is no other system. */
static bool boot_damaged(const struct layout_header *h)
{
	char now[sizeof(h->boot_id)];
	unsigned same = 0;

	header_boot_id(now, sizeof(now));
	for (size_t i = 0; i < 36; i++)
		same += now[i] == (char)h->boot_id[i];
	return now[0] && same < 36 && same >= 24;
}

bool header_mend(struct layout_header *h, uint32_t uid, uint64_t file_size,
		 bool durable, bool *ret_blocks)
{
	struct layout_header new = *h;
	struct geometry g;

	/* One that is newer than we are is none of our business. */
	if (h->features != (durable ? LAYOUT_DURABLE : 0) ||
	    (h->version > LAYOUT_VERSION && h->version < 256))
		return false;
	if (!geometry_guess(h, uid, file_size, &g))
		return false;

	new.magic = LAYOUT_MAGIC;
	new.version = LAYOUT_VERSION;
	new.header_size = sizeof(new);
	new.file_size = g.file_size;
	new.uid = uid;
	new.seq_shift = g.seq_shift;
	if (boot_damaged(h))
		header_boot_id((char *)new.boot_id, sizeof(new.boot_id));
	*ret_blocks = false;
	array_mend(&new.segments, &g.segments, ret_blocks);
	array_mend(&new.procs, &g.procs, ret_blocks);
	array_mend(&new.attaches, &g.attaches, ret_blocks);
	new.key_heads = g.key_heads;
	new.addr_heads = g.addr_heads;
	new.bitmap = g.bitmap;
	*h = new;
	return true;
}
