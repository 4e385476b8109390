/* sent.c - see sent.h. The fields are those of sent_event in celery/app/amqp.py. */
#include "app/sent.h"

#include "message/event.h"
#include "message/task.h"

#define AT_ONCE 32 /* events of one publish */

static void add_event(cel__buf *buf,
                      cel_app *app,
                      cel_view head,
                      const cel_message *message,
                      const cel_task_headers *task)
{
    bool by_queue = message->exchange.len == 0;

    cel__event_begin(buf, head, cel__lamport_forward(&app->lamport));
    cel__event_text(buf, "uuid", task->id);
    cel__event_text(buf, "root_id", task->root_id);
    cel__event_text(buf, "parent_id", task->parent_id);
    cel__event_text(buf, "name", task->task);
    cel__event_text(buf, "args", task->argsrepr.ptr ? task->argsrepr : CEL_VIEW(""));
    cel__event_text(buf, "kwargs", task->kwargsrepr.ptr ? task->kwargsrepr : CEL_VIEW(""));
    cel__event_int(buf, "retries", task->retries);
    cel__event_time(buf, "eta", task->eta_us);
    cel__event_time(buf, "expires", task->expires_us);
    cel__event_text(buf, "queue", by_queue ? message->routing_key : (cel_view){NULL, 0});
    cel__event_text(buf, "exchange", message->exchange.ptr ? message->exchange : CEL_VIEW(""));
    cel__event_text(buf, "routing_key", message->routing_key);
    cel__event_end(buf, cel__clock_wall_us(app->clock), "task-sent");
}

static void tell_some(cel_app *app,
                      cel_broker *broker,
                      const cel_message *messages,
                      size_t count,
                      const cel_message *like,
                      cel_view head)
{
    cel_message events[AT_ONCE];
    size_t ends[AT_ONCE], used = 0, from = 0;
    cel__buf text = {0}, scratch = {0};

    for (size_t i = 0; i < count; i++) {
        cel_task_headers task;

        cel__buf_reset(&scratch);
        if (cel__task_headers_read(&task, &messages[i], &app->codings.tasks, &scratch, NULL) !=
            CEL_OK)
            continue;
        add_event(&text, app, head, &messages[i], &task);
        ends[used++] = text.len;
    }
    for (size_t i = 0; i < used; i++) {
        events[i] = *like;
        events[i].body = (cel_view){text.ptr + from, ends[i] - from};
        from = ends[i];
    }
    if (used > 0 && !text.failed)
        (void)broker->ops->publish(broker, events, used, NULL, NULL, NULL);
    cel__buf_done(&text);
    cel__buf_done(&scratch);
}

void cel__sent_tell(cel_app *app, cel_broker *broker, const cel_message *messages, size_t count)
{
    const char *exchange = cel__config_string(app->config, "event_exchange");
    cel_view origin = cel__view(app->origin);
    cel__buf head = {0}, headers = {0};

    if (!cel__config_bool(app->config, "task_send_sent_event"))
        return;
    cel__event_head(&head, origin, cel__event_utcoffset(cel__clock_wall_us(app->clock)),
                    app->pid);
    cel__event_headers(&headers, origin);
    cel_message like = {.exchange = cel__view(exchange ? exchange : "celeryev"),
                        .routing_key = CEL_VIEW("task.sent"),
                        .content_type = CEL_VIEW("application/json"),
                        .content_encoding = CEL_VIEW("utf-8"),
                        .headers = cel__buf_view(&headers),
                        .delivery_mode = 1,
                        .kind = CEL_EXCHANGE_TOPIC};
    for (size_t at = 0; at < count && !head.failed && !headers.failed; at += AT_ONCE)
        tell_some(app, broker, messages + at, count - at < AT_ONCE ? count - at : AT_ONCE,
                  &like, cel__buf_view(&head));
    cel__buf_done(&head);
    cel__buf_done(&headers);
}
