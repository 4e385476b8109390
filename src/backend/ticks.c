/* ticks.c - which scheme is served by which implementation, and what the verbs mean. */
#include "backend/ticks.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const cel_ticks_ops *const implementations[] = {
    &cel__sqlite_ticks_ops,
    &cel__memory_ticks_ops,
#ifdef CEL_HAVE_REDIS
    &cel__redis_ticks_ops,
#endif
};

static const cel_ticks_ops *find(const char *url)
{
    size_t len = url ? strcspn(url, ":") : 0;

    for (size_t i = 0; len && i < sizeof implementations / sizeof *implementations; i++) {
        const char *schemes = implementations[i]->schemes;

        while (*schemes) {
            size_t one = strcspn(schemes, ",");

            if (one == len && strncasecmp(schemes, url, len) == 0)
                return implementations[i];
            schemes += one;
            schemes += *schemes == ',';
        }
    }
    return NULL;
}

bool cel__ticks_supports(const char *url)
{
    return find(url) != NULL;
}

cel_code cel__ticks_open(cel_ticks **out, const cel_ticks_options *options, cel_error *err)
{
    const cel_ticks_ops *ops = find(options->url);

    if (!ops)
        return cel_error_set(err, CEL_ECONFIG, "nothing keeps beat's records at '%.*s:'",
                             options->url ? (int)strcspn(options->url, ":") : 0,
                             options->url ? options->url : "");
    return ops->open(out, options, err);
}

static cel_tick_outcome claim(cel_tick_record *record,
                              const cel_tick *tick,
                              const char *owner,
                              int64_t now_ms,
                              int64_t lease_ms)
{
    if (record->last_us != tick->last_us)
        return CEL_TICK_MOVED;
    if (record->owner[0] && strcmp(record->owner, owner) != 0 && record->until_ms > now_ms &&
        record->until_ms <= now_ms + lease_ms) /* else the clock was set back */
        return CEL_TICK_BUSY;
    snprintf(record->owner, sizeof record->owner, "%s", owner);
    record->until_ms = now_ms + lease_ms;
    return CEL_TICK_CLAIMED;
}

/* A lease that has run out is no harm as long as nobody else has begun. */
static cel_tick_outcome end(cel_tick_record *record, const cel_tick *tick, const char *owner)
{
    if (record->last_us != tick->last_us ||
        (record->owner[0] && strcmp(record->owner, owner) != 0))
        return CEL_TICK_MOVED;
    record->last_us = tick->due_us;
    record->count++;
    record->owner[0] = '\0';
    return CEL_TICK_COUNTED;
}

cel_tick_reply cel__tick_apply(cel_tick_record *record,
                               bool present,
                               const cel_tick *tick,
                               const char *owner,
                               int64_t now_ms,
                               int64_t lease_ms)
{
    cel_tick_reply reply = {.outcome = CEL_TICK_SEEN};

    if (!present)
        *record = (cel_tick_record){.last_us = tick->verb == CEL_TICK_LOOK ? tick->due_us
                                                                           : tick->last_us};
    if (tick->verb == CEL_TICK_CLAIM)
        reply.outcome = claim(record, tick, owner, now_ms, lease_ms);
    else if (tick->verb == CEL_TICK_DONE)
        reply.outcome = end(record, tick, owner);
    reply.last_us = record->last_us;
    reply.count = record->count;
    if (reply.outcome == CEL_TICK_BUSY)
        reply.wait_ms = record->until_ms - now_ms;
    return reply;
}
