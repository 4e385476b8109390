/* engine.c - opening, sharing and closing engines; the loop's handles.
 *
 *   open --> [refs > 0] --last unref--> closing: what is submitted is finished --> leaving: the
 * owner's row is removed --> (the thread ends and closes the connection) --> shut: handles are
 * closed --> freed, `closed` is called
 *
 * The handles do not keep the loop alive by themselves; while operations are in flight, async
 * (threaded) or prepare does. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "sqlite/engine_impl.h"

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static cel_engine *registry; /* engines with references */

const char *cel__engine_path(const cel_engine *engine)
{
    return engine->path;
}

const cel_clock *cel__engine_clock(const cel_engine *engine)
{
    return engine->clock;
}

const cel_log *cel__engine_log(const cel_engine *engine)
{
    return engine->log;
}

uv_loop_t *cel__engine_loop(const cel_engine *engine)
{
    return engine->loop;
}

sqlite3 *cel__engine_db(cel_engine *engine)
{
    return engine->conn.db;
}

sqlite3_stmt *cel__engine_stmt(cel_engine *engine, const char *sql, cel_error *err)
{
    return cel__conn_stmt_get(&engine->conn, sql, err);
}

cel_code cel__engine_step(cel_engine *engine, sqlite3_stmt *stmt, bool *row, cel_error *err)
{
    return cel__conn_step(&engine->conn, stmt, row, err);
}

cel_code cel__engine_fail(cel_engine *engine, int rc, cel_error *err)
{
    return cel__conn_fail(&engine->conn, rc, err);
}

uint64_t cel__engine_rollbacks(const cel_engine *engine)
{
    return atomic_load_explicit(&engine->rollbacks, memory_order_relaxed);
}

