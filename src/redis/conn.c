/* conn.c - see conn.h.
 *
 *      DOWN --timer--> RESOLVING --> CONNECTING --> GREETING --> UP
 *        ^                 |              |             |         |
 *        +-----------------+---- lose() --+-------------+---------+      any --> CLOSING
 *
 * A request is in `waiting` until it is written, then in `flying` until it is answered. lose()
 * puts what flies back in front of what waits. Each attempt to connect has its own `link`, so
 * that the handle of the last one may still be closing. `handles` counts what libuv still
 * holds; at the close, the last one gone ends it. */
#include "redis/conn.h"

#include <assert.h>
#include <string.h>

#include <utlist.h>

#include "core/id.h"
#include "core/mem.h"
#include "redis/sentinel.h"
#include "redis/tls.h"

#define RETRY_MIN_MS   50
#define RETRY_MAX_MS   5000
#define TICK_MS        100
#define PING_MS        10000
#define READ_SIZE      65536
#define WRITE_SIZE     ((size_t)1 << 20) /* how much is gathered for one write */
#define MAX_COMMAND    ((size_t)512 << 20)
#define MAX_WAITING    ((size_t)512 << 20) /* bytes of requests that are not answered */
#define READER_MAX_BUF ((size_t)1 << 20)
#define TLS_TEXT       ((size_t)65536)

typedef enum link_state {
    REDIS_DOWN,
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_GREETING,
    REDIS_UP,
    REDIS_CLOSING
} link_state;

/* One attempt to connect, and what came of it. */
struct link {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connect;
    cel__redis *redis;
    redisReader *reader;
    cel__tls *tls; /* NULL: none */
    bool secured;  /* its handshake is over */
    bool closing;
};

struct write {
    uv_write_t req;
    char *bytes;
};

struct cel__redis {
    cel__redis_options opts;
    link_state state;
    struct link *link;        /* CONNECTING to UP */
    uv_getaddrinfo_t resolve; /* RESOLVING */
    cel__sentinel *asking;    /* RESOLVING, or cancelled: where the master is */
    char *master;             /* what it has said; owned */
    int master_port;
    uv_timer_t retry_timer; /* DOWN: until the next attempt; then how long it may take */
    uv_timer_t tick_timer;  /* while something waits or flies, and for pings */
    uv_prepare_t prepare;   /* these two write what the turn has gathered */
    uv_check_t check;
    size_t handles;
    cel__redis_request *waiting, *flying;
    size_t unanswered_bytes;
    cel__buf out;              /* what goes out next */
    cel__buf wire;             /* with TLS: the same, encrypted */
    cel__tls_context *tls;     /* NULL: none */
    size_t writing;            /* writes on their way */
    size_t greeted, greetings; /* replies of the greeting that have come, and in all */
    int64_t retry_ms;
    int64_t heard_ms;  /* when the server was heard last, or first asked */
    int64_t pinged_ms; /* publish/subscribe: when it was asked for a sign of life */
    bool ever_up, outage, resolving;
    char *read_buf;
    void (*closed)(void *user);
    void *closed_user;
};

static void lose(cel__redis *redis, const cel_error *why);

static int64_t now_ms(const cel__redis *redis)
{
    return cel__clock_mono_ms(redis->opts.clock);
}

/* ---- the end of requests ---- */

static void end_request(cel__redis *redis,
                        cel__redis_request *request,
                        const redisReply *reply,
                        const cel_error *err)
{
    redis->unanswered_bytes -= request->len;
    cel__free(request->bytes);
    request->bytes = NULL;
    request->done(request, reply, err);
}

static void fail_request(cel__redis *redis, cel__redis_request *request, const cel_error *why)
{
    cel_error err = *why;

    err.uncertain = request->sent;
    end_request(redis, request, NULL, &err);
}

/* Fails what waits: all of it, or what has waited long enough. Callbacks may add to the list,
 * so it is taken out first. */
static void fail_waiting(cel__redis *redis, const cel_error *why, bool all)
{
    cel__redis_request *list = redis->waiting, *request, *next;
    int64_t now = now_ms(redis);

    redis->waiting = NULL;
    DL_FOREACH_SAFE(list, request, next)
    {
        if (!all && request->deadline_ms > now)
            continue;
        DL_DELETE(list, request);
        fail_request(redis, request, why);
    }
    DL_CONCAT(list, redis->waiting);
    redis->waiting = list;
}

