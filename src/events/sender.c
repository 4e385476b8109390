/* sender.c - see sender.h.
 *
 * Task events are written into the *open parcel*, list after list; it leaves at the end of the turn,
 * or when it is full, as one publish of a few messages. A parcel that the broker could not take is
 * *kept*, and so is what comes after it, until something has been confirmed again: heartbeats, which
 * are never kept, are sent all the same and find that out.
 *
 *   spare --> open --> pending --confirmed--> spare
 *               |        | failed ^
 *               |        v        | something was confirmed
 *               +-----> kept -----+
 */
#include "events/sender.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <utlist.h>

#include "celeriac/version.h"
#include "core/mem.h"
#include "core/number.h"

#define PARCEL_LISTS 16                /* messages of one publish */
#define PARCEL_BYTES ((size_t)1 << 20) /* a longer one leaves before it is full */
#define PENDING_MAX  ((size_t)8 << 20) /* bytes that the broker may owe an answer for */
#define SPARE_MAX    16
#define SPARE_BYTES  ((size_t)128 << 10)
#define INTERVAL_MS  2000
#define COMMAND_FREQ 5 /* what the answer to the command heartbeat says */

typedef struct event_parcel {
    struct event_parcel *next;
    cel_event_sender *sender;
    cel__buf text;             /* lists, or one object, one behind the other */
    size_t ends[PARCEL_LISTS]; /* where each ends */
    size_t count;              /* complete ones */
    size_t in_list;            /* events of the list that is not complete */
    size_t events;             /* of all */
    const char *key;           /* static: the routing key */
    bool keep;                 /* worth keeping when nobody can be told now */
} event_parcel;

struct cel_event_sender {
    cel_event_sender_options opts; /* node and exchange point into the buffers below */
    cel__buf node, exchange, head, headers, software;
    cel_broker *broker; /* NULL: silent */
    int utcoffset;
    bool tasks; /* task events are wanted */
    event_parcel *open;
    event_parcel *spare, *kept;
    size_t spare_count, kept_bytes, pending_bytes, pending;
    bool offline; /* the last answer was a failure */
    uint64_t dropped, told;
    uv_timer_t beat_timer;
    uv_prepare_t prepare;
    uv_check_t check;
};

static void deliver(event_parcel *parcel);

/* ---- parcels ---- */

static event_parcel *get_parcel(cel_event_sender *sender, const char *key, bool keep)
{
    event_parcel *got = sender->spare;

    if (got) {
        LL_DELETE(sender->spare, got);
        sender->spare_count--;
        cel__buf_reset(&got->text);
        got->count = got->in_list = got->events = 0;
    } else {
        got = cel__calloc(1, sizeof *got);
        if (!got)
            return NULL;
        got->sender = sender;
    }
    got->next = NULL;
    got->key = key;
    got->keep = keep;
    return got;
}

static void free_parcel(event_parcel *parcel)
{
    if (!parcel)
        return;
    cel__buf_done(&parcel->text);
    cel__free(parcel);
}

static void put_parcel(event_parcel *parcel)
{
    cel_event_sender *sender = parcel->sender;

    if (sender->spare_count >= SPARE_MAX || parcel->text.cap > SPARE_BYTES) {
        free_parcel(parcel);
        return;
    }
    LL_PREPEND(sender->spare, parcel);
    sender->spare_count++;
}

static void drop(cel_event_sender *sender, size_t events)
{
    if (sender->dropped == sender->told && events > 0)
        cel__warning(sender->opts.log, "events are dropped: the broker does not take them");
    sender->dropped += events;
}

static void keep(event_parcel *parcel)
{
    cel_event_sender *sender = parcel->sender;

    if (!parcel->keep || !sender->broker) {
        put_parcel(parcel);
        return;
    }
    LL_APPEND(sender->kept, parcel);
    sender->kept_bytes += parcel->text.len;
    while (sender->kept_bytes > CEL_EVENTS_KEPT) {
        event_parcel *oldest = sender->kept;

        LL_DELETE(sender->kept, oldest);
        sender->kept_bytes -= oldest->text.len;
        drop(sender, oldest->events);
        put_parcel(oldest);
    }
}

