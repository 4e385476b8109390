/* registry.c - a hash table of tasks by name. It is kept sorted while it is filled, so that a walk
 * needs no memory and any thread may walk. */
#include "app/registry.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/utf8.h"

#define HASH_NONFATAL_OOM         1
#define uthash_malloc(size)       cel__malloc(size)
#define uthash_free(ptr, size)    cel__free(ptr)
#define uthash_nonfatal_oom(node) ((node)->lost = true)
#include <uthash.h>

struct node {
    cel_task_entry entry;
    UT_hash_handle hh;
    bool lost; /* there was no memory to put it into the table */
};

struct cel_registry {
    struct node *nodes; /* the table, keyed by entry.name */
};

cel_code cel__registry_new(cel_registry **out, cel_error *err)
{
    cel_registry *registry = cel__calloc(1, sizeof *registry);

    if (!registry)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a task registry");
    *out = registry;
    return CEL_OK;
}

/* Where the options' texts are. */
static const size_t texts[] = {
    offsetof(cel_task_options, rate_limit),
    offsetof(cel_task_options, queue),
    offsetof(cel_task_options, throws),
    offsetof(cel_task_options, autoretry_for),
    offsetof(cel_task_options, dont_autoretry_for),
    offsetof(cel_task_options, exchange),
    offsetof(cel_task_options, routing_key),
    offsetof(cel_task_options, serializer),
    offsetof(cel_task_options, compression),
    offsetof(cel_task_options, sensitive),
};

#define TEXT_COUNT (sizeof texts / sizeof texts[0])

static const char **text_at(cel_task_options *options, size_t i)
{
    return (const char **)(void *)((char *)options + texts[i]);
}

static void free_options(cel_task_options *options)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        cel__free((char *)*text_at(options, i));
}

static void free_node(struct node *node)
{
    if (!node)
        return;
    free_options(&node->entry.options);
    cel__free(node->entry.name);
    cel__free(node);
}

void cel__registry_free(cel_registry *registry)
{
    struct node *node, *next;

    if (!registry)
        return;
    HASH_ITER(hh, registry->nodes, node, next)
    {
        HASH_DEL(registry->nodes, node);
        free_node(node);
    }
    cel__free(registry);
}

/* "100/s", "10/m", "5/h", "0.5/s", "3": what Celery's rate() takes. */
static bool is_rate(const char *text)
{
    char *end;

    if (!isdigit((unsigned char)*text) && *text != '.')
        return false;
    double rate = strtod(text, &end);
    if (end == text || !isfinite(rate) || strspn(text, "0123456789.") != (size_t)(end - text))
        return false;
    return *end == '\0' || (*end == '/' && end[1] && strchr("smh", end[1]) && end[2] == '\0');
}

static bool is_tristate(int value)
{
    return value >= -1 && value <= 1;
}

static bool is_duration(int64_t ms)
{
    return ms >= 0 && ms <= CEL_MAX_MS;
}

/* Returns the name of the first option that is out of range, or NULL. */
static const char *check_options(const cel_task_options *options)
{
    if (options->max_retries < -2)
        return "max_retries";
    if (!is_duration(options->default_retry_delay_ms))
        return "default_retry_delay_ms";
    if (options->rate_limit && !is_rate(options->rate_limit))
        return "rate_limit";
    if (!is_duration(options->time_limit_ms))
        return "time_limit_ms";
    if (!is_duration(options->soft_time_limit_ms))
        return "soft_time_limit_ms";
    if (!is_tristate(options->acks_late))
        return "acks_late";
    if (!is_tristate(options->reject_on_worker_lost))
        return "reject_on_worker_lost";
    if (!is_tristate(options->ignore_result))
        return "ignore_result";
    if (!is_tristate(options->track_started))
        return "track_started";
    if (!is_tristate(options->store_errors_even_if_ignored))
        return "store_errors_even_if_ignored";
    if (!is_tristate(options->send_events))
        return "send_events";
    if (options->queue && !*options->queue)
        return "queue";
    if (!is_duration(options->retry_backoff_ms))
        return "retry_backoff_ms";
    if (!is_duration(options->retry_backoff_max_ms))
        return "retry_backoff_max_ms";
    if (!is_tristate(options->retry_jitter))
        return "retry_jitter";
    if (!is_tristate(options->acks_on_failure_or_timeout))
        return "acks_on_failure_or_timeout";
    if (options->priority < 0 || options->priority > 255)
        return "priority";
    if (!is_duration(options->expires_ms))
        return "expires_ms";
    return NULL;
}

