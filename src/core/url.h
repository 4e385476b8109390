/* url.h - the URLs of brokers and result stores, as Celery reads them. Pure; any thread. */
#ifndef CEL_CORE_URL_H
#define CEL_CORE_URL_H

#include <stdbool.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* The parts of `scheme://user:password@host:port/path?key=value&...`, percent-decoded.
 * Strings are owned by the URL; NULL where the part is absent or empty. */
typedef struct cel_url {
    const char *scheme; /* lower case; NULL for a bare host name */
    const char *user;
    const char *password;
    const char *host;
    int port; /* 0: none */
    const char
        *path; /* without one leading slash: "rel" of sqlite:///rel, "/abs" of sqlite:////abs */
    struct cel_url_param {
        const char *key;
        const char *value;
    } * params; /* the query, in its order */
    size_t param_count;
    char *storage; /* private */
} cel_url;

/* Takes one URL apart. The caller frees *out with cel__url_done(). CEL_ECONFIG: a port that
 * is none, a bad percent escape, a control character, or nothing at all. The message never
 * shows the password. */
cel_code cel__url_parse(cel_url *out, cel_view text, cel_error *err);
void cel__url_done(cel_url *url);

/* Returns a view of the value of the last parameter `key`, or NULL. */
const char *cel__url_param(const cel_url *url, const char *key);

/* Takes the next URL off a list separated by ';' (spaces around are dropped, empty ones
 * skipped); false at the end. */
bool cel__url_next(cel_view *rest, cel_view *url);

/* Appends the URL, or list of them, for people to read: passwords, those in the query
 * included, are `**`. AMQP and Redis URLs are completed as Celery shows them:
 * amqp://guest:**@localhost:5672// */
void cel__url_mask(cel__buf *buf, const char *url);

/* As above, with another text in place of the password. */
void cel__url_mask_with(cel__buf *buf, const char *url, const char *mask);

/* Appends `text` percent-encoded; `safe` are the characters left alone besides letters,
 * digits and "_.-~". */
void cel__url_quote(cel__buf *buf, cel_view text, const char *safe);

#endif
