/* SPDX-License-Identifier: MIT */
/*
 * map-lmdb DIR [writemap] make
 * map-lmdb DIR [writemap] work NAME COUNT
 * map-lmdb DIR [writemap] check - a database of LMDB: its data and its table of
 * readers are shared mappings.
 *
 * Each transaction of 'work' adds one to a counter of all writers and to one of
 * NAME, and stores a record; then it says "done N". 'check' prints how often
 * each NAME did, and finds out whether the counter of all is their sum and no
 * record is missing or changed.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define MAP_BYTES (8u << 20)

static MDB_env *env;
static MDB_dbi dbi;

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: error %d: %s\n", what, r, mdb_strerror(r));
	exit(1);
}

static void wrong(const char *what, const char *name)
{
	fprintf(stderr, "wrong: %s: %s\n", what, name);
	exit(1);
}

static void open_env(const char *dir, unsigned flags)
{
	must(mdb_env_create(&env), "mdb_env_create");
	must(mdb_env_set_mapsize(env, MAP_BYTES), "mdb_env_set_mapsize");
	must(mdb_env_open(env, dir, flags, 0600), "mdb_env_open");
}

static MDB_txn *begin(unsigned flags)
{
	MDB_txn *txn;

	must(mdb_txn_begin(env, NULL, flags, &txn), "mdb_txn_begin");
	must(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
	return txn;
}

static MDB_val text(const char *s)
{
	return (MDB_val){ strlen(s), (void *)(uintptr_t)s };
}

static uint64_t count_of(MDB_txn *txn, const char *name)
{
	MDB_val key = text(name), data;
	uint64_t n = 0;
	int r = mdb_get(txn, dbi, &key, &data);

	if (r == MDB_NOTFOUND)
		return 0;
	must(r, "mdb_get");
	memcpy(&n, data.mv_data, sizeof(n));
	return n;
}

static uint64_t add_one(MDB_txn *txn, const char *name)
{
	uint64_t n = count_of(txn, name) + 1;
	MDB_val key = text(name), data = { sizeof(n), &n };

	must(mdb_put(txn, dbi, &key, &data, 0), "mdb_put");
	return n;
}

static void work(const char *name, uint64_t count)
{
	struct record record;
	MDB_val key, data = { RECORD_BYTES, record.bytes };
	MDB_txn *txn;
	uint64_t n;

	while (count--) {
		txn = begin(0);
		(void)add_one(txn, ALL);
		n = add_one(txn, name);
		record_fill(&record, name, n);
		key = text(record.key);
		must(mdb_put(txn, dbi, &key, &data, MDB_NOOVERWRITE),
		     "mdb_put");
		must(mdb_txn_commit(txn), "mdb_txn_commit");
		printf("done %llu\n", (unsigned long long)n);
		fflush(stdout);
	}
}

static void check_records(MDB_txn *txn, const char *name, uint64_t count)
{
	struct record record;
	MDB_val key, data;

	for (uint64_t n = 1; n <= count; n++) {
		record_fill(&record, name, n);
		key = text(record.key);
		must(mdb_get(txn, dbi, &key, &data), record.key);
		if (data.mv_size != RECORD_BYTES ||
		    memcmp(data.mv_data, record.bytes, RECORD_BYTES) != 0)
			wrong("the record", record.key);
	}
}

static void check(void)
{
	MDB_txn *txn = begin(MDB_RDONLY);
	uint64_t sum = 0, n, entries = 1;
	MDB_cursor *cursor;
	MDB_val key, data;
	MDB_stat stat;
	char name[64];

	must(mdb_cursor_open(txn, dbi, &cursor), "mdb_cursor_open");
	while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
		snprintf(name, sizeof(name), "%.*s", (int)key.mv_size,
			 (char *)key.mv_data);
		if (!record_is_counter(name))
			continue;
		n = count_of(txn, name);
		check_records(txn, name, n);
		printf("%s %llu\n", name, (unsigned long long)n);
		sum += n;
		entries += n + 1;
	}
	if (sum != count_of(txn, ALL))
		wrong("the counter", ALL);
	must(mdb_stat(txn, dbi, &stat), "mdb_stat");
	if (sum && stat.ms_entries != entries)
		wrong("the number of records", ALL);
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
}

int main(int argc, char **argv)
{
	const char *dir = argc > 2 ? argv[1] : ".";
	unsigned flags = 0;
	char **word = argv + 2;

	if (argc > 2 && strcmp(*word, "writemap") == 0) {
		flags = MDB_WRITEMAP;
		word++;
	}
	if (argc < 3 || !*word)
		return 2;
	open_env(dir, flags);
	if (strcmp(*word, "make") == 0)
		must(mdb_txn_commit(begin(0)), "mdb_txn_commit");
	else if (strcmp(*word, "work") == 0 && word[1] && word[2])
		work(word[1], strtoul(word[2], NULL, 10));
	else if (strcmp(*word, "check") == 0)
		check();
	else
		return 2;
	mdb_env_close(env);
	return 0;
}
