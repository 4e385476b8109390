/* mariadb_load.c - the program `hotwords-load`: puts files of chat records into a table. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "mariadb_link.h"
#include "record.h"
#include "source.h"

#define EXIT_USAGE       2
#define EXIT_UNAVAILABLE 69

static const char help[] =
    "Usage: hotwords-load --to URL [--replace] DATE.jsonl...\n\n"
    "  Puts files of chat records, a JSON object a line, into a table of MariaDB or MySQL, "
    "from where\n"
    "  `hotwords --data URL` reads them. The table is made if it is not there. The day is the "
    "file's\n"
    "  name; all of it gets in or nothing. Bad records are left out, and counted.\n\n"
    "      --to URL     mysql://user:password@host:port/database/table; default: the "
    "environment\n"
    "                   variable HOTWORDS_DATA, which keeps the password out of the list of "
    "processes\n"
    "      --replace    what the table has of that day is deleted first; without it that is an "
    "error\n"
    "  -h, --help       print this\n\n"
    "Exit status: 0 done; 1 failed; 2 wrong usage; 69 no connection.\n";

struct load {
    hw_link link;
    const hw_source *source;
    bool replace;
    hw_buf text; /* an unescaped one */
    MYSQL_STMT *insert;
    char date[HW_DATE_LEN + 1];
    unsigned long date_len, text_len;
    long long level;
    uint64_t good, bad;
};

/* The day that a file is named after. */
static bool read_day(char date[HW_DATE_LEN + 1], const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    if (strlen(name) != HW_DATE_LEN + strlen(".jsonl") ||
        strcmp(name + HW_DATE_LEN, ".jsonl") != 0)
        return false;
    memcpy(date, name, HW_DATE_LEN);
    date[HW_DATE_LEN] = '\0';
    return hw_date_is_valid(date);
}

static hw_code make_table(struct load *load, hw_error *err)
{
    const hw_source *source = load->source;
    hw_buf sql = {0};
    hw_code code = HW_ENOMEM;

    if (hw_sql_add(&sql, "CREATE TABLE IF NOT EXISTS ") && hw_sql_add_table(&sql, source) &&
        hw_sql_add(&sql, " (") && hw_sql_add_name(&sql, source->date) &&
        hw_sql_add(&sql, " DATE NOT NULL, ") && hw_sql_add_name(&sql, source->level) &&
        hw_sql_add(&sql, " INT NOT NULL, ") && hw_sql_add_name(&sql, source->text) &&
        hw_sql_add(&sql, " MEDIUMTEXT NOT NULL, KEY (") &&
        hw_sql_add_name(&sql, source->date) && hw_sql_add(&sql, ", ") &&
        hw_sql_add_name(&sql, source->level) &&
        hw_sql_add(&sql, ")) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"))
        code = hw_link_run(&load->link, sql.bytes, sql.len, err);
    else
        hw_fail_memory(err);
    hw_buf_done(&sql);
    return code;
}

/* Runs `sql`, whose one parameter is the day; *rows is what it has changed or, of a SELECT, whether there is
 * one. */
static hw_code run_with_day(struct load *load, const hw_buf *sql, uint64_t *rows, hw_error *err)
{
    MYSQL_BIND bind = {.buffer_type = MYSQL_TYPE_STRING,
                       .buffer = load->date,
                       .buffer_length = HW_DATE_LEN,
                       .length = &load->date_len};
    MYSQL_STMT *stmt = NULL;
    hw_code code = hw_link_prepare(&load->link, &stmt, sql, err);
    int got = MYSQL_NO_DATA;

    if (code == HW_OK && mysql_stmt_bind_param(stmt, &bind))
        code = hw_link_fail(&load->link, stmt, err);
    if (code == HW_OK)
        code = hw_link_execute(&load->link, stmt, err);
    if (code == HW_OK && mysql_stmt_field_count(stmt) > 0) {
        code = hw_link_fetch(&load->link, stmt, &got, err);
        *rows = got != MYSQL_NO_DATA;
    } else if (code == HW_OK) {
        *rows = mysql_stmt_affected_rows(stmt);
    }
    if (stmt)
        mysql_stmt_close(stmt);
    return code;
}

/* Deletes the rows of the day if asked to; otherwise there must be none. */
static hw_code clear_day(struct load *load, hw_error *err)
{
    hw_buf sql = {0};
    uint64_t rows = 0;
    hw_code code = HW_ENOMEM;

    if (hw_sql_add(&sql, load->replace ? "DELETE FROM " : "SELECT 1 FROM ") &&
        hw_sql_add_table(&sql, load->source) && hw_sql_add(&sql, " WHERE ") &&
        hw_sql_add_name(&sql, load->source->date) &&
        hw_sql_add(&sql, load->replace ? " = ?" : " = ? LIMIT 1"))
        code = run_with_day(load, &sql, &rows, err);
    else
        hw_fail_memory(err);
    hw_buf_done(&sql);
    if (code == HW_OK && rows > 0 && !load->replace)
        return hw_fail(err, HW_EINVAL,
                       "%.100s has records of the day %s already; --replace replaces them",
                       load->source->shown, load->date);
    return code;
}

