/* sender.h - what a worker says to whoever listens: worker-* and task-* events, as Celery's
 * EventDispatcher and Heart do.
 *
 *   worker events   one message each, routing key worker.online, worker.heartbeat, worker.offline
 *   task events     lists of up to 24 in one message, routing key task.multi, sent at the end of the
 *                   turn of the loop in which they were said
 *
 * To say something costs no more than writing it into a buffer, never waits and never fails: what
 * the broker does not take is kept within a bound (CEL_EVENTS_KEPT bytes) and sent when it is
 * reachable again; beyond the bound the oldest are dropped and counted. One thread: that of the
 * loop. */
#ifndef CEL_EVENTS_SENDER_H
#define CEL_EVENTS_SENDER_H

#include <uv.h>

#include "broker/broker.h"
#include "message/event.h"

#define CEL_EVENTS_KEPT ((size_t)4 << 20)
#define CEL_EVENT_LIST  24 /* task events in one message */

typedef struct cel_event_sender cel_event_sender;

/* How a worker is, for worker-* events. */
typedef struct cel_event_vitals {
    int64_t active;    /* tasks that run */
    int64_t processed; /* tasks that have begun since the start */
} cel_event_vitals;

typedef struct cel_event_sender_options {
    uv_loop_t *loop; /* borrowed, as clock, log and lamport, until it is freed */
    const cel_clock *clock;
    const cel_log *log;
    cel_lamport *lamport;
    cel_view node;       /* copied, as exchange */
    cel_view exchange;   /* event_exchange */
    bool all;            /* all groups of events, as with -E; else worker events only */
    bool beats;          /* worker events at all */
    int64_t interval_ms; /* between two heartbeats; 0: two seconds */
    void (*vitals)(void *user, cel_event_vitals *out);
    void *user;
} cel_event_sender_options;

/* Makes a sender that is silent till cel__event_sender_start(). CEL_ENOMEM. */
cel_code cel__event_sender_new(cel_event_sender **out,
                               const cel_event_sender_options *options,
                               cel_error *err);

/* Says worker-online, and from then on heartbeats. `broker` is borrowed until it is stopped. */
void cel__event_sender_start(cel_event_sender *sender, cel_broker *broker);

/* Says worker-online once more, after an outage. */
void cel__event_sender_again(cel_event_sender *sender);

/* Says worker-offline and hands over what is there; closes the handles. Before the broker's close,
 * which sends it. Nothing is said afterwards. */
void cel__event_sender_stop(cel_event_sender *sender);

/* After the loop has run the callbacks of the broker's close. NULL is a no-op. */
void cel__event_sender_free(cel_event_sender *sender);

/* Whether task events are wanted. NULL: no. */
bool cel__event_sender_wants(const cel_event_sender *sender);

/* A task event: begin, fields (see event.h) into what it returns, end. Only while wanted. */
cel__buf *cel__event_sender_begin(cel_event_sender *sender);
void cel__event_sender_end(cel_event_sender *sender, const char *type);

/* For the control commands enable_events and disable_events: false if it was so already. With
 * `all` there is nothing to enable and nothing can be disabled, as with Celery. */
bool cel__event_sender_enable(cel_event_sender *sender);
bool cel__event_sender_disable(cel_event_sender *sender);

/* For the control command heartbeat. */
void cel__event_sender_beat(cel_event_sender *sender);

/* How many events were dropped. */
uint64_t cel__event_sender_dropped(const cel_event_sender *sender);

#endif
