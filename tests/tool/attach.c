/* SPDX-License-Identifier: MIT */
/*
 * attach KEY [ro]: makes the segment KEY or finds it, attaches it, prints its
 * id and then waits for the end of standard input. Plain System V calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int flags = argc > 2 && strcmp(argv[2], "ro") == 0 ? SHM_RDONLY : 0;
	char byte;
	int id;

	if (argc < 2)
		return 2;

	id = shmget((key_t)strtol(argv[1], NULL, 0), 4096, IPC_CREAT | 0600);
	if (id < 0 || shmat(id, NULL, flags) == (void *)-1) {
		perror("attach");
		return 1;
	}

	printf("%d\n", id);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;

	return 0;
}
