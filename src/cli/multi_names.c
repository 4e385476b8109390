/* multi_names.c - see multi_names.h.
 *
 * Scoped options are kept as they were given, with their scope. A node takes those whose scope is its name, then those with its place
 * alone, then lists and ranges that hold it: the order in which Celery lays its dictionaries over one another, so that the
 * same one wins where two say something else. */
#include "cli/multi_names.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define DEFAULT_COMMAND "worker --detach"
#define DEFAULT_PIDFILE "/var/run/celeriac/%n.pid"
#define DEFAULT_LOGFILE "/var/log/celeriac/%n%I.log"
#define RANGE_PREFIX    "celery"

struct block {
    struct block *next;
    max_align_t bytes[];
};

struct option {
    const char *name, *value;
    const char *scope; /* NULL: for all nodes */
};

/* What stands on the command line. */
struct line {
    struct option *options;
    const char **words;
    const char *const *rest; /* "--" and what follows it */
    size_t option_count, word_count, rest_count;
    bool range; /* one word: options may have ranges of places */
    const char *command, *append, *prefix, *suffix;
};

/* What a template's letters stand for; ends with a zero letter. */
struct letter {
    char letter;
    const char *text;
};

/* Memory that lives as long as `multi`, zeroed. */
static void *take(cel_multi *multi, size_t size)
{
    struct block *block = cel__calloc(1, sizeof *block + size);

    if (!block)
        return NULL;
    block->next = multi->blocks;
    multi->blocks = block;
    return block->bytes;
}

static const char *keep(cel_multi *multi, const char *text, size_t len)
{
    char *copy = take(multi, len + 1);

    if (copy && len > 0)
        memcpy(copy, text, len);
    return copy;
}

/* Moves what the buffer holds into `multi`. */
static cel_code keep_buf(cel_multi *multi, cel__buf *buf, const char **out, cel_error *err)
{
    cel_code code = cel__buf_check(buf, err);

    if (code == CEL_OK) {
        const char *text = keep(multi, buf->ptr, buf->len);

        if (text)
            *out = text;
        else
            code = cel_error_set(err, CEL_ENOMEM, "out of memory");
    }
    cel__buf_done(buf);
    return code;
}

void cel__multi_done(cel_multi *multi)
{
    struct block *block = multi->blocks;

    while (block) {
        struct block *next = block->next;

        cel__free(block);
        block = next;
    }
    *multi = (cel_multi){0};
}

/* ---- templates ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* As Celery: a '%' in front of anything but a letter or digit is itself, "%%" is left to the next who expands. */
static cel_code
format(cel__buf *buf, const char *text, const struct letter *letters, cel_error *err)
{
    for (const char *c = text; *c; c++) {
        const struct letter *letter = letters;

        if (*c != '%' || !is_letter(c[1])) {
            cel__buf_add_byte(buf, *c);
            continue;
        }
        c++;
        while (letter->letter && letter->letter != *c)
            letter++;
        if (!letter->letter)
            return cel_error_set(err, CEL_EINVAL, "'%s': %%%c means nothing here", text, *c);
        cel__buf_add_str(buf, letter->text);
    }
    return cel__buf_check(buf, err);
}

cel_code cel__multi_expand(cel__buf *buf,
                           const cel_multi_node *node,
                           const char *template,
                           cel_error *err)
{
    const struct letter letters[] = {
        {'n', *node->shortname ? node->shortname : RANGE_PREFIX},
        {'N', node->shortname},
        {'d', node->host},
        {'h', node->name},
        {'p', node->name},
        {'i', "%i"},
        {'I', "%I"},
        {'\0', NULL},
    };

    return format(buf, template, letters, err);
}

static cel_code expanded(cel_multi *multi,
                         const cel_multi_node *node,
                         const char *template,
                         const char **out,
                         cel_error *err)
{
    cel__buf buf = {0};
    cel_code code = cel__multi_expand(&buf, node, template, err);

    if (code == CEL_OK)
        return keep_buf(multi, &buf, out, err);
    cel__buf_done(&buf);
    return code;
}

/* ---- reading the line ---- */

static int signal_of(const char *word)
{
    char *end;
    long number;

    if (word[0] != '-' || !word[1])
        return 0;
    number = strtol(word + 1, &end, 10);
    if (isdigit((unsigned char)word[1]) && !*end && number > 0 && number < NSIG)
        return (int)number;
    word += strncmp(word, "-SIG", 4) == 0 ? 4 : 1;
    for (int i = 1; i < NSIG; i++)
        if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), word) == 0)
            return i;
    return 0;
}

