/* job.c - what a request was sent as: read from a result tuple, written as a reply. */
#include "app/handle.h"
#include "celeriac/result.h"
#include "core/mem.h"
#include "dispatch/impl.h"

void cel__dispatch_job_done(cel_dispatch_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        cel__free(job->parts[i]);
    cel__free(job->parts);
    cel__free(job->id);
    *job = (cel_dispatch_job){0};
}

static cel_code fill(cel_dispatch_job *job, cel_result *result)
{
    cel_result *group = cel_result_is_group(result) ? result : cel_result_parent(result);
    size_t count = group && cel_result_is_group(group) ? cel_result_count(group) : 0;

    job->group = group == result;
    job->id = cel__strdup(cel_result_id(result));
    job->parts = cel__calloc(count + 1, sizeof *job->parts);
    if (!job->id || !job->parts)
        return CEL_ENOMEM;
    for (; job->count < count; job->count++) {
        job->parts[job->count] =
            cel__strdup(cel_result_id(cel_result_child(group, job->count)));
        if (!job->parts[job->count])
            return CEL_ENOMEM;
    }
    return CEL_OK;
}

cel_code
cel__dispatch_job_load(cel_dispatch_job *job, cel_app *app, cel_view tuple, cel_error *err)
{
    cel_result *result = NULL;
    cel_code code = cel__result_from_tuple(&result, app, tuple, err);

    if (code != CEL_OK)
        return code;
    code = fill(job, result);
    cel_result_free(result);
    if (code == CEL_OK)
        return code;
    cel__dispatch_job_done(job);
    return cel_error_set(err, CEL_ENOMEM, "no memory for the ids of a job");
}

void cel__dispatch_job_dump(cel__buf *buf, const cel_dispatch_job *job)
{
    cel__buf_add_str(buf, "\"id\": ");
    cel__buf_add_json(buf, cel__view(job->id));
    cel__buf_add_str(buf, ", \"parts\": [");
    for (size_t i = 0; i < job->count; i++) {
        cel__buf_add_str(buf, i > 0 ? ", " : "");
        cel__buf_add_json(buf, cel__view(job->parts[i]));
    }
    cel__buf_add_byte(buf, ']');
}
