/* sqlite_test.c - the SQLite broker keeps the contract, and what is its own: processes that are
 * killed, full disks, lost leases, and files that somebody has edited. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "broker/broker_conformance.h"
#include "core/test_folder.h"

#if defined(__SANITIZE_THREAD__)
/* libsqlite3 is not instrumented: two connections of one process meet in its shared memory. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libsqlite3.so\n";
}
#endif

#define DEADLINE_MS 30000
#define MAX_HELD    2048

static char dir[100];
static int number;
static bool threaded;

typedef struct fixture {
    uv_loop_t loop;
    uv_timer_t deadline;
    char path[256], url[400];
    cel_broker *broker;
    cel_consumer *consumer;
    cel_delivery *held[MAX_HELD];
    size_t held_count;
    int pending;
    cel_code last_code;
    cel_code state; /* of on_state */
    int states;
    bool closed;
} fixture;

static void fresh_url(char *url, size_t size)
{
    snprintf(url, size, "sqlite:///%s/%d.db", dir, number++);
}

static void too_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the deadline passed");
}

static void open_broker(fixture *fix)
{
    cel_error err = {0};
    cel_broker_options options = {.url = fix->url,
                                  .loop = &fix->loop,
                                  .clock = cel__clock_system(),
                                  .threaded = threaded};

    assert_int_equal(uv_loop_init(&fix->loop), 0);
    uv_timer_init(&fix->loop, &fix->deadline);
    uv_timer_start(&fix->deadline, too_late, DEADLINE_MS, 0);
    if (cel__broker_open(&fix->broker, &options, &err) != CEL_OK)
        fail_msg("open: %s", err.message);
}

static void name_file(fixture *fix, const char *query)
{
    *fix = (fixture){0};
    snprintf(fix->path, sizeof fix->path, "%s/%d.db", dir, number++);
    snprintf(fix->url, sizeof fix->url, "sqlite:///%s%s", fix->path, query);
}

static void start(fixture *fix, const char *query)
{
    name_file(fix, query);
    open_broker(fix);
}

static void set_true(void *user)
{
    *(bool *)user = true;
}

static void stop(fixture *fix)
{
    fix->broker->ops->close(fix->broker, set_true, &fix->closed);
    while (!fix->closed)
        uv_run(&fix->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&fix->deadline, NULL);
    uv_run(&fix->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fix->loop), 0);
}

static void confirmed(void *user, cel_code code, const cel_error *err)
{
    fixture *fix = user;

    (void)err;
    fix->pending--;
    fix->last_code = code;
}

