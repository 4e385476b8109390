/* test_worker.h - for tests: a worker of a few lines, on a thread and a loop of its own, against an app's broker and
 * result store. It runs tasks through trace.h and settles what they ask for, one at a time. */
#ifndef CEL_APP_TEST_WORKER_H
#define CEL_APP_TEST_WORKER_H

#include "app/app.h"

typedef struct test_worker test_worker;

/* Starts consuming the app's default queue; with `held` it waits for test_worker_release(). */
test_worker *test_worker_start(cel_app *app, bool held);
void test_worker_release(test_worker *worker);

/* Finishes what it has and ends the thread. */
void test_worker_stop(test_worker *worker);

#endif
