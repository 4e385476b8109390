/* sensitive.c - see sensitive.h. */
#include "app/sensitive.h"

#include <stdio.h>
#include <string.h>

#include "core/jscan.h"
#include "core/json.h"

#define REPR_MAX 1024
#define MASK     "\"***\""

/* Whether the comma-separated list has the name, or "*". */
static bool is_listed(const char *list, cel_view name)
{
    while (*list) {
        size_t len = strcspn(list, ","), skip = strspn(list, " ");
        cel_view word = {list + skip, len > skip ? len - skip : 0};

        while (word.len > 0 && word.ptr[word.len - 1] == ' ')
            word.len--;
        if (cel__view_is(word, "*") || cel__view_eq(word, name))
            return true;
        list += len + (list[len] == ',');
    }
    return false;
}

static void mask_array(cel__buf *buf, const char *list, cel_jvalue array)
{
    cel_jvalue value;
    cel_jscan scan;
    size_t i = 0;

    cel__buf_add_byte(buf, '[');
    cel__jscan_array(&scan, array);
    while (cel__jscan_next(&scan, &value)) {
        char number[24];
        int len = snprintf(number, sizeof number, "%zu", i);

        if (i++ > 0)
            cel__buf_add_str(buf, ", ");
        if (is_listed(list, (cel_view){number, (size_t)len}))
            cel__buf_add_str(buf, MASK);
        else
            cel__buf_add_view(buf, value.text);
    }
    cel__buf_add_byte(buf, ']');
}

static void mask_object(cel__buf *buf, const char *list, cel_jvalue object)
{
    cel__buf name = {0};
    cel_jvalue key, value;
    cel_jscan scan;
    bool first = true;

    cel__buf_add_byte(buf, '{');
    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &value)) {
        if (!first)
            cel__buf_add_str(buf, ", ");
        first = false;
        cel__buf_add_view(buf, key.text);
        cel__buf_add_str(buf, ": ");
        cel__buf_reset(&name);
        if (is_listed(list, cel__jscan_view(key, &name)))
            cel__buf_add_str(buf, MASK);
        else
            cel__buf_add_view(buf, value.text);
    }
    cel__buf_add_byte(buf, '}');
    cel__buf_done(&name);
}

void cel__sensitive_json(cel__buf *buf, const cel_task_entry *entry, cel_view arguments)
{
    const char *list = entry ? entry->options.sensitive : NULL;
    cel_jvalue value;

    if (!list)
        cel__buf_add_view(buf, arguments);
    else if (!arguments.ptr || cel__jscan_value(&value, arguments, NULL) != CEL_OK)
        cel__buf_add_str(buf, "null");
    else if (value.type == CEL_JSON_ARRAY)
        mask_array(buf, list, value);
    else if (value.type == CEL_JSON_OBJECT)
        mask_object(buf, list, value);
    else
        cel__buf_add_str(buf, "null");
}

void cel__sensitive_repr(cel__buf *buf,
                         const cel_task_entry *entry,
                         cel_view arguments,
                         bool tuple)
{
    cel__buf masked = {0};

    if (entry && entry->options.sensitive) {
        cel__sensitive_json(&masked, entry, arguments);
        if (masked.failed)
            buf->failed = true;
        arguments = cel__buf_view(&masked);
    }
    cel__json_repr(buf, arguments, REPR_MAX, tuple);
    cel__buf_done(&masked);
}

cel_code cel__sensitive_spec(cel_task_message *spec,
                             const cel_task_entry *entry,
                             cel__buf *shown,
                             cel_error *err)
{
    size_t args_end;

    if (!entry->options.sensitive)
        return CEL_OK;
    cel__sensitive_repr(shown, entry, spec->args.ptr ? spec->args : CEL_VIEW("[]"), true);
    args_end = shown->len;
    cel__sensitive_repr(shown, entry, spec->kwargs.ptr ? spec->kwargs : CEL_VIEW("{}"), false);
    if (cel__buf_check(shown, err) != CEL_OK)
        return CEL_ENOMEM;
    if (!spec->argsrepr.ptr)
        spec->argsrepr = (cel_view){shown->ptr, args_end};
    if (!spec->kwargsrepr.ptr)
        spec->kwargsrepr = (cel_view){shown->ptr + args_end, shown->len - args_end};
    return CEL_OK;
}
