/* settings.h - the table of all settings: Celery's, under their names, and a few of our own.
 *
 * Enum, lookup, type checks, the environment's and the old names, docs/settings.md and tests
 * follow from it. Sorted by name. */
#ifndef CEL_APP_SETTINGS_H
#define CEL_APP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/view.h"

/* What a setting's value may be. None is possible where the default is None or the flag
 * NULLABLE is set, and for every BOOL, where it means False unless the setting says
 * otherwise. */
typedef enum cel_setting_type {
    CEL_SETTING_STRING,  /* text without NUL */
    CEL_SETTING_URL,     /* a string, or a list of strings, which is joined with ';' */
    CEL_SETTING_BOOL,    /* True, False; 1 and 0 count as these */
    CEL_SETTING_INT,     /* integer */
    CEL_SETTING_COUNT,   /* integer, not negative */
    CEL_SETTING_NUMBER,  /* integer or float */
    CEL_SETTING_SECONDS, /* a number of seconds or a timedelta; not negative, bounded */
    CEL_SETTING_STRINGS, /* list (tuple, set) of strings; a single string is a list of one */
    CEL_SETTING_DICT,    /* dictionary */
    CEL_SETTING_ANY,     /* what the meaning says */
} cel_setting_type;

enum {
    CEL_SETTING_NULLABLE = 1, /* may be None though the default is not */
    CEL_SETTING_SECRET = 2,   /* never shown */
    CEL_SETTING_INERT = 4, /* taken so that Celery's files can be read; without effect here */
};

