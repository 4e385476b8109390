/* backend_conformance.h - what every result store must do, as one suite of tests. Tests
 * only. */
#ifndef CEL_BACKEND_BACKEND_CONFORMANCE_H
#define CEL_BACKEND_BACKEND_CONFORMANCE_H

#include "backend/backend.h"

typedef struct cel__conformance_subject {
    const char *name; /* shown before the suite's results */
    /* Writes the URL of a fresh, empty store; called before each test. */
    void (*fresh)(char *url, size_t size);
    /* Removes it again; may be NULL. */
    void (*remove)(void);
    bool threaded;
    bool no_groups; /* group_count and watching a group are CEL_ENOTSUP */
    bool real_time; /* expiry is a server's, by its own clock: nothing expires in the suite */
} cel__conformance_subject;

/* Runs the suite; returns how many tests failed. */
int cel__backend_conformance(const cel__conformance_subject *subject);

/* ---- the tools of the suite, also for the tests of one implementation ---- */

/* Two backends of one store, each on a loop of its own, driven in turn by one thread; a
 * clock that is turned by hand. */
typedef struct cel__pair {
    cel_clock clock; /* must be first */
    int64_t wall_us;
    int64_t expires_ms;
    char url[512];
    bool threaded;
    bool real_time; /* see cel__conformance_subject */
    uv_loop_t loops[2];
    uv_timer_t keepers[2];    /* keep the loops alive, as a waiter's deadline does */
    cel_backend *backends[2]; /* NULL: closed */
} cel__pair;

void cel__pair_open(cel__pair *pair, const char *url, bool threaded);
void cel__pair_open_one(cel__pair *pair, int which);
void cel__pair_close_one(cel__pair *pair, int which);
void cel__pair_close(cel__pair *pair);

/* Runs both loops until *flag reaches `target`; fails the test when that takes too long. */
void cel__pair_wait(cel__pair *pair, const int *flag, int target);
void cel__pair_advance(cel__pair *pair, int64_t ms);

/* What the callbacks were told. */
typedef struct cel__heard {
    int called; /* how often */
    cel_code code;
    int fired; /* how often a chord was complete */
    char *results, *failed_id, *failed_result, *body, *parent_id, *root_id,
        *gid; /* of the last; NULL: absent */
    int64_t ready, succeeded;
    int found;      /* fetch: documents */
    char *document; /* the last; NULL: none */
} cel__heard;

void cel__heard_done(cel__heard *heard); /* frees and zeroes */

/* Do one thing with backends[which] and wait for its end; they assert CEL_OK. Texts are
 * NUL-terminated. */
void cel__pair_store(cel__pair *pair,
                     int which,
                     const char *task_id,
                     const char *status,
                     const char *document,
                     const char *group_id);
char *cel__pair_fetch(
    cel__pair *pair,
    int which,
    const char *task_id); /* owned by the caller, free with cel__free(); NULL: none */
void cel__pair_open_chord(cel__pair *pair, int which, const char *gid, int64_t size);
void cel__pair_grow_chord(cel__pair *pair, int which, const char *gid, int64_t count);
void cel__pair_part(cel__pair *pair,
                    int which,
                    const cel_chord_part *part,
                    cel__heard *heard); /* adds to `heard` */
void cel__pair_done(cel__pair *pair, int which, const char *gid);
void cel__pair_sweep(cel__pair *pair, int which, int64_t older_ms, cel__heard *heard);
int64_t cel__pair_count(cel__pair *pair, int which, const char *gid, int64_t *succeeded);

/* A part with the usual body and root. */
cel_chord_part cel__part(const char *gid,
                         const char *task_id,
                         int64_t index,
                         const char *status,
                         const char *result);

/* Counts a part that is SUCCESS. */
void cel__pair_add(cel__pair *pair,
                   int which,
                   const char *gid,
                   const char *id,
                   int64_t index,
                   const char *result,
                   cel__heard *heard);

/* ---- the suite's tests of chords (backend_conformance_chord.c) ---- */
#define CEL_TEST_LONG_MS ((int64_t)3600000)

#define CEL_CHORD_TESTS(X)                                                                     \
    X(a_chord_completes_once_with_results_in_order)                                            \
    X(a_part_that_comes_twice_counts_once)                                                     \
    X(the_first_failed_part_in_order_is_named)                                                 \
    X(parts_before_the_opening_are_kept)                                                       \
    X(an_open_chord_grows)                                                                     \
    X(a_chord_complete_when_opened_is_left_to_the_sweep)                                       \
    X(a_chord_of_nothing_is_refused)                                                           \
    X(a_chord_that_is_done_cannot_be_started_again)                                            \
    X(a_chord_nobody_finished_is_fired_again_when_old)                                         \
    X(all_chords_of_a_closed_completer_are_fired_again)                                        \
    X(two_completers_fire_once)                                                                \
    X(a_large_chord_is_complete_and_cleared)                                                   \
    X(a_part_keeps_its_chord)

#define CEL_X(name) void cel__test_##name(void **state);
CEL_CHORD_TESTS(CEL_X)
#undef CEL_X

#endif