/* "c:1" and a value, or "--pidfile:1"; `len` bytes of the name, its dashes included. */
static cel_code add_option(cel_multi *multi,
                           struct line *line,
                           const char *name,
                           size_t len,
                           const char *value,
                           cel_error *err)
{
    struct option *option = &line->options[line->option_count];
    const char *colon = memchr(name, ':', len);
    size_t name_len = colon ? (size_t)(colon - name) : len;

    if (name_len <= strspn(name, "-") ||
        (colon && (colon + 1 == name + len || memchr(colon + 1, ':', len - name_len - 1))))
        return cel_error_set(err, CEL_EINVAL, "'%.*s' is no option", (int)len, name);
    option->name = keep(multi, name, name_len);
    option->value = value;
    if (colon)
        option->scope = keep(multi, colon + 1, len - name_len - 1);
    if (!option->name || (colon && !option->scope))
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    line->option_count++;
    return CEL_OK;
}

static cel_code read_line(cel_multi *multi,
                          struct line *line,
                          int argc,
                          const char *const *argv,
                          bool with_signal,
                          cel_error *err)
{
    cel_code code = CEL_OK;

    for (int i = 0; i < argc && code == CEL_OK; i++) {
        const char *word = argv[i];
        size_t len = strcspn(word, "=");

        if (strcmp(word, "--") == 0) {
            line->rest = argv + i;
            line->rest_count = (size_t)(argc - i);
            break;
        }
        if (with_signal && signal_of(word)) {
            multi->signum = signal_of(word);
        } else if (strncmp(word, "--", 2) == 0) {
            code = add_option(multi, line, word, len, word[len] ? word + len + 1 : NULL, err);
        } else if (word[0] == '-') {
            bool has_value = i + 1 < argc && argv[i + 1][0] && argv[i + 1][0] != '-';

            code = add_option(multi, line, word, strlen(word), has_value ? argv[i + 1] : NULL,
                              err);
            i += has_value;
        } else if (*word) {
            line->words[line->word_count++] = word;
        }
    }
    return code;
}

/* Takes an option for all nodes out of the line; the last one counts. Returns `otherwise` without one. */
static const char *pop(struct line *line, const char *name, const char *otherwise)
{
    size_t kept = 0;

    for (size_t i = 0; i < line->option_count; i++) {
        if (!line->options[i].scope && strcmp(line->options[i].name, name) == 0)
            otherwise = line->options[i].value ? line->options[i].value : "";
        else
            line->options[kept++] = line->options[i];
    }
    line->option_count = kept;
    return otherwise;
}

/* Options of multi itself, and "3" for three nodes. */
static cel_code read_own(cel_multi *multi,
                         struct line *line,
                         const cel_multi_defaults *defaults,
                         cel_error *err)
{
    const char *host = pop(line, "-n", defaults->hostname);
    const char *range_prefix;
    char *end;
    unsigned long count;

    line->command = pop(line, "--cmd", "");
    line->append = pop(line, "--append", "");
    host = pop(line, "--hostname", host);
    line->prefix = pop(line, "--prefix", "");
    line->suffix = pop(line, "--suffix", "");
    if (!*line->suffix)
        line->suffix = host;
    if (strcmp(line->suffix, "\"\"") == 0 || strcmp(line->suffix, "''") == 0)
        line->suffix = "";
    range_prefix = pop(line, "--range-prefix", "");
    line->range = line->word_count == 1;
    if (!line->range || strspn(line->words[0], "0123456789") != strlen(line->words[0]))
        return CEL_OK;
    count = strtoul(line->words[0], &end, 10);
    if (count > CEL_MULTI_NODES_MAX)
        return cel_error_set(err, CEL_EINVAL, "'%s': at most %d nodes", line->words[0],
                             CEL_MULTI_NODES_MAX);
    line->prefix = *range_prefix ? range_prefix : RANGE_PREFIX;
    line->words = take(multi, (count + 1) * sizeof *line->words);
    line->word_count = 0;
    for (unsigned long i = 1; line->words && i <= count; i++) {
        cel__buf number = {0};

        cel__buf_add_int(&number, (int64_t)i);
        if (keep_buf(multi, &number, &line->words[line->word_count++], err) != CEL_OK)
            return CEL_ENOMEM;
    }
    return line->words ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "out of memory");
}

