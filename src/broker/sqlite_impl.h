/* sqlite_impl.h - the inside of the SQLite broker: sqlite.c (the loop's side), sqlite_db.c
 * (the transactions) and sqlite_cast.c (those of what is cast to listeners). */
#ifndef CEL_BROKER_SQLITE_IMPL_H
#define CEL_BROKER_SQLITE_IMPL_H

#include <sqlite3.h>

#include "broker/broker.h"
#include "sqlite/engine.h"

#define CEL_SQLITE_MAX_MESSAGE                                                                 \
    ((size_t)256 << 20) /* bytes of headers, properties and body together */
#define CEL_SQLITE_MAX_CLAIM                                                                   \
    ((size_t)64 << 20) /* a claim takes no more bytes at once (but one message) */

typedef struct sqlite_broker sqlite_broker;
typedef struct sqlite_consumer sqlite_consumer;
typedef struct sqlite_delivery sqlite_delivery;

/* A queue's number, remembered by the engine's thread. */
typedef struct queue_id {
    char *name; /* owned */
    size_t len;
    uint64_t hash;
    int64_t id;
} queue_id;

/* The operations' common part. */
typedef struct sqlite_op {
    cel_engine_op op;
    sqlite_broker *broker;
    cel_broker_cb cb;
    void *user;
} sqlite_op;

/* ---- publish ---- */
typedef struct publish_text {
    size_t at, len; /* in publish_op.bytes; at SIZE_MAX: absent */
} publish_text;

typedef struct publish_entry {
    publish_text queue, task, properties, headers, body;
    publish_text exchange; /* of what is cast; `queue` is the routing key then */
    bool text;             /* the body is UTF-8 */
    bool existing;         /* its queue must be there */
    int priority;
    int64_t eta_ms;
} publish_entry;

typedef struct publish_op {
    sqlite_op base;
    publish_entry *entries; /* owned; room for cap */
    size_t count, cap;
    bool existing; /* one of them is */
    bool cast;     /* they are for listeners: see sqlite_cast.c */
    bool heard;    /* out: there are some */
    cel__buf bytes;
    struct publish_op *next_spare;
} publish_op;

/* ---- consume ---- */
typedef struct consumer_queue {
    char *name; /* owned */
    size_t len;
    uint64_t hash;
    int64_t row; /* in the table `consumer`; written by the claim's run */
    cel_engine_listener *listener;
} consumer_queue;

typedef struct claim_op {
    sqlite_op base;
    sqlite_consumer *consumer;
    size_t want;
    size_t turn;        /* which queue comes first */
    bool adopt;         /* in: look for messages that were put into the file by hand */
    int64_t registered; /* in: the owner under whom the consumer is listed */
    /* out */
    sqlite_delivery *first, **end;
    size_t got, bytes;
    int64_t owner;
    int64_t next_due_ms; /* of the earliest waiting message; 0: none */
    bool more;           /* stopped early, though there may be more */
    int64_t adopted_to;  /* in: messages up to this number have been looked at */
    int64_t adopt_next;  /* its value after success */
} claim_op;

struct sqlite_consumer {
    sqlite_broker *broker;
    sqlite_consumer *prev, *next;
    cel_consumer_options options;
    consumer_queue *queues; /* owned; options.queue_count */
    size_t out;             /* delivered, not settled */
    claim_op claim;
    bool claiming, cancelled, listening, outage;
    bool again;       /* woken while claiming */
    bool empty;       /* there was nothing more, and we listen: no need to look */
    size_t returning; /* releases of what was claimed for nobody */
    int64_t backoff_ms, adopted_mono_ms;
    uv_timer_t timer;
    bool timer_closed, unlisted;
    sqlite_op cancel; /* removes it from the list of consumers */
    void (*canceled)(void *user);
    void *canceled_user;
};

/* ---- deliveries ---- */
typedef enum settle_kind {
    SETTLE_ACK,     /* delete it */
    SETTLE_REQUEUE, /* back into the queue, counted */
    SETTLE_RELEASE, /* back as if nothing had been */
    SETTLE_RETURN,  /* back as if the consumer had died */
} settle_kind;

struct sqlite_delivery {
    cel_delivery base;
    sqlite_op settle;
    settle_kind kind;
    bool settled; /* given back by the holder */
    bool waits;   /* in broker->to_return */
    bool reply;   /* of a reply queue */
    bool nobodys; /* its settle's callback is our own: a failure gives it to the retry timer */
    sqlite_consumer *consumer;    /* NULL: canceled meanwhile */
    sqlite_delivery *prev, *next; /* in broker->deliveries; while claimed, next only */
    sqlite_delivery *next_return; /* in broker->to_return */
    int64_t id, owner;
    uint64_t queue_hash;
    cel__ledger *ledger; /* a reference */
    uint32_t cell;
    cel__buf scratch;
    char bytes[];
};

struct sqlite_broker {
    cel_broker base;
    cel_engine *engine;
    uv_loop_t *loop;
    const cel_clock *clock;
    const cel_log *log;
    size_t pending; /* operations submitted, not done */
    sqlite_consumer *consumers;
    sqlite_delivery *deliveries; /* handed out and not settled, or being settled */
    publish_op *spare;
    size_t spare_count;
    bool closing, leaving;
    void (*closed)(void *user);
    void *closed_user;
    uv_timer_t retry; /* returns what could not be settled, when the disk has room again */
    bool retry_open;
    sqlite_delivery *to_return; /* by next_return */

    /* the engine thread's */
    queue_id *queue_ids; /* owned; open addressing, queue_cap a power of two or 0 */
    size_t queue_count, queue_cap;
    uint64_t rollbacks;
};

/* ---- purge and list ---- */
typedef struct purge_op {
    sqlite_op base;
    void (*purged)(void *user, int64_t count, const cel_error *err);
    int64_t count;
    size_t len;
    char queue[];
} purge_op;

typedef struct queue_row {
    char *name; /* owned */
    size_t len;
    int64_t ready, delayed, unsettled, consumers;
} queue_row;

typedef struct list_op {
    sqlite_op base;
    void (*listed)(void *user, const cel_queue_info *info, const cel_error *err);
    queue_row *rows; /* owned */
    size_t count, cap;
    bool all;
    size_t len;
    char queue[];
} list_op;

/* The transactions: run() of the operations. */
cel_code cel__sqlite_publish_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_claim_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_cancel_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_settle_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_purge_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_list_run(cel_engine_op *op, cel_engine *engine);

/* sqlite_cast.c, engine thread */
cel_code cel__sqlite_cast_look_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_cast_run(cel_engine_op *op, cel_engine *engine);
cel_code cel__sqlite_listen(cel_engine *engine,
                            int64_t queue,
                            const cel_listening *listening,
                            cel_error *err);
cel_code cel__sqlite_insert_message(cel_engine *engine,
                                    const publish_op *publish,
                                    const publish_entry *entry,
                                    int64_t queue,
                                    int64_t now_ms,
                                    cel_error *err);

void cel__sqlite_delivery_free(sqlite_delivery *delivery);
void cel__sqlite_claim_reset(claim_op *claim); /* frees what it holds */
void cel__sqlite_list_reset(list_op *list);
void cel__sqlite_forget_queues(sqlite_broker *broker);

#endif