/* ---- publishing ---- */

static void on_published(void *user, cel_code code, const cel_error *err);

static cel_code submit(event_parcel *parcel, cel_error *err)
{
    const cel_event_sender *sender = parcel->sender;
    cel_message messages[PARCEL_LISTS];
    size_t from = 0;

    for (size_t i = 0; i < parcel->count; i++) {
        messages[i] = (cel_message){
            .exchange = sender->opts.exchange,
            .routing_key = cel__view(parcel->key),
            .content_type = CEL_VIEW("application/json"),
            .content_encoding = CEL_VIEW("utf-8"),
            .headers = cel__buf_view(&sender->headers),
            .body = {parcel->text.ptr + from, parcel->ends[i] - from},
            .delivery_mode = 1,
            .kind = CEL_EXCHANGE_TOPIC,
        };
        from = parcel->ends[i];
    }
    return sender->broker->ops->publish(sender->broker, messages, parcel->count, on_published,
                                        parcel, err);
}

static void failed(event_parcel *parcel, const cel_error *err)
{
    cel_event_sender *sender = parcel->sender;

    if (!sender->offline)
        cel__debug(sender->opts.log, "events cannot be sent: %s", err ? err->message : "");
    sender->offline = true;
    keep(parcel);
}

static void send_kept(cel_event_sender *sender)
{
    while (sender->kept && sender->broker && !sender->offline) {
        event_parcel *parcel = sender->kept;

        LL_DELETE(sender->kept, parcel);
        sender->kept_bytes -= parcel->text.len;
        deliver(parcel);
    }
}

static void on_published(void *user, cel_code code, const cel_error *err)
{
    event_parcel *parcel = user;
    cel_event_sender *sender = parcel->sender;

    sender->pending--;
    sender->pending_bytes -= parcel->text.len;
    if (code != CEL_OK) {
        failed(parcel, err);
        return;
    }
    put_parcel(parcel);
    sender->offline = false;
    if (sender->dropped > sender->told && !sender->kept) {
        cel__warning(sender->opts.log, "%llu events were dropped",
                     (unsigned long long)(sender->dropped - sender->told));
        sender->told = sender->dropped;
    }
    send_kept(sender);
}

/* Takes the parcel, which has something in it. */
static void deliver(event_parcel *parcel)
{
    cel_event_sender *sender = parcel->sender;
    cel_error err = {0};

    if (parcel->text.failed || sender->pending_bytes > PENDING_MAX) {
        drop(sender, parcel->keep ? parcel->events : 0);
        put_parcel(parcel);
    } else if (sender->offline && parcel->keep) {
        keep(parcel);
    } else if (submit(parcel, &err) != CEL_OK) {
        failed(parcel, &err);
    } else {
        sender->pending++;
        sender->pending_bytes += parcel->text.len;
    }
}

/* ---- task events ---- */

static void close_list(event_parcel *parcel)
{
    if (parcel->in_list == 0)
        return;
    cel__buf_add_byte(&parcel->text, ']');
    parcel->ends[parcel->count++] = parcel->text.len;
    parcel->in_list = 0;
}

static void flush(cel_event_sender *sender)
{
    event_parcel *parcel = sender->open;

    if (!parcel || !sender->broker)
        return;
    sender->open = NULL;
    close_list(parcel);
    if (parcel->count > 0)
        deliver(parcel);
    else
        put_parcel(parcel);
}

bool cel__event_sender_wants(const cel_event_sender *sender)
{
    return sender && sender->tasks && sender->broker;
}

