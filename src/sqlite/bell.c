/* bell.c - the mapped file and the FIFOs.
 *
 * No wake-up is lost: a waiter sets its bits, then reads the database; a ringer commits, then
 * reads the bits, both with a full fence between. The ringer fills the ring, then sets `poked`,
 * then writes a byte if it was not set before; the waiter empties the FIFO, clears `poked`,
 * then reads the ring. A ringer that is killed between two of these steps leaves a wake-up
 * undone: therefore the engine looks every few seconds (and clears `poked`) as well.
 *
 * A ring's cell carries the lap in its low bits. A cell of the wrong lap is one that was
 * overrun or whose ringer has not written it (yet): then the waiter takes it that everything
 * was rung.
 *
 * Slots are taken and given back under flock() on the file. A FIFO's name holds the slot's
 * generation, so that a descriptor kept open by a ringer never pokes the slot's next holder. */
#include "sqlite/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

#define BELL_MAGIC UINT64_C(0x316c6c65424c4543)
#define BELL_SLOTS 256
#define BLOOM_BITS 2048u
#define RING_CELLS 64u
#define OPEN_TRIES 100

struct slot {
    _Atomic uint32_t used;
    _Atomic uint32_t gen;
    _Atomic int64_t pid, start_time;
    _Atomic uint64_t boot, pid_ns; /* hashes of the names */
    _Atomic uint32_t poked;        /* a byte is in the FIFO, or about to be */
    _Atomic uint64_t head;         /* ring: number of the next cell */
    _Atomic uint64_t bloom[BLOOM_BITS / 64];
    _Atomic uint64_t ring[RING_CELLS];
};

struct bell_map {
    _Atomic uint64_t magic;
    _Atomic uint32_t high; /* slots at and above were never used */
    struct slot slots[BELL_SLOTS];
};

struct peer {
    int fd; /* of the slot's FIFO; -1: not open */
    uint32_t gen;
};

struct cel__bell {
    char *run_dir;
    int fd;
    struct bell_map *map;
    int index; /* of our slot; -1: none was free */
    int fifo;
    uint32_t gen;
    cel__process self;
    uint64_t tail;               /* ring: first cell not read yet */
    uint32_t wanted[BLOOM_BITS]; /* how many want() have set the bit */
    struct peer peers[BELL_SLOTS];
};

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

static void fifo_path(const cel__bell *bell, char out[PATH_MAX], int index, uint32_t gen)
{
    snprintf(out, PATH_MAX, "%s/wake.%d.%u", bell->run_dir, index, gen);
}

static void bell_path(const cel__bell *bell, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/bell", bell->run_dir);
}

static cel_code fail_errno(cel__bell *bell, int number, cel_error *err)
{
    return cel_error_set(err, number == ENOSPC || number == EDQUOT ? CEL_EFULL : CEL_EIO,
                         "'%.150s': %s", bell->run_dir, strerror(number));
}

static void lock_file(const cel__bell *bell)
{
    while (flock(bell->fd, LOCK_EX) != 0 && errno == EINTR) {
    }
}

static void unlock_file(const cel__bell *bell)
{
    flock(bell->fd, LOCK_UN);
}

/* Opens and locks the file that is at the path: not one that a closing engine has just removed.
 */
static cel_code open_locked(cel__bell *bell, cel_error *err)
{
    char path[PATH_MAX];
    struct stat mine, there;

    bell_path(bell, path);
    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        if (mkdir(bell->run_dir, 0700) != 0 && errno != EEXIST)
            return fail_errno(bell, errno, err);
        bell->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (bell->fd < 0 && errno != ENOENT)
            return fail_errno(bell, errno, err);
        if (bell->fd < 0)
            continue;
        lock_file(bell);
        if (fstat(bell->fd, &mine) == 0 && stat(path, &there) == 0 &&
            mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
            return CEL_OK;
        close(bell->fd);
        bell->fd = -1;
    }
    return fail_errno(bell, EBUSY, err);
}

static cel_code map_file(cel__bell *bell, cel_error *err)
{
    int rc = posix_fallocate(bell->fd, 0, sizeof(struct bell_map));

    if (rc != 0)
        return fail_errno(bell, rc, err);
    void *map =
        mmap(NULL, sizeof(struct bell_map), PROT_READ | PROT_WRITE, MAP_SHARED, bell->fd, 0);
    if (map == MAP_FAILED)
        return fail_errno(bell, errno, err);
    bell->map = map;
    if (atomic_load(&bell->map->magic) != BELL_MAGIC) {
        memset(map, 0, sizeof(struct bell_map));
        atomic_store(&bell->map->magic, BELL_MAGIC);
    }
    return CEL_OK;
}

