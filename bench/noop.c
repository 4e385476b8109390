/* noop.c - the tasks that are measured: bench.noop does nothing; bench.echo returns what it is given; bench.count says how many results it
 * was given. */
#include <celeriac.h>

static json_t *noop(cel_request *req)
{
    (void)req;
    return json_null();
}

static json_t *echo(cel_request *req)
{
    json_t *value;

    if (cel_unpack(req, "value:O", &value) != CEL_OK)
        return NULL;
    return json_incref(value);
}

static json_t *count(cel_request *req)
{
    json_t *results;

    if (cel_unpack(req, "results:L", &results) != CEL_OK)
        return NULL;
    return json_integer((json_int_t)json_array_size(results));
}

CEL_MODULE(noop)
{
    cel_task(app, "bench.noop", noop);
    cel_task(app, "bench.echo", echo);
    cel_task(app, "bench.count", count);
}