cel__buf *cel__event_sender_begin(cel_event_sender *sender)
{
    static cel__buf nowhere = {.failed = true};

    assert(cel__event_sender_wants(sender));
    if (!sender->open)
        sender->open = get_parcel(sender, "task.multi", true);
    if (!sender->open)
        return &nowhere;
    event_parcel *parcel = sender->open;
    if (parcel->in_list == 0)
        cel__buf_add_byte(&parcel->text, '[');
    else
        cel__buf_add(&parcel->text, ", ", 2);
    cel__event_begin(&parcel->text, cel__buf_view(&sender->head),
                     cel__lamport_forward(sender->opts.lamport));
    return &parcel->text;
}

void cel__event_sender_end(cel_event_sender *sender, const char *type)
{
    event_parcel *parcel = sender->open;

    if (!parcel) {
        drop(sender, 1);
        return;
    }
    cel__event_end(&parcel->text, cel__clock_wall_us(sender->opts.clock), type);
    parcel->events++;
    if (++parcel->in_list < CEL_EVENT_LIST)
        return;
    close_list(parcel);
    if (parcel->count == PARCEL_LISTS || parcel->text.len > PARCEL_BYTES)
        flush(sender);
}

static void on_prepare(uv_prepare_t *handle)
{
    flush(handle->data);
}

static void on_check(uv_check_t *handle)
{
    flush(handle->data);
}

/* ---- worker events ---- */

/* Of an hour or a year: the head says how far from UTC we are. */
static void renew_head(cel_event_sender *sender)
{
    int utcoffset = cel__event_utcoffset(cel__clock_wall_us(sender->opts.clock));

    if (utcoffset == sender->utcoffset && sender->head.len > 0)
        return;
    sender->utcoffset = utcoffset;
    cel__buf_reset(&sender->head);
    cel__event_head(&sender->head, sender->opts.node, utcoffset, (int)getpid());
}

static void add_load(cel__buf *buf)
{
    double load[3] = {0};
    char text[CEL_DOUBLE_TEXT];

    if (getloadavg(load, 3) != 3)
        load[0] = load[1] = load[2] = 0;
    cel__buf_add_str(buf, ", \"loadavg\": [");
    for (int i = 0; i < 3; i++) {
        double rounded = (double)(int64_t)(load[i] * 100 + 0.5) / 100;

        cel__buf_add_str(buf, i > 0 ? ", " : "");
        cel__buf_add(buf, text, cel__double_format(text, rounded));
    }
    cel__buf_add_byte(buf, ']');
}

static void add_vitals(cel_event_sender *sender, cel__buf *buf)
{
    cel_event_vitals vitals = {0};

    if (sender->opts.vitals)
        sender->opts.vitals(sender->opts.user, &vitals);
    cel__event_seconds(buf, "freq", sender->opts.interval_ms * 1000);
    cel__event_int(buf, "active", vitals.active);
    cel__event_int(buf, "processed", vitals.processed);
    add_load(buf);
}

/* `brief`: what the command heartbeat asks for. */
static void say(cel_event_sender *sender, const char *type, const char *key, bool brief)
{
    event_parcel *parcel;

    if (!sender->broker)
        return;
    parcel = get_parcel(sender, key, false);
    if (!parcel)
        return;
    renew_head(sender);
    cel__event_begin(&parcel->text, cel__buf_view(&sender->head),
                     cel__lamport_forward(sender->opts.lamport));
    if (brief)
        cel__event_int(&parcel->text, "freq", COMMAND_FREQ);
    else
        add_vitals(sender, &parcel->text);
    cel__buf_add_view(&parcel->text, cel__buf_view(&sender->software));
    cel__event_end(&parcel->text, cel__clock_wall_us(sender->opts.clock), type);
    parcel->events = 1;
    parcel->ends[parcel->count++] = parcel->text.len;
    deliver(parcel);
}

static void on_beat(uv_timer_t *timer)
{
    say(timer->data, "worker-heartbeat", "worker.heartbeat", false);
}

void cel__event_sender_beat(cel_event_sender *sender)
{
    say(sender, "worker-heartbeat", "worker.heartbeat", true);
}

/* ---- life ---- */

