/* unpack.c - binding arguments to parameters, with the rules, the order and the words of CPython's
 * initialize_locals() (Python/ceval.c): keywords first, then too many positional ones, then missing
 * positional ones, then missing keyword-only ones. */
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "app/request.h"
#include "core/json.h"

#define PARAMS_MAX 64

struct param {
    cel_view name;
    char type;
    bool optional, keyword_only;
};

struct binding {
    cel_request *req;
    cel_view function; /* its name in messages */
    struct param params[PARAMS_MAX];
    json_t *values[PARAMS_MAX]; /* borrowed; NULL: not given */
    size_t count;               /* parameters */
    size_t positional;          /* the first of them: may be given by position */
    size_t required;            /* of these: without a default */
};

/* ---- the specification ---- */

static bool read_param(struct binding *binding, cel_view word, bool optional, bool keyword_only)
{
    struct param *param = &binding->params[binding->count];

    if (binding->count == PARAMS_MAX || word.len < 3 || word.ptr[word.len - 2] != ':' ||
        !strchr("IiFbszOLD", word.ptr[word.len - 1]))
        return false;
    *param = (struct param){
        {word.ptr, word.len - 2}, word.ptr[word.len - 1], optional, keyword_only};
    binding->values[binding->count] = NULL;
    binding->count++;
    if (!keyword_only) {
        binding->positional++;
        binding->required += !optional;
    }
    return true;
}

static bool read_spec(struct binding *binding, const char *spec)
{
    bool optional = false, keyword_only = false;

    while (*(spec += strspn(spec, " "))) {
        size_t len = strcspn(spec, " |*");

        if (*spec == '|')
            optional = true;
        else if (*spec == '*')
            keyword_only = true;
        else if (!read_param(binding, (cel_view){spec, len}, optional, keyword_only))
            return false;
        spec += len > 0 ? len : 1;
    }
    return true;
}

/* ---- messages ---- */

static cel_code raise_text(struct binding *binding, const char *type, cel__buf *text)
{
    const char *line = cel__buf_cstr(text);

    cel_raise(binding->req, type, "%s", line ? line : "out of memory");
    cel__buf_done(text);
    return CEL_EINVAL;
}

/* 'x'   'x' and 'y'   'x', 'y', and 'z' */
static void add_names(cel__buf *text, const cel_view *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && count > 2)
            cel__buf_add_str(text, ", ");
        if (i > 0 && i == count - 1)
            cel__buf_add_str(text, count > 2 ? "and " : " and ");
        cel__buf_addf(text, "'%.*s'", CEL_VIEW_ARG(names[i]));
    }
}

static cel_code raise_keyword(struct binding *binding, const char *fmt, const char *name)
{
    cel__buf text = {0};

    cel__buf_addf(&text, "%.*s() ", CEL_VIEW_ARG(binding->function));
    cel__buf_add_str(&text, fmt);
    cel__buf_addf(&text, " '%s'", name);
    return raise_text(binding, "TypeError", &text);
}

static cel_code raise_too_many(struct binding *binding, size_t given)
{
    cel__buf text = {0};
    size_t keyword_only = 0;
    size_t allowed = binding->positional;
    bool plural = binding->required < allowed || allowed != 1;

    for (size_t i = allowed; i < binding->count; i++)
        keyword_only += binding->values[i] != NULL;
    cel__buf_addf(&text, "%.*s() takes ", CEL_VIEW_ARG(binding->function));
    if (binding->required < allowed)
        cel__buf_addf(&text, "from %zu to ", binding->required);
    cel__buf_addf(&text, "%zu positional argument%s but %zu", allowed, plural ? "s" : "",
                  given);
    if (keyword_only > 0)
        cel__buf_addf(&text, " positional argument%s (and %zu keyword-only argument%s)",
                      given != 1 ? "s" : "", keyword_only, keyword_only != 1 ? "s" : "");
    cel__buf_add_str(&text, given == 1 && keyword_only == 0 ? " was given" : " were given");
    return raise_text(binding, "TypeError", &text);
}

/* Raises if a required one of the parameters from `from` to `to` is missing. */
static cel_code check_missing(struct binding *binding, size_t from, size_t to, const char *kind)
{
    cel_view names[PARAMS_MAX];
    cel__buf text = {0};
    size_t count = 0;

    for (size_t i = from; i < to; i++)
        if (!binding->values[i] && !binding->params[i].optional)
            names[count++] = binding->params[i].name;
    if (count == 0)
        return CEL_OK;
    cel__buf_addf(&text, "%.*s() missing %zu required %s argument%s: ",
                  CEL_VIEW_ARG(binding->function), count, kind, count == 1 ? "" : "s");
    add_names(&text, names, count);
    return raise_text(binding, "TypeError", &text);
}

/* ---- binding ---- */

static cel_code bind_keywords(struct binding *binding, json_t *kwargs)
{
    const char *key;
    json_t *value;

    json_object_foreach(kwargs, key, value)
    {
        size_t i = 0;

        while (i < binding->count && !cel__view_is(binding->params[i].name, key))
            i++;
        if (i == binding->count)
            return raise_keyword(binding, "got an unexpected keyword argument", key);
        if (binding->values[i])
            return raise_keyword(binding, "got multiple values for argument", key);
        binding->values[i] = value;
    }
    return CEL_OK;
}

