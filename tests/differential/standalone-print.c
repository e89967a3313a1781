/* SPDX-License-Identifier: MIT */
/*
 * A sequence as C. What run.c does around a call (another user's limits, an
 * audit after each death) is left out: what is printed is to be read.
 */
#include "op.h"

#include <string.h>
#include <sys/shm.h>

static const char *an_id(long slot, long twist)
{
	static const char *const twists[TWISTS] = {
		"ids[%ld]", "ids[%ld] + 32768", "ids[%ld] & 32767",   "-1",
		"INT_MAX",  "ids[%ld] + 1",	"INT_MIN + ids[%ld]",
	};
	static char buf[40];
	const char *fmt = twists[twist < 0 || twist >= TWISTS ? 0 : twist];
	const char *at = strstr(fmt, "%ld");

	if (!at)
		return fmt;
	snprintf(buf, sizeof(buf), "%.*s%ld%s", (int)(at - fmt), fmt, slot,
		 at + 3);
	return buf;
}

static const char *a_command(long cmd)
{
	static char buf[20];

	switch (cmd) {
	case IPC_RMID:
		return "IPC_RMID";
	case IPC_SET:
		return "IPC_SET";
	case IPC_STAT:
		return "IPC_STAT";
	case SHM_LOCK:
		return "SHM_LOCK";
	case SHM_UNLOCK:
		return "SHM_UNLOCK";
	case SHM_STAT:
		return "SHM_STAT";
	case 15:
		return "SHM_STAT_ANY";
	}
	snprintf(buf, sizeof(buf), "%ld", cmd);
	return buf;
}

static void print_remap(const long *a, FILE *f)
{
	fprintf(f, "CALL(mremap(PAGE(%ld), %ld * 4096, %ld * 4096, %s%s%s",
		a[0], a[1], a[2], a[3] ? "MREMAP_MAYMOVE" : "0",
		a[3] & 2 ? " | MREMAP_FIXED" : "",
		a[3] & 4 ? " | MREMAP_DONTUNMAP" : "");
	if (a[3] & 2)
		fprintf(f, ", PAGE(%ld)", a[4]);
	fprintf(f, "));");
}

static void print_exit(long how, FILE *f)
{
	static const char *const hows[] = { "exit(0);", "_exit(0);",
					    "kill(getpid(), SIGKILL);",
					    "kill(getpid(), SIGTERM);",
					    "quick_exit(0);" };

	fprintf(f, "%s", hows[how >= 0 && how < 5 ? how : 0]);
}

