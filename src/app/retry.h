/* retry.h - the message of a task that is to be run again. */
#ifndef CEL_APP_RETRY_H
#define CEL_APP_RETRY_H

#include "app/follow.h"
#include "app/request.h"

/* Adds the MESSAGE section: the request's own message with retries + 1 and an ETA. */
cel_code cel__retry_message(const cel_follow *follow, cel_request *req, cel_error *err);

/* Appends what Python's str(Retry) says: Retry in 180s: ValueError('boom'). */
void cel__retry_text(cel__buf *buf, const cel_request *req);

#endif
