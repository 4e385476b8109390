/* mariadb_absent.c - what mariadb.h promises, where libmariadb is not there. */
#include "mariadb.h"

hw_code hw_mariadb_count(hw_count *out,
                         const hw_dict *dict,
                         const hw_source *source,
                         const hw_partition *partition,
                         hw_error *err)
{
    (void)out;
    (void)dict;
    (void)partition;
    return hw_fail(err, HW_EINVAL,
                   "%.150s: hotwords was built without MariaDB (it needs libmariadb-dev)",
                   source->shown);
}
