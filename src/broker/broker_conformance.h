/* broker_conformance.h - what every broker must do, as tests. A broker's own test file calls
 * cel__broker_conformance() with how to make a fresh one. */
#ifndef CEL_BROKER_CONFORMANCE_H
#define CEL_BROKER_CONFORMANCE_H

#include "broker/broker.h"

/* What a broker cannot do, as its own file says: those parts of the suite are left out. */
enum {
    CEL_LACKS_PRIORITY = 1,  /* a plain queue does not order by priority */
    CEL_LACKS_COUNTS = 2,    /* cannot tell what is unsettled or delayed */
    CEL_LACKS_RELEASE = 4,   /* what is handed back counts as delivered */
    CEL_LACKS_ACCEPTED = 8,  /* accept() is the acknowledgement: it never comes back */
    CEL_LACKS_FAIRNESS = 16, /* queues are served fairly only in the long run */
    CEL_LACKS_DELAY = 64,    /* what has an ETA is ready until a consumer has seen it */
    CEL_LACKS_FINE_ETA = 32, /* waits for whole seconds, elsewhere than in the queue */
};

typedef struct cel_broker_conformance {
    const char *name;
    /* Writes the URL of an empty broker; each call another. */
    void (*fresh_url)(char *url, size_t size);
    bool threaded;
    unsigned lacks; /* the sum of the above */
} cel_broker_conformance;

/* Runs the suite with cmocka; returns the number of failed tests. */
int cel__broker_conformance(const cel_broker_conformance *subject);

#endif
