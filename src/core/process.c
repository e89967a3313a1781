/* SPDX-License-Identifier: MIT */
/*
 * Owns the passing on of attachments from parent to child.
 *
 * Invariant: from before fork() on, the child's attachments are recorded in a
 * slot of its own, so at no time can a segment that the child holds be seen
 * unattached; the child makes the slot its own as its first act.
 * Lock: the list of spaces and each space's 'local' are held from prepare to
 * the handlers after, with signals blocked: no other thread of the parent can
 * attach or detach between the copy of the records and that of the mappings.
 * Crash: a parent killed within fork() leaves a reserved slot; death.c finds
 * out whether there is a child.
 */
#include "core/process.h"

#include <pthread.h>
#include <string.h>
#include <sys/shm.h>

#include "base/procfs.h"
#include "base/signals.h"
#include "base/step.h"
#include "core/durable_sync.h"
#include "core/pieces.h"

/* The forking thread's, from prepare to the handlers after. */
static uint64_t fork_signals;

/* What this thread's last fork() reserved: for process_forked(). */
#define MAX_PENDING 4
static __thread struct {
	struct space *sp;
	struct procs_child child;
} pending[MAX_PENDING];
static __thread int npending;

/* ------------------------------------------------------------ the parent */

static bool attached_here(const struct space *sp)
{
	return sp->me && sp->reg.procs[space_slot(sp)].attaches != 0;
}

/* Copies of our records in the child's name. */
static void copy_records(struct space *sp, uint32_t child)
{
	struct ledger_event e = { sp->self.pid, sys_now() };
	struct registry *r = &sp->reg;
	uint32_t link;

	space_lock(sp);
	for (link = ledger_first(r, space_slot(sp)); link != NO_INDEX;) {
		const struct layout_attach *a = &r->attaches[link - 1];
		struct ledger_piece piece = { a->addr, a->length, a->offset,
					      a->flags, a->attach };

		if (a->flags & PIECE_DONTFORK) {
			link = ledger_next(r, space_slot(sp), link);
			continue;
		}
		if (ledger_add(r, child, a->segment, &piece, &e) == 0) {
			undo_commit(r);
			link = ledger_next(r, space_slot(sp), link);
			continue;
		}
		undo_rollback(r);
		space_unlock(sp);
		if (space_grow(sp, &r->h->attaches) < 0)
			return; /* the child will try again */
		space_lock(sp);
	}
	space_unlock(sp);
}

static void reserve_child(struct space *sp)
{
	int tid = sys_gettid(), ret;

	/* Nothing to record it in: the child finds out what it has. */
	if (pieces_prepare(sp, sp->reg.procs[space_slot(sp)].attaches) < 0)
		return;
	for (;;) {
		ret = procs_reserve(&sp->reg, space_slot(sp), (uint32_t)tid,
				    &sp->child);
		if (ret == 0)
			break;
		if (space_grow(sp, &sp->reg.h->procs) < 0)
			return;
	}
	copy_records(sp, sp->child.slot);
	sp->has_child = true;
	if (npending < MAX_PENDING) {
		pending[npending].sp = sp;
		pending[npending].child = sp->child;
		npending++;
	}
}

int process_room(void)
{
	for (struct space *sp = space_first(); sp; sp = sp->next) {
		struct registry *r = &sp->reg;

		if (load_acquire(sp->here) != 1 || !attached_here(sp))
			continue;
		if (pieces_prepare(sp, r->procs[space_slot(sp)].attaches) < 0 ||
		    (!procs_room(r) && space_grow(sp, &r->h->procs) < 0))
			return -ENOMEM;
	}
	return 0;
}

static void before_fork(void)
{
	uint64_t signals;

	signals_block(&signals);
	space_list_hold(&signals);
	fork_signals = signals;
	npending = 0;
	for (struct space *sp = space_first(); sp; sp = sp->next) {
		process_arrive(sp);
		space_local_take(sp, &signals);
		sp->fork_tid = sys_gettid();
		sp->has_child = false;
		sp->attached = attached_here(sp);
		if (sp->attached)
			reserve_child(sp);
	}
	step("process: ready to fork");
}

