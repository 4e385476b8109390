/* beat.h - a beat beside a worker: `worker -B`. */
#ifndef CEL_CLI_BEAT_H
#define CEL_CLI_BEAT_H

#include "cli/cli.h"

typedef struct cel_cli_beat cel_cli_beat;

/* Runs a beat on a thread of its own, on the app's client side. `schedule` as for `beat -s`; may be NULL. After everything that
 * forks. The caller owns *out. CEL_ENOMEM, CEL_EIO; what goes wrong later is logged. */
cel_code cel__cli_beat_start(
    cel_cli_beat **out, cel_cli *cli, cel_app *app, const char *schedule, cel_error *err);

/* Stops it and waits for the end. NULL is a no-op. */
void cel__cli_beat_stop(cel_cli_beat *beat);

#endif
