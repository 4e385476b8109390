/* bench_pool.c - how many no-op requests a prefork pool passes per second, beside a bare loop
 * over socket pairs with four requests in flight per child, measured in turn in the same run.
 *
 *     bench_pool [children] [requests] [in flight per child]
 *
 * Prints the figures of three runs of each, the ratio of the medians, the round trip of single
 * requests on an idle pool, and the private memory of an idle child. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "pool/pool.h"

#define BARE_IN_FLIGHT 4
#define MAX_CHILDREN   64
#define TRIPS          5000

struct bench {
    const cel_pool_ops *ops;
    cel_pool *pool;
    uv_loop_t loop;
    cel_pool_request *requests;
    cel__buf frame;
    size_t window, sent, total, done;
    size_t ready, children;
    uint64_t start_ns, *trips_ns;
    bool closed;
};

static void run_nothing(void *user, cel_pool_call *call, cel_view frame, cel__buf *out)
{
    size_t start = cel__frame_begin(out, CEL_FRAME_OUTCOME, call->request_id);

    (void)user, (void)frame;
    cel__section_add(out, CEL_TAG_STATE, CEL_VIEW("SUCCESS"));
    cel__section_add(out, CEL_TAG_RESULT, CEL_VIEW("null"));
    cel__section_add(out, CEL_TAG_REPR, CEL_VIEW("None"));
    cel__section_add_int(out, CEL_TAG_RUNTIME_US, 1);
    cel__frame_end(out, start);
}

static void submit_next(struct bench *bench, cel_pool_request *request)
{
    if (bench->sent == bench->total)
        return;
    bench->sent++;
    bench->ops->submit(bench->pool, request);
}

static void on_room(void *user, size_t free_slots)
{
    ((struct bench *)user)->ready = free_slots;
}

static void on_request(void *user, cel_pool_request *request)
{
    (void)user, (void)request;
}

static void on_started(void *user, cel_pool_request *request, int64_t wall_us)
{
    (void)user, (void)request, (void)wall_us;
}

static void on_frame(void *user, cel_pool_request *request, const cel_frame *frame)
{
    (void)user, (void)request, (void)frame;
}

static void on_outcome(void *user, cel_pool_request *request, const cel_frame *frame)
{
    struct bench *bench = user;

    (void)frame;
    bench->done++;
    if (bench->trips_ns) {
        uint64_t now = uv_hrtime();

        bench->trips_ns[bench->done - 1] = now - bench->start_ns;
        bench->start_ns = now;
    }
    submit_next(bench, request);
}

static void
on_lost(void *user, cel_pool_request *request, cel_pool_loss loss, const char *reason)
{
    (void)user, (void)request, (void)loss;
    fprintf(stderr, "lost: %s\n", reason);
    exit(1);
}

static void on_child(void *user, int slot, pid_t pid, const char *text, bool expected)
{
    (void)user, (void)slot, (void)pid, (void)text, (void)expected;
}

static void on_broken(void *user, const cel_error *err)
{
    (void)user;
    fprintf(stderr, "broken: %s\n", err->message);
    exit(1);
}

static void on_closed(void *user)
{
    ((struct bench *)user)->closed = true;
}

/* Runs `total` requests, `window` at a time; returns requests per second. */
static double run_pool(struct bench *bench, size_t total, size_t window)
{
    uint64_t start = uv_hrtime();

    bench->total = total;
    bench->sent = bench->done = 0;
    bench->start_ns = start;
    for (size_t i = 0; i < window; i++)
        submit_next(bench, &bench->requests[i]);
    while (bench->done < total)
        uv_run(&bench->loop, UV_RUN_ONCE);
    return (double)total * 1e9 / (double)(uv_hrtime() - start);
}

/* ---- the bare loop: frames of the same size, no pool ---- */

static void serve_bare(int fd, size_t up_len)
{
    char in[4096], out[4096] = {0};
    size_t have = 0, frame = 0;
    ssize_t got;

    (void)!read(fd, &frame, sizeof frame);
    while ((got = read(fd, in + have, sizeof in - have)) > 0) {
        have += (size_t)got;
        for (; have >= frame; have -= frame)
            (void)!write(fd, out, up_len);
    }
    _exit(0);
}

static double run_bare(size_t children, size_t total, size_t down_len, size_t up_len)
{
    struct pollfd fds[MAX_CHILDREN];
    size_t have[MAX_CHILDREN] = {0}, sent = 0, done = 0;
    char out[4096] = {0}, in[4096];
    pid_t pids[MAX_CHILDREN];
    uint64_t start;

    for (size_t i = 0; i < children; i++) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
            exit(1);
        pids[i] = fork();
        if (pids[i] == 0) {
            for (size_t k = 0; k < i; k++)
                close(fds[k].fd);
            close(pair[0]);
            serve_bare(pair[1], up_len);
        }
        close(pair[1]);
        fds[i] = (struct pollfd){.fd = pair[0], .events = POLLIN};
        (void)!write(pair[0], &down_len, sizeof down_len);
    }
    start = uv_hrtime();
    for (size_t i = 0; i < BARE_IN_FLIGHT * children && sent < total; i++, sent++)
        (void)!write(fds[i % children].fd, out, down_len);
    while (done < total) {
        poll(fds, children, -1);
        for (size_t i = 0; i < children; i++) {
            ssize_t got = fds[i].revents ? read(fds[i].fd, in, sizeof in) : 0;

            have[i] += got > 0 ? (size_t)got : 0;
            for (; have[i] >= up_len; have[i] -= up_len, done++) {
                if (sent < total) {
                    (void)!write(fds[i].fd, out, down_len);
                    sent++;
                }
            }
        }
    }
    start = uv_hrtime() - start;
    for (size_t i = 0; i < children; i++)
        close(fds[i].fd);
    for (size_t i = 0; i < children; i++)
        waitpid(pids[i], NULL, 0);
    return (double)total * 1e9 / (double)start;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static long private_kib(pid_t pid)
{
    char path[64], line[256];
    long sum = 0, kib;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kib) == 1)
            sum += kib;
    }
    if (file)
        fclose(file);
    return sum;
}

