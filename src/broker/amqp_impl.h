/* amqp_impl.h - what the files of the AMQP broker share; for them alone.
 *
 * Two threads: the *loop* (broker.h's side, amqp.c) and the *link*, a thread per broker that
 * owns the connection (amqp_link.c drives, amqp_conn.c connects, amqp_recv.c receives,
 * amqp_send.c publishes). They exchange *nodes*, embedded in what they are about, through two
 * lists under one mutex: commands to the link, events to the loop. A node is in one list at a
 * time. Fields say whose they are; what is not marked is set before the other thread sees it. */
#ifndef CEL_BROKER_AMQP_IMPL_H
#define CEL_BROKER_AMQP_IMPL_H

#include <amqp.h>
#include <amqp_framing.h>
#include <pthread.h>

#include "broker/amqp_url.h"
#include "broker/broker.h"
#include "core/buf.h"

typedef struct amqp_broker amqp_broker;
typedef struct amqp_link amqp_link;

typedef enum amqp_kind {
    AMQP_PUBLISH, /* command and event: an amqp_batch */
    AMQP_CONSUME, /* command: an amqp_consumer */
    AMQP_CANCEL,  /* command: an amqp_consumer; event: it is cancelled and none is out */
    AMQP_STOPPED, /* event: an amqp_consumer receives nothing any more */
    AMQP_ACCEPT,  /* command: an amqp_delivery */
    AMQP_SETTLE,  /* command and event: an amqp_delivery */
    AMQP_DELIVER, /* event: an amqp_delivery */
    AMQP_ASK,     /* command and event: an amqp_question */
    AMQP_REVIVE,  /* command: an amqp_revival, which the link frees */
    AMQP_STATE,   /* event: an amqp_news */
    AMQP_CLOSE,   /* command and event: the broker */
} amqp_kind;

typedef struct amqp_node {
    struct amqp_node *next;
    amqp_kind kind;
    void *owner;
} amqp_node;

typedef struct amqp_list {
    amqp_node *first, *last;
} amqp_list;

typedef enum amqp_verdict {
    AMQP_OPEN, /* not settled */
    AMQP_ACKED,
    AMQP_DROPPED,
    AMQP_REQUEUED,
} amqp_verdict;

typedef struct amqp_consumer amqp_consumer;

/* A received message. The loop frees it once it is settled and its views have been seen. */
typedef struct amqp_delivery {
    cel_delivery base; /* its views point into bytes */
    amqp_node accept, node;
    struct amqp_delivery *prev, *next;         /* loop: all that are handed over or held back */
    struct amqp_delivery *tag_prev, *tag_next; /* link: unsettled ones of a consumer, by tag */
    amqp_consumer *consumer;                   /* outlives it: freed when none is out */
    uint64_t tag;
    uint64_t epoch;                  /* of the channel it came from */
    amqp_verdict verdict;            /* loop until the command is sent, then the link */
    amqp_verdict mark;               /* link: to be sent in this flush */
    bool linked;                     /* link: among the consumer's unsettled */
    bool sent;                       /* link: settled on the wire */
    struct amqp_delivery *mark_next; /* link; loop while it is held back */
    cel_broker_cb cb;
    void *user;
    cel_code code; /* of the settlement */
    bool out;      /* loop: handed over, takes room of the window */
    bool accepted; /* loop */
    char bytes[];
} amqp_delivery;

/* Messages that are published and confirmed together. */
typedef struct amqp_batch {
    amqp_node node;
    struct amqp_batch *prev, *later; /* link: waiting, or sent and not confirmed */
    cel_broker_cb cb;
    void *user;
    cel_error err; /* code CEL_OK: confirmed */
    size_t count, left;
    bool delay_only;         /* fails where the message cannot wait for its ETA in the server */
    size_t sent;             /* link: how many have been sent */
    size_t low;              /* link: all before it are answered */
    uint64_t first_seq;      /* link: the first one's confirm tag */
    unsigned char *answered; /* one for each */
    cel_message *messages;   /* views point into bytes */
    char bytes[];
} amqp_batch;

typedef struct amqp_question {
    amqp_node node;
    void (*purged)(void *user, int64_t count, const cel_error *err);
    void (*listed)(void *user, const cel_queue_info *info, const cel_error *err);
    void *user;
    cel_error err;
    bool found;
    int64_t count, consumers;
    size_t name_len;
    char name[];
} amqp_question;

