/* redis_impl.h - what the files of the Redis broker share; for them alone.
 *
 * Keys, all behind the prefix (global_keyprefix, mostly empty). Kombu's:
 *   <queue>, <queue>\x06\x16<step>   lists of messages; pushed at the left, taken at the right
 *   _kombu.binding.<exchange>        a set of key \x06\x16 pattern \x06\x16 queue
 *   unacked                          a hash of what is out, by delivery tag: [message, exchange,
 *                                    key]. Ours have the exchange "" and the queue as key, so
 *                                    that whoever restores them finds that queue again
 *   unacked_index                    a zset of the tags by the time they were taken or renewed
 *   unacked_mutex                    exists while a Python consumer restores
 * Ours, all with an expiry or bounded by the number of queues:
 *   celeriac.owners                  a zset of the brokers that consume, by the time they are dead
 *   celeriac.lease.<owner>           a hash of what an owner has out: <n> the score that its n-th
 *                                    claim has in unacked_index, <n>t the tags and their lists;
 *                                    n the last claim
 *   celeriac.eta.<queue>             a zset of what waits for its ETA, by that; the messages are in
 *                                    `unacked` with a score that makes them due then
 *   celeriac.consumers.<queue>       a zset of owners that consume the queue
 *   celeriac.reply.<queue>           exists while a reply queue of ours has its consumer
 *   celeriac.sent.<publisher>        the number of the last batch published
 *   celeriac.quarantine              a list of what is no message, or had no place to go to
 *
 * A score in unacked_index is the fence: a tag whose score is not its claim's was restored by
 * somebody, and maybe taken by another; then nothing is done with it (CEL_ESTALE). */
#ifndef CEL_BROKER_REDIS_IMPL_H
#define CEL_BROKER_REDIS_IMPL_H

#include <jansson.h>

#include "broker/broker.h"
#include "core/buf.h"
#include "core/id.h"
#include "redis/conn.h"
#include "redis/lua.h"

#define RQ_STEPS_MAX 16
#define RQ_CLAIM_MAX 512 /* messages of one claim: the stack of Lua takes 8,000 words */

typedef enum rq_script {
    RQ_PUBLISH,
    RQ_CLAIM,
    RQ_SETTLE,
    RQ_PULSE,
    RQ_RECOVER,
    RQ_FORGET,
    RQ_INFO,
    RQ_PURGE,
    RQ_SCRIPTS,
} rq_script;

/* broker_transport_options, as kombu reads them. Strings are owned. */
typedef struct rq_settings {
    int64_t visibility_ms;
    char *prefix, *sep;
    char *unacked, *index, *mutex; /* with the prefix */
    char *fanout;                  /* what stands before the exchange: "/0." */
    bool fanout_patterns;
    int steps[RQ_STEPS_MAX];
    size_t step_count;
    char *steps_text; /* "0,3,6,9" */
    bool rotates;     /* queue_order_strategy round_robin; else always in their order */
    bool sorted;      /* by name */
} rq_settings;

typedef struct rq_broker rq_broker;
typedef struct rq_consumer rq_consumer;
typedef struct rq_delivery rq_delivery;
typedef struct rq_pulse rq_pulse;

/* Messages taken by one call. Freed with its last delivery. */
typedef struct rq_claim {
    uint64_t seq;
    size_t left;       /* not settled */
    size_t sent;       /* of these: on their way */
    rq_delivery *acks; /* to be sent at the end of the turn */
    size_t ack_count;
    bool dirty;   /* in the list of those that have acks */
    bool dropped; /* the server forgets it with what is on its way */
    struct rq_claim *prev, *next;
} rq_claim;

typedef enum rq_state {
    RQ_OUT,      /* the holder's */
    RQ_ACCEPTED, /* acknowledged early: the holder's, nothing is to be sent */
    RQ_SETTLED,  /* on its way, or about to be */
} rq_state;

struct rq_delivery {
    cel_delivery base;
    rq_delivery *prev, *next; /* in broker->deliveries */
    rq_delivery *link;        /* in the list of what is to be sent, told or tried again */
    rq_consumer *consumer;    /* NULL once it is cancelled */
    rq_claim *claim;          /* NULL: not registered (replies, fanout) */
    cel_view tag;
    cel_view list; /* where it was taken from; with the bytes */
    char place;    /* the letter of its step */
    rq_state state;
    char verb;       /* of the settlement, see redis_lua.c */
    bool early;      /* its acknowledgement is an early one: it is not freed by it */
    bool early_done; /* ... and is answered */
    bool in_vain;    /* the holder wanted something else */
    cel_code code;
    cel_broker_cb cb;
    void *user;
    int64_t eta_ms;
    size_t bytes_len;
    char bytes[];
};

