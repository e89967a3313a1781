/* SPDX-License-Identifier: MIT */
/*
 * writer FILE TEXT - leave TEXT in a segment whose key is that of FILE.
 *
 * Plain System V shared memory: nothing here knows of ushm.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv)
{
	key_t key;
	char *text;
	int id;

	if (argc != 3) {
		fprintf(stderr, "usage: writer FILE TEXT\n");
		return 2;
	}

	key = ftok(argv[1], 'w');
	if (key == -1) {
		perror(argv[1]);
		return 1;
	}

	id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1) {
		perror("writer: shmget");
		return 1;
	}

	text = shmat(id, NULL, 0);
	if (text == (void *)-1) {
		perror("writer: shmat");
		return 1;
	}

	strncpy(text, argv[2], 4095);
	printf("writer: segment %d has the text\n", id);
	return shmdt(text) == 0 ? 0 : 1;
}
