/* config_default.c - where the embedded broker and result store live by default. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/config.h"

#define DATABASE "celeriac.db"

/* A name beside which nothing can be created will do only if the file is there and writable:
 * SQLite keeps its journal beside it. */
static bool is_usable(const char *folder, cel__buf *path)
{
    struct stat st;

    cel__buf_reset(path);
    cel__buf_addf(path, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, DATABASE);
    if (!cel__buf_cstr(path))
        return false;
    if (stat(path->ptr, &st) == 0)
        return S_ISREG(st.st_mode);
    return errno == ENOENT && access(folder, W_OK | X_OK) == 0;
}

/* Makes the folder and those above it, for the user alone. */
static cel_code make_folders(char *path, cel_error *err)
{
    for (char *at = path + 1;; at++) {
        char end = *at;
        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return cel_error_set(err, CEL_EIO, "cannot make %s: %s", path, strerror(errno));
        *at = end;
        if (end == '\0')
            return CEL_OK;
    }
}

static cel_code
state_folder(cel__buf *folder, const char *state_home, const char *home, cel_error *err)
{
    if (state_home && state_home[0] == '/')
        cel__buf_addf(folder, "%s/celeriac", state_home);
    else if (home && home[0] == '/')
        cel__buf_addf(folder, "%s/.local/state/celeriac", home);
    else
        return cel_error_set(err, CEL_EIO,
                             "no place for " DATABASE ": the working directory is not "
                             "writable, and neither XDG_STATE_HOME nor HOME is set");
    return cel__buf_cstr(folder) ? make_folders(folder->ptr, err) : cel__buf_check(folder, err);
}

static cel_code add_url(cel__buf *buf, const cel__buf *path, cel_error *err)
{
    cel__buf_add_str(buf, "sqlite:///");
    cel__url_quote(buf, cel__buf_view(path), "/");
    return cel__buf_check(buf, err);
}

cel_code cel__default_url_in(
    cel__buf *buf, const char *folder, const char *state_home, const char *home, cel_error *err)
{
    cel__buf path = {0}, state = {0};
    cel_code code;

    if (folder && is_usable(folder, &path)) {
        code = add_url(buf, &path, err);
    } else {
        code = state_folder(&state, state_home, home, err);
        if (code == CEL_OK && !is_usable(state.ptr, &path))
            code = cel_error_set(err, CEL_EIO, "no place for " DATABASE ": %s is not writable",
                                 state.ptr);
        if (code == CEL_OK)
            code = add_url(buf, &path, err);
    }
    cel__buf_done(&path);
    cel__buf_done(&state);
    return code;
}

cel_code cel__default_url(cel__buf *buf, cel_error *err)
{
    char folder[PATH_MAX];

    return cel__default_url_in(buf, getcwd(folder, sizeof folder), getenv("XDG_STATE_HOME"),
                               getenv("HOME"), err);
}
