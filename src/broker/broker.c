/* broker.c - which broker has which URL scheme: a new broker is one line in the table; and who
 * hears what. */
#include "broker/broker.h"

#include <string.h>

static const cel_broker_ops *const brokers[] = {
    &cel__sqlite_broker_ops,
    &cel__memory_broker_ops,
#ifdef CEL_HAVE_REDIS
    &cel__redis_broker_ops,
#endif
#ifdef CEL_HAVE_AMQP
    &cel__amqp_broker_ops,
#endif
};

/* Whether the comma-separated list has the name. */
static bool list_has(const char *list, const char *name, size_t len)
{
    while (*list) {
        size_t here = strcspn(list, ",");
        if (here == len && memcmp(list, name, len) == 0)
            return true;
        list += here;
        list += *list == ',';
    }
    return false;
}

cel_code cel__broker_open(cel_broker **out, const cel_broker_options *options, cel_error *err)
{
    size_t len = strcspn(options->url, ":");
    char known[128] = "";

    for (size_t i = 0; i < sizeof brokers / sizeof *brokers; i++) {
        if (list_has(brokers[i]->schemes, options->url, len))
            return brokers[i]->open(out, options, err);
        size_t used = strlen(known);
        if (used + strlen(brokers[i]->schemes) + 3 < sizeof known) {
            if (used > 0)
                strncat(known, ",", sizeof known - used - 1);
            strncat(known, brokers[i]->schemes, sizeof known - strlen(known) - 1);
        }
    }
    /* Only the scheme is told: the rest may hold a password. */
    return cel_error_set(err, CEL_ECONFIG, "no broker for '%.*s:'; there are: %s",
                         (int)(len > 40 ? 40 : len), options->url, known);
}

/* ---- routing ---- */

#define MAX_WORDS 128 /* of 255 bytes */

static size_t split(cel_view text, cel_view words[MAX_WORDS])
{
    size_t count = 0;

    for (size_t at = 0; text.len > 0 && at <= text.len && count < MAX_WORDS; count++) {
        const char *dot = memchr(text.ptr + at, '.', text.len - at);
        size_t end = dot ? (size_t)(dot - text.ptr) : text.len;
        words[count] = (cel_view){text.ptr + at, end - at};
        at = end + 1;
    }
    return count;
}

bool cel__topic_matches(cel_view pattern, cel_view key)
{
    cel_view wanted[MAX_WORDS], words[MAX_WORDS];
    size_t wanted_count = split(pattern, wanted), count = split(key, words);
    bool fits[MAX_WORDS + 1] = {true}; /* so much of the pattern: the first n words */

    for (size_t i = 0; i < wanted_count; i++) {
        bool many = cel__view_is(wanted[i], "#"), one = cel__view_is(wanted[i], "*");
        for (size_t n = 1; many && n <= count; n++)
            fits[n] = fits[n] || fits[n - 1];
        for (size_t n = count; !many && n > 0; n--)
            fits[n] = fits[n - 1] && (one || cel__view_eq(wanted[i], words[n - 1]));
        fits[0] = fits[0] && many;
    }
    return fits[count];
}

bool cel__listening_hears(const cel_listening *listening, cel_view key)
{
    switch (listening->kind) {
    case CEL_EXCHANGE_TOPIC:
        return cel__topic_matches(listening->pattern, key);
    case CEL_EXCHANGE_DIRECT:
        return cel__view_eq(listening->pattern, key);
    case CEL_EXCHANGE_FANOUT:
        return true;
    default:
        return false;
    }
}