static hw_code prepare_insert(struct load *load, hw_error *err)
{
    const hw_source *source = load->source;
    hw_buf sql = {0};
    hw_code code = HW_ENOMEM;

    if (hw_sql_add(&sql, "INSERT INTO ") && hw_sql_add_table(&sql, source) &&
        hw_sql_add(&sql, " (") && hw_sql_add_name(&sql, source->date) &&
        hw_sql_add(&sql, ", ") && hw_sql_add_name(&sql, source->level) &&
        hw_sql_add(&sql, ", ") && hw_sql_add_name(&sql, source->text) &&
        hw_sql_add(&sql, ") VALUES (?, ?, ?)"))
        code = hw_link_prepare(&load->link, &load->insert, &sql, err);
    else
        hw_fail_memory(err);
    hw_buf_done(&sql);
    return code;
}

static hw_code insert_record(struct load *load, const hw_record *record, hw_error *err)
{
    MYSQL_BIND binds[3] = {
        {.buffer_type = MYSQL_TYPE_STRING,
         .buffer = load->date,
         .buffer_length = HW_DATE_LEN,
         .length = &load->date_len},
        {.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = &load->level},
        {.buffer_type = MYSQL_TYPE_STRING, .length = &load->text_len},
    };

    load->text.len = 0;
    if (!hw_record_unescape(record, &load->text) || !hw_buf_add_byte(&load->text, '\0'))
        return hw_fail_memory(err);
    load->level = record->level;
    load->text_len = load->text.len - 1;
    binds[2].buffer = load->text.bytes;
    binds[2].buffer_length = load->text_len;
    if (mysql_stmt_bind_param(load->insert, binds))
        return hw_link_fail(&load->link, load->insert, err);
    load->good++;
    return hw_link_execute(&load->link, load->insert, err);
}

static hw_code load_lines(struct load *load, FILE *file, const char *path, hw_error *err)
{
    char *line = NULL;
    size_t room = 0;
    hw_code code = HW_OK;

    while (code == HW_OK) {
        hw_record record;
        hw_bad bad;
        ssize_t len = getline(&line, &room, file);

        if (len < 0)
            break;
        if (strspn(line, " \t\r\n") == (size_t)len)
            continue;
        if (len <= HW_LINE_MAX && hw_record_read(&record, line, (size_t)len, &bad))
            code = insert_record(load, &record, err);
        else
            load->bad++;
    }
    if (code == HW_OK && ferror(file))
        code = hw_fail_file(err, "read", path, errno);
    free(line);
    return code;
}

/* All lines of a file in one transaction, which ends with the connection if it is not committed. */
static hw_code load_file(struct load *load, const char *path, hw_error *err)
{
    FILE *file;
    hw_code code;

    load->good = load->bad = 0;
    if (!read_day(load->date, path))
        return hw_fail(err, HW_EINVAL,
                       "'%.150s' is not named after its day, as 20200406.jsonl is", path);
    file = fopen(path, "r");
    if (!file)
        return hw_fail_file(err, "open", path, errno);
    code = hw_link_run(&load->link, "START TRANSACTION", strlen("START TRANSACTION"), err);
    if (code == HW_OK)
        code = clear_day(load, err);
    if (code == HW_OK)
        code = load_lines(load, file, path, err);
    if (code == HW_OK)
        code = hw_link_run(&load->link, "COMMIT", strlen("COMMIT"), err);
    fclose(file);
    if (code == HW_OK)
        printf("%s: %" PRIu64 " record%s%s", path, load->good, load->good == 1 ? "" : "s",
               load->bad ? "" : "\n");
    if (code == HW_OK && load->bad > 0)
        printf(", %" PRIu64 " bad one%s left out\n", load->bad, load->bad == 1 ? "" : "s");
    return code;
}

static hw_code load_files(const hw_source *source, bool replace, char **paths, hw_error *err)
{
    struct load load = {.source = source, .replace = replace, .date_len = HW_DATE_LEN};
    hw_code code = hw_link_open(&load.link, source, NULL, NULL, err);

    if (code == HW_OK)
        code = make_table(&load, err);
    if (code == HW_OK)
        code = prepare_insert(&load, err);
    for (; code == HW_OK && *paths; paths++)
        code = load_file(&load, *paths, err);
    hw_link_close(&load.link);
    if (load.insert)
        mysql_stmt_close(load.insert);
    hw_buf_done(&load.text);
    return code;
}

static int fail_usage(const char *message)
{
    fprintf(stderr, "hotwords-load: %s\nTry 'hotwords-load --help'.\n", message);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option table[] = {{"to", required_argument, NULL, 't'},
                                          {"replace", no_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *url = getenv("HOTWORDS_DATA");
    bool replace = false;
    hw_source source = {0};
    hw_error err;
    hw_code code;
    int option;

    while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        if (option == 'h')
            return fputs(help, stdout) < 0;
        if (option == '?')
            return EXIT_USAGE; /* getopt has said why */
        replace = replace || option == 'r';
        url = option == 't' ? optarg : url;
    }
    if (!url)
        return fail_usage("--to URL is missing");
    if (optind == argc)
        return fail_usage("no files to load");
    code = hw_source_read(&source, url, &err);
    if (code == HW_OK)
        code = load_files(&source, replace, argv + optind, &err);
    if (code != HW_OK)
        fprintf(stderr, "hotwords-load: %s\n", err.message);
    hw_source_done(&source);
    if (code == HW_OK)
        return EXIT_SUCCESS;
    return code == HW_ECONN ? EXIT_UNAVAILABLE : EXIT_FAILURE;
}