/* ---- scopes ---- */

static bool number_of(const char *text, size_t len, unsigned long *value)
{
    *value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || *value > CEL_MULTI_NODES_MAX)
            return false;
        *value = *value * 10 + (unsigned long)(text[i] - '0');
    }
    return len > 0;
}

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Which node a scope is asked about. */
struct candidate {
    const char *word; /* as it was given: "image", "foo@%h", "1" */
    const cel_multi_node *node;
    size_t place; /* from 1 */
};

static bool is_named(const struct candidate *who, const char *name, size_t len)
{
    const char *names[] = {who->node->name, who->word, who->node->shortname};
    size_t count = strchr(who->word, '@') ? 3 : 2;

    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return true;
    return false;
}

static bool part_matches(const struct candidate *who, const char *part, size_t len, bool range)
{
    const char *dash = range ? memchr(part, '-', len) : NULL;
    unsigned long first, last;

    if (number_of(part, len, &first))
        return first == who->place;
    if (dash && number_of(part, (size_t)(dash - part), &first) &&
        number_of(dash + 1, len - (size_t)(dash - part) - 1, &last))
        return first <= who->place && who->place <= last;
    return is_named(who, part, len);
}

static bool list_matches(const struct candidate *who, const char *scope, bool range)
{
    while (*scope) {
        size_t len = strcspn(scope, ",");

        if (part_matches(who, scope, len, range))
            return true;
        scope += len + (scope[len] == ',');
    }
    return false;
}

/* The order of these is the order in which they are laid over one another. */
enum scope_kind {
    SCOPE_NAME,
    SCOPE_PLACE,
    SCOPE_LIST,
    SCOPE_KINDS
};

static enum scope_kind kind_of(const char *scope, bool range)
{
    if (strchr(scope, ',') || (range && strchr(scope, '-') && !strchr(scope, '@')))
        return SCOPE_LIST;
    return is_number(scope) ? SCOPE_PLACE : SCOPE_NAME;
}

static cel_code check_scopes(const struct line *line, cel_error *err)
{
    for (size_t i = 0; i < line->option_count; i++) {
        const char *scope = line->options[i].scope;
        unsigned long place;

        if (!scope || !is_number(scope))
            continue;
        if (!number_of(scope, strlen(scope), &place) || place < 1 || place > line->word_count)
            return cel_error_set(err, CEL_EINVAL,
                                 "%s:%s: there is no node %s, they count from 1 to %zu",
                                 line->options[i].name, scope, scope, line->word_count);
    }
    return CEL_OK;
}

/* ---- a node ---- */

static cel_code name_node(cel_multi *multi,
                          cel_multi_node *node,
                          const struct line *line,
                          const char *word,
                          const char *hostname,
                          cel_error *err)
{
    size_t label = strcspn(hostname, ".");
    const char *first = keep(multi, hostname, label);
    const struct letter letters[] = {
        {'h', hostname}, {'n', first}, {'d', hostname[label] ? hostname + label + 1 : ""},
        {'i', "0"},      {'I', ""},    {'\0', NULL},
    };
    cel__buf name = {0}, full = {0};
    cel_code code;

    if (!first)
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    if (strchr(word, '@'))
        cel__buf_add_str(&name, word);
    else
        cel__buf_addf(&name, "%s%s@%s", line->prefix, word, line->suffix);
    code = cel__buf_cstr(&name) ? format(&full, name.ptr, letters, err)
                                : cel_error_set(err, CEL_ENOMEM, "out of memory");
    cel__buf_done(&name);
    if (code != CEL_OK) {
        cel__buf_done(&full);
        return code;
    }
    code = keep_buf(multi, &full, &node->name, err);
    if (code != CEL_OK)
        return code;
    node->shortname = keep(multi, node->name, strcspn(node->name, "@"));
    node->host = strchr(node->name, '@') + 1;
    return node->shortname ? CEL_OK : cel_error_set(err, CEL_ENOMEM, "out of memory");
}

static void set_option(cel_multi_node *node, const char *name, const char *value)
{
    size_t i = 0;

    while (i < node->option_count && strcmp(node->options[i].name, name) != 0)
        i++;
    node->options[i] = (cel_multi_option){name, value};
    if (i == node->option_count)
        node->option_count++;
}