static void wait_pending(fixture *fix)
{
    while (fix->pending > 0)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static cel_message message_of(const char *queue, cel_view body)
{
    cel_message message = CEL_MESSAGE_INIT;

    message.exchange = CEL_VIEW("");
    message.routing_key = cel__view(queue);
    message.content_type = CEL_VIEW("application/json");
    message.content_encoding = CEL_VIEW("utf-8");
    message.headers = CEL_VIEW("{}");
    message.body = body;
    return message;
}

static void publish(fixture *fix, const char *queue, const char *body)
{
    cel_message message = message_of(queue, cel__view(body));

    fix->pending++;
    assert_int_equal(fix->broker->ops->publish(fix->broker, &message, 1, confirmed, fix, NULL),
                     CEL_OK);
}

static void on_delivery(void *user, cel_delivery *delivery)
{
    fixture *fix = user;

    assert_true(fix->held_count < MAX_HELD);
    fix->held[fix->held_count++] = delivery;
}

static void on_state(void *user, cel_code code, const cel_error *err)
{
    fixture *fix = user;

    assert_true((err == NULL) == (code == CEL_OK));
    fix->state = code;
    fix->states++;
}

static void consume(fixture *fix, const char *queue, size_t window)
{
    cel_view name = cel__view(queue);
    cel_consumer_options options = {.queues = &name,
                                    .queue_count = 1,
                                    .window = window,
                                    .on_delivery = on_delivery,
                                    .on_state = on_state,
                                    .user = fix};

    assert_int_equal(fix->broker->ops->consume(&fix->consumer, fix->broker, &options, NULL),
                     CEL_OK);
}

static void wait_held(fixture *fix, size_t count)
{
    while (fix->held_count < count)
        uv_run(&fix->loop, UV_RUN_ONCE);
}

static cel_code ack_one(fixture *fix)
{
    fix->pending++;
    fix->broker->ops->ack(fix->held[--fix->held_count], confirmed, fix);
    wait_pending(fix);
    return fix->last_code;
}

static sqlite3 *open_by_hand(const fixture *fix)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(fix->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    return db;
}

static void by_hand(const fixture *fix, const char *sql)
{
    sqlite3 *db = open_by_hand(fix);
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(db);
}

static int64_t count_by_hand(const fixture *fix, const char *sql)
{
    sqlite3 *db = open_by_hand(fix);
    sqlite3_stmt *stmt;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

/* ---- killed processes ---- */

/* In the child: takes two messages, accepts the first, says so, and waits for its end. */
static void hold_and_wait(fixture *fix, int ready)
{
    char byte = 'r';

    open_broker(fix);
    consume(fix, "q", 2);
    wait_held(fix, 2);
    if (fix->broker->ops->accept(fix->held[0], NULL) != CEL_OK || write(ready, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static pid_t fork_holder(fixture *fix)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0)
        hold_and_wait(fix, ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void publish_two_and_close(fixture *fix, const char *query)
{
    char path[256], url[400];

    start(fix, query);
    publish(fix, "q", "accepted");
    publish(fix, "q", "untouched");
    wait_pending(fix);
    stop(fix);
    memcpy(path, fix->path, sizeof path);
    memcpy(url, fix->url, sizeof url);
    *fix = (fixture){0};
    memcpy(fix->path, path, sizeof path);
    memcpy(fix->url, url, sizeof url);
}

static void check_returned(fixture *fix)
{
    wait_held(fix, 2);
    assert_true(cel__view_is(fix->held[0]->message.body, "accepted"));
    assert_int_equal(fix->held[0]->attempt, CEL_ATTEMPT_ACCEPTED);
    assert_true(cel__view_is(fix->held[1]->message.body, "untouched"));
    assert_int_equal(fix->held[1]->attempt, CEL_ATTEMPT_AGAIN);
    assert_int_equal(fix->held[1]->deliveries, 2);
}

static void what_a_killed_process_held_is_there_at_the_next_start(void **state)
{
    fixture fix;

    (void)state;
    publish_two_and_close(&fix, "");
    pid_t child = fork_holder(&fix);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    open_broker(&fix);
    consume(&fix, "q", 10);
    check_returned(&fix);
    stop(&fix);
}

static void what_a_killed_process_held_comes_to_one_that_runs(void **state)
{
    fixture fix;

    (void)state;
    publish_two_and_close(&fix, "?lease_ms=300");
    pid_t child = fork_holder(&fix);
    open_broker(&fix);
    consume(&fix, "q", 10);
    kill(child, SIGKILL); /* a zombie until the end: dead all the same */
    check_returned(&fix);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(ack_one(&fix), CEL_OK);
    stop(&fix);
}

static void a_settlement_after_the_lease_was_lost_is_stale(void **state)
{
    fixture fix;

    (void)state;
    publish_two_and_close(&fix, "?lease_ms=300");
    open_broker(&fix);
    consume(&fix, "q", 2);
    wait_held(&fix, 2);
    /* As another would do it who thinks us dead. */
    by_hand(&fix, "INSERT INTO ready SELECT queue, 255-priority, id FROM message; DELETE FROM "
                  "claim; DELETE FROM owner;");
    assert_int_equal(ack_one(&fix), CEL_ESTALE);
    /* The consumer goes on under a new owner. */
    wait_held(&fix, 2);
    assert_int_equal(count_by_hand(&fix, "SELECT count(*) FROM message"), 2);
    while (count_by_hand(&fix, "SELECT count(*) FROM owner") == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    stop(&fix);
}

static void an_ended_lease_is_taken_over_after_a_grace(void **state)
{
    fixture fix;

    (void)state;
    publish_two_and_close(&fix, "?lease_ms=300");
    pid_t child = fork_holder(&fix);
    kill(child, SIGSTOP); /* alive, but renews nothing */
    open_broker(&fix);
    consume(&fix, "q", 10);
    check_returned(&fix);
    kill(child, SIGKILL);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, NULL, 0), child);
    stop(&fix);
}

/* ---- two processes ---- */

#define SHARED_MESSAGES 1000

/* Takes and acknowledges until an end marker comes; the exit status tells that all went well.
 */
static void eat(fixture *fix, int report)
{
    uint32_t eaten = 0;
    bool last = false;

    open_broker(fix);
    consume(fix, "q", 16);
    while (!last) {
        wait_held(fix, 1);
        last = cel__view_is(fix->held[fix->held_count - 1]->message.body, "end");
        if (ack_one(fix) != CEL_OK)
            _exit(2);
        eaten += !last;
    }
    if (write(report, &eaten, sizeof eaten) != sizeof eaten)
        _exit(3);
    stop(fix);
    _exit(0);
}

static void two_processes_share_a_queue_without_loss_or_doubles(void **state)
{
    fixture fix;
    int report[2], status;
    uint32_t eaten[2];
    pid_t children[2];

    (void)state;
    assert_int_equal(pipe(report), 0);
    name_file(&fix, "?synchronous=normal");
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0)
            eat(&fix, report[1]);
    }
    open_broker(&fix);
    for (int i = 0; i < SHARED_MESSAGES; i++) {
        publish(&fix, "q", "x");
        if (i % 50 == 0)
            wait_pending(&fix);
    }
    wait_pending(&fix);
    while (count_by_hand(&fix, "SELECT count(*) FROM message") > 0)
        uv_run(&fix.loop, UV_RUN_NOWAIT);
    publish(&fix, "q", "end");
    wait_pending(&fix);
    assert_int_equal(read(report[0], &eaten[0], sizeof eaten[0]), sizeof eaten[0]);
    publish(&fix, "q", "end");
    wait_pending(&fix);
    assert_int_equal(read(report[0], &eaten[1], sizeof eaten[1]), sizeof eaten[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(eaten[0] + eaten[1], SHARED_MESSAGES);
    close(report[0]);
    close(report[1]);
    stop(&fix);
}

/* ---- disks and files ---- */

static void a_full_disk_refuses_messages_and_recovers(void **state)
{
    fixture fix;
    static char big[200000];

    (void)state;
    start(&fix, "?max_page_count=120");
    memset(big, 'x', sizeof big);
    cel_message message = message_of("q", (cel_view){big, sizeof big});
    do {
        fix.pending++;
        assert_int_equal(
            fix.broker->ops->publish(fix.broker, &message, 1, confirmed, &fix, NULL), CEL_OK);
        wait_pending(&fix);
    } while (fix.last_code == CEL_OK);
    assert_int_equal(fix.last_code, CEL_EFULL);
    publish(&fix, "q", "small"); /* fits */
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    consume(&fix, "q", 10);
    wait_held(&fix, 2);
    while (fix.held_count > 0)
        assert_int_equal(ack_one(&fix), CEL_OK);
    fix.pending++;
    assert_int_equal(fix.broker->ops->publish(fix.broker, &message, 1, confirmed, &fix, NULL),
                     CEL_OK);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    stop(&fix);
}

static void a_failed_settlement_is_the_holders_to_try_again(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, "?busy_ms=50");
    publish(&fix, "q", "x");
    consume(&fix, "q", 1);
    wait_held(&fix, 1);
    wait_pending(&fix);
    sqlite3 *db = open_by_hand(&fix);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(fix.broker->ops->accept(fix.held[0], NULL), CEL_OK);
    fix.pending++;
    fix.broker->ops->ack(fix.held[0], confirmed, &fix);
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_EBUSY);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(ack_one(&fix), CEL_OK);
    assert_int_equal(count_by_hand(&fix, "SELECT count(*) FROM message"), 0);
    stop(&fix);
}

static void an_outage_is_told_once_and_its_end(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, "?busy_ms=20");
    publish(&fix, "q", "x");
    wait_pending(&fix);
    sqlite3 *db = open_by_hand(&fix);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    consume(&fix, "q", 1);
    while (fix.states == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    assert_int_equal(fix.state, CEL_EBUSY);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    wait_held(&fix, 1);
    assert_int_equal(fix.states, 2);
    assert_int_equal(fix.state, CEL_OK);
    assert_int_equal(ack_one(&fix), CEL_OK);
    stop(&fix);
}

static void messages_put_in_by_hand_are_delivered(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, "");
    publish(&fix, "q", "first");
    wait_pending(&fix);
    by_hand(&fix,
            "INSERT INTO message(queue) SELECT id FROM queue;" /* all NULL, and no place */
            "INSERT INTO message(queue, properties, headers, body) SELECT id, 17, x'ff00', 3.5 "
            "FROM queue;"
            "INSERT INTO message(queue, properties, headers, body) SELECT id, '{\"priority\": "
            "{}}', '[', zeroblob(100000) FROM queue;"
            "INSERT INTO messages(queue, priority, headers, body) VALUES('q', 7, '{}', 'view');"
            "INSERT INTO ready SELECT id, 255, 999999 FROM queue;" /* no such message */
            "INSERT INTO claim SELECT max(id), 4711 FROM message;" /* no such owner */
    );
    consume(&fix, "q", 100);
    wait_held(&fix, 5);
    assert_int_equal(fix.held_count, 5);
    assert_int_equal(fix.held[0]->message.priority, 7);
    assert_int_equal(fix.held[0]->attempt, CEL_ATTEMPT_ACCEPTED);
    size_t unknown = 0;
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(fix.held[i]->message.body.ptr);
        unknown += fix.held[i]->message.content_type.ptr == NULL;
    }
    assert_int_equal(unknown, 4);
    while (fix.held_count > 0)
        assert_int_equal(ack_one(&fix), CEL_OK);
    assert_int_equal(count_by_hand(&fix, "SELECT count(*) FROM message"), 0);
    assert_int_equal(count_by_hand(&fix, "SELECT count(*) FROM ready"), 0);
    stop(&fix);
}

