/* statedb.c - the file is replaced as a whole: written under another name, synced, renamed. */
#include "worker/statedb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/jscan.h"
#include "core/mem.h"

#define SAVE_MS  1000
#define FILE_MAX ((size_t)64 << 20)

struct cel_statedb {
    char *path, *other; /* owned */
    cel_revoked *revoked;
    uv_timer_t timer;
    uv_work_t work;
    cel__buf text;   /* what is being written */
    cel_error error; /* of the write */
    uv_loop_t *loop; /* borrowed */
    bool started, writing, dirty;
    void (*failed)(void *user, const cel_error *err);
    void *user;
};

/* ---- reading ---- */

static cel_code io_error(cel_error *err, const char *path, const char *what)
{
    return cel_error_set(err, CEL_EIO, "the state file '%s' cannot be %s: %s", path, what,
                         strerror(errno));
}

/* All of it; nothing if there is no such file. */
static cel_code read_file(cel__buf *buf, const char *path, cel_error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    if (file < 0)
        return errno == ENOENT ? CEL_OK : io_error(err, path, "opened");
    while (got > 0 && !buf->failed) {
        char *room = cel__buf_reserve(buf, 65536);

        if (!room)
            break;
        got = read(file, room, 65536);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            buf->len += (size_t)got;
    }
    int code = got < 0 ? errno : 0;
    close(file);
    errno = code;
    return got < 0 ? io_error(err, path, "read") : CEL_OK;
}

static cel_code load(cel_statedb *statedb, cel_view text, int64_t now_ms, cel_error *err)
{
    cel_jvalue root, revoked;

    if (text.len == 0)
        return CEL_OK;
    if (cel__jscan_value(&root, text, NULL) == CEL_OK && root.type == CEL_JSON_OBJECT) {
        revoked = cel__jscan_get(root, "revoked");
        if (revoked.type == CEL_JSON_OBJECT)
            return cel__revoked_load(statedb->revoked, revoked.text, now_ms, err);
    }
    return cel_error_set(err, CEL_ECONFIG,
                         "'%s' is no state file of celeriac (Python's is another): name "
                         "another file, or delete it",
                         statedb->path);
}

cel_code cel__statedb_open(
    cel_statedb **out, const char *path, cel_revoked *revoked, int64_t now_ms, cel_error *err)
{
    cel_statedb *statedb = cel__calloc(1, sizeof *statedb);
    cel__buf buf = {.max = FILE_MAX}, other = {0};
    cel_code code;

    if (!statedb)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a state file");
    cel__buf_addf(&other, "%s.new", path);
    statedb->path = cel__strdup(path);
    statedb->other = cel__buf_detach(&other, NULL);
    statedb->revoked = revoked;
    code = statedb->path && statedb->other
               ? read_file(&buf, path, err)
               : cel_error_set(err, CEL_ENOMEM, "no memory for a state file");
    if (code == CEL_OK)
        code = cel__buf_check(&buf, err);
    if (code == CEL_OK)
        code = load(statedb, cel__buf_view(&buf), now_ms, err);
    cel__buf_done(&buf);
    if (code == CEL_OK)
        *out = statedb;
    else
        cel__statedb_free(statedb);
    return code;
}

/* ---- writing ---- */

static cel_code write_all(int file, cel_view text, cel_error *err, const char *path)
{
    while (text.len > 0) {
        ssize_t put = write(file, text.ptr, text.len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return io_error(err, path, "written");
        text = (cel_view){text.ptr + put, text.len - (size_t)put};
    }
    return fsync(file) == 0 ? CEL_OK : io_error(err, path, "written");
}

/* Any thread, one at a time. */
static cel_code write_file(const cel_statedb *statedb, cel_error *err)
{
    int file = open(statedb->other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cel_code code;

    if (file < 0)
        return io_error(err, statedb->other, "opened");
    code = write_all(file, cel__buf_view(&statedb->text), err, statedb->other);
    if (close(file) != 0 && code == CEL_OK)
        code = io_error(err, statedb->other, "written");
    if (code == CEL_OK && rename(statedb->other, statedb->path) != 0)
        code = io_error(err, statedb->path, "replaced");
    if (code != CEL_OK)
        (void)unlink(statedb->other);
    return code;
}

static void dump(cel_statedb *statedb)
{
    cel__buf_reset(&statedb->text);
    cel__buf_add_str(&statedb->text, "{\"revoked\": ");
    cel__revoked_dump(&statedb->text, statedb->revoked);
    cel__buf_add_str(&statedb->text, "}\n");
}

static void on_work(uv_work_t *work)
{
    cel_statedb *statedb = work->data;

    statedb->error = (cel_error){0};
    (void)write_file(statedb, &statedb->error);
}

static void on_timer(uv_timer_t *timer);

static void on_written(uv_work_t *work, int status)
{
    cel_statedb *statedb = work->data;

    statedb->writing = false;
    if (status != 0 || statedb->error.code != CEL_OK) {
        statedb->dirty = true;
        if (statedb->error.code != CEL_OK && statedb->failed)
            statedb->failed(statedb->user, &statedb->error);
    } else if (statedb->dirty && statedb->started) {
        uv_timer_start(&statedb->timer, on_timer, SAVE_MS, 0);
    }
}

static void on_timer(uv_timer_t *timer)
{
    cel_statedb *statedb = timer->data;

    if (statedb->writing)
        return;
    statedb->dirty = false;
    dump(statedb);
    if (statedb->text.failed)
        return;
    statedb->work.data = statedb;
    statedb->writing = uv_queue_work(timer->loop, &statedb->work, on_work, on_written) == 0;
}

void cel__statedb_start(cel_statedb *statedb,
                        uv_loop_t *loop,
                        void (*failed)(void *user, const cel_error *err),
                        void *user)
{
    uv_timer_init(loop, &statedb->timer);
    statedb->timer.data = statedb;
    statedb->loop = loop;
    statedb->failed = failed;
    statedb->user = user;
    statedb->started = true;
}

void cel__statedb_touch(cel_statedb *statedb)
{
    if (!statedb)
        return;
    statedb->dirty = true;
    if (statedb->started && !statedb->writing && !uv_is_active((uv_handle_t *)&statedb->timer))
        uv_timer_start(&statedb->timer, on_timer, SAVE_MS, 0);
}

void cel__statedb_stop(cel_statedb *statedb)
{
    if (!statedb || !statedb->started)
        return;
    statedb->started = false;
    uv_close((uv_handle_t *)&statedb->timer, NULL);
}

cel_code cel__statedb_save(cel_statedb *statedb, cel_error *err)
{
    cel_code code;

    if (!statedb)
        return CEL_OK;
    while (statedb->writing)
        uv_run(statedb->loop, UV_RUN_ONCE);
    dump(statedb);
    code = cel__buf_check(&statedb->text, err);
    return code == CEL_OK ? write_file(statedb, err) : code;
}

void cel__statedb_free(cel_statedb *statedb)
{
    if (!statedb)
        return;
    cel__buf_done(&statedb->text);
    cel__free(statedb->path);
    cel__free(statedb->other);
    cel__free(statedb);
}
