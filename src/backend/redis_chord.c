/* redis_chord.c - chords in Redis; the keys and the scripts are in redis_script.c.
 *
 * The part that completes a chord is told so by the script; then the parts, which are nobody
 * else's by now, are read and put together. From that moment until chord_done() the chord is
 * this backend's, which says that it lives by renewing a key: its lease. Who sweeps takes over
 * chords whose owner has no lease any more.
 *
 * A body may be long and there may be many parts, so it is sent with the first ones only: a
 * script that misses it asks for it. A call whose answer got lost is remembered: when the same
 * part comes again it bears the same token, and is told what the first call was not. */
#include <assert.h>
#include <stdio.h>

#include "backend/ready.h"
#include "backend/redis_impl.h"
#include "core/jscan.h"
#include "message/result.h"

#define LEASE_S     30
#define RENEW_MS    10000
#define DONE_KEPT_S 86400 /* a done chord's memory where nothing else expires */
#define CLAIM_MAX   20
#define UNSURE_MAX  10000

/* A part whose fate is unknown. */
struct unsure {
    char *name; /* owned: lengths and texts of group and task id */
    uint64_t token;
    bool lost;
    UT_hash_handle hh;
};

/* A part on its way, or a chord claimed by a sweep. */
typedef struct chord_op {
    cel__redis_request request;
    redis_backend *backend;
    cel_chord_cb cb;
    void *user;
    struct sweep *sweep; /* NULL: a part */
    uint64_t token;
    char *name;          /* see struct unsure */
    cel__buf text;       /* the part's texts, in a row */
    cel_chord_part part; /* views into text */
    cel__ready ready;
} chord_op;

struct sweep {
    cel__redis_request request;
    redis_backend *backend;
    cel_chord_cb cb;
    void *user;
    int64_t before_ms;
    size_t pending; /* chords that are being read */
    bool more;
    cel_error err; /* the first */
};

static cel_code fail_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory for the result store");
}

static int64_t now_ms(const redis_backend *backend)
{
    return cel__clock_wall_ms(backend->clock);
}

/* ---- the lease ---- */

void cel__redis_renew_lease(redis_backend *backend)
{
    cel__buf command = {0};

    cel__redis_begin(&command, 4);
    cel__redis_word(&command, CEL_VIEW("SETEX"));
    cel__redis_word2(&command, CEL_VIEW(CEL_REDIS_OWNER_KEY), cel__view(backend->owner));
    cel__redis_int(&command, LEASE_S);
    cel__redis_word(&command, CEL_VIEW("1"));
    cel__redis_do(backend, &command, NULL, NULL, NULL);
}

static void on_renew(uv_timer_t *timer)
{
    redis_backend *backend = timer->data;

    if (backend->undone == 0)
        uv_timer_stop(timer);
    else if (cel__redis_is_up(backend->commands))
        cel__redis_renew_lease(backend);
}

static void own_one(redis_backend *backend)
{
    if (backend->undone++ == 0 && !backend->closing)
        uv_timer_start(&backend->lease_timer, on_renew, RENEW_MS, RENEW_MS);
}

/* ---- what is unsure ---- */

void cel__redis_forget_unsure(redis_backend *backend)
{
    struct unsure *unsure, *next;

    HASH_ITER(hh, backend->unsure, unsure, next)
    {
        HASH_DEL(backend->unsure, unsure);
        cel__free(unsure->name);
        cel__free(unsure);
    }
}

/* Takes `name`. Without memory the chord is left to the sweep. */
static void remember_unsure(redis_backend *backend, char *name, uint64_t token)
{
    struct unsure *unsure = NULL;

    if (backend->unsure_count < UNSURE_MAX)
        unsure = cel__calloc(1, sizeof *unsure);
    if (!unsure) {
        cel__free(name);
        return;
    }
    unsure->name = name;
    unsure->token = token;
    HASH_ADD_KEYPTR(hh, backend->unsure, name, strlen(name), unsure);
    if (unsure->lost) {
        cel__free(unsure->name);
        cel__free(unsure);
        return;
    }
    backend->unsure_count++;
}

