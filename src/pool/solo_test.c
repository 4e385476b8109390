/* solo_test.c - the solo pool passes the suite. */
#include "pool/pool_conformance.h"

int main(void)
{
    return cel__pool_conformance(&cel__solo_pool_ops);
}
