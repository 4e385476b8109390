/* outcome.c - see outcome.h. */
#include "worker/outcome.h"

static bool flag(cel_view bytes, bool otherwise)
{
    int64_t value;

    return cel__section_int(bytes, &value) ? value != 0 : otherwise;
}

static void read_section(cel_outcome *out, cel_section_tag tag, cel_view bytes)
{
    switch ((int)tag) {
    case CEL_TAG_STATE:
        out->state = bytes;
        break;
    case CEL_TAG_RESULT:
        out->result = bytes;
        break;
    case CEL_TAG_TRACEBACK:
        out->traceback = bytes;
        break;
    case CEL_TAG_CHILDREN:
        out->children = bytes;
        break;
    case CEL_TAG_REPR:
        out->repr = bytes;
        break;
    case CEL_TAG_ARGS:
        out->args = bytes;
        break;
    case CEL_TAG_KWARGS:
        out->kwargs = bytes;
        break;
    case CEL_TAG_EXPECTED:
        out->expected = flag(bytes, false);
        break;
    case CEL_TAG_REQUEUE:
        out->requeue = flag(bytes, false);
        break;
    case CEL_TAG_STORE:
        out->store = flag(bytes, true);
        break;
    case CEL_TAG_RUNTIME_US:
        if (!cel__section_int(bytes, &out->runtime_us) || out->runtime_us < 0)
            out->runtime_us = 0;
        break;
    default:
        break;
    }
}

cel_code cel__outcome_read(cel_outcome *out, cel_view sections, cel_error *err)
{
    cel_outcome outcome = {.store = true, .sections = sections};
    cel_view rest = sections;
    cel_section_tag tag;
    cel_view bytes;

    while (cel__section_next(&rest, &tag, &bytes))
        read_section(&outcome, tag, bytes);
    if (!rest.ptr)
        return cel_error_set(err, CEL_EPROTO, "the outcome has malformed sections");
    if (outcome.state.len == 0)
        return cel_error_set(err, CEL_EPROTO, "the outcome has no state");
    *out = outcome;
    return CEL_OK;
}

bool cel__outcome_next(cel_view *rest, cel_section_tag tag, cel_view *bytes)
{
    cel_section_tag found;

    while (cel__section_next(rest, &found, bytes))
        if (found == tag)
            return true;
    return false;
}

void cel__outcome_chord(cel_outcome_chord *out, cel_view bytes)
{
    cel_section_tag tag;
    cel_view value;

    *out = (cel_outcome_chord){0};
    while (cel__section_next(&bytes, &tag, &value)) {
        if (tag == CEL_TAG_GID)
            out->gid = value;
        else if (tag == CEL_TAG_DOCUMENT)
            out->document = value;
        else if (tag == CEL_TAG_SIZE && !cel__section_int(value, &out->size))
            out->size = 0;
        else if (tag == CEL_TAG_GROW && !cel__section_int(value, &out->grow))
            out->grow = 0;
    }
}

void cel__outcome_part(cel_chord_part *out, cel_view bytes)
{
    cel_section_tag tag;
    cel_view value;

    *out = (cel_chord_part){.index = -1};
    while (cel__section_next(&bytes, &tag, &value)) {
        if (tag == CEL_TAG_GID)
            out->gid = value;
        else if (tag == CEL_TAG_ID)
            out->task_id = value;
        else if (tag == CEL_TAG_STATE)
            out->status = value;
        else if (tag == CEL_TAG_RESULT)
            out->result = value;
        else if (tag == CEL_TAG_BODY)
            out->body = value;
        else if (tag == CEL_TAG_ROOT)
            out->root_id = value;
        else if (tag == CEL_TAG_INDEX && !cel__section_int(value, &out->index))
            out->index = -1;
    }
}

void cel__outcome_victim(cel_outcome_victim *out, cel_view bytes)
{
    cel_section_tag tag;
    cel_view value;

    *out = (cel_outcome_victim){0};
    while (cel__section_next(&bytes, &tag, &value)) {
        if (tag == CEL_TAG_ID)
            out->id = value;
        else if (tag == CEL_TAG_STATE)
            out->state = value;
        else if (tag == CEL_TAG_RESULT)
            out->result = value;
        else if (tag == CEL_TAG_TRACEBACK)
            out->traceback = value;
        else if (tag == CEL_TAG_GID)
            out->gid = value;
    }
}
