/* SPDX-License-Identifier: MIT */
/*
 * Every state that a kill can leave.
 *
 *	states [-a] [-r N] [-k N] [ENTRY]
 *
 * Each entry point is run one instruction at a time. Whenever something
 * changed that outlives the process, what a SIGKILL would leave there is
 * written down as another namespace, and a fresh process makes the next call
 * in it: the operation happened wholly or not at all, nattch is the number of
 * living attachments, nothing is lost or left, every invariant of the registry
 * holds, and the call after that changes nothing. States that are equal in
 * every byte and file are looked at once.
 *
 * The repair of some states (-r N: of every N-th; -a: of all) is run in the
 * same way, one instruction at a time, and what a kill of the repairer leaves
 * is looked at. At some states (-a: at more) the process is really killed: what
 * is there then must be what was foreseen, to the last byte, and be repaired.
 *
 * -k N looks only at state N of ENTRY and at its repair, and leaves it in the
 * directory that it names.
 *
 * What is not as it was at the death, in a namespace that is written down:
 * the registry is another file, so that to whoever asks the dead process has
 * called execve(); a fork is an hour old, so that nobody waits for its child;
 * and a process that maps the registry, and does nothing else, stands for a
 * child that lives. In half of the states the next caller takes the dead one's
 * pid: another thread has called execve(), and the new program calls.
 */
#include <getopt.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "judge.h"
#include "store/registry.h"

#define MOST_STATES 16384
#define SOME	    300 /* the repair of one state in so many */
#define KILLS	    2
#define MORE_KILLS  16
#define AGE_NS	    3600000000000 /* older than childhood: store/death.c */
#define AGE_TICKS   360000	  /* and than processes of others near by */
#define OUTCOMES    (sizeof(entries[0].outcomes) / sizeof(char *))

static bool all;
static unsigned only, repair_each;
static char work[48], copy[64], repair[64];

static struct {
	unsigned long instructions, states, failures;
	unsigned long repairs, repair_states, kills, leftovers, unrepaired;
} total;

/* One entry's course, or that of the repair of one of its states. */
struct walk {
	const struct entry *entry;
	const struct walk *outer; /* of which state this is the repair */
	const char *wanted;	  /* and how that has to end */
	struct stepper s;
	struct scene scene;
	struct image dead; /* as it would be if it were killed now */
	unsigned states, repairs, failures;
	unsigned outcome;	    /* index of the last one */
	char found[400];	    /* the last one */
	uint64_t seen[MOST_STATES]; /* hashes; open addressing, 0: none */
};

/* ------------------------------------------------------------- the verdict */

static void say(struct walk *w, const char *where, const char *what,
		const char *outcome)
{
	const struct walk *o = w->outer ? w->outer : w;

	w->failures++;
	total.failures++;
	printf("FAIL %s, state %u, instruction %ld", o->entry->name, o->states,
	       o->s.position);
	if (w->outer)
		printf("; repair killed at state %u, instruction %ld",
		       w->states, w->s.position);
	printf("%s: %s\n     there is: %s\n     again: states -k %u '%s'\n",
	       where, what, outcome, o->states, o->entry->name);
}

/* Outcomes come in the order of the table, and 'each' of them comes. */
static bool outcome_follows(struct walk *w, const char *outcome, bool each)
{
	const char *const *want = w->entry->outcomes;
	unsigned last = w->outcome;

	if (w->outer)
		return strcmp(outcome, w->wanted) == 0;
	for (unsigned i = last; i < OUTCOMES && want[i]; i++) {
		if (each && i > last + 1)
			break;
		if (strcmp(outcome, want[i]) == 0) {
			w->outcome = i;
			return true;
		}
	}
	return false;
}

/* The next call in 'dir', which is what w->dead says. */
static void judge_here(struct walk *w, const char *dir, const char *where)
{
	const struct verdict *v = judge(dir, &w->scene);

	strcpy(w->found, v->outcome);
	if (v->wrong)
		say(w, where, v->what, v->outcome);
	else if (!outcome_follows(w, v->outcome, !only))
		say(w, where, "neither before nor after", v->outcome);
}

/* ---------------------------------------------------------------- a state */

/* What a kill would leave now: is it new? Then it counts. */
static bool state_is_new(struct walk *w)
{
	uint64_t hash, at;

	stepper_dead(&w->s, &w->dead);
	hash = image_hash(&w->dead) | 1;
	at = hash % MOST_STATES;
	while (w->seen[at] && w->seen[at] != hash)
		at = (at + 1) % MOST_STATES;
	if (w->seen[at])
		return false;
	if (w->states == MOST_STATES - 1) {
		printf("more than %d states\n", MOST_STATES);
		exit(1);
	}
	w->seen[at] = hash;
	w->scene.nth = ++w->states;
	return true;
}

