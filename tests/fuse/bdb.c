/* SPDX-License-Identifier: MIT */
/*
 * map-bdb DIR make
 * map-bdb DIR work NAME COUNT
 * map-bdb DIR check
 * map-bdb DIR recover - an environment of Berkeley DB: its cache, locks and log
 * buffers are files __db.*, mapped shared by all who use it.
 *
 * As map-lmdb does, each transaction of 'work' adds one to a counter of all
 * writers and to one of NAME, and stores a record; then it says "done N".
 * 'recover' is what has to come after a process was killed.
 */
#include <db.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define PARTS (DB_INIT_MPOOL | DB_INIT_TXN | DB_INIT_LOCK | DB_INIT_LOG)

static DB_ENV *env;
static DB *db;

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: error %d: %s\n", what, r, db_strerror(r));
	exit(1);
}

static void wrong(const char *what, const char *name)
{
	fprintf(stderr, "wrong: %s: %s\n", what, name);
	exit(1);
}

static void open_env(const char *dir, unsigned flags)
{
	must(db_env_create(&env, 0), "db_env_create");
	env->set_errfile(env, stderr);
	must(env->set_lk_detect(env, DB_LOCK_DEFAULT), "set_lk_detect");
	must(env->open(env, dir, PARTS | DB_CREATE | flags, 0600), "env->open");
	must(db_create(&db, env, 0), "db_create");
	must(db->open(db, NULL, "data", NULL, DB_BTREE,
		      DB_CREATE | DB_AUTO_COMMIT, 0600),
	     "db->open");
}

static DBT bytes(const void *p, size_t n)
{
	return (DBT){ .data = (void *)(uintptr_t)p, .size = (uint32_t)n };
}

static int count_of(DB_TXN *txn, const char *name, uint32_t flags,
		    uint64_t *ret)
{
	DBT key = bytes(name, strlen(name)), data = { 0 };
	int r = db->get(db, txn, &key, &data, flags);

	*ret = 0;
	if (r == 0)
		memcpy(ret, data.data, sizeof(*ret));
	return r == DB_NOTFOUND ? 0 : r;
}

static int add_one(DB_TXN *txn, const char *name, uint64_t *ret)
{
	DBT key = bytes(name, strlen(name)), data = bytes(ret, sizeof(*ret));
	int r = count_of(txn, name, DB_RMW, ret);

	++*ret;
	return r ? r : db->put(db, txn, &key, &data, 0);
}

static int transaction(DB_TXN *txn, const char *name, uint64_t *ret_n)
{
	struct record record;
	DBT key, data;
	uint64_t all;
	int r;

	r = add_one(txn, ALL, &all);
	if (r == 0)
		r = add_one(txn, name, ret_n);
	if (r)
		return r;
	record_fill(&record, name, *ret_n);
	key = bytes(record.key, strlen(record.key));
	data = bytes(record.bytes, RECORD_BYTES);
	return db->put(db, txn, &key, &data, DB_NOOVERWRITE);
}

static void work(const char *name, uint64_t count)
{
	DB_TXN *txn;
	uint64_t n;
	int r;

	while (count) {
		must(env->txn_begin(env, NULL, &txn, 0), "txn_begin");
		r = transaction(txn, name, &n);
		if (r == DB_LOCK_DEADLOCK) {
			must(txn->abort(txn), "abort");
			continue;
		}
		must(r, "transaction");
		must(txn->commit(txn, 0), "commit");
		printf("done %llu\n", (unsigned long long)n);
		fflush(stdout);
		count--;
	}
}

static void check_records(const char *name, uint64_t count)
{
	struct record record;
	DBT key, data = { 0 };

	for (uint64_t n = 1; n <= count; n++) {
		record_fill(&record, name, n);
		key = bytes(record.key, strlen(record.key));
		must(db->get(db, NULL, &key, &data, 0), record.key);
		if (data.size != RECORD_BYTES ||
		    memcmp(data.data, record.bytes, RECORD_BYTES) != 0)
			wrong("the record", record.key);
	}
}

static void check(void)
{
	uint64_t sum = 0, entries = 0, expected = 1, n;
	DBT key = { 0 }, data = { 0 };
	char name[64];
	DBC *cursor;

	must(db->cursor(db, NULL, &cursor, 0), "cursor");
	while (cursor->get(cursor, &key, &data, DB_NEXT) == 0) {
		entries++;
		snprintf(name, sizeof(name), "%.*s", (int)key.size,
			 (char *)key.data);
		if (!record_is_counter(name))
			continue;
		must(count_of(NULL, name, 0, &n), name);
		check_records(name, n);
		printf("%s %llu\n", name, (unsigned long long)n);
		sum += n;
		expected += n + 1;
	}
	must(cursor->close(cursor), "cursor->close");
	must(count_of(NULL, ALL, 0, &n), ALL);
	if (sum != n)
		wrong("the counter", ALL);
	if (sum && entries != expected)
		wrong("the number of records", ALL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "";

	if (argc < 3)
		return 2;
	open_env(argv[1], strcmp(what, "recover") == 0 ? DB_RECOVER : 0);
	if (strcmp(what, "work") == 0 && argc > 4)
		work(argv[3], strtoul(argv[4], NULL, 10));
	else if (strcmp(what, "check") == 0)
		check();
	else if (strcmp(what, "make") != 0 && strcmp(what, "recover") != 0)
		return 2;
	must(db->close(db, 0), "db->close");
	must(env->close(env, 0), "env->close");
	return 0;
}
