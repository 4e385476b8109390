/* amqp_table.h - headers: the text of a JSON object <-> an AMQP table, with the tags that
 * py-amqp uses (str S, bool t, int I or L, float d, dict F, list A, None V). On reading every
 * tag is understood. Pure; any thread. */
#ifndef CEL_BROKER_AMQP_TABLE_H
#define CEL_BROKER_AMQP_TABLE_H

#include <amqp.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "core/view.h"

/* Makes a table of the object in `json`; entries and strings live in `pool`, or are views into
 * `json`. CEL_EINVAL if it is no object or holds what a table cannot: a key of more than 255
 * bytes, an integer beyond 64 bits, too much nesting; the message names the key. CEL_ENOMEM. */
cel_code
cel__amqp_table_load(amqp_table_t *out, cel_view json, amqp_pool_t *pool, cel_error *err);

/* Appends the table as the text of a JSON object, as Python's json.dumps() writes it. Times
 * become their seconds, bytes a string. Tables nested too deeply make the buffer fail. */
void cel__amqp_table_dump(cel__buf *buf, const amqp_table_t *table);

#endif
