/* SPDX-License-Identifier: MIT */
/*
 * A thin layer over libsmartcols(3): choosing columns, formatting cells, and
 * the one thing that it does not do, several tables in one JSON object.
 *
 * JSON is for programs and must not vary: numbers are integers, times are
 * UTC, and the locale is C.UTF-8 so that the text of command lines stays
 * what it is.
 */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tool/message.h"
#include "tool/size.h"
#include "tool/table.h"

static int find_column(const struct table_selection *sel, const char *name,
		       size_t len)
{
	for (size_t i = 0; i < sel->ncolumns; i++)
		if (strlen(sel->columns[i].name) == len &&
		    strncasecmp(sel->columns[i].name, name, len) == 0)
			return (int)i;

	return -1;
}

int table_select(struct table_selection *sel, const char *list)
{
	size_t len;

	if (*list == '+')
		list++;
	else
		sel->nshown = 0;

	for (;; list += len + 1) {
		int column;

		len = strcspn(list, ",");
		column = find_column(sel, list, len);
		if (column < 0) {
			message_error("there is no column '%.*s'", (int)len,
				      list);
			message_try_help();
			return -EINVAL;
		}
		if (sel->nshown == TABLE_MAX_COLUMNS) {
			message_error("too many columns");
			return -EINVAL;
		}
		sel->shown[sel->nshown++] = column;

		if (list[len] == '\0')
			return 0;
	}
}

void table_help(const char *title, const struct table_column *columns,
		size_t ncolumns)
{
	printf("\n%s:\n", title);
	for (size_t i = 0; i < ncolumns; i++)
		printf("  %8s  %s\n", columns[i].name, columns[i].help);
}

int table_take_time(void *style, const char *name)
{
	static const char *const names[] = {
		[TABLE_TIME_SHORT] = "short",
		[TABLE_TIME_FULL] = "full",
		[TABLE_TIME_ISO] = "iso",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			((struct table_style *)style)->time =
				(enum table_time)i;
			return 0;
		}

	message_error("time format '%s' is not one of short, full, iso", name);
	return -EINVAL;
}

static void set_locale(const struct table_style *style)
{
	if (!style->json) {
		setlocale(LC_ALL, "");
		return;
	}

	setlocale(LC_ALL, "C");
	setlocale(LC_CTYPE, "C.UTF-8");
}

struct libscols_table *table_new(const char *name,
				 const struct table_selection *sel,
				 const struct table_style *style)
{
	struct libscols_table *tb;

	set_locale(style);
	tb = scols_new_table();
	if (!tb)
		goto no_memory;

	scols_table_set_name(tb, name);
	scols_table_enable_json(tb, style->json);
	scols_table_enable_raw(tb, style->raw);
	scols_table_enable_export(tb, style->export);
	scols_table_enable_noheadings(tb, style->noheadings);

	for (size_t i = 0; i < sel->nshown; i++) {
		const struct table_column *col = &sel->columns[sel->shown[i]];
		struct libscols_column *cl;
		int flags = col->flags;

		if (style->notruncate)
			flags &= ~SCOLS_FL_TRUNC;
		cl = scols_table_new_column(tb, col->name, col->width, flags);
		if (!cl)
			goto no_memory;
		scols_column_set_json_type(cl, col->json_type);
	}

	return tb;

no_memory:
	message_error("out of memory");
	scols_unref_table(tb);
	return NULL;
}

void table_set(struct libscols_line *line, size_t cell, const char *text)
{
	if (text)
		scols_line_set_data(line, cell, text);
}

/* The length of the UTF-8 character at 's', or 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const unsigned char least[] = { 0, 0, 0xc2, 0xe0, 0xf0 };
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (len == 1)
		return 1;
	if (s[0] < least[len] || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;

	/* Overlong, a surrogate, past U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;

	return len;
}

void table_set_foreign(struct libscols_line *line, size_t cell,
		       const char *text, const struct table_style *style)
{
	const unsigned char *from = (const unsigned char *)text;
	char *clean, *to;
	size_t len;

	/* Tables for people show odd bytes as \xff by themselves. */
	if (!text || !style->json) {
		table_set(line, cell, text);
		return;
	}

	clean = to = malloc(3 * strlen(text) + 1);
	if (!clean)
		return;
	for (; *from; from += len ? len : 1) {
		len = utf8_length(from);
		memcpy(to, len ? (const char *)from : "\xef\xbf\xbd",
		       len ? len : 3); /* U+FFFD */
		to += len ? len : 3;
	}
	*to = '\0';
	table_set(line, cell, clean);
	free(clean);
}