/* Forks are old, and the living child is the one that stands for it. */
static void image_age(struct image *im, pid_t child, pid_t stand_in)
{
	struct layout_proc *p = image_procs(im);

	for (uint32_t i = 0; im->size && i < image_header(im)->procs.used;
	     i++) {
		if (claim_state(p[i].claim) != PROC_UNBORN)
			continue;
		p[i].forked_at -= AGE_NS;
		p[i].born -= p[i].born > AGE_TICKS ? AGE_TICKS : 0;
		if (stand_in && claim_pid(p[i].claim) == child)
			p[i].claim = claim_make(p[i].claim, PROC_UNBORN,
						stand_in);
	}
}

/*
 * Somebody is waited for who may be any young process of another user, as its
 * maps cannot be read.
 */
static bool others_count(struct image *im)
{
	struct layout_proc *p = image_procs(im);

	for (uint32_t i = 0; im->size && i < image_header(im)->procs.used; i++)
		if (claim_state(p[i].claim) == PROC_UNBORN)
			return geteuid() != 0;
	return false;
}

static void count_leftovers(void)
{
	static struct image im;

	image_take_files(&im, copy);
	for (unsigned i = 0; i < im.nfiles; i++)
		total.leftovers += strstr(im.files[i].name, ".new-") != NULL;
}

/* The state as another namespace: is it repaired? */
static void look_at_copy(struct walk *w)
{
	const struct verdict *v;
	pid_t child = 0;

	image_make(&w->dead, copy);
	if (w->dead.child && w->entry->child_lives) {
		child = stand_in_begin(copy);
		w->scene.living++;
	}
	image_age(&w->dead, w->s.other, child);
	if (w->dead.size)
		image_rewrite(&w->dead, copy);
	w->scene.same = w->entry->how == STEPPER_SELF && !w->outer && !child &&
			w->states % 4 > 1;
	judge_here(w, copy, "");
	w->scene.same = false;
	if (w->entry->leftover)
		count_leftovers();
	if (!child)
		return;

	stand_in_end(child);
	w->scene.living--;
	v = judge(copy, &w->scene);
	if (v->wrong)
		say(w, "; then its child", v->what, v->outcome);
}

static void look_at(struct walk *w)
{
	if (state_is_new(w) && (!only || w->outer || w->states == only))
		look_at_copy(w);
}

/* ------------------------------------------------------------- the courses */

static bool walk_begin(struct walk *w, const struct entry *e)
{
	memset(w, 0, sizeof(*w));
	w->entry = e;
	image_remove(work);
	entries_dir = work;
	if (e->before)
		e->before();
	if (!stepper_start(&w->s, work, e->act, e->how))
		return false;
	w->scene.entry = e;
	w->scene.victim = w->s.pid;
	w->scene.living = e->living;
	return true;
}

static void walk_end(struct walk *w)
{
	stepper_end(&w->s);
	entries_after();
}

/* The repair of this state, itself cut short at each instruction. */
static void walk_repair(struct walk *outer)
{
	static struct walk w;

	memset(&w, 0, sizeof(w));
	w.entry = outer->entry;
	w.outer = outer;
	w.wanted = outer->found;
	w.scene = outer->scene;
	image_make(&outer->dead, repair);
	entries_dir = repair;
	if (!stepper_start(&w.s, repair, entries_repair, STEPPER_SELF))
		w.s.sick = "cannot be started";
	do
		look_at(&w);
	while (stepper_next(&w.s));
	if (w.s.sick)
		say(&w, "", w.s.sick, "");
	stepper_end(&w.s);
	entries_dir = work;
	outer->repairs++;
	outer->failures += w.failures;
	total.repairs++;
	total.repair_states += w.states;
}

static bool is_repair_walked(const struct walk *w)
{
	if (w->entry->child_lives)
		return false; /* as without the child */
	if (only)
		return w->states == only;
	if ((total.states + w->states) % repair_each)
		return false;
	if (w->entry->slow_repair && !all) {
		total.unrepaired++;
		return false;
	}
	return true;
}

static void walk_entry(struct walk *w, const struct entry *e)
{
	unsigned before = 0;

	if (!walk_begin(w, e)) {
		printf("SKIP: no process can be stepped here (ptrace(2))\n");
		exit(77);
	}
	do {
		look_at(w);
		if (w->states != before && is_repair_walked(w))
			walk_repair(w);
		before = w->states;
	} while ((!only || before < only) && stepper_next(&w->s));
	if (w->s.sick)
		say(w, "", w->s.sick, "");
	if (!only && w->outcome + 1 < OUTCOMES && e->outcomes[w->outcome + 1])
		say(w, "", "never came to", e->outcomes[w->outcome + 1]);
	walk_end(w);
}

