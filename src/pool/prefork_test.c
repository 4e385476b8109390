/* prefork_test.c - the prefork pool passes the suite. */
#include "pool/pool_conformance.h"

int main(void)
{
    return cel__pool_conformance(&cel__prefork_pool_ops);
}
