/* ticks.h - the seam to where beats keep what they have sent, and agree on who sends what.
 *
 * A record belongs to an entry: the last tick that was sent (its due time), how many there were, and, for a
 * moment, which beat is sending the next one. A claim is a lease: who dies with it loses it. The rules of
 * backend.h hold: one loop, no blocking, callbacks on the loop's thread, never before the call has returned. */
#ifndef CEL_BACKEND_TICKS_H
#define CEL_BACKEND_TICKS_H

#include <uv.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/view.h"

#define CEL_TICKS_MAX 1000 /* in one call */

typedef struct cel_ticks cel_ticks;

typedef enum cel_tick_verb {
    CEL_TICK_LOOK, /* reads the record; one that is not there begins with due_us as its last tick */
    CEL_TICK_CLAIM, /* takes the tick due_us, if last_us is still the last one and nobody else is at it */
    CEL_TICK_DONE, /* the tick due_us, which was claimed on last_us, is sent: it is the last one now */
} cel_tick_verb;

typedef struct cel_tick {
    cel_tick_verb verb;
    cel_view entry; /* the record's key */
    int64_t last_us, due_us;
} cel_tick;

typedef enum cel_tick_outcome {
    CEL_TICK_SEEN,    /* of LOOK */
    CEL_TICK_CLAIMED, /* of CLAIM, also when this owner had claimed it before */
    CEL_TICK_BUSY,    /* of CLAIM: another owner has it, for wait_ms at most */
    CEL_TICK_MOVED,   /* of CLAIM and DONE: last_us was not the last one any more */
    CEL_TICK_COUNTED, /* of DONE */
} cel_tick_outcome;

typedef struct cel_tick_reply {
    cel_tick_outcome outcome;
    int64_t last_us; /* the last tick now */
    int64_t count;   /* of ticks sent */
    int64_t wait_ms;
} cel_tick_reply;

/* One reply for each tick, in order, valid during the call; or `err`, and then nothing has been done
 * (err->uncertain: or all of it). */
typedef void (*cel_ticks_cb)(void *user, const cel_tick_reply *replies, const cel_error *err);

typedef struct cel_ticks_options {
    const char *url; /* of a broker or result store that can keep records; copied */
    uv_loop_t *loop; /* borrowed until closed, as clock and log */
    const cel_clock *clock;
    const cel_log *log;
    cel_view owner;   /* who claims; copied, at most 63 bytes */
    int64_t lease_ms; /* how long a claim lasts if it is not renewed by claiming again */
    const char *master_name,
        *sentinel_password; /* of sentinel://, if the URL does not say; may be NULL */
} cel_ticks_options;

typedef struct cel_ticks_ops {
    const char *schemes; /* comma-separated */
    cel_code (*open)(cel_ticks **out, const cel_ticks_options *options, cel_error *err);
    void (*close)(cel_ticks *ticks,
                  void (*closed)(void *user),
                  void *user); /* what is under way ends first */

    /* Copies. At most CEL_TICKS_MAX, each of another entry. All is done in one step. */
    cel_code (*submit)(cel_ticks *ticks,
                       const cel_tick *list,
                       size_t count,
                       cel_ticks_cb cb,
                       void *user,
                       cel_error *err);
} cel_ticks_ops;

struct cel_ticks {
    const cel_ticks_ops *ops;
    const void *domain; /* a broker's transaction domain, or NULL: see broker.h */
};

/* Whether cel__ticks_open() knows the URL's scheme. */
bool cel__ticks_supports(const char *url);

/* Opens by scheme. CEL_ECONFIG: no implementation keeps records there. */
cel_code cel__ticks_open(cel_ticks **out, const cel_ticks_options *options, cel_error *err);

extern const cel_ticks_ops cel__memory_ticks_ops;
extern const cel_ticks_ops cel__sqlite_ticks_ops;
extern const cel_ticks_ops cel__redis_ticks_ops; /* built with hiredis only: CEL_HAVE_REDIS */

/* ---- for the implementations that hold records themselves ---- */

typedef struct cel_tick_record {
    int64_t last_us, count;
    int64_t until_ms; /* wall: how long the claim lasts */
    char owner[64];   /* "": nobody's */
} cel_tick_record;

/* What a verb does to a record; `present` is false for one that is not there, which is then made. */
cel_tick_reply cel__tick_apply(cel_tick_record *record,
                               bool present,
                               const cel_tick *tick,
                               const char *owner,
                               int64_t now_ms,
                               int64_t lease_ms);

#endif
