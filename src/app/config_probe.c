/* config_probe.c - a tool for config_interop.py: shows how the library reads what Python reads, too.
 *
 *     config_probe file NAME     every name that the file assigns, one JSON object
 *     config_probe config NAME   every setting in force after the file, one JSON object
 *     config_probe values        one Python expression a line on stdin; a line of JSON or "error" each
 *     config_probe masks         one URL a line; as it is shown
 *     config_probe globs         lines PATTERN TAB TEXT; 0 or 1 each */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/glob.h"
#include "app/pyread.h"
#include "app/settings.h"

static void print_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

    puts(text ? text : "error");
    free(text);
}

static int show_file(const char *path)
{
    static char text[CEL_PYREAD_MAX];
    FILE *file = fopen(path, "re");
    cel_pyfile names;
    cel_error err;

    if (!file)
        return 1;
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    if (cel__pyread_file(&names, path, (cel_view){text, len}, &err) != CEL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    json_t *all = json_object();
    for (size_t i = 0; i < names.count; i++)
        json_object_set(all, names.names[i].name, names.names[i].value);
    print_json(all);
    json_decref(all);
    cel__pyfile_done(&names);
    return 0;
}

static int show_config(const char *path)
{
    cel_config *config;
    cel_error err;

    if (cel__config_new(&config, &err) != CEL_OK)
        return 1;
    if (cel__config_load_file(config, path, &err) != CEL_OK) {
        fprintf(stderr, "%s\n", err.message);
        cel__config_free(config);
        return 1;
    }
    json_t *all = json_object();
    for (int i = 0; i < CEL_SETTING_COUNT_OF; i++)
        json_object_set(all, cel__settings[i].name, (json_t *)cel__config_at(config, i));
    print_json(all);
    json_decref(all);
    cel__config_free(config);
    return 0;
}

static void show_value(const char *line)
{
    json_t *value;

    if (cel__pyread_value(&value, cel__view(line), NULL) != CEL_OK) {
        puts("error");
        return;
    }
    print_json(value);
    json_decref(value);
}

static void show_mask(const char *line)
{
    cel__buf buf = {0};

    cel__url_mask(&buf, line);
    puts(cel__buf_cstr(&buf));
    cel__buf_done(&buf);
}

static void show_glob(char *line)
{
    char *tab = strchr(line, '\t');

    if (tab)
        *tab = '\0';
    puts(tab && cel__glob_match(line, cel__view(tab + 1)) ? "1" : "0");
}

int main(int argc, char **argv)
{
    char line[65536];

    if (argc == 3 && strcmp(argv[1], "file") == 0)
        return show_file(argv[2]);
    if (argc == 3 && strcmp(argv[1], "config") == 0)
        return show_config(argv[2]);
    if (argc != 2)
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(argv[1], "values") == 0)
            show_value(line);
        else if (strcmp(argv[1], "masks") == 0)
            show_mask(line);
        else
            show_glob(line);
    }
    return 0;
}