struct rq_consumer {
    rq_broker *broker;
    rq_consumer *prev, *next;
    cel_consumer_options options; /* its queues point into `names` */
    cel_view *queues;             /* lists to be claimed from */
    size_t queue_count;
    cel_view *channels; /* pairs: the pattern of a fanout exchange, the queue */
    size_t channel_count;
    char *names;                /* owned: what the views above point into */
    cel_view *lists;            /* by step and queue; they point into head */
    cel__buf head, tail;        /* the words of a claim that are the same each time */
    cel__redis_request request; /* of the claim under way */
    bool claiming, wanted;      /* a claim is under way; is to be sent in this turn */
    bool again;                 /* woken since the last claim was sent */
    bool idle;                  /* nothing there: to be woken */
    bool arm, armed; /* the next claim asks to be told of changes; the one under way does */
    bool cancelled, forgotten, timer_closed;
    bool told_error;
    size_t out;             /* takes room of the window */
    size_t asked;           /* by the claim under way */
    size_t turn;            /* which queue is first */
    uint64_t seq;           /* of the claim under way */
    bool unsure;            /* the last claim got no answer: it may have been done */
    size_t returning;       /* what was given back for it */
    rq_delivery *held_back; /* fanout: came when the window was full */
    size_t held_count;
    uv_timer_t timer;
    void (*done)(void *user);
    void *done_user;
};

struct rq_broker {
    cel_broker base;
    uv_loop_t *loop;
    const cel_clock *clock;
    const cel_log *log;
    cel__redis_url url;
    rq_settings settings;
    bool threaded;
    bool warned; /* of settings of the server */
    int64_t lease_ms;
    bool (*describe)(const void *user, cel_view queue, cel_queue_decl *out);
    void (*queues_of)(const void *user,
                      cel_view exchange,
                      void (*each)(void *to, cel_view queue),
                      void *to);
    const void *describe_user;
    cel__lua scripts[RQ_SCRIPTS];
    cel__buf greeting;
    cel__redis *commands;
    cel__redis *listener; /* made with the first consumer */
    int64_t listener_id;  /* what the server calls it; 0: not known */
    bool tracking;        /* the server tells the listener of changes */
    bool outage;          /* the commands' connection is down */
    bool outage_told;     /* consumers were told */
    cel_error outage_error;
    rq_pulse *pulse;
    char owner[CEL_UUID_LEN + 1];
    uint64_t claims, batches; /* numbers given */
    struct rq_known *known;   /* what was declared on this connection */
    rq_consumer *consumers;
    rq_delivery *deliveries;
    rq_claim *dirty;    /* claims with acks to send */
    rq_claim *drops;    /* claims to be forgotten */
    rq_delivery *verbs; /* other settlements to send */
    rq_delivery **verbs_end;
    rq_delivery *to_tell; /* settled without a server */
    rq_delivery *retries; /* nobody waits for them: tried again */
    uv_timer_t tell_timer, retry_timer, news_timer;
    size_t pending;                    /* what must end before the close */
    bool closing, closed_own, leaving; /* asked to; what was out is being put back; the rest */
    size_t ends;                       /* handles and connections that close */
    void (*closed)(void *user);
    void *closed_user;
};

/* ---- redis_lua.c ---- */
/* Makes the scripts and appends the commands that load them. They are freed in any case. */
cel_code cel__rq_init_scripts(cel__lua scripts[RQ_SCRIPTS], cel__buf *greeting, cel_error *err);
void cel__rq_free_scripts(cel__lua scripts[RQ_SCRIPTS]);

/* ---- redis_settings.c ---- */
/* `options` is a JSON object, or NULL. CEL_ECONFIG. */
cel_code cel__rq_settings_read(rq_settings *out,
                               const json_t *options,
                               const cel__redis_url *url,
                               cel_error *err);
void cel__rq_settings_done(rq_settings *settings);
/* Which step of settings->steps a priority has. */
size_t cel__rq_step(const rq_settings *settings, int priority);
/* Appends the name of a queue's list, as a word of a command. */
void cel__rq_list_word(cel__buf *buf, const rq_settings *settings, cel_view queue, size_t step);

/* ---- redis_message.c ---- */
/* Appends the envelope of kombu. CEL_EINVAL if it is no JSON. */
void cel__rq_envelope(cel__buf *buf, const cel_message *message);
/* The delivery tag as the scripts find it; absent if there is none. */
cel_view cel__rq_tag(cel_view text);
/* Makes a delivery of an envelope that came from `list` for `queue`. CEL_EPROTO, CEL_ENOMEM. */
cel_code cel__rq_delivery_new(rq_delivery **out, cel_view text, cel_view queue, cel_error *err);

/* ---- redis_publish.c ---- */
cel_code cel__rq_publish(cel_broker *broker,
                         const cel_message *messages,
                         size_t count,
                         cel_broker_cb cb,
                         void *user,
                         cel_error *err);
