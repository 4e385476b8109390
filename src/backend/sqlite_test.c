/* sqlite_test.c - sqlite:/// passes the suite on the loop and on its own thread; and what
 * only a file and several processes can do: die in between, race, fill up, hold what others
 * have put there. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/backend_conformance.h"
#include "core/mem.h"
#include "core/test_folder.h"
#include "sqlite/engine.h"

#define LONG_MS ((int64_t)3600000)

static char dir[100];

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_dir(void)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void fresh(char *url, size_t size)
{
    assert_true(cel__test_folder(dir, sizeof dir, "backend"));
    snprintf(url, size, "sqlite:///%s/store.db?synchronous=off", dir);
}

static char url[512];

static int make_store(void **state)
{
    (void)state;
    fresh(url, sizeof url);
    return 0;
}

static int remove_store(void **state)
{
    (void)state;
    remove_dir();
    return 0;
}

/* ---- several processes ---- */

/* Runs this program anew, as `work`; its asserts end it. It finds the pipes at descriptors 3
 * and 4. */
static pid_t run_child(const char *work, int *to, int *from)
{
    int down[2], up[2];
    pid_t pid;

    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int in = fcntl(down[0], F_DUPFD, 100), out = fcntl(up[1], F_DUPFD, 100);

        dup2(in, 3);
        dup2(out, 4);
        close(in);
        close(out);
        execl("/proc/self/exe", "sqlite_test", work, dir, url, (char *)NULL);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    *to = down[1];
    *from = up[0];
    return pid;
}

static int wait_child(pid_t pid, int to, int from)
{
    int status = -1;

    close(to);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(from);
    return status;
}

static void
die_when_complete(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    (void)user;
    (void)code;
    (void)err;
    if (ready)
        raise(SIGKILL);
}

static void complete_and_die(int in, int out)
{
    static cel__pair pair;
    cel_backend *backend;
    int never = 0;

    (void)in;
    (void)out;
    cel__pair_open(&pair, url, false);
    backend = pair.backends[0];
    cel__pair_open_chord(&pair, 0, "g", 2);
    for (int i = 0; i < 2; i++) {
        char id[8];

        snprintf(id, sizeof id, "t%d", i);
        cel_chord_part part = cel__part("g", id, i, "SUCCESS", id + 1);

        backend->ops->chord_part(backend, &part, die_when_complete, NULL, NULL);
    }
    cel__pair_wait(&pair, &never, 1);
}

static void a_chord_whose_completer_was_killed_is_fired_once(void **state)
{
    cel__pair pair;
    cel__heard heard = {0};
    int to, from, status;
    pid_t pid = run_child("complete_and_die", &to, &from);

    (void)state;
    status = wait_child(pid, to, from);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cel__pair_open(&pair, url, false);
    cel__pair_sweep(&pair, 0, LONG_MS, &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.results, "[0, 1]");
    assert_string_equal(heard.parent_id, "t1");
    cel__pair_sweep(&pair, 1, LONG_MS, &heard);
    cel__pair_sweep(&pair, 0, LONG_MS, &heard);
    assert_int_equal(heard.fired, 1);
    cel__pair_done(&pair, 0, "g");
    cel__pair_sweep(&pair, 1, 0, &heard);
    assert_int_equal(heard.fired, 1);
    cel__heard_done(&heard);
    cel__pair_close(&pair);
}

enum {
    CHORDS = 40,
    PARTS = 5
};

struct race {
    int called;
    unsigned char fired[CHORDS];
};

static void
note_fired(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    struct race *race = user;
    char gid[16];

    (void)err;
    assert_int_equal(code, CEL_OK);
    race->called++;
    if (!ready)
        return;
    assert_true(ready->gid.len < sizeof gid);
    memcpy(gid, ready->gid.ptr, ready->gid.len);
    gid[ready->gid.len] = '\0';
    race->fired[strtol(gid + 1, NULL, 10)]++;
}

