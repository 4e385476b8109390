/* schema.c - the tables of the embedded broker and store.
 *
 * A message's row is written once and not touched until it is deleted; where it stands is said
 * by three small tables, so that a claim dirties a few pages and not those with the bodies:
 *
 *   ready     to be delivered, in the order of delivery      (rank: 255 minus the priority)
 *   waiting   for its ETA; moved to ready when it is due
 *   claim     out at a consumer of `owner`
 *
 * A message with a row in none of them was put into the file by hand: the broker's sweep makes
 * it ready. A message that cannot be delivered (larger than we read) is moved to `quarantine`,
 * where an operator finds it.
 *
 * An owner is one open engine with consumers. Its claims are its own while its row exists; who
 * deletes the row puts them back (see owner.c). */
#include "sqlite/schema.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)

/* clang-format off */
/* Which of the queues with a negative number hear what is said at an exchange: see broker/sqlite_cast.c. */
#define CEL_LISTENING_SQL \
    "CREATE TABLE IF NOT EXISTS listening(queue INTEGER NOT NULL, exchange TEXT NOT NULL," \
    " kind INTEGER NOT NULL, pattern TEXT NOT NULL);"

const char cel__schema_later_sql[] = CEL_LISTENING_SQL;

const char cel__schema_sql[] =
    "PRAGMA application_id=" STRINGIFY(CEL_SCHEMA_APPLICATION) ";"
    "PRAGMA user_version=" STRINGIFY(CEL_SCHEMA_VERSION) ";"

    /* broker. Numbers of messages and owners are never used again: the one, so that a stale ledger names nobody else's
     * message, the other, because they fence settlements. */
    "CREATE TABLE queue(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE message("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " queue INTEGER NOT NULL,"
    " priority INTEGER NOT NULL DEFAULT 0,"   /* 0 to 255, higher first */
    " due_ms INTEGER,"                        /* wall time of the ETA; NULL: none */
    " deliveries INTEGER NOT NULL DEFAULT 0," /* how often it was delivered and came back */
    " lost INTEGER NOT NULL DEFAULT 0,"       /* 1: its consumer died after accepting it */
    " stored_ms INTEGER,"
    " task TEXT, properties TEXT, headers TEXT, body);"
    "CREATE TABLE ready(queue INTEGER, rank INTEGER, id INTEGER,"
    " PRIMARY KEY(queue, rank, id)) WITHOUT ROWID;"
    "CREATE TABLE waiting(due_ms INTEGER, id INTEGER, PRIMARY KEY(due_ms, id)) WITHOUT ROWID;"
    "CREATE TABLE claim(id INTEGER PRIMARY KEY, owner INTEGER NOT NULL);"
    "CREATE TABLE quarantine(id INTEGER PRIMARY KEY, queue INTEGER, reason TEXT);"
    "CREATE TABLE owner("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " node TEXT,"
    " pid INTEGER NOT NULL, start_time INTEGER NOT NULL," /* field 22 of /proc/<pid>/stat */
    " host TEXT NOT NULL, boot_id TEXT NOT NULL, pid_ns TEXT NOT NULL," /* whose pids they are */
    " lease_ms INTEGER NOT NULL, lease_until_ms INTEGER NOT NULL);"
    "CREATE TABLE consumer(id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, queue INTEGER NOT NULL);"
    CEL_LISTENING_SQL

    /* for people with the sqlite3 command: SELECT ... FROM messages, INSERT INTO messages(queue, ...) */
    "CREATE VIEW messages AS SELECT m.id, q.name AS queue,"
    " CASE WHEN r.id IS NOT NULL THEN 'ready' WHEN c.id IS NOT NULL THEN 'claimed'"
    " WHEN x.id IS NOT NULL THEN 'quarantined' WHEN m.due_ms IS NOT NULL THEN 'waiting' ELSE 'new' END AS state,"
    " m.priority, m.task, m.deliveries, m.lost, c.owner, o.node,"
    " datetime(m.stored_ms/1000, 'unixepoch') AS stored, datetime(m.due_ms/1000, 'unixepoch') AS due,"
    " m.properties, m.headers, m.body"
    " FROM message m LEFT JOIN queue q ON q.id=m.queue LEFT JOIN claim c ON c.id=m.id"
    " LEFT JOIN owner o ON o.id=c.owner LEFT JOIN quarantine x ON x.id=m.id"
    " LEFT JOIN ready r ON r.queue=m.queue AND r.rank=255-m.priority AND r.id=m.id;"
    "CREATE TRIGGER messages_insert INSTEAD OF INSERT ON messages BEGIN"
    " INSERT OR IGNORE INTO queue(id, name) SELECT max(0, ifnull(max(id), 0)) + 1, new.queue FROM queue;"
    " INSERT INTO message(queue, priority, stored_ms, task, properties, headers, body)"
    " VALUES((SELECT id FROM queue WHERE name=new.queue), ifnull(new.priority, 0),"
    " CAST(strftime('%s', 'now') AS INTEGER) * 1000, new.task, new.properties, new.headers, new.body);"
    " INSERT INTO ready SELECT queue, 255-priority, id FROM message WHERE id=last_insert_rowid();"
    "END;"

    /* Store. Rows are in order of arrival, and what a row's page holds beside it was written with it; big texts stand apart from
     * the counters that every part changes. No index on expires_ms: it is changed too often, and sweeping walks slowly through
     * the rows (backend/sqlite_expire.c). `ready` has no column: it follows from `status`. */
    "CREATE TABLE result("
    " seq INTEGER PRIMARY KEY, expires_ms INTEGER NOT NULL, status TEXT NOT NULL, task_id TEXT NOT NULL UNIQUE,"
    " group_id TEXT, document TEXT NOT NULL);"
    "CREATE TABLE group_tally(" /* how many results of the group are ready, and SUCCESS */
    " id INTEGER PRIMARY KEY, expires_ms INTEGER NOT NULL, gid TEXT NOT NULL UNIQUE, ready INTEGER NOT NULL, succeeded INTEGER NOT NULL);"
    "CREATE TABLE taskset(" /* saved group results */
    " id INTEGER PRIMARY KEY, expires_ms INTEGER NOT NULL, gid TEXT NOT NULL UNIQUE, document TEXT NOT NULL);"
    "CREATE TABLE chord("
    " id INTEGER PRIMARY KEY, expires_ms INTEGER NOT NULL, gid TEXT NOT NULL UNIQUE,"
    " state INTEGER NOT NULL DEFAULT 0," /* 0 collecting, 1 complete and to be fired, 2 done and to be cleared, 3 cleared */
    " size INTEGER NOT NULL DEFAULT 0,"  /* 0: not opened yet */
    " count INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,"
    " completer INTEGER NOT NULL DEFAULT 0, since_ms INTEGER NOT NULL DEFAULT 0," /* state 1: the owner that fires it, since when */
    " parent_id TEXT, root_id TEXT);"
    "CREATE INDEX chord_pending ON chord(state) WHERE state>0 AND state<3;"
    "CREATE TABLE chord_body(chord INTEGER PRIMARY KEY, root_id TEXT, body TEXT);"
    "CREATE TABLE chord_part("
    " chord INTEGER, position INTEGER, arrival INTEGER, task_id TEXT NOT NULL, status TEXT NOT NULL, result TEXT,"
    " PRIMARY KEY(chord, position, arrival)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX chord_part_task ON chord_part(chord, task_id);";
/* clang-format on */
