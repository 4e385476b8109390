/* broker.c - which broker has which URL scheme. A new broker is one line in the table. */
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
