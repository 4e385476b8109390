/* bench_servers.c - what bench_servers.py runs on RabbitMQ and Redis: bare loops, and clients of ours. Prints seconds, or
 * what the name says.
 *
 *     bench_servers bare-publish PORT QUEUE classic|quorum COUNT BATCH
 *     bench_servers bare-rabbit PORT REDIS_SOCKET QUEUE COUNT PREFETCH single|coalesced
 *     bench_servers bare-redis REDIS_SOCKET QUEUE COUNT
 *     bench_servers send BROKER BACKEND QUEUE COUNT [COUNTDOWN_SECONDS]
 *     bench_servers roundtrip BROKER BACKEND COUNT          median and 99th percentile in ms
 *     bench_servers chord BROKER BACKEND PARTS              ms per part */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bare.h"
#include "bench.h"

#define SEND_AT_ONCE 10000

static void must(cel_code code, const cel_error *err)
{
    if (code != CEL_OK)
        bench_fail("celeriac: %s", err->message);
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static cel_app *new_app(const char *broker, const char *backend)
{
    cel_error err;
    cel_app *app;

    must(cel_app_new(
             &app,
             CEL_APP_OPTIONS(.broker = broker, .backend = backend, .ignore_environment = true),
             &err),
         &err);
    return app;
}

static double send_all(cel_app *app, const char *queue, int count, int countdown_s)
{
    static const cel_signature *all[SEND_AT_ONCE];
    cel_signature *signature = cel_sig("bench.noop", NULL);
    cel_error err;
    double start;

    for (int i = 0; i < SEND_AT_ONCE; i++)
        all[i] = signature;
    start = bench_now_s();
    for (int sent = 0; sent < count; sent += SEND_AT_ONCE)
        must(cel_apply_many(app, NULL, all,
                            (size_t)(count - sent < SEND_AT_ONCE ? count - sent : SEND_AT_ONCE),
                            CEL_SEND_OPTIONS(.queue = queue, .timeout_ms = -1,
                                             .countdown_ms = countdown_s * INT64_C(1000)),
                            &err),
             &err);
    start = bench_now_s() - start;
    cel_signature_free(signature);
    return start;
}

static double trip(cel_app *app)
{
    cel_result *result;
    cel_error err;
    double start = bench_now_s();

    must(cel_send(app, &result, "bench.noop", NULL, NULL, NULL, &err), &err);
    must(cel_result_get(result, NULL, 30000, &err), &err);
    start = bench_now_s() - start;
    cel_result_free(result);
    return start * 1000;
}

static void round_trips(cel_app *app, int count)
{
    double *ms = calloc((size_t)count, sizeof *ms);
    double p99;

    for (int i = 0; i < 200; i++)
        trip(app);
    for (int i = 0; i < count; i++)
        ms[i] = trip(app);
    p99 = bench_percentile(ms, (size_t)count, 0.99);
    printf("%.4f %.4f\n", ms[count / 2], p99);
    free(ms);
}

static double chord(cel_app *app, int parts)
{
    cel_signature **header = calloc((size_t)parts, sizeof *header);
    cel_signature *chord;
    cel_result *result;
    json_t *value;
    cel_error err;
    double start;

    for (int i = 0; i < parts; i++)
        header[i] = cel_sig("bench.echo", "[i]", i);
    chord = cel_chord(cel_group((size_t)parts, header), cel_sig("bench.count", NULL));
    start = bench_now_s();
    must(cel_apply(app, &result, chord, NULL, &err), &err);
    must(cel_result_get(result, &value, 120000, &err), &err);
    start = bench_now_s() - start;
    if (json_integer_value(value) != parts)
        bench_fail("the body was not given %d results", parts);
    json_decref(value);
    cel_result_free(result);
    cel_signature_free(chord);
    free(header);
    return start * 1000 / parts;
}

static void run_client(int argc, char **argv)
{
    cel_app *app = new_app(argv[2], argv[3]);

    if (strcmp(argv[1], "send") == 0 && argc >= 6)
        printf("%.6f\n",
               send_all(app, argv[4], number(argv[5]), argc > 6 ? number(argv[6]) : 0));
    else if (strcmp(argv[1], "roundtrip") == 0)
        round_trips(app, number(argv[4]));
    else if (strcmp(argv[1], "chord") == 0)
        printf("%.6f\n", chord(app, number(argv[4])));
    else
        bench_fail("see the head of bench_servers.c");
    cel_app_free(app);
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "bare-publish") == 0)
        printf("%.6f\n", bare_publish(number(argv[2]), argv[3], strcmp(argv[4], "quorum") == 0,
                                      number(argv[5]), number(argv[6])));
    else if (argc == 8 && strcmp(argv[1], "bare-rabbit") == 0)
        printf("%.6f\n", bare_work_rabbit(number(argv[2]), argv[3], argv[4], number(argv[5]),
                                          number(argv[6]), strcmp(argv[7], "coalesced") == 0));
    else if (argc == 5 && strcmp(argv[1], "bare-redis") == 0)
        printf("%.6f\n", bare_work_redis(argv[2], argv[3], number(argv[4])));
    else if (argc >= 5)
        run_client(argc, argv);
    else
        bench_fail("see the head of bench_servers.c");
    return 0;
}
