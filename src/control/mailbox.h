/* mailbox.h - the messages of remote control, as kombu's pidbox writes and reads them.
 *
 * A request goes to the fanout exchange "<namespace>.pidbox", to which each worker has bound its
 * node queue "<node>.<namespace>.pidbox". A reply goes to the exchange and routing key that the
 * request names: those of the caller's reply queue "<id>.reply.<namespace>.pidbox", bound to the
 * direct exchange "reply.<namespace>.pidbox" with the key "<id>". The namespace is the setting
 * control_exchange. Such a queue is consumed with `reply` and the `listening` that is given here.
 *
 * Pure; any thread. */
#ifndef CEL_CONTROL_MAILBOX_H
#define CEL_CONTROL_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "app/config.h"
#include "broker/broker.h"
#include "message/message.h"
#include "message/serializer.h"

#define CEL_MAILBOX_MAX         (8u << 20) /* bytes of a request's or reply's body */
#define CEL_MAILBOX_PATTERN_MAX 1024       /* bytes of a pattern */

/* Append the names of the exchanges and queues above. */
void cel__mailbox_exchange(cel__buf *buf, const char *name_space);
void cel__mailbox_reply_exchange(cel__buf *buf, const char *name_space);
void cel__mailbox_node_queue(cel__buf *buf, const char *name_space, const char *node);
void cel__mailbox_reply_queue(cel__buf *buf, const char *name_space, const char *id);

/* What the consumer of a node's queue hears, and that of a reply queue: `exchange` is the one of
 * requests (replies), which is borrowed as the id is. How long messages and queue live is as
 * control_queue_ttl and control_queue_expires say. */
cel_listening cel__mailbox_listen_node(const cel_config *config, cel_view exchange);
cel_listening
cel__mailbox_listen_reply(const cel_config *config, cel_view exchange, cel_view id);

/* ---- requests ---- */

/* A request to be sent, or one that was read. Zero-initialise, then set. Views are borrowed. */
typedef struct cel_mailbox_request {
    cel_view method;
    const json_t *arguments; /* an object; NULL: none */
    const json_t
        *destination; /* sent: an array of node names, NULL for all. Read: whatever came */
    cel_view pattern, matcher;          /* both or neither; "glob" or "pcre" */
    cel_view ticket;                    /* absent: nobody waits for an answer */
    cel_view reply_exchange, reply_key; /* where the answer goes; absent as the ticket */
    int64_t clock;                      /* Lamport clock of the sender; 0: unknown */
    double expires_s;                   /* wall time in seconds; 0: never. Workers ignore it */
} cel_mailbox_request;

/* Builds the message. `exchange` is that of the namespace (borrowed by *out). Body and headers are
 * appended to `buf`, into which *out has views: one buffer per message. CEL_EINVAL if the request
 * has no method or a value that the serializer cannot hold, CEL_ENOMEM. */
cel_code cel__mailbox_request_encode(cel_message *out,
                                     const cel_mailbox_request *request,
                                     cel_view exchange,
                                     const cel__coding *coding,
                                     cel__buf *buf,
                                     cel_error *err);

/* Reads a request. Views and borrowed values point into *root, which the caller frees with
 * json_decref(), or are static. CEL_EPROTO if it is no object or has no method, or if what decides
 * for whom it is or where the answer goes has the wrong type; CEL_ENOTSUP for a content type that
 * is not accepted, CEL_EFULL for more than CEL_MAILBOX_MAX bytes, CEL_EINVAL for a value that C
 * cannot hold (a 30-digit integer), CEL_ENOMEM. Nothing is known of a request that fails: it can
 * only be dropped. */
cel_code cel__mailbox_request_decode(cel_mailbox_request *out,
                                     json_t **root,
                                     const cel_message *message,
                                     const cel__coding *coding,
                                     cel_error *err);

/* Whether the request is for the node, in *is. As in kombu: a destination counts before a pattern,
 * and a pattern without a matcher is for all. CEL_EINVAL for a matcher that does not exist or a
 * pattern that it cannot read. */
cel_code cel__mailbox_is_for(bool *is,
                             const cel_mailbox_request *request,
                             cel_view node,
                             cel_error *err);

/* ---- replies ---- */

typedef struct cel_mailbox_reply {
    cel_view node;
    const json_t *value; /* what the command answered; NULL is null */
    cel_view ticket;
    int64_t clock;
} cel_mailbox_reply;

/* Builds the answer to `request`, whose views *out borrows; the rest as with requests. */
cel_code cel__mailbox_reply_encode(cel_message *out,
                                   const cel_mailbox_reply *reply,
                                   const cel_mailbox_request *request,
                                   const cel__coding *coding,
                                   cel__buf *buf,
                                   cel_error *err);

/* Reads a reply; as with requests, all point into *root. The ticket is absent if there is none.
 * Codes as above; CEL_EPROTO also if the body does not have exactly one member. */
cel_code cel__mailbox_reply_decode(cel_mailbox_reply *out,
                                   json_t **root,
                                   const cel_message *message,
                                   const cel__coding *coding,
                                   cel_error *err);

#endif
