/* schema.c - the tables of the embedded broker and store.
 *
 * A message's row is written once and not touched until it is deleted; where it stands is said by three small tables, so that
 * a claim dirties a few pages and not those with the bodies:
 *
 *   ready     to be delivered, in the order of delivery      (rank: 255 minus the priority)
 *   waiting   for its ETA; moved to ready when it is due
 *   claim     out at a consumer of `owner`
 *
 * A message with a row in none of them was put into the file by hand: the broker's sweep makes it ready. A message that
 * cannot be delivered (larger than we read) is moved to `quarantine`, where an operator finds it.
 *
 * An owner is one open engine with consumers. Its claims are its own while its row exists; who deletes the row
 * puts them back (see owner.c). */
#include "sqlite/schema.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)

/* clang-format off */
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
    " INSERT OR IGNORE INTO queue(name) VALUES(new.queue);"
    " INSERT INTO message(queue, priority, stored_ms, task, properties, headers, body)"
    " VALUES((SELECT id FROM queue WHERE name=new.queue), ifnull(new.priority, 0),"
    " CAST(strftime('%s', 'now') AS INTEGER) * 1000, new.task, new.properties, new.headers, new.body);"
    " INSERT INTO ready SELECT queue, 255-priority, id FROM message WHERE id=last_insert_rowid();"
    "END;"

    /* store */
    "CREATE TABLE result("
    " task_id TEXT PRIMARY KEY, status TEXT NOT NULL, ready INTEGER NOT NULL, document TEXT NOT NULL,"
    " group_id TEXT, stored_ms INTEGER NOT NULL, expires_ms INTEGER) WITHOUT ROWID;"
    "CREATE INDEX result_group ON result(group_id, ready, status) WHERE group_id IS NOT NULL;"
    "CREATE INDEX result_expires ON result(expires_ms) WHERE expires_ms IS NOT NULL;"
    "CREATE TABLE chord("
    " gid TEXT PRIMARY KEY,"
    " size INTEGER,"                    /* NULL: not opened yet */
    " state INTEGER NOT NULL DEFAULT 0," /* 0 open, 1 complete, 2 done */
    " count INTEGER NOT NULL DEFAULT 0, body TEXT, root_id TEXT, parent_id TEXT,"
    " completer INTEGER, updated_ms INTEGER NOT NULL, expires_ms INTEGER) WITHOUT ROWID;"
    "CREATE INDEX chord_complete ON chord(updated_ms) WHERE state=1;"
    "CREATE INDEX chord_expires ON chord(expires_ms) WHERE expires_ms IS NOT NULL;"
    "CREATE TABLE chord_part("
    " gid TEXT, task_id TEXT, position INTEGER, status TEXT NOT NULL, result TEXT,"
    " PRIMARY KEY(gid, task_id)) WITHOUT ROWID;"
    "CREATE TABLE taskset(gid TEXT PRIMARY KEY, document TEXT NOT NULL, expires_ms INTEGER) WITHOUT ROWID;"
    "CREATE INDEX taskset_expires ON taskset(expires_ms) WHERE expires_ms IS NOT NULL;";
/* clang-format on */
