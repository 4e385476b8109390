/* report.c - `celeriac report`: versions, platform and settings, for bug reports. */
#include <string.h>
#include <sys/utsname.h>

#include <sqlite3.h>
#include <uv.h>

#include "celeriac/version.h"
#include "cli/cli.h"
#include "core/json.h"

static void print_url(const char *name, const char *url, const char *none, const char *end)
{
    cel__buf masked = {0};

    if (url)
        cel__url_mask(&masked, url);
    else
        cel__buf_add_str(&masked, none);
    printf("%s:%s%s", name, cel__buf_cstr(&masked) ? masked.ptr : "", end);
    cel__buf_done(&masked);
}

static void print_setting(void *user, const char *name, const json_t *value)
{
    cel__buf text = {0}, repr = {0};

    (void)user;
    cel__json_dump(&text, value);
    cel__json_repr(&repr, cel__buf_view(&text), 4096, false);
    printf("%s: %s\n", name, cel__buf_cstr(&repr) ? repr.ptr : "");
    cel__buf_done(&text);
    cel__buf_done(&repr);
}

static int run(cel_cli *cli, const cel_args *args)
{
    struct utsname name = {0};
    cel_app *app;

    (void)args;
    if (!cel__cli_app(cli, &app, NULL, false))
        return CEL_EXIT_FAILURE;
    uname(&name);
    printf("\nsoftware -> celeriac:%s libuv:%s jansson:%s\n            sqlite:%s\n",
           CEL_VERSION_STRING, uv_version_string(), jansson_version_str(),
           sqlite3_libversion());
    printf("platform -> system:%s arch:%zubit, %s\n            kernel version:%s\n",
           name.sysname, sizeof(void *) * 8, name.machine, name.release);
    print_url("settings -> transport", cel__app_broker_url(app), "none", " ");
    print_url("results", cel__app_backend_url(app), "disabled", "\n\n");
    cel__config_each_changed(app->config, print_setting, NULL);
    cel_app_free(app);
    return CEL_EXIT_OK;
}

static const cel_option options[] = {{NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL}};

const cel_command cel__report_command = {
    "report", "",  "Print versions, platform and settings, for bug reports.", NULL, options, 0,
    0,        run,
};