/* The token of the last try of the part, or a new one. */
static uint64_t token_of(redis_backend *backend, const char *name)
{
    struct unsure *unsure;
    uint64_t token;

    HASH_FIND(hh, backend->unsure, name, strlen(name), unsure);
    if (!unsure)
        return ++backend->tokens;
    token = unsure->token;
    HASH_DEL(backend->unsure, unsure);
    backend->unsure_count--;
    cel__free(unsure->name);
    cel__free(unsure);
    return token;
}

/* ---- a complete chord ---- */

/* What the texts of one member lie in. */
struct scratch {
    cel__buf decoded, strings;
};

/* One member: [1, id, state, result]. */
struct member {
    cel_view id, state, result;
};

static bool read_member(const redis_backend *backend,
                        struct member *member,
                        const redisReply *text,
                        struct scratch *bufs)
{
    cel_jvalue value = {CEL_JSON_ARRAY, {text->str, (size_t)text->len}}, parts[5];
    cel__buf *scratch = &bufs->strings;
    cel_jscan scan;
    size_t count = 0;

    cel__buf_reset(scratch);
    cel__buf_reset(&bufs->decoded);
    if (text->type != REDIS_REPLY_STRING ||
        cel__redis_decode(backend, &value.text, value.text, &bufs->decoded, NULL) != CEL_OK ||
        !cel__buf_reserve(scratch, value.text.len + 1))
        return false;
    cel__jscan_array(&scan, value);
    while (count < 5 && cel__jscan_next(&scan, &parts[count]))
        count++;
    if (scan.failed || count != 4 || parts[1].type != CEL_JSON_STRING ||
        parts[2].type != CEL_JSON_STRING)
        return false;
    *member = (struct member){cel__jscan_view(parts[1], scratch),
                              cel__jscan_view(parts[2], scratch), parts[3].text};
    return true;
}

/* What a peer has stored that is no part fails the chord: it would wait for ever else. */
static struct member unreadable(void)
{
    return (struct member){
        CEL_VIEW("?"), CEL_VIEW("FAILURE"),
        CEL_VIEW(
            "{\"exc_type\": \"ValueError\", \"exc_message\": [\"a part of the chord cannot "
            "be read\"], \"exc_module\": \"builtins\"}")};
}

static bool find_failed(const redis_backend *backend,
                        const redisReply *members,
                        cel__ready *ready,
                        struct scratch *scratch)
{
    for (size_t i = 0; i < members->elements; i++) {
        struct member member;

        if (!read_member(backend, &member, members->element[i], scratch))
            member = unreadable();
        if (!cel__state_failed(member.state))
            continue;
        cel__ready_set(ready, CEL_READY_FAILED_ID, member.id);
        cel__ready_set(ready, CEL_READY_FAILED_RESULT, member.result);
        return true;
    }
    return false;
}

static void gather(chord_op *op, const redisReply *members)
{
    struct scratch scratch = {0};
    cel__ready *ready = &op->ready;

    cel__ready_set(ready, CEL_READY_GID, op->part.gid);
    cel__ready_set(ready, CEL_READY_PARENT_ID, op->part.task_id);
    cel__ready_set(ready, CEL_READY_BODY, op->part.body);
    cel__ready_set(ready, CEL_READY_ROOT_ID, op->part.root_id);
    if (!find_failed(op->backend, members, ready, &scratch)) {
        cel__ready_begin_results(ready);
        for (size_t i = 0; i < members->elements; i++) {
            struct member member = unreadable();

            (void)read_member(op->backend, &member, members->element[i], &scratch);
            cel__ready_add_result(ready, member.result);
        }
        cel__ready_end_results(ready);
    }
    cel__buf_done(&scratch.decoded);
    cel__buf_done(&scratch.strings);
}

static void free_op(chord_op *op)
{
    cel__free(op->name);
    cel__buf_done(&op->text);
    cel__ready_done(&op->ready);
    cel__free(op);
}

static void end_chord_of_sweep(struct sweep *sweep, const cel_error *err);

