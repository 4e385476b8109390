/* settings_doc.c - writes docs/settings.md from the table of settings to stdout. */
#include <stdio.h>
#include <string.h>

#include "app/settings.h"

static const char head[] =
    "# Settings\n"
    "\n"
    "Made by `docs/tools/settings_doc.c` from the table in `src/app/settings.h`; do not edit.\n"
    "\n"
    "Celeriac takes Celery's settings, under the names of Celery 4 and later and under the "
    "old\n"
    "upper-case ones, from four sources. The first that has a setting wins:\n"
    "\n"
    "1. options and words of the command line: `celeriac worker "
    "worker.prefetch_multiplier=1`,\n"
    "   `task.routes='(json){\"t\": \"q\"}'`;\n"
    "2. the environment: `CELERIAC_` and the name in upper case, else `CELERY_` and that, else "
    "the\n"
    "   old name, else (for these two) `BROKER_URL`, `RESULT_BACKEND`. An empty variable "
    "counts for\n"
    "   nothing. Lists are separated by commas; dictionaries are JSON or Python;\n"
    "3. the file, `celeryconfig.py` by default;\n"
    "4. the default.\n"
    "\n"
    "The file is read, never executed. It holds assignments of literals, lists, tuples, sets,\n"
    "dictionaries, names assigned above, arithmetic, `+` on strings and lists, f-strings with "
    "plain\n"
    "names, `or`, `and`, `not`, `int()`, `float()`, `str()`, `bool()`, `dict()`, `list()`, "
    "`tuple()`,\n"
    "`set()`, `os.environ`, `os.getenv()`, `timedelta`, `crontab`, `Queue`, `Exchange`, "
    "`binding`,\n"
    "`Broadcast` and the imports of these. Anything else is an error with file, line and "
    "column.\n"
    "A file may give one setting under two names only if both say the same.\n"
    "\n"
    "Where neither `broker_url` nor a broker's pieces are set, the broker and the result store "
    "are\n"
    "the SQLite file `celeriac.db` of the working directory, if it exists or can be created "
    "there,\n"
    "else `celeriac/celeriac.db` in `$XDG_STATE_HOME` (`~/.local/state`).\n"
    "\n"
    "A star marks settings that are taken so that Celery's files can be read, and have no "
    "effect.\n"
    "\n"
    "| setting | type | default | old name | meaning |\n"
    "| --- | --- | --- | --- | --- |\n";

/* Cells cannot hold a bare '|'. */
static void put_cell(const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static const char *python_value(const char *json)
{
    if (strcmp(json, "null") == 0)
        return "None";
    if (strcmp(json, "true") == 0)
        return "True";
    return strcmp(json, "false") == 0 ? "False" : json;
}

int main(void)
{
    fputs(head, stdout);
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++) {
        const cel_setting *setting = cel__settings + i;
        printf("| `%s`%s | %s | `", setting->name,
               setting->flags & CEL_SETTING_INERT ? " \\*" : "",
               cel__setting_type_text(setting->type));
        put_cell(python_value(setting->value));
        printf("`%s | ",
               setting->flags & CEL_SETTING_NULLABLE && strcmp(setting->value, "null") != 0
                   ? " or None"
                   : "");
        if (setting->old)
            printf("`%s`", setting->old);
        fputs(" | ", stdout);
        put_cell(setting->meaning);
        puts(" |");
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
