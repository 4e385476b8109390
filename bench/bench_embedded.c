/* bench_embedded.c - throughput on one SQLite file, beside bare loops that do the same SQLite work.
 *
 *   send   cel_apply_many() of N no-op tasks            beside  INSERT of N such rows, 100 a transaction
 *   work   a worker -c 2 runs N tasks, results stored   beside  one loop: claim 100, store their results, delete them
 *
 * The same `synchronous` level for both. Three rounds, each pair in turn; what counts is the ratio of the medians. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "bench.h"

#define BATCH 100

static const char *level = "normal";

/* ---- the bare loops ---- */

static void sql(sqlite3 *db, const char *text)
{
    char *message;

    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
        bench_fail("sqlite: %s: %s", message, text);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) != SQLITE_OK)
        bench_fail("sqlite: %s: %s", sqlite3_errmsg(db), text);
    return stmt;
}

static void step(sqlite3 *db, sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        bench_fail("sqlite: %s", sqlite3_errmsg(db));
    sqlite3_reset(stmt);
}

static sqlite3 *open_bare(int round)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/bare-%d.db", bench_folder(), round);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        bench_fail("sqlite: %s", sqlite3_errmsg(db));
    sql(db, "PRAGMA journal_mode=WAL");
    sql(db,
        strcmp(level, "full") == 0 ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    sql(db, "CREATE TABLE message(id INTEGER PRIMARY KEY, queue INT, state INT, priority INT, "
            "owner INT, headers TEXT, body "
            "BLOB);"
            "CREATE INDEX ready ON message(queue, priority DESC, id) WHERE state = 0;"
            "CREATE TABLE result(task_id TEXT PRIMARY KEY, status TEXT, document TEXT) WITHOUT "
            "ROWID;");
    return db;
}

/* About what a message of Celery's protocol holds. */
static void make_texts(char *headers, size_t size, char *body, size_t body_size)
{
    snprintf(headers, size, "{\"lang\": \"py\", \"task\": \"bench.noop\", \"id\": \"%036d\", ",
             7);
    for (size_t len = strlen(headers); len < 560; len++)
        headers[len] = 'x', headers[len + 1] = '\0';
    snprintf(body, body_size,
             "[[], {}, {\"callbacks\": null, \"errbacks\": null, \"chain\": null, \"chord\": "
             "null}]");
}

static double bare_send(sqlite3 *db, int count)
{
    sqlite3_stmt *insert = prepare(
        db, "INSERT INTO message(queue, state, priority, headers, body) VALUES(1, 0, 0, ?, ?)");
    char headers[1024], body[128];
    double start;

    make_texts(headers, sizeof headers, body, sizeof body);
    start = bench_now_s();
    for (int i = 0; i < count;) {
        sql(db, "BEGIN IMMEDIATE");
        for (int j = 0; j < BATCH && i < count; j++, i++) {
            sqlite3_bind_text(insert, 1, headers, -1, SQLITE_STATIC);
            sqlite3_bind_blob(insert, 2, body, (int)strlen(body), SQLITE_STATIC);
            step(db, insert);
        }
        sql(db, "COMMIT");
    }
    sqlite3_finalize(insert);
    return bench_now_s() - start;
}

static double bare_work(sqlite3 *db, int count)
{
    sqlite3_stmt *find = prepare(db, "SELECT id, headers, body FROM message WHERE queue = 1 "
                                     "AND state = 0 ORDER BY priority DESC, id LIMIT 100");
    sqlite3_stmt *claim = prepare(db, "UPDATE message SET state = 1, owner = 1 WHERE id = ?");
    sqlite3_stmt *store = prepare(db, "INSERT INTO result VALUES(?, 'SUCCESS', ?)");
    sqlite3_stmt *drop = prepare(db, "DELETE FROM message WHERE id = ? AND owner = 1");
    const char *document = "{\"status\": \"SUCCESS\", \"result\": null, \"traceback\": null, "
                           "\"children\": [], \"date_done\": "
                           "\"2026-11-23T03:01:14.105188+00:00\", \"task_id\": "
                           "\"00000000-0000-0000-0000-000000000000\"}";
    sqlite3_int64 ids[BATCH];
    char task_id[64];
    double start = bench_now_s();

    for (int done = 0; done < count;) {
        int n = 0;

        sql(db, "BEGIN IMMEDIATE");
        while (n < BATCH && sqlite3_step(find) == SQLITE_ROW)
            ids[n++] = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
        for (int i = 0; i < n; i++) {
            sqlite3_bind_int64(claim, 1, ids[i]);
            step(db, claim);
        }
        sql(db, "COMMIT");
        sql(db, "BEGIN IMMEDIATE");
        for (int i = 0; i < n; i++) {
            /* ids sort by time, as ours do */
            snprintf(task_id,
                     sizeof task_id,
                     "019ab%03x-%04x-7%03x-8%03x-%012x",
                     (unsigned)(ids[i] >> 16) & 0xfff,
                     (unsigned)ids[i] & 0xffff,
                     (unsigned)rand() & 0xfff,
                     (unsigned)rand() & 0xfff,
                     (unsigned)rand());
            sqlite3_bind_text(store, 1, task_id, -1, SQLITE_STATIC);
            sqlite3_bind_text(store, 2, document, -1, SQLITE_STATIC);
            step(db, store);
            sqlite3_bind_int64(drop, 1, ids[i]);
            step(db, drop);
        }
        sql(db, "COMMIT");
        done += n;
        if (n == 0)
            bench_fail("the bare loop has lost messages");
    }
    sqlite3_finalize(find);
    sqlite3_finalize(claim);
    sqlite3_finalize(store);
    sqlite3_finalize(drop);
    return bench_now_s() - start;
}

