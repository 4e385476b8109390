/* count.c - counting the words of a day's chat records.
 *
 * The file is read in pieces, not mapped: a log that is truncated while it is read must not kill the
 * process. `lines` holds what is read and not yet counted; a line that grows beyond HW_LINE_MAX is
 * dropped as it comes, so memory stays bounded whatever the file holds. */
#include "count.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "segment.h"
#include "utf8.h"

#define READ_BYTES (64 * 1024) /* a few milliseconds of counting */

struct day {
    const hw_partition *partition;
    hw_count *count;
    hw_segmenter *segmenter;
    hw_buf lines;  /* the beginning of a line, and what follows it */
    hw_buf text;   /* an unescaped text */
    uint64_t line; /* the number of the last line seen */
    bool dropping; /* the line in `lines` is too long: all up to its end is dropped */
};

void hw_count_done(hw_count *count)
{
    hw_table_done(&count->table);
    *count = (hw_count){0};
}

bool hw_date_is_valid(const char *date)
{
    return strlen(date) == HW_DATE_LEN && strspn(date, "0123456789") == HW_DATE_LEN;
}

bool hw_levels_are_valid(int64_t level_lo, int64_t level_hi)
{
    return level_lo >= 1 && level_lo <= level_hi && level_hi <= HW_LEVEL_MAX;
}

