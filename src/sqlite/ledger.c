/* ledger.c - the file: 8 bytes of magic, then 64-bit cells in the machine's byte order; 0 is a
 * free cell. */
#include "sqlite/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

#define LEDGER_MAGIC INT64_C(0x31726567644c6c43)
#define FIRST_CELLS  1023
#define MAX_CELLS    (1u << 22)

struct cel__ledger {
    _Atomic int refs;
    int fd;
    _Atomic int64_t *map; /* map[0] is the magic; cell i is map[i + 1] */
    uint32_t cells;
    uint32_t *spare; /* owned: a stack of free cells; room for `cells` */
    uint32_t spare_count;
};

static void ledger_path(char out[PATH_MAX], const char *run_dir, int64_t owner)
{
    snprintf(out, PATH_MAX, "%s/ledger.%lld", run_dir, (long long)owner);
}

static size_t map_bytes(uint32_t cells)
{
    return ((size_t)cells + 1) * sizeof(int64_t);
}

/* Room is allocated on the disk first: a store into a hole of a full disk would be a SIGBUS. */
static cel_code grow(cel__ledger *ledger, uint32_t cells, cel_error *err)
{
    int rc = posix_fallocate(ledger->fd, 0, (off_t)map_bytes(cells));

    if (rc != 0)
        return cel_error_set(err, rc == ENOSPC ? CEL_EFULL : CEL_EIO, "ledger: %s",
                             strerror(rc));
    uint32_t *spare = cel__realloc(ledger->spare, cells * sizeof *spare);
    if (!spare)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a ledger");
    ledger->spare = spare;
    void *map = ledger->map ? mremap((void *)ledger->map, map_bytes(ledger->cells),
                                     map_bytes(cells), MREMAP_MAYMOVE)
                            : mmap(NULL, map_bytes(cells), PROT_READ | PROT_WRITE, MAP_SHARED,
                                   ledger->fd, 0);
    if (map == MAP_FAILED)
        return cel_error_set(err, CEL_EIO, "ledger: %s", strerror(errno));
    ledger->map = map;
    for (uint32_t cell = cells; cell-- > ledger->cells;)
        ledger->spare[ledger->spare_count++] = cell;
    ledger->cells = cells;
    return CEL_OK;
}

cel_code cel__ledger_new(cel__ledger **out, const char *run_dir, int64_t owner, cel_error *err)
{
    char path[PATH_MAX];
    cel__ledger *ledger = cel__calloc(1, sizeof *ledger);

    if (!ledger)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a ledger");
    atomic_init(&ledger->refs, 1);
    ledger_path(path, run_dir, owner);
    unlink(path); /* one of the same number can only be a rolled back owner's */
    ledger->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    cel_code code = CEL_OK;
    if (ledger->fd < 0)
        code = cel_error_set(err, errno == ENOSPC ? CEL_EFULL : CEL_EIO, "ledger: %s",
                             strerror(errno));
    if (code == CEL_OK)
        code = grow(ledger, FIRST_CELLS, err);
    if (code != CEL_OK) {
        if (ledger->fd >= 0)
            unlink(path);
        cel__ledger_unref(ledger);
        return code;
    }
    atomic_store_explicit(&ledger->map[0], LEDGER_MAGIC, memory_order_release);
    *out = ledger;
    return CEL_OK;
}

cel__ledger *cel__ledger_ref(cel__ledger *ledger)
{
    atomic_fetch_add_explicit(&ledger->refs, 1, memory_order_relaxed);
    return ledger;
}

void cel__ledger_unref(cel__ledger *ledger)
{
    if (!ledger || atomic_fetch_sub_explicit(&ledger->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (ledger->map)
        munmap((void *)ledger->map, map_bytes(ledger->cells));
    if (ledger->fd >= 0)
        close(ledger->fd);
    cel__free(ledger->spare);
    cel__free(ledger);
}

cel_code cel__ledger_note(cel__ledger *ledger, int64_t claim, uint32_t *cell, cel_error *err)
{
    if (ledger->spare_count == 0) {
        if (ledger->cells >= MAX_CELLS)
            return cel_error_set(err, CEL_EFULL, "%u messages are accepted and not settled",
                                 ledger->cells);
        cel_code code = grow(ledger, ledger->cells * 2 + 1, err);
        if (code != CEL_OK)
            return code;
    }
    *cell = ledger->spare[--ledger->spare_count];
    atomic_store_explicit(&ledger->map[*cell + 1], claim, memory_order_release);
    return CEL_OK;
}

void cel__ledger_clear(cel__ledger *ledger, uint32_t cell)
{
    if (cell == CEL_LEDGER_NONE)
        return;
    atomic_store_explicit(&ledger->map[cell + 1], 0, memory_order_release);
    ledger->spare[ledger->spare_count++] = cell;
}

static int compare_claims(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static bool read_all(int fd, char *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = pread(fd, out + at, len - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

cel_code cel__ledger_read(
    int64_t **claims, size_t *count, const char *run_dir, int64_t owner, cel_error *err)
{
    char path[PATH_MAX];
    struct stat info;
    cel_code code = CEL_ENOENT;
    int64_t *cells = NULL;

    ledger_path(path, run_dir, owner);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size < 8 ||
        info.st_size > (off_t)map_bytes(MAX_CELLS * 2 + 1))
        goto done;
    size_t words = (size_t)info.st_size / sizeof *cells;
    cells = cel__malloc(words * sizeof *cells);
    if (!cells) {
        code = CEL_ENOMEM;
        goto done;
    }
    if (!read_all(fd, (char *)cells, words * sizeof *cells) || cells[0] != LEDGER_MAGIC)
        goto done;
    size_t found = 0;
    for (size_t i = 1; i < words; i++)
        if (cells[i] != 0)
            cells[found++] = cells[i];
    qsort(cells, found, sizeof *cells, compare_claims);
    close(fd);
    *claims = cells;
    *count = found;
    return CEL_OK;

done:
    if (fd >= 0)
        close(fd);
    cel__free(cells);
    return cel_error_set(err, code, "owner %lld: no ledger", (long long)owner);
}

void cel__ledger_remove(const char *run_dir, int64_t owner)
{
    char path[PATH_MAX];

    ledger_path(path, run_dir, owner);
    unlink(path);
}
