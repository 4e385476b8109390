/* receiver.h - hearing events, on a loop of the caller's. One thread: that of the loop. */
#ifndef CEL_EVENTS_RECEIVER_H
#define CEL_EVENTS_RECEIVER_H

#include <jansson.h>

#include "broker/broker.h"
#include "message/event.h"

typedef struct cel_event_receiver cel_event_receiver;

typedef struct cel_event_receiver_options {
    cel_broker *broker; /* borrowed, as clock, log and lamport, until it is closed */
    const cel_clock *clock;
    const cel_log *log;
    cel_lamport *lamport;
    cel_view exchange;  /* event_exchange; copied, as prefix and pattern */
    cel_view prefix;    /* event_queue_prefix: the queue is <prefix>.<UUID> */
    cel_view pattern;   /* of routing keys: "#" is all */
    int64_t ttl_ms;     /* event_queue_ttl; 0: none */
    int64_t expires_ms; /* event_queue_expires; 0: none */
    /* An event, with "local_received" and the clock that it was heard at; borrowed for the call, which may change it. */
    void (*on_event)(void *user, const char *type, json_t *event);
    void (*on_state)(void *user,
                     cel_code code,
                     const cel_error *err); /* as in broker.h; may be NULL */
    void *user;
} cel_event_receiver_options;

/* Begins to listen. Closed with cel__event_receiver_close(). */
cel_code cel__event_receiver_open(cel_event_receiver **out,
                                  const cel_event_receiver_options *options,
                                  cel_error *err);

/* Nothing is heard from now on; `closed` runs on a later turn, when the receiver is freed. */
void cel__event_receiver_close(cel_event_receiver *receiver,
                               void (*closed)(void *user),
                               void *user);

/* Messages, and things in their lists, that were no events. */
uint64_t cel__event_receiver_malformed(const cel_event_receiver *receiver);

/* Reads the body of a message, an event or a list of them, and calls `each` for those that are some; counts the
 * others in *malformed. Hostile bytes cost no more than their length. */
void cel__events_read(cel_view body,
                      int64_t now_us,
                      cel_lamport *lamport,
                      uint64_t *malformed,
                      void (*each)(void *user, const char *type, json_t *event),
                      void *user);

#endif
