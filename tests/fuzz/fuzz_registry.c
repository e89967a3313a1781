/* SPDX-License-Identifier: MIT */
/*
 * Any bytes in the registry: refused, repaired, or borne.
 *
 * An input is a number, the damage, and the calls that follow:
 *
 *	image      1 byte; from 192 on the file's beginning is raw, and:
 *	length     4 bytes of the file, or 0: as it was
 *	header     all the rest
 *
 *	damages    1 byte, and 8 for each: see scene_damage()
 *	calls      4 bytes each; one of them does damage while we are attached
 *
 * What must hold: no crash, nothing done outside of the directory, only
 * documented errors, an end after a reasonable time; a refused registry is not
 * touched; and an image without damage is in order after any calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

#include "core/attach.h"
#include "core/process.h"
#include "input.h"
#include "scene.h"
#include "store/verify.h"
#include "watch.h"

#define MAX_DAMAGES 16
#define MAX_OPS	    40
#define KEYS	    8

static ushm_space *space;
static void *attached[4];
static int sink = -1; /* where /proc/sysvipc/shm goes */
static bool damaged;

static void expect(const char *what, int r, const int *errors, size_t n)
{
	char text[VERIFY_TEXT];

	if (r >= 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (r == -errors[i])
			return;
	snprintf(text, sizeof(text), "%s: %s", what, strerror(-r));
	watch_fail("returns an error that is not documented", text);
}

#define EXPECT(what, r, ...)                                  \
	do {                                                  \
		static const int errors_[] = { __VA_ARGS__ }; \
		expect(what, r, errors_,                      \
		       sizeof(errors_) / sizeof(errors_[0])); \
	} while (0)

/* Somebody who lives is believed to work; he gives the lock back at last. */
static void on_wait(unsigned waits)
{
	struct layout_header *h = (void *)scene.file;
	uint32_t owner = h->lock & 0x7fffffff;
	const struct space *sp = (const struct space *)space;
	const struct layout_proc *p = sp->reg.procs + owner - 1;

	if (waits % 40 != 39 || owner == 0)
		return;
	if (owner <= SCENE_PROCS && owner != sp->me &&
	    claim_pid(p->claim) > 0 && claim_state(p->claim) == PROC_LIVE) {
		h->lock = 0;
		return;
	}
	if (waits > 200)
		watch_fail("waits", "for a lock that nobody holds");
}

static int segment_id(unsigned n)
{
	return n < 192 ? scene.ids[n % scene.nids] : (int)(n - 192);
}

/* ----------------------------------------------------------------- calls */

static void all_segments(void)
{
	struct ushm_segment seg;
	uint32_t cursor = 0;
	unsigned n = 0;

	while (ushm_next(space, &cursor, &seg) == 1)
		if (++n > SCENE_SEGMENTS)
			watch_fail("finds too many", "segments");
}

static void all_attachments(int id)
{
	struct ushm_attachment a;
	uint32_t cursor = 0;
	unsigned n = 0;

	while (ushm_next_attachment(space, id, &cursor, &a) == 1)
		if (++n > SCENE_ATTACHES)
			watch_fail("finds too many", "attachments");
}

static void call_attach(unsigned id, unsigned how)
{
	static const int flags[] = { 0, SHM_RDONLY, SHM_EXEC, SHM_REMAP };
	unsigned i = how / 4 % 4;
	const void *hint = NULL;
	void *p;
	int r;

	if (flags[how % 4] == SHM_REMAP) {
		hint = attached[i];
		if (!hint)
			return;
	}
	r = ushm_attach(space, segment_id(id), hint, flags[how % 4], &p);
	EXPECT("ushm_attach", r, EINVAL, EACCES, EIDRM, ENOMEM);
	if (r == 0)
		attached[i] = p;
}

static void call_memory(unsigned which, unsigned how)
{
	char *p = attached[which % 4];
	size_t length = (1 + how % 3) * 4096u;
	void *moved;

	if (!p)
		return;
	p += how / 4 % 4 * 4096u;
	if (watch_mapped((uintptr_t)attached[which % 4]) <
	    (uintptr_t)p + length)
		return;
	switch (how / 16 % 5) {
	case 0:
		(void)ushm_munmap(p, length);
		break;
	case 1:
		(void)ushm_mprotect(p, length, PROT_READ);
		break;
	case 2:
		(void)ushm_madvise(p, length, MADV_DONTFORK);
		break;
	case 3:
		(void)ushm_madvise(p, length, MADV_RANDOM);
		break;
	default:
		moved = ushm_mremap(p, length, length + 4096, MREMAP_MAYMOVE);
		if (moved != MAP_FAILED && attached[which % 4] == (void *)p)
			attached[which % 4] = moved;
	}
}

static void call_limit(unsigned which, unsigned value)
{
	uint64_t got;

	if (which % 8 == 7)
		(void)ushm_limit_set(space, value % 6, value / 6);
	EXPECT("ushm_limit_get", ushm_limit_get(space, which % 6, &got),
	       EINVAL);
}

static void keep_first(void *arg, const struct verify_finding *finding)
{
	char *text = arg;

	if (!*text)
		snprintf(text, VERIFY_TEXT, "%s", finding->text);
}

/* Returns whether all is in order. It has to bear damage too. */
static bool verify(char text[VERIFY_TEXT])
{
	*text = '\0';
	return verify_registry(&((struct space *)space)->reg, keep_first,
			       text) == 0;
}

static void call(unsigned op, unsigned a, unsigned b, unsigned c,
		 struct input *in)
{
	struct ushm_segment seg;
	struct ushm_info info;
	char text[VERIFY_TEXT];
	int id;

	switch (op % 20) {
	case 0:
		EXPECT("ushm_get",
		       ushm_get(space, (key_t)(a % KEYS), b * 512u,
				(c & 1 ? IPC_CREAT : 0) |
					(c & 2 ? IPC_EXCL : 0) |
					(c & 4 ? SHM_NORESERVE : 0) | 0600,
				&id),
		       ENOENT, EEXIST, EINVAL, EACCES, ENOSPC, ENOMEM);
		break;
	case 1:
		EXPECT("ushm_stat", ushm_stat(space, segment_id(a), &seg),
		       EINVAL, EACCES);
		break;
	case 2:
		all_segments();
		break;
	case 3:
		all_attachments(a & 1 ? -1 : segment_id(a));
		break;
	case 4:
	case 5:
	case 6:
		call_attach(a, b);
		break;
	case 7:
	case 8:
		EXPECT("ushm_detach", ushm_detach(space, attached[a % 4]),
		       EINVAL);
		break;
	case 9:
		EXPECT("ushm_set", ushm_set(space, segment_id(a), b, c, b * c),
		       EINVAL, EPERM, ENOMEM);
		break;
	case 10:
		EXPECT("ushm_remove", ushm_remove(space, segment_id(a)), EINVAL,
		       EPERM, ENOMEM);
		break;
	case 11:
		EXPECT("ushm_lock", ushm_lock(space, segment_id(a), b & 1),
		       EINVAL, EPERM, ENOMEM);
		break;
	case 12:
		EXPECT("ushm_info", ushm_info(space, &info), EINVAL);
		break;
	case 13:
		EXPECT("ushm_write_proc", ushm_write_proc(space, sink), EIO);
		break;
	case 14:
		call_memory(a, b);
		break;
	case 15:
		call_limit(a, b);
		break;
	case 16:
		process_exit();
		break;
	case 17: /* a fork() that fails, and one whose child nobody sees */
		process_before_fork();
		process_after_fork(a & 1 ? -1 : scene.dead);
		break;
	case 18:
		if (a == 0) /* it takes long */
			(void)verify(text);
		break;
	default:
		scene_damage(input_u64(in));
		damaged = true;
		break;
	}
}

/* ---------------------------------------------------------------- inputs */

static void play(struct input *in)
{
	struct ushm_segment seg;
	struct ushm_info info;
	char text[VERIFY_TEXT];

	for (unsigned n = 0; n < MAX_OPS && in->left >= 4; n++) {
		uint32_t op = input_u32(in);

		call(op & 0xff, op >> 8 & 0xff, op >> 16 & 0xff, op >> 24, in);
	}

	/* Whatever else: look at everything, and enter once. */
	for (unsigned i = 0; i < scene.nids; i++)
		(void)ushm_stat(space, scene.ids[i], &seg);
	all_segments();
	all_attachments(-1);
	(void)ushm_set(space, scene.ids[0], 0, 0, 0600);
	(void)ushm_info(space, &info);
	(void)ushm_write_proc(space, sink);
	if (!damaged && !verify(text))
		watch_fail("leaves a registry that is not in order", text);
}

static void make_raw(struct input *in)
{
	uint32_t length = input_u32(in);
	size_t n = in->left < scene.size ? in->left : scene.size;

	memcpy(scene.file, in->at, n);
	in->left = 0;
	if (length && truncate(scene.registry, length % (scene.size * 2)) < 0)
		abort();
}

static void make_damage(struct input *in)
{
	unsigned n = input_u8(in) % (MAX_DAMAGES + 1);

	damaged = n > 0;
	while (n-- > 0)
		scene_damage(input_u64(in));
}

static void open_and_play(struct input *in)
{
	static unsigned char before[LAYOUT_PAGE], after[LAYOUT_PAGE];
	struct ushm_problem problem;
	int fd = open(scene.registry, O_RDONLY | O_CLOEXEC), r;
	ssize_t n = pread(fd, before, sizeof(before), 0), m;

	memset(attached, 0, sizeof(attached));
	watch_begin();
	r = ushm_open(scene.dir, 0, NULL, &space, &problem);
	EXPECT("ushm_open", r, EPROTO, ESTALE);
	if (r == 0) {
		watch.low = &((struct space *)space)->low;
		watch.high = &((struct space *)space)->high;
		play(in);
		scene_close(space);
	} else {
		m = pread(fd, after, sizeof(after), 0);
		if (m != n || memcmp(before, after, (size_t)n) != 0)
			watch_fail("has changed", "what it refuses");
	}
	watch_end();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned image;

	if (!scene.file) {
		scene_make();
		watch.dir = scene.dir;
		watch.waited = on_wait;
		watch.instead = scene_instead;
		sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
	}
	image = input_u8(&in);
	scene_restore(image);
	if (image >= 192) {
		damaged = true;
		make_raw(&in);
		open_and_play(&in);
		if (truncate(scene.registry, (off_t)scene.size) < 0)
			abort();
	} else {
		make_damage(&in);
		open_and_play(&in);
	}
	return 0;
}
