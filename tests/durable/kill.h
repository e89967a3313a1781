/* SPDX-License-Identifier: MIT */
#ifndef USHM_TESTS_DURABLE_KILL_H
#define USHM_TESTS_DURABLE_KILL_H

/* Killed at every step of every operation; then rebooted, or not. */
void kill_every_step(void);

/* The same after each system call, and each instruction that changed the
 * registry; of these every 'part'-th. 77 where no process can be stepped. */
int kill_every_instruction(unsigned part);

/* Each system call that an operation makes fails, with each errno. */
void fail_every_call(void);

/* The same when that call, and all after it on the disk, fail. */
void lose_the_disk(void);

/* What an operation has changed on disk is flushed, in an order in which a
 * power cut leaves one of two states, whatever subset of the rest the disk has.
 */
void flush_before_return(void);

/* Its operations, for this: 'act' calls arm() before, and done() after. */
struct operation {
	const char *name;
	void (*prepare)(void);
	void (*act)(void);
};
extern const struct operation operations[];
extern const unsigned noperations;
void kill_begin(void);
extern void (*operation_arm)(void), (*operation_done)(void);

/* Files cut at each length, and with each bit changed. */
void change_every_byte(void);

#endif