static void after_fork_in_parent(void)
{
	uint64_t signals = fork_signals;

	for (struct space *sp = space_first(); sp; sp = sp->next) {
		if (sp->has_child)
			procs_forked(&sp->reg, &sp->child, 0);
		sp->has_child = false;
		sp->fork_tid = 0;
		space_local_release(sp);
	}
	space_list_release();
	signals_restore(&signals);
}

void process_forked(int pid)
{
	struct space_entry e;

	for (int i = 0; i < npending; i++) {
		struct procs_child *child = &pending[i].child;
		struct space *sp = pending[i].sp;
		struct layout_proc *p = &sp->reg.procs[child->slot];
		uint64_t claim = load_acquire(&p->claim);

		if (pid > 0) {
			procs_forked(&sp->reg, child, pid);
			continue;
		}
		/* There is no child: as if it had never been reserved. */
		if ((uint32_t)claim != child->token || space_enter(sp, &e) < 0)
			continue;
		space_lock(sp);
		ledger_sweep(&sp->reg, child->slot, claim, space_slot(sp), 0);
		space_unlock(sp);
		space_leave(sp, &e);
	}
	npending = 0;
}

/* ------------------------------------------------------------- the child */

static bool is_handle(const struct space *sp, uint64_t addr)
{
	for (int i = 0; i < SPACE_HANDLES; i++)
		if ((uintptr_t)sp->handles[i].page == addr)
			return true;
	return false;
}

/* One line of /proc/self/maps: record it if it is a piece of a segment. */
static int adopt_line(void *arg, const char *s, const char *end)
{
	struct space *sp = arg;
	struct ledger_event e = { sp->self.pid, sys_now() };
	struct registry *r = &sp->reg;
	struct ledger_piece piece = { 0 };
	struct layout_segment *seg;
	uint64_t stop, id, uid;
	const char *path;
	size_t dir = strlen(sp->dir.path);
	bool writable, executable;
	int ret;

	/* start-stop perms offset dev inode path */
	if (!text_parse(&s, end, 16, &piece.addr) || s++ >= end ||
	    !text_parse(&s, end, 16, &stop) || end - s < 6)
		return 0;
	writable = s[2] == 'w';
	executable = s[3] == 'x';
	s += 6;
	if (!text_parse(&s, end, 16, &piece.offset))
		return 0;
	path = memchr(s, '/', (size_t)(end - s));
	if (!path || (size_t)(end - path) <= dir + 5 ||
	    memcmp(path, sp->dir.path, dir) != 0 ||
	    memcmp(path + dir, "/seg.", 5) != 0)
		return 0;
	path += dir + 5;
	if (!text_parse(&path, end, 10, &uid) || uid != r->uid ||
	    path++ >= end || !text_parse(&path, end, 10, &id) ||
	    id > INT32_MAX || is_handle(sp, piece.addr))
		return 0;

	piece.length = stop - piece.addr;
	piece.flags = (writable ? 0 : SHM_RDONLY) |
		      (executable ? SHM_EXEC : 0) | PROT_READ |
		      (writable ? PROT_WRITE : 0) |
		      (executable ? PROT_EXEC : 0);
	for (;;) {
		space_lock(sp);
		seg = registry_segment(r, registry_index(r, (int)id));
		ret = -EINVAL;
		if (seg && seg->state == SEG_LIVE &&
		    seg->seq == registry_seq(r, (int)id))
			ret = ledger_add(r, space_slot(sp),
					 registry_index(r, (int)id), &piece,
					 &e);
		if (ret == 0)
			undo_commit(r);
		else
			undo_rollback(r);
		space_unlock(sp);
		if (ret != -EAGAIN || space_grow(sp, &r->h->attaches) < 0)
			return 0;
	}
}

