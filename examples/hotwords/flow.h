/* flow.h - the job as a signature, built of parameters: for the dispatcher and for the client. */
#ifndef HW_FLOW_H
#define HW_FLOW_H

#include <celeriac.h>

#define HW_FLOW      "hot_words"
#define HW_QUEUE     "celery_test" /* where its tasks go if nobody says otherwise */
#define HW_PARTS_MAX 4096          /* days times ranges */
#define HW_TOP_MAX   1000000

/* chord(group([make_result_str(date, lo, hi) for date … for lo, hi …]))(make_model) of the parameters
 *
 *     dates    days, "20200406" or 20200406: a list of different ones
 *     levels   ranges [lo, hi], both ends included: a list of such that do not overlap
 *     top      words in the ranking; default 100
 *     data     folder of the records, as the workers see it, or the URL of a table (source.h); default: theirs
 *
 * A cel_flow_fn. NULL: `err` names the parameter that is wrong, also one that is not known. */
cel_signature *hw_flow(cel_app *app, const json_t *params, void *user, cel_error *err);

#endif
