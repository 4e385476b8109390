/* bench_segment.c - how fast text is cut and counted on one core, with python jieba beside it.
 *
 * usage: bench_segment --data FOLDER [--peer SCRIPT] [--python PROGRAM]
 *
 * Cuts the texts of all records of FOLDER/20200406.jsonl and 20200407.jsonl. Ours and the peer run in
 * turn, three times; medians are printed. All times are CPU times. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "buf.h"
#include "count.h"
#include "dict.h"
#include "record.h"
#include "segment.h"

#define TURNS       3
#define PASS_MIN_MS 700 /* each of our measurements lasts at least this long */

extern char **environ;

static const char *const dates[] = {"20200406", "20200407"};

struct texts {
    hw_buf bytes; /* the texts, one after the other */
    hw_buf lines; /* the files as they are */
    size_t *ends; /* where each text ends */
    size_t count, cap;
};

struct options {
    const char *data, *peer, *python;
};

/* The peer's figures of one run: MB/s and milliseconds. */
struct figures {
    double hmm, plain, load_ms;
};

static double cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

static void check(hw_code code, const hw_error *err)
{
    if (code == HW_OK)
        return;
    fprintf(stderr, "bench_segment: %s\n", err->message);
    exit(1);
}

static void check_memory(bool ok)
{
    if (ok)
        return;
    fputs("bench_segment: out of memory\n", stderr);
    exit(1);
}

/* ---- the texts ---- */

static void add_text(struct texts *texts, const char *line, size_t len)
{
    hw_record record;
    hw_bad bad;

    if (!hw_record_read(&record, line, len, &bad))
        return;
    texts->ends = hw_grow(texts->ends, &texts->cap, sizeof *texts->ends, texts->count + 1);
    check_memory(texts->ends && hw_record_unescape(&record, &texts->bytes));
    texts->ends[texts->count++] = texts->bytes.len;
}

static void load_texts(struct texts *texts, const char *folder)
{
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        char path[PATH_MAX];
        hw_error err;

        snprintf(path, sizeof path, "%s/%s.jsonl", folder, dates[i]);
        check(hw_buf_add_file(&texts->lines, path, &err), &err);
    }
    for (size_t at = 0; at < texts->lines.len;) {
        const char *line = texts->lines.bytes + at;
        const char *end = memchr(line, '\n', texts->lines.len - at);
        const size_t len = end ? (size_t)(end - line) : texts->lines.len - at;

        add_text(texts, line, len);
        at += len + 1;
    }
}

/* ---- ours ---- */

static size_t cut_texts(hw_segmenter *seg, hw_mode mode, const struct texts *texts)
{
    size_t tokens = 0;

    for (size_t i = 0, at = 0; i < texts->count; at = texts->ends[i++]) {
        const hw_token *found;
        size_t n;
        hw_error err;

        check(hw_cut(seg, mode, texts->bytes.bytes + at, texts->ends[i] - at, &found, &n, &err),
              &err);
        tokens += n;
    }
    return tokens;
}

/* MB/s, over as many passes as it takes. */
static double our_speed(hw_segmenter *seg, hw_mode mode, const struct texts *texts)
{
    const double start = cpu_ms();
    double spent;
    size_t passes = 0;

    do {
        cut_texts(seg, mode, texts);
        passes++;
        spent = cpu_ms() - start;
    } while (spent < PASS_MIN_MS);
    return (double)texts->bytes.len * (double)passes / spent / 1e3;
}

static void time_map(void)
{
    double times[9];

    for (size_t i = 0; i < 9; i++) {
        const double start = cpu_ms();
        hw_dict *dict;
        hw_error err;

        check(hw_dict_open_default(&dict, &err), &err);
        times[i] = cpu_ms() - start;
        hw_dict_close(dict);
    }
    printf("map: dictionary opened and checked in %.2f ms (median of 9)\n", median(times, 9));
}

static void time_count(const hw_dict *dict, const char *folder)
{
    double times[TURNS];
    uint64_t records = 0;

    for (size_t i = 0; i < TURNS; i++) {
        const double start = cpu_ms();
        hw_count count = {0};
        hw_error err;

        check(hw_count_day(&count, dict, folder, dates[0], 1, HW_LEVEL_MAX, &err), &err);
        times[i] = cpu_ms() - start;
        records = count.records;
        hw_count_done(&count);
    }
    printf("count: %llu records in %.2f ms (median of %d)\n", (unsigned long long)records,
           median(times, TURNS), TURNS);
}

/* One pass over all lines, to find level and text. */
static double scan_ms(const struct texts *texts, bool with_jansson)
{
    const double start = cpu_ms();

    for (size_t at = 0; at < texts->lines.len;) {
        const char *line = texts->lines.bytes + at;
        const char *end = memchr(line, '\n', texts->lines.len - at);
        const size_t len = end ? (size_t)(end - line) : texts->lines.len - at;
        hw_record record;
        hw_bad bad;

        if (with_jansson)
            json_decref(json_loadb(line, len, 0, NULL));
        else
            hw_record_read(&record, line, len, &bad);
        at += len + 1;
    }
    return cpu_ms() - start;
}