/* The same up to state 'at' once more; and then it is really killed. */
static void really_kill(struct walk *w, const struct entry *e, unsigned at)
{
	static struct image real;
	const struct verdict *v;
	const char *what;
	char where[100];
	size_t byte;

	if (!walk_begin(w, e))
		return;
	do
		(void)state_is_new(w);
	while (w->states < at && stepper_next(&w->s));
	stepper_kill(&w->s);
	image_take(&real, work);
	if (!image_same(&real, &w->dead, &what, &byte)) {
		snprintf(where, sizeof(where), "%s %zu", what, byte);
		say(w, "; really killed, not as foreseen", where, "");
	}
	total.kills++;
	if (others_count(&real)) {
		walk_end(w);
		return;
	}
	if (e->how != STEPPER_SELF)
		usleep(25000); /* a child is given 20 ms to run */
	else if (w->dead.child && e->child_lives)
		w->scene.living++;
	else
		stepper_end(&w->s);
	v = judge(work, &w->scene);
	if (v->wrong)
		say(w, "; really killed", v->what, v->outcome);
	else if (!outcome_follows(w, v->outcome, false))
		say(w, "; really killed", "neither before nor after",
		    v->outcome);
	walk_end(w);
}

/* -------------------------------------------------------------- the table */

/* Where the namespaces of this entry lie. Or why it is left out. */
static const char *place(const struct entry *e)
{
	const char *root = e->on_disk || access("/dev/shm", W_OK) < 0
				   ? "/tmp"
				   : "/dev/shm";
	struct statfs fs;

	snprintf(work, sizeof(work), "%s/ushm-states.%d", root, getpid());
	snprintf(copy, sizeof(copy), "%s.copy", work);
	snprintf(repair, sizeof(repair), "%s.repair", work);
	if (e->slow && !all && !only)
		return "takes long: -a";
	if (e->on_disk && statfs(root, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		return "/tmp is tmpfs";
	return NULL;
}

static void run(const struct entry *e)
{
	static struct walk w;
	const char *why = place(e);
	unsigned kills = only ? 0 : all ? MORE_KILLS : KILLS, n, repairs;
	unsigned long failed = total.failures;
	long position;

	if (why) {
		printf("%-20s left out: %s\n", e->name, why);
		return;
	}
	walk_entry(&w, e);
	n = w.states;
	repairs = w.repairs;
	position = w.s.position;
	for (unsigned i = 1; i <= kills; i++)
		really_kill(&w, e, 1 + (n - 1) * i / (kills + 1));
	printf("%-20s %12ld %8u %8u %8lu\n", e->name, position, n, repairs,
	       total.failures - failed);
	fflush(stdout);
	image_remove(work);
	image_remove(repair);
	image_remove(copy);
	if (only) {
		image_make(&w.dead, copy);
		printf("the state is in %s\n", copy);
	}
	total.instructions += (unsigned long)position;
	total.states += n;
}

static void summary(void)
{
	unsigned long checked;

	printf("%-20s %12lu %8lu %8lu %8lu\n\n", "", total.instructions,
	       total.states, total.repairs, total.failures);
	printf("%lu states within repairs, %lu real kills\n",
	       total.repair_states, total.kills);
	if (total.unrepaired)
		printf("%lu repairs that take long are left out: -a\n",
		       total.unrepaired);
	if (total.leftovers)
		printf("%lu states keep a registry.<uid>.new-<tid> that no call "
		       "removes\n",
		       total.leftovers);
	checked = total.states + total.repair_states + total.kills;
	printf("%lu passed, %lu failed\n",
	       checked > total.failures ? checked - total.failures : 0,
	       total.failures);
}

int main(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "ar:k:")) != -1) {
		if (opt == 'a')
			all = true;
		else if (opt == 'r')
			repair_each = (unsigned)atoi(optarg);
		else if (opt == 'k')
			only = (unsigned)atoi(optarg);
		else
			return 2;
	}
	if (!repair_each)
		repair_each = all ? 1 : SOME;
	printf("%-20s %12s %8s %8s %8s\n", "entry point", "instructions",
	       "states", "repairs", "failing");
	for (unsigned i = 0; i < nentries; i++)
		if (!argv[optind] || strcmp(argv[optind], entries[i].name) == 0)
			run(&entries[i]);
	summary();
	return total.failures != 0;
}
