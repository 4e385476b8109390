/* amqp_table.c - see amqp_table.h. py-amqp writes integers beyond 32 bits with the tag L, which
 * it reads as signed: so both ways here. */
#include "broker/amqp_table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/jscan.h"
#include "core/number.h"

#define MAX_DEPTH 64
#define MAX_KEY   255

/* ---- from JSON ---- */

static cel_code
load_table(amqp_table_t *out, cel_jvalue object, amqp_pool_t *pool, int depth, cel_error *err);

static cel_code no_memory(cel_error *err)
{
    return cel_error_set(err, CEL_ENOMEM, "no memory for a table of headers");
}

static amqp_bytes_t as_bytes(cel_view view)
{
    return (amqp_bytes_t){view.len, (void *)view.ptr};
}

/* A view into the text where there are no escapes, else a copy in the pool. */
static cel_code
load_string(amqp_bytes_t *out, cel_jvalue string, amqp_pool_t *pool, cel_error *err)
{
    cel_view inner = {string.text.ptr + 1, string.text.len - 2};
    cel__buf buf = {0};

    if (inner.len == 0 || !memchr(inner.ptr, '\\', inner.len)) {
        *out = as_bytes(inner);
        return CEL_OK;
    }
    cel__jscan_string(string, &buf);
    cel_code code = cel__buf_check(&buf, err);
    if (code == CEL_OK) {
        amqp_pool_alloc_bytes(pool, buf.len ? buf.len : 1, out);
        if (!out->bytes)
            code = no_memory(err);
        else
            memcpy(out->bytes, buf.ptr, buf.len);
        out->len = buf.len;
    }
    cel__buf_done(&buf);
    return code;
}

static cel_code load_integer(amqp_field_value_t *out, cel_jvalue value, cel_error *err)
{
    int64_t number;

    if (!cel__jscan_int(value, &number))
        return cel_error_set(err, CEL_EINVAL, "the integer %.40s... in a header is too large",
                             value.text.ptr);
    if (number >= INT32_MIN && number <= INT32_MAX) {
        out->kind = AMQP_FIELD_KIND_I32;
        out->value.i32 = (int32_t)number;
    } else {
        out->kind = AMQP_FIELD_KIND_U64;
        out->value.u64 = (uint64_t)number;
    }
    return CEL_OK;
}

static double load_real(cel_jvalue value)
{
    double number;

    if (cel__jscan_double(value, &number))
        return number;
    if (cel__view_is(value.text, "NaN"))
        return (double)NAN;
    return value.text.ptr[0] == '-' ? -(double)INFINITY : (double)INFINITY;
}

static cel_code load_value(
    amqp_field_value_t *out, cel_jvalue value, amqp_pool_t *pool, int depth, cel_error *err);

static cel_code
load_array(amqp_array_t *out, cel_jvalue array, amqp_pool_t *pool, int depth, cel_error *err)
{
    cel_jscan scan;
    cel_jvalue value;
    int count = 0;

    cel__jscan_array(&scan, array);
    while (cel__jscan_next(&scan, &value))
        count++;
    *out = (amqp_array_t){0, NULL};
    if (count == 0)
        return CEL_OK;
    out->entries = amqp_pool_alloc(pool, (size_t)count * sizeof *out->entries);
    if (!out->entries)
        return no_memory(err);
    cel__jscan_array(&scan, array);
    while (cel__jscan_next(&scan, &value)) {
        cel_code code =
            load_value(&out->entries[out->num_entries++], value, pool, depth + 1, err);
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

static cel_code load_value(
    amqp_field_value_t *out, cel_jvalue value, amqp_pool_t *pool, int depth, cel_error *err)
{
    if (depth > MAX_DEPTH)
        return cel_error_set(err, CEL_EINVAL, "headers nested more than %d deep", MAX_DEPTH);
    switch (value.type) {
    case CEL_JSON_FALSE:
    case CEL_JSON_TRUE:
        out->kind = AMQP_FIELD_KIND_BOOLEAN;
        out->value.boolean = value.type == CEL_JSON_TRUE;
        return CEL_OK;
    case CEL_JSON_INTEGER:
        return load_integer(out, value, err);
    case CEL_JSON_REAL:
        out->kind = AMQP_FIELD_KIND_F64;
        out->value.f64 = load_real(value);
        return CEL_OK;
    case CEL_JSON_STRING:
        out->kind = AMQP_FIELD_KIND_UTF8;
        return load_string(&out->value.bytes, value, pool, err);
    case CEL_JSON_ARRAY:
        out->kind = AMQP_FIELD_KIND_ARRAY;
        return load_array(&out->value.array, value, pool, depth, err);
    case CEL_JSON_OBJECT:
        out->kind = AMQP_FIELD_KIND_TABLE;
        return load_table(&out->value.table, value, pool, depth + 1, err);
    default:
        out->kind = AMQP_FIELD_KIND_VOID;
        return CEL_OK;
    }
}

static cel_code
load_table(amqp_table_t *out, cel_jvalue object, amqp_pool_t *pool, int depth, cel_error *err)
{
    cel_jscan scan;
    cel_jvalue key, value;
    int count = 0;

    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &value))
        count++;
    *out = (amqp_table_t){0, NULL};
    if (count == 0)
        return CEL_OK;
    out->entries = amqp_pool_alloc(pool, (size_t)count * sizeof *out->entries);
    if (!out->entries)
        return no_memory(err);
    cel__jscan_object(&scan, object);
    while (cel__jscan_next_member(&scan, &key, &value)) {
        amqp_table_entry_t *entry = &out->entries[out->num_entries++];
        cel_code code = load_string(&entry->key, key, pool, err);

        if (code == CEL_OK && entry->key.len > MAX_KEY)
            code = cel_error_set(err, CEL_EINVAL,
                                 "header '%.40s...': the name is longer than %d bytes",
                                 (const char *)entry->key.bytes, MAX_KEY);
        if (code == CEL_OK)
            code = load_value(&entry->value, value, pool, depth, err);
        if (code != CEL_OK)
            return code;
    }
    return CEL_OK;
}

