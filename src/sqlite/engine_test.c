/* engine_test.c - transactions, sharing, failures and the bell of the SQLite engine, in both
 * modes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/test_folder.h"
#include "sqlite/engine.h"

#ifdef __SANITIZE_THREAD__
/* libsqlite3 is not instrumented: two connections of one process meet in its shared memory. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libsqlite3.so\n";
}
#endif

#define DEADLINE_MS 20000

static char dir[100];
static bool threaded;

typedef struct fixture {
    uv_loop_t loop;
    cel_engine *engine;
    uv_timer_t deadline;
    bool closed;
} fixture;

static void url_of(char out[256], const char *name, const char *query)
{
    snprintf(out, 256, "sqlite:///%s/%s%s", dir, name, query);
}

static cel_code
try_open(cel_engine **out, uv_loop_t *loop, const char *name, const char *query, cel_error *err)
{
    char url[256];

    url_of(url, name, query);
    return cel__engine_open(
        out,
        &(cel_engine_options){
            .url = url, .loop = loop, .threaded = threaded, .node = "test@here"},
        err);
}

static void too_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the deadline passed");
}

static void start(fixture *fix, const char *name, const char *query)
{
    cel_error err = {0};

    memset(fix, 0, sizeof *fix);
    assert_int_equal(uv_loop_init(&fix->loop), 0);
    uv_timer_init(&fix->loop, &fix->deadline);
    uv_timer_start(&fix->deadline, too_late, DEADLINE_MS, 0);
    if (try_open(&fix->engine, &fix->loop, name, query, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
}

static void set_true(void *user)
{
    *(bool *)user = true;
}

static void run_until(fixture *fix, const bool *flag)
{
    while (!*flag)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static void finish_loop(uv_loop_t *loop, uv_timer_t *deadline)
{
    uv_close((uv_handle_t *)deadline, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void stop(fixture *fix)
{
    cel__engine_unref(fix->engine, set_true, &fix->closed);
    assert_false(fix->closed);
    run_until(fix, &fix->closed);
    finish_loop(&fix->loop, &fix->deadline);
}

/* An operation that runs one statement, or fails as told. */
typedef struct sql_op {
    cel_engine_op op;
    const char *sql;
    const char *then_fail; /* after the statement: fail alone with this message */
    int64_t value;         /* of the first column of the last row */
    int runs;
    bool done;
    uint64_t ring;
} sql_op;

static cel_code sql_run(cel_engine_op *op, cel_engine *engine)
{
    sql_op *self = (sql_op *)op;
    bool row = true;

    self->runs++;
    sqlite3_stmt *stmt = cel__engine_stmt(engine, self->sql, &op->err);
    if (!stmt)
        return op->err.code;
    while (row) {
        cel_code code = cel__engine_step(engine, stmt, &row, &op->err);
        if (code != CEL_OK)
            return code;
        if (row)
            self->value = sqlite3_column_int64(stmt, 0);
    }
    if (self->ring)
        cel__engine_ring(engine, CEL_EVENT_RESULT, self->ring);
    return self->then_fail ? cel_error_set(&op->err, CEL_ESTALE, "%s", self->then_fail)
                           : CEL_OK;
}

static void sql_done(cel_engine_op *op)
{
    sql_op *self = (sql_op *)op;

    assert_false(self->done);
    self->done = true;
}

static void submit(cel_engine *engine, sql_op *op, const char *sql)
{
    op->op.run = sql_run;
    op->op.done = sql_done;
    op->sql = sql;
    op->done = false;
    cel__engine_submit(engine, &op->op);
    assert_false(op->done);
}

static int64_t query(fixture *fix, const char *sql)
{
    sql_op op = {.op.read_only = true};

    submit(fix->engine, &op, sql);
    run_until(fix, &op.done);
    assert_int_equal(op.op.err.code, CEL_OK);
    return op.value;
}

