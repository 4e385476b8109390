/* message.h - a message as a broker carries it: properties, headers, body.
 *
 * Celery's protocol 2 in all of them; protocol 1 is accepted on reading. Headers are kept as
 * the JSON text of one object: what a broker with another encoding (AMQP tables) translates
 * at its own edge, and what nobody reads passes through byte for byte. Pure; any thread. */
#ifndef CEL_MESSAGE_MESSAGE_H
#define CEL_MESSAGE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* Exchanges where whoever listens to one gets a copy, and nobody is no error: events, remote
 * control. As Celery declares them: a topic one is durable, the others are transient. */
typedef enum cel_exchange_kind {
    CEL_EXCHANGE_NONE, /* of tasks: see cel_queue_decl */
    CEL_EXCHANGE_TOPIC,
    CEL_EXCHANGE_FANOUT,
    CEL_EXCHANGE_DIRECT,
} cel_exchange_kind;

/* All views are borrowed; whoever hands a message on says how long they live. */
typedef struct cel_message {
    cel_view exchange; /* "" is the default exchange: the routing key names the queue */
    cel_view routing_key;
    cel_view content_type; /* absent: a hostile or foreign message; never sent by us */
    cel_view content_encoding;
    cel_view correlation_id;
    cel_view reply_to;
    cel_view expiration; /* decimal milliseconds; absent: none */
    cel_view headers;    /* the text of a JSON object; absent: no headers (protocol 1) */
    cel_view body;       /* as on the wire, compressed if the headers say so */
    int delivery_mode;   /* 2 persistent, 1 transient; 0 absent */
    int priority;        /* 0 to 255; -1 absent */
    int64_t
        eta_ms;    /* wall time before which nobody wants it; 0: now. From the headers' `eta`: a
                          * broker that can delay keeps it, another delivers at once. */
    bool existing; /* to be published to a queue that is somebody else's (a reply queue): it is
                    * not declared, and CEL_ENOENT says that it is gone */
    cel_view task; /* the header `task`, for brokers that keep it beside; may be absent */
    cel_exchange_kind
        kind; /* not NONE: for the listeners of `exchange`, in no queue of tasks */
} cel_message;

#define CEL_MESSAGE_INIT                                                                       \
    {                                                                                          \
        .priority = -1                                                                         \
    }

/* Appends the properties (all but headers, body, task and eta) as a JSON object, in the
 * layout of kombu's virtual transports: correlation_id, reply_to, delivery_mode, expiration,
 * delivery_info {exchange, routing_key}, priority, plus content_type and content_encoding.
 * What is absent is left out. */
void cel__message_dump_properties(cel__buf *buf, const cel_message *message);

/* Reads what the above writes into the properties of `message`; what is missing or null
 * becomes absent, headers, body, task and eta are left alone. Views point into `text`, or
 * into `scratch` where escapes had to be resolved; the caller keeps both alive. Unknown
 * members are ignored. CEL_EPROTO if it is no JSON object or a member has a wrong type; then
 * `message` is left alone. CEL_ENOMEM. */
cel_code cel__message_load_properties(cel_message *message,
                                      cel_view text,
                                      cel__buf *scratch,
                                      cel_error *err);

#endif
