/* SPDX-License-Identifier: MIT */
#ifndef USHM_TOOL_TABLE_H
#define USHM_TOOL_TABLE_H

#include <libsmartcols.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_SCHEMA 1 /* of the JSON output */

enum table_time {
	TABLE_TIME_SHORT, /* 17:17, Nov20, 2019-Nov20 */
	TABLE_TIME_FULL,  /* Fri Nov 20 17:17:02 2026 */
	TABLE_TIME_ISO,	  /* 2026-11-20T17:17:02+01:00 */
	TABLE_TIME_UTC,	  /* 2026-11-20T17:17:02Z: JSON */
};

struct table_style {
	bool json, raw, export, noheadings, notruncate;
	bool bytes; /* sizes and ages as plain numbers; always so in JSON */
	enum table_time time;
};

struct table_column {
	const char *name; /* lower case in JSON */
	double width;	  /* hint, as scols_table_new_column() takes it */
	int flags;	  /* SCOLS_FL_* */
	int json_type;	  /* SCOLS_JSON_* */
	const char *help;
};

/* A selection out of an array of columns. */
#define TABLE_MAX_COLUMNS 64

struct table_selection {
	const struct table_column *columns;
	size_t ncolumns;
	int shown[TABLE_MAX_COLUMNS]; /* indexes of 'columns' */
	size_t nshown;
};

/*
 * Choose columns: "A,B" replaces the selection, "+A,B" adds to it. Returns 0,
 * or -EINVAL after a message.
 */
int table_select(struct table_selection *sel, const char *list);

/* The lines of --help that describe the columns. */
void table_help(const char *title, const struct table_column *columns,
		size_t ncolumns);

/* An option's: "short", "full" or "iso" for a style. -EINVAL after a message.
 */
int table_take_time(void *style, const char *name);

/* The locale is set for people or for programs, as 'style' says. */
struct libscols_table *table_new(const char *name,
				 const struct table_selection *sel,
				 const struct table_style *style);

/* Set a cell of the line; NULL is nothing, null in JSON. */
void table_set(struct libscols_line *line, size_t cell, const char *text);

/* The same for text of others, which JSON can only take as UTF-8. */
void table_set_foreign(struct libscols_line *line, size_t cell,
		       const char *text, const struct table_style *style);

/* Texts for cells. They return 'buf', or NULL for nothing. */
const char *table_number(int64_t number, char *buf, size_t len);
const char *table_size(uint64_t bytes, const struct table_style *style,
		       char *buf, size_t len);
const char *table_when(int64_t when, const struct table_style *style, char *buf,
		       size_t len);
const char *table_age(int64_t seconds, const struct table_style *style,
		      char *buf, size_t len);

/*
 * Print tables to standard output: one after the other, or in JSON as members
 * of one object. Returns 0, or a negative errno after a message.
 */
int table_print(struct libscols_table **tables, size_t n,
		const struct table_style *style);

#endif
