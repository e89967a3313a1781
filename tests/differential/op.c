/* SPDX-License-Identifier: MIT */
/* The text of operations. Owns nothing. */
#include "op.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int args;
	unsigned octal; /* bit i: argument i reads best in octal */
} codes[OP_CODES] = {
	[OP_GET] = { "get", 4, 1 << 3 },  [OP_AT] = { "at", 5, 1 << 4 },
	[OP_ATF] = { "atf", 3, 1 << 2 },  [OP_DT] = { "dt", 2, 0 },
	[OP_DTF] = { "dtf", 1, 0 },	  [OP_CTL] = { "ctl", 4, 0 },
	[OP_STAT] = { "stat", 3, 0 },	  [OP_SET] = { "set", 5, 1 << 4 },
	[OP_INFO] = { "info", 1, 0 },	  [OP_AUDIT] = { "audit", 0, 0 },
	[OP_PUT] = { "put", 3, 0 },	  [OP_LOOK] = { "look", 2, 0 },
	[OP_PUTF] = { "putf", 3, 0 },	  [OP_LOOKF] = { "lookf", 2, 0 },
	[OP_UNMAP] = { "unmap", 2, 0 },	  [OP_UNMAPF] = { "unmapf", 1, 0 },
	[OP_MAP] = { "map", 3, 0 },	  [OP_REMAP] = { "remap", 5, 0 },
	[OP_REMAPF] = { "remapf", 2, 0 }, [OP_EUID] = { "euid", 1, 0 },
	[OP_EGID] = { "egid", 1, 0 },	  [OP_FORK] = { "fork", 1, 0 },
	[OP_VFORK] = { "vfork", 0, 0 },	  [OP_EXEC] = { "exec", 0, 0 },
	[OP_NOEXEC] = { "noexec", 0, 0 }, [OP_REAP] = { "reap", 0, 0 },
	[OP_EXIT] = { "exit", 1, 0 },	  [OP_SPAWN] = { "spawn", 1, 0 },
	[OP_KILL] = { "kill", 2, 0 },	  [OP_TICK] = { "tick", 0, 0 },
};

int op_args(int code)
{
	return codes[code].args;
}

const char *op_name(int code)
{
	return codes[code].name;
}

int op_print(const struct op *op, char *buf, size_t size)
{
	int used = snprintf(buf, size, "%d %s", op->worker,
			    codes[op->code].name);

	for (int i = 0; i < codes[op->code].args; i++)
		used += snprintf(buf + used, size - (size_t)used,
				 codes[op->code].octal >> i & 1 ? " %#lo"
								: " %ld",
				 op->arg[i]);
	return used;
}

static bool in_range(const struct op *op)
{
	const long *a = op->arg;

	switch (op->code) {
	case OP_GET:
	case OP_AT:
	case OP_CTL:
	case OP_STAT:
	case OP_SET:
		return a[0] >= 0 && a[0] < SLOTS;
	case OP_ATF:
		return a[0] >= 0 && a[0] < FLOATS && a[1] >= 0 && a[1] < SLOTS;
	case OP_DTF:
	case OP_PUTF:
	case OP_LOOKF:
	case OP_UNMAPF:
	case OP_REMAPF:
		return a[0] >= 0 && a[0] < FLOATS;
	case OP_FORK:
	case OP_SPAWN:
	case OP_KILL:
		return a[0] >= 0 && a[0] < WORKERS;
	default:
		return true;
	}
}

bool op_parse(const char *line, struct op *ret)
{
	struct op op = { 0 };
	char name[16], *end;
	int used;

	if (sscanf(line, "%d %15s%n", &op.worker, name, &used) != 2)
		return false;
	while (op.code < OP_CODES && strcmp(codes[op.code].name, name) != 0)
		op.code++;
	if (op.code == OP_CODES || op.worker < 0 || op.worker >= WORKERS)
		return false;
	line += used;
	for (int i = 0; i < codes[op.code].args; i++) {
		op.arg[i] = strtol(line, &end, 0);
		if (end == line)
			return false;
		line = end;
	}
	if (!in_range(&op))
		return false;
	*ret = op;
	return true;
}
