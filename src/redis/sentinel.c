/* sentinel.c - see sentinel.h. For each sentinel a connection is made, asked and closed; what came
 * of it is looked at when it is closed. */
#include "redis/sentinel.h"

#include <stdlib.h>

#include "core/mem.h"

#define ANSWER_MS 2000

struct cel__sentinel {
    cel__redis_options options;
    cel__redis_request request;
    cel__redis_url url; /* of the one that is asked: its host is borrowed */
    cel__redis *conn;
    size_t asked; /* how many were */
    char *host;   /* the master's, once it is known; owned */
    int port;
    bool closing, cancelled;
    cel_error err;
    void (*found)(void *user, const char *host, int port, const cel_error *err);
    void *user;
};

static cel_code ask_next(cel__sentinel *sentinel, cel_error *err);

static void finish(cel__sentinel *sentinel)
{
    if (sentinel->host)
        sentinel->found(sentinel->user, sentinel->host, sentinel->port, NULL);
    else
        sentinel->found(sentinel->user, NULL, 0, &sentinel->err);
    cel__free(sentinel->host);
    cel__free(sentinel);
}

static void on_closed(void *user)
{
    cel__sentinel *sentinel = user;

    sentinel->conn = NULL;
    sentinel->closing = false;
    if (sentinel->cancelled)
        cel_error_set(&sentinel->err, CEL_ECANCELED, "the connection was closed");
    else if (!sentinel->host && sentinel->asked < sentinel->options.url->sentinel_count &&
             ask_next(sentinel, &sentinel->err) == CEL_OK)
        return;
    finish(sentinel);
}

static void close_conn(cel__sentinel *sentinel)
{
    if (sentinel->closing || !sentinel->conn)
        return;
    sentinel->closing = true;
    cel__redis_close(sentinel->conn, on_closed, sentinel);
}

static void
on_answer(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    cel__sentinel *sentinel =
        (cel__sentinel *)((char *)request - offsetof(cel__sentinel, request));
    const cel__redis_url *url = sentinel->options.url;

    if (sentinel->closing)
        return;
    if (err) {
        sentinel->err = *err;
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
               reply->element[0]->type == REDIS_REPLY_STRING &&
               reply->element[1]->type == REDIS_REPLY_STRING) {
        sentinel->host = cel__strdup(reply->element[0]->str);
        sentinel->port = (int)strtol(reply->element[1]->str, NULL, 10);
        if (!sentinel->host)
            cel_error_set(&sentinel->err, CEL_ENOMEM, "no memory to connect to Redis");
    } else {
        cel_error_set(&sentinel->err, CEL_ECONN,
                      "the sentinel at %s:%d knows no master '%.60s'", sentinel->url.host,
                      sentinel->url.port, url->master_name);
    }
    close_conn(sentinel);
}

static cel_code ask_next(cel__sentinel *sentinel, cel_error *err)
{
    const cel__redis_url *url = sentinel->options.url;
    const cel__redis_place *place = url->sentinels + sentinel->asked++;
    cel__redis_options link = {.url = &sentinel->url,
                               .loop = sentinel->options.loop,
                               .clock = sentinel->options.clock,
                               .log = sentinel->options.log,
                               .what = "a sentinel",
                               .quiet = true};
    cel__buf command = {0};
    cel_code code;

    sentinel->url = (cel__redis_url){.host = place->host,
                                     .port = place->port,
                                     .password = url->sentinel_password,
                                     .timeout_ms = ANSWER_MS,
                                     .shown = url->shown};
    code = cel__redis_new(&sentinel->conn, &link, err);
    if (code != CEL_OK)
        return code;
    sentinel->request = (cel__redis_request){.done = on_answer};
    cel__redis_begin(&command, 3);
    cel__redis_word(&command, CEL_VIEW("SENTINEL"));
    cel__redis_word(&command, CEL_VIEW("get-master-addr-by-name"));
    cel__redis_word(&command, cel__view(url->master_name));
    if (cel__redis_send(sentinel->conn, &sentinel->request, &command, &sentinel->err) != CEL_OK)
        close_conn(sentinel); /* on_closed() goes on */
    return CEL_OK;
}

cel_code
cel__sentinel_ask(cel__sentinel **out,
                  const cel__redis_options *options,
                  void (*found)(void *user, const char *host, int port, const cel_error *err),
                  void *user,
                  cel_error *err)
{
    cel__sentinel *sentinel;
    cel_code code;

    if (!options->url->master_name)
        return cel_error_set(err, CEL_ECONFIG,
                             "sentinel://: the master's name is missing (?master_name=NAME, or "
                             "master_name in broker_transport_options)");
    sentinel = cel__calloc(1, sizeof *sentinel);

    if (!sentinel)
        return cel_error_set(err, CEL_ENOMEM, "no memory to connect to Redis");
    sentinel->options = *options;
    sentinel->found = found;
    sentinel->user = user;
    code = ask_next(sentinel, err);
    if (code == CEL_OK)
        *out = sentinel;
    else
        cel__free(sentinel);
    return code;
}

void cel__sentinel_cancel(cel__sentinel *sentinel)
{
    sentinel->cancelled = true;
    close_conn(sentinel);
}