uint64_t cel__engine_hash(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

cel_code cel__engine_listen(cel_engine_listener **out,
                            cel_engine *engine,
                            cel_engine_event event,
                            uint64_t hash,
                            void (*woken)(void *user),
                            void *user,
                            cel_error *err)
{
    hash ^= (uint64_t)event * UINT64_C(0x9E3779B97F4A7C15);
    return cel__listeners_add(out, &engine->listeners, hash, woken, user, err);
}

/* ---- closing ---- */

static void call_closers(cel__closer *closer)
{
    while (closer) {
        cel__closer *next = closer->next;
        if (closer->closed)
            closer->closed(closer->user);
        cel__free(closer);
        closer = next;
    }
}

static void free_engine(cel_engine *engine)
{
    cel__checkpointer_free(engine->checkpointer);
    cel__conn_close(&engine->conn);
    cel__ledger_unref(engine->ledger);
    cel__bell_close(engine->bell);
    cel__listeners_done(&engine->listeners);
    while (engine->spare_closers) {
        cel__closer *next = engine->spare_closers->next;
        cel__free(engine->spare_closers);
        engine->spare_closers = next;
    }
    pthread_mutex_destroy(&engine->mutex);
    pthread_cond_destroy(&engine->wake);
    cel__free(engine->rung);
    cel__free(engine->url.path);
    cel__free(engine->path);
    cel__free(engine->run_dir);
    cel__free(engine->node);
    cel__free(engine);
}

static void handle_closed(uv_handle_t *handle)
{
    cel_engine *engine = handle->data;

    if (--engine->open_handles > 0)
        return;
    cel__closer *last = engine->last_closer;
    cel__closer *others = engine->closers;
    free_engine(engine);
    call_closers(others);
    call_closers(last);
}

static void shut_engine(cel_engine *engine)
{
    engine->shut = true;
    uv_close((uv_handle_t *)&engine->prepare, handle_closed);
    uv_close((uv_handle_t *)&engine->check, handle_closed);
    uv_close((uv_handle_t *)&engine->idle, handle_closed);
    uv_close((uv_handle_t *)&engine->async, handle_closed);
    uv_close((uv_handle_t *)&engine->timer, handle_closed);
    if (engine->has_poll)
        uv_close((uv_handle_t *)&engine->poll, handle_closed);
}

static void stop_thread(cel_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stop = true;
    pthread_cond_signal(&engine->wake);
    pthread_mutex_unlock(&engine->mutex);
}

/* Goes on with the close as far as it gets; called whenever something has finished. */
static void advance_close(cel_engine *engine)
{
    if (!engine->closing || engine->shut || engine->in_flight > 0)
        return;
    if (!engine->leaving) {
        engine->leaving = true;
        cel__engine_leave(engine);
        return;
    }
    if (!engine->has_thread) {
        shut_engine(engine);
        return;
    }
    pthread_mutex_lock(&engine->mutex);
    bool stopped = engine->stop, exited = engine->exited;
    pthread_mutex_unlock(&engine->mutex);
    if (!stopped)
        stop_thread(engine);
    if (exited) {
        pthread_join(engine->thread, NULL);
        engine->has_thread = false;
        shut_engine(engine);
    }
}

/* ---- the loop's handles ---- */

static void on_idle(uv_idle_t *handle)
{
    (void)handle;
}

/* Hands over what was submitted; inline, runs it and calls done(), which may submit more. Returns
 * whether callbacks have run. */
static bool run_turns(cel_engine *engine)
{
    bool called = false;

    for (int rounds = 0; rounds < 4; rounds++) {
        cel__closer *closers = engine->closers;
        engine->closers = NULL;
        called |= closers || (engine->turn.first && !engine->threaded);
        cel__engine_flush(engine);
        call_closers(closers);
        advance_close(engine);
        if (!engine->turn.first && !engine->closers)
            break;
    }
    return called;
}

static void end_of_turn(cel_engine *engine, bool before_poll)
{
    if (engine->in_flush)
        return;
    engine->in_flush = true;
    bool called = run_turns(engine);
    engine->in_flush = false;
    if (engine->shut)
        return;
    /* Callbacks have run: who drives the loop step by step must get it back, and what is left
     * over must be run. */
    if (before_poll && (called || engine->turn.first || engine->closers))
        uv_idle_start(&engine->idle, on_idle);
    else
        uv_idle_stop(&engine->idle);
    if (!engine->turn.first && !engine->closers)
        uv_unref((uv_handle_t *)&engine->prepare);
    if (engine->in_flight == 0 && !engine->closing)
        uv_unref((uv_handle_t *)&engine->async);
}

static void on_prepare(uv_prepare_t *handle)
{
    end_of_turn(handle->data, true);
}

static void on_check(uv_check_t *handle)
{
    end_of_turn(handle->data, false);
}

static void on_async(uv_async_t *handle)
{
    cel_engine *engine = handle->data;

    cel__engine_finished(engine);
    advance_close(engine);
}

static void on_poked(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events;
    cel__engine_drain_bell(handle->data, true);
}

static void init_handle(cel_engine *engine, uv_handle_t *handle)
{
    handle->data = engine;
    uv_unref(handle);
    engine->open_handles++;
}

static cel_code start_handles(cel_engine *engine, cel_error *err)
{
    int64_t tick_ms =
        engine->lease_ms / 3 < CEL_ENGINE_TICK_MS ? engine->lease_ms / 3 : CEL_ENGINE_TICK_MS;
    int rc = uv_async_init(engine->loop, &engine->async, on_async);

    if (rc != 0)
        return cel_error_set(err, CEL_EIO, "uv_async_init: %s", uv_strerror(rc));
    init_handle(engine, (uv_handle_t *)&engine->async);
    uv_prepare_init(engine->loop, &engine->prepare);
    init_handle(engine, (uv_handle_t *)&engine->prepare);
    uv_check_init(engine->loop, &engine->check);
    init_handle(engine, (uv_handle_t *)&engine->check);
    uv_idle_init(engine->loop, &engine->idle);
    init_handle(engine, (uv_handle_t *)&engine->idle);
    uv_timer_init(engine->loop, &engine->timer);
    init_handle(engine, (uv_handle_t *)&engine->timer);
    if (cel__bell_fd(engine->bell) >= 0) {
        rc = uv_poll_init(engine->loop, &engine->poll, cel__bell_fd(engine->bell));
        if (rc == 0) {
            init_handle(engine, (uv_handle_t *)&engine->poll);
            engine->has_poll = true;
            rc = uv_poll_start(&engine->poll, UV_READABLE, on_poked);
            uv_unref((uv_handle_t *)&engine->poll);
        }
        if (rc != 0)
            return cel_error_set(err, CEL_EIO, "uv_poll: %s", uv_strerror(rc));
    } else {
        tick_ms = tick_ms < 100 ? tick_ms : 100; /* no slot: who waits must look for itself */
    }
    engine->listeners.keep =
        engine->has_poll ? (uv_handle_t *)&engine->poll : (uv_handle_t *)&engine->timer;
    uv_prepare_start(&engine->prepare, on_prepare);
    uv_check_start(&engine->check, on_check);
    uv_timer_start(&engine->timer, cel__engine_tick, (uint64_t)tick_ms, (uint64_t)tick_ms);
    uv_unref((uv_handle_t *)&engine->prepare);
    uv_unref((uv_handle_t *)&engine->check);
    uv_unref((uv_handle_t *)&engine->timer);
    return CEL_OK;
}

/* The thread takes no signals: they are for those who expect them. */
static cel_code start_thread(cel_engine *engine, cel_error *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&engine->thread, NULL, cel__engine_thread, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return cel_error_set(err, CEL_EIO, "thread: %s", strerror(rc));
    engine->has_thread = true;
    return CEL_OK;
}

/* ---- references ---- */

static cel__closer *new_closer(cel_engine *engine)
{
    cel__closer *closer = cel__calloc(1, sizeof *closer);

    if (closer) {
        closer->next = engine->spare_closers;
        engine->spare_closers = closer;
    }
    return closer;
}

cel_engine *cel__engine_ref(cel_engine *engine)
{
    if (!new_closer(engine))
        return NULL;
    engine->refs++;
    return engine;
}

static void unregister(cel_engine *engine)
{
    pthread_mutex_lock(&registry_mutex);
    for (cel_engine **link = &registry; *link; link = &(*link)->next_open) {
        if (*link == engine) {
            *link = engine->next_open;
            break;
        }
    }
    pthread_mutex_unlock(&registry_mutex);
}

void cel__engine_unref(cel_engine *engine, void (*closed)(void *user), void *user)
{
    cel__closer *closer = engine->spare_closers;

    assert(engine->refs > 0 && closer);
    engine->spare_closers = closer->next;
    *closer = (cel__closer){closed, user, NULL};
    uv_ref((uv_handle_t *)&engine->prepare);
    if (--engine->refs > 0) {
        cel__closer **link = &engine->closers;
        while (*link)
            link = &(*link)->next;
        *link = closer;
        return;
    }
    unregister(engine);
    engine->last_closer = closer;
    engine->closing = true;
    uv_ref((uv_handle_t *)&engine->async);
}

/* ---- opening ---- */

/* The one name of the file, whatever it was called: of the file if it exists, else of its
 * directory. */
static cel_code resolve_path(char **out, const char *path, cel_error *err)
{
    char resolved[PATH_MAX], directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (realpath(path, resolved)) {
        *out = cel__strdup(resolved);
        return *out ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for a path");
    }
    if (strlen(path) >= PATH_MAX - 1 || *name == '\0')
        return cel_error_set(err, CEL_ECONFIG, "'%.150s' is no path of a file", path);
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(len ? len : 1) : 1,
             slash ? path : ".");
    if (errno != ENOENT || !realpath(directory, resolved))
        return cel_error_set(err, CEL_EIO, "'%.150s': %s", path, strerror(errno));
    size_t size = strlen(resolved) + strlen(name) + 2;
    *out = cel__malloc(size);
    if (!*out)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a path");
    snprintf(*out, size, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name);
    return CEL_OK;
}