/* Declares a queue, once per connection: the bindings by which others find it. */
void cel__rq_declare(rq_broker *broker, cel_view queue);
void cel__rq_forget_declared(rq_broker *broker);
/* Binds the queue of a consumer that listens to a direct exchange, or ends that. */
void cel__rq_bind_listener(rq_consumer *consumer, bool bound);
/* How the queue is described; false if it is not. */
bool cel__rq_describe(const rq_broker *broker, cel_view queue, cel_queue_decl *out);
/* Appends the channel of a fanout exchange. */
void cel__rq_channel(cel__buf *buf,
                     const rq_settings *settings,
                     cel_view exchange,
                     cel_view key);

/* ---- redis_consume.c ---- */
cel_code cel__rq_consume(cel_consumer **out,
                         cel_broker *broker,
                         const cel_consumer_options *options,
                         cel_error *err);
void cel__rq_cancel(cel_consumer *consumer, void (*done)(void *user), void *user);
void cel__rq_set_window(cel_consumer *consumer, size_t window);
/* Lets all consumers look again. */
void cel__rq_wake_all(rq_broker *broker);
/* Looks what the consumer's window takes, at the end of the turn. */
void cel__rq_pump(rq_consumer *consumer);
/* The end of a turn: sends the claims that are wanted. */
void cel__rq_send_claims(rq_broker *broker);
/* Hands a fanout message over, or holds it back. */
void cel__rq_hand_over(rq_consumer *consumer, rq_delivery *delivery);
void cel__rq_free_consumer(rq_consumer *consumer);
void cel__rq_finish_cancel(rq_consumer *consumer);

/* ---- redis_listen.c ---- */
/* Makes the listener if there is none; subscribes what the consumer wants. */
cel_code cel__rq_listen(rq_broker *broker, rq_consumer *consumer, cel_error *err);
void cel__rq_unlisten(rq_broker *broker, rq_consumer *consumer);
/* The commands' connection is up: it is told whom to tell. */
void cel__rq_track(rq_broker *broker);

/* ---- redis_settle.c ---- */
cel_code cel__rq_accept(cel_delivery *delivery, cel_error *err);
void cel__rq_ack(cel_delivery *delivery, cel_broker_cb cb, void *user);
void cel__rq_reject(cel_delivery *delivery, bool requeue, cel_broker_cb cb, void *user);
void cel__rq_release(cel_delivery *delivery, cel_broker_cb cb, void *user);
void cel__rq_settle(rq_delivery *delivery, char verb, cel_broker_cb cb, void *user);
/* The end of a turn: sends what was settled. */
void cel__rq_send_settled(rq_broker *broker);
void cel__rq_free_delivery(rq_delivery *delivery);
/* Forgets one that nobody settles any more. */
void cel__rq_drop_delivery(rq_delivery *delivery);
void cel__rq_on_tell(uv_timer_t *timer);
void cel__rq_on_retry(uv_timer_t *timer);

/* ---- redis_pulse.c ---- */
/* Starts to say that the owner lives, to renew its scores, and to look after the dead; with
 * `threaded` on a thread of its own, so that a busy loop does not look dead. */
cel_code cel__rq_pulse_start(rq_broker *broker, cel_error *err);
/* Names what is consumed; any number of times. At once where the loop is the broker's. */
void cel__rq_pulse_add(rq_pulse *pulse, char kind, cel_view queue);
void cel__rq_pulse_remove(rq_pulse *pulse, char kind, cel_view queue);
void cel__rq_pulse_stop(rq_pulse *pulse, void (*stopped)(void *user), void *user);

/* ---- redis_admin.c ---- */
cel_code cel__rq_purge(cel_broker *broker,
                       cel_view queue,
                       void (*cb)(void *user, int64_t count, const cel_error *err),
                       void *user,
                       cel_error *err);
cel_code
cel__rq_queues(cel_broker *broker,
               cel_view queue,
               void (*cb)(void *user, const cel_queue_info *info, const cel_error *err),
               void *user,
               cel_error *err);

/* ---- redis.c ---- */
cel_code cel__rq_check_queue(cel_view name, cel_error *err);
/* Begins a call of a script. */
void cel__rq_call(
    rq_broker *broker, cel__buf *command, rq_script script, size_t keys, size_t args);
void cel__rq_word(cel__buf *command, const char *text);
void cel__rq_seconds(cel__buf *command, int64_t ms);
/* Sends; keeps the broker from closing until cel__rq_answered(). */
cel_code
cel__rq_send(rq_broker *broker, cel__redis_request *request, cel__buf *command, cel_error *err);
void cel__rq_answered(rq_broker *broker);
/* Sends a command whose answer nobody waits for. */
void cel__rq_do(rq_broker *broker, cel__buf *command);
void cel__rq_check_closed(rq_broker *broker);

#endif
