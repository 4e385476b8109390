/* hooks.h - what is called around a task's function: the hooks of its options, and the app's signals. On the thread that runs the task. */
#ifndef CEL_APP_HOOKS_H
#define CEL_APP_HOOKS_H

#include "app/request.h"

/* Whether the function is to be called: false if the hook has ended the request. */
bool cel__hooks_before(cel_request *req);

/* Tells how the request has ended; `value` is the result if the function returned one. Changes nothing about
 * the end. */
void cel__hooks_after(cel_request *req, const json_t *value);

#endif