static cel_code set_up(cel_engine *engine, const cel_engine_options *options, cel_error *err)
{
    size_t size = strlen(engine->path) + sizeof "-run";

    engine->run_dir = cel__malloc(size);
    engine->node = cel__strdup(options->node);
    if (!engine->run_dir || (options->node && !engine->node) || !new_closer(engine))
        return cel_error_set(err, CEL_ENOMEM, "no memory for an engine");
    snprintf(engine->run_dir, size, "%s-run", engine->path);
    cel_code code = cel__conn_open(&engine->conn, engine->path, &engine->url, err);
    if (code == CEL_OK)
        code = cel__bell_open(&engine->bell, engine->run_dir, &engine->self, err);
    if (code == CEL_OK && engine->threaded)
        code = cel__checkpointer_new(&engine->checkpointer, engine->path,
                                     engine->url.synchronous == CEL_SYNC_OFF, err);
    if (code != CEL_OK)
        return code;
    if (engine->threaded && engine->url.synchronous == CEL_SYNC_FULL)
        cel__checkpoint_reserve(engine->path);
    engine->listeners.bell = engine->bell;
    cel__engine_tick_init(engine);
    return CEL_OK;
}

/* After the handles have been started, a failed open must let the loop close them. */
static cel_code start(cel_engine *engine, cel_error *err)
{
    cel_code code = start_handles(engine, err);

    if (code == CEL_OK && engine->threaded)
        code = start_thread(engine, err);
    if (code == CEL_OK)
        return CEL_OK;
    if (engine->open_handles == 0) {
        free_engine(engine);
        return code;
    }
    shut_engine(engine);
    return code;
}

