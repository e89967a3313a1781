/* SPDX-License-Identifier: MIT */
/*
 * reader FILE [remove] - print what writer left, and remove the segment.
 *
 * Plain System V shared memory: nothing here knows of ushm.
 */
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv)
{
	struct shmid_ds ds;
	key_t key;
	char *text;
	int id;

	if (argc < 2) {
		fprintf(stderr, "usage: reader FILE [remove]\n");
		return 2;
	}

	key = ftok(argv[1], 'w');
	if (key == -1) {
		perror(argv[1]);
		return 1;
	}

	id = shmget(key, 0, 0);
	if (id == -1) {
		perror("reader: shmget");
		return 1;
	}

	text = shmat(id, NULL, SHM_RDONLY);
	if (text == (void *)-1) {
		perror("reader: shmat");
		return 1;
	}

	if (shmctl(id, IPC_STAT, &ds) == -1) {
		perror("reader: shmctl");
		return 1;
	}
	printf("reader: \"%s\", from process %d, %lu attached\n", text,
	       (int)ds.shm_cpid, (unsigned long)ds.shm_nattch);
	if (shmdt(text) == -1) {
		perror("reader: shmdt");
		return 1;
	}

	if (argc > 2 && shmctl(id, IPC_RMID, NULL) == -1) {
		perror("reader: shmctl");
		return 1;
	}
	return 0;
}
