/* fuzz_url.c - URLs of brokers and stores: taken apart, and shown without their passwords. */
#include "core/url.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cel_view text = {(const char *)data, size};
    cel__buf copy = {0}, shown = {0};
    cel_view rest = text, one;
    cel_url url;

    while (cel__url_next(&rest, &one))
        if (cel__url_parse(&url, one, NULL) == CEL_OK) {
            assert(url.port >= 0 && url.port <= 65535);
            cel__url_done(&url);
        }
    cel__buf_add_view(&copy, text);
    cel__url_mask(&shown, cel__buf_cstr(&copy));
    cel__url_quote(&shown, text, "/");
    cel__buf_done(&copy);
    cel__buf_done(&shown);
    return 0;
}
