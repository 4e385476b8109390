/* threads_test.c - the threads pool passes the suite. */
#include "pool/pool_conformance.h"

int main(void)
{
    return cel__pool_conformance(&cel__threads_pool_ops);
}