static void end_op(chord_op *op, const cel_chord_ready *ready, const cel_error *err)
{
    struct sweep *sweep = op->sweep;

    if (!sweep && err && err->code != CEL_EINVAL && !op->backend->closing) {
        remember_unsure(op->backend, op->name, op->token);
        op->name = NULL;
    }
    if (op->cb && (!sweep || ready))
        op->cb(op->user, ready, err ? err->code : CEL_OK, err);
    free_op(op);
    if (sweep)
        end_chord_of_sweep(sweep, err);
}

static void
on_members(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    chord_op *op = (chord_op *)request;
    cel_chord_ready ready;
    cel_error wrong;

    if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)) {
        cel_error_set(&wrong, CEL_ENOENT, "the parts of a complete chord have expired");
        err = &wrong;
    }
    if (!err) {
        gather(op, reply);
        if (cel__ready_check(&op->ready, &wrong) != CEL_OK)
            err = &wrong;
    }
    if (err) {
        end_op(op, NULL, err);
        return;
    }
    cel__ready_show(&op->ready, &ready);
    own_one(op->backend);
    end_op(op, &ready, NULL);
}

static void add_parts_key(cel__buf *command, cel_view gid)
{
    cel__buf tail = {0};

    cel__buf_add_view(&tail, gid);
    cel__buf_add_str(&tail, ".p");
    cel__redis_word2(command, CEL_VIEW(CEL_REDIS_GROUP_KEY), cel__buf_view(&tail));
    if (tail.failed)
        command->failed = true;
    cel__buf_done(&tail);
}

static cel_code read_members(chord_op *op, cel_error *err)
{
    cel__buf command = {0};

    op->request.done = on_members;
    cel__redis_begin(&command, 4);
    cel__redis_word(&command, CEL_VIEW("ZRANGE"));
    add_parts_key(&command, op->part.gid);
    cel__redis_word(&command, CEL_VIEW("0"));
    cel__redis_word(&command, CEL_VIEW("-1"));
    return cel__redis_submit(op->backend, &op->request, &command, err);
}

/* ---- parts ---- */

/* Puts the texts, which may be views into anything, into `to` and lets the views point there. */
static bool keep_texts(cel__buf *to, cel_view *const *views, size_t count)
{
    size_t len = 0, at = 0;

    for (size_t i = 0; i < count; i++)
        len += views[i]->len;
    cel__buf_reset(to);
    if (!cel__buf_reserve(to, len + 1))
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t one = views[i]->len;

        if (!views[i]->ptr)
            continue;
        cel__buf_add_view(to, *views[i]);
        *views[i] = (cel_view){to->ptr + at, one};
        at += one;
    }
    return true;
}

static bool keep_part(chord_op *op)
{
    cel_view *const views[] = {&op->part.gid,    &op->part.task_id, &op->part.status,
                               &op->part.result, &op->part.body,    &op->part.root_id};

    return keep_texts(&op->text, views, sizeof views / sizeof *views);
}

static uint64_t hash_of(cel_view text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(0x100000001b3);
    return hash | 1;
}

/* Whether the body must be sent; notes that it was. */
static bool needs_body(redis_backend *backend, const cel_chord_part *part)
{
    uint64_t hash = hash_of(part->gid);
    uint64_t *seen = &backend->bodies[hash >> 32 & (CEL_REDIS_BODIES - 1)];

    if (*seen == hash)
        return false;
    *seen = hash;
    return true;
}

/* [1, id, state, result], as Python writes it; what tells one task from another is in front. */
static size_t add_member(cel__buf *member, const cel_chord_part *part)
{
    size_t head;

    cel__buf_add_str(member, "[1, ");
    cel__buf_add_json(member, part->task_id);
    cel__buf_add_str(member, ", ");
    head = member->len;
    cel__buf_add_json(member, part->status);
    cel__buf_add_str(member, ", ");
    cel__buf_add_view(member, part->result.len ? part->result : CEL_VIEW("null"));
    cel__buf_add_byte(member, ']');
    return head;
}