static cel_code new_engine(cel_engine **out,
                           char *path,
                           cel__sqlite_url url,
                           const cel_engine_options *options,
                           cel_error *err)
{
    cel_engine *engine = cel__calloc(1, sizeof *engine);

    if (!engine) {
        cel__free(path);
        cel__free(url.path);
        return cel_error_set(err, CEL_ENOMEM, "no memory for an engine");
    }
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_cond_init(&engine->wake, NULL);
    engine->path = path;
    engine->url = url;
    engine->loop = options->loop;
    engine->clock = options->clock ? options->clock : cel__clock_system();
    engine->log = options->log;
    engine->threaded = options->threaded;
    engine->lease_ms = options->lease_ms ? options->lease_ms
                       : url.lease_ms    ? url.lease_ms
                                         : 60000;
    engine->refs = 1;
    cel__process_self(&engine->self);
    cel_code code = set_up(engine, options, err);
    if (code != CEL_OK) {
        free_engine(engine);
        return code;
    }
    code = start(engine, err);
    if (code == CEL_OK)
        *out = engine;
    return code;
}

static cel_engine *find_open(const char *path, const uv_loop_t *loop)
{
    cel_engine *engine;

    pthread_mutex_lock(&registry_mutex);
    for (engine = registry; engine; engine = engine->next_open)
        if (engine->loop == loop && engine->self.pid == getpid() &&
            strcmp(engine->path, path) == 0)
            break;
    pthread_mutex_unlock(&registry_mutex);
    return engine; /* only this loop's thread could take its last reference */
}

cel_code cel__engine_open(cel_engine **out, const cel_engine_options *options, cel_error *err)
{
    cel__sqlite_url url;
    char *path;
    cel_code code = cel__sqlite_url_parse(&url, options->url, err);

    if (code != CEL_OK)
        return code;
    code = resolve_path(&path, url.path, err);
    if (code != CEL_OK) {
        cel__free(url.path);
        return code;
    }
    cel_engine *engine = find_open(path, options->loop);
    if (engine) {
        cel__free(path);
        cel__free(url.path);
        if (!cel__engine_ref(engine))
            return cel_error_set(err, CEL_ENOMEM, "no memory for an engine");
        *out = engine;
        return CEL_OK;
    }
    code = new_engine(&engine, path, url, options, err);
    if (code != CEL_OK)
        return code;
    pthread_mutex_lock(&registry_mutex);
    engine->next_open = registry;
    registry = engine;
    pthread_mutex_unlock(&registry_mutex);
    *out = engine;
    return CEL_OK;
}