/* ---- the end of everything ---- */

static void drop_handle(cel__redis *redis)
{
    cel_error err;

    assert(redis->handles > 0);
    if (--redis->handles > 0 || redis->state != REDIS_CLOSING || redis->resolving)
        return;
    cel_error_set(&err, CEL_ECANCELED, "%s was closed", redis->opts.what);
    while (redis->waiting)
        fail_waiting(redis, &err, true);
    if (redis->closed)
        redis->closed(redis->closed_user);
    cel__buf_done(&redis->out);
    cel__buf_done(&redis->wire);
    cel__tls_context_free(redis->tls);
    cel__free(redis->master);
    cel__free(redis->read_buf);
    cel__free(redis);
}

static void on_handle_closed(uv_handle_t *handle)
{
    drop_handle(handle->data);
}

static void on_link_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    cel__redis *redis = link->redis;

    if (link->reader)
        redisReaderFree(link->reader);
    cel__tls_free(link->tls);
    cel__free(link);
    drop_handle(redis);
}

/* Ends the link; what flew is to be sent again. */
static void cut(cel__redis *redis)
{
    struct link *link = redis->link;

    redis->link = NULL;
    cel__buf_reset(&redis->out);
    cel__buf_reset(&redis->wire);
    DL_CONCAT(redis->flying, redis->waiting);
    redis->waiting = redis->flying;
    redis->flying = NULL;
    if (!link || link->closing)
        return;
    link->closing = true;
    uv_close((uv_handle_t *)&link->uv.stream, on_link_closed);
}

void cel__redis_close(cel__redis *redis, void (*closed)(void *user), void *user)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&redis->retry_timer,
                              (uv_handle_t *)&redis->tick_timer, (uv_handle_t *)&redis->prepare,
                              (uv_handle_t *)&redis->check};

    assert(redis->state != REDIS_CLOSING);
    redis->state = REDIS_CLOSING;
    redis->closed = closed;
    redis->closed_user = user;
    cut(redis);
    if (redis->asking)
        cel__sentinel_cancel(redis->asking);
    if (redis->resolving)
        uv_cancel((uv_req_t *)&redis->resolve);
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], on_handle_closed);
}

/* ---- writing ---- */

static void on_written(uv_write_t *req, int status)
{
    struct write *write = (struct write *)req;
    struct link *link = req->handle->data;
    cel__redis *redis = link->redis;
    cel_error err;

    cel__free(write->bytes);
    cel__free(write);
    redis->writing--;
    if (link != redis->link || status == 0)
        return;
    cel_error_set(&err, CEL_ECONN, "the connection to %s was lost: %s", redis->opts.url->shown,
                  uv_strerror(status));
    lose(redis, &err);
}

static void gather(cel__redis *redis)
{
    while (redis->waiting && redis->out.len < WRITE_SIZE) {
        cel__redis_request *request = redis->waiting;

        cel__buf_add(&redis->out, request->bytes, request->len);
        if (redis->out.failed)
            return;
        DL_DELETE(redis->waiting, request);
        DL_APPEND(redis->flying, request);
        request->sent = true;
    }
}

/* What the socket does not take at once is handed to libuv. */
static cel_code write_out(cel__redis *redis, cel__buf *out, cel_error *err)
{
    uv_stream_t *stream = &redis->link->uv.stream;
    uv_buf_t buf = uv_buf_init(out->ptr, (unsigned)out->len);
    int wrote = out->len ? uv_try_write(stream, &buf, 1) : 0;
    struct write *write;

    if (wrote == (int)out->len) {
        out->len = 0;
        return CEL_OK;
    }
    if (wrote < 0 && wrote != UV_EAGAIN)
        return cel_error_set(err, CEL_ECONN, "the connection to %s was lost: %s",
                             redis->opts.url->shown, uv_strerror(wrote));
    write = cel__calloc(1, sizeof *write);
    if (!write)
        return cel_error_set(err, CEL_ENOMEM, "no memory to write to Redis");
    wrote = wrote < 0 ? 0 : wrote;
    buf = uv_buf_init(out->ptr + wrote, (unsigned)(out->len - (size_t)wrote));
    write->bytes = out->ptr;
    out->ptr = NULL;
    out->len = out->cap = 0;
    redis->writing++;
    if (uv_write(&write->req, stream, &buf, 1, on_written) == 0)
        return CEL_OK;
    redis->writing--;
    cel__free(write->bytes);
    cel__free(write);
    return cel_error_set(err, CEL_ECONN, "the connection to %s was lost",
                         redis->opts.url->shown);
}

