/* broker.h - the seam to message brokers.
 *
 * A broker is driven by one uv loop: every function here is called on the loop's thread, none blocks, and every callback
 * runs on that thread, never before the call that caused it has returned. If a call fails its callback never runs;
 * otherwise it runs exactly once, with CEL_ECANCELED when the broker is closed first.
 *
 * Life of a delivery: handed to on_delivery; optionally *accepted*; then settled once, by ack, reject or release.
 *   accept   "will be run": from then on, if this process dies, nobody runs it again; it comes back only to be reported lost
 *            (attempt CEL_ATTEMPT_ACCEPTED). Celery's early ack. Takes effect at once and costs no I/O where the broker can
 *            arrange that (sqlite); on AMQP and Redis it is the acknowledgement itself.
 *   ack      done, forget it.
 *   reject   requeue=false: drop it (dead-letter where there is such a thing); requeue=true: back into the queue, counted.
 *   release  handed back unstarted: as if it had never been delivered; not counted.
 * What is not settled when the process dies is delivered again. A settlement after the lease was lost has no effect and reports CEL_ESTALE.
 *
 * Transaction domains: if broker->domain is not NULL and equals backend->domain, everything submitted to both
 * within one turn of the loop takes effect together, in order, or not at all. The caller may then submit a result, the
 * messages that follow and the ack at once. Otherwise it must wait for each confirmation before the ack. */
#ifndef CEL_BROKER_BROKER_H
#define CEL_BROKER_BROKER_H

#include <jansson.h>
#include <uv.h>

#include "celeriac/error.h"
#include "core/clock.h"
#include "core/log.h"
#include "message/message.h"

typedef struct cel_broker cel_broker;
typedef struct cel_consumer cel_consumer;
typedef struct cel_delivery cel_delivery;

typedef enum cel_attempt {
    CEL_ATTEMPT_NEW,      /* not delivered before, or handed back unstarted */
    CEL_ATTEMPT_AGAIN,    /* delivered before and not accepted, or rejected with requeue: redelivered */
    CEL_ATTEMPT_ACCEPTED, /* a consumer that is dead now had accepted it: an early-acked task must not be run again */
} cel_attempt;

/* A received message. Owned by the broker's implementation, which embeds it; the holder settles it exactly once and does not
 * touch it afterwards. Views of `message` live until it is settled. */
struct cel_delivery {
    cel_broker *broker;
    cel_message message;
    cel_view queue;          /* where it came from */
    cel_attempt attempt;
    int64_t deliveries;      /* how often it was delivered, this time included; 0: unknown */
    void *user;              /* the holder's */
};

/* Called when a settlement or a publish is confirmed. `err` is NULL if code is CEL_OK. */
typedef void (*cel_broker_cb)(void *user, cel_code code, const cel_error *err);

/* How a queue is declared. Views live as long as the broker, or are parts of the name that was asked for. */
typedef struct cel_queue_decl {
    cel_view exchange;       /* empty: bound to nothing but the default exchange, and (as kombu does) a direct one of the queue's name */
    cel_view exchange_type;  /* "direct", "topic", "fanout", "headers" */
    cel_view routing_key;    /* of the binding */
    bool durable;
    bool auto_delete;
    bool exclusive;
    bool passive;            /* it must be there: nothing is declared ("no_declare") */
    int max_priority;        /* x-max-priority; -1: none */
    cel_view arguments;      /* JSON object of further arguments; absent: none */
    bool broadcast;          /* each consumer has a queue of its own, bound to the (fanout) exchange */
    bool exchange_transient, exchange_auto_delete;
    bool exchange_passive;   /* the exchange is not declared */
    cel_view exchange_arguments, binding_arguments, consumer_arguments; /* JSON objects, or absent */
    cel_view bindings;       /* JSON array of further {"exchange": …, "routing_key": …, "arguments": …}; or absent */
} cel_queue_decl;

