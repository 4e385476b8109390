/* claim.h - the memory that a worker shares with one of its children.
 *
 * Several short requests may wait in a child's socket. Who owns one of them is decided here, by
 * a compare-and-swap on its slot's word:
 *
 *     QUEUED ----child----> TAKEN --child--> DONE
 *        |                    |  \             ^
 *        | parent      parent |   \ parent     | child, once the signal has come
 *        v                    |    v           |
 *     RECLAIMED               |  CANCELED -----+   (SIGUSR1 follows)
 *                             v    | parent
 *                           DOOMED <               (a deadly signal follows)
 *
 * A word is  ticket << 3 | state.  The n-th REQUEST written to this child has the ticket n (from 0) and
 * the slot n modulo CEL_CLAIM_SLOTS; the parent writes at most CEL_CLAIM_SLOTS requests beyond `seen`,
 * so that no slot is used twice at a time. Since a CANCELED or DOOMED child waits for its signal
 * before it goes on, a signal never hits the next request.
 *
 * `pending` holds whole frames (outcomes) that the child has not written to its socket yet, so
 * as to write many at once. The parent takes them from here when the child has got stuck in its
 * next request, or has died. Whoever changes it holds `lock`; a dead child's lock counts for
 * nothing, because `pending_len` is raised only after the bytes are there, and what had been
 * sent already is known by its request id. */
#ifndef CEL_POOL_CLAIM_H
#define CEL_POOL_CLAIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CEL_CLAIM_MAGIC   0x314c4543u /* "CEL1" */
#define CEL_CLAIM_SLOTS   256u
#define CEL_CLAIM_PENDING (48u << 10)

enum cel__claim_state {
    CEL_CLAIM_FREE,
    CEL_CLAIM_QUEUED,
    CEL_CLAIM_TAKEN,
    CEL_CLAIM_CANCELED,
    CEL_CLAIM_DOOMED,
    CEL_CLAIM_DONE,
    CEL_CLAIM_RECLAIMED,
};

typedef struct cel__claim_slot {
    _Atomic uint64_t word;
    _Atomic uint64_t taken_ns; /* CLOCK_MONOTONIC; valid from TAKEN on */
    int64_t soft_limit_ms;     /* written by the parent before QUEUED */
    int64_t hard_limit_ms;
} cel__claim_slot;

typedef struct cel__claim_page {
    uint32_t magic;
    uint32_t slot_count;
    int64_t max_memory_kib;       /* 0: the child need not measure itself */
    _Atomic uint64_t seen;        /* requests that the child has done with, or passed over */
    _Atomic uint64_t rss_kib;     /* after the last request, if measured */
    _Atomic uint32_t lock;        /* 0 free, 1 child, 2 parent */
    _Atomic uint32_t pending_len; /* bytes of whole frames in `pending` */
    _Atomic uint64_t pending_since_ns; /* when the request of the oldest of them was taken */
    char unused[64 - 48];
    cel__claim_slot slots[CEL_CLAIM_SLOTS];
    char pending[CEL_CLAIM_PENDING];
} cel__claim_page;

static inline uint64_t cel__claim_word(uint64_t ticket, enum cel__claim_state state)
{
    return ticket << 3 | (uint64_t)state;
}

static inline cel__claim_slot *cel__claim_slot_of(cel__claim_page *page, uint64_t ticket)
{
    return &page->slots[ticket % CEL_CLAIM_SLOTS];
}

/* Returns the state of the request with this ticket; FREE if the slot is another's. */
static inline enum cel__claim_state cel__claim_get(cel__claim_page *page, uint64_t ticket)
{
    cel__claim_slot *slot = cel__claim_slot_of(page, ticket);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);

    return word >> 3 == ticket ? (enum cel__claim_state)(word & 7) : CEL_CLAIM_FREE;
}

/* Moves the request from one state to another; false if it is not in the first one. */
static inline bool cel__claim_move(cel__claim_page *page,
                                   uint64_t ticket,
                                   enum cel__claim_state from,
                                   enum cel__claim_state to)
{
    cel__claim_slot *slot = cel__claim_slot_of(page, ticket);
    uint64_t word = cel__claim_word(ticket, from);

    return atomic_compare_exchange_strong_explicit(&slot->word, &word,
                                                   cel__claim_word(ticket, to),
                                                   memory_order_acq_rel, memory_order_acquire);
}

#endif
