/* SPDX-License-Identifier: MIT */
/* ushm_check() and ushm_collect(). Translation only. */
#include "ushm.h"

#include <string.h>

#include "core/check.h"
#include "core/collect.h"
#include "edge/map.h"
#include "edge/place.h"

static_assert(USHM_REPAIR == CHECK_REPAIR, "flags");
static_assert(USHM_START_OVER == CHECK_START_OVER, "flags");
static_assert(USHM_DRY_RUN == COLLECT_DRY_RUN, "flags");
static_assert(USHM_FORGET == COLLECT_FORGET, "flags");
static_assert(USHM_CHECK_CORRECTED == CHECK_CORRECTED, "results");
static_assert(USHM_CHECK_RESTART == CHECK_RESTART, "results");
static_assert(USHM_CHECK_LEFT == CHECK_LEFT, "results");
static_assert((int)USHM_LEFT == (int)FATE_LEFT, "fates");

struct listener {
	ushm_report *report;
	void *arg;
};

static void pass_on(void *arg, const struct finding *f)
{
	const struct listener *l = arg;
	struct ushm_finding finding = {
		.code = f->code,
		.text = f->text,
		.remedy = f->remedy,
		.fate = (enum ushm_fate)f->fate,
		.bytes = f->bytes,
	};

	l->report(l->arg, &finding);
}

typedef int upkeep(const char *path, unsigned flags, finding_report *report,
		   void *arg, struct text *why);

static int run(upkeep *what, const char *dir, unsigned flags,
	       ushm_report *report, void *arg, struct ushm_problem *ret_problem)
{
	struct listener l = { report, arg };
	struct ushm_problem ignored;
	char buf[PLACE_ROOM];
	struct text why;
	int r;

	if (!ret_problem)
		ret_problem = &ignored;
	dir = place_name(dir, buf);
	text_init(&why, ret_problem->text, sizeof(ret_problem->text));
	text_str(&why, *dir ? dir : "an empty name");
	text_str(&why, ": ");
	r = what(dir, flags, pass_on, &l, &why);
	ret_problem->error = r < 0 ? -r : 0;
	return r;
}

int ushm_check(const char *dir, unsigned flags, ushm_report *report, void *arg,
	       struct ushm_problem *ret_problem)
{
	return run(check_namespace, dir, flags, report, arg, ret_problem);
}

int ushm_collect(const char *dir, unsigned flags, ushm_report *report,
		 void *arg, struct ushm_problem *ret_problem)
{
	struct listener l = { report, arg };
	int r = run(collect_garbage, dir, flags, report, arg, ret_problem);
	int objects, works;

	if (dir)
		return r;
	map_configure();
	objects = collect_objects(flags, pass_on, &l);
	works = collect_work(flags, pass_on, &l);
	if (r >= 0 && objects > 0)
		r += objects;
	if (r >= 0 && works > 0)
		r += works;
	return r;
}
