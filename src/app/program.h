/* program.h - programs as tasks, from the inside; see celeriac/program.h. */
#ifndef CEL_APP_PROGRAM_H
#define CEL_APP_PROGRAM_H

#include "app/app.h"
#include "celeriac/program.h"

typedef struct cel_program_entry {
    struct cel_program_entry *next; /* in the app's list */
    char **argv;                    /* owned, NULL-terminated, as environment */
    char **environment;             /* never NULL */
    char *directory;                /* owned; NULL: where the worker is */
    bool text_result;
    int64_t grace_ms;
} cel_program_entry;

/* Registers what the setting task_programs declares. CEL_ECONFIG names the program and the option. */
cel_code cel__programs_configure(cel_app *app, cel_error *err);

void cel__programs_free(cel_program_entry *programs);

/* The function of tasks that are programs: runs req->entry->program. */
json_t *cel__program_run(cel_request *req);

#endif