typedef struct amqp_revival {
    amqp_node node;
    amqp_consumer *consumer; /* commands are in order: it is not cancelled before */
    bool reconnect;
} amqp_revival;

typedef struct amqp_news {
    amqp_node node;
    amqp_consumer *consumer; /* NULL: for all */
    cel_code code;
    cel_error err;
} amqp_news;

/* How a consumer's window is kept, see amqp_link.c. */
struct amqp_consumer {
    amqp_node node, stopped_node;
    amqp_broker *broker;
    cel_consumer_options options; /* its queues point into `names` */
    cel_view *queues;             /* owned, with the names */
    cel_view *wires;              /* owned; what the server calls them */
    bool kept;                    /* consumed until it ends, for a queue ends with it */
    char *names;
    /* loop */
    struct amqp_consumer *prev, *next;
    amqp_delivery *held_back;      /* came when the window was full */
    size_t out, accepted;          /* the loop's to write, under the mutex, as are: */
    int64_t slot_ms;               /* when the present slot of time began */
    size_t slot_count, last_count; /* how many were settled in it, and in the one before */
    size_t live;                   /* deliveries that point here */
    bool cancelled;
    bool link_done; /* the link knows it no more */
    void (*done)(void *user);
    void *done_user;
    /* under the mutex */
    size_t target;  /* how many RabbitMQ may have out unacknowledged; the loop's to write */
    uint64_t epoch; /* of its channel; 0: there is none; the link's to write */
    /* link */
    struct amqp_consumer *link_prev, *link_next;
    amqp_delivery *unsettled; /* by tag */
    size_t unsettled_count;
    amqp_delivery *marked;
    uint16_t channel;    /* its number, whether open or not */
    bool open;           /* the channel */
    unsigned generation; /* in the consumer tags */
    size_t wanted;       /* the target of this turn */
    bool flows;          /* to be looked at again, as it holds for a moment */
    size_t qos;          /* what RabbitMQ was told */
    int64_t
        quiet_ms; /* when to tell it of a little more if nothing comes till then; 0: no need */
    bool active;  /* consuming on this connection */
    bool per_consumer; /* qos counts each queue by itself */
    bool stopping;     /* to be told stopped when the cancels are answered */
    bool stopped;      /* that was told */
    size_t cancels;    /* not answered yet */
    int64_t retry_ms;  /* when to try again what was refused; 0: at once */
    unsigned refusals;
};

/* A message whose frames are coming in, one per channel. */
typedef struct amqp_incoming {
    bool busy, returned, redelivered, delayed;
    uint64_t tag;
    size_t left; /* bytes of the body to come */
    amqp_delivery *delivery;
    amqp_consumer *consumer;
    size_t queue;
    char *at; /* where the body goes on */
    size_t exchange_len, key_len, reply_len;
    char exchange[256], key[256], reply[256];
} amqp_incoming;

#define AMQP_CH_PUBLISH  1
#define AMQP_CH_ADMIN    2
#define AMQP_CH_CONSUMER 3
#define AMQP_CHANNELS    64 /* consumers of one broker, and the two above */

struct amqp_link {
    amqp_broker *broker;
    cel_amqp_server *servers;
    size_t server_count, server;  /* the one in use */
    amqp_connection_state_t conn; /* NULL: not connected */
    uint64_t epochs;              /* counts channels of consumers */
    unsigned version;             /* the server's major version; 0: unknown */
    bool publish_open, admin_open;
    bool blocked;    /* the server takes no messages now */
    bool broken;     /* something failed: to be closed at the end of the turn */
    cel_error error; /* why */
    bool outage;     /* consumers were told of one */
    bool again;      /* what was received lets a consumer go on: another turn at once */
    unsigned tries;
    int64_t next_try_ms;
    uint64_t next_seq;
    amqp_batch *waiting, *unconfirmed; /* lists, in order */
    amqp_batch *sending; /* the last of unconfirmed, if not all of it is sent; else NULL */
    amqp_consumer *consumers;
    struct amqp_known *known; /* what was declared on this connection */
    int64_t delays_failed_ms; /* delayed delivery was refused then; 0: it was not */
    amqp_incoming incoming[AMQP_CHANNELS];
    amqp_pool_t pool;
    cel__buf scratch;
    bool closing;
    int64_t closing_until_ms;
    unsigned random;
    amqp_list gathered;     /* deliveries of this turn, not handed to the loop yet */
    size_t came;            /* how many */
    uint64_t rest_until_ns; /* 0: it does not rest */
};