bool hw_word_counts(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    size_t chars = 0;
    bool letter = false;

    for (size_t at = 0; at < len; chars++) {
        uint32_t cp = 0;
        unsigned taken = hw_utf8_decode(p + at, len - at, &cp);

        if (taken == 0)
            return false;
        letter = letter || (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z') ||
                 (cp >= HW_HAN_FIRST && cp <= HW_HAN_LAST);
        at += taken;
    }
    return chars >= 2 && letter;
}

void hw_count_bad(hw_count *count, hw_bad kind, uint64_t line)
{
    hw_bad_records *bad = &count->bad[kind];

    if (bad->count++ == 0)
        bad->first_line = line;
}

hw_code hw_count_text(
    hw_count *count, hw_segmenter *segmenter, const char *text, size_t len, hw_error *err)
{
    const hw_token *tokens;
    size_t n;
    hw_code code = hw_cut(segmenter, HW_MODE_EXACT, text, len, &tokens, &n, err);

    if (code != HW_OK)
        return code;
    count->records++;
    count->text_bytes += len;
    count->tokens += n;
    for (size_t i = 0; i < n && code == HW_OK; i++) {
        count->text_code_points += tokens[i].chars;
        if (tokens[i].chars < 2 || !hw_word_counts(tokens[i].bytes, tokens[i].len))
            continue;
        count->counted++;
        code = hw_table_add(&count->table, tokens[i].bytes, tokens[i].len, 1, err);
    }
    return code;
}

static void note_bad(struct day *day, hw_bad kind)
{
    hw_count_bad(day->count, kind, day->line);
}

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static hw_code count_line(struct day *day, const char *line, size_t len, hw_error *err)
{
    hw_record record;
    hw_bad bad;

    day->line++;
    if (is_blank(line, len))
        return HW_OK;
    if (len > HW_LINE_MAX) {
        note_bad(day, HW_BAD_LENGTH);
        return HW_OK;
    }
    if (!hw_record_read(&record, line, len, &bad)) {
        note_bad(day, bad);
        return HW_OK;
    }
    if (record.level < day->count->level_lo || record.level > day->count->level_hi)
        return HW_OK;
    if (!record.text_escaped)
        return hw_count_text(day->count, day->segmenter, record.text, record.text_len, err);
    day->text.len = 0;
    if (!hw_record_unescape(&record, &day->text))
        return hw_fail_memory(err);
    return hw_count_text(day->count, day->segmenter, day->text.bytes, day->text.len, err);
}

/* Counts the complete lines in `lines`, and leaves the last, incomplete one there. */
static hw_code count_lines(struct day *day, hw_error *err)
{
    hw_buf *lines = &day->lines;
    size_t begin = 0;
    hw_code code = HW_OK;

    while (code == HW_OK) {
        const char *line = lines->bytes + begin;
        const char *end = memchr(line, '\n', lines->len - begin);

        if (!end)
            break;
        if (day->dropping)
            day->dropping = false; /* it was counted when it became too long */
        else
            code = count_line(day, line, (size_t)(end - line), err);
        begin += (size_t)(end - line) + 1;
    }
    lines->len -= begin;
    memmove(lines->bytes, lines->bytes + begin, lines->len);
    if (!day->dropping && lines->len > HW_LINE_MAX) {
        day->line++;
        note_bad(day, HW_BAD_LENGTH);
        day->dropping = true;
    }
    if (day->dropping)
        lines->len = 0;
    return code;
}

static hw_code count_file(struct day *day, int fd, const char *path, hw_error *err)
{
    hw_code code = HW_OK;
    ssize_t got = 1;

    while (code == HW_OK && got != 0) {
        if (day->partition->stop && day->partition->stop(day->partition->user))
            return hw_fail(err, HW_ECANCELED, "asked to stop in line %llu of '%s'",
                           (unsigned long long)day->line, path);
        if (!hw_buf_reserve(&day->lines, READ_BYTES))
            return hw_fail_memory(err);
        got = read(fd, day->lines.bytes + day->lines.len, READ_BYTES);
        if (got < 0 && errno != EINTR)
            return hw_fail_file(err, "read", path, errno);
        if (got <= 0)
            continue;
        day->lines.len += (size_t)got;
        code = count_lines(day, err);
    }
    if (code == HW_OK && day->lines.len > 0) /* a last line without an end */
        code = count_line(day, day->lines.bytes, day->lines.len, err);
    return code;
}

/* Opens a regular file: a FIFO of that name must not hang a worker. */
static hw_code open_day(int *fd, const char *path, hw_error *err)
{
    struct stat about;
    const int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (opened < 0)
        return hw_fail_file(err, "open", path, errno);
    if (fstat(opened, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(opened);
        return hw_fail(err, HW_EIO, "cannot read '%s': it is no file", path);
    }
    *fd = opened;
    return HW_OK;
}

hw_code hw_partition_check(const hw_partition *what, hw_error *err)
{
    if (!hw_date_is_valid(what->date))
        return hw_fail(err, HW_EINVAL, "date '%.40s': expected eight digits", what->date);
    if (!hw_levels_are_valid(what->level_lo, what->level_hi))
        return hw_fail(err, HW_EINVAL, "levels %lld to %lld: expected a range within 1 to %d",
                       (long long)what->level_lo, (long long)what->level_hi, HW_LEVEL_MAX);
    return HW_OK;
}

/* Writes the path of the day's file. */
static hw_code name_day(char *path, size_t size, const hw_partition *what, hw_error *err)
{
    if (snprintf(path, size, "%s/%s.jsonl", what->dir, what->date) >= (int)size)
        return hw_fail(err, HW_EINVAL, "the path '%.100s…' is too long", what->dir);
    return HW_OK;
}

hw_code hw_count_partition(hw_count *out,
                           const hw_dict *dict,
                           const hw_partition *partition,
                           hw_error *err)
{
    hw_count count = {.level_lo = partition->level_lo, .level_hi = partition->level_hi};
    struct day day = {.partition = partition, .count = &count};
    char path[PATH_MAX];
    int fd = -1;
    hw_code code = hw_partition_check(partition, err);

    if (code == HW_OK)
        code = name_day(path, sizeof path, partition, err);
    if (code != HW_OK)
        return code;
    memcpy(count.date, partition->date, HW_DATE_LEN + 1);
    code = open_day(&fd, path, err);
    if (code == HW_OK)
        code = hw_segmenter_new(&day.segmenter, dict, NULL, err);
    if (code == HW_OK)
        code = count_file(&day, fd, path, err);
    if (fd >= 0)
        close(fd);
    hw_segmenter_free(day.segmenter);
    hw_buf_done(&day.lines);
    hw_buf_done(&day.text);
    if (code == HW_OK)
        *out = count;
    else
        hw_count_done(&count);
    return code;
}

hw_code hw_count_day(hw_count *out,
                     const hw_dict *dict,
                     const char *dir,
                     const char *date,
                     int64_t level_lo,
                     int64_t level_hi,
                     hw_error *err)
{
    const hw_partition partition = {
        .dir = dir, .date = date, .level_lo = level_lo, .level_hi = level_hi};

    return hw_count_partition(out, dict, &partition, err);
}
