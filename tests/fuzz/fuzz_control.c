/* fuzz_control.c - remote control: requests, for whom they are, and replies. Behind the first line,
 * if there is one, is the body. */
#include "control/mailbox.h"
#include "control/regex.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t head = end ? (size_t)(end - (const char *)data) : 0;
    cel_view first = {(const char *)data, head};
    cel_message message = {.content_type = CEL_VIEW("application/json"),
                           .headers = first,
                           .body = {(const char *)data + head + (end != NULL),
                                    size - head - (end != NULL)}};
    cel_mailbox_request request;
    cel_mailbox_reply reply;
    json_t *root;
    cel__buf buf = {0};
    cel_message again;
    bool is;

    if (cel__mailbox_request_decode(&request, &root, &message, NULL, NULL) == CEL_OK) {
        (void)cel__mailbox_is_for(&is, &request, CEL_VIEW("celery@host"), NULL);
        if (cel__mailbox_request_encode(&again, &request, CEL_VIEW("x"), NULL, &buf, NULL) ==
            CEL_OK)
            fuzz_is_json(again.body);
        json_decref(root);
    }
    if (cel__mailbox_reply_decode(&reply, &root, &message, NULL, NULL) == CEL_OK)
        json_decref(root);
    (void)cel__regex_match(&is, first, message.body, NULL);
    cel__buf_done(&buf);
    return 0;
}