/* X(name, type, default as JSON, old name, flags, meaning) */
/* clang-format off */
#define CEL_SETTINGS(X)                                                                       \
    X(accept_content, STRINGS, "[\"json\"]", "CELERY_ACCEPT_CONTENT", 0,                      \
      "Content types that are accepted in messages")                                          \
    X(arangodb_backend_settings, DICT, "null", "CELERY_ARANGODB_BACKEND_SETTINGS", INERT,     \
      "ArangoDB result store")                                                                \
    X(azureblockblob_base_path, STRING, "\"\"", "AZUREBLOCKBLOB_BASE_PATH", INERT,            \
      "Azure result store: folder of the results")                                            \
    X(azureblockblob_connection_timeout, SECONDS, "20",                                       \
      "AZUREBLOCKBLOB_CONNECTION_TIMEOUT", INERT,                                             \
      "Azure result store: time to connect")                                                  \
    X(azureblockblob_container_name, STRING, "\"celery\"",                                    \
      "AZUREBLOCKBLOB_CONTAINER_NAME", INERT,                                                 \
      "Azure result store: container")                                                        \
    X(azureblockblob_read_timeout, SECONDS, "120", "AZUREBLOCKBLOB_READ_TIMEOUT", INERT,      \
      "Azure result store: time to read")                                                     \
    X(azureblockblob_retry_increment_base, NUMBER, "2",                                       \
      "AZUREBLOCKBLOB_RETRY_INCREMENT_BASE", INERT,                                           \
      "Azure result store: base of the back-off")                                             \
    X(azureblockblob_retry_initial_backoff_sec, SECONDS, "2",                                 \
      "AZUREBLOCKBLOB_RETRY_INITIAL_BACKOFF_SEC", INERT,                                      \
      "Azure result store: first back-off")                                                   \
    X(azureblockblob_retry_max_attempts, COUNT, "3",                                          \
      "AZUREBLOCKBLOB_RETRY_MAX_ATTEMPTS", INERT,                                             \
      "Azure result store: attempts")                                                         \
    X(beat_cron_starting_deadline, SECONDS, "null", "CELERYBEAT_CRON_STARTING_DEADLINE", 0,   \
      "How late a crontab entry may still be started after beat was down; None: no "          \
      "limit")                                                                                \
    X(beat_executable, STRING, "null", "CELERYBEAT_EXECUTABLE", INERT,                        \
      "Program that a detached beat runs")                                                    \
    X(beat_gid, ANY, "null", "CELERYBEAT_GID", 0,                                             \
      "Group of a detached beat")                                                             \
    X(beat_logfile, STRING, "null", "CELERYBEAT_LOGFILE", 0,                                  \
      "Log file of beat")                                                                     \
    X(beat_max_loop_interval, SECONDS, "0", "CELERYBEAT_MAX_LOOP_INTERVAL", 0,                \
      "Longest sleep of beat between two looks at the schedule; 0: 300")                      \
    X(beat_pidfile, STRING, "null", "CELERYBEAT_PIDFILE", 0,                                  \
      "Pid file of beat")                                                                     \
    X(beat_schedule, DICT, "{}", "CELERYBEAT_SCHEDULE", 0,                                    \
      "What beat sends, and when")                                                            \
    X(beat_schedule_filename, STRING, "\"celerybeat-schedule\"",                              \
      "CELERYBEAT_SCHEDULE_FILENAME", 0,                                                      \
      "File in which beat keeps when it sent what, with .sqlite behind it, where neither "    \
      "broker nor result store can")                                                          \
    X(beat_scheduler, STRING, "\"celery.beat:PersistentScheduler\"",                          \
      "CELERYBEAT_SCHEDULER", 0,                                                              \
      "Scheduler of beat")                                                                    \
    X(beat_sync_every, COUNT, "0", "CELERYBEAT_SYNC_EVERY", INERT,                            \
      "Save the schedule after that many tasks: each is saved at once")                       \
    X(beat_uid, ANY, "null", "CELERYBEAT_UID", 0,                                             \
      "User of a detached beat")                                                              \
    X(beat_umask, ANY, "null", "CELERYBEAT_UMASK", 0,                                         \
      "Umask of a detached beat")                                                             \
    X(broker_channel_error_retry, BOOL, "false", "BROKER_CHANNEL_ERROR_RETRY", 0,             \
      "Reconnect after a channel error, too")                                                 \
    X(broker_connection_max_retries, COUNT, "100", "BROKER_CONNECTION_MAX_RETRIES", NULLABLE, \
      "Attempts to connect before the worker gives up; None: no limit")                       \
    X(broker_connection_retry, BOOL, "true", "BROKER_CONNECTION_RETRY", 0,                    \
      "Reconnect to a lost broker")                                                           \
    X(broker_connection_retry_on_startup, BOOL, "null",                                       \
      "BROKER_CONNECTION_RETRY_ON_STARTUP", 0,                                                \
      "Retry when the broker is not there at the start; None: as "                            \
      "broker_connection_retry")                                                              \
    X(broker_connection_timeout, SECONDS, "4", "BROKER_CONNECTION_TIMEOUT", NULLABLE,         \
      "Time to connect")                                                                      \
    X(broker_failover_strategy, STRING, "null", "BROKER_FAILOVER_STRATEGY", 0,                \
      "Order of the broker URLs: round-robin (None) or shuffle")                              \
    X(broker_heartbeat, COUNT, "120", "BROKER_HEARTBEAT", NULLABLE,                           \
      "AMQP heartbeat in seconds; 0: none")                                                   \
    X(broker_heartbeat_checkrate, NUMBER, "3.0", "BROKER_HEARTBEAT_CHECKRATE", 0,             \
      "Checks per heartbeat interval")                                                        \
    X(broker_host, STRING, "null", "BROKER_HOST", 0,                                          \
      "Part of broker_url")                                                                   \
    X(broker_login_method, STRING, "null", "BROKER_LOGIN_METHOD", 0,                          \
      "AMQP login method; None: PLAIN")                                                       \
    X(broker_native_delayed_delivery_queue_type, STRING, "\"quorum\"",                        \
      "BROKER_NATIVE_DELAYED_DELIVERY_QUEUE_TYPE", NULLABLE,                                  \
      "Queues in which messages wait for their ETA in RabbitMQ: quorum or classic. None: "    \
      "they wait in the workers' memory")                                                     \
    X(broker_password, STRING, "null", "BROKER_PASSWORD", SECRET,                             \
      "Part of broker_url")                                                                   \
    X(broker_pool_acquire_timeout, SECONDS, "null", "BROKER_POOL_ACQUIRE_TIMEOUT", INERT,     \
      "How long to wait for a connection from the pool")                                      \
    X(broker_pool_limit, COUNT, "10", "BROKER_POOL_LIMIT", NULLABLE,                          \
      "Connections kept open for sending; 0 or None: none")                                   \
    X(broker_port, COUNT, "null", "BROKER_PORT", 0,                                           \
      "Part of broker_url")                                                                   \
    X(broker_read_url, URL, "null", "BROKER_READ_URL", 0,                                     \
      "Broker to consume from; None: broker_url")                                             \
    X(broker_transport, STRING, "null", "BROKER_TRANSPORT", 0,                                \
      "Transport of a broker_url without a scheme")                                           \
    X(broker_transport_options, DICT, "{}", "BROKER_TRANSPORT_OPTIONS", 0,                    \
      "Options of the transport, such as visibility_timeout")                                 \
    X(broker_url, URL, "null", "BROKER_URL", 0,                                               \
      "Broker: a URL, several separated by `;`, or a list. None: the embedded default")       \
    X(broker_use_ssl, ANY, "false", "BROKER_USE_SSL", 0,                                      \
      "TLS to the broker: True, or a dictionary of options")                                  \
    X(broker_user, STRING, "null", "BROKER_USER", 0,                                          \
      "Part of broker_url")                                                                   \
    X(broker_vhost, STRING, "null", "BROKER_VHOST", 0,                                        \
      "Part of broker_url")                                                                   \
    X(broker_write_url, URL, "null", "BROKER_WRITE_URL", 0,                                   \
      "Broker to publish to; None: broker_url")                                               \
    X(cache_backend, STRING, "null", "CELERY_CACHE_BACKEND", INERT,                           \
      "Memcached result store")                                                               \
    X(cache_backend_options, DICT, "{}", "CELERY_CACHE_BACKEND_OPTIONS", INERT,               \
      "Options of cache_backend")                                                             \
    X(cassandra_auth_kwargs, ANY, "null", "CASSANDRA_AUTH_KWARGS", INERT | SECRET,            \
      "Cassandra result store: arguments of the login")                                       \
    X(cassandra_auth_provider, STRING, "null", "CASSANDRA_AUTH_PROVIDER", INERT,              \
      "Cassandra result store: kind of login")                                                \
    X(cassandra_entry_ttl, SECONDS, "null", "CASSANDRA_ENTRY_TTL", INERT,                     \
      "Cassandra result store: life of a result")                                             \
    X(cassandra_keyspace, STRING, "null", "CASSANDRA_KEYSPACE", INERT,                        \
      "Cassandra result store: keyspace")                                                     \
    X(cassandra_options, DICT, "{}", "CASSANDRA_OPTIONS", INERT,                              \
      "Cassandra result store: options")                                                      \
    X(cassandra_port, ANY, "null", "CASSANDRA_PORT", INERT,                                   \
      "Cassandra result store: port")                                                         \
    X(cassandra_read_consistency, STRING, "null", "CASSANDRA_READ_CONSISTENCY", INERT,        \
      "Cassandra result store: consistency of reads")                                         \
    X(cassandra_servers, STRINGS, "null", "CASSANDRA_SERVERS", INERT,                         \
      "Cassandra result store: hosts")                                                        \
    X(cassandra_table, STRING, "null", "CASSANDRA_TABLE", INERT,                              \
      "Cassandra result store: table")                                                        \
    X(cassandra_write_consistency, STRING, "null", "CASSANDRA_WRITE_CONSISTENCY", INERT,      \
      "Cassandra result store: consistency of writes")                                        \
    X(control_exchange, STRING, "\"celery\"", "CONTROL_EXCHANGE", 0,                          \
      "Exchange of remote control: NAME.pidbox and reply.NAME.pidbox")                        \
    X(control_queue_durable, BOOL, "false", "CONTROL_QUEUE_DURABLE", INERT,                   \
      "Durable queues for remote control")                                                    \
    X(control_queue_exclusive, BOOL, "true", "CONTROL_QUEUE_EXCLUSIVE", INERT,                \
      "Exclusive queues for remote control")                                                  \
    X(control_queue_expires, SECONDS, "10.0", "CONTROL_QUEUE_EXPIRES", NULLABLE,              \
      "An unused queue of remote control is deleted after this time")                         \
    X(control_queue_ttl, SECONDS, "300.0", "CONTROL_QUEUE_TTL", NULLABLE,                     \
      "How long a control command may wait")                                                  \
    X(cosmosdbsql_collection_name, STRING, "\"celerycol\"",                                   \
      "COSMOSDBSQL_COLLECTION_NAME", INERT,                                                   \
      "Cosmos DB result store: collection")                                                   \
    X(cosmosdbsql_consistency_level, STRING, "\"Session\"",                                   \
      "COSMOSDBSQL_CONSISTENCY_LEVEL", INERT,                                                 \
      "Cosmos DB result store: consistency")                                                  \
    X(cosmosdbsql_database_name, STRING, "\"celerydb\"", "COSMOSDBSQL_DATABASE_NAME", INERT,  \
      "Cosmos DB result store: database")                                                     \
    X(cosmosdbsql_max_retry_attempts, COUNT, "9", "COSMOSDBSQL_MAX_RETRY_ATTEMPTS", INERT,    \
      "Cosmos DB result store: attempts")                                                     \
    X(cosmosdbsql_max_retry_wait_time, SECONDS, "30",                                         \
      "COSMOSDBSQL_MAX_RETRY_WAIT_TIME", INERT,                                               \
      "Cosmos DB result store: longest wait")                                                 \
    X(couchbase_backend_settings, DICT, "null", "CELERY_COUCHBASE_BACKEND_SETTINGS", INERT,   \
      "Couchbase result store")                                                               \
    X(database_create_tables_at_setup, BOOL, "true", "DATABASE_CREATE_TABLES_AT_SETUP", 0,    \
      "Create the tables of the SQL result store at the start")                               \
    X(database_engine_options, DICT, "null", "CELERY_RESULT_ENGINE_OPTIONS", 0,               \
      "Options of the SQL result store")                                                      \
    X(database_short_lived_sessions, BOOL, "false",                                           \
      "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS", 0,                                             \
      "SQL result store: one connection per use")                                             \
    X(database_table_names, DICT, "null", "CELERY_RESULT_DB_TABLENAMES", 0,                   \
      "SQL result store: names of the tables, keys task and group")                           \
    X(database_table_schemas, DICT, "null", "DATABASE_TABLE_SCHEMAS", 0,                      \
      "SQL result store: schemas of the tables, keys task and group")                         \
    X(database_url, STRING, "null", "CELERY_RESULT_DBURI", SECRET,                            \
      "SQL result store: URL, where result_backend is \"database\"")                          \
    X(elasticsearch_max_retries, COUNT, "null", "CELERY_ELASTICSEARCH_MAX_RETRIES", INERT,    \
      "Elasticsearch result store: attempts")                                                 \
    X(elasticsearch_retry_on_timeout, BOOL, "null",                                           \
      "CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT", INERT,                                         \
      "Elasticsearch result store: retry on timeout")                                         \
    X(elasticsearch_save_meta_as_text, BOOL, "true",                                          \
      "CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT", INERT,                                        \
      "Elasticsearch result store: results as text")                                          \
    X(elasticsearch_timeout, SECONDS, "null", "CELERY_ELASTICSEARCH_TIMEOUT", INERT,          \
      "Elasticsearch result store: timeout")                                                  \
    X(enable_utc, BOOL, "true", "ENABLE_UTC", 0,                                              \
      "Times in messages are UTC")                                                            \
    X(event_exchange, STRING, "\"celeryev\"", "CELERY_EVENT_EXCHANGE", 0,                     \
      "Exchange of events")                                                                   \
    X(event_queue_durable, BOOL, "false", "CELERY_EVENT_QUEUE_DURABLE", 0,                    \
      "Durable event queues")                                                                 \
    X(event_queue_exclusive, BOOL, "true", "CELERY_EVENT_QUEUE_EXCLUSIVE", 0,                 \
      "Exclusive event queues")                                                               \
    X(event_queue_expires, SECONDS, "60.0", "CELERY_EVENT_QUEUE_EXPIRES", NULLABLE,           \
      "An unused event queue is deleted after this time")                                     \
    X(event_queue_prefix, STRING, "\"celeryev\"", "CELERY_EVENT_QUEUE_PREFIX", 0,             \
      "Names of event queues begin with this")                                                \
    X(event_queue_ttl, SECONDS, "5.0", "CELERY_EVENT_QUEUE_TTL", NULLABLE,                    \
      "How long an event may wait")                                                           \
    X(event_serializer, STRING, "\"json\"", "CELERY_EVENT_SERIALIZER", 0,                     \
      "Serializer of events")                                                                 \
    X(events_executable, STRING, "null", "EVENTS_EXECUTABLE", INERT,                          \
      "Program that a detached `events` runs")                                                \
    X(events_gid, ANY, "null", "EVENTS_GID", 0,                                               \
      "Group of a detached `events`")                                                         \
    X(events_logfile, STRING, "null", "EVENTS_LOGFILE", 0,                                    \
      "Log file of `events`")                                                                 \
    X(events_pidfile, STRING, "null", "EVENTS_PIDFILE", 0,                                    \
      "Pid file of `events`")                                                                 \
    X(events_uid, ANY, "null", "EVENTS_UID", 0,                                               \
      "User of a detached `events`")                                                          \
    X(events_umask, ANY, "null", "EVENTS_UMASK", 0,                                           \
      "Umask of a detached `events`")                                                         \
    X(gcs_base_path, STRING, "\"\"", "GCS_BASE_PATH", INERT,                                  \
      "Google Cloud result store: folder")                                                    \
    X(gcs_bucket, STRING, "null", "GCS_BUCKET", INERT,                                        \
      "Google Cloud result store: bucket")                                                    \
    X(gcs_project, STRING, "null", "GCS_PROJECT", INERT,                                      \
      "Google Cloud result store: project")                                                   \
    X(gcs_ttl, SECONDS, "0", "GCS_TTL", INERT,                                                \
      "Google Cloud result store: life of a result")                                          \
    X(imports, STRINGS, "[]", "CELERY_IMPORTS", 0,                                            \
      "Task modules to load")                                                                 \
    X(include, STRINGS, "[]", "CELERY_INCLUDE", 0,                                            \
      "More task modules to load")                                                            \
    X(mongodb_backend_settings, DICT, "null", "CELERY_MONGODB_BACKEND_SETTINGS", INERT,       \
      "MongoDB result store")                                                                 \
    X(redis_backend_health_check_interval, SECONDS, "null",                                   \
      "CELERY_REDIS_BACKEND_HEALTH_CHECK_INTERVAL", 0,                                        \
      "Redis result store: ping a connection that was idle for this time")                    \
    X(redis_backend_use_ssl, ANY, "null", "CELERY_REDIS_BACKEND_USE_SSL", 0,                  \
      "Redis result store: TLS options")                                                      \
    X(redis_client_name, STRING, "null", "CELERY_REDIS_CLIENT_NAME", 0,                       \
      "Redis result store: name of the connection")                                           \
    X(redis_db, COUNT, "null", "CELERY_REDIS_DB", 0,                                          \
      "Redis result store: database, where result_backend is \"redis\"")                      \
    X(redis_host, STRING, "null", "CELERY_REDIS_HOST", 0,                                     \
      "Redis result store: host")                                                             \
    X(redis_max_connections, COUNT, "null", "CELERY_REDIS_MAX_CONNECTIONS", 0,                \
      "Redis result store: most connections")                                                 \
    X(redis_password, STRING, "null", "CELERY_REDIS_PASSWORD", SECRET,                        \
      "Redis result store: password")                                                         \
    X(redis_port, COUNT, "null", "CELERY_REDIS_PORT", 0,                                      \
      "Redis result store: port")                                                             \
    X(redis_retry_on_timeout, BOOL, "false", "CELERY_REDIS_RETRY_ON_TIMEOUT", 0,              \
      "Redis result store: retry on timeout")                                                 \
    X(redis_socket_connect_timeout, SECONDS, "null",                                          \
      "CELERY_REDIS_SOCKET_CONNECT_TIMEOUT", 0,                                               \
      "Redis result store: time to connect")                                                  \
    X(redis_socket_keepalive, BOOL, "false", "CELERY_REDIS_SOCKET_KEEPALIVE", 0,              \
      "Redis result store: TCP keepalive")                                                    \
    X(redis_socket_timeout, SECONDS, "120.0", "CELERY_REDIS_SOCKET_TIMEOUT", NULLABLE,        \
      "Redis result store: time for an answer")                                               \
    X(redis_username, STRING, "null", "CELERY_REDIS_USERNAME", 0,                             \
      "Redis result store: user")                                                             \
    X(result_accept_content, STRINGS, "null", "RESULT_ACCEPT_CONTENT", 0,                     \
      "Content types accepted in results; None: accept_content")                              \
    X(result_backend, URL, "null", "CELERY_RESULT_BACKEND", 0,                                \
      "Result store: a URL. None: the embedded default, where the broker is that, too")       \
    X(result_backend_always_retry, BOOL, "false", "CELERY_RESULT_BACKEND_ALWAYS_RETRY", 0,    \
      "Retry what the result store refuses for a while")                                      \
    X(result_backend_base_sleep_between_retries_ms, COUNT, "10",                              \
      "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS", 0,                               \
      "First back-off of such a retry, in milliseconds")                                      \
    X(result_backend_max_retries, NUMBER, "null", "CELERY_RESULT_BACKEND_MAX_RETRIES", 0,     \
      "Attempts; None: no limit")                                                             \
    X(result_backend_max_sleep_between_retries_ms, COUNT, "10000",                            \
      "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS", 0,                                \
      "Longest back-off, in milliseconds")                                                    \
    X(result_backend_transport_options, DICT, "{}",                                           \
      "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS", 0,                                           \
      "Options of the result store")                                                          \
    X(result_cache_max, INT, "-1", "CELERY_MAX_CACHED_RESULTS", 0,                            \
      "Results kept in a client's memory; -1: none")                                          \
    X(result_chord_join_timeout, SECONDS, "3.0",                                              \
      "CELERY_RESULT_CHORD_JOIN_TIMEOUT", NULLABLE,                                           \
      "How long a chord may take to read its parts")                                          \
    X(result_chord_retry_interval, SECONDS, "1.0",                                            \
      "CELERY_RESULT_CHORD_RETRY_INTERVAL", NULLABLE,                                         \
      "Pause between two looks at a chord, where the store must be asked")                    \
    X(result_compression, STRING, "null", "CELERY_RESULT_COMPRESSION", INERT,                 \
      "Celery compresses no results (5.2 took it for that of tasks: see task_compression)")   \
    X(result_exchange, STRING, "\"celeryresults\"", "CELERY_RESULT_EXCHANGE", 0,              \
      "Exchange of results (unused by rpc)")                                                  \
    X(result_exchange_type, STRING, "\"direct\"", "CELERY_RESULT_EXCHANGE_TYPE", 0,           \
      "Its type")                                                                             \
    X(result_expires, SECONDS, "86400", "CELERY_TASK_RESULT_EXPIRES", NULLABLE,               \
      "How long results are kept; None or 0: for ever")                                       \
    X(result_extended, BOOL, "false", "CELERY_RESULT_EXTENDED", 0,                            \
      "Store name, arguments, worker, retries and queue with the result")                     \
    X(result_persistent, BOOL, "null", "CELERY_RESULT_PERSISTENT", 0,                         \
      "rpc: results survive a restart of the broker")                                         \
    X(result_serializer, STRING, "\"json\"", "CELERY_RESULT_SERIALIZER", 0,                   \
      "Serializer of results")                                                                \
    X(s3_access_key_id, STRING, "null", "S3_ACCESS_KEY_ID", INERT | SECRET,                   \
      "S3 result store: key")                                                                 \
    X(s3_base_path, STRING, "null", "S3_BASE_PATH", INERT,                                    \
      "S3 result store: folder")                                                              \
    X(s3_bucket, STRING, "null", "S3_BUCKET", INERT,                                          \
      "S3 result store: bucket")                                                              \
    X(s3_endpoint_url, STRING, "null", "S3_ENDPOINT_URL", INERT,                              \
      "S3 result store: server")                                                              \
    X(s3_region, STRING, "null", "S3_REGION", INERT,                                          \
      "S3 result store: region")                                                              \
    X(s3_secret_access_key, STRING, "null", "S3_SECRET_ACCESS_KEY", INERT | SECRET,           \
      "S3 result store: secret")                                                              \
    X(security_cert_store, STRING, "null", "CELERY_SECURITY_CERT_STORE", 0,                   \
      "Signed messages: folder of certificates")                                              \
    X(security_certificate, STRING, "null", "CELERY_SECURITY_CERTIFICATE", 0,                 \
      "Signed messages: own certificate")                                                     \
    X(security_digest, STRING, "\"sha256\"", "CELERY_SECURITY_DIGEST", 0,                     \
      "Signed messages: digest")                                                              \
    X(security_key, STRING, "null", "CELERY_SECURITY_KEY", 0,                                 \
      "Signed messages: file of the private key")                                             \
    X(security_key_password, STRING, "null", "CELERY_SECURITY_KEY_PASSWORD", SECRET,          \
      "Signed messages: password of the private key")                                         \
    X(security_layout, STRING, "\"5.2\"", NULL, 0,                                            \
      "Signed messages: written as Celery 5.2 to 5.4 read them, or 5.5 and later; both are "  \
      "read")                                                                                 \
    X(task_acks_late, BOOL, "false", "CELERY_ACKS_LATE", 0,                                   \
      "Acknowledge after the task has ended instead of before")                               \
    X(task_acks_on_failure, BOOL, "null", "CELERY_ACKS_ON_FAILURE", 0,                        \
      "Acknowledge a failed late-acked task; None: as task_acks_on_failure_or_timeout")       \
    X(task_acks_on_failure_or_timeout, BOOL, "true", "CELERY_ACKS_ON_FAILURE_OR_TIMEOUT", 0,  \
      "Acknowledge late-acked tasks that fail or time out")                                   \
    X(task_acks_on_timeout, BOOL, "null", "CELERY_ACKS_ON_TIMEOUT", 0,                        \
      "Acknowledge a late-acked task that timed out; None: as "                               \
      "task_acks_on_failure_or_timeout")                                                      \
    X(task_allow_error_cb_on_chord_header, BOOL, "false",                                     \
      "CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER", 0,                                             \
      "Errbacks of a chord are also those of its header tasks")                               \
    X(task_always_eager, BOOL, "false", "CELERY_ALWAYS_EAGER", 0,                             \
      "Run tasks where they are sent")                                                        \
    X(task_annotations, ANY, "null", "CELERY_ANNOTATIONS", 0,                                 \
      "Attributes of tasks that are set from here")                                           \
    X(task_compression, STRING, "null", "CELERY_MESSAGE_COMPRESSION", 0,                      \
      "Compression of task messages")                                                         \
    X(task_create_missing_queue_exchange_type, STRING, "null",                                \
      "CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE", 0,                                         \
      "Exchange type of queues that are not configured; None: "                               \
      "task_default_exchange_type")                                                           \
    X(task_create_missing_queue_type, STRING, "\"classic\"",                                  \
      "CELERY_CREATE_MISSING_QUEUE_TYPE", 0,                                                  \
      "Type of queues that are not configured: classic or quorum")                            \
    X(task_create_missing_queues, BOOL, "true", "CELERY_CREATE_MISSING_QUEUES", 0,            \
      "A queue that is not in task_queues is created on use")                                 \
    X(task_default_delivery_mode, ANY, "2", "CELERY_DEFAULT_DELIVERY_MODE", 0,                \
      "2 or \"persistent\", 1 or \"transient\"")                                              \
    X(task_default_exchange, STRING, "null", "CELERY_DEFAULT_EXCHANGE", 0,                    \
      "Exchange of queues that name none; None: task_default_queue")                          \
    X(task_default_exchange_type, STRING, "\"direct\"", "CELERY_DEFAULT_EXCHANGE_TYPE", 0,    \
      "Its type")                                                                             \
    X(task_default_priority, COUNT, "null", "CELERY_DEFAULT_PRIORITY", 0,                     \
      "Priority of tasks that have none")                                                     \
    X(task_default_queue, STRING, "\"celery\"", "CELERY_DEFAULT_QUEUE", 0,                    \
      "Queue of tasks that no route and no option sends elsewhere")                           \
    X(task_default_queue_type, STRING, "\"classic\"", "CELERY_DEFAULT_QUEUE_TYPE", 0,         \
      "Type of the default queue: classic or quorum")                                         \
    X(task_default_rate_limit, ANY, "null", "CELERY_DEFAULT_RATE_LIMIT", 0,                   \
      "Rate limit of tasks that have none, such as \"10/m\"")                                 \
    X(task_default_routing_key, STRING, "null", "CELERY_DEFAULT_ROUTING_KEY", 0,              \
      "Routing key of queues that name none; None: task_default_queue")                       \
    X(task_delivery_limit, COUNT, "3", NULL, NULLABLE,                                        \
      "A task that has cost this many processes fails instead of running again "              \
      "(poison, with acks_late and reject_on_worker_lost); None: no limit")                   \
    X(task_eager_propagates, BOOL, "false", "CELERY_EAGER_PROPAGATES_EXCEPTIONS", 0,          \
      "Eager tasks raise where they are sent")                                                \
    X(task_ignore_result, BOOL, "false", "CELERY_IGNORE_RESULT", 0,                           \
      "Store no results, unless a task says otherwise")                                       \
    X(task_inherit_parent_priority, BOOL, "false", "CELERY_INHERIT_PARENT_PRIORITY", 0,       \
      "A child task has its parent's priority")                                               \
    X(task_programs, DICT, "null", NULL, 0,                                                   \
      "Programs that are tasks: a command (list of strings) by name of the task, or a "       \
      "dictionary with a command and options")                                                \
    X(task_protocol, COUNT, "2", "CELERY_TASK_PROTOCOL", 0,                                   \
      "Message protocol: 2, or 1")                                                            \
    X(task_publish_retry, BOOL, "true", "CELERY_TASK_PUBLISH_RETRY", 0,                       \
      "Retry a publish after a lost connection")                                              \
    X(task_publish_retry_policy, DICT,                                                        \
      "{\"max_retries\": 3, \"interval_start\": 0, \"interval_max\": 1, "                     \
      "\"interval_step\": 0.2}",                                                              \
      "CELERY_TASK_PUBLISH_RETRY_POLICY", 0,                                                  \
      "How: max_retries, interval_start, interval_step, interval_max")                        \
    X(task_queue_max_priority, COUNT, "null", "CELERY_QUEUE_MAX_PRIORITY", 0,                 \
      "x-max-priority of queues")                                                             \
    X(task_queues, ANY, "null", "CELERY_QUEUES", 0,                                           \
      "Queues: a list of Queue objects, or a dictionary of options by name")                  \
    X(task_reject_on_worker_lost, BOOL, "null", "CELERY_REJECT_ON_WORKER_LOST", 0,            \
      "A late-acked task whose process died is run again")                                    \
    X(task_remote_tracebacks, BOOL, "false", "CELERY_REMOTE_TRACEBACKS", 0,                   \
      "Clients show the worker's traceback")                                                  \
    X(task_routes, ANY, "null", "CELERY_ROUTES", 0,                                           \
      "Which task goes to which queue: a dictionary, or a list of them")                      \
    X(task_send_sent_event, BOOL, "false", "CELERY_SEND_TASK_SENT_EVENT", 0,                  \
      "Send the event task-sent")                                                             \
    X(task_serializer, STRING, "\"json\"", "CELERY_TASK_SERIALIZER", 0,                       \
      "Serializer of task messages")                                                          \
    X(task_soft_time_limit, SECONDS, "null", "CELERYD_TASK_SOFT_TIME_LIMIT", 0,               \
      "Time after which a task is asked to end")                                              \
    X(task_store_eager_result, BOOL, "false", "CELERY_STORE_EAGER_RESULT", 0,                 \
      "Store results of eager tasks")                                                         \
    X(task_store_errors_even_if_ignored, BOOL, "false",                                       \
      "CELERY_STORE_ERRORS_EVEN_IF_IGNORED", 0,                                               \
      "Store failures also where results are ignored")                                        \
    X(task_time_limit, SECONDS, "null", "CELERYD_TASK_TIME_LIMIT", 0,                         \
      "Time after which a task's process is killed")                                          \
    X(task_track_started, BOOL, "false", "CELERY_TRACK_STARTED", 0,                           \
      "Store the state STARTED")                                                              \
    X(timezone, STRING, "null", "CELERY_TIMEZONE", 0,                                         \
      "Time zone of schedules, an IANA name; None: UTC, or the machine's without "            \
      "enable_utc")                                                                           \
    X(worker_agent, STRING, "null", "CELERYD_AGENT", INERT,                                   \
      "Agent of the worker")                                                                  \
    X(worker_autoscaler, STRING, "\"celery.worker.autoscale:Autoscaler\"",                    \
      "CELERYD_AUTOSCALER", INERT,                                                            \
      "Autoscaler of the worker")                                                             \
    X(worker_cancel_long_running_tasks_on_connection_loss, BOOL, "false",                     \
      "CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS", 0,                              \
      "End late-acked tasks when the broker is lost")                                         \
    X(worker_concurrency, COUNT, "null", "CELERYD_CONCURRENCY", 0,                            \
      "Tasks run at once; None: as many as there are CPUs")                                   \
    X(worker_consumer, STRING, "\"celery.worker.consumer:Consumer\"",                         \
      "CELERYD_CONSUMER", INERT,                                                              \
      "Consumer of the worker")                                                               \
    X(worker_deduplicate_successful_tasks, BOOL, "false",                                     \
      "CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS", 0,                                              \
      "A redelivered late-acked task that has succeeded is not run again")                    \
    X(worker_detect_quorum_queues, BOOL, "true", "CELERYD_DETECT_QUORUM_QUEUES", 0,           \
      "Look for quorum queues and set QoS for them")                                          \
    X(worker_direct, BOOL, "false", "CELERY_WORKER_DIRECT", 0,                                \
      "Every worker has a queue of its own, NODE.dq2")                                        \
    X(worker_disable_prefetch, BOOL, "false", "CELERYD_DISABLE_PREFETCH", 0,                  \
      "Fetch a message only when a process is free")                                          \
    X(worker_disable_rate_limits, BOOL, "false", "CELERY_DISABLE_RATE_LIMITS", 0,             \
      "Ignore rate limits")                                                                   \
    X(worker_enable_prefetch_count_reduction, BOOL, "true",                                   \
      "CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION", 0,                                           \
      "Fetch less after a reconnect until the tasks of before have ended")                    \
    X(worker_enable_remote_control, BOOL, "true", "CELERY_ENABLE_REMOTE_CONTROL", 0,          \
      "Take control commands")                                                                \
    X(worker_enable_soft_shutdown_on_idle, BOOL, "false",                                     \
      "CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE", 0,                                              \
      "Soft shutdown also while nothing runs")                                                \
    X(worker_eta_task_limit, COUNT, "null", "CELERYD_ETA_TASK_LIMIT", 0,                      \
      "Most tasks with an ETA or a rate limit held by the worker beyond its prefetch; None: " \
      "1000. RabbitMQ keeps the others until they are due")                                   \
    X(worker_executable, STRING, "null", "CELERYD_EXECUTABLE", INERT,                         \
      "Program that a detached worker runs")                                                  \
    X(worker_gid, ANY, "null", "CELERYD_GID", 0,                                              \
      "Group of a detached worker")                                                           \
    X(worker_hijack_root_logger, BOOL, "true", "CELERYD_HIJACK_ROOT_LOGGER", INERT,           \
      "The worker sets up Python's root logger")                                              \
    X(worker_log_color, BOOL, "null", "CELERYD_LOG_COLOR", 0,                                 \
      "Colours in the log; None: if it goes to a terminal")                                   \
    X(worker_log_format, STRING,                                                              \
      "\"[%(asctime)s: %(levelname)s/%(processName)s] %(message)s\"",                         \
      "CELERYD_LOG_FORMAT", 0,                                                                \
      "Format of log lines")                                                                  \
    X(worker_logfile, STRING, "null", "CELERYD_LOGFILE", 0,                                   \
      "Log file of the worker")                                                               \
    X(worker_lost_wait, SECONDS, "10.0", "CELERYD_WORKER_LOST_WAIT", 0,                       \
      "How long to wait for the result of a process that died")                               \
    X(worker_max_memory_per_child, COUNT, "null", "CELERYD_MAX_MEMORY_PER_CHILD", 0,          \
      "KiB after which a process is replaced")                                                \
    X(worker_max_tasks_per_child, COUNT, "null", "CELERYD_MAX_TASKS_PER_CHILD", 0,            \
      "Tasks after which a process is replaced")                                              \
    X(worker_pidfile, STRING, "null", "CELERYD_PIDFILE", 0,                                   \
      "Pid file of the worker")                                                               \
    X(worker_pool, STRING, "\"prefork\"", "CELERYD_POOL", 0,                                  \
      "prefork, threads or solo")                                                             \
    X(worker_pool_putlocks, BOOL, "true", "CELERYD_POOL_PUTLOCKS", INERT,                     \
      "Locks of Python's pool")                                                               \
    X(worker_pool_restarts, BOOL, "false", "CELERYD_POOL_RESTARTS", 0,                        \
      "The control command pool_restart is allowed")                                          \
    X(worker_prefetch_multiplier, COUNT, "4", "CELERYD_PREFETCH_MULTIPLIER", 0,               \
      "Messages fetched ahead per process; 0: no limit. Unset, celeriac adapts to the "       \
      "tasks' runtime")                                                                       \
    X(worker_proc_alive_timeout, SECONDS, "4.0", "CELERYD_PROC_ALIVE_TIMEOUT", 0,             \
      "How long a new process may take to be ready")                                          \
    X(worker_redirect_stdouts, BOOL, "true", "CELERY_REDIRECT_STDOUTS", 0,                    \
      "What tasks print goes to the log")                                                     \
    X(worker_redirect_stdouts_level, STRING, "\"WARNING\"",                                   \
      "CELERY_REDIRECT_STDOUTS_LEVEL", 0,                                                     \
      "At this level")                                                                        \
    X(worker_send_task_events, BOOL, "false", "CELERY_SEND_EVENTS", 0,                        \
      "Send task events (-E)")                                                                \
    X(worker_soft_shutdown_timeout, SECONDS, "0", "CELERYD_SOFT_SHUTDOWN_TIMEOUT", 0,         \
      "How long a cold shutdown waits for running tasks")                                     \
    X(worker_state_db, STRING, "null", "CELERYD_STATE_DB", 0,                                 \
      "File that keeps revoked tasks over restarts")                                          \
    X(worker_task_log_format, STRING,                                                         \
      "\"[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: "           \
      "%(message)s\"",                                                                        \
      "CELERYD_TASK_LOG_FORMAT", 0,                                                           \
      "Format of a task's log lines")                                                         \
    X(worker_timer, STRING, "null", "CELERYD_TIMER", INERT,                                   \
      "Timer of the worker")                                                                  \
    X(worker_timer_precision, NUMBER, "1.0", "CELERYD_TIMER_PRECISION", INERT,                \
      "Its precision")                                                                        \
    X(worker_uid, ANY, "null", "CELERYD_UID", 0,                                              \
      "User of a detached worker")                                                            \
    X(worker_umask, ANY, "null", "CELERYD_UMASK", 0,                                          \
      "Umask of a detached worker")                                                           \
    X(worker_watchdog_timeout, SECONDS, "30", NULL, NULLABLE,                                 \
      "RabbitMQ: how long messages may wait while a process is free and none comes; then "    \
      "the worker consumes anew, connects anew, and at last ends with an error. 0 or None: "  \
      "no limit")
