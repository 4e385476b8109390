/* mariadb.c - counting chat records that are in a table of MariaDB or MySQL.
 *
 * A first statement is prepared but not run: it tells what types the columns have, and fails if they
 * are not there. The second selects by prepared statement
 *
 *     SELECT level, LEFT(text, …) FROM table WHERE date … ? AND (level BETWEEN ? AND ? OR …)
 *
 * where `…` are the day's bad records of all levels: every partition of a day reports the same ones,
 * as with files. Rows are not stored by the client, but read one after the other. */
#include "mariadb.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mariadb_link.h"
#include "utf8.h"

#define TEXT_BYTES    (64 * 1024) /* the first room for a text */
#define BINARY        63          /* the number of the character set that is none */
#define STRING_OF_(x) #x
#define STRING_OF(x)  STRING_OF_(x)

/* How the date's column names a day. */
enum day_kind {
    DAY_DATE,   /* is the day */
    DAY_TIME,   /* lies in it */
    DAY_NUMBER, /* 20200406 */
    DAY_TEXT,   /* "20200406" or "2020-04-06" */
};

struct reading {
    hw_link link;
    const hw_partition *partition;
    const hw_source *source;
    hw_count *count;
    hw_segmenter *segmenter;
    MYSQL_STMT *stmt;
    hw_buf sql, text;
    enum day_kind day;
    bool bytes;    /* the texts are bytes, which may be no UTF-8 */
    uint64_t rows; /* read so far */
    /* What is bound to parameters and to a row. */
    char dates[2][HW_DATE_LEN + 3];
    unsigned long date_lens[2];
    long long date_number, level_lo, level_hi;
    long long level;
    unsigned long text_len;
    my_bool level_null, level_error, text_null;
};

/* Has the statement, if any, freed. */
static void drop_statement(struct reading *in)
{
    if (in->stmt)
        mysql_stmt_close(in->stmt);
    in->stmt = NULL;
}

/* ---- the columns ---- */

static hw_code
refuse_column(const struct reading *in, const char *name, const char *expected, hw_error *err)
{
    return hw_fail(err, HW_EINVAL, "%.100s: the column '%.60s' %s", in->source->shown, name,
                   expected);
}

static bool is_integer(enum enum_field_types type)
{
    return type == MYSQL_TYPE_TINY || type == MYSQL_TYPE_SHORT || type == MYSQL_TYPE_INT24 ||
           type == MYSQL_TYPE_LONG || type == MYSQL_TYPE_LONGLONG;
}

static bool is_text(enum enum_field_types type)
{
    return type == MYSQL_TYPE_STRING || type == MYSQL_TYPE_VAR_STRING ||
           type == MYSQL_TYPE_VARCHAR || type == MYSQL_TYPE_TINY_BLOB ||
           type == MYSQL_TYPE_BLOB || type == MYSQL_TYPE_MEDIUM_BLOB ||
           type == MYSQL_TYPE_LONG_BLOB;
}

static hw_code check_date_column(struct reading *in, enum enum_field_types type, hw_error *err)
{
    if (type == MYSQL_TYPE_DATE || type == MYSQL_TYPE_NEWDATE)
        in->day = DAY_DATE;
    else if (type == MYSQL_TYPE_DATETIME || type == MYSQL_TYPE_TIMESTAMP)
        in->day = DAY_TIME;
    else if (is_integer(type))
        in->day = DAY_NUMBER;
    else if (is_text(type))
        in->day = DAY_TEXT;
    else
        return refuse_column(in, in->source->date,
                             "holds no days: expected dates, times, integers or text", err);
    return HW_OK;
}

/* Finds out by a statement that is not run what the columns are. */
static hw_code check_columns(struct reading *in, hw_error *err)
{
    MYSQL_RES *about;
    const MYSQL_FIELD *fields;
    hw_code code;

    in->sql.len = 0;
    if (!hw_sql_add(&in->sql, "SELECT ") || !hw_sql_add_name(&in->sql, in->source->date) ||
        !hw_sql_add(&in->sql, ", ") || !hw_sql_add_name(&in->sql, in->source->level) ||
        !hw_sql_add(&in->sql, ", ") || !hw_sql_add_name(&in->sql, in->source->text) ||
        !hw_sql_add(&in->sql, " FROM ") || !hw_sql_add_table(&in->sql, in->source))
        return hw_fail_memory(err);
    code = hw_link_prepare(&in->link, &in->stmt, &in->sql, err);
    if (code != HW_OK)
        return code;
    about = mysql_stmt_result_metadata(in->stmt);
    if (!about || mysql_num_fields(about) != 3) {
        mysql_free_result(about);
        return hw_link_fail(&in->link, in->stmt, err);
    }
    fields = mysql_fetch_fields(about);
    in->bytes = fields[2].charsetnr == BINARY;
    code = check_date_column(in, fields[0].type, err);
    if (code == HW_OK && !is_integer(fields[1].type))
        code = refuse_column(in, in->source->level, "holds no levels: expected integers", err);
    if (code == HW_OK && !is_text(fields[2].type))
        code = refuse_column(in, in->source->text, "holds no text", err);
    mysql_free_result(about);
    drop_statement(in);
    return code;
}