/* Writes what has been gathered, encrypted where there is TLS. */
static cel_code write_gathered(cel__redis *redis, cel_error *err)
{
    cel__tls *tls = redis->link->tls;
    cel_code code;

    if (!tls)
        return write_out(redis, &redis->out, err);
    code = cel__tls_write(tls, redis->out.ptr, redis->out.len, &redis->wire, err);
    redis->out.len = 0;
    return code == CEL_OK ? write_out(redis, &redis->wire, err) : code;
}

static void flush(cel__redis *redis)
{
    cel_code code = CEL_OK;
    cel_error err;

    while (code == CEL_OK && redis->state >= REDIS_GREETING && redis->state <= REDIS_UP &&
           redis->writing == 0) {
        if (redis->out.len == 0 && !redis->flying)
            redis->heard_ms = now_ms(redis); /* the silence begins */
        if (redis->state == REDIS_UP && !redis->opts.on_push)
            gather(redis);
        if (redis->out.failed)
            code = cel_error_set(&err, CEL_ENOMEM, "no memory to write to Redis");
        else if (redis->out.len == 0 && redis->wire.len == 0)
            return;
        else
            code = write_gathered(redis, &err);
    }
    if (code != CEL_OK)
        lose(redis, &err);
}

static void end_turn(cel__redis *redis)
{
    if (redis->opts.on_turn)
        redis->opts.on_turn(redis->opts.user);
    flush(redis);
}

static void on_prepare(uv_prepare_t *prepare)
{
    end_turn(prepare->data);
}

static void on_check(uv_check_t *check)
{
    end_turn(check->data);
}

/* ---- reading ---- */

static void log_outage(cel__redis *redis, const cel_error *why)
{
    if (redis->outage)
        return;
    redis->outage = true;
    if (!redis->opts.quiet)
        cel__err(redis->opts.log, "%s %s is out of reach, trying again: %s", redis->opts.what,
                 redis->opts.url->shown, why->message);
    if (redis->opts.on_down)
        redis->opts.on_down(redis->opts.user, why);
}

static void start_tick(cel__redis *redis);

static void come_up(cel__redis *redis)
{
    redis->state = REDIS_UP;
    redis->retry_ms = 0;
    redis->ever_up = true;
    uv_timer_stop(&redis->retry_timer);
    if (redis->outage && !redis->opts.quiet)
        cel__warning(redis->opts.log, "%s %s is reachable again", redis->opts.what,
                     redis->opts.url->shown);
    redis->outage = false;
    redis->pinged_ms = 0;
    if (redis->opts.on_push)
        start_tick(redis);
    if (redis->opts.on_up)
        redis->opts.on_up(redis->opts.user);
    if (redis->state == REDIS_UP)
        flush(redis);
}

/* A refused login or database ends the attempt, as does a server that is not ready. Of the
 * rest of the greeting an old server, or one with narrow rights, may refuse what it likes. */
static void take_greeting(cel__redis *redis, const redisReply *reply)
{
    size_t own = (redis->opts.url->password != NULL) + (redis->opts.url->db > 0);
    size_t which = redis->greeted++;
    cel_error err;

    if (reply->type == REDIS_REPLY_ERROR) {
        cel_code code = cel__redis_error(&err, reply);

        if (which < own || code != CEL_EIO) {
            redis->ever_up = redis->ever_up && code == CEL_EBUSY; /* ask no one to wait */
            err.retriable = code != CEL_ECONN || strstr(reply->str, "MASTERDOWN");
            lose(redis, &err);
            return;
        }
    }
    if (redis->greeted == redis->greetings)
        come_up(redis);
}