static cel_code
check_task(const char *name, cel_task_fn fn, const cel_task_options *options, cel_error *err)
{
    const char *option;

    if (!name || !*name)
        return cel_error_set(err, CEL_EINVAL, "a task needs a name");
    if (strlen(name) > CEL_TASK_NAME_MAX)
        return cel_error_set(err, CEL_EINVAL,
                             "task '%.40s...': the name is longer than 255 bytes", name);
    if (!cel__utf8_valid(name, strlen(name)))
        return cel_error_set(err, CEL_EINVAL, "the name of a task is no UTF-8");
    if (!fn)
        return cel_error_set(err, CEL_EINVAL, "task '%s' has no function", name);
    option = check_options(options);
    if (option)
        return cel_error_set(err, CEL_EINVAL, "task '%s': %s is out of range", name, option);
    return CEL_OK;
}

/* Replaces a view by a copy; false when out of memory (then it is NULL). */
static bool own(const char **text)
{
    const char *view = *text;

    *text = cel__strdup(view);
    return !view || *text;
}

static cel_code
copy_options(cel_task_options *out, const cel_task_options *options, cel_error *err)
{
    cel_task_options copy = *options;
    bool ok = true;

    for (size_t i = 0; i < TEXT_COUNT; i++)
        ok = own(text_at(&copy, i)) && ok;
    if (!ok) {
        free_options(&copy);
        return cel_error_set(err, CEL_ENOMEM, "no memory for a task");
    }
    *out = copy;
    return CEL_OK;
}

static int by_name(const struct node *a, const struct node *b)
{
    return strcmp(a->entry.name, b->entry.name);
}

static cel_code insert(cel_registry *registry,
                       const char *name,
                       cel_task_fn fn,
                       const cel_task_options *options,
                       cel_error *err)
{
    struct node *node = cel__calloc(1, sizeof *node);

    if (!node || !(node->entry.name = cel__strdup(name)))
        goto fail;
    node->entry.fn = fn;
    node->entry.options = *options;
    HASH_ADD_KEYPTR_INORDER(hh, registry->nodes, node->entry.name, strlen(node->entry.name),
                            node, by_name);
    if (node->lost)
        goto fail;
    return CEL_OK;

fail:
    if (node)
        cel__free(node->entry.name);
    cel__free(node);
    return cel_error_set(err, CEL_ENOMEM, "no memory for task '%s'", name);
}

static struct node *find(const cel_registry *registry, cel_view name)
{
    struct node *node;

    HASH_FIND(hh, registry->nodes, name.ptr, name.len, node);
    return node;
}

cel_code cel__registry_add(cel_registry *registry,
                           const char *name,
                           cel_task_fn fn,
                           const cel_task_options *options,
                           cel_error *err)
{
    cel_task_options given = {0};
    cel_task_options copy;

    /* An older caller knows fewer options: those it does not know are zero. */
    if (options && options->size == 0)
        return cel_error_set(err, CEL_EINVAL, "task '%s': options.size is zero",
                             name ? name : "");
    if (options)
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    given.size = sizeof given;
    cel_code code = check_task(name, fn, &given, err);
    if (code)
        return code;
    code = copy_options(&copy, &given, err);
    if (code)
        return code;
    struct node *node = find(registry, cel__view(name));
    if (!node) {
        code = insert(registry, name, fn, &copy, err);
        if (code)
            free_options(&copy);
        return code;
    }
    free_options(&node->entry.options);
    node->entry.options = copy;
    node->entry.fn = fn;
    node->entry.program = NULL;
    return CEL_OK;
}

cel_code cel__registry_set_rate_limit(cel_task_entry *entry, const char *rate_limit)
{
    char *copy = cel__strdup(rate_limit);

    if (rate_limit && !copy)
        return CEL_ENOMEM;
    cel__free((char *)entry->options.rate_limit);
    entry->options.rate_limit = copy;
    return CEL_OK;
}

cel_task_entry *cel__registry_find(const cel_registry *registry, cel_view name)
{
    struct node *node = name.ptr ? find(registry, name) : NULL;

    return node ? &node->entry : NULL;
}

void cel__registry_each(const cel_registry *registry,
                        void (*each)(void *user, cel_task_entry *entry),
                        void *user)
{
    for (struct node *node = registry->nodes; node; node = node->hh.next)
        each(user, &node->entry);
}

size_t cel__registry_count(const cel_registry *registry)
{
    return HASH_COUNT(registry->nodes);
}
