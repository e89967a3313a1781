/* SPDX-License-Identifier: MIT */
/*
 * A program that knows nothing of ushm: it is built for each kind of programs
 * and does what abi.c says. A line "LETTER A B" on standard input is one call,
 * a number on standard output its result: negative is an errno.
 *
 * With arguments (chains.sh): print the id of a segment of the key, make it if
 * need be, and run the command.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>

static char *memory; /* what was attached last */

static long result(long r)
{
	return r < 0 ? -errno : r;
}

static long attach(int id)
{
	char *p = shmat(id, NULL, 0);

	if (p == (void *)-1)
		return -errno;
	memory = p;
	return 0;
}

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds = { .shm_segsz = 0 };

	if (shmctl(id, IPC_STAT, &ds) < 0)
		ds.shm_nattch = (unsigned long)-errno;
	return ds;
}

/* Until it is killed. */
static void churn(int id)
{
	for (;;) {
		char *p = shmat(id, NULL, 0);
		int own = shmget(IPC_PRIVATE, 1, 0600);

		shmdt(p);
		shmctl(own, IPC_RMID, NULL);
	}
}

static long obey(char what, long a, long b)
{
	struct shmid_ds ds;

	switch (what) {
	case 'g': /* get KEY SIZE */
		return result(shmget((key_t)a, (size_t)b, IPC_CREAT | 0600));
	case 'a': /* attach ID */
		return attach((int)a);
	case 'd': /* detach */
		return result(shmdt(memory));
	case 'r': /* remove ID */
		return result(shmctl((int)a, IPC_RMID, NULL));
	case 'n': /* nattch ID */
		return (long)stat_of((int)a).shm_nattch;
	case 's': /* size ID */
		return (long)stat_of((int)a).shm_segsz;
	case 'm': /* mode ID */
		return (long)stat_of((int)a).shm_perm.mode;
	case 't': /* change time ID */
		return (long)stat_of((int)a).shm_ctime;
	case 'M': /* change mode ID MODE */
		ds = stat_of((int)a);
		ds.shm_perm.mode = (unsigned short)b;
		return result(shmctl((int)a, IPC_SET, &ds));
	case 'w': /* write OFFSET VALUE */
		memory[a] = (char)b;
		return 0;
	case 'v': /* value OFFSET */
		return memory[a];
	case 'c': /* churn ID */
		churn((int)a);
		return 0;
	default:
		return -ENOSYS;
	}
}

int main(int argc, char **argv)
{
	long a, b;
	char what;

	if (argc > 2) {
		printf("%ld ", obey('g', atoi(argv[1]), 4096));
		fflush(stdout);
		return system(argv[2]) != 0;
	}

	while (scanf(" %c %ld %ld", &what, &a, &b) == 3) {
		printf("%ld\n", obey(what, a, b));
		fflush(stdout);
	}
	return 0;
}