struct amqp_broker {
    cel_broker base;
    const cel_clock *clock;
    const cel_log *log;
    char *node; /* owned; shown in the server's list of connections */
    bool (*describe)(const void *user, cel_view queue, cel_queue_decl *out);
    void (*queues_of)(const void *user,
                      cel_view exchange,
                      void (*each)(void *to, cel_view queue),
                      void *to);
    const void *describe_user;
    bool delays, delay_classic; /* messages wait for their ETA in the server, in such queues */
    int64_t connect_timeout_ms;
    int heartbeat_s;
    /* loop */
    uv_async_t async;
    amqp_consumer *consumers; /* not cancelled */
    amqp_consumer *leaving;   /* cancelled, some are still out */
    amqp_delivery *deliveries;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
    /* shared */
    pthread_mutex_t mutex;
    pthread_cond_t opened_cond;
    amqp_list commands, events;
    bool opened;     /* the first attempt to connect has ended */
    cel_error first; /* how */
    int wake_fd;
    bool woken;   /* wake_fd has been written */
    bool resting; /* the link looks at the commands soon, of itself */
    amqp_node close_node;
    pthread_t thread;
    amqp_link link;
};

/* ---- amqp.c: any thread ---- */
void cel__amqp_push(amqp_list *list, amqp_node *node, amqp_kind kind, void *owner);
amqp_node *cel__amqp_pop(amqp_list *list);
/* Hands an event to the loop. */
void cel__amqp_event(amqp_broker *broker, amqp_node *node, amqp_kind kind, void *owner);
/* Hands over what was gathered. Link. */
void cel__amqp_hand_over(amqp_broker *broker);

/* How many RabbitMQ may have out unacknowledged, now; *flows: accepted ones do not count for that, for a moment. The mutex is held. */
size_t cel__amqp_target(const amqp_consumer *consumer, bool *flows);

/* ---- amqp_batch.c: any thread ---- */
/* CEL_EINVAL for what AMQP cannot carry as a name. */
cel_code cel__amqp_check_name(cel_view name, const char *what, cel_error *err);
cel_code cel__amqp_check_queue(cel_view name, cel_error *err);
/* The messages with all that they point to; CEL_EINVAL for one that AMQP cannot carry. */
cel_code cel__amqp_copy_batch(amqp_batch **out,
                              const cel_message *messages,
                              size_t count,
                              cel_error *err);
/* Calls its cb, and frees it. */
void cel__amqp_tell_batch(amqp_batch *batch);

/* ---- amqp_conn.c: link ---- */
/* Tries the servers once, from the one in use on. CEL_ECONN, or CEL_ECONFIG where the server
 * refuses the login or the virtual host. */
cel_code cel__amqp_connect(amqp_link *link, cel_error *err);
/* Closes the connection, politely if it is not broken. */
void cel__amqp_disconnect(amqp_link *link);
/* Notes that the connection is of no use any more; the first reason counts. */
void cel__amqp_break(amqp_link *link, cel_code code, const char *fmt, ...) CEL_PRINTF(3, 4);
/* Notes what a librabbitmq function returned; true if it was success. */
bool cel__amqp_ok(amqp_link *link, int status);
/* Reads the reply of the last RPC on `channel`. Where the server closed the channel, answers and
 * sets *closed. CEL_ENOENT (404), CEL_ECONFIG (403), CEL_EBUSY (405), CEL_EINVAL (others),
 * CEL_ECONN (the connection is broken, too). */
cel_code cel__amqp_reply(amqp_link *link, uint16_t channel, bool *closed, cel_error *err);
cel_code cel__amqp_channel_error(cel_error *err, uint16_t code, amqp_bytes_t text);
cel_code cel__amqp_open_channel(amqp_link *link, uint16_t channel, cel_error *err);

/* ---- amqp_declare.c: link ---- */
/* Declares queue, exchange and binding as described, once per connection. `wire` is what the
 * server calls the queue. One that exists with other arguments is taken as it is; *foreign (may
 * be NULL) tells of such, and of quorum queues: they know only qos per consumer. */
cel_code cel__amqp_declare(
    amqp_link *link, cel_view queue, cel_view wire, bool *foreign, cel_error *err);
/* A queue of this connection alone that ends with its consumer: RabbitMQ 4.3 takes no other
 * transient ones. */
