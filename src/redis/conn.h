/* conn.h - one connection to a Redis server that mends itself.
 *
 * Requests are pipelined: what is sent in one turn of the loop leaves in one write, and replies
 * come in order. When the connection is lost, what has not been answered is sent again on the
 * next one, so all commands sent here must be idempotent. A request that finds no server within
 * `timeout_ms` fails with CEL_ECONN (retriable; uncertain if it may have been run); at once if
 * no connection has ever succeeded, or the server refuses the login. Reconnects have a back-off
 * and go on until the close. An outage is logged when it begins and when it ends.
 *
 * The protocol is read with hiredis. Writing, connecting and name resolution are libuv's: the
 * asynchronous part of hiredis 0.14 resolves names on the loop's thread, has no time limit for
 * connecting and writes once per readiness, not once per turn.
 *
 * One loop; nothing here is thread-safe. Private to what speaks with Redis. */
#ifndef CEL_REDIS_CONN_H
#define CEL_REDIS_CONN_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include <uv.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/view.h"

typedef struct cel__redis cel__redis;
typedef struct cel__redis_request cel__redis_request;

/* Embedded in the caller's structure, which must live until `done`. */
struct cel__redis_request {
    /* Runs once, on the loop, never before the send has returned: with the reply (a view; no
     * error reply), or with `err`. May free the request, send others and close. */
    void (*done)(cel__redis_request *request, const redisReply *reply, const cel_error *err);
    /* private */
    char *bytes; /* owned: the command */
    size_t len;
    int64_t deadline_ms;
    bool sent; /* at least once */
    cel__redis_request *prev, *next;
};

typedef struct cel__redis_place {
    char *host;
    int port;
} cel__redis_place;

/* Where the server is; see cel__redis_url_read(). Strings are owned. */
typedef struct cel__redis_url {
    char *host; /* NULL: a socket's path */
    char *socket_path;
    char *user, *password; /* NULL: none */
    int port;
    int64_t db;
    int64_t timeout_ms;
    char *shown;                          /* for messages: without user and password */
    bool tls, verify, check_host;         /* the certificate's chain and name are checked */
    char *ca_file, *cert_file, *key_file; /* NULL: the system's; none; the certificate's */
    cel__redis_place *sentinels; /* who know where it is; then host and port mean nothing */
    size_t sentinel_count;
    char *master_name, *sentinel_password; /* NULL: not said yet; none */
} cel__redis_url;

/* Reads redis://[user][:password]@host:port/db, and redis+socket:///path?virtual_host=db,
 * socket:// or unix:///path?db=n. `?socket_timeout=seconds` sets timeout_ms (default 5 s).
 * rediss:// is TLS, with ssl_cert_reqs=required|none (default required), ssl_check_hostname,
 * ssl_ca_certs, ssl_certfile and ssl_keyfile.
 * sentinel://host:port;sentinel://host:port/db names sentinels: ?master_name= is needed, there or
 * by cel__redis_url_master(); user, password and database are those of the first.
 * CEL_ECONFIG for a database that is no number.
 * Messages show no password. The caller frees with cel__redis_url_done(). */
cel_code cel__redis_url_read(cel__redis_url *out, const char *text, cel_error *err);
void cel__redis_url_done(cel__redis_url *url);

/* Names the master that the sentinels are asked for, and the sentinels' password; NULL: leaves what
 * there is. */
cel_code cel__redis_url_master(cel__redis_url *url,
                               const char *name,
                               const char *password,
                               cel_error *err);

typedef struct cel__redis_options {
    const cel__redis_url *url; /* borrowed, as all here, until the close is over */
    uv_loop_t *loop;
    const cel_clock *clock;
    const cel_log *log;
    const char *what; /* for the log: "the result store" */
    /* Commands sent at the begin of each connection (their replies are ignored unless they say
     * that the server is not ready), built with cel__redis_begin(). */
    cel_view greeting;
    size_t greeting_count;
    bool quiet; /* outages are logged by another connection to the same server */
    /* Not NULL: the connection is for publish/subscribe. All replies go here; requests are sent
     * with cel__redis_write(). */
    void (*on_push)(void *user, const redisReply *reply);
    /* May be NULL. Called when a connection is up, before waiting requests are sent. */
    void (*on_up)(void *user);
    /* May be NULL. An outage begins: the connection was lost, or the first attempt failed. Not
     * retriable if the login or the database is refused. Must not close. */
    void (*on_down)(void *user, const cel_error *err);
    /* May be NULL. Called in every turn of the loop before what it has gathered is written: the
     * last chance to add to it. Must not close. */
    void (*on_turn)(void *user);
    void *user;
} cel__redis_options;

/* Connects, logs in and closes again, waiting for it at most the URL's timeout_ms. Tells whether
 * the server can be used: CEL_ECONN, CEL_EBUSY, or CEL_ECONFIG where it refuses the login, the
 * database or the user. Any thread. */
cel_code cel__redis_probe(const cel__redis_url *url, const cel_clock *clock, cel_error *err);

/* Starts to connect. The caller owns *out and ends it with cel__redis_close(). */
cel_code cel__redis_new(cel__redis **out, const cel__redis_options *options, cel_error *err);

/* Ends the connection; then all requests, with CEL_ECANCELED; then `closed`, never before the
 * return. */
void cel__redis_close(cel__redis *redis, void (*closed)(void *user), void *user);

bool cel__redis_is_up(const cel__redis *redis);

/* Sends one command and has it answered. Takes the content of `command`. CEL_ENOMEM; CEL_EINVAL
 * for a command beyond what a server takes (512 MiB); CEL_EFULL if too much is waiting. */
cel_code cel__redis_send(cel__redis *redis,
                         cel__redis_request *request,
                         cel__buf *command,
                         cel_error *err);

/* For publish/subscribe: sends what is in `commands` if the connection is up, else drops it
 * (on_up has its turn later). Empties the buffer. */
void cel__redis_write(cel__redis *redis, cel__buf *commands);

/* Build a command: its number of words, then each of them. */
void cel__redis_begin(cel__buf *command, size_t words);
void cel__redis_word(cel__buf *command, cel_view word);
void cel__redis_word2(cel__buf *command, cel_view head, cel_view tail); /* one word */
void cel__redis_int(cel__buf *command, int64_t number);

/* Fills in `err` with what an error reply means: a full memory or disk is CEL_EFULL, a server
 * that is loading or busy CEL_EBUSY, a refused login or a replica CEL_ECONN, all retriable; a
 * key of another type CEL_EPROTO; anything else CEL_EIO. */
cel_code cel__redis_error(cel_error *err, const redisReply *reply);

#endif