static void time_scan(const struct texts *texts)
{
    double ours[TURNS], theirs[TURNS];

    for (size_t i = 0; i < TURNS; i++) {
        ours[i] = scan_ms(texts, false);
        theirs[i] = scan_ms(texts, true);
    }
    printf("scan: %zu lines of JSON in %.2f ms, jansson %.2f ms (median of %d)\n", texts->count,
           median(ours, TURNS), median(theirs, TURNS), TURNS);
}

/* ---- the peer ---- */

/* Writes the texts as JSON strings for the peer. */
static void write_texts(const struct texts *texts, int fd)
{
    FILE *out = fdopen(fd, "w");

    check_memory(out != NULL);
    for (size_t i = 0, at = 0; i < texts->count; at = texts->ends[i++]) {
        json_t *text = json_stringn(texts->bytes.bytes + at, texts->ends[i] - at);

        json_dumpf(text, out, JSON_ENCODE_ANY);
        fputc('\n', out);
        json_decref(text);
    }
    fclose(out);
}

/* Runs the peer once. Returns its exit status; 127 if it cannot be started. */
static int run_peer(const struct options *options, const char *file, struct figures *figures)
{
    char *argv[] = {(char *)(uintptr_t)options->python, (char *)(uintptr_t)options->peer,
                    (char *)(uintptr_t)file, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status = 127;
    FILE *out;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return 127;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (posix_spawnp(&pid, options->python, &actions, NULL, argv, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    out = fdopen(ends[0], "r");
    if (pid > 0 && out &&
        fscanf(out, "%lf %lf %lf", &figures->hmm, &figures->plain, &figures->load_ms) != 3)
        figures->hmm = 0;
    if (out)
        fclose(out);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

/* ---- both ---- */

static void print_line(const char *name, double *ours, double *peers)
{
    const double our = median(ours, TURNS);
    const double peer = peers ? median(peers, TURNS) : 0;

    if (peers)
        printf("%s: ours %.1f MB/s, jieba %.2f MB/s, ratio %.1f (median of %d)\n", name, our,
               peer, our / peer, TURNS);
    else
        printf("%s: ours %.1f MB/s (median of %d)\n", name, our, TURNS);
}

static void compare(hw_segmenter *seg, const struct texts *texts, const struct options *options)
{
    double hmm[TURNS], plain[TURNS], peer_hmm[TURNS], peer_plain[TURNS], load[TURNS];
    char file[] = "/tmp/bench_segment.XXXXXX";
    int fd = mkstemp(file);
    bool with_peer = options->peer != NULL && fd >= 0;

    if (fd >= 0)
        write_texts(texts, fd);
    for (size_t i = 0; i < TURNS; i++) {
        struct figures figures = {0};

        hmm[i] = our_speed(seg, HW_MODE_EXACT, texts);
        plain[i] = our_speed(seg, HW_MODE_NO_HMM, texts);
        if (with_peer && run_peer(options, file, &figures) != 0) {
            printf("peer: skipped, python jieba does not run with %s\n", options->python);
            with_peer = false;
        }
        peer_hmm[i] = figures.hmm;
        peer_plain[i] = figures.plain;
        load[i] = figures.load_ms;
    }
    if (fd >= 0)
        unlink(file);
    print_line("segment", hmm, with_peer ? peer_hmm : NULL);
    print_line("segment without HMM", plain, with_peer ? peer_plain : NULL);
    if (with_peer)
        printf("load: jieba %.0f ms (median of %d)\n", median(load, TURNS), TURNS);
}

int main(int argc, char **argv)
{
    struct options options = {NULL, NULL, "/usr/bin/python3"};
    struct texts texts = {0};
    hw_segmenter *seg;
    hw_dict *dict;
    hw_error err;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--data") == 0)
            options.data = argv[i + 1];
        else if (strcmp(argv[i], "--peer") == 0)
            options.peer = argv[i + 1];
        else if (strcmp(argv[i], "--python") == 0)
            options.python = argv[i + 1];
    }
    if (!options.data) {
        fputs("usage: bench_segment --data FOLDER [--peer SCRIPT] [--python PROGRAM]\n",
              stderr);
        return 2;
    }
    check(hw_dict_open_default(&dict, &err), &err);
    check(hw_segmenter_new(&seg, dict, NULL, &err), &err);
    load_texts(&texts, options.data);
    printf("data: %zu texts, %zu bytes, %zu tokens\n", texts.count, texts.bytes.len,
           cut_texts(seg, HW_MODE_EXACT, &texts));
    time_map();
    compare(seg, &texts, &options);
    time_count(dict, options.data);
    time_scan(&texts);
    hw_segmenter_free(seg);
    hw_dict_close(dict);
    hw_buf_done(&texts.bytes);
    hw_buf_done(&texts.lines);
    free(texts.ends);
    return 0;
}
