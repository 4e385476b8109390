/* sensitive.h - arguments that nobody is to see: cel_task_options.sensitive. Pure; any thread.
 *
 * The message's body holds them as they are, for the task; what is shown of them (argsrepr and kwargsrepr, which logs
 * and events repeat, stored arguments, exceptions) has '***' in their place. */
#ifndef CEL_APP_SENSITIVE_H
#define CEL_APP_SENSITIVE_H

#include "app/registry.h"
#include "core/buf.h"
#include "message/task.h"

/* Appends the arguments (a JSON array, or an object of those by keyword) with "***" in place of the
 * sensitive ones. `entry` may be NULL: nothing is known of the task. A text that cannot be read is shown
 * as null where anything is sensitive. */
void cel__sensitive_json(cel__buf *buf, const cel_task_entry *entry, cel_view arguments);

/* The same, as Python's bounded repr(); `tuple` as for cel__json_repr(). */
void cel__sensitive_repr(cel__buf *buf,
                         const cel_task_entry *entry,
                         cel_view arguments,
                         bool tuple);

/* Fills in argsrepr and kwargsrepr of a message for a task with sensitive arguments, over what is there unless it is the
 * sender's own; the texts are in `shown`, which must live as long as the spec. Does nothing for other
 * tasks. CEL_ENOMEM. */
cel_code cel__sensitive_spec(cel_task_message *spec,
                             const cel_task_entry *entry,
                             cel__buf *shown,
                             cel_error *err);

#endif
