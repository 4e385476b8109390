/* module.c - task modules: shared objects with a CEL_MODULE function.
 *
 * A module is opened with RTLD_LOCAL, so that two modules may use the same names inside, and never
 * closed: its code may be running on another thread, and its functions stay in the registry. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "celeriac/task.h"
#include "core/buf.h"
#include "core/mem.h"

cel_code cel_task_register(cel_app *app,
                           const char *name,
                           cel_task_fn fn,
                           const cel_task_options *options,
                           cel_error *err)
{
    if (!app || !name || !name[0] || !fn)
        return cel_error_set(err, CEL_EINVAL, "a task needs an app, a name and a function");
    return cel__registry_add(app->registry, name, fn, options, err);
}

void cel_task_declare(cel_app *app,
                      const char *name,
                      cel_task_fn fn,
                      const cel_task_options *options)
{
    cel_error err;

    if (cel_task_register(app, name, fn, options, &err) == CEL_OK)
        return;
    if (app->module_error.code == CEL_OK)
        app->module_error = err;
}

void cel_module_fail(cel_app *app, const char *fmt, ...)
{
    char text[sizeof app->module_error.message];
    va_list args;

    if (app->module_error.code != CEL_OK)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cel_error_set(&app->module_error, CEL_EMODULE, "%s", text);
}

/* ---- where a module is looked for ---- */

/* Puts the path of `module` in `folder` into `path` if there is such a file, and notes in `tried` what was
 * looked at. */
static bool find_in(cel__buf *path, cel__buf *tried, cel_view folder, const char *module)
{
    static const char *const forms[][2] = {{"", ""}, {"", ".so"}, {"lib", ".so"}};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *text;

        cel__buf_reset(path);
        cel__buf_add_view(path, folder);
        if (folder.len > 0 && folder.ptr[folder.len - 1] != '/')
            cel__buf_add_byte(path, '/');
        cel__buf_add_str(path, forms[i][0]);
        cel__buf_add_str(path, module);
        cel__buf_add_str(path, forms[i][1]);
        text = cel__buf_cstr(path);
        if (!text)
            return false;
        if (access(text, F_OK) == 0 && (forms[i][1][0] || strstr(module, ".so")))
            return true;
    }
    cel__buf_add_str(tried, tried->len > 0 ? ", " : "");
    cel__buf_add_view(tried, folder);
    return false;
}

static cel_code find_module(cel__buf *path, const char *module, cel_error *err)
{
    const char *folders = getenv("CELERIAC_PATH");
    cel__buf tried = {0};
    cel_code code = CEL_OK;

    if (find_in(path, &tried, CEL_VIEW("."), module))
        goto out;
    while (folders && *folders) {
        size_t len = strcspn(folders, ":");

        if (len > 0 && find_in(path, &tried, (cel_view){folders, len}, module))
            goto out;
        folders += len + (folders[len] == ':');
    }
    cel__buf_cstr(&tried);
    code = cel_error_set(err, CEL_EMODULE,
                         "no module '%s': looked for %s.so and lib%s.so in %s "
                         "(more folders: CELERIAC_PATH)",
                         module, module, module, tried.ptr ? tried.ptr : ".");
out:
    cel__buf_done(&tried);
    return code;
}

/* ---- loading ---- */

static cel_code run_module(cel_app *app, void *handle, const char *module, cel_error *err)
{
    const int *abi = dlsym(handle, "celeriac_module_abi");
    void (*init)(cel_app *);

    *(void **)&init = dlsym(handle, "celeriac_module_init");
    if (!abi || !init)
        return cel_error_set(err, CEL_EMODULE,
                             "'%s' has no CEL_MODULE function: not a task module", module);
    if (*abi != CEL_MODULE_ABI)
        return cel_error_set(err, CEL_EMODULE,
                             "'%s' was built for module interface %d, this library has %d: "
                             "compile it again",
                             module, *abi, CEL_MODULE_ABI);
    app->module_error = (cel_error){.code = CEL_OK};
    init(app);
    if (app->module_error.code == CEL_OK)
        return CEL_OK;
    return cel_error_set(err, CEL_EMODULE, "%s: %s", module, app->module_error.message);
}

bool cel__module_is_there(const char *module)
{
    cel__buf path = {0};
    bool there = module[0] && (strchr(module, '/') ? access(module, F_OK) == 0
                                                   : find_module(&path, module, NULL) == CEL_OK);

    cel__buf_done(&path);
    return there;
}

cel_code cel_app_load(cel_app *app, const char *module, cel_error *err)
{
    cel__buf path = {0};
    const char *text = module;
    cel_code code = CEL_OK;
    void *handle;

    if (!app || !module || !module[0])
        return cel_error_set(err, CEL_EINVAL, "no module is named");
    if (!strchr(module, '/')) {
        code = find_module(&path, module, err);
        text = cel__buf_cstr(&path);
    }
    if (code == CEL_OK && !text)
        code = cel__buf_check(&path, err);
    if (code == CEL_OK) {
        handle = dlopen(text, RTLD_NOW | RTLD_LOCAL);
        if (handle)
            code = run_module(app, handle, module, err);
        else
            code = cel_error_set(err, CEL_EMODULE, "%s", dlerror());
    }
    cel__buf_done(&path);
    return code;
}
