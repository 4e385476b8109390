/* broker_conformance.h - what every broker must do, as tests. A broker's own test file calls
 * cel__broker_conformance() with how to make a fresh one. */
#ifndef CEL_BROKER_CONFORMANCE_H
#define CEL_BROKER_CONFORMANCE_H

#include "broker/broker.h"

typedef struct cel_broker_conformance {
    const char *name;
    /* Writes the URL of an empty broker; each call another. */
    void (*fresh_url)(char *url, size_t size);
    bool threaded;
} cel_broker_conformance;

/* Runs the suite with cmocka; returns the number of failed tests. */
int cel__broker_conformance(const cel_broker_conformance *subject);

#endif