static bool has_option(const cel_multi_node *node, const char *name)
{
    for (size_t i = 0; i < node->option_count; i++)
        if (strcmp(node->options[i].name, name) == 0)
            return true;
    return false;
}

static void collect_options(cel_multi_node *node,
                            const struct line *line,
                            const struct candidate *who,
                            const cel_multi_defaults *defaults)
{
    for (size_t i = 0; i < line->option_count; i++)
        if (!line->options[i].scope)
            set_option(node, line->options[i].name, line->options[i].value);
    for (int kind = 0; kind < SCOPE_KINDS; kind++) {
        for (size_t i = 0; i < line->option_count; i++) {
            const struct option *option = &line->options[i];

            if (option->scope && kind_of(option->scope, line->range) == (enum scope_kind)kind &&
                list_matches(who, option->scope, line->range))
                set_option(node, option->name, option->value);
        }
    }
    set_option(node, "-n", node->name);
    if (!has_option(node, "-p") && !has_option(node, "--pidfile"))
        set_option(node, "--pidfile", DEFAULT_PIDFILE);
    if (!has_option(node, "-f") && !has_option(node, "--logfile"))
        set_option(node, "--logfile", DEFAULT_LOGFILE);
    if (!has_option(node, "--executable"))
        set_option(node, "--executable", defaults->executable);
}

/* ---- its command line ---- */