static void take_answer(cel__redis *redis, const redisReply *reply)
{
    cel__redis_request *request = redis->flying;
    cel_error err;

    if (!request) {
        cel_error_set(&err, CEL_ECONN, "%s answers what it was not asked",
                      redis->opts.url->shown);
        lose(redis, &err);
        return;
    }
    if (reply->type != REDIS_REPLY_ERROR) {
        DL_DELETE(redis->flying, request);
        end_request(redis, request, reply, NULL);
        return;
    }
    cel__redis_error(&err, reply);
    if (strncmp(reply->str, "NOSCRIPT", 8) == 0 && request->deadline_ms > now_ms(redis)) {
        lose(redis, &err); /* the next greeting loads them */
        return;
    }
    DL_DELETE(redis->flying, request);
    if (err.code == CEL_ECONN) {
        struct link *link = redis->link;
        cel_error why = err;

        /* Another login or server is wanted. It is lost first: the request may close. */
        fail_request(redis, request, &err);
        if (link == redis->link && redis->state == REDIS_UP &&
            strncmp(reply->str, "NOPERM", 6) != 0)
            lose(redis, &why);
        return;
    }
    end_request(redis, request, NULL, &err);
}

static void take_reply(cel__redis *redis, const redisReply *reply)
{
    if (redis->state == REDIS_GREETING)
        take_greeting(redis, reply);
    else if (redis->opts.on_push)
        redis->opts.on_push(redis->opts.user, reply);
    else
        take_answer(redis, reply);
}

/* Each reply may end the link, or the whole. */
static void take_bytes(struct link *link, const char *bytes, size_t len)
{
    cel__redis *redis = link->redis;
    cel_error err;
    void *reply = NULL;
    int bad = redisReaderFeed(link->reader, bytes, len);

    while (bad == REDIS_OK && redis->link == link) {
        bad = redisReaderGetReply(link->reader, &reply);
        if (bad != REDIS_OK || !reply)
            break;
        take_reply(redis, reply);
        freeReplyObject(reply);
        reply = NULL;
    }
    if (bad == REDIS_OK || redis->link != link)
        return;
    cel_error_set(&err, CEL_ECONN, "%s does not speak as Redis does: %s",
                  redis->opts.url->shown, link->reader->errstr);
    lose(redis, &err);
}

static void greet(cel__redis *redis);

/* Goes on with the handshake, if it is not over. False if the link has ended, or must wait. */
static bool shake_hands(struct link *link)
{
    cel__redis *redis = link->redis;
    bool done = true;
    cel_error err;
    cel_code code = CEL_OK;

    if (!link->secured)
        code = cel__tls_step(link->tls, &redis->wire, &done, &err);
    if (code == CEL_OK && redis->writing == 0)
        code = write_out(redis, &redis->wire, &err);
    if (code != CEL_OK) {
        if (!err.retriable)
            redis->ever_up = false; /* ask no one to wait */
        lose(redis, &err);
        return false;
    }
    if (done && !link->secured) {
        link->secured = true;
        greet(redis);
    }
    return done && redis->link == link;
}