typedef struct cel_broker_options {
    const char *url;         /* copied */
    uv_loop_t *loop;         /* borrowed until closed */
    const cel_clock *clock;  /* borrowed, as log */
    const cel_log *log;
    bool threaded;           /* disk work may use a thread of its own (workers); false: on the loop (clients) */
    const char *node;        /* node name, shown to operators beside what is leased; copied; may be NULL */
    int64_t lease_ms;        /* 0: the broker's default */
    /* How the queue is declared; false: as one that nobody described (durable, direct). From any thread. May be NULL. Brokers
     * that know no exchanges take from it what they have. */
    bool (*describe)(const void *user, cel_view queue, cel_queue_decl *out);
    /* Calls `each` for the queues that are described as bound to the exchange: who publishes to it declares them. May be NULL. */
    void (*queues_of)(const void *user, cel_view exchange, void (*each)(void *to, cel_view queue), void *to);
    const void *describe_user; /* of both */
    int64_t connect_timeout_ms; /* 0: the broker's default */
    int heartbeat_s;            /* AMQP; 0: the broker's default; -1: none */
    const json_t *transport_options; /* broker_transport_options, an object; borrowed during open; may be NULL */
    cel_view delay_queue_type;  /* AMQP: "quorum" or "classic", the queues in which messages wait for their ETA; absent: they do not */
} cel_broker_options;

/* What a consumer with a queue of its own hears. Views are borrowed until the consumer is gone. */
typedef struct cel_listening {
    cel_exchange_kind kind;  /* NONE: nothing; its queue is bound to no exchange */
    cel_view exchange;
    cel_view pattern;        /* of routing keys: `*` is a word and `#` any number of them (topic); ignored (fanout); the key (direct) */
    int64_t message_ttl_ms;  /* AMQP: how long a message waits for a consumer that is slow; 0: no end */
    int64_t expires_ms;      /* AMQP: how long the queue lives without a consumer; 0: no end */
} cel_listening;

typedef struct cel_consumer_options {
    const cel_view *queues;  /* copied */
    size_t queue_count;
    size_t window;           /* how many deliveries may be out unsettled; changed by ops->set_window; 0: none for now */
    bool reply;              /* the queues are this consumer's own: exclusive, transient, gone when it ends (AMQP) or soon after;
                              * made anew after an outage, without what was in them */
    cel_listening listening; /* with `reply` and one queue */
    /* Hands over one delivery. Several may come in one turn. */
    void (*on_delivery)(void *user, cel_delivery *delivery);
    /* An outage began (code, err), or ended (CEL_OK, NULL). Deliveries out at that time may be redelivered elsewhere. */
    void (*on_state)(void *user, cel_code code, const cel_error *err);
    void *user;
} cel_consumer_options;

typedef struct cel_queue_info {
    cel_view name;           /* valid during the callback */
    int64_t ready;           /* waiting to be delivered now */
    int64_t delayed;         /* waiting for their ETA; -1: the broker cannot tell */
    int64_t unsettled;       /* delivered, not settled; -1: cannot tell */
    int64_t consumers;       /* -1: cannot tell */
} cel_queue_info;

