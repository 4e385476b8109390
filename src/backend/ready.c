/* ready.c - see ready.h. Fields are offsets, because the buffer moves while it grows. */
#include "backend/ready.h"

void cel__ready_set(cel__ready *ready, cel__ready_field field, cel_view view)
{
    if (!view.ptr)
        return;
    ready->fields[field].at = ready->text.len;
    ready->fields[field].len = view.len;
    ready->fields[field].present = true;
    cel__buf_add_view(&ready->text, view);
}

void cel__ready_begin_results(cel__ready *ready)
{
    ready->fields[CEL_READY_RESULTS].at = ready->text.len;
    cel__buf_add_byte(&ready->text, '[');
}

void cel__ready_add_result(cel__ready *ready, cel_view result)
{
    if (ready->text.len > ready->fields[CEL_READY_RESULTS].at + 1)
        cel__buf_add(&ready->text, ", ", 2);
    cel__buf_add_view(&ready->text, result.len ? result : CEL_VIEW("null"));
}

void cel__ready_end_results(cel__ready *ready)
{
    cel__buf_add_byte(&ready->text, ']');
    ready->fields[CEL_READY_RESULTS].len =
        ready->text.len - ready->fields[CEL_READY_RESULTS].at;
    ready->fields[CEL_READY_RESULTS].present = true;
}

cel_code cel__ready_check(const cel__ready *ready, cel_error *err)
{
    return cel__buf_check(&ready->text, err);
}

static cel_view show_field(const cel__ready *ready, cel__ready_field field)
{
    if (!ready->fields[field].present)
        return (cel_view){NULL, 0};
    return (cel_view){(ready->text.ptr ? ready->text.ptr : "") + ready->fields[field].at,
                      ready->fields[field].len};
}

void cel__ready_show(const cel__ready *ready, cel_chord_ready *out)
{
    *out = (cel_chord_ready){
        .gid = show_field(ready, CEL_READY_GID),
        .results = show_field(ready, CEL_READY_RESULTS),
        .failed_id = show_field(ready, CEL_READY_FAILED_ID),
        .failed_result = show_field(ready, CEL_READY_FAILED_RESULT),
        .body = show_field(ready, CEL_READY_BODY),
        .parent_id = show_field(ready, CEL_READY_PARENT_ID),
        .root_id = show_field(ready, CEL_READY_ROOT_ID),
    };
}

void cel__ready_done(cel__ready *ready)
{
    cel__buf_done(&ready->text);
    *ready = (cel__ready){0};
}
