/* schema.h - the tables of the embedded broker and store, and the numbers that mark the file as
 * ours. */
#ifndef CEL_SQLITE_SCHEMA_H
#define CEL_SQLITE_SCHEMA_H

#define CEL_SCHEMA_APPLICATION 0x43656c31 /* "Cel1", in SQLite's application_id */
#define CEL_SCHEMA_VERSION                                                                     \
    1 /* in user_version; raised with every change that older code cannot work on */

/* Creates everything in an empty database; run in a transaction. */
extern const char cel__schema_sql[];

/* Adds what a file of an earlier build of this version lacks; changes nothing else. */
extern const char cel__schema_later_sql[];
#define CEL_SCHEMA_LATER_TABLE "listening"

#endif