/* This process is new: what it inherited is recorded elsewhere. */
static void be_born(struct space *sp)
{
	bool attached = sp->has_child ? sp->attached : sp->me != 0;
	uint32_t slot;

	sp->local = 0;
	sp->fork_tid = 0;
	durable_be_born(&sp->durable);
	life_self(&sp->self);
	sp->me = 0;
	if (sp->has_child &&
	    procs_be_born(&sp->reg, &sp->self, &sp->child) == 0) {
		sp->me = sp->child.slot + 1;
	} else if (attached) {
		int ret;

		do
			ret = procs_claim(&sp->reg, &sp->self, &slot);
		while (ret == -EAGAIN &&
		       space_grow(sp, &sp->reg.h->procs) == 0);
		if (ret == 0) {
			sp->me = slot + 1;
			/* What is mapped here but was recorded for our
			 * parent only. */
			(void)procfs_each_map(0, 0, adopt_line, sp);
		}
	}
	sp->has_child = false;
	store_release(sp->here, 1u);
}

void process_arrive(struct space *sp)
{
	uint32_t gone = 0;

	if (load_acquire(sp->here) == 1)
		return;
	if (swap_if(sp->here, &gone, 2u)) {
		space_list_reset();
		be_born(sp);
		return;
	}
	while (load_acquire(sp->here) != 1)
		cpu_relax();
}

static void after_fork_in_child(void)
{
	uint64_t signals = fork_signals;

	space_list_reset();
	npending = 0;
	for (struct space *sp = space_first(); sp; sp = sp->next) {
		/* Another library's handler may have come before us. */
		if (load_acquire(sp->here) == 1 && sp->fork_tid == 0)
			continue;
		be_born(sp);
	}
	signals_restore(&signals);
}

void process_before_fork(void)
{
	before_fork();
}

void process_after_fork(int pid)
{
	if (pid == 0) {
		after_fork_in_child();
		return;
	}
	after_fork_in_parent();
	process_forked(pid);
}

void process_watch(void)
{
	static uint32_t watching;

	if (exchange(&watching, 1u) == 0)
		(void)pthread_atfork(before_fork, after_fork_in_parent,
				     after_fork_in_child);
}

/* --------------------------------------------------------------- the end */

/* Only this process holds the segment, and it is to be destroyed. */
static bool ends_with_us(const struct space *sp, const struct layout_attach *a)
{
	const struct registry *r = &sp->reg;
	const struct layout_segment *s = registry_segment(r, a->segment);
	uint32_t link, n;

	if (!s || s->state != SEG_LIVE || !(s->mode & SHM_DEST))
		return false;
	link = s->first_attach;
	for (n = 0; link != NO_INDEX; n++) {
		const struct layout_attach *b = registry_attach(r, link - 1);

		if (!b || b->proc != space_slot(sp) || n == r->max_attaches)
			return false;
		link = b->next_in_segment;
	}
	return n == s->attaches;
}

static void end_in(struct space *sp)
{
	struct registry *r = &sp->reg;
	struct space_entry e;
	struct directory_file file;
	uint32_t link, last = UINT32_MAX;

	if (!sp->me || sys_getpid() != sp->self.pid || !attached_here(sp))
		return;
	if (space_enter(sp, &e) < 0)
		return;
	store_relaxed(&r->procs[space_slot(sp)].exit_time, sys_now());

	/* Our own list changes under our own 'local' only. */
	for (link = ledger_first(r, space_slot(sp)); link != NO_INDEX;) {
		struct layout_attach *a = &r->attaches[link - 1];
		bool ends;

		link = ledger_next(r, space_slot(sp), link);
		if (a->segment == last)
			continue;
		last = a->segment;
		if (sp->durable.on)
			durable_end(sp, a->segment);
		space_lock(sp);
		ends = ends_with_us(sp, a);
		space_unlock(sp);
		if (!ends || directory_file_hold(&sp->dir, &sp->reg, a->segment,
						 a->seq, &file) < 0)
			continue;
		(void)sp->backing->destroy(file.path);
		directory_file_release(&file);
	}
	space_leave(sp, &e);
}

void process_exit(void)
{
	for (struct space *sp = space_first(); sp; sp = sp->next)
		end_in(sp);
}

__attribute__((destructor)) static void at_exit(void)
{
	process_exit();
}