static bool slot_is_dead(const cel__bell *bell, struct slot *slot)
{
    if (atomic_load(&slot->boot) != hash_text(bell->self.boot_id))
        return true;
    if (atomic_load(&slot->pid_ns) != hash_text(bell->self.pid_ns))
        return false;
    return !cel__process_alive(atomic_load(&slot->pid), atomic_load(&slot->start_time));
}

static void free_slot(cel__bell *bell, int index)
{
    char path[PATH_MAX];
    struct slot *slot = bell->map->slots + index;

    fifo_path(bell, path, index, atomic_load(&slot->gen));
    unlink(path);
    atomic_store(&slot->used, 0);
}

static int find_slot(cel__bell *bell)
{
    uint32_t high = atomic_load(&bell->map->high);

    if (high > BELL_SLOTS)
        high = BELL_SLOTS;
    for (uint32_t i = 0; i < high; i++) {
        if (atomic_load(&bell->map->slots[i].used) && slot_is_dead(bell, bell->map->slots + i))
            free_slot(bell, (int)i);
        if (!atomic_load(&bell->map->slots[i].used))
            return (int)i;
    }
    if (high == BELL_SLOTS)
        return -1;
    atomic_store(&bell->map->high, high + 1);
    return (int)high;
}

static cel_code take_slot(cel__bell *bell, cel_error *err)
{
    char path[PATH_MAX];
    int index = find_slot(bell);

    if (index < 0)
        return CEL_OK;
    struct slot *slot = bell->map->slots + index;
    uint32_t gen = atomic_load(&slot->gen) + 1;
    fifo_path(bell, path, index, gen);
    unlink(path);
    if (mkfifo(path, 0600) != 0)
        return fail_errno(bell, errno, err);
    /* Read and write: no end of file when the last ringer goes, and a ringer's open never
     * waits. */
    bell->fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (bell->fifo < 0)
        return fail_errno(bell, errno, err);
    atomic_store(&slot->gen, gen);
    atomic_store(&slot->pid, bell->self.pid);
    atomic_store(&slot->start_time, bell->self.start_time);
    atomic_store(&slot->boot, hash_text(bell->self.boot_id));
    atomic_store(&slot->pid_ns, hash_text(bell->self.pid_ns));
    atomic_store(&slot->poked, 0);
    bell->tail = atomic_load(&slot->head);
    for (size_t i = 0; i < BLOOM_BITS / 64; i++)
        atomic_store(&slot->bloom[i], 0);
    atomic_store(&slot->used, 1);
    bell->index = index;
    bell->gen = gen;
    return CEL_OK;
}

cel_code
cel__bell_open(cel__bell **out, const char *run_dir, const cel__process *self, cel_error *err)
{
    cel__bell *bell = cel__calloc(1, sizeof *bell);

    if (!bell)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a bell");
    bell->fd = bell->fifo = bell->index = -1;
    bell->self = *self;
    for (int i = 0; i < BELL_SLOTS; i++)
        bell->peers[i].fd = -1;
    bell->run_dir = cel__strdup(run_dir);
    cel_code code = bell->run_dir ? open_locked(bell, err)
                                  : cel_error_set(err, CEL_ENOMEM, "no memory for a bell");
    if (code == CEL_OK)
        code = map_file(bell, err);
    if (code == CEL_OK)
        code = take_slot(bell, err);
    if (code != CEL_OK) {
        cel__bell_close(bell);
        return code;
    }
    unlock_file(bell);
    *out = bell;
    return CEL_OK;
}

/* Under the lock. A directory that holds ledgers of the dead stays. */
static void remove_if_last(cel__bell *bell)
{
    char path[PATH_MAX];

    for (int i = 0; i < BELL_SLOTS; i++)
        if (atomic_load(&bell->map->slots[i].used))
            return;
    bell_path(bell, path);
    unlink(path);
    rmdir(bell->run_dir);
}

void cel__bell_close(cel__bell *bell)
{
    if (!bell)
        return;
    if (bell->map) {
        lock_file(bell);
        if (bell->index >= 0)
            free_slot(bell, bell->index);
        remove_if_last(bell);
        munmap(bell->map, sizeof(struct bell_map));
    }
    for (int i = 0; i < BELL_SLOTS; i++)
        if (bell->peers[i].fd >= 0)
            close(bell->peers[i].fd);
    if (bell->fifo >= 0)
        close(bell->fifo);
    if (bell->fd >= 0)
        close(bell->fd);
    cel__free(bell->run_dir);
    cel__free(bell);
}

int cel__bell_fd(const cel__bell *bell)
{
    return bell->fifo;
}

/* ---- waiting ---- */

static uint32_t first_bit(uint64_t hash)
{
    return (uint32_t)(hash >> 16) % BLOOM_BITS;
}

static uint32_t second_bit(uint64_t hash)
{
    return (uint32_t)(hash >> 40) % BLOOM_BITS;
}