static cel_code bind_arguments(struct binding *binding)
{
    json_t *args = (json_t *)cel_request_args(binding->req);
    json_t *kwargs = (json_t *)cel_request_kwargs(binding->req);
    size_t given = json_array_size(args);
    cel_code code;

    if (!args || !kwargs)
        return CEL_EINVAL; /* raised: they hold what C cannot hold */
    for (size_t i = 0; i < given && i < binding->positional; i++)
        binding->values[i] = json_array_get(args, i);
    code = bind_keywords(binding, kwargs);
    if (code == CEL_OK && given > binding->positional)
        code = raise_too_many(binding, given);
    if (code == CEL_OK)
        code = check_missing(binding, 0, binding->positional, "positional");
    if (code == CEL_OK)
        code = check_missing(binding, binding->positional, binding->count, "keyword-only");
    return code;
}

/* ---- values ---- */

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "dict";
    case JSON_ARRAY:
        return "list";
    case JSON_STRING:
        return "str";
    case JSON_INTEGER:
        return "int";
    case JSON_REAL:
        return "float";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "NoneType";
    }
}

static cel_code raise_type(struct binding *binding, size_t i, const char *wanted)
{
    cel__buf text = {0};

    cel__buf_addf(&text, "%.*s() argument '%.*s' must be %s, not %s",
                  CEL_VIEW_ARG(binding->function), CEL_VIEW_ARG(binding->params[i].name),
                  wanted, type_name(binding->values[i]));
    return raise_text(binding, "TypeError", &text);
}

static cel_code
raise_value(struct binding *binding, size_t i, const char *type, const char *why)
{
    cel__buf text = {0};

    cel__buf_addf(&text, "%.*s() argument '%.*s': %s", CEL_VIEW_ARG(binding->function),
                  CEL_VIEW_ARG(binding->params[i].name), why);
    return raise_text(binding, type, &text);
}

static bool read_integer(const json_t *value, json_int_t *out)
{
    if (!json_is_integer(value) && !json_is_boolean(value))
        return false;
    *out = json_is_integer(value) ? json_integer_value(value) : json_is_true(value);
    return true;
}

static cel_code give_integer(struct binding *binding, size_t i, void *out)
{
    json_int_t value;

    if (!read_integer(binding->values[i], &value))
        return raise_type(binding, i, "int");
    if (binding->params[i].type == 'I') {
        *(json_int_t *)out = value;
        return CEL_OK;
    }
    if (value < INT_MIN || value > INT_MAX)
        return raise_value(binding, i, "OverflowError",
                           value < 0 ? "signed integer is less than minimum"
                                     : "signed integer is greater than maximum");
    *(int *)out = (int)value;
    return CEL_OK;
}

static cel_code give_string(struct binding *binding, size_t i, const char **out)
{
    json_t *value = binding->values[i];
    bool nullable = binding->params[i].type == 'z';

    if (nullable && json_is_null(value)) {
        *out = NULL;
        return CEL_OK;
    }
    if (!json_is_string(value))
        return raise_type(binding, i, nullable ? "str or None" : "str");
    if (strlen(json_string_value(value)) != json_string_length(value))
        return raise_value(binding, i, "ValueError", "embedded null character");
    *out = json_string_value(value);
    return CEL_OK;
}

static cel_code give_value(struct binding *binding, size_t i, void *out)
{
    json_t *value = binding->values[i];
    json_int_t integer;

    switch (binding->params[i].type) {
    case 'I':
    case 'i':
        return give_integer(binding, i, out);
    case 'F':
        if (read_integer(value, &integer))
            *(double *)out = (double)integer;
        else if (json_is_real(value))
            *(double *)out = json_real_value(value);
        else
            return raise_type(binding, i, "real number");
        return CEL_OK;
    case 'b':
        if (!json_is_boolean(value))
            return raise_type(binding, i, "bool");
        *(bool *)out = json_is_true(value);
        return CEL_OK;
    case 's':
    case 'z':
        return give_string(binding, i, out);
    case 'L':
        if (!json_is_array(value))
            return raise_type(binding, i, "list");
        break;
    case 'D':
        if (!json_is_object(value))
            return raise_type(binding, i, "dict");
        break;
    default:
        break;
    }
    *(json_t **)out = value;
    return CEL_OK;
}

cel_code cel_unpack(cel_request *req, const char *spec, ...)
{
    struct binding binding;
    cel_code code;
    va_list list;

    binding.req = req;
    binding.function = cel__task_short_name(cel__view(req->entry->name));
    binding.count = binding.positional = binding.required = 0;
    if (!read_spec(&binding, spec)) {
        cel_raise(req, "SystemError", "cel_unpack(): bad specification \"%s\"", spec);
        return CEL_EINVAL;
    }
    code = bind_arguments(&binding);
    va_start(list, spec);
    for (size_t i = 0; i < binding.count && code == CEL_OK; i++) {
        void *out = va_arg(list, void *);
        const json_t *value = binding.values[i];

        if (!value || (json_is_null(value) && binding.params[i].optional))
            continue; /* the default stays */
        code = give_value(&binding, i, out);
    }
    va_end(list);
    return code;
}
