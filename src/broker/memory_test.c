/* memory_test.c - the memory broker keeps the contract. */
#include <stdio.h>

#include "broker/broker_conformance.h"

static void fresh_url(char *url, size_t size)
{
    static int number;

    snprintf(url, size, "memory://test-%d", number++);
}

int main(void)
{
    return cel__broker_conformance(
        &(cel_broker_conformance){"memory broker", fresh_url, false, 0});
}