static void stop_loop(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void count_turns(uv_check_t *check)
{
    (*(int *)check->data)++;
}

static void an_idle_consumer_does_nothing(void **state)
{
    fixture fix;
    uv_check_t check;
    int turns = 0;

    (void)state;
    start(&fix, "");
    consume(&fix, "q", 10);
    while (count_by_hand(&fix, "SELECT count(*) FROM consumer") == 0)
        uv_run(&fix.loop, UV_RUN_ONCE);
    uv_check_init(&fix.loop, &check);
    check.data = &turns;
    uv_check_start(&check, count_turns);
    uv_timer_start(&fix.deadline, stop_loop, 300, 0);
    uv_run(&fix.loop, UV_RUN_DEFAULT);
    uv_timer_start(&fix.deadline, too_late, DEADLINE_MS, 0);
    assert_true(turns <= 3);
    uv_close((uv_handle_t *)&check, NULL);
    stop(&fix);
}

static void a_large_window_outgrows_the_first_ledger(void **state)
{
    fixture fix;

    (void)state;
    start(&fix, "?synchronous=off");
    for (int i = 0; i < 1500; i++)
        publish(&fix, "q", "x");
    wait_pending(&fix);
    consume(&fix, "q", 1500);
    wait_held(&fix, 1500);
    for (size_t i = 0; i < 1500; i++)
        assert_int_equal(fix.broker->ops->accept(fix.held[i], NULL), CEL_OK);
    for (size_t i = 0; i < 1500; i++) {
        fix.pending++;
        fix.broker->ops->ack(fix.held[i], confirmed, &fix);
    }
    wait_pending(&fix);
    assert_int_equal(fix.last_code, CEL_OK);
    stop(&fix);
}

static void an_unknown_scheme_is_named_without_its_secrets(void **state)
{
    cel_broker *broker;
    cel_error err = {0};
    uv_loop_t loop;
    cel_broker_options options = {.url = "carrier-pigeon://user:secret@loft", .loop = &loop};

    (void)state;
    assert_int_equal(cel__broker_open(&broker, &options, &err), CEL_ECONFIG);
    assert_non_null(strstr(err.message, "carrier-pigeon"));
    assert_non_null(strstr(err.message, "sqlite"));
    assert_null(strstr(err.message, "secret"));
}

/* Removes the files; a directory that a killed process has left behind goes too. */
static void remove_all(const char *path, int depth)
{
    DIR *stream = opendir(path);
    struct dirent *entry;
    char name[900];

    while (stream && (entry = readdir(stream))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0 && depth < 2)
            remove_all(name, depth + 1);
    }
    if (stream)
        closedir(stream);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_killed_process_held_is_there_at_the_next_start),
        cmocka_unit_test(what_a_killed_process_held_comes_to_one_that_runs),
        cmocka_unit_test(a_settlement_after_the_lease_was_lost_is_stale),
        cmocka_unit_test(an_ended_lease_is_taken_over_after_a_grace),
        cmocka_unit_test(two_processes_share_a_queue_without_loss_or_doubles),
        cmocka_unit_test(a_full_disk_refuses_messages_and_recovers),
        cmocka_unit_test(a_failed_settlement_is_the_holders_to_try_again),
        cmocka_unit_test(an_outage_is_told_once_and_its_end),
        cmocka_unit_test(messages_put_in_by_hand_are_delivered),
        cmocka_unit_test(an_idle_consumer_does_nothing),
        cmocka_unit_test(a_large_window_outgrows_the_first_ledger),
        cmocka_unit_test(an_unknown_scheme_is_named_without_its_secrets),
    };
    int failed = 0;

    if (!cel__test_folder(dir, sizeof dir, "broker"))
        return 1;
    for (int round = 0; round < 2; round++) {
        threaded = round == 1;
        failed += cel__broker_conformance(&(cel_broker_conformance){
            threaded ? "sqlite broker, threaded" : "sqlite broker, inline", fresh_url, threaded,
            0});
        failed += cmocka_run_group_tests_name(threaded ? "sqlite, threaded" : "sqlite, inline",
                                              tests, NULL, NULL);
    }
    remove_all(dir, 0);
    return failed;
}
