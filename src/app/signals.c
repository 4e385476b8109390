/* signals.c - one list of callbacks by app, in the order in which they were connected. */
#include "app/signals.h"

#include "core/mem.h"

struct cel_signal_node {
    struct cel_signal_node *next;
    cel_signal signal;
    cel_signal_fn fn;
    void *user;
};

#define CEL_X(NAME, name, when) #name,
static const char *const names[] = {CEL_SIGNALS(CEL_X)};
#undef CEL_X

static bool is_signal(cel_signal signal)
{
    return (unsigned)signal < CEL_SIGNAL_COUNT;
}

const char *cel_signal_name(cel_signal signal)
{
    return is_signal(signal) ? names[signal] : NULL;
}

cel_code cel_signal_connect(
    cel_app *app, cel_signal signal, cel_signal_fn fn, void *user, cel_error *err)
{
    struct cel_signal_node **at, *node;

    if (!app || !fn || !is_signal(signal))
        return cel_error_set(err, CEL_EINVAL, "no app, no function or no such signal");
    node = cel__calloc(1, sizeof *node);
    if (!node)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a callback of %s", names[signal]);
    *node = (struct cel_signal_node){.signal = signal, .fn = fn, .user = user};
    for (at = &app->signals; *at; at = &(*at)->next)
        continue;
    *at = node;
    app->signals_wanted |= 1u << signal;
    return CEL_OK;
}

bool cel__signal_wanted(const cel_app *app, cel_signal signal)
{
    return app->signals_wanted & (1u << signal);
}

void cel__signal_send(cel_app *app, const cel_signal_event *event)
{
    cel_signal_event told = *event;

    if (!cel__signal_wanted(app, event->signal))
        return;
    told.app = app;
    for (const struct cel_signal_node *node = app->signals; node; node = node->next)
        if (node->signal == event->signal)
            node->fn(&told, node->user);
}

static size_t add_text(cel__buf *buf, cel_view text)
{
    size_t at = buf->len;

    cel__buf_add_view(buf, text);
    cel__buf_add_byte(buf, '\0');
    return at;
}

void cel__signal_message(
    cel_app *app, cel_signal signal, cel_view task, cel_view task_id, cel_view routing_key)
{
    cel__buf texts = {0};
    size_t at[3];

    if (!cel__signal_wanted(app, signal))
        return;
    at[0] = add_text(&texts, task);
    at[1] = add_text(&texts, task_id);
    at[2] = add_text(&texts, routing_key);
    if (!texts.failed)
        cel__signal_send(app, &(cel_signal_event){
                                  .signal = signal,
                                  .task = task.ptr ? texts.ptr + at[0] : NULL,
                                  .task_id = task_id.ptr ? texts.ptr + at[1] : NULL,
                                  .routing_key = routing_key.ptr ? texts.ptr + at[2] : NULL,
                              });
    cel__buf_done(&texts);
}

void cel__signals_free(struct cel_signal_node *nodes)
{
    while (nodes) {
        struct cel_signal_node *next = nodes->next;

        cel__free(nodes);
        nodes = next;
    }
}