static void take_encrypted(struct link *link, const char *bytes, size_t len)
{
    cel__redis *redis = link->redis;
    char *text = cel__malloc(TLS_TEXT);
    cel_error err;
    cel_code code = text ? cel__tls_feed(link->tls, bytes, len, &err)
                         : cel_error_set(&err, CEL_ENOMEM, "no memory for TLS");

    if (code == CEL_OK && !shake_hands(link)) {
        cel__free(text);
        return;
    }
    while (code == CEL_OK && redis->link == link) {
        code = cel__tls_read(link->tls, text, TLS_TEXT, &len, &redis->wire, &err);
        if (code != CEL_OK || len == 0)
            break;
        take_bytes(link, text, len);
    }
    cel__free(text);
    if (code != CEL_OK && redis->link == link)
        lose(redis, &err);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    const struct link *link = handle->data;

    (void)suggested;
    *buf = uv_buf_init(link->redis->read_buf, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct link *link = stream->data;
    cel__redis *redis = link->redis;
    cel_error err;

    if (link != redis->link || count == 0)
        return;
    if (count > 0) {
        redis->heard_ms = now_ms(redis);
        redis->pinged_ms = 0;
        if (link->tls)
            take_encrypted(link, buf->base, (size_t)count);
        else
            take_bytes(link, buf->base, (size_t)count);
        return;
    }
    cel_error_set(&err, CEL_ECONN, "the connection to %s was lost: %s", redis->opts.url->shown,
                  uv_strerror((int)count));
    lose(redis, &err);
}

/* ---- connecting ---- */

static void greet(cel__redis *redis)
{
    const cel__redis_url *url = redis->opts.url;

    redis->state = REDIS_GREETING;
    redis->greeted = redis->greetings = 0;
    if (url->password) {
        cel__redis_begin(&redis->out, url->user ? 3 : 2);
        cel__redis_word(&redis->out, CEL_VIEW("AUTH"));
        if (url->user)
            cel__redis_word(&redis->out, cel__view(url->user));
        cel__redis_word(&redis->out, cel__view(url->password));
        redis->greetings++;
    }
    if (url->db > 0) {
        cel__redis_begin(&redis->out, 2);
        cel__redis_word(&redis->out, CEL_VIEW("SELECT"));
        cel__redis_int(&redis->out, url->db);
        redis->greetings++;
    }
    cel__buf_add(&redis->out, "*1\r\n$4\r\nPING\r\n", 14); /* one reply there always is */
    cel__buf_add_view(&redis->out, redis->opts.greeting);
    redis->greetings += 1 + redis->opts.greeting_count;
    flush(redis);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct link *link = connect->handle->data;
    cel__redis *redis = link->redis;
    cel_error err;

    if (link != redis->link)
        return;
    if (status == 0)
        status = uv_read_start(&link->uv.stream, on_alloc, on_read);
    if (status == 0) {
        if (link->tls)
            shake_hands(link);
        else
            greet(redis);
        return;
    }
    cel_error_set(&err, CEL_ECONN, "cannot connect to %s: %s", redis->opts.url->shown,
                  uv_strerror(status));
    lose(redis, &err);
}

static struct link *new_link(cel__redis *redis)
{
    struct link *link = cel__calloc(1, sizeof *link);

    if (!link)
        return NULL;
    link->redis = redis;
    link->reader = redisReaderCreate();
    if (!link->reader)
        goto fail;
    link->reader->maxbuf = READER_MAX_BUF;
    if (redis->tls && cel__tls_new(&link->tls, redis->tls, NULL) != CEL_OK)
        goto fail;
    if (redis->opts.url->socket_path ? uv_pipe_init(redis->opts.loop, &link->uv.pipe, 0)
                                     : uv_tcp_init(redis->opts.loop, &link->uv.tcp))
        goto fail;
    link->uv.stream.data = link;
    redis->handles++;
    redis->link = link;
    redis->state = REDIS_CONNECTING;
    return link;

fail:
    if (link->reader)
        redisReaderFree(link->reader);
    cel__tls_free(link->tls);
    cel__free(link);
    return NULL;
}

static void connect_to(cel__redis *redis, const struct sockaddr *address)
{
    struct link *link = new_link(redis);
    cel_error err;
    int rc = 0;

    if (!link) {
        cel_error_set(&err, CEL_ENOMEM, "no memory to connect to Redis");
        lose(redis, &err);
        return;
    }
    if (address) {
        uv_tcp_nodelay(&link->uv.tcp, 1);
        uv_tcp_keepalive(&link->uv.tcp, 1, 60);
        rc = uv_tcp_connect(&link->connect, &link->uv.tcp, address, on_connected);
    } else {
        uv_pipe_connect(&link->connect, &link->uv.pipe, redis->opts.url->socket_path,
                        on_connected);
    }
    if (rc == 0)
        return;
    cel_error_set(&err, CEL_ECONN, "cannot connect to %s: %s", redis->opts.url->shown,
                  uv_strerror(rc));
    lose(redis, &err);
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    cel__redis *redis = resolve->data;
    cel_error err;

    redis->resolving = false;
    if (redis->state == REDIS_RESOLVING) {
        if (status == 0) {
            connect_to(redis, found->ai_addr);
        } else {
            cel_error_set(&err, CEL_ECONN, "cannot find the host of %s: %s",
                          redis->opts.url->shown, uv_strerror(status));
            lose(redis, &err);
        }
    }
    uv_freeaddrinfo(found);
    drop_handle(redis);
}

static void resolve(cel__redis *redis)
{
    const char *host = redis->master ? redis->master : redis->opts.url->host;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[16];
    cel_error err;
    int rc;

    if (redis->resolving) /* the last attempt's, which had no time left, still runs */
        return;
    snprintf(port, sizeof port, "%d",
             redis->master ? redis->master_port : redis->opts.url->port);
    redis->resolve.data = redis;
    rc = uv_getaddrinfo(redis->opts.loop, &redis->resolve, on_resolved, host, port, &hints);
    if (rc == 0) {
        redis->resolving = true;
        redis->handles++;
        return;
    }
    cel_error_set(&err, CEL_ECONN, "cannot find the host of %s: %s", redis->opts.url->shown,
                  uv_strerror(rc));
    lose(redis, &err);
}

/* Addresses need no resolver, nor its thread. */
static void connect_host(cel__redis *redis)
{
    const cel__redis_url *url = redis->opts.url;
    const char *host = redis->master ? redis->master : url->host;
    int port = redis->master ? redis->master_port : url->port;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (url->socket_path)
        connect_to(redis, NULL);
    else if (uv_ip4_addr(host, port, &v4) == 0)
        connect_to(redis, (const struct sockaddr *)&v4);
    else if (uv_ip6_addr(host, port, &v6) == 0)
        connect_to(redis, (const struct sockaddr *)&v6);
    else
        resolve(redis);
}

static void on_master(void *user, const char *host, int port, const cel_error *err)
{
    cel__redis *redis = user;

    redis->asking = NULL;
    if (redis->state == REDIS_RESOLVING) {
        cel__free(redis->master);
        redis->master = cel__strdup(host);
        redis->master_port = port;
        if (redis->master) {
            connect_host(redis);
        } else {
            cel_error own;

            cel_error_set(&own, CEL_ECONN, "no sentinel of %s knows the master: %s",
                          redis->opts.url->shown, err ? err->message : "no memory");
            lose(redis, &own);
        }
    }
    drop_handle(redis);
}

static void connect_now(cel__redis *redis)
{
    cel_error err;

    redis->state = REDIS_RESOLVING;
    if (redis->opts.url->sentinel_count == 0) {
        connect_host(redis);
        return;
    }
    if (redis->asking) /* the last attempt's, which had no time left, still runs */
        return;
    if (cel__sentinel_ask(&redis->asking, &redis->opts, on_master, redis, &err) == CEL_OK)
        redis->handles++;
    else
        lose(redis, &err);
}

static void on_retry(uv_timer_t *timer)
{
    cel__redis *redis = timer->data;
    cel_error err;

    if (redis->state == REDIS_DOWN) {
        uv_timer_start(timer, on_retry, (uint64_t)redis->opts.url->timeout_ms, 0);
        connect_now(redis);
        return;
    }
    cel_error_set(&err, CEL_ECONN, "%s does not answer", redis->opts.url->shown);
    lose(redis, &err);
}

static void lose(cel__redis *redis, const cel_error *why)
{
    int64_t wait_ms;

    assert(redis->state != REDIS_CLOSING);
    redis->state = REDIS_DOWN;
    cut(redis);
    log_outage(redis, why);
    wait_ms = redis->retry_ms;
    redis->retry_ms = wait_ms ? wait_ms * 2 : RETRY_MIN_MS;
    if (redis->retry_ms > RETRY_MAX_MS)
        redis->retry_ms = RETRY_MAX_MS;
    if (wait_ms)
        wait_ms += (int64_t)(cel__random64() % (uint64_t)wait_ms) / 2;
    uv_timer_start(&redis->retry_timer, on_retry, (uint64_t)wait_ms, 0);
    fail_waiting(redis, why, !redis->ever_up);
}

/* ---- time ---- */

/* Asks who only listens for a sign of life, so that a dead connection is noticed. */
static void check_listener(cel__redis *redis, int64_t now)
{
    cel_error err;

    if (redis->pinged_ms && now - redis->pinged_ms > redis->opts.url->timeout_ms) {
        cel_error_set(&err, CEL_ECONN, "%s does not answer", redis->opts.url->shown);
        lose(redis, &err);
    } else if (!redis->pinged_ms && now - redis->heard_ms > PING_MS) {
        redis->pinged_ms = now;
        cel__buf_add(&redis->out, "*1\r\n$4\r\nPING\r\n", 14);
    }
}

static void on_tick(uv_timer_t *timer)
{
    cel__redis *redis = timer->data;
    int64_t now = now_ms(redis);
    cel_error err;

    if (redis->opts.on_push) {
        if (redis->state == REDIS_UP)
            check_listener(redis, now);
        return;
    }
    cel_error_set(&err, CEL_ECONN, "%s does not answer", redis->opts.url->shown);
    if (redis->state == REDIS_UP && redis->flying &&
        now - redis->heard_ms > redis->opts.url->timeout_ms)
        lose(redis, &err);
    else if (redis->state != REDIS_UP)
        fail_waiting(redis, &err, false);
    if (redis->state != REDIS_CLOSING && !redis->waiting && !redis->flying)
        uv_timer_stop(timer);
}

static void start_tick(cel__redis *redis)
{
    uint64_t period_ms = redis->opts.on_push ? 1000 : TICK_MS;

    if (!uv_is_active((uv_handle_t *)&redis->tick_timer))
        uv_timer_start(&redis->tick_timer, on_tick, period_ms, period_ms);
}

/* ---- the caller's side ---- */

cel_code cel__redis_new(cel__redis **out, const cel__redis_options *options, cel_error *err)
{
    cel__redis *redis = cel__calloc(1, sizeof *redis);

    if (redis)
        redis->read_buf = cel__malloc(READ_SIZE);
    if (!redis || !redis->read_buf) {
        cel__free(redis);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a connection to Redis");
    }
    if (options->url->tls) {
        cel_code code = cel__tls_context_new(&redis->tls, options->url, err);
        if (code != CEL_OK) {
            cel__free(redis->read_buf);
            cel__free(redis);
            return code;
        }
    }
    redis->opts = *options;
    uv_timer_init(options->loop, &redis->retry_timer); /* these four cannot fail */
    uv_timer_init(options->loop, &redis->tick_timer);
    uv_prepare_init(options->loop, &redis->prepare);
    uv_check_init(options->loop, &redis->check);
    redis->handles = 4;
    redis->retry_timer.data = redis->tick_timer.data = redis;
    redis->prepare.data = redis->check.data = redis;
    uv_prepare_start(&redis->prepare, on_prepare);
    uv_check_start(&redis->check, on_check);
    uv_timer_start(&redis->retry_timer, on_retry, 0, 0);
    *out = redis;
    return CEL_OK;
}

bool cel__redis_is_up(const cel__redis *redis)
{
    return redis->state == REDIS_UP;
}

cel_code cel__redis_send(cel__redis *redis,
                         cel__redis_request *request,
                         cel__buf *command,
                         cel_error *err)
{
    cel_code code = cel__buf_check(command, err);

    assert(redis->state != REDIS_CLOSING && !redis->opts.on_push);
    if (code == CEL_OK && command->len > MAX_COMMAND)
        code =
            cel_error_set(err, CEL_EINVAL, "%zu bytes are more than Redis takes", command->len);
    if (code == CEL_OK && redis->unanswered_bytes + command->len > MAX_WAITING + MAX_COMMAND)
        code = cel_error_set(err, CEL_EFULL, "too much waits for Redis");
    if (code != CEL_OK) {
        cel__buf_done(command);
        return code;
    }
    request->len = command->len;
    request->bytes = cel__buf_detach(command, NULL);
    request->sent = false;
    request->deadline_ms = now_ms(redis) + redis->opts.url->timeout_ms;
    redis->unanswered_bytes += request->len;
    DL_APPEND(redis->waiting, request);
    start_tick(redis);
    return CEL_OK;
}

void cel__redis_write(cel__redis *redis, cel__buf *commands)
{
    if (redis->state == REDIS_UP && !commands->failed)
        cel__buf_add_view(&redis->out, cel__buf_view(commands));
    cel__buf_done(commands);
}
