/* state.c - what has become of workers and tasks: cel_event_state.
 *
 * The rules are those of celery.events.state. Records are in a table by name and in a list by when
 * something was last heard of them; the oldest is forgotten when there are too many. Whoever says
 * events may say anything, so of each only so many fields and so many bytes are kept. */
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "celeriac/events.h"
#include "core/mem.h"

#define WORKERS_MAX    5000
#define TASKS_MAX      10000
#define TEXT_MAX       4096 /* bytes of one */
#define NAME_MAX_BYTES 255  /* of ids, host names and names of fields */
#define FIELDS_MAX     64   /* of a record */
#define LIST_MAX       8    /* numbers of a list: loadavg has three */
#define FREQ_S         60   /* of a worker that has not said it */
#define WINDOW         2.0  /* so many intervals a heartbeat may be late */

typedef struct event_record {
    UT_hash_handle hh;
    struct event_record *prev, *next; /* the one heard of last is first */
    json_t *fields;                   /* owned; an object */
    char name[];
} event_record;

typedef struct event_book {
    event_record *table, *list;
    size_t max;
} event_book;

struct cel_event_state {
    event_book workers, tasks;
};

/* ---- records ---- */

static event_record *find(const event_book *book, const char *name)
{
    event_record *found;

    HASH_FIND_STR(book->table, name, found);
    return found;
}

static void forget(event_book *book, event_record *old)
{
    HASH_DEL(book->table, old);
    DL_DELETE(book->list, old);
    json_decref(old->fields);
    cel__free(old);
}

/* The record of this name, made if there is none, and first in the list. NULL: no memory. */
static event_record *touch(event_book *book, const char *name, bool *fresh)
{
    event_record *found = find(book, name);

    *fresh = !found;
    if (found) {
        DL_DELETE(book->list, found);
        DL_PREPEND(book->list, found);
        return found;
    }
    found = cel__calloc(1, sizeof *found + strlen(name) + 1);
    if (!found)
        return NULL;
    found->fields = json_object();
    if (!found->fields) {
        cel__free(found);
        return NULL;
    }
    strcpy(found->name, name);
    if (HASH_COUNT(book->table) >= book->max)
        forget(book, book->list->prev);
    HASH_ADD_STR(book->table, name, found);
    DL_PREPEND(book->list, found);
    return found;
}

/* ---- fields ---- */

static json_t *cut_text(const json_t *text)
{
    const char *bytes = json_string_value(text);
    size_t len = json_string_length(text);

    if (len > TEXT_MAX) {
        len = TEXT_MAX;
        while (len > 0 && ((unsigned char)bytes[len] & 0xc0) == 0x80)
            len--;
    }
    return json_stringn(bytes, len);
}

static json_t *copy_list(const json_t *list)
{
    json_t *copy = json_array();
    const json_t *value;
    size_t i;

    json_array_foreach(list, i, value)
    {
        if (i < LIST_MAX && json_is_number(value))
            json_array_append_new(copy, json_copy((json_t *)value));
    }
    return copy;
}

static bool set(json_t *fields, const char *name, json_t *value)
{
    return json_object_set_new(fields, name, value) == 0;
}

static bool keep(json_t *fields, const char *name, const json_t *value)
{
    if (strlen(name) > NAME_MAX_BYTES ||
        (json_object_size(fields) >= FIELDS_MAX && !json_object_get(fields, name)))
        return true;
    if (json_is_string(value))
        return set(fields, name, cut_text(value));
    if (json_is_array(value))
        return set(fields, name, copy_list(value));
    return json_is_object(value) || set(fields, name, json_copy((json_t *)value));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && *text && strlen(text) <= NAME_MAX_BYTES ? text : NULL;
}

/* ---- workers ---- */

static bool add_to_worker(cel_event_state *state, const char *subject, const json_t *event)
{
    const char *hostname = text_of(event, "hostname");
    const json_t *received = json_object_get(event, "local_received");
    bool fresh, good = true;
    const char *name;
    json_t *value;

    if (!hostname)
        return true;
    event_record *worker = touch(&state->workers, hostname, &fresh);
    if (!worker)
        return false;
    json_object_foreach((json_t *)event, name, value)
    {
        if (strcmp(name, "type") != 0 && strcmp(name, "local_received") != 0)
            good = keep(worker->fields, name, value) && good;
    }
    if (strcmp(subject, "offline") == 0)
        json_object_del(worker->fields, "heartbeat");
    else if (json_is_number(received))
        good = keep(worker->fields, "heartbeat", received) && good;
    return good;
}

bool cel_event_worker_alive(const json_t *worker, double now_s)
{
    const json_t *beat = json_object_get(worker, "heartbeat");
    const json_t *freq = json_object_get(worker, "freq");
    double interval = json_is_number(freq) ? json_number_value(freq) : FREQ_S;

    return json_is_number(beat) && now_s < json_number_value(beat) + interval * WINDOW;
}

/* ---- tasks ---- */

/* Of what they say; the later in the life of a task, the smaller the rank. */
static const struct task_state {
    const char *subject, *state;
    int rank;
} states[] = {
    {"succeeded", "SUCCESS", 0}, {"failed", "FAILURE", 1},    {"revoked", "REVOKED", 3},
    {"started", "STARTED", 4},   {"received", "RECEIVED", 5}, {"rejected", "REJECTED", 6},
    {"retried", "RETRY", 7},     {"sent", "PENDING", 8},
};

