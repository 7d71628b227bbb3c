/* http.c - libmicrohttpd's daemon and the connections. Loop thread. */
#include "server/http/http.h"

#include "server/http/request.h"
#include "server/log.h"
#include "server/service.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Connections that are accepted beyond our limit, to be told so instead of waiting in silence. */
enum { CONNECTIONS_SPARE = 64 };
/* Descriptors for everything but connections: the loop's, the pool's, files. */
enum { FILES_SPARE = 64 };
/* What a connection's memory holds besides its header: the response's headers and the chunk that is
 * being written. */
enum { POOL_BYTES = 32 * 1024 };

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void conn_enter(struct conn *conn, enum conn_phase phase)
{
    conn->phase = phase;
    conn->since_ms = loop_now_ms(&conn->service->loop);
    conn->peek = true;
    if (phase != CONN_WAITING)
        conn->fresh = false;
}

void conn_cut(struct conn *conn)
{
    shutdown(conn->fd, SHUT_RDWR);
}

void conn_ends(struct conn *conn)
{
    MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                              conn->service->http.timeout + 1);
}

static void conn_open(struct service *service, struct MHD_Connection *mhd, void **place)
{
    struct http *http = &service->http;
    struct conn *conn = calloc(1, sizeof *conn);
    *place = conn;
    if (conn == NULL) /* its requests are answered with a close */
        return;
    conn->service = service;
    conn->mhd = mhd;
    conn->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    conn->over = http->n_conns >= service->settings->max_connections;
    conn->fresh = true;
    conn_enter(conn, CONN_WAITING);
    conn->next = http->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    http->conns = conn;
    if (http->n_conns++ == 0)
        loop_beat(&service->loop, true);
}

static void conn_close(struct service *service, struct conn *conn)
{
    struct http *http = &service->http;
    loop_again(&service->loop); /* at its limit, the daemon listens again in the next run only */
    if (conn == NULL)
        return;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        http->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    free(conn);
    if (--http->n_conns == 0) /* an idle server uses no CPU */
        loop_beat(&service->loop, false);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **place,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_open(cls, mhd, place);
    else
        conn_close(cls, *place);
}

/* A request's first line is here; only now is its target whole. */
static void *on_first_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    struct conn *conn = conn_of(mhd);
    if (conn == NULL)
        return NULL;
    if (!conn->fresh) /* the first request's time runs from the connection's start */
        conn_enter(conn, CONN_READING);
    conn->strange = false;
    for (; *uri != '\0'; uri++)
        conn->strange |= (unsigned char)*uri <= 0x20 || (unsigned char)*uri >= 0x7f;
    return NULL;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n_data, void **place)
{
    (void)cls;
    struct request *r = *place;
    if (r == NULL) {
        struct conn *conn = conn_of(mhd);
        *place = conn != NULL ? request_begin(conn, method) : NULL;
        return *place != NULL ? request_admit(*place, url, version) : MHD_NO;
    }
    if (*n_data > 0) {
        size_t n = *n_data;
        *n_data = 0;
        return request_take(r, data, n);
    }
    return request_whole(r);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **place,
                         enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    (void)code;
    struct service *service = cls;
    if (*place != NULL)
        request_end(*place);
    *place = NULL;
    loop_again(&service->loop);
}

static size_t leave_as_it_is(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    size_t n = 0;
    while (text[n] != '\0')
        n++;
    return n;
}

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *format,
                                                         va_list args)
{
    (void)cls;
    char text[LOG_LINE_MAX];
    int n = vsnprintf(text, sizeof text, format, args);
    if (n > 0 && (size_t)n < sizeof text && text[n - 1] == '\n')
        text[n - 1] = '\0';
    log_line(LOG_DEBUG, "libmicrohttpd: %s", text);
}

/* Raises the limit of open files to what the connections need; returns how many connections it
 * allows. */
static unsigned make_room(size_t n_wanted)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)n_wanted + FILES_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return (unsigned)n_wanted;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= needed)
        return (unsigned)n_wanted;
    unsigned n = limit.rlim_cur > (rlim_t)2 * FILES_SPARE ? (unsigned)limit.rlim_cur - FILES_SPARE
                                                          : FILES_SPARE;
    log_line(LOG_WARN, "the limit of open files (%llu) allows %u connections at once",
             (unsigned long long)limit.rlim_cur, n);
    return n;
}

static unsigned max3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a > b ? a : b;
    return ab > c ? ab : c;
}

enum status http_start(struct http *http, struct service *service, int listen_fd, struct error *err)
{
    const struct settings *s = service->settings;
    /* Behind the sweep's deadlines, and never 0: a client that sent its request and its end in one
     * packet, and one that reads a large answer too slowly, are the library's to find. */
    http->timeout = max3(s->request_seconds, s->idle_seconds, s->stall_seconds);
    size_t pool = POOL_BYTES + s->max_header_bytes;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, make_room(s->max_connections + CONNECTIONS_SPARE), NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, http->timeout, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)pool, NULL},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
        service, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, service, MHD_OPTION_NOTIFY_COMPLETED, on_completed, service,
        MHD_OPTION_URI_LOG_CALLBACK, on_first_line, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_as_it_is, NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (http->daemon == NULL)
        return error_errno(err, errno, "libmicrohttpd");
    return STATUS_OK;
}

void http_stop(struct http *http)
{
    if (http->daemon == NULL)
        return;
    MHD_quiesce_daemon(http->daemon);
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
}

/* How long a connection may stay in its phase, ms; 0: for ever (an answer's time is its stream's
 * affair). */
static uint64_t patience_ms(const struct conn *conn)
{
    const struct settings *s = conn->service->settings;
    if (conn->phase == CONN_READING || conn->fresh)
        return (uint64_t)s->request_seconds * 1000;
    return conn->phase == CONN_WAITING ? (uint64_t)s->idle_seconds * 1000 : 0;
}

bool http_beat(struct http *http, uint64_t now_ms)
{
    bool cut = false;
    for (struct conn *conn = http->conns; conn != NULL; conn = conn->next) {
        uint64_t patience = patience_ms(conn);
        char byte;
        bool gone = patience > 0 && now_ms - conn->since_ms > patience;
        if (!gone && conn->phase != CONN_ANSWERING && conn->peek) {
            gone = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
            conn->peek = false;
        }
        if (gone)
            conn_cut(conn);
        cut = cut || gone;
    }
    return cut;
}
