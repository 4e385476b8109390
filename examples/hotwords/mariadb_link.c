/* mariadb_link.c - a connection to a MariaDB or MySQL server that can be stopped at any time.
 *
 * libmariadb's blocking calls go on after a signal, so that a soft time limit would have to wait for
 * a slow query. Its non-blocking ones return what to wait for; the waiting is ours, in short steps
 * between which stop() is asked. An operation that is to end early is told that its time is over,
 * which makes it fail and free what it holds. */
#include "mariadb_link.h"

#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define STEP_MS 50 /* how often stop() is asked while the server is silent */
#define STACK_BYTES                                                                            \
    (256 * 1024) /* of the library's coroutine; its own choice is too small for TLS */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
    mysql_library_init(0, NULL, NULL);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- errors ---- */

static hw_code classify(unsigned number)
{
    switch (number) {
    case ER_ACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
    case ER_HOST_IS_BLOCKED:
    case ER_HOST_NOT_PRIVILEGED:
    case ER_MUST_CHANGE_PASSWORD:
    case ER_MUST_CHANGE_PASSWORD_LOGIN:
    case ER_ACCOUNT_HAS_BEEN_LOCKED:
        return HW_EACCES;
    case ER_BAD_DB_ERROR:
    case ER_NO_SUCH_TABLE:
    case ER_BAD_FIELD_ERROR:
        return HW_ELOOKUP;
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case CR_UNKNOWN_HOST:
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
    case CR_SERVER_LOST_EXTENDED:
    case CR_SERVER_HANDSHAKE_ERR:
    case CR_ERR_NET_READ:
    case CR_ERR_NET_WRITE:
    case ER_CON_COUNT_ERROR:
    case ER_TOO_MANY_USER_CONNECTIONS:
    case ER_SERVER_SHUTDOWN:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_ERROR_ON_WRITE:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_LOCK_WAIT_TIMEOUT:
    case ER_LOCK_DEADLOCK:
    case ER_QUERY_INTERRUPTED:
    case ER_CONNECTION_KILLED:
        return HW_ECONN;
    case CR_OUT_OF_MEMORY:
        return HW_ENOMEM;
    default:
        return HW_EIO;
    }
}

hw_code hw_link_fail(hw_link *link, MYSQL_STMT *stmt, hw_error *err)
{
    const char *shown = link->source->shown;
    /* When rows end early, only the connection knows why. */
    const bool of_stmt = stmt && mysql_stmt_errno(stmt) != 0;
    const unsigned number = of_stmt ? mysql_stmt_errno(stmt) : mysql_errno(link->mysql);
    const char *text = of_stmt ? mysql_stmt_error(stmt) : mysql_error(link->mysql);

    if (link->stopped)
        return hw_fail(err, HW_ECANCELED, "asked to stop");
    if (link->silent)
        return hw_fail(err, HW_ECONN, "%.100s: no answer from the server in time", shown);
    return hw_fail(err, classify(number), "%.100s: %.120s (error %u)", shown, text, number);
}

/* ---- waiting ---- */

static bool must_stop(hw_link *link)
{
    link->stopped = link->stopped || (link->stop && link->stop(link->user));
    return link->stopped;
}

/* Waits for what the library asks for; returns what has happened. */
static int await(hw_link *link, int status, unsigned timeout_s)
{
    const int64_t deadline_ms = now_ms() + (int64_t)timeout_s * 1000;
    struct pollfd wait = {.fd = mysql_get_socket(link->mysql)};

    if (status & MYSQL_WAIT_READ)
        wait.events |= POLLIN;
    if (status & MYSQL_WAIT_WRITE)
        wait.events |= POLLOUT;
    if (status & MYSQL_WAIT_EXCEPT)
        wait.events |= POLLPRI;
    for (;;) {
        int ready;

        if (must_stop(link))
            return MYSQL_WAIT_TIMEOUT;
        ready = poll(&wait, 1, STEP_MS);
        if (ready > 0 && (wait.revents & (POLLERR | POLLHUP | POLLNVAL)))
            return status & ~MYSQL_WAIT_TIMEOUT; /* it finds out what is wrong */
        if (ready > 0)
            return ((wait.revents & POLLIN) ? MYSQL_WAIT_READ : 0) |
                   ((wait.revents & POLLOUT) ? MYSQL_WAIT_WRITE : 0) |
                   ((wait.revents & POLLPRI) ? MYSQL_WAIT_EXCEPT : 0);
        if ((ready < 0 && errno != EINTR) || now_ms() >= deadline_ms) {
            link->silent = true;
            return MYSQL_WAIT_TIMEOUT;
        }
    }
}