/* ---- the query ---- */

/* WHERE, with two parameters. */
static bool add_day(struct reading *in)
{
    const char *name = in->source->date;
    bool ok = hw_sql_add(&in->sql, " WHERE ") && hw_sql_add_name(&in->sql, name);

    if (in->day == DAY_TIME)
        return ok && hw_sql_add(&in->sql, " >= CAST(? AS DATE) AND ") &&
               hw_sql_add_name(&in->sql, name) &&
               hw_sql_add(&in->sql, " < CAST(? AS DATE) + INTERVAL 1 DAY");
    return ok && hw_sql_add(&in->sql, " IN (?, ?)");
}

/* The levels of the partition, and what is bad on any level. */
static bool add_levels(struct reading *in)
{
    const struct {
        const char *before, *name, *after;
    } parts[] = {
        {" AND (", in->source->level, " BETWEEN ? AND ?"},
        {" OR ", in->source->level, " IS NULL"},
        {" OR ", in->source->level, " < 1"},
        {" OR ", in->source->level, " > " STRING_OF(HW_LEVEL_MAX)},
        {" OR ", in->source->text, " IS NULL"},
        {" OR OCTET_LENGTH(", in->source->text, ") > (1 << 20)"},
        {" OR NOT (CAST(CONVERT(", in->source->text, " USING utf8mb4) AS BINARY) <=> "},
        {"", in->source->text, ")"},
    };
    size_t count = sizeof parts / sizeof *parts - (in->bytes ? 0 : 2);
    bool ok = true;

    static_assert(HW_LINE_MAX == 1u << 20, "as the query has it");
    for (size_t i = 0; i < count && ok; i++)
        ok = hw_sql_add(&in->sql, parts[i].before) &&
             hw_sql_add_name(&in->sql, parts[i].name) && hw_sql_add(&in->sql, parts[i].after);
    return ok && hw_sql_add(&in->sql, ")");
}

/* Binds the day, and the levels if the statement has them. */
static bool bind_parameters(struct reading *in)
{
    const char *date = in->partition->date;
    MYSQL_BIND binds[4] = {0};

    snprintf(in->dates[0], sizeof in->dates[0], "%s", date);
    snprintf(in->dates[1], sizeof in->dates[1], "%s", date);
    if (in->day == DAY_TEXT)
        snprintf(in->dates[1], sizeof in->dates[1], "%.4s-%.2s-%.2s", date, date + 4, date + 6);
    in->date_number = strtoll(date, NULL, 10);
    in->level_lo = in->partition->level_lo;
    in->level_hi = in->partition->level_hi;
    for (size_t i = 0; i < 2; i++) {
        in->date_lens[i] = strlen(in->dates[i]);
        binds[i].buffer_type = in->day == DAY_NUMBER ? MYSQL_TYPE_LONGLONG : MYSQL_TYPE_STRING;
        binds[i].buffer = in->day == DAY_NUMBER ? (void *)&in->date_number : in->dates[i];
        binds[i].buffer_length = in->date_lens[i];
        binds[i].length = &in->date_lens[i];
        binds[2 + i].buffer_type = MYSQL_TYPE_LONGLONG;
        binds[2 + i].buffer = i == 0 ? &in->level_lo : &in->level_hi;
    }
    return !mysql_stmt_bind_param(in->stmt, binds);
}

/* Prepares what is in `sql`, and runs it. */
static hw_code run_query(struct reading *in, hw_error *err)
{
    hw_code code = hw_link_prepare(&in->link, &in->stmt, &in->sql, err);

    if (code != HW_OK)
        return code;
    if (!bind_parameters(in))
        return hw_link_fail(&in->link, in->stmt, err);
    return hw_link_execute(&in->link, in->stmt, err);
}

static hw_code select_rows(struct reading *in, hw_error *err)
{
    in->sql.len = 0;
    if (!hw_sql_add(&in->sql, "SELECT ") || !hw_sql_add_name(&in->sql, in->source->level) ||
        !hw_sql_add(&in->sql, ", LEFT(") || !hw_sql_add_name(&in->sql, in->source->text) ||
        !hw_sql_add(&in->sql, ", (1 << 20) + 1) FROM ") ||
        !hw_sql_add_table(&in->sql, in->source) || !add_day(in) || !add_levels(in))
        return hw_fail_memory(err);
    return run_query(in, err);
}

/* ---- the rows ---- */

static bool bind_row(struct reading *in)
{
    MYSQL_BIND binds[2] = {
        {.buffer_type = MYSQL_TYPE_LONGLONG,
         .buffer = &in->level,
         .is_null = &in->level_null,
         .error = &in->level_error},
        {.buffer_type = MYSQL_TYPE_STRING,
         .buffer = in->text.bytes,
         .buffer_length = in->text.cap,
         .length = &in->text_len,
         .is_null = &in->text_null},
    };

    return !mysql_stmt_bind_result(in->stmt, binds);
}