static const char make_table[] = "CREATE TABLE t(x PRIMARY KEY)";
static const char insert_one[] = "INSERT INTO t VALUES(1)";
static const char insert_two[] = "INSERT INTO t VALUES(2)";
static const char insert_three[] = "INSERT INTO t VALUES(3)";
static const char count_rows[] = "SELECT count(*) FROM t";

static void execute(fixture *fix, const char *sql)
{
    sql_op op = {0};

    submit(fix->engine, &op, sql);
    run_until(fix, &op.done);
    if (op.op.err.code != CEL_OK)
        fail_msg("%s: %s", sql, op.op.err.message);
}

static void new_file_is_private_and_marked(void **state)
{
    fixture fix;
    struct stat info;
    char path[256];

    (void)state;
    start(&fix, "a.db", "");
    assert_int_equal(stat(cel__engine_path(fix.engine), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(query(&fix, "PRAGMA application_id") != 0);
    assert_int_equal(query(&fix, "SELECT count(*) FROM message"), 0);
    snprintf(path, sizeof path, "%s-run", cel__engine_path(fix.engine));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    stop(&fix);
    assert_int_not_equal(stat(path, &info), 0); /* the last one removes it */
}

static void operations_of_a_turn_are_one_transaction_in_order(void **state)
{
    fixture fix;
    sql_op one = {0}, two = {0}, count = {.op.read_only = true};

    (void)state;
    start(&fix, "b.db", "");
    execute(&fix, make_table);
    submit(fix.engine, &one, insert_one);
    submit(fix.engine, &count, count_rows);
    submit(fix.engine, &two, insert_two);
    run_until(&fix, &two.done);
    assert_true(one.done && count.done);
    assert_int_equal(count.value, 1);
    assert_int_equal(query(&fix, count_rows), 2);
    stop(&fix);
}

static void an_operation_that_fails_alone_is_rolled_back_alone(void **state)
{
    fixture fix;
    sql_op one = {0}, two = {.then_fail = "no more"}, three = {0};

    (void)state;
    start(&fix, "c.db", "");
    execute(&fix, make_table);
    submit(fix.engine, &one, insert_one);
    submit(fix.engine, &two, insert_two);
    submit(fix.engine, &three, insert_three);
    run_until(&fix, &three.done);
    assert_int_equal(one.op.err.code, CEL_OK);
    assert_int_equal(two.op.err.code, CEL_ESTALE);
    assert_string_equal(two.op.err.message, "no more");
    assert_int_equal(three.op.err.code, CEL_OK);
    assert_int_equal(one.runs, 2); /* the batch was run again, with savepoints */
    assert_int_equal(query(&fix, "SELECT sum(x) FROM t"), 4);
    stop(&fix);
}

static void a_failure_without_changes_costs_no_second_run(void **state)
{
    fixture fix;
    sql_op one = {0}, two = {.then_fail = "nothing found"};

    (void)state;
    start(&fix, "d.db", "");
    execute(&fix, make_table);
    submit(fix.engine, &one, insert_one);
    submit(fix.engine, &two, count_rows);
    run_until(&fix, &two.done);
    assert_int_equal(two.op.err.code, CEL_ESTALE);
    assert_int_equal(one.runs, 1);
    assert_int_equal(query(&fix, count_rows), 1);
    stop(&fix);
}

static void a_full_disk_fails_the_batch_and_is_survived(void **state)
{
    static const char fill[] = "INSERT INTO t SELECT randomblob(1000) FROM generate_rows";
    fixture fix;
    sql_op one = {0}, big = {0};

    (void)state;
    start(&fix, "e.db", "?max_page_count=60");
    execute(&fix, make_table);
    execute(&fix, "CREATE VIEW generate_rows AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                  "SELECT i+1 FROM n WHERE i<1000) SELECT i FROM n");
    submit(fix.engine, &one, insert_one);
    submit(fix.engine, &big, fill);
    run_until(&fix, &big.done);
    assert_int_equal(one.op.err.code, CEL_EFULL);
    assert_int_equal(big.op.err.code, CEL_EFULL);
    assert_true(big.op.err.retriable);
    assert_int_equal(query(&fix, count_rows), 0);
    execute(&fix, insert_one);
    assert_int_equal(query(&fix, count_rows), 1);
    stop(&fix);
}

static void write_file(const char *name, const char *bytes, size_t len)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void make_foreign(const char *name, const char *sql)
{
    char path[256];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void foreign_and_broken_files_are_refused(void **state)
{
    static const char garbage[] = "this is no database, but it is longer than the header of "
                                  "one, which has a hundred bytes; so it must be read";
    uv_loop_t loop;
    cel_engine *engine = NULL;
    cel_error err = {0};

    (void)state;
    uv_loop_init(&loop);
    write_file("garbage.db", garbage, sizeof garbage);
    assert_int_equal(try_open(&engine, &loop, "garbage.db", "", &err), CEL_EPROTO);
    assert_non_null(strstr(err.message, "garbage.db"));
    make_foreign("foreign.db", "CREATE TABLE theirs(x)");
    assert_int_equal(try_open(&engine, &loop, "foreign.db", "", &err), CEL_EPROTO);
    assert_non_null(strstr(err.message, "another application"));
    make_foreign("newer.db",
                 "PRAGMA application_id=0x43656c31; PRAGMA user_version=99; CREATE TABLE x(y)");
    assert_int_equal(try_open(&engine, &loop, "newer.db", "", &err), CEL_EPROTO);
    assert_non_null(strstr(err.message, "version 99"));
    assert_int_equal(try_open(&engine, &loop, "none/there.db", "", &err), CEL_EIO);
    assert_int_equal(try_open(&engine, &loop, "x.db", "?synchronous=sometimes", &err),
                     CEL_ECONFIG);
    assert_int_equal(try_open(&engine, &loop, "", "", &err), CEL_EIO);
    assert_null(engine);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void an_engine_is_shared_by_those_of_its_loop(void **state)
{
    fixture fix;
    cel_engine *second = NULL;
    bool closed = false;
    char name[60];

    (void)state;
    start(&fix, "f.db", "");
    snprintf(name, sizeof name, "../%.40s/f.db", strrchr(dir, '/') + 1);
    assert_int_equal(try_open(&second, &fix.loop, name, "", NULL), CEL_OK);
    assert_ptr_equal(second, fix.engine);
    cel__engine_unref(second, set_true, &closed);
    assert_false(closed);
    run_until(&fix, &closed);
    execute(&fix, make_table);
    stop(&fix);
}

static void close_finishes_what_was_submitted(void **state)
{
    fixture fix;
    sql_op one = {0};

    (void)state;
    start(&fix, "g.db", "");
    execute(&fix, make_table);
    submit(fix.engine, &one, insert_one);
    stop(&fix);
    assert_true(one.done);
    assert_int_equal(one.op.err.code, CEL_OK);
}

typedef struct other_engine {
    const char *name;
    uint64_t ring;
} other_engine;

static void ring_elsewhere(void *arg)
{
    other_engine *other = arg;
    fixture fix;
    sql_op op = {.ring = other->ring};

    start(&fix, other->name, "");
    submit(fix.engine, &op, "SELECT 1");
    run_until(&fix, &op.done);
    stop(&fix);
}

static void listeners_hear_their_own_engine(void **state)
{
    fixture fix;
    bool heard = false, misheard = false;
    sql_op op = {.ring = cel__engine_hash("id-1", 4)};
    cel_engine_listener *listener, *other;

    (void)state;
    start(&fix, "h.db", "");
    assert_int_equal(cel__engine_listen(&listener, fix.engine, CEL_EVENT_RESULT, op.ring,
                                        set_true, &heard, NULL),
                     CEL_OK);
    assert_int_equal(cel__engine_listen(&other, fix.engine, CEL_EVENT_QUEUE, op.ring, set_true,
                                        &misheard, NULL),
                     CEL_OK);
    submit(fix.engine, &op, "SELECT 1");
    run_until(&fix, &heard);
    assert_true(op.done);
    assert_false(misheard);
    cel__engine_unlisten(other);
    cel__engine_unlisten(listener);
    stop(&fix);
}

static void listeners_hear_another_engine_of_the_process(void **state)
{
    fixture fix;
    bool heard = false;
    uv_thread_t thread;
    other_engine other = {"i.db", cel__engine_hash("id-2", 4)};
    cel_engine_listener *listener;

    (void)state;
    start(&fix, "i.db", "");
    assert_int_equal(cel__engine_listen(&listener, fix.engine, CEL_EVENT_RESULT, other.ring,
                                        set_true, &heard, NULL),
                     CEL_OK);
    assert_int_equal(uv_thread_create(&thread, ring_elsewhere, &other), 0);
    run_until(&fix, &heard);
    uv_thread_join(&thread);
    cel__engine_unlisten(listener);
    stop(&fix);
}

static void listeners_hear_another_process(void **state)
{
    fixture fix;
    bool heard = false;
    int pipe_fd[2], status;
    char go = 'g';
    cel_engine_listener *listener;

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t child = fork(); /* before there is an engine */
    if (child == 0) {
        other_engine other = {"j.db", cel__engine_hash("id-3", 4)};
        if (read(pipe_fd[0], &go, 1) == 1)
            ring_elsewhere(&other);
        _exit(0);
    }
    start(&fix, "j.db", "");
    assert_int_equal(cel__engine_listen(&listener, fix.engine, CEL_EVENT_RESULT,
                                        cel__engine_hash("id-3", 4), set_true, &heard, NULL),
                     CEL_OK);
    assert_int_equal(write(pipe_fd[1], &go, 1), 1);
    run_until(&fix, &heard);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    cel__engine_unlisten(listener);
    stop(&fix);
}

static void opening_without_memory_fails_cleanly(void **state)
{
    uv_loop_t loop;
    cel_engine *engine = NULL;
    bool closed = false;
    size_t n = 0;
    cel_code code;

    (void)state;
    uv_loop_init(&loop);
    do {
        cel_error err = {0};
        cel__mem_fail_at(++n);
        code = try_open(&engine, &loop, "k.db", "", &err);
        cel__mem_fail_at(0);
        assert_true(code == CEL_OK || code == CEL_ENOMEM);
        uv_run(&loop, UV_RUN_DEFAULT);
    } while (code != CEL_OK);
    assert_true(n > 5);
    cel__engine_unref(engine, set_true, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static int make_dir(void **state)
{
    (void)state;
    return cel__test_folder(dir, sizeof dir, "engine") ? 0 : -1;
}

static int remove_dir(void **state)
{
    char path[300];
    static const char *const names[] = {"a", "b", "c", "d", "e",       "f",       "g",
                                        "h", "i", "j", "k", "garbage", "foreign", "newer"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s.db", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir); /* nothing else was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_file_is_private_and_marked),
        cmocka_unit_test(operations_of_a_turn_are_one_transaction_in_order),
        cmocka_unit_test(an_operation_that_fails_alone_is_rolled_back_alone),
        cmocka_unit_test(a_failure_without_changes_costs_no_second_run),
        cmocka_unit_test(a_full_disk_fails_the_batch_and_is_survived),
        cmocka_unit_test(foreign_and_broken_files_are_refused),
        cmocka_unit_test(an_engine_is_shared_by_those_of_its_loop),
        cmocka_unit_test(close_finishes_what_was_submitted),
        cmocka_unit_test(listeners_hear_their_own_engine),
        cmocka_unit_test(listeners_hear_another_engine_of_the_process),
        cmocka_unit_test(listeners_hear_another_process),
        cmocka_unit_test(opening_without_memory_fails_cleanly),
    };
    int failed = cmocka_run_group_tests_name("engine, inline", tests, make_dir, remove_dir);

    threaded = true;
    return failed +
           cmocka_run_group_tests_name("engine, threaded", tests, make_dir, remove_dir);
}
