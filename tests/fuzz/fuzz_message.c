/* fuzz_message.c - task messages: headers, then body, as a worker reads them. The input is a
 * byte that chooses the content type, the headers up to a NUL, the body. */
#include "fuzz.h"
#include "message/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cel__coding coding = fuzz_coding();
    cel_message message = CEL_MESSAGE_INIT;
    cel__buf scratch = {0}, body_scratch = {0};
    cel_task_headers headers;
    cel_task_body body;
    cel_view rest;

    if (size == 0)
        return 0;
    message.content_type =
        cel__serializer_type((cel__serializer)(data[0] % CEL_SERIALIZER_COUNT));
    rest = fuzz_split(&message.headers, (cel_view){(const char *)data + 1, size - 1});
    message.body = rest;
    if (cel__task_headers_read(&headers, &message, &coding, &scratch, NULL) == CEL_OK) {
        assert(headers.task.len > 0 && headers.id.len > 0);
        (void)cel__task_body_check(&message, &headers, &coding, NULL);
        if (cel__task_body_read(&body, &message, &headers, &coding, &body_scratch, NULL) ==
            CEL_OK) {
            assert(body.args.ptr && body.kwargs.ptr);
            fuzz_is_json(body.args);
            fuzz_is_json(body.kwargs);
        }
    }
    cel__buf_done(&scratch);
    cel__buf_done(&body_scratch);
    return 0;
}
