/* test_module.c - a task module for app_test.c. */
#include <celeriac.h>
#include <stdlib.h>
#include <string.h>

static json_t *one(cel_request *req)
{
    (void)req;
    return json_integer(1);
}

CEL_MODULE(fixture)
{
    const char *mood = getenv("TEST_MODULE_MOOD");

    cel_task(app, "fixture.one", one, .max_retries = 5);
    if (mood && strcmp(mood, "bad") == 0)
        cel_module_fail(app, "in a %s mood", mood);
    if (mood && strcmp(mood, "nonsense") == 0)
        cel_task(app, "", one);
}
