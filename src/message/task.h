/* task.h - task messages: what is put into the headers and the body, and what is read from
 * them.
 *
 * The format is Celery's protocol 2 (as_task_v2 in celery/app/amqp.py); the header names and
 * their order are one table in task_headers.h. Pure; any thread. */
#ifndef CEL_MESSAGE_TASK_H
#define CEL_MESSAGE_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/message.h"
#include "message/serializer.h"

#define CEL_TIME_NONE INT64_MIN /* "no such time", for wall times in microseconds */

/* ---- writing ---- */

/* What a task message says. Zero-initialise, then set; absent views become null. `args`,
 * `kwargs` and the other JSON views are texts, spliced as they are. */
typedef struct cel_task_message {
    cel_view task;                       /* required */
    cel_view id;                         /* required */
    cel_view args;                       /* JSON array; absent: [] */
    cel_view kwargs;                     /* JSON object; absent: {} */
    cel_view callbacks, errbacks, chain; /* JSON arrays; absent: null */
    cel_view chord;                      /* JSON signature; absent: null */
    cel_view shadow, group, parent_id;
    cel_view root_id;    /* absent: the id */
    cel_view origin;     /* "gen<pid>@<host>" */
    int64_t group_index; /* -1: null */
    int64_t retries;     /* 0 or more */
    int64_t eta_us;      /* wall; CEL_TIME_NONE: null. 0 means 1970: use the INIT */
    int64_t expires_us;  /* wall; CEL_TIME_NONE: null */
    double time_limit_s, soft_time_limit_s; /* 0: null. On the wire [hard, soft] */
    int ignore_result;                      /* -1: null, 0: false, 1: true */
    int64_t replaced_task_nesting;
    cel_view stamped_headers;      /* JSON array; absent: null */
    cel_view stamps;               /* JSON object; absent: {} */
    cel_view argsrepr, kwargsrepr; /* plain text; absent: made from args and kwargs */
    /* JSON object of custom headers; absent: none. Merged last: they override standard ones
     * except `task`, `id` and `compression`. */
    cel_view headers;
    cel_view reply_to, exchange, routing_key;
    int priority;              /* 0 to 255; -1: 0 is sent, as Celery does */
    int delivery_mode;         /* 0: 2 */
    const char *compression;   /* NULL, "": none; a name as in compress.h */
    const char *serializer;    /* NULL, "": the coding's; a name as in serializer.h */
    const cel__coding *coding; /* borrowed; NULL: JSON */
} cel_task_message;

#define CEL_TASK_MESSAGE_INIT                                                                  \
    {                                                                                          \
        .group_index = -1, .eta_us = CEL_TIME_NONE, .expires_us = CEL_TIME_NONE,               \
        .ignore_result = -1, .priority = -1                                                    \
    }

/* Builds the message. Headers, body and expiration are appended to `buf` and *out gets views
 * into it, so `buf` may serve several messages only if the caller turns views into offsets;
 * with one buffer per message nothing can go wrong. Other views of *out are those of `spec`
 * or static. `expiration` is computed from expires_us - now_us (a past time gives "0"),
 * `eta_ms` from eta_us, rounded up. CEL_EINVAL if task or id is missing, a text is no JSON
 * of the kind asked for (the custom headers are checked, of the others the first byte only)
 * or a number is out of range, or the serializer cannot hold a value; CEL_ENOTSUP for another
 * compression or serializer; CEL_ENOMEM. On failure `buf` is as long as before. */
cel_code cel__task_message_build(cel_message *out,
                                 const cel_task_message *spec,
                                 int64_t now_us,
                                 cel__buf *buf,
                                 cel_error *err);

/* ---- reading ---- */

/* The headers of a received message. Views point into the message or into `scratch`. */
typedef struct cel_task_headers {
    int protocol;      /* 2; or 1: there were no task headers, everything was in the body */
    cel_view task, id; /* never absent, never empty */
    /* Absent if null or empty. */
    cel_view shadow, group, root_id, parent_id, argsrepr, kwargsrepr, origin, compression;
    int64_t group_index; /* -1 if null */
    int64_t retries;
    int64_t eta_us, expires_us;             /* CEL_TIME_NONE if null */
    double time_limit_s, soft_time_limit_s; /* 0: none */
    int ignore_result;                      /* -1 null, 0, 1 */
    int64_t replaced_task_nesting;
    cel_view stamped_headers, stamps; /* JSON texts; absent if null */
    cel_view embed; /* protocol 1 and hybrids: the decoded body, a JSON object; else absent */
} cel_task_headers;

/* Reads the headers of `message` and classifies it. Protocol 2 if there is a header `task`,
 * else the body is decoded and tried as protocol 1. A hybrid (header `task`, and the body is
 * an object) is protocol 2 with `embed`: its fields are those of the body overlaid with the
 * headers. `coding` (NULL: JSON) says what bodies may be. `scratch` receives resolved strings
 * (and for protocol 1 the decoded body); it is the caller's, must outlive `out` and not be
 * appended to meanwhile.
 * Failures, each a message the worker rejects and logs, never a crash: CEL_EPROTO if the
 * headers are no JSON object, the id is missing or empty, eta or expires or timelimit are
 * garbage ("" included), or neither protocol fits; those of cel__task_body_read() for
 * protocol 1. CEL_ENOMEM. */
cel_code cel__task_headers_read(cel_task_headers *out,
                                const cel_message *message,
                                const cel__coding *coding,
                                cel__buf *scratch,
                                cel_error *err);

/* Whether the body of the message may be read at all, without reading it: its content type is
 * accepted and, where it is signed, the signature is right. CEL_ENOTSUP, CEL_EPROTO as
 * cel__task_body_read(). */
cel_code cel__task_body_check(const cel_message *message,
                              const cel_task_headers *headers,
                              const cel__coding *coding,
                              cel_error *err);

/* The body, as texts. */
typedef struct cel_task_body {
    cel_view args;                       /* JSON array */
    cel_view kwargs;                     /* JSON object */
    cel_view callbacks, errbacks, chain; /* JSON arrays, never empty; absent if null or [] */
    cel_view chord;                      /* JSON object; absent if null */
} cel_task_body;

/* Decodes the body of `message` (content type, compression) into `scratch` where needed and
 * takes it apart; the whole text is checked to be JSON. `coding` as above. Views point into the message,
 * `scratch` or headers->embed. `scratch` must be another buffer than the one `headers` was
 * read with, or the views of `headers` become invalid. CEL_ENOTSUP for a content type,
 * encoding or compression that is not accepted, CEL_EPROTO for bytes that are no body (args
 * or kwargs null, a number of elements other than three, a signature that is not right),
 * CEL_EFULL for a body that is longer than coding->max_bytes once it is decoded, CEL_ENOMEM. */
cel_code cel__task_body_read(cel_task_body *out,
                             const cel_message *message,
                             const cel_task_headers *headers,
                             const cel__coding *coding,
                             cel__buf *scratch,
                             cel_error *err);

#endif
