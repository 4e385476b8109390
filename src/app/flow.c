/* flow.c - a sorted list: an app has a handful of flows. */
#include "app/flow.h"

#include <string.h>

#include "app/registry.h"
#include "core/buf.h"
#include "core/mem.h"
#include "core/utf8.h"

static void free_entry(cel_flow_entry *entry)
{
    if (!entry)
        return;
    cel__free(entry->name);
    cel__free(entry->queue);
    cel__free(entry->summary);
    cel__free(entry);
}

void cel__flows_free(cel_flow_entry *flows)
{
    while (flows) {
        cel_flow_entry *next = flows->next;

        free_entry(flows);
        flows = next;
    }
}

static cel_code
check_flow(const char *name, cel_flow_fn fn, const cel_flow_options *options, cel_error *err)
{
    if (!name || !*name)
        return cel_error_set(err, CEL_EINVAL, "a flow needs a name");
    if (strlen(name) > CEL_TASK_NAME_MAX)
        return cel_error_set(err, CEL_EINVAL,
                             "flow '%.40s...': the name is longer than %d bytes", name,
                             CEL_TASK_NAME_MAX);
    if (!cel__utf8_valid(name, strlen(name)))
        return cel_error_set(err, CEL_EINVAL, "the name of a flow is no UTF-8");
    if (!fn)
        return cel_error_set(err, CEL_EINVAL, "flow '%s' has no function", name);
    if (options->queue && !*options->queue)
        return cel_error_set(err, CEL_EINVAL, "flow '%s': queue is empty", name);
    return CEL_OK;
}

static cel_flow_entry *
make_entry(const char *name, cel_flow_fn fn, const cel_flow_options *options)
{
    cel_flow_entry *entry = cel__calloc(1, sizeof *entry);

    if (!entry)
        return NULL;
    entry->fn = fn;
    entry->user = options->user;
    entry->name = cel__strdup(name);
    entry->queue = cel__strdup(options->queue);
    entry->summary = cel__strdup(options->summary);
    if (entry->name && (!options->queue || entry->queue) &&
        (!options->summary || entry->summary))
        return entry;
    free_entry(entry);
    return NULL;
}

cel_code cel_flow_register(cel_app *app,
                           const char *name,
                           cel_flow_fn fn,
                           const cel_flow_options *options,
                           cel_error *err)
{
    cel_flow_options given = {.size = sizeof given};
    cel_flow_entry **at, *entry;
    cel_code code;

    if (!app)
        return cel_error_set(err, CEL_EINVAL, "a flow needs an app");
    if (options)
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    code = check_flow(name, fn, &given, err);
    if (code != CEL_OK)
        return code;
    entry = make_entry(name, fn, &given);
    if (!entry)
        return cel_error_set(err, CEL_ENOMEM, "no memory for flow '%s'", name);
    for (at = &app->flows; *at && strcmp((*at)->name, name) < 0; at = &(*at)->next)
        continue;
    entry->next = *at;
    if (*at && strcmp((*at)->name, name) == 0) {
        entry->next = (*at)->next;
        free_entry(*at);
    }
    *at = entry;
    return CEL_OK;
}

void cel_flow_declare(cel_app *app,
                      const char *name,
                      cel_flow_fn fn,
                      const cel_flow_options *options)
{
    cel_error err;

    if (cel_flow_register(app, name, fn, options, &err) != CEL_OK &&
        app->module_error.code == CEL_OK)
        app->module_error = err;
}

static cel_code no_flow(const cel_app *app, cel_view name, cel_error *err)
{
    cel__buf names = {0};
    cel_code code;

    for (const cel_flow_entry *flow = app->flows; flow; flow = flow->next)
        cel__buf_addf(&names, "%s%s", flow == app->flows ? "" : ", ", flow->name);
    if (!app->flows)
        code = cel_error_set(err, CEL_ENOENT, "no flow is declared here");
    else if (name.ptr)
        code = cel_error_set(err, CEL_ENOENT, "no flow '%.*s'; there is: %.*s",
                             name.len > 64 ? 64 : (int)name.len, name.ptr,
                             CEL_VIEW_ARG(cel__buf_view(&names)));
    else
        code = cel_error_set(err, CEL_ENOENT, "'flow' must name one of: %.*s",
                             CEL_VIEW_ARG(cel__buf_view(&names)));
    cel__buf_done(&names);
    return code;
}

cel_code
cel__flow_find(const cel_flow_entry **out, const cel_app *app, cel_view name, cel_error *err)
{
    const cel_flow_entry *flow = app->flows;

    if (!name.ptr && flow && !flow->next) {
        *out = flow;
        return CEL_OK;
    }
    while (flow && name.ptr && !cel__view_is(name, flow->name))
        flow = flow->next;
    if (!flow || !name.ptr)
        return no_flow(app, name, err);
    *out = flow;
    return CEL_OK;
}

cel_code cel__flow_call(cel_signature **out,
                        cel_app *app,
                        const cel_flow_entry *flow,
                        const json_t *params,
                        cel_error *err)
{
    json_t *none = params ? NULL : json_object();
    cel_error why = {0};
    cel_signature *signature =
        params || none ? flow->fn(app, params ? params : none, flow->user, &why) : NULL;

    json_decref(none);
    if (signature) {
        *out = signature;
        return CEL_OK;
    }
    if (why.code == CEL_OK)
        cel_error_set(&why, CEL_EINVAL, "flow '%s' built nothing, and did not say why",
                      flow->name);
    if (err)
        *err = why;
    return why.code;
}

cel_code cel_flow_build(
    cel_signature **out, cel_app *app, const char *name, const json_t *params, cel_error *err)
{
    const cel_flow_entry *flow;
    cel_code code;

    if (!out || !app)
        return cel_error_set(err, CEL_EINVAL, "no app, or nowhere to put the signature");
    code = cel__flow_find(&flow, app, cel__view(name), err);
    return code == CEL_OK ? cel__flow_call(out, app, flow, params, err) : code;
}
