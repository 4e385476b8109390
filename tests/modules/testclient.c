/* testclient.c - sends a canvas, given as JSON in Celery's form, and waits for it: what the command has no words for.
 *
 *   testclient [-A MODULE] [-c CONFIG] [-t SECONDS] [-n] BROKER [BACKEND] < signature.json
 *
 * Prints one JSON object a line, at once:
 *   {"sent": id, "group": id of the header or group, or null, "parts": n}
 *   {"ended": n, "succeeded": m}                     each time more members of the group have ended
 *   {"value": ...} | {"error": name of the code, "message": ..., "type": ..., "culprit": id or null}
 * -n: ends when it is sent. The exit status is 0 if what was asked for has come. */
#include <celeriac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say(json_t *line)
{
    json_dumpf(line, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static int complain(cel_code code, const cel_error *err, const cel_result *result)
{
    say(json_pack("{s:s, s:s, s:s?, s:s?}", "error", cel_code_text(code), "message",
                  err->message, "type", result ? cel_result_exception_type(result) : NULL,
                  "culprit", result ? cel_result_culprit(result) : NULL));
    return 1;
}

/* Says how a group proceeds, until all members have ended. */
static cel_code follow(cel_result *group, int64_t deadline_ms, cel_error *err)
{
    size_t count = cel_result_count(group), ended = 0, succeeded = 0;

    while (ended < count) {
        int64_t left = deadline_ms - mono_ms();
        cel_code code = cel_result_wait(group, ended, &ended, left > 0 ? left : 0, err);

        if (code == CEL_OK)
            code = cel_result_completed(group, &ended, &succeeded, err);
        if (code != CEL_OK)
            return code;
        say(json_pack("{s:I, s:I}", "ended", (json_int_t)ended, "succeeded",
                      (json_int_t)succeeded));
    }
    return CEL_OK;
}

static int await(cel_result *result, int64_t deadline_ms)
{
    cel_result *parent = cel_result_parent(result);
    json_t *value = NULL;
    cel_error err = {0};
    cel_code code = CEL_OK;
    int64_t left;

    if (parent && cel_result_is_group(parent))
        code = follow(parent, deadline_ms, &err);
    if (code != CEL_OK)
        return complain(code, &err, NULL);
    left = deadline_ms - mono_ms();
    code = cel_result_get(result, &value, left > 0 ? left : 0, &err);
    if (code != CEL_OK)
        return complain(code, &err, result);
    say(json_pack("{s:o}", "value", value));
    return 0;
}

static int run(cel_app *app, int64_t timeout_ms, bool wait)
{
    int64_t deadline_ms = mono_ms() + timeout_ms;
    json_t *json = json_loadf(stdin, 0, NULL);
    cel_signature *signature = NULL;
    cel_result *result = NULL, *group;
    cel_error err = {0};
    cel_code code;
    int status = 0;

    code = cel_signature_from_json(&signature, json, &err);
    json_decref(json);
    if (code == CEL_OK)
        code = cel_apply(app, &result, signature, NULL, &err);
    cel_signature_free(signature);
    if (code != CEL_OK)
        return complain(code, &err, NULL);
    group = cel_result_is_group(result) ? result : cel_result_parent(result);
    say(json_pack("{s:s, s:s?, s:I}", "sent", cel_result_id(result), "group",
                  group ? cel_result_id(group) : NULL, "parts",
                  (json_int_t)(group ? cel_result_count(group) : 0)));
    if (wait)
        status = await(result, deadline_ms);
    cel_result_free(result);
    return status;
}

int main(int argc, char **argv)
{
    const char *module = NULL, *config = NULL;
    double timeout_s = 60;
    bool wait = true;
    cel_app *app = NULL;
    cel_error err = {0};
    cel_code code;
    int option, status;

    while ((option = getopt(argc, argv, "A:c:t:n")) != -1) {
        if (option == 'A')
            module = optarg;
        else if (option == 'c')
            config = optarg;
        else if (option == 't')
            timeout_s = strtod(optarg, NULL);
        else if (option == 'n')
            wait = false;
        else
            return 2;
    }
    if (optind >= argc)
        return 2;
    code = cel_app_new(&app,
                       CEL_APP_OPTIONS(.broker = argv[optind], .backend = argv[optind + 1],
                                       .config = config, .ignore_environment = true),
                       &err);
    if (code == CEL_OK && module)
        code = cel_app_load(app, module, &err);
    status = code == CEL_OK ? run(app, (int64_t)(timeout_s * 1000), wait)
                            : complain(code, &err, NULL);
    cel_app_free(app);
    return status;
}