static void set_bit(cel__bell *bell, uint32_t bit)
{
    if (bell->wanted[bit]++ == 0)
        atomic_fetch_or(&bell->map->slots[bell->index].bloom[bit / 64], UINT64_C(1)
                                                                            << (bit % 64));
}

static void clear_bit(cel__bell *bell, uint32_t bit)
{
    if (--bell->wanted[bit] == 0)
        atomic_fetch_and(&bell->map->slots[bell->index].bloom[bit / 64],
                         ~(UINT64_C(1) << (bit % 64)));
}

void cel__bell_want(cel__bell *bell, uint64_t hash)
{
    if (bell->index < 0)
        return;
    set_bit(bell, first_bit(hash));
    set_bit(bell, second_bit(hash));
    atomic_thread_fence(memory_order_seq_cst);
}

void cel__bell_unwant(cel__bell *bell, uint64_t hash)
{
    if (bell->index < 0)
        return;
    clear_bit(bell, first_bit(hash));
    clear_bit(bell, second_bit(hash));
}

static uint64_t lap_of(uint64_t number)
{
    return (number / RING_CELLS + 1) & 0xff;
}

bool cel__bell_drain(cel__bell *bell,
                     bool readable,
                     void (*rung)(void *user, uint64_t hash),
                     void *user)
{
    char bytes[64];
    bool missed = false;

    if (bell->index < 0)
        return true;
    struct slot *slot = bell->map->slots + bell->index;
    if (readable || atomic_load(&slot->poked)) {
        while (read(bell->fifo, bytes, sizeof bytes) > 0) {
        }
        atomic_store(&slot->poked, 0);
    }
    uint64_t head = atomic_load(&slot->head);
    if (head - bell->tail > RING_CELLS) {
        bell->tail = head;
        return true;
    }
    for (; bell->tail != head; bell->tail++) {
        uint64_t cell = atomic_load(&slot->ring[bell->tail % RING_CELLS]);
        if ((cell & ~CEL_BELL_MASK) == lap_of(bell->tail))
            rung(user, cell & CEL_BELL_MASK);
        else
            missed = true;
    }
    return missed;
}

/* ---- ringing ---- */

static bool slot_wants(struct slot *slot, uint64_t hash)
{
    uint32_t a = first_bit(hash), b = second_bit(hash);

    return (atomic_load_explicit(&slot->bloom[a / 64], memory_order_relaxed) >> (a % 64) & 1) &&
           (atomic_load_explicit(&slot->bloom[b / 64], memory_order_relaxed) >> (b % 64) & 1);
}

static void push(struct slot *slot, uint64_t hash)
{
    uint64_t number = atomic_fetch_add(&slot->head, 1);

    atomic_store(&slot->ring[number % RING_CELLS], (hash & CEL_BELL_MASK) | lap_of(number));
}

static void poke(cel__bell *bell, int index)
{
    char path[PATH_MAX];
    struct slot *slot = bell->map->slots + index;
    struct peer *peer = bell->peers + index;
    uint32_t gen = atomic_load(&slot->gen);

    if (atomic_exchange(&slot->poked, 1))
        return;
    if (peer->fd >= 0 && peer->gen != gen) {
        close(peer->fd);
        peer->fd = -1;
    }
    if (peer->fd < 0) {
        fifo_path(bell, path, index, gen);
        /* For reading too, or a holder's sudden death would be a SIGPIPE here. */
        peer->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        peer->gen = gen;
    }
    if (peer->fd >= 0)
        (void)!write(peer->fd, "", 1);
}

bool cel__bell_ring(cel__bell *bell, const uint64_t *hashes, size_t count)
{
    bool own = false;
    uint32_t high = atomic_load(&bell->map->high);

    atomic_thread_fence(memory_order_seq_cst);
    for (int i = 0; i < (int)(high < BELL_SLOTS ? high : BELL_SLOTS); i++) {
        struct slot *slot = bell->map->slots + i;
        bool wanted = false;
        if (!atomic_load_explicit(&slot->used, memory_order_acquire))
            continue;
        for (size_t k = 0; k < count; k++) {
            if (slot_wants(slot, hashes[k])) {
                push(slot, hashes[k]);
                wanted = true;
            }
        }
        if (wanted && i == bell->index)
            own = true;
        else if (wanted)
            poke(bell, i);
    }
    return own;
}

void cel__bell_sweep(cel__bell *bell)
{
    uint32_t high = atomic_load(&bell->map->high);

    for (int i = 0; i < (int)(high < BELL_SLOTS ? high : BELL_SLOTS); i++) {
        struct slot *slot = bell->map->slots + i;
        if (i == bell->index || !atomic_load(&slot->used) || !slot_is_dead(bell, slot))
            continue;
        lock_file(bell);
        if (atomic_load(&slot->used) && slot_is_dead(bell, slot))
            free_slot(bell, i);
        unlock_file(bell);
    }
}