static void describe_software(cel__buf *buf)
{
    struct utsname system;
    bool known = uname(&system) >= 0;

    cel__event_text(buf, "sw_ident", CEL_VIEW("celeriac"));
    cel__event_text(buf, "sw_ver", CEL_VIEW(CEL_VERSION_STRING));
    cel__event_text(buf, "sw_sys", cel__view(known ? system.sysname : ""));
}

cel_code cel__event_sender_new(cel_event_sender **out,
                               const cel_event_sender_options *options,
                               cel_error *err)
{
    cel_event_sender *sender = cel__calloc(1, sizeof *sender);

    if (!sender)
        return cel_error_set(err, CEL_ENOMEM, "no memory for events");
    sender->opts = *options;
    if (sender->opts.interval_ms <= 0)
        sender->opts.interval_ms = INTERVAL_MS;
    sender->tasks = options->all;
    cel__buf_add_view(&sender->node, options->node);
    cel__buf_add_view(&sender->exchange, options->exchange);
    sender->opts.node = cel__buf_view(&sender->node);
    sender->opts.exchange = cel__buf_view(&sender->exchange);
    cel__event_headers(&sender->headers, sender->opts.node);
    describe_software(&sender->software);
    renew_head(sender);
    if (sender->node.failed || sender->exchange.failed || sender->headers.failed ||
        sender->software.failed || sender->head.failed) {
        cel__event_sender_free(sender);
        return cel_error_set(err, CEL_ENOMEM, "no memory for events");
    }
    *out = sender;
    return CEL_OK;
}

void cel__event_sender_start(cel_event_sender *sender, cel_broker *broker)
{
    assert(!sender->broker);
    sender->broker = broker;
    uv_timer_init(sender->opts.loop, &sender->beat_timer);
    uv_prepare_init(sender->opts.loop, &sender->prepare);
    uv_check_init(sender->opts.loop, &sender->check);
    sender->beat_timer.data = sender->prepare.data = sender->check.data = sender;
    uv_prepare_start(&sender->prepare, on_prepare);
    uv_check_start(&sender->check, on_check);
    if (!sender->opts.beats)
        return;
    say(sender, "worker-online", "worker.online", false);
    uv_timer_start(&sender->beat_timer, on_beat, (uint64_t)sender->opts.interval_ms,
                   (uint64_t)sender->opts.interval_ms);
}

void cel__event_sender_again(cel_event_sender *sender)
{
    if (sender->opts.beats)
        say(sender, "worker-online", "worker.online", false);
}

void cel__event_sender_stop(cel_event_sender *sender)
{
    if (!sender || !sender->broker)
        return;
    flush(sender);
    if (sender->opts.beats)
        say(sender, "worker-offline", "worker.offline", false);
    sender->broker = NULL;
    uv_close((uv_handle_t *)&sender->beat_timer, NULL);
    uv_close((uv_handle_t *)&sender->prepare, NULL);
    uv_close((uv_handle_t *)&sender->check, NULL);
}

void cel__event_sender_free(cel_event_sender *sender)
{
    event_parcel *parcel, *next;

    if (!sender)
        return;
    assert(!sender->broker && sender->pending == 0);
    LL_FOREACH_SAFE(sender->spare, parcel, next)
    free_parcel(parcel);
    LL_FOREACH_SAFE(sender->kept, parcel, next)
    free_parcel(parcel);
    free_parcel(sender->open);
    cel__buf_done(&sender->node);
    cel__buf_done(&sender->exchange);
    cel__buf_done(&sender->head);
    cel__buf_done(&sender->headers);
    cel__buf_done(&sender->software);
    cel__free(sender);
}

bool cel__event_sender_enable(cel_event_sender *sender)
{
    bool was = sender->tasks;

    sender->tasks = true;
    return !was;
}

bool cel__event_sender_disable(cel_event_sender *sender)
{
    if (sender->opts.all || !sender->tasks)
        return false;
    sender->tasks = false;
    return true;
}

uint64_t cel__event_sender_dropped(const cel_event_sender *sender)
{
    return sender->dropped;
}
