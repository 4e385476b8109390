/* checkpoint.c - see checkpoint.h. Passive checkpoints only: they make nobody wait. */
#include "sqlite/checkpoint.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <sqlite3.h>

#include "core/mem.h"

struct cel__checkpointer {
    sqlite3 *db; /* the thread's */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool due, stop; /* under mutex */
};

static void *run_checkpoints(void *arg)
{
    cel__checkpointer *checkpointer = arg;

    pthread_mutex_lock(&checkpointer->mutex);
    for (;;) {
        while (!checkpointer->due && !checkpointer->stop)
            pthread_cond_wait(&checkpointer->wake, &checkpointer->mutex);
        if (checkpointer->stop)
            break;
        checkpointer->due = false;
        pthread_mutex_unlock(&checkpointer->mutex);
        /* Busy, full disk: another one will come, and the log keeps everything meanwhile. */
        sqlite3_wal_checkpoint_v2(checkpointer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
                                  NULL);
        pthread_mutex_lock(&checkpointer->mutex);
    }
    pthread_mutex_unlock(&checkpointer->mutex);
    return NULL;
}

static cel_code start_thread(cel__checkpointer *checkpointer, cel_error *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&checkpointer->thread, NULL, run_checkpoints, checkpointer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? CEL_OK : cel_error_set(err, CEL_EIO, "thread: %s", strerror(rc));
}

cel_code
cel__checkpointer_new(cel__checkpointer **out, const char *path, bool off, cel_error *err)
{
    cel__checkpointer *checkpointer = cel__calloc(1, sizeof *checkpointer);

    if (!checkpointer)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a checkpointer");
    pthread_mutex_init(&checkpointer->mutex, NULL);
    pthread_cond_init(&checkpointer->wake, NULL);
    int rc = sqlite3_open_v2(path, &checkpointer->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(checkpointer->db,
                          off ? "PRAGMA synchronous=off" : "PRAGMA synchronous=normal", NULL,
                          NULL, NULL);
    cel_code code = rc == SQLITE_OK
                        ? start_thread(checkpointer, err)
                        : cel_error_set(err, CEL_EIO, "sqlite: %s", sqlite3_errstr(rc));
    if (code == CEL_OK) {
        *out = checkpointer;
        return CEL_OK;
    }
    sqlite3_close(checkpointer->db);
    pthread_mutex_destroy(&checkpointer->mutex);
    pthread_cond_destroy(&checkpointer->wake);
    cel__free(checkpointer);
    return code;
}

void cel__checkpointer_free(cel__checkpointer *checkpointer)
{
    if (!checkpointer)
        return;
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->stop = true;
    pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
    pthread_join(checkpointer->thread, NULL);
    sqlite3_close(checkpointer->db);
    pthread_mutex_destroy(&checkpointer->mutex);
    pthread_cond_destroy(&checkpointer->wake);
    cel__free(checkpointer);
}

void cel__checkpointer_poke(cel__checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->due = true;
    pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
}