cel_code
cel__amqp_table_load(amqp_table_t *out, cel_view json, amqp_pool_t *pool, cel_error *err)
{
    cel_jvalue object;
    amqp_table_t table;

    if (cel__jscan_value(&object, json, NULL) != CEL_OK || object.type != CEL_JSON_OBJECT)
        return cel_error_set(err, CEL_EINVAL, "the headers are no JSON object");
    cel_code code = load_table(&table, object, pool, 0, err);
    if (code == CEL_OK)
        *out = table;
    return code;
}

/* ---- to JSON ---- */

static void dump_table(cel__buf *buf, const amqp_table_t *table, int depth);

static cel_view as_view(amqp_bytes_t bytes)
{
    return (cel_view){bytes.bytes ? bytes.bytes : "", bytes.len};
}

static void dump_double(cel__buf *buf, double value)
{
    char text[CEL_DOUBLE_TEXT];

    if (isnan(value)) {
        cel__buf_add_str(buf, "NaN");
    } else if (isinf(value)) {
        cel__buf_add_str(buf, value < 0 ? "-Infinity" : "Infinity");
    } else {
        size_t len = cel__double_format(text, value);
        cel__buf_add(buf, text, len);
    }
}

static void dump_decimal(cel__buf *buf, amqp_decimal_t decimal)
{
    cel__buf_addf(buf, "%" PRIu32 "e-%u", decimal.value, decimal.decimals);
}

static void dump_value(cel__buf *buf, const amqp_field_value_t *value, int depth);

static void dump_array(cel__buf *buf, const amqp_array_t *array, int depth)
{
    cel__buf_add_byte(buf, '[');
    for (int i = 0; i < array->num_entries; i++) {
        if (i > 0)
            cel__buf_add_str(buf, ", ");
        dump_value(buf, &array->entries[i], depth + 1);
    }
    cel__buf_add_byte(buf, ']');
}

static void dump_value(cel__buf *buf, const amqp_field_value_t *value, int depth)
{
    if (depth > MAX_DEPTH) {
        buf->failed = true;
        return;
    }
    switch (value->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        cel__buf_add_str(buf, value->value.boolean ? "true" : "false");
        break;
    case AMQP_FIELD_KIND_I8:
        cel__buf_add_int(buf, value->value.i8);
        break;
    case AMQP_FIELD_KIND_U8:
        cel__buf_add_int(buf, value->value.u8);
        break;
    case AMQP_FIELD_KIND_I16:
        cel__buf_add_int(buf, value->value.i16);
        break;
    case AMQP_FIELD_KIND_U16:
        cel__buf_add_int(buf, value->value.u16);
        break;
    case AMQP_FIELD_KIND_I32:
        cel__buf_add_int(buf, value->value.i32);
        break;
    case AMQP_FIELD_KIND_U32:
        cel__buf_add_int(buf, value->value.u32);
        break;
    case AMQP_FIELD_KIND_I64:
        cel__buf_add_int(buf, value->value.i64);
        break;
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        cel__buf_add_int(buf, (int64_t)value->value.u64);
        break;
    case AMQP_FIELD_KIND_F32:
        dump_double(buf, (double)value->value.f32);
        break;
    case AMQP_FIELD_KIND_F64:
        dump_double(buf, value->value.f64);
        break;
    case AMQP_FIELD_KIND_DECIMAL:
        dump_decimal(buf, value->value.decimal);
        break;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        cel__buf_add_json(buf, as_view(value->value.bytes));
        break;
    case AMQP_FIELD_KIND_ARRAY:
        dump_array(buf, &value->value.array, depth);
        break;
    case AMQP_FIELD_KIND_TABLE:
        dump_table(buf, &value->value.table, depth + 1);
        break;
    default:
        cel__buf_add_str(buf, "null");
        break;
    }
}

static void dump_table(cel__buf *buf, const amqp_table_t *table, int depth)
{
    cel__buf_add_byte(buf, '{');
    for (int i = 0; i < table->num_entries; i++) {
        if (i > 0)
            cel__buf_add_str(buf, ", ");
        cel__buf_add_json(buf, as_view(table->entries[i].key));
        cel__buf_add_str(buf, ": ");
        dump_value(buf, &table->entries[i].value, depth);
    }
    cel__buf_add_byte(buf, '}');
}

void cel__amqp_table_dump(cel__buf *buf, const amqp_table_t *table)
{
    dump_table(buf, table, 0);
}