/* ---- operations ---- */

static void set_options(MYSQL *mysql, const hw_source *source)
{
    const size_t stack = STACK_BYTES;
    const unsigned protocol = source->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    const unsigned no_files = 0; /* a server may otherwise ask for files of ours */
    const my_bool yes = 1;

    mysql_options(mysql, MYSQL_OPT_NONBLOCK, &stack);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &source->connect_timeout);
    mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &source->read_timeout);
    mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &source->read_timeout);
    mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no_files);
    mysql_options(mysql, MYSQL_REPORT_DATA_TRUNCATION, &yes);
    if (source->ca) {
        mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
        mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
        mysql_options(mysql, MYSQL_OPT_SSL_CA, source->ca);
    }
}

hw_code hw_link_open(
    hw_link *link, const hw_source *source, bool (*stop)(void *user), void *user, hw_error *err)
{
    MYSQL *connected = NULL;
    int status;

    *link = (hw_link){.source = source, .stop = stop, .user = user};
    pthread_once(&library_once, init_library);
    link->mysql = mysql_init(NULL);
    if (!link->mysql)
        return hw_fail_memory(err);
    set_options(link->mysql, source);
    /* With another host than this the library takes no notice of the socket. */
    status = mysql_real_connect_start(
        &connected, link->mysql, source->socket ? "localhost" : source->host, source->user,
        source->password, source->database, source->port, source->socket, 0);
    while (status)
        status = mysql_real_connect_cont(&connected, link->mysql,
                                         await(link, status, source->connect_timeout));
    return connected ? HW_OK : hw_link_fail(link, NULL, err);
}

void hw_link_close(hw_link *link)
{
    if (link->mysql)
        mysql_close(link->mysql);
    link->mysql = NULL;
}

hw_code hw_link_prepare(hw_link *link, MYSQL_STMT **out, const hw_buf *sql, hw_error *err)
{
    int failed = 1;
    int status;

    *out = mysql_stmt_init(link->mysql);
    if (!*out)
        return hw_fail_memory(err);
    status = mysql_stmt_prepare_start(&failed, *out, sql->bytes, sql->len);
    while (status)
        status = mysql_stmt_prepare_cont(&failed, *out,
                                         await(link, status, link->source->read_timeout));
    return failed ? hw_link_fail(link, *out, err) : HW_OK;
}

hw_code hw_link_execute(hw_link *link, MYSQL_STMT *stmt, hw_error *err)
{
    int failed = 1;
    int status = mysql_stmt_execute_start(&failed, stmt);

    while (status)
        status = mysql_stmt_execute_cont(&failed, stmt,
                                         await(link, status, link->source->read_timeout));
    return failed ? hw_link_fail(link, stmt, err) : HW_OK;
}

hw_code hw_link_fetch(hw_link *link, MYSQL_STMT *stmt, int *got, hw_error *err)
{
    int status;

    *got = 1;
    if (must_stop(link))
        return hw_link_fail(link, stmt, err);
    status = mysql_stmt_fetch_start(got, stmt);
    while (status)
        status =
            mysql_stmt_fetch_cont(got, stmt, await(link, status, link->source->read_timeout));
    return *got == 0 || *got == MYSQL_NO_DATA || *got == MYSQL_DATA_TRUNCATED
               ? HW_OK
               : hw_link_fail(link, stmt, err);
}

hw_code hw_link_run(hw_link *link, const char *sql, size_t len, hw_error *err)
{
    int failed = 1;
    int status = mysql_real_query_start(&failed, link->mysql, sql, len);

    while (status)
        status = mysql_real_query_cont(&failed, link->mysql,
                                       await(link, status, link->source->read_timeout));
    return failed ? hw_link_fail(link, NULL, err) : HW_OK;
}

/* ---- SQL ---- */

bool hw_sql_add(hw_buf *sql, const char *text)
{
    return hw_buf_add(sql, text, strlen(text));
}

bool hw_sql_add_name(hw_buf *sql, const char *name)
{
    bool ok = hw_buf_add_byte(sql, '`');

    for (; ok && *name; name++)
        ok = (*name != '`' || hw_buf_add_byte(sql, '`')) && hw_buf_add_byte(sql, *name);
    return ok && hw_buf_add_byte(sql, '`');
}

bool hw_sql_add_table(hw_buf *sql, const hw_source *source)
{
    return hw_sql_add_name(sql, source->database) && hw_buf_add_byte(sql, '.') &&
           hw_sql_add_name(sql, source->table);
}