/* A text that did not fit: makes room, and fetches it again. */
static hw_code fetch_long_text(struct reading *in, hw_error *err)
{
    MYSQL_BIND bind = {
        .buffer_type = MYSQL_TYPE_STRING, .length = &in->text_len, .is_null = &in->text_null};

    if (!hw_buf_reserve(&in->text, in->text_len))
        return hw_fail_memory(err);
    bind.buffer = in->text.bytes;
    bind.buffer_length = in->text.cap;
    if (mysql_stmt_fetch_column(in->stmt, &bind, 1, 0) || !bind_row(in))
        return hw_link_fail(&in->link, in->stmt, err);
    return HW_OK;
}

static bool is_utf8(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    uint32_t cp;

    for (size_t at = 0; at < len;) {
        unsigned taken = hw_utf8_decode(p + at, len - at, &cp);

        if (taken == 0)
            return false;
        at += taken;
    }
    return true;
}

/* Judges the row as a line of a file is judged. */
static hw_code count_row(struct reading *in, hw_error *err)
{
    hw_count *count = in->count;

    in->rows++;
    if (!in->text_null && in->text_len > in->text.cap) {
        hw_code code = in->text_len > HW_LINE_MAX ? HW_OK : fetch_long_text(in, err);

        if (code != HW_OK)
            return code;
    }
    if (!in->text_null && in->text_len > HW_LINE_MAX)
        hw_count_bad(count, HW_BAD_LENGTH, in->rows);
    else if (!in->text_null && !is_utf8(in->text.bytes, in->text_len))
        hw_count_bad(count, HW_BAD_UTF8, in->rows);
    else if (in->text_null || in->level_null)
        hw_count_bad(count, HW_BAD_FIELD, in->rows);
    else if (in->level_error || in->level < 1 || in->level > HW_LEVEL_MAX)
        hw_count_bad(count, HW_BAD_LEVEL, in->rows);
    else if (in->level >= count->level_lo && in->level <= count->level_hi)
        return hw_count_text(count, in->segmenter, in->text.bytes, in->text_len, err);
    return HW_OK;
}

static hw_code count_rows(struct reading *in, hw_error *err)
{
    hw_code code = HW_OK;
    int got = 0;

    if (!hw_buf_reserve(&in->text, TEXT_BYTES))
        return hw_fail_memory(err);
    if (!bind_row(in))
        return hw_link_fail(&in->link, in->stmt, err);
    while (code == HW_OK) {
        code = hw_link_fetch(&in->link, in->stmt, &got, err);
        if (code == HW_OK && got == MYSQL_NO_DATA)
            break;
        if (code == HW_OK)
            code = count_row(in, err);
    }
    if (code == HW_OK)
        drop_statement(in);
    return code;
}

/* A day without rows in these levels is empty; one without any is a mistake, as a missing file is. */
static hw_code require_day(struct reading *in, hw_error *err)
{
    hw_code code;
    int got = 0;

    in->sql.len = 0;
    if (!hw_sql_add(&in->sql, "SELECT 1 FROM ") || !hw_sql_add_table(&in->sql, in->source) ||
        !add_day(in) || !hw_sql_add(&in->sql, " LIMIT 1"))
        return hw_fail_memory(err);
    code = run_query(in, err);
    if (code == HW_OK)
        code = hw_link_fetch(&in->link, in->stmt, &got, err);
    if (code == HW_OK && got == MYSQL_NO_DATA)
        return hw_fail(err, HW_ELOOKUP,
                       "%.100s: no chat records of the day %s: no row has it in "
                       "the column '%.60s'",
                       in->source->shown, in->partition->date, in->source->date);
    return code;
}

hw_code hw_mariadb_count(hw_count *out,
                         const hw_dict *dict,
                         const hw_source *source,
                         const hw_partition *partition,
                         hw_error *err)
{
    hw_count count = {.level_lo = partition->level_lo, .level_hi = partition->level_hi};
    struct reading in = {.partition = partition, .source = source, .count = &count};
    hw_code code = hw_partition_check(partition, err);

    if (code != HW_OK)
        return code;
    memcpy(count.date, partition->date, HW_DATE_LEN + 1);
    code = hw_segmenter_new(&in.segmenter, dict, NULL, err);
    if (code == HW_OK)
        code = hw_link_open(&in.link, source, partition->stop, partition->user, err);
    if (code == HW_OK)
        code = check_columns(&in, err);
    if (code == HW_OK)
        code = select_rows(&in, err);
    if (code == HW_OK)
        code = count_rows(&in, err);
    if (code == HW_OK && in.rows == 0)
        code = require_day(&in, err);
    hw_link_close(&in.link); /* before the statement, which would read what is left */
    drop_statement(&in);
    hw_segmenter_free(in.segmenter);
    hw_buf_done(&in.sql);
    hw_buf_done(&in.text);
    if (code == HW_OK)
        *out = count;
    else
        hw_count_done(&count);
    return code;
}