const char *table_number(int64_t number, char *buf, size_t len)
{
	snprintf(buf, len, "%" PRId64, number);
	return buf;
}

const char *table_size(uint64_t bytes, const struct table_style *style,
		       char *buf, size_t len)
{
	if (!style->bytes && !style->json)
		return size_human(bytes, buf, len);

	snprintf(buf, len, "%" PRIu64, bytes);
	return buf;
}

const char *table_when(int64_t when, const struct table_style *style, char *buf,
		       size_t len)
{
	enum table_time format = style->json ? TABLE_TIME_UTC : style->time;
	time_t t = (time_t)when, now = time(NULL);
	struct tm tm, today;
	char zone[8];
	size_t n;

	if (when == 0)
		return NULL;
	if (!(format == TABLE_TIME_UTC ? gmtime_r(&t, &tm)
				       : localtime_r(&t, &tm)) ||
	    !localtime_r(&now, &today))
		return NULL;

	switch (format) {
	case TABLE_TIME_SHORT:
		if (tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday)
			strftime(buf, len, "%H:%M", &tm);
		else if (tm.tm_year == today.tm_year)
			strftime(buf, len, "%b%d", &tm);
		else
			strftime(buf, len, "%Y-%b%d", &tm);
		break;
	case TABLE_TIME_FULL:
		strftime(buf, len, "%a %b %e %H:%M:%S %Y", &tm);
		break;
	case TABLE_TIME_ISO:
		n = strftime(buf, len, "%Y-%m-%dT%H:%M:%S", &tm);
		strftime(zone, sizeof(zone), "%z", &tm);
		snprintf(buf + n, len - n, "%.3s:%s", zone, zone + 3);
		break;
	case TABLE_TIME_UTC:
		strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &tm);
		break;
	}

	return buf;
}

const char *table_age(int64_t seconds, const struct table_style *style,
		      char *buf, size_t len)
{
	static const struct {
		int seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t i = 0;

	if (seconds < 0)
		seconds = 0;
	if (style->bytes || style->json)
		return table_number(seconds, buf, len);

	while (units[i].seconds > 1 && seconds < units[i].seconds)
		i++;
	snprintf(buf, len, "%" PRId64 "%c", seconds / units[i].seconds,
		 units[i].unit);
	return buf;
}

/*
 * libsmartcols prints {"name": [...]}; take the outer braces off each table
 * and put one pair around them all.
 */
static int print_json(struct libscols_table **tables, size_t n)
{
	printf("{\n   \"schema\": %d", TABLE_SCHEMA);

	for (size_t i = 0; i < n; i++) {
		char *text = NULL, *start, *end;
		int r;

		r = scols_print_table_to_string(tables[i], &text);
		if (r != 0 || !text)
			return r < 0 ? r : -ENOMEM;

		start = strchr(text, '{');
		end = strrchr(text, '}');
		if (!start || !end || end < start) {
			free(text);
			return -EPROTO;
		}
		start++;
		while (end > start && strchr(" \n", end[-1]))
			end--;
		printf(",%.*s", (int)(end - start), start);
		free(text);
	}

	puts("\n}");
	return 0;
}

int table_print(struct libscols_table **tables, size_t n,
		const struct table_style *style)
{
	int r = 0;

	if (style->json)
		r = print_json(tables, n);
	else
		for (size_t i = 0; i < n && r == 0; i++)
			r = scols_print_table(tables[i]);

	if (r != 0) {
		r = r > 0 ? -r : r;
		message_error("cannot print the table: %s", message_errno(r));
	}
	return r;
}