/* The same in the results' form. Of how it begins only the kind of the list differs from the form
 * of [1, id]; what is signed never begins alike, and so is known by its task's id alone. */
static cel_code encode_member(const redis_backend *backend,
                              cel__buf *member,
                              size_t *head,
                              const cel_chord_part *part,
                              cel_error *err)
{
    cel__buf json = {0}, front = {0};
    cel_view text, begin;
    size_t len = add_member(&json, part);
    cel_code code;

    code = cel__buf_check(&json, err);
    if (code == CEL_OK)
        code = cel__redis_encode(backend, &text, cel__buf_view(&json), member, err);
    if (code == CEL_OK && member->len == 0) { /* JSON */
        *member = json;
        *head = len;
        return CEL_OK;
    }
    json.len = len - 2;
    cel__buf_add_byte(&json, ']');
    if (code == CEL_OK)
        code = cel__redis_encode(backend, &begin, cel__buf_view(&json), &front, err);
    if (code == CEL_OK) {
        front.ptr[0] = member->ptr[0];
        *head = member->len;
        if (front.len < member->len && memcmp(front.ptr, member->ptr, front.len) == 0)
            *head = front.len;
    }
    cel__buf_done(&json);
    cel__buf_done(&front);
    return code;
}

static void add_token(cel__buf *command, const chord_op *op)
{
    char text[64];

    snprintf(text, sizeof text, "%s:%llu", op->backend->owner, (unsigned long long)op->token);
    cel__redis_word(command, cel__view(text));
}

static void on_part(cel__redis_request *request, const redisReply *reply, const cel_error *err);

static cel_code send_part(chord_op *op, bool with_body, cel_error *err)
{
    redis_backend *backend = op->backend;
    const cel_chord_part *part = &op->part;
    cel__buf command = {0}, member = {0};
    size_t head;
    cel_code code = encode_member(backend, &member, &head, part, err);

    if (code != CEL_OK) {
        cel__buf_done(&member);
        return code;
    }
    op->request.done = on_part;
    cel__redis_call(&command, CEL_REDIS_PART, CEL_REDIS_GROUP_KEY, part->gid, 13);
    cel__redis_word(&command, part->gid);
    cel__redis_word(&command, part->task_id);
    if (part->index < 0)
        cel__redis_word(&command, CEL_VIEW("+inf"));
    else
        cel__redis_int(&command, part->index);
    cel__redis_word(&command, cel__buf_view(&member));
    cel__redis_word(&command, (cel_view){member.ptr, head});
    cel__redis_word(&command, with_body ? CEL_VIEW("1") : CEL_VIEW("0"));
    cel__redis_word(&command, with_body ? part->body : CEL_VIEW(""));
    cel__redis_word(&command, part->root_id);
    cel__redis_word(&command, cel__view(backend->owner));
    add_token(&command, op);
    cel__redis_int(&command, now_ms(backend));
    cel__redis_int(&command, backend->expires_s);
    cel__redis_int(&command, LEASE_S);
    cel__buf_done(&member);
    return cel__redis_submit(backend, &op->request, &command, err);
}

/* The script's body and root are those that were stored first: all parts bear the same. */
static bool take_chord(chord_op *op, const redisReply *reply)
{
    cel__buf text = {0};
    cel_view *const views[] = {&op->part.gid, &op->part.task_id, &op->part.body,
                               &op->part.root_id};

    op->part.body = (cel_view){reply->element[0]->str, (size_t)reply->element[0]->len};
    op->part.root_id = (cel_view){reply->element[1]->str, (size_t)reply->element[1]->len};
    if (!keep_texts(&text, views, 4))
        return false;
    cel__buf_done(&op->text);
    op->text = text;
    return true;
}