cel_code cel__amqp_declare_reply(amqp_link *link,
                                 cel_view queue,
                                 const cel_listening *listening,
                                 cel_error *err);
/* An exchange for listeners, once per connection. */
cel_code cel__amqp_use_listened(amqp_link *link,
                                cel_view exchange,
                                cel_exchange_kind kind,
                                cel_error *err);
/* Declares what is described as bound to the exchange, once per connection. */
cel_code cel__amqp_prepare_exchange(amqp_link *link, cel_view exchange, cel_error *err);
void cel__amqp_forget_published(amqp_link *link, cel_view exchange);
void cel__amqp_forget(amqp_link *link, cel_view queue);
void cel__amqp_forget_all(amqp_link *link);
cel_code cel__amqp_declare_exchange(
    amqp_link *link, cel_view name, cel_view type, const cel_queue_decl *decl, cel_error *err);
cel_code cel__amqp_declare_queue(amqp_link *link,
                                 cel_view name,
                                 const cel_queue_decl *decl,
                                 bool passive,
                                 amqp_question *out,
                                 cel_error *err);
cel_code cel__amqp_bind(amqp_link *link,
                        cel_view queue,
                        cel_view exchange,
                        cel_view key,
                        cel_view arguments,
                        cel_error *err);
void cel__amqp_ask(amqp_link *link, amqp_question *question);
/* As described, or as one that nobody described. */
void cel__amqp_describe(amqp_link *link, cel_view queue, cel_queue_decl *decl);
bool cel__amqp_is_quorum(const cel_queue_decl *decl);
/* What was declared on this connection, by its kind and name. */
void cel__amqp_remember(amqp_link *link, char kind, cel_view name);
bool cel__amqp_is_known(amqp_link *link, char kind, cel_view name);
/* Before a call on AMQP_CH_ADMIN that waits, and after it. */
cel_code cel__amqp_need_admin(amqp_link *link, cel_error *err);
cel_code cel__amqp_admin_reply(amqp_link *link, cel_error *err);

/* ---- amqp_delay.c: link ---- */
/* Prepares for the message to wait for its ETA in the server: it is to be published to
 * cel__amqp_delay_exchange() with *routing_key, which is written to `key`. CEL_ENOTSUP: it is
 * due, or cannot wait there. */
cel_code cel__amqp_delay(amqp_link *link,
                         const cel_message *message,
                         char key[256],
                         cel_view *routing_key,
                         cel_error *err);
cel_view cel__amqp_delay_exchange(void);
/* What consumers of quorum queues prepare for Python's clients. Fails only with the connection. */
cel_code cel__amqp_bind_delayed(amqp_link *link, cel_view queue, cel_error *err);
/* A message of `queue` that has waited: as if it had been published to where it has gone. */
bool cel__amqp_undelay(amqp_link *link, amqp_incoming *incoming, cel_view queue);
/* Leaves out what the server notes when a message dies: RabbitMQ 3 would drop the message as one
 * that goes round in circles when it waits again. */
void cel__amqp_drop_deaths(amqp_table_t *headers);

/* ---- amqp_recv.c: link ---- */
/* Handles the frames that are there; true if there may be more. */
bool cel__amqp_receive(amqp_link *link);
void cel__amqp_drop_incoming(amqp_link *link);

/* ---- amqp_send.c: link ---- */
/* Sends some of what waits; true if there is more. */
bool cel__amqp_send_waiting(amqp_link *link);
void cel__amqp_confirmed(amqp_link *link, uint64_t tag, bool multiple, bool nack);
void cel__amqp_returned(amqp_link *link,
                        const amqp_incoming *incoming,
                        cel_view correlation_id);
/* The channel was closed: fails what is not confirmed. */
void cel__amqp_fail_unconfirmed(amqp_link *link, const cel_error *err);
void cel__amqp_fail_waiting(amqp_link *link, const cel_error *err);

/* ---- amqp_link.c ---- */
void *cel__amqp_run(void *link); /* the thread */
amqp_consumer *cel__amqp_consumer_of(amqp_link *link, uint16_t channel);
/* Its channel was closed by the server. */
void cel__amqp_consumer_closed(amqp_link *link, amqp_consumer *consumer, const cel_error *err);
/* The server cancelled it: its queue is gone. */
void cel__amqp_consumer_dropped(amqp_link *link, amqp_consumer *consumer, cel_view tag);
void cel__amqp_cancel_answered(amqp_link *link, amqp_consumer *consumer);

#endif
