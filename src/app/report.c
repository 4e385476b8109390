/* report.c - the report, in the form of Celery's. */
#include "app/report.h"

#include <string.h>
#include <sys/utsname.h>

#include <sqlite3.h>
#include <uv.h>

#include "celeriac/version.h"
#include "core/json.h"
#include "core/url.h"

static void
add_url(cel__buf *buf, const char *name, const char *url, const char *none, const char *end)
{
    cel__buf_addf(buf, "%s:", name);
    if (url)
        cel__url_mask(buf, url);
    else
        cel__buf_add_str(buf, none);
    cel__buf_add_str(buf, end);
}

static void add_setting(void *user, const char *name, const json_t *value)
{
    cel__buf *buf = user, text = {0};

    cel__json_dump(&text, value);
    cel__buf_addf(buf, "%s: ", name);
    cel__json_repr(buf, cel__buf_view(&text), 4096, false);
    cel__buf_add_byte(buf, '\n');
    cel__buf_done(&text);
}

void cel__app_report(const cel_app *app, cel__buf *buf)
{
    struct utsname name = {0};

    uname(&name);
    cel__buf_addf(buf, "\nsoftware -> celeriac:%s libuv:%s jansson:%s\n            sqlite:%s\n",
                  CEL_VERSION_STRING, uv_version_string(), jansson_version_str(),
                  sqlite3_libversion());
    cel__buf_addf(buf, "platform -> system:%s arch:%zubit, %s\n            kernel version:%s\n",
                  name.sysname, sizeof(void *) * 8, name.machine, name.release);
    add_url(buf, "settings -> transport", cel__app_broker_url(app), "none", " ");
    add_url(buf, "results", cel__app_backend_url(app), "disabled", "\n\n");
    cel__config_each_changed(app->config, add_setting, buf);
}