static void on_part(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    chord_op *op = (chord_op *)request;
    cel_code code = err ? err->code : CEL_OK;
    cel_error failure = {0};

    if (err)
        failure = *err;
    if (code == CEL_OK && reply->type == REDIS_REPLY_INTEGER && reply->integer != 2) {
        end_op(op, NULL, NULL);
        return;
    }
    if (code == CEL_OK && op->backend->closing)
        code = cel_error_set(&failure, CEL_ECANCELED, "the result store is closed");
    else if (code == CEL_OK && reply->type == REDIS_REPLY_INTEGER)
        code = send_part(op, true, &failure);
    else if (code == CEL_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        code = take_chord(op, reply) ? read_members(op, &failure) : fail_memory(&failure);
    else if (code == CEL_OK)
        code = cel_error_set(&failure, CEL_EPROTO, "Redis counts a chord in an unknown way");
    if (code != CEL_OK)
        end_op(op, NULL, &failure);
}

static char *name_of(const cel_chord_part *part)
{
    cel__buf name = {0};

    cel__buf_addf(&name, "%zu:", part->gid.len);
    cel__buf_add_json(&name, part->gid);
    cel__buf_add_json(&name, part->task_id);
    return cel__buf_detach(&name, NULL);
}

cel_code cel__redis_chord_part(
    cel_backend *base, const cel_chord_part *part, cel_chord_cb cb, void *user, cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel_code code = cel__redis_check_open(backend, err);
    chord_op *op;

    if (code != CEL_OK)
        return code;
    op = cel__calloc(1, sizeof *op);
    if (!op)
        return fail_memory(err);
    op->backend = backend;
    op->cb = cb;
    op->user = user;
    op->part = *part;
    op->name = name_of(part);
    if (!op->name || !keep_part(op)) {
        free_op(op);
        return fail_memory(err);
    }
    op->token = token_of(backend, op->name);
    code = send_part(op, needs_body(backend, part), err);
    if (code != CEL_OK)
        free_op(op);
    return code;
}

/* ---- opening and ending ---- */

cel_code cel__redis_chord_open(cel_backend *base,
                               cel_view gid,
                               int64_t size,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0};
    cel_code code = cel__redis_check_open(backend, err);

    if (code != CEL_OK)
        return code;
    if (size < 1)
        return cel_error_set(err, CEL_EINVAL, "a chord of %lld parts", (long long)size);
    cel__redis_call(&command, CEL_REDIS_OPEN, CEL_REDIS_GROUP_KEY, gid, 4);
    cel__redis_word(&command, gid);
    cel__redis_int(&command, size);
    cel__redis_int(&command, now_ms(backend));
    cel__redis_int(&command, backend->expires_s);
    return cel__redis_do(backend, &command, cb, user, err);
}

cel_code cel__redis_chord_grow(cel_backend *base,
                               cel_view gid,
                               int64_t count,
                               cel_backend_cb cb,
                               void *user,
                               cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0};
    cel_code code = cel__redis_check_open(backend, err);

    if (code != CEL_OK)
        return code;
    if (count < 1)
        return cel_error_set(err, CEL_EINVAL, "a chord grows by %lld parts", (long long)count);
    cel__redis_call(&command, CEL_REDIS_GROW, CEL_REDIS_GROUP_KEY, gid, 2);
    cel__redis_int(&command, count);
    cel__redis_int(&command, backend->expires_s);
    return cel__redis_do(backend, &command, cb, user, err);
}

struct done_op {
    redis_backend *backend;
    cel_backend_cb cb;
    void *user;
};

static void on_chord_done(void *user, cel_code code, const cel_error *err)
{
    struct done_op *op = user;
    redis_backend *backend = op->backend;

    if (code == CEL_OK && backend->undone > 0)
        backend->undone--;
    if (op->cb)
        op->cb(op->user, code, err);
    cel__free(op);
}

cel_code cel__redis_chord_done(
    cel_backend *base, cel_view gid, cel_backend_cb cb, void *user, cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel__buf command = {0};
    cel_code code = cel__redis_check_open(backend, err);
    struct done_op *op;

    if (code != CEL_OK)
        return code;
    op = cel__calloc(1, sizeof *op);
    if (!op)
        return fail_memory(err);
    *op = (struct done_op){backend, cb, user};
    cel__redis_call(&command, CEL_REDIS_DONE, CEL_REDIS_GROUP_KEY, gid, 2);
    cel__redis_word(&command, gid);
    cel__redis_int(&command, backend->expires_s ? backend->expires_s : DONE_KEPT_S);
    code = cel__redis_do(backend, &command, on_chord_done, op, err);
    if (code != CEL_OK)
        cel__free(op);
    return code;
}