/* Options that stand in front of "worker". */
static bool is_global(const char *name)
{
    static const char *const names[] = {
        "-A",       "--app",    "-b",        "--broker", "--result-backend",
        "--loader", "--config", "--workdir", "-C",       "--no-color",
        "-q",       "--quiet"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static cel_code
add_word(cel_multi *multi, cel_multi_node *node, const char *text, size_t len, cel_error *err)
{
    const char *word = keep(multi, text, len);

    if (!word)
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    node->argv[node->argc++] = word;
    return CEL_OK;
}

static cel_code add_option_words(cel_multi *multi,
                                 cel_multi_node *node,
                                 const cel_multi_option *option,
                                 cel_error *err)
{
    cel__buf word = {0};
    cel_code code;

    if (!option->value || !*option->value)
        return add_word(multi, node, option->name, strlen(option->name), err);
    if (strncmp(option->name, "--", 2) == 0) {
        cel__buf_addf(&word, "%s=%s", option->name, option->value);
        return keep_buf(multi, &word, &node->argv[node->argc++], err);
    }
    code = add_word(multi, node, option->name, strlen(option->name), err);
    return code ? code : add_word(multi, node, option->value, strlen(option->value), err);
}

static cel_code add_globals(cel_multi *multi, cel_multi_node *node, cel_error *err)
{
    cel_code code = CEL_OK;

    for (size_t i = node->option_count; i > 0 && code == CEL_OK; i--)
        if (is_global(node->options[i - 1].name))
            code = add_option_words(multi, node, &node->options[i - 1], err);
    return code;
}

/* Words of --cmd or --append, expanded. Global options go behind a word "celery" or "celeriac", else in front. */
static cel_code add_words(cel_multi *multi,
                          cel_multi_node *node,
                          const char *template,
                          bool is_command,
                          cel_error *err)
{
    const char *text = NULL;
    bool placed = !is_command;
    cel_code code = expanded(multi, node, template, &text, err);

    if (code == CEL_OK && is_command && !strstr(text, "celery") && !strstr(text, "celeriac")) {
        code = add_globals(multi, node, err);
        placed = true;
    }
    while (code == CEL_OK && *(text += strspn(text, " \t"))) {
        size_t len = strcspn(text, " \t");

        code = add_word(multi, node, text, len, err);
        if (code == CEL_OK && !placed &&
            (strcmp(node->argv[node->argc - 1], "celery") == 0 ||
             strcmp(node->argv[node->argc - 1], "celeriac") == 0)) {
            code = add_globals(multi, node, err);
            placed = true;
        }
        text += len;
    }
    return code == CEL_OK && !placed ? add_globals(multi, node, err) : code;
}

static size_t count_words(const char *text)
{
    size_t count = 1;

    for (; *text; text++)
        count += *text == ' ' || *text == '\t';
    return count;
}

static cel_code
make_argv(cel_multi *multi, cel_multi_node *node, const struct line *line, cel_error *err)
{
    const char *command = *line->command ? line->command : DEFAULT_COMMAND;
    cel_code code = CEL_OK;

    node->argv = take(multi, (2 + 2 * node->option_count + count_words(command) +
                              count_words(line->append) + line->rest_count) *
                                 sizeof *node->argv);
    if (!node->argv)
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    for (size_t i = 0; i < node->option_count && code == CEL_OK; i++)
        if (node->options[i].value)
            code = expanded(multi, node, node->options[i].value, &node->options[i].value, err);
    if (code != CEL_OK)
        return code;
    node->argv[node->argc++] = cel__multi_option(node, "--executable", NULL);
    if (!node->argv[0] || !*node->argv[0])
        return cel_error_set(err, CEL_EINVAL, "--executable names no program");
    code = add_words(multi, node, command, true, err);
    for (size_t i = 0; i < node->option_count && code == CEL_OK; i++)
        if (!is_global(node->options[i].name))
            code = add_option_words(multi, node, &node->options[i], err);
    for (size_t i = 0; i < line->rest_count && code == CEL_OK; i++)
        code = add_word(multi, node, line->rest[i], strlen(line->rest[i]), err);
    return code ? code : add_words(multi, node, line->append, false, err);
}

/* ---- all of it ---- */

static cel_code make_node(cel_multi *multi,
                          size_t place,
                          const struct line *line,
                          const cel_multi_defaults *defaults,
                          cel_error *err)
{
    cel_multi_node *node = &multi->nodes[place - 1];
    const char *word = line->words[place - 1];
    cel_code code = name_node(multi, node, line, word, defaults->hostname, err);

    if (code != CEL_OK)
        return code;
    node->options = take(multi, (line->option_count + 4) * sizeof *node->options);
    if (!node->options)
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    collect_options(node, line, &(struct candidate){word, node, place}, defaults);
    return make_argv(multi, node, line, err);
}

cel_code cel__multi_read(cel_multi *multi,
                         int argc,
                         const char *const *argv,
                         const cel_multi_defaults *defaults,
                         cel_error *err)
{
    struct line line = {0};
    cel_code code;

    line.options = take(multi, ((size_t)argc + 1) * sizeof *line.options);
    line.words = take(multi, ((size_t)argc + 1) * sizeof *line.words);
    if (!line.options || !line.words)
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    code = read_line(multi, &line, argc, argv, defaults->with_signal, err);
    if (code == CEL_OK)
        code = read_own(multi, &line, defaults, err);
    if (code == CEL_OK)
        code = check_scopes(&line, err);
    if (code != CEL_OK)
        return code;
    if (line.word_count == 0)
        return cel_error_set(err, CEL_EINVAL, "No nodes are named.");
    if (line.word_count > CEL_MULTI_NODES_MAX)
        return cel_error_set(err, CEL_EINVAL, "at most %d nodes", CEL_MULTI_NODES_MAX);
    multi->nodes = take(multi, line.word_count * sizeof *multi->nodes);
    if (!multi->nodes)
        return cel_error_set(err, CEL_ENOMEM, "out of memory");
    for (size_t place = 1; place <= line.word_count && code == CEL_OK; place++) {
        code = make_node(multi, place, &line, defaults, err);
        multi->count = place;
    }
    if (code != CEL_OK)
        multi->count = 0;
    return code;
}

const char *cel__multi_option(const cel_multi_node *node, const char *name, const char *other)
{
    const char *value = NULL;

    for (size_t i = 0; i < node->option_count; i++) {
        if (strcmp(node->options[i].name, name) == 0)
            return node->options[i].value;
        if (other && strcmp(node->options[i].name, other) == 0)
            value = node->options[i].value;
    }
    return value;
}

static void add_quoted(cel__buf *buf, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";

    if (*word && !word[strspn(word, plain)]) {
        cel__buf_add_str(buf, word);
        return;
    }
    cel__buf_add_byte(buf, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            cel__buf_add_str(buf, "'\"'\"'");
        else
            cel__buf_add_byte(buf, *word);
    }
    cel__buf_add_byte(buf, '\'');
}

void cel__multi_command_line(cel__buf *buf, const cel_multi_node *node, size_t from)
{
    for (size_t i = from; i < node->argc; i++) {
        if (i > from)
            cel__buf_add_byte(buf, ' ');
        add_quoted(buf, node->argv[i]);
    }
}