/* ---- ours ---- */

static void must(cel_code code, const cel_error *err)
{
    if (code != CEL_OK)
        bench_fail("celeriac: %s", err->message);
}

static cel_result *send_one(cel_app *app)
{
    cel_result *result;
    cel_error err;

    must(cel_send(app, &result, "bench.noop", NULL, NULL, NULL, &err), &err);
    return result;
}

static void wait_for(cel_result *result)
{
    cel_error err;

    must(cel_result_get(result, NULL, 120000, &err), &err);
    cel_result_free(result);
}

static double our_send(cel_app *app, int count)
{
    cel_signature *signature = cel_sig("bench.noop", NULL);
    const cel_signature **all = malloc((size_t)count * sizeof *all);
    cel_error err;
    double start;

    for (int i = 0; i < count; i++)
        all[i] = signature;
    start = bench_now_s();
    must(cel_apply_many(app, NULL, all, (size_t)count, NULL, &err), &err);
    start = bench_now_s() - start;
    free(all);
    cel_signature_free(signature);
    return start;
}

static void run_ours(int round, int count, double *send, double *work)
{
    char url[192];
    cel_result *first, *last;
    cel_app *app;
    cel_error err;
    double start;
    pid_t worker;

    snprintf(url, sizeof url, "sqlite:///%s/ours-%d.db?synchronous=%s", bench_folder(), round,
             level);
    must(cel_app_new(&app,
                     CEL_APP_OPTIONS(.broker = url, .backend = url, .ignore_environment = true),
                     &err),
         &err);
    first = send_one(app);
    *send = our_send(app, count);
    last = send_one(app);
    worker = bench_worker_start(url, "2");
    wait_for(first);
    start = bench_now_s();
    wait_for(last);
    *work = bench_now_s() - start;
    bench_worker_stop(worker);
    cel_app_free(app);
}

int main(int argc, char **argv)
{
    double bare_s[BENCH_ROUNDS], our_s[BENCH_ROUNDS], bare_w[BENCH_ROUNDS], our_w[BENCH_ROUNDS];
    int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
    double a, b;

    if (argc > 2)
        level = argv[2];
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        sqlite3 *db = open_bare(round);

        bare_s[round] = count / bare_send(db, count);
        bare_w[round] = count / bare_work(db, count);
        sqlite3_close(db);
        run_ours(round, count, &our_s[round], &our_w[round]);
        our_s[round] = count / our_s[round];
        our_w[round] = count / our_w[round];
    }
    a = bench_median(our_s, BENCH_ROUNDS);
    b = bench_median(bare_s, BENCH_ROUNDS);
    printf("bulk send (synchronous=%s, %d messages): ours %.0f/s, bare inserts %.0f/s, ratio "
           "%.2f (median of %d)\n",
           level, count, a, b, a / b, BENCH_ROUNDS);
    a = bench_median(our_w, BENCH_ROUNDS);
    b = bench_median(bare_w, BENCH_ROUNDS);
    printf("no-op tasks, prefork -c 2, results stored (synchronous=%s): ours %.0f/s, bare loop "
           "%.0f/s, ratio %.2f (median of %d)\n",
           level, a, b, a / b, BENCH_ROUNDS);
    return 0;
}
