/* settings.c - lookups in the table of settings.h. */
#include "app/settings.h"

#include <ctype.h>
#include <string.h>

#define NULLABLE CEL_SETTING_NULLABLE
#define SECRET   CEL_SETTING_SECRET
#define INERT    CEL_SETTING_INERT

const cel_setting cel__settings[CEL_SETTING_COUNT_OF] = {
#define CEL_X(name, type, value, old, flags, meaning)                                          \
    {#name, CEL_SETTING_##type, value, old, flags, meaning},
    CEL_SETTINGS(CEL_X)
#undef CEL_X
};

static int compare(cel_view view, const char *text)
{
    int order = strncmp(view.ptr, text, view.len);

    return order ? order : -(text[view.len] != '\0');
}

int cel__setting_find(cel_view name)
{
    int low = 0, high = CEL_SETTING_COUNT_OF - 1;

    if (!name.ptr || memchr(name.ptr, '\0', name.len))
        return -1;
    while (low <= high) {
        int mid = (low + high) / 2;
        int order = compare(name, cel__settings[mid].name);
        if (order == 0)
            return mid;
        if (order < 0)
            high = mid - 1;
        else
            low = mid + 1;
    }
    return -1;
}

enum {
    MAX_NAME = 80 /* longer than any name; what is longer is none */
};

static int find_namespaced(cel_view name)
{
    char lower[MAX_NAME];

    if (name.len < 7 || name.len >= MAX_NAME || memcmp(name.ptr, "CELERY_", 7) != 0)
        return -1;
    for (size_t i = 7; i < name.len; i++) {
        if (islower((unsigned char)name.ptr[i]))
            return -1;
        lower[i - 7] = (char)tolower((unsigned char)name.ptr[i]);
    }
    return cel__setting_find((cel_view){lower, name.len - 7});
}

int cel__setting_find_any(cel_view name)
{
    int index = cel__setting_find(name);

    if (index >= 0 || name.len == 0 || !isupper((unsigned char)name.ptr[0]))
        return index;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        if (cel__settings[i].old && cel__view_is(name, cel__settings[i].old))
            return i;
    }
    return find_namespaced(name);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    a = a < b ? a : b;
    return a < c ? a : c;
}

/* Levenshtein's distance, with a swap of neighbours counted as two. */
static size_t distance(cel_view a, const char *b)
{
    size_t row[MAX_NAME + 1];
    size_t len = strlen(b);

    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.ptr[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[len];
}

const char *cel__setting_suggest(cel_view name)
{
    const char *best = NULL;
    size_t best_distance = name.len / 6 + 2; /* exclusive: a short name must be closer */

    if (name.len < 4 || name.len >= MAX_NAME)
        return NULL;
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        const cel_setting *setting = cel__settings + i;
        const char *candidate =
            isupper((unsigned char)name.ptr[0]) ? setting->old : setting->name;
        if (!candidate || strlen(candidate) >= MAX_NAME)
            continue;
        size_t d = distance(name, candidate);
        if (d < best_distance) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

const char *cel__setting_type_text(cel_setting_type type)
{
    static const char *const texts[] = {
        [CEL_SETTING_STRING] = "string",
        [CEL_SETTING_URL] = "URL",
        [CEL_SETTING_BOOL] = "True or False",
        [CEL_SETTING_INT] = "integer",
        [CEL_SETTING_COUNT] = "integer, not negative",
        [CEL_SETTING_NUMBER] = "number",
        [CEL_SETTING_SECONDS] = "number of seconds",
        [CEL_SETTING_STRINGS] = "list of strings",
        [CEL_SETTING_DICT] = "dictionary",
        [CEL_SETTING_ANY] = "see the meaning",
    };

    return texts[type];
}

static bool contains(const char *key, const char *upper)
{
    size_t len = strlen(upper);

    for (; *key; key++) {
        size_t i = 0;
        while (i < len && toupper((unsigned char)key[i]) == upper[i])
            i++;
        if (i == len)
            return true;
    }
    return false;
}

/* Celery's list, except that it also hides every "key", such as routing keys. */
bool cel__setting_is_secret(const char *key)
{
    static const char *const parts[] = {"API",       "TOKEN",      "SECRET",     "PASS",
                                        "SIGNATURE", "ACCESS_KEY", "PRIVATE_KEY"};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (contains(key, parts[i]))
            return true;
    }
    return false;
}
