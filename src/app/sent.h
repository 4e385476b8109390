/* sent.h - task-sent, the event of who sends a task: where task_send_sent_event asks for it. */
#ifndef CEL_APP_SENT_H
#define CEL_APP_SENT_H

#include "app/app.h"
#include "broker/broker.h"

/* Tells of tasks that were just given to the broker (messages of tasks, as built by this app or as taken over; others are
 * passed over); costs nothing where nobody has asked for it. Nobody waits for it, and failures are
 * silent. On the loop of the broker. */
void cel__sent_tell(cel_app *app,
                    cel_broker *broker,
                    const cel_message *messages,
                    size_t count);

#endif