static void print_step(const struct op *op, FILE *f)
{
	static const char *const bufs[] = { "&(struct shmid_ds){ 0 }", "NULL",
					    "(void *)16",
					    "(struct shmid_ds *)\"\"" };
	const long *a = op->arg;
	const char *id = an_id(a[0], a[1]);

	switch ((enum op_code)op->code) {
	case OP_GET:
		fprintf(f, "GET(%ld, shmget(%ld, %ld, %#lo));", a[0], a[1],
			a[2], a[3]);
		break;
	case OP_AT:
		fprintf(f, "CALL(shmat(%s, PAGE(%ld) + %ld, %#lo));", id, a[2],
			a[3], a[4]);
		break;
	case OP_ATF:
		fprintf(f, "attach_float(%ld, ids[%ld], %#lo);", a[0], a[1],
			a[2]);
		break;
	case OP_DT:
		fprintf(f, "CALL(shmdt(PAGE(%ld) + %ld));", a[0], a[1]);
		break;
	case OP_DTF:
		fprintf(f,
			"CALL(shmdt(floats[%ld].addr)); "
			"floats[%ld].addr = NULL;",
			a[0], a[0]);
		break;
	case OP_CTL:
		fprintf(f, "CALL(shmctl(%s, %s, %s));", id, a_command(a[2]),
			bufs[a[3] & 3]);
		break;
	case OP_STAT:
		fprintf(f, "STAT(%s, %s);", id, a_command(a[2]));
		break;
	case OP_SET:
		fprintf(f, "set(%s, (uid_t)%ld, (gid_t)%ld, %#lo);", id, a[2],
			a[3], a[4]);
		break;
	case OP_INFO:
		fprintf(f,
			"CALL(shmctl(0, %ld, (struct shmid_ds *)"
			"&(struct shminfo){ 0 }));",
			a[0]);
		break;
	case OP_AUDIT:
		fprintf(f, "audit();");
		break;
	case OP_PUT:
		fprintf(f, "PUT(PAGE(%ld) + %ld, %ld);", a[0], a[1], a[2]);
		break;
	case OP_LOOK:
		fprintf(f, "LOOK(PAGE(%ld) + %ld);", a[0], a[1]);
		break;
	case OP_PUTF:
		fprintf(f, "PUT(floats[%ld].addr + %ld * 4096, %ld);", a[0],
			a[1], a[2]);
		break;
	case OP_LOOKF:
		fprintf(f, "LOOK(floats[%ld].addr + %ld * 4096);", a[0], a[1]);
		break;
	case OP_UNMAP:
		fprintf(f, "CALL(munmap(PAGE(%ld), %ld));", a[0], a[1]);
		break;
	case OP_UNMAPF:
		fprintf(f,
			"CALL(munmap(floats[%ld].addr, floats[%ld].length)); "
			"floats[%ld].addr = NULL;",
			a[0], a[0], a[0]);
		break;
	case OP_MAP:
		fprintf(f,
			"CALL(mmap(PAGE(%ld), %ld * 4096, "
			"PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | "
			"%s, -1, 0));",
			a[0], a[1], a[2] ? "MAP_FIXED_NOREPLACE" : "MAP_FIXED");
		break;
	case OP_REMAP:
		print_remap(a, f);
		break;
	case OP_REMAPF:
		fprintf(f,
			"CALL(mremap(floats[%ld].addr, floats[%ld].length, "
			"floats[%ld].length, MREMAP_MAYMOVE | MREMAP_FIXED, "
			"PAGE(%ld))); floats[%ld].addr = NULL;",
			a[0], a[0], a[0], a[1], a[0]);
		break;
	case OP_EUID:
		fprintf(f, "CALL(seteuid(%ld));", a[0]);
		break;
	case OP_EGID:
		fprintf(f, "CALL(setegid(%ld));", a[0]);
		break;
	case OP_FORK:
		fprintf(f, "become(%ld);", a[0]);
		break;
	case OP_VFORK:
		fprintf(f, "if (vfork() == 0) _exit(0);");
		break;
	case OP_EXEC:
		fprintf(f, "exec();");
		break;
	case OP_NOEXEC:
		fprintf(f, "execl(\"/dev/null/nothing\", \"nothing\", "
			   "(char *)NULL);");
		break;
	case OP_REAP:
		fprintf(f, "while (waitpid(-1, NULL, WNOHANG) > 0);");
		break;
	case OP_EXIT:
		print_exit(a[0], f);
		break;
	case OP_SPAWN:
	case OP_KILL:
	case OP_TICK:
	case OP_CODES:
		break;
	}
}

void standalone_print(const struct op *ops, int n, FILE *f)
{
	fprintf(f, "static void step(int n)\n{\n\tswitch (n) {\n");
	for (int i = 0; i < n; i++) {
		if (op_is_conductors(&ops[i]))
			continue;
		fprintf(f, "\tcase %d:\n\t\t", i + 1);
		print_step(&ops[i], f);
		fprintf(f, "\n\t\tbreak;\n");
	}
	fprintf(f, "\t}\n}\n\nint main(int argc, char **argv)\n{\n"
		   "\tbegin(argc, argv);\n");
	for (int i = 0; i < n; i++) {
		if (ops[i].code == OP_SPAWN)
			fprintf(f, "\tspawn(%ld);\n", ops[i].arg[0]);
		else if (ops[i].code == OP_KILL)
			fprintf(f, "\tend(%ld);\n", ops[i].arg[0]);
		else if (ops[i].code == OP_TICK)
			fprintf(f, "\tsleep(1);\n");
		else
			fprintf(f, "\trun(%d, %d);\n", ops[i].worker, i + 1);
	}
	fprintf(f, "\tfor (int w = 0; w < 6; w++)\n\t\tend(w);\n"
		   "\treturn 0;\n}\n");
}
