/* report.c - `celeriac report`: versions, platform and settings, for bug reports. */
#include "app/report.h"

#include <stdio.h>

#include "cli/cli.h"

static int run(cel_cli *cli, const cel_args *args)
{
    cel__buf text = {0};
    cel_app *app;

    (void)args;
    if (!cel__cli_app(cli, &app, NULL, false))
        return CEL_EXIT_FAILURE;
    cel__app_report(app, &text);
    if (!text.failed)
        fwrite(text.ptr, 1, text.len, stdout);
    cel__buf_done(&text);
    cel_app_free(app);
    return CEL_EXIT_OK;
}

static const cel_option options[] = {{NULL, 0, NULL, CEL_OPTION_FLAG, NULL, NULL, NULL}};

const cel_command cel__report_command = {
    "report", "",  "Print versions, platform and settings, for bug reports.", NULL, options, 0,
    0,        run,
};
