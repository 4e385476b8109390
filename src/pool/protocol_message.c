/* protocol_message.c - MESSAGE sections: a whole message inside a frame. */
#include "message/message.h"
#include "pool/protocol.h"

void cel__section_add_message(cel__buf *buf, const cel_message *message)
{
    size_t start = cel__section_begin(buf, CEL_TAG_MESSAGE);
    size_t properties;

    cel__section_add(buf, CEL_TAG_EXCHANGE, message->exchange);
    cel__section_add(buf, CEL_TAG_ROUTING_KEY, message->routing_key);
    properties = cel__section_begin(buf, CEL_TAG_PROPERTIES);
    cel__message_dump_properties(buf, message);
    cel__section_end(buf, properties);
    cel__section_add(buf, CEL_TAG_HEADERS, message->headers);
    cel__section_add(buf, CEL_TAG_BODY, message->body);
    if (message->eta_ms)
        cel__section_add_int(buf, CEL_TAG_ETA, message->eta_ms);
    cel__section_add(buf, CEL_TAG_TASK, message->task);
    cel__section_end(buf, start);
}

/* Fills in what stands beside the properties; false if a section is malformed. */
static bool read_parts(cel_message *message, cel_view bytes)
{
    cel_section_tag tag;
    cel_view part;

    while (cel__section_next(&bytes, &tag, &part)) {
        if (tag == CEL_TAG_EXCHANGE)
            message->exchange = part;
        else if (tag == CEL_TAG_ROUTING_KEY)
            message->routing_key = part;
        else if (tag == CEL_TAG_HEADERS)
            message->headers = part;
        else if (tag == CEL_TAG_BODY)
            message->body = part;
        else if (tag == CEL_TAG_TASK)
            message->task = part;
        else if (tag == CEL_TAG_ETA && !cel__section_int(part, &message->eta_ms))
            return false;
    }
    return bytes.ptr != NULL;
}

cel_code
cel__section_message(cel_message *out, cel_view bytes, cel__buf *scratch, cel_error *err)
{
    cel_message message = {.priority = -1};
    cel_view properties;
    cel_code code;

    if (!bytes.ptr || !cel__sections_valid(bytes))
        return cel_error_set(err, CEL_EPROTO, "a message in a frame is cut short");
    properties = cel__section_find(bytes, CEL_TAG_PROPERTIES);
    if (properties.ptr) {
        code = cel__message_load_properties(&message, properties, scratch, err);
        if (code)
            return code;
    }
    if (!read_parts(&message, bytes))
        return cel_error_set(err, CEL_EPROTO, "a message in a frame has a malformed ETA");
    *out = message;
    return CEL_OK;
}
