/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_COMMAND_H
#define USHM_TOOL_COMMAND_H

/*
 * The subcommands. Each gets its own name as argv[0] and returns the exit
 * status of the tool.
 */
int cmd_run(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_mk(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_limits(int argc, char **argv);
int cmd_fsck(int argc, char **argv);
int cmd_gc(int argc, char **argv);

#endif
