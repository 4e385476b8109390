/* mariadb.h - counting chat records that are in a table of MariaDB or MySQL. */
#ifndef HW_MARIADB_H
#define HW_MARIADB_H

#include "count.h"
#include "source.h"

/* As hw_count_partition(), but from the rows of `source` whose date is the partition's; its dir is not
 * used. The date's column may be a DATE, a DATETIME or TIMESTAMP (the whole day), an integer as 20200406, or
 * text, as "20200406" or "2020-04-06"; the level's is an integer; the text's is text of any character
 * set, or bytes of UTF-8. Rows come one by one, so memory stays bounded. Bad rows are counted as bad
 * records are: NULL is missing_field; first_line is the place of the row among those that were read.
 *
 * HW_EACCES: the user is refused. HW_ELOOKUP: there is no such database, table, column, or row of
 * that day. HW_ECONN: the server cannot be reached, has gone or is too busy: it may be another time.
 * HW_EINVAL: a column is of another type; or this was built without MariaDB. HW_EIO: anything else that
 * the server says. No message holds the password. */
hw_code hw_mariadb_count(hw_count *out,
                         const hw_dict *dict,
                         const hw_source *source,
                         const hw_partition *partition,
                         hw_error *err);

#endif