static void open_pool(struct bench *bench, cel_zygote *zygote, size_t in_flight)
{
    cel_error err = {0};
    cel_pool_options options = {
        .slots = bench->children,
        .loop = &bench->loop,
        .clock = cel__clock_system(),
        .host = {.run = run_nothing},
        .callbacks = {on_room, on_request, on_started, on_frame, on_outcome, on_lost,
                      on_request, on_request, on_child, on_broken, bench},
        .in_flight = in_flight,
        .zygote = zygote,
    };

    uv_loop_init(&bench->loop);
    if (bench->ops->open(&bench->pool, &options, &err) != CEL_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    while (bench->ready < bench->children)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static void make_requests(struct bench *bench)
{
    char body[160];
    size_t start = cel__frame_begin(&bench->frame, CEL_FRAME_REQUEST, 0);

    memset(body, 'x', sizeof body);
    cel__section_add(&bench->frame, CEL_TAG_HEADERS, (cel_view){body, sizeof body});
    cel__section_add(&bench->frame, CEL_TAG_BODY, CEL_VIEW("[[1, 2], {}, {}]"));
    cel__frame_end(&bench->frame, start);
    bench->requests = cel__calloc(bench->window, sizeof *bench->requests);
    for (size_t i = 0; i < bench->window; i++) {
        char *frame = cel__memdup(bench->frame.ptr, bench->frame.len);

        frame[8] = (char)(i + 1);
        frame[9] = (char)((i + 1) >> 8);
        bench->requests[i] = (cel_pool_request){
            .id = i + 1, .frame = {frame, bench->frame.len}, .is_short = true};
    }
}

static void measure_trips(struct bench *bench)
{
    uint64_t *trips = calloc(TRIPS, sizeof *trips);

    bench->trips_ns = trips;
    run_pool(bench, TRIPS, 1);
    bench->trips_ns = NULL;
    qsort(trips, TRIPS, sizeof *trips, compare_u64);
    printf("round trip of one request: median %.1f us, p99 %.1f us\n",
           (double)trips[TRIPS / 2] / 1e3, (double)trips[TRIPS * 99 / 100] / 1e3);
    free(trips);
}

static void measure_memory(struct bench *bench)
{
    pid_t pids[MAX_CHILDREN];

    if (bench->ops->pids(bench->pool, pids, MAX_CHILDREN) > 0)
        printf("idle child: %ld KiB private\n", private_kib(pids[0]));
}

int main(int argc, char **argv)
{
    struct bench bench = {.ops = cel__pool_find("prefork"), .children = 2};
    size_t total = 500000, in_flight = 32, up_len;
    cel_pool_host host = {.run = run_nothing};
    cel_pool_call call = {.request_id = 1};
    cel_zygote *zygote = NULL;
    cel__buf up = {0};
    double pool[3], bare[3];

    if (argc > 1)
        bench.children = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        total = strtoul(argv[2], NULL, 10);
    if (argc > 3)
        in_flight = strtoul(argv[3], NULL, 10);
    if (bench.children < 1 || bench.children > MAX_CHILDREN || in_flight < 1 || total < 1)
        return 2;
    if (cel__zygote_start(&zygote, &host, NULL) != CEL_OK)
        return 1;
    bench.window = bench.children * in_flight;
    make_requests(&bench);
    run_nothing(NULL, &call, (cel_view){NULL, 0}, &up);
    up_len = up.len;
    open_pool(&bench, zygote, in_flight);
    measure_memory(&bench);
    measure_trips(&bench);
    run_pool(&bench, total / 10 + 1, bench.window); /* warm */
    for (int i = 0; i < 3; i++) {
        pool[i] = run_pool(&bench, total, bench.window);
        bare[i] = run_bare(bench.children, total, bench.frame.len, up_len);
        printf("pool %.0f requests/s, bare loop %.0f requests/s\n", pool[i], bare[i]);
    }
    qsort(pool, 3, sizeof *pool, compare_doubles);
    qsort(bare, 3, sizeof *bare, compare_doubles);
    printf("medians: pool %.0f, bare %.0f, ratio %.2f\n", pool[1], bare[1], pool[1] / bare[1]);
    measure_memory(&bench);
    bench.ops->close(bench.pool, on_closed, &bench);
    while (!bench.closed)
        uv_run(&bench.loop, UV_RUN_ONCE);
    for (size_t i = 0; i < bench.window; i++)
        cel__free((void *)(uintptr_t)bench.requests[i].frame.ptr);
    cel__free(bench.requests);
    cel__buf_done(&bench.frame);
    cel__buf_done(&up);
    return 0;
}