/* Counts all parts of all chords, as fast as it can; the other process does the same. */
static void count_all(int in, int out)
{
    static cel__pair pair;
    static struct race race;
    char go;

    cel__pair_open(&pair, url, true);
    assert_int_equal(write(out, "r", 1), 1);
    assert_int_equal(read(in, &go, 1), 1);
    for (int c = 0; c < CHORDS; c++) {
        char gid[16];
        cel_backend *backend = pair.backends[0];

        snprintf(gid, sizeof gid, "g%d", c);
        cel__pair_open_chord(&pair, 0, gid, PARTS);
        for (int i = 0; i < PARTS; i++) {
            char id[16];
            int before = race.called;

            snprintf(id, sizeof id, "t%d", i);
            cel_chord_part part = cel__part(gid, id, i, "SUCCESS", "1");

            backend->ops->chord_part(backend, &part, note_fired, &race, NULL);
            cel__pair_wait(&pair, &race.called, before + 1);
        }
    }
    assert_int_equal(write(out, race.fired, sizeof race.fired), sizeof race.fired);
    cel__pair_close(&pair);
}

static void two_processes_fire_a_chord_once(void **state)
{
    int to[2], from[2];
    pid_t pids[2];
    unsigned char fired[2][CHORDS];
    char ready;

    (void)state;
    for (int i = 0; i < 2; i++)
        pids[i] = run_child("count_all", &to[i], &from[i]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(read(from[i], &ready, 1), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(write(to[i], "g", 1), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(read(from[i], fired[i], CHORDS), CHORDS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wait_child(pids[i], to[i], from[i]), 0);
    for (int c = 0; c < CHORDS; c++)
        assert_int_equal(fired[0][c] + fired[1][c], 1);
}

static void store_when_told(int in, int out)
{
    static cel__pair pair;
    char go;

    (void)out;
    cel__pair_open(&pair, url, false);
    while (read(in, &go, 1) == 1)
        cel__pair_store(&pair, 0, "t1", go == 's' ? "STARTED" : "SUCCESS", "d", "g");
    cel__pair_close(&pair);
}

static void count_change(void *user)
{
    (*(int *)user)++;
}

static void a_watch_hears_other_processes(void **state)
{
    cel__pair pair;
    cel_backend *backend;
    cel_watch *task, *group;
    char *document;
    int to, from, tasks = 0, groups = 0;
    pid_t pid = run_child("store_when_told", &to, &from);

    (void)state;
    cel__pair_open(&pair, url, false);
    backend = pair.backends[0];
    backend->ops->watch(&task, backend, &CEL_VIEW("t1"), 1, false, count_change, &tasks, NULL);
    backend->ops->watch(&group, backend, &CEL_VIEW("g"), 1, true, count_change, &groups, NULL);
    assert_int_equal(write(to, "s", 1), 1);
    cel__pair_wait(&pair, &tasks, 1);
    while (!(document = cel__pair_fetch(&pair, 0, "t1"))) {
        tasks = 0;
        cel__pair_wait(&pair, &tasks, 1);
    }
    cel__free(document);
    groups = 0;
    assert_int_equal(write(to, "e", 1), 1);
    while (cel__pair_count(&pair, 0, "g", NULL) == 0) {
        cel__pair_wait(&pair, &groups, 1);
        groups = 0;
    }
    backend->ops->unwatch(task);
    backend->ops->unwatch(group);
    cel__pair_close(&pair);
    assert_int_equal(wait_child(pid, to, from), 0);
}

/* ---- what others have put into the file ---- */

static void execute(const char *sql)
{
    char path[512];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/store.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void garbage_in_the_tables_is_survived(void **state)
{
    cel__pair pair;
    cel__heard heard = {0};
    char *document;
    cel_chord_part part = cel__part("text", "t9", 9, "SUCCESS", "9");

    (void)state;
    cel__pair_open(&pair, url, false);
    execute("INSERT INTO result(expires_ms, status, task_id, document) VALUES('never', 7, "
            "'blob', x'00ff'),"
            " (x'00', x'ff', 'number', 12.5), (-1, '', '', '');"
            "INSERT INTO group_tally(expires_ms, gid, ready, succeeded) VALUES('x', 'g', "
            "'many', x'01');"
            "INSERT INTO taskset(expires_ms, gid, document) VALUES(1, 'g', x'');"
            "INSERT INTO chord(id, expires_ms, gid, size, count, failed, state) VALUES"
            " (-5, 'x', 'text', 'three', 'two', 'none', 0), (9223372036854775807, 0, 'last', "
            "1, 9223372036854775807, 0, 0),"
            " (3, 0, 'orphan', 2, 2, 0, 1), (4, 0, 'strange', 2, 2, 1, 77);"
            "INSERT INTO chord_part VALUES(3, 0, 0, 't0', 'SUCCESS', NULL), (3, 'x', 'y', "
            "'t1', 1, x'ff'),"
            " (3, 'z', -1, 't2', 'SUCCESS', 'not json')");
    document = cel__pair_fetch(&pair, 0, "blob");
    assert_non_null(document);
    cel__free(document);
    document = cel__pair_fetch(&pair, 1, "number");
    assert_string_equal(document, "12.5");
    cel__free(document);
    cel__pair_store(&pair, 0, "blob", "SUCCESS", "good", "g");
    document = cel__pair_fetch(&pair, 1, "blob");
    assert_string_equal(document, "good");
    cel__free(document);
    cel__pair_count(&pair, 0, "g", NULL);
    cel__pair_part(&pair, 0, &part, &heard);
    part.gid = CEL_VIEW("strange");
    cel__pair_part(&pair, 0, &part, &heard);
    cel__pair_open_chord(&pair, 0, "text", 5);
    assert_int_equal(heard.fired, 0);
    cel__pair_sweep(&pair, 1, LONG_MS, &heard);
    assert_int_equal(heard.fired, 1);
    assert_string_equal(heard.gid, "orphan");
    cel__pair_done(&pair, 0, "orphan");
    cel__pair_store(&pair, 0, "new", "SUCCESS", "d", NULL);
    cel__heard_done(&heard);
    cel__pair_close(&pair);
}

/* ---- a full disk ---- */

static void hear_code(void *user, cel_code code, const cel_error *err)
{
    cel__heard *heard = user;

    if (err)
        assert_true(err->retriable);
    heard->code = code;
    heard->called++;
}

static cel_code try_store(cel__pair *pair, int number, cel_view document)
{
    cel_backend *backend = pair->backends[0];
    cel__heard heard = {0};
    char id[16];
    cel_backend_record record = {
        .status = CEL_VIEW("SUCCESS"), .document = document, .ready = true};

    snprintf(id, sizeof id, "t%d", number);
    record.task_id = cel__view(id);
    assert_int_equal(backend->ops->store(backend, &record, hear_code, &heard, NULL), CEL_OK);
    cel__pair_wait(pair, &heard.called, 1);
    return heard.code;
}

static void a_full_disk_is_reported_and_survived(void **state)
{
    static char document[50000];
    cel__pair pair;
    cel__heard heard = {0};
    cel_backend *backend;
    cel_chord_part part = cel__part("g", "t0", 0, "SUCCESS", "0");
    cel_code code = CEL_OK;
    char *got;
    int stored = 0;

    (void)state;
    memset(document, 'x', sizeof document);
    strncat(url, "&max_page_count=200", sizeof url - strlen(url) - 1);
    cel__pair_open(&pair, url, false);
    backend = pair.backends[0];
    while (stored < 100 &&
           (code = try_store(&pair, stored, (cel_view){document, sizeof document})) == CEL_OK)
        stored++;
    assert_int_equal(code, CEL_EFULL);
    assert_true(stored > 5);
    got = cel__pair_fetch(&pair, 0, "t0");
    assert_int_equal(strlen(got), sizeof document);
    cel__free(got);
    assert_int_equal(backend->ops->forget(backend, (cel_view[]){CEL_VIEW("t0"), CEL_VIEW("t1")},
                                          2, hear_code, &heard, NULL),
                     CEL_OK);
    cel__pair_wait(&pair, &heard.called, 1);
    assert_int_equal(heard.code, CEL_OK);
    assert_int_equal(try_store(&pair, stored, (cel_view){document, sizeof document}), CEL_OK);
    cel__heard_done(&heard);
    cel__pair_open_chord(&pair, 0, "g", 1);
    cel__pair_part(&pair, 0, &part, &heard);
    assert_int_equal(heard.fired, 1);
    cel__heard_done(&heard);
    cel__pair_close(&pair);
}

/* ---- the cost of a part ---- */

static int count_steps(void *user)
{
    (*(int64_t *)user)++;
    return 0;
}

static void
count_fired(void *user, const cel_chord_ready *ready, cel_code code, const cel_error *err)
{
    cel__heard *heard = user;

    (void)err;
    assert_int_equal(code, CEL_OK);
    heard->called++;
    heard->fired += ready != NULL;
}

static int64_t
add_parts(cel__pair *pair, int first, int count, int64_t *steps, cel__heard *heard)
{
    cel_backend *backend = pair->backends[0];
    int64_t before = *steps;

    for (int i = first; i < first + count; i++) {
        char id[40];

        snprintf(id, sizeof id, "%08x-part", (unsigned)i * 2654435761u); /* in no order */
        cel_chord_part part = cel__part("g", id, i, "SUCCESS", "{\"n\": 1}");

        assert_int_equal(backend->ops->chord_part(backend, &part, count_fired, heard, NULL),
                         CEL_OK);
    }
    cel__pair_wait(pair, &heard->called, first + count);
    return *steps - before;
}

/* Counted in steps of SQLite's virtual machine, which no busy neighbour changes. */
static void a_part_costs_the_same_from_the_first_to_the_last_of_50000(void **state)
{
    enum {
        PARTS_ALL = 50000,
        SLICE = 500
    };
    cel__pair pair;
    cel__heard heard = {0};
    int64_t steps = 0, first = 0, last = 0;
    sqlite3 *db;

    (void)state;
    cel__pair_open(&pair, url, false);
    cel__pair_open_chord(&pair, 0, "g", PARTS_ALL + 1);
    db = cel__engine_db((cel_engine *)(uintptr_t)pair.backends[0]->domain);
    sqlite3_progress_handler(db, 10, count_steps, &steps);
    for (int i = 0; i < PARTS_ALL; i += SLICE) {
        last = add_parts(&pair, i, SLICE, &steps, &heard);
        if (i == 0)
            first = last;
    }
    assert_true(first > 0);
    assert_true(last <= first + first / 20);
    assert_int_equal(heard.fired, 0);
    add_parts(&pair, PARTS_ALL, 1, &steps, &heard);
    assert_int_equal(heard.fired, 1);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    cel__pair_close(&pair);
}

static int count_rows(const char *sql)
{
    char path[512];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    int count;

    snprintf(path, sizeof path, "%s/store.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    count = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return count;
}

/* In slices, behind the caller's back; the close waits for the one that runs. */
static void a_done_chord_is_cleared_without_a_sweep(void **state)
{
    enum {
        PARTS_ALL = 2600
    };
    cel__pair pair;
    cel__heard heard = {0};
    int64_t steps = 0;

    (void)state;
    cel__pair_open(&pair, url, true);
    cel__pair_open_chord(&pair, 0, "g", PARTS_ALL);
    add_parts(&pair, 0, PARTS_ALL, &steps, &heard);
    assert_int_equal(heard.fired, 1);
    assert_int_equal(count_rows("SELECT count(*) FROM chord_part"), PARTS_ALL);
    cel__pair_done(&pair, 0, "g");
    for (int i = 0; count_rows("SELECT count(*) FROM chord WHERE state=3") == 0; i++) {
        cel__pair_store(&pair, 0, "another", "STARTED", "d", NULL);
        assert_true(i < 1000);
    }
    assert_int_equal(count_rows("SELECT count(*) FROM chord_part"), 0);
    assert_int_equal(count_rows("SELECT count(*) FROM chord_body"), 0);
    cel__pair_close(&pair);
}

static void open_together(int in, int out)
{
    static cel__pair pair;
    char go;

    assert_int_equal(write(out, "r", 1), 1);
    assert_int_equal(read(in, &go, 1), 1);
    cel__pair_open(&pair, url, false);
    cel__pair_store(&pair, 0, "t", "SUCCESS", "d", NULL);
    cel__pair_close(&pair);
}

static void processes_may_create_the_file_together(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        int to[4], from[4];
        pid_t pids[4];
        char ready;

        remove_dir();
        fresh(url, sizeof url);
        for (int i = 0; i < 4; i++)
            pids[i] = run_child("open_together", &to[i], &from[i]);
        for (int i = 0; i < 4; i++)
            assert_int_equal(read(from[i], &ready, 1), 1);
        for (int i = 0; i < 4; i++)
            assert_int_equal(write(to[i], "g", 1), 1);
        for (int i = 0; i < 4; i++)
            assert_int_equal(wait_child(pids[i], to[i], from[i]), 0);
    }
}

/* Broker and store of one loop and file are one domain; those of other loops are not. */
static void one_loop_is_one_domain(void **state)
{
    cel__pair pair;
    cel_backend *first;

    (void)state;
    cel__pair_open(&pair, url, false);
    first = pair.backends[0];
    assert_non_null(first->domain);
    assert_ptr_not_equal(first->domain, pair.backends[1]->domain);
    cel__pair_open_one(&pair, 0);
    assert_ptr_equal(first->domain, pair.backends[0]->domain);
    cel__pair_close_one(&pair, 0);
    pair.backends[0] = first;
    cel__pair_close(&pair);
}

static int be_child(char **argv)
{
    snprintf(dir, sizeof dir, "%s", argv[2]);
    snprintf(url, sizeof url, "%s", argv[3]);
    if (strcmp(argv[1], "complete_and_die") == 0)
        complete_and_die(3, 4);
    else if (strcmp(argv[1], "count_all") == 0)
        count_all(3, 4);
    else if (strcmp(argv[1], "open_together") == 0)
        open_together(3, 4);
    else
        store_when_told(3, 4);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return be_child(argv);

    const cel__conformance_subject on_loop = {
        .name = "sqlite on the loop", .fresh = fresh, .remove = remove_dir};
    const cel__conformance_subject on_thread = {
        .name = "sqlite on a thread", .fresh = fresh, .remove = remove_dir, .threaded = true};
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_store, remove_store)
    const struct CMUnitTest tests[] = {
        TEST(a_chord_whose_completer_was_killed_is_fired_once),
        TEST(two_processes_fire_a_chord_once),
        TEST(a_watch_hears_other_processes),
        TEST(garbage_in_the_tables_is_survived),
        TEST(a_full_disk_is_reported_and_survived),
        TEST(a_part_costs_the_same_from_the_first_to_the_last_of_50000),
        TEST(a_done_chord_is_cleared_without_a_sweep),
        TEST(processes_may_create_the_file_together),
        TEST(one_loop_is_one_domain),
    };
#undef TEST

    return cmocka_run_group_tests_name("sqlite with others", tests, NULL, NULL) +
           cel__backend_conformance(&on_loop) + cel__backend_conformance(&on_thread);
}
