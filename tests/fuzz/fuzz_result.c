/* fuzz_result.c - replies: result documents and the exceptions in them, as stores and rpc:// give
 * them, and the properties of a message. */
#include "fuzz.h"
#include "message/message.h"
#include "message/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cel_view text = {(const char *)data, size};
    cel__buf scratch = {0}, out = {0}, more = {0};
    cel_message message = CEL_MESSAGE_INIT;
    cel_exception exception;
    cel_result_meta meta;

    if (cel__result_meta_load(&meta, text, &scratch, NULL) == CEL_OK && meta.result.ptr) {
        cel__exception_load(&exception, meta.result, &more);
        cel__exception_repr(&out, &exception);
        cel__exception_str(&out, &exception);
        cel__buf_reset(&out);
        cel__exception_dump(&out, &exception);
        fuzz_is_json(cel__buf_view(&out));
    }
    cel__buf_reset(&scratch);
    cel__buf_reset(&out);
    if (cel__message_load_properties(&message, text, &scratch, NULL) == CEL_OK) {
        cel__message_dump_properties(&out, &message);
        fuzz_is_json(cel__buf_view(&out));
    }
    cel__buf_done(&scratch);
    cel__buf_done(&out);
    cel__buf_done(&more);
    return 0;
}
