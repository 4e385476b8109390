/* checkpoint.c - see checkpoint.h.
 *
 * Passive passes copy what there is and make nobody wait. But while they wait for the disk others
 * write on, and the log starts again at its beginning only when all of it has been copied: it would
 * grow and grow, and to sync a growing file costs many times what it costs to sync one that is
 * overwritten. So the little that is left after two passes is copied under the write lock. */
#include "sqlite/checkpoint.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/mem.h"

#define PASSES     2    /* each finds what was written during the one before */
#define WAITS_MAX  100  /* of 50 us */
#define PAGE_BYTES 4120 /* of a page in the log */

struct cel__checkpointer {
    sqlite3 *db; /* the thread's */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool due, stop; /* under mutex */
};

/* For the write lock, and, with it, for readers: others wait meanwhile. */
static int wait_shortly(void *user, int tries)
{
    struct timespec pause = {0, 50000};

    (void)user;
    if (tries >= WAITS_MAX)
        return 0;
    nanosleep(&pause, NULL);
    return 1;
}

/* Busy, full disk: another one will come, and the log keeps everything meanwhile. */
static void run_one(sqlite3 *db)
{
    for (int pass = 0; pass < PASSES; pass++) {
        int pages = 0, copied = 0; /* of the log as it was at the beginning */
        int rc =
            sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
        if (rc != SQLITE_OK || copied < pages)
            return; /* somebody still reads an old state */
    }
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
}

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
        run_one(checkpointer->db);
        pthread_mutex_lock(&checkpointer->mutex);
    }
    pthread_mutex_unlock(&checkpointer->mutex);
    return NULL;
}

/* Gives the log the room on the disk that it fills between two checkpoints. SQLite takes zeros behind
 * its last frame for what they are: nothing. No bytes are written, so a writer at work loses none. */
void cel__checkpoint_reserve(const char *path)
{
    const off_t size = (off_t)(CEL_CHECKPOINT_PAGES + CEL_CHECKPOINT_PAGES / 4) * PAGE_BYTES;
    char log[PATH_MAX];
    struct statvfs disk;

    if (snprintf(log, sizeof log, "%s-wal", path) >= (int)sizeof log)
        return;
    int fd = open(log, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    /* Not where room is scarce. */
    if (fstatvfs(fd, &disk) == 0 &&
        (uint64_t)disk.f_bavail * disk.f_frsize / 64 >= (uint64_t)size)
        (void)!fallocate(fd, 0, 0, size);
    close(fd);
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
        rc = sqlite3_busy_handler(checkpointer->db, wait_shortly, NULL);
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
