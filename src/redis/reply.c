/* reply.c - commands into bytes, error replies into errors. See conn.h. */
#include <string.h>

#include "redis/conn.h"

static void add_header(cel__buf *command, char kind, size_t number)
{
    cel__buf_add_byte(command, kind);
    cel__buf_add_int(command, (int64_t)number);
    cel__buf_add(command, "\r\n", 2);
}

void cel__redis_begin(cel__buf *command, size_t words)
{
    add_header(command, '*', words);
}

void cel__redis_word2(cel__buf *command, cel_view head, cel_view tail)
{
    add_header(command, '$', head.len + tail.len);
    cel__buf_add_view(command, head);
    cel__buf_add_view(command, tail);
    cel__buf_add(command, "\r\n", 2);
}

void cel__redis_word(cel__buf *command, cel_view word)
{
    cel__redis_word2(command, word, (cel_view){NULL, 0});
}

void cel__redis_int(cel__buf *command, int64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%lld", (long long)number);

    cel__redis_word(command, (cel_view){text, (size_t)len});
}

/* By the first word of the error, as the server writes it. */
static const struct meaning {
    const char *word;
    cel_code code;
    const char *text;
} meanings[] = {
    {"OOM", CEL_EFULL, "Redis has no memory left (maxmemory)"},
    {"MISCONF", CEL_EFULL, "Redis takes no writes because it cannot save to its disk"},
    {"LOADING", CEL_EBUSY, "Redis is loading its data"},
    {"BUSY", CEL_EBUSY, "Redis is busy with a script"},
    {"TRYAGAIN", CEL_EBUSY, "Redis asks to try again"},
    {"MASTERDOWN", CEL_ECONN, "the Redis replica has lost its master"},
    {"READONLY", CEL_ECONN, "this Redis server is a replica: it takes no writes"},
    {"NOREPLICAS", CEL_EBUSY, "Redis misses replicas to write to"},
    {"NOAUTH", CEL_ECONN, "Redis wants a password and the URL has none"},
    {"WRONGPASS", CEL_ECONN, "Redis refuses the login: wrong user or password"},
    {"NOPERM", CEL_ECONN, "Redis refuses: the user lacks a permission (ACL)"},
    {"WRONGTYPE", CEL_EPROTO, "a key in Redis has another type than Celery's"},
    {"NOSCRIPT", CEL_EBUSY, "Redis has lost the scripts"},
};

/* Errors that a script passes on have no other form since Redis 7; before, the word is behind
 * "ERR Error running script (...): @user_script:n: ". */
static const char *find_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if ((at == text || at[-1] == ' ' || at[-1] == '-') && (at[len] == ' ' || !at[len]))
            return at;
    return NULL;
}

/* What the server says may quote what it was sent: only the login's errors, which do, are put
 * in our words alone. */
cel_code cel__redis_error(cel_error *err, const redisReply *reply)
{
    cel_code code;

    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (strncmp(reply->str, "ERR", 3) == 0
                ? !find_word(reply->str, meanings[i].word)
                : find_word(reply->str, meanings[i].word) != reply->str)
            continue;
        code = cel_error_set(err, meanings[i].code, "%s", meanings[i].text);
        return code;
    }
    if (strstr(reply->str, "AUTH") || strstr(reply->str, "invalid password"))
        return cel_error_set(err, CEL_ECONN,
                             "Redis refuses the login: wrong user or password, or none is set");
    if (strstr(reply->str, "Unknown Redis command"))
        return cel_error_set(err, CEL_EIO,
                             "this Redis server lacks a command: 6.2 or later is needed");
    if (strstr(reply->str, "DB index") || strstr(reply->str, "invalid DB"))
        return cel_error_set(err, CEL_ECONN, "Redis has no database of this number");
    return cel_error_set(err, CEL_EIO, "Redis: %.150s", reply->str);
}
