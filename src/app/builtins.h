/* builtins.h - the tasks that every Celery worker knows: celery.accumulate, celery.map and their like. */
#ifndef CEL_APP_BUILTINS_H
#define CEL_APP_BUILTINS_H

#include "app/app.h"

cel_code cel__builtins_register(cel_app *app, cel_error *err);

#endif