/* ---- the sweep ---- */

static cel_code claim(struct sweep *sweep, cel_error *err);

static void end_sweep(struct sweep *sweep)
{
    if (sweep->cb)
        sweep->cb(sweep->user, NULL, sweep->err.code, sweep->err.code ? &sweep->err : NULL);
    cel__free(sweep);
}

/* After the last chord of one claim comes the next claim, or the end. */
static void end_chord_of_sweep(struct sweep *sweep, const cel_error *err)
{
    cel_error failure = {0};

    if (err && !sweep->err.code)
        sweep->err = *err;
    if (--sweep->pending > 0)
        return;
    if (sweep->more && !sweep->err.code && !sweep->backend->closing) {
        if (claim(sweep, &failure) == CEL_OK)
            return;
        sweep->err = failure;
    }
    end_sweep(sweep);
}

static cel_view text_of(const redisReply *claimed, size_t which)
{
    const redisReply *text = claimed->element[which];

    return (cel_view){text->str, (size_t)text->len};
}

static void read_claimed(struct sweep *sweep, const redisReply *claimed)
{
    cel_error failure = {0};
    chord_op *op;

    if (claimed->type != REDIS_REPLY_ARRAY || claimed->elements != 4)
        return;
    op = cel__calloc(1, sizeof *op);
    if (!op)
        return; /* it is found again when it is old enough */
    op->backend = sweep->backend;
    op->cb = sweep->cb;
    op->user = sweep->user;
    op->part = (cel_chord_part){.gid = text_of(claimed, 0),
                                .body = text_of(claimed, 1),
                                .root_id = text_of(claimed, 2),
                                .task_id = text_of(claimed, 3)};
    if (!keep_part(op) || read_members(op, &failure) != CEL_OK) {
        free_op(op);
        return;
    }
    op->sweep = sweep;
    sweep->pending++;
}

static void
on_claimed(cel__redis_request *request, const redisReply *reply, const cel_error *err)
{
    struct sweep *sweep = (struct sweep *)request;

    sweep->pending = 1; /* this one */
    sweep->more = false;
    if (!err && reply->type == REDIS_REPLY_ARRAY && !sweep->backend->closing) {
        sweep->more = reply->elements >= CLAIM_MAX;
        for (size_t i = 0; i < reply->elements; i++)
            read_claimed(sweep, reply->element[i]);
    }
    end_chord_of_sweep(sweep, err);
}

static cel_code claim(struct sweep *sweep, cel_error *err)
{
    redis_backend *backend = sweep->backend;
    cel__buf command = {0};

    sweep->request.done = on_claimed;
    cel__redis_call(&command, CEL_REDIS_CLAIM, CEL_REDIS_CHORDS, (cel_view){NULL, 0}, 5);
    cel__redis_word(&command, cel__view(backend->owner));
    cel__redis_int(&command, now_ms(backend));
    cel__redis_int(&command, sweep->before_ms);
    cel__redis_int(&command, LEASE_S);
    cel__redis_int(&command, CLAIM_MAX);
    return cel__redis_submit(backend, &sweep->request, &command, err);
}

/* Old results go by themselves. */
cel_code cel__redis_sweep(
    cel_backend *base, int64_t older_ms, cel_chord_cb cb, void *user, cel_error *err)
{
    redis_backend *backend = (redis_backend *)base;
    cel_code code = cel__redis_check_open(backend, err);
    struct sweep *sweep;

    if (code != CEL_OK)
        return code;
    sweep = cel__calloc(1, sizeof *sweep);
    if (!sweep)
        return fail_memory(err);
    *sweep = (struct sweep){
        .backend = backend, .cb = cb, .user = user, .before_ms = now_ms(backend) - older_ms};
    code = claim(sweep, err);
    if (code != CEL_OK)
        cel__free(sweep);
    return code;
}