#define CUSTOM_RANK 2

static int rank_of(const char *state)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcmp(states[i].state, state) == 0)
            return states[i].rank;
    }
    return CUSTOM_RANK;
}

/* A task that says "progress" itself is in the state PROGRESS. */
static void name_state(char out[NAME_MAX_BYTES + 1], const char *subject, bool *known)
{
    size_t i = 0;

    *known = false;
    for (size_t n = 0; n < sizeof states / sizeof *states; n++) {
        if (strcmp(states[n].subject, subject) == 0) {
            strcpy(out, states[n].state);
            *known = true;
            return;
        }
    }
    for (; subject[i] && i < NAME_MAX_BYTES; i++)
        out[i] = subject[i] >= 'a' && subject[i] <= 'z' ? (char)(subject[i] - 'a' + 'A')
                                                        : subject[i];
    out[i] = '\0';
}

/* What is taken of an event that comes too late, from task-received: what the task is. */
static bool is_lasting(const char *name)
{
    static const char *const lasting[] = {"name",    "args",    "kwargs", "parent_id",
                                          "root_id", "retries", "eta",    "expires"};

    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++) {
        if (strcmp(lasting[i], name) == 0)
            return true;
    }
    return false;
}

static bool merge(json_t *fields, const json_t *event, bool lasting_only, bool with_worker)
{
    const char *name;
    json_t *value;
    bool good = true;

    json_object_foreach((json_t *)event, name, value)
    {
        if (strcmp(name, "type") == 0 || strcmp(name, "hostname") == 0 ||
            strcmp(name, "timestamp") == 0 || (lasting_only && !is_lasting(name)))
            continue;
        good = keep(fields, name, value) && good;
    }
    value = json_object_get(event, "hostname");
    if (json_is_string(value))
        good = keep(fields, with_worker ? "worker" : "client", value) && good;
    return good;
}

static bool add_to_task(cel_event_state *state, const char *subject, const json_t *event)
{
    const char *uuid = text_of(event, "uuid");
    const json_t *timestamp = json_object_get(event, "timestamp");
    char name[NAME_MAX_BYTES + 1];
    bool fresh, known, good = true;

    if (!uuid || !*subject || !json_is_number(timestamp))
        return true;
    event_record *task = touch(&state->tasks, uuid, &fresh);
    if (!task)
        return false;
    const char *before = json_string_value(
        json_object_get(task->fields, "state")); /* a view: kept until it is replaced */
    bool is_sent = strcmp(subject, "sent") == 0;
    name_state(name, subject, &known);
    bool late = before && strcmp(name, "RETRY") != 0 && strcmp(before, "RETRY") != 0 &&
                rank_of(name) > rank_of(before);
    if (known)
        good = keep(task->fields, subject, timestamp);
    good = merge(task->fields, event, late && strcmp(name, "RECEIVED") == 0, !is_sent) && good;
    if (!late)
        good = set(task->fields, "state", json_string(name)) &&
               keep(task->fields, "timestamp", timestamp) && good;
    return good;
}

cel_code cel_event_state_add(cel_event_state *state, const json_t *event, cel_error *err)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    bool good = true;

    if (type && strncmp(type, "worker-", 7) == 0)
        good = add_to_worker(state, type + 7, event);
    else if (type && strncmp(type, "task-", 5) == 0)
        good = add_to_task(state, type + 5, event);
    return good ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "no memory for what was heard");
}

/* ---- the rest ---- */

cel_code
cel_event_state_new(cel_event_state **out, size_t max_workers, size_t max_tasks, cel_error *err)
{
    cel_event_state *state = cel__calloc(1, sizeof *state);

    if (!state)
        return cel_error_set(err, CEL_ENOMEM, "no memory for the state of a cluster");
    state->workers.max = max_workers ? max_workers : WORKERS_MAX;
    state->tasks.max = max_tasks ? max_tasks : TASKS_MAX;
    *out = state;
    return CEL_OK;
}

static void clear(event_book *book)
{
    while (book->list)
        forget(book, book->list);
}

void cel_event_state_free(cel_event_state *state)
{
    if (!state)
        return;
    clear(&state->workers);
    clear(&state->tasks);
    cel__free(state);
}

static const json_t *fields_of(const event_book *book, const char *name)
{
    const event_record *found = find(book, name);

    return found ? found->fields : NULL;
}

const json_t *cel_event_state_task(const cel_event_state *state, const char *uuid)
{
    return fields_of(&state->tasks, uuid);
}

const json_t *cel_event_state_worker(const cel_event_state *state, const char *hostname)
{
    return fields_of(&state->workers, hostname);
}

static void
visit(const event_book *book, bool (*each)(void *user, const json_t *fields), void *user)
{
    const event_record *one;

    DL_FOREACH(book->list, one)
    {
        if (!each(user, one->fields))
            return;
    }
}

void cel_event_state_tasks(const cel_event_state *state,
                           bool (*each)(void *user, const json_t *task),
                           void *user)
{
    visit(&state->tasks, each, user);
}

void cel_event_state_workers(const cel_event_state *state,
                             bool (*each)(void *user, const json_t *worker),
                             void *user)
{
    visit(&state->workers, each, user);
}

size_t cel_event_state_task_count(const cel_event_state *state)
{
    return HASH_COUNT(state->tasks.table);
}

size_t cel_event_state_worker_count(const cel_event_state *state)
{
    return HASH_COUNT(state->workers.table);
}