/* clang-format on */

/* The index of each setting: CEL_SET_task_routes, ... */
enum {
#define CEL_X(name, type, value, old, flags, meaning) CEL_SET_##name,
    CEL_SETTINGS(CEL_X)
#undef CEL_X
    CEL_SETTING_COUNT_OF
};

typedef struct cel_setting {
    const char *name;
    cel_setting_type type;
    const char *value; /* the default, as JSON */
    const char *old;   /* the name it had before Celery 4, upper-case; NULL for our own */
    int flags;
    const char *meaning; /* one line, no full stop */
} cel_setting;

extern const cel_setting cel__settings[CEL_SETTING_COUNT_OF];

/* Returns the index of the setting with exactly this new name, or -1. */
int cel__setting_find(cel_view name);

/* As above, for a name in a configuration file or in the environment: the new name, the old
 * one, or CELERY_ and the new one in upper case (as with Django). */
int cel__setting_find_any(cel_view name);

/* Returns a view of the name, new or (if `name` is upper-case) old, that `name` is likely to
 * be a slip of, or NULL. */
const char *cel__setting_suggest(cel_view name);

/* Returns a view of the type's name: "string", "number of seconds", ... */
const char *cel__setting_type_text(cel_setting_type type);

/* Whether a key of this name (of a setting, or in a dictionary) holds something secret. */
bool cel__setting_is_secret(const char *key);

#endif
