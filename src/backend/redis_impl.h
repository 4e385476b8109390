/* redis_impl.h - what the files of redis:// share. */
#ifndef CEL_BACKEND_REDIS_IMPL_H
#define CEL_BACKEND_REDIS_IMPL_H

#include "backend/backend.h"
#include "backend/hash.h"
#include "core/id.h"
#include "redis/conn.h"

#define CEL_REDIS_TASK_KEY  "celery-task-meta-"
#define CEL_REDIS_GROUP_KEY "celery-taskset-meta-"
#define CEL_REDIS_OWNER_KEY "celeriac-owner-"
#define CEL_REDIS_CHORDS    "celeriac-chords"

#define CEL_REDIS_BODIES 256 /* must be a power of two */

/* The scripts, in redis_script.c. */
typedef enum cel__redis_script {
    CEL_REDIS_STORE,
    CEL_REDIS_OPEN,
    CEL_REDIS_GROW,
    CEL_REDIS_PART,
    CEL_REDIS_DONE,
    CEL_REDIS_CLAIM,
    CEL_REDIS_SCRIPTS
} cel__redis_script;

struct topic;

typedef struct redis_backend {
    cel_backend base;
    uv_loop_t *loop;
    const cel_clock *clock;
    const cel_log *log;
    bool warns;                /* of settings of the server; once */
    int64_t expires_s;         /* 0: never */
    const cel__coding *coding; /* never NULL */
    cel__redis_url url;
    cel__buf greeting;
    cel__redis *commands;
    cel__redis *listener; /* NULL until something is watched */

    /* Watches: see redis_watch.c. */
    struct topic *topics;
    cel_watch *watches, *marked;
    uint64_t subscribed, confirmed; /* channels asked for and answered on this connection */
    uint64_t events;                /* what was heard, counted */

    /* Chords: see redis_chord.c. */
    char owner[CEL_UUID_LEN + 1];
    uint64_t tokens;
    size_t undone; /* chords that are this backend's to finish */
    uv_timer_t lease_timer;
    uint64_t bodies[CEL_REDIS_BODIES]; /* hashes of group ids whose body is there */
    struct unsure *unsure;
    size_t unsure_count;

    struct cel__redis_batch *batch; /* results stored in this turn: see redis_store.c */

    bool closing, releasing;
    size_t open_ends; /* at the close: what is not closed yet */
    void (*closed)(void *user);
    void *closed_user;
} redis_backend;

/* CEL_ECANCELED while the backend closes. */
cel_code cel__redis_check_open(const redis_backend *backend, cel_error *err);

/* The JSON document `json` as it is stored: itself, or appended to `scratch`. */
cel_code cel__redis_encode(const redis_backend *backend,
                           cel_view *out,
                           cel_view json,
                           cel__buf *scratch,
                           cel_error *err);

/* The JSON of what is stored; appended to `scratch` unless it is JSON. What a peer stored as JSON
 * is read as that, too. */
cel_code cel__redis_decode(const redis_backend *backend,
                           cel_view *out,
                           cel_view stored,
                           cel__buf *scratch,
                           cel_error *err);

/* Begins a call of a script with one key, head and tail joined, and `argc` arguments, which the
 * caller adds. */
void cel__redis_call(
    cel__buf *command, cel__redis_script script, const char *head, cel_view tail, size_t argc);

/* The same with `keys` keys, which the caller adds, too. */
void cel__redis_call_many(cel__buf *command,
                          cel__redis_script script,
                          size_t keys,
                          size_t argc);

/* Appends the commands that load the scripts; returns how many. */
size_t cel__redis_load_scripts(cel__buf *commands);

/* Runs a command whose reply says nothing but that it was done. */
cel_code cel__redis_do(
    redis_backend *backend, cel__buf *command, cel_backend_cb cb, void *user, cel_error *err);

/* ---- redis_store.c ---- */
cel_code cel__redis_store(cel_backend *base,
                          const cel_backend_record *record,
                          cel_backend_cb cb,
                          void *user,
                          cel_error *err);
/* Sends the results that were stored in this turn. */
void cel__redis_flush_stores(redis_backend *backend);
/* As cel__redis_send(), behind the results that were stored before. */
cel_code cel__redis_submit(redis_backend *backend,
                           cel__redis_request *request,
                           cel__buf *command,
                           cel_error *err);

/* ---- redis_watch.c ---- */
cel_code cel__redis_watch(cel_watch **out,
                          cel_backend *base,
                          const cel_view *ids,
                          size_t count,
                          bool group,
                          void (*changed)(void *user),
                          void *user,
                          cel_error *err);
void cel__redis_unwatch(cel_watch *watch);
void cel__redis_end_watches(redis_backend *backend);

/* Whether a watched result is known not to be there: it was looked for, and nothing was heard
 * since. */
bool cel__redis_is_absent(const redis_backend *backend, cel_view task_id);

/* A result was not found by a read that was sent when `events` was as given. */
void cel__redis_note_absent(redis_backend *backend, cel_view task_id, uint64_t events);

/* ---- redis_chord.c ---- */
cel_code cel__redis_chord_open(cel_backend *base,
                               cel_view gid,
                               int64_t size,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err);
cel_code cel__redis_chord_grow(cel_backend *base,
                               cel_view gid,
                               int64_t count,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err);
cel_code cel__redis_chord_part(
    cel_backend *base, const cel_chord_part *part, cel_chord_cb cb, void *user, cel_error *err);
cel_code cel__redis_chord_done(
    cel_backend *base, cel_view gid, cel_backend_cb cb, void *user, cel_error *err);
cel_code cel__redis_sweep(
    cel_backend *base, int64_t older_ms, cel_chord_cb cb, void *user, cel_error *err);

/* Says that this backend lives, for a while. */
void cel__redis_renew_lease(redis_backend *backend);
void cel__redis_forget_unsure(redis_backend *backend);

#endif