typedef struct cel_broker_ops {
    const char *schemes;     /* "sqlite" or "amqp,amqps": the URL schemes, comma-separated */
    bool native_eta;         /* messages with eta_ms stay in the broker until they are due (AMQP: for whole seconds, where the server
                              * has such queues: the rest is the consumer's to wait) */

    cel_code (*open)(cel_broker **out, const cel_broker_options *options, cel_error *err);

    /* Finishes what was submitted, cancels consumers, leaves unsettled deliveries to be redelivered, closes. `closed` runs on a later
     * turn; the broker is freed just before. */
    void (*close)(cel_broker *broker, void (*closed)(void *user), void *user);

    /* Publishes `count` messages in order. Copies what it needs before it returns. `cb` runs once, when all are confirmed; on
     * failure none or (not with sqlite and memory) some were accepted: err->uncertain tells. A queue that does not exist is created.
     * A batch has no messages with and without `kind`; those with it are for the listeners of their exchange. */
    cel_code (*publish)(cel_broker *broker, const cel_message *messages, size_t count, cel_broker_cb cb, void *user, cel_error *err);

    /* Starts consuming; the caller ends it with cancel(). Declares the queues. */
    cel_code (*consume)(cel_consumer **out, cel_broker *broker, const cel_consumer_options *options, cel_error *err);

    /* Stops the stream: no on_delivery after the return; a claim still under way is released by the broker. `done` runs when that
     * has happened; deliveries that are out stay the caller's to settle. Frees the consumer. */
    void (*cancel)(cel_consumer *consumer, void (*done)(void *user), void *user);

    void (*set_window)(cel_consumer *consumer, size_t window);

    /* The caller has found that messages wait and none comes: begins to consume anew, or (`reconnect`) connects anew. NULL where that
     * cannot be. */
    void (*revive)(cel_consumer *consumer, bool reconnect);

    /* See the head of this file. `cb` may be NULL. ack, reject and release take the delivery; its views stay valid until `cb`. If
     * `cb` gets an error other than CEL_ESTALE and CEL_ECANCELED, nothing was settled and the delivery is the holder's again (to be
     * tried again); without a `cb` it is then left to be redelivered. */
    cel_code (*accept)(cel_delivery *delivery, cel_error *err);
    void (*ack)(cel_delivery *delivery, cel_broker_cb cb, void *user);
    void (*reject)(cel_delivery *delivery, bool requeue, cel_broker_cb cb, void *user);
    void (*release)(cel_delivery *delivery, cel_broker_cb cb, void *user);

    /* Lets the delivery's message wait in the broker until `eta_ms` (wall time) instead of in the holder's memory: publishes it anew and,
     * when that is confirmed, settles the delivery, which it takes. `cb` as above; CEL_ENOTSUP: it cannot wait there. A connection lost
     * in between may double the message. NULL where deliveries come when they are due. */
    cel_code (*postpone)(cel_delivery *delivery, int64_t eta_ms, cel_broker_cb cb, void *user, cel_error *err);

    /* Deletes what is ready or delayed in the queue (AMQP: ready); `cb` gets how many. */
    cel_code (*purge)(cel_broker *broker, cel_view queue, void (*cb)(void *user, int64_t count, const cel_error *err), void *user, cel_error *err);

    /* Calls `cb` for each queue (all if `queue` is absent), then once with info NULL (and err, if it failed). CEL_ENOTSUP where a broker cannot
     * list. */
    cel_code (*queues)(cel_broker *broker, cel_view queue, void (*cb)(void *user, const cel_queue_info *info, const cel_error *err), void *user, cel_error *err);
} cel_broker_ops;

/* What every implementation embeds first. */
struct cel_broker {
    const cel_broker_ops *ops;
    const void *domain;      /* transaction domain, or NULL */
};

/* The URL schemes' table. Opens by scheme; CEL_ECONFIG if no broker has it: the message lists those there are. */
cel_code cel__broker_open(cel_broker **out, const cel_broker_options *options, cel_error *err);

/* Whether a queue that is bound with the pattern gets messages with the key: topic exchanges as RabbitMQ has them. */
bool cel__topic_matches(cel_view pattern, cel_view key);

/* Whether a listener hears a message of its exchange with this key. */
bool cel__listening_hears(const cel_listening *listening, cel_view key);

extern const cel_broker_ops cel__memory_broker_ops;
extern const cel_broker_ops cel__sqlite_broker_ops;
extern const cel_broker_ops cel__redis_broker_ops; /* built with hiredis only: CEL_HAVE_REDIS */
extern const cel_broker_ops cel__amqp_broker_ops; /* built with librabbitmq only: CEL_HAVE_AMQP */

#endif
