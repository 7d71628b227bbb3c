/* http.c - libmicrohttpd's daemon and the connections. Loop thread. */
#include "server/http/http.h"

#include "server/http/request.h"
#include "server/http/transport.h"
#include "server/log.h"
#include "server/service.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Connections that are accepted beyond the limit: for probes, and for clients that are told so
 * instead of waiting in silence. As many again may be on their way out. */
enum { RESERVE_MAX = 64 };
/* How many idle connections are looked at for one that has sent nothing. */
enum { VICTIMS_MAX = 64 };
/* Descriptors that are still to be opened when connections get theirs: libmicrohttpd's, the port's
 * and the model's file, files that are read again. And all others, where /proc does not say. */
enum { FILES_LATER = 16, FILES_UNKNOWN = 32 };
/* A connection's memory holds the response's headers too, besides its request's header and the
 * records of its fields. */
enum { POOL_SPARE = 4096 };
enum { LIBRARY_SECONDS = 3600 }; /* of its own timeouts, beyond ours */
/* Bytes that a client may send after its last message while that is being answered. */
enum { LEFTOVER_BYTES = 8 << 20 };

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* --- what the library reads --- */

/* Nothing of what the guard has refused has reached the library. It is answered once the messages
 * before it are. */
static void refuse_unparsed(struct conn *conn)
{
    const struct guard *guard = &conn->guard;
    if (conn->phase == CONN_LEAVING)
        return;
    if (conn->request != NULL && conn->request->whole_ns == 0) /* its body is at fault */
        request_refuse_unread(conn->request, guard->refusal, guard->why);
    else if (conn->request == NULL && conn->n_requests == guard->n_heads)
        request_refuse_unparsed(conn, guard->method, guard->refusal, guard->why);
}

/* Drops what comes. As recv: 0 at the end. */
static ssize_t drop_rest(struct conn *conn, char *out, size_t room)
{
    ssize_t n;
    if (conn->phase == CONN_LEAVING) { /* answered: the library lets go of it */
        errno = ECONNRESET;
        return -1;
    }
    while ((n = transport_read(conn->fd, out, room)) > 0) {
        conn->n_dropped += (size_t)n;
        if (conn->n_dropped > LEFTOVER_BYTES) {
            errno = ECONNRESET;
            return -1;
        }
    }
    return n;
}

static ssize_t on_read(void *ctx, char *out, size_t room)
{
    struct conn *conn = ctx;
    if (conn->guard.state == GUARD_FAULT || conn->guard.state == GUARD_ENDED)
        return drop_rest(conn, out, room);
    ssize_t n = transport_read(conn->fd, out, room);
    if (n <= 0)
        return n;
    size_t n_passed = guard_look(&conn->guard, out, (size_t)n);
    if (conn->guard.state == GUARD_FAULT && n_passed == 0)
        refuse_unparsed(conn);
    return n_passed > 0 ? (ssize_t)n_passed : drop_rest(conn, out, room);
}

/* --- from accept to close --- */

/* The connection that gives its place to a new one: of those without a complete head the oldest
 * that has sent nothing which waits to be read. */
static struct conn *find_victim(const struct http *http, const struct conn *newest)
{
    int n_looked = 0;
    for (struct conn *conn = TAILQ_FIRST(&http->idle); conn != NULL && n_looked < VICTIMS_MAX;
         conn = TAILQ_NEXT(conn, in_idle)) {
        if (conn->cut || conn->reserve || conn == newest)
            continue;
        n_looked++;
        if (!transport_has_bytes(conn->fd))
            return conn;
    }
    return NULL;
}

static struct conn *find_oldest(const struct http *http, const struct conn *newest)
{
    struct conn *conn = TAILQ_FIRST(&http->idle);
    while (conn != NULL && (conn->cut || conn == newest))
        conn = TAILQ_NEXT(conn, in_idle);
    return conn;
}

static void make_place(struct http *http, struct conn *newest)
{
    if (!http->full && conn_n_live(http) >= http->limit) {
        http->full = true;
        log_line(LOG_WARN,
                 "all %zu connections are taken (--max-connections): idle ones give way, requests "
                 "beyond them get 503, probes are answered",
                 http->limit);
    }
    if (conn_n_live(http) <= http->limit)
        return;
    struct conn *victim = find_victim(http, newest);
    newest->reserve = victim == NULL;
    if (victim == NULL && conn_n_live(http) > http->limit + http->reserve)
        victim = find_oldest(http, newest);
    if (victim != NULL)
        conn_cut(victim);
}

/* Told again only after a tenth of the places has been free. */
static void note_room(struct http *http)
{
    if (!http->full || http->n_conns > http->limit * 9 / 10)
        return;
    http->full = false;
    log_line(LOG_INFO, "connections are below their limit again: %zu of %zu", http->n_conns,
             http->limit);
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
    peer_of_socket(&conn->client, conn->fd);
    guard_init(&conn->guard, service->settings->max_header_bytes);
    struct error err;
    if (transport_watch(conn->fd, on_read, conn, &err) != STATUS_OK) {
        free(conn);
        *place = NULL;
        return;
    }
    conn->fresh = true;
    conn_enter(conn, CONN_WAITING);
    conn->next = http->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    http->conns = conn;
    http->n_conns++;
    TAILQ_INSERT_TAIL(&http->idle, conn, in_idle);
    make_place(http, conn);
}

/* The connection's socket is closed next, by the library. Whether it stays open, elsewhere: after
 * an answer, and where the client has not ended the connection itself. */
static bool stays_open(struct conn *conn)
{
    struct service *service = conn->service;
    bool answered = conn->phase == CONN_LEAVING || conn->n_requests > 0;
    return answered && !conn->cut &&
           lingering_take(&service->http.lingering, conn->fd, loop_now_ms(&service->loop));
}

/* Whether its socket stays open. */
static bool conn_close(struct service *service, struct conn *conn)
{
    struct http *http = &service->http;
    loop_again(&service->loop);
    if (conn == NULL)
        return false;
    bool stays = stays_open(conn);
    transport_forget(conn->fd);
    if (conn->request == NULL)
        TAILQ_REMOVE(&http->idle, conn, in_idle);
    http->n_cut -= conn->cut;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        http->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    free(conn);
    http->n_conns--;
    note_room(http);
    return stays;
}

static void on_socket_closed(void *ctx)
{
    struct service *service = ctx;
    if (--service->http.n_sockets == 0) /* an idle server uses no CPU */
        loop_beat(&service->loop, false);
    acceptor_resume(&service->http.acceptor);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **place,
                          enum MHD_ConnectionNotificationCode code)
{
    struct service *service = cls;
    struct http *http = &service->http;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        if (http->n_sockets++ == 0)
            loop_beat(&service->loop, true);
        conn_open(service, mhd, place);
    } else if (conn_close(service, *place)) {
        acceptor_resume(&http->acceptor); /* it gives way */
    } else {
        on_socket_closed(service);
    }
}

static bool has_room(void *ctx)
{
    struct http *http = &((struct service *)ctx)->http;
    return http->n_sockets < http->capacity || lingering_give_way(&http->lingering);
}

static void on_client(void *ctx, int fd, const struct sockaddr *address, socklen_t n)
{
    struct service *service = ctx;
    loop_look_at_clock(&service->loop); /* its time begins after a pause, not in it */
    MHD_add_connection(service->http.daemon, fd, address, n); /* which closes it when it fails */
}

static void on_clients(void *ctx)
{
    struct service *service = ctx;
    loop_drive(&service->loop);
}

static const struct accept_events accept_events = {
    .has_room = has_room, .take = on_client, .taken = on_clients};

/* A request's first line is here; only now is its target whole. */
static void request_begun(struct conn *conn, struct request *r)
{
    conn->request = r;
    TAILQ_REMOVE(&conn->service->http.idle, conn, in_idle);
    if (!conn_is_over(conn)) /* by now there is a place for it */
        conn->reserve = false;
}

static void request_over(struct conn *conn)
{
    conn->request = NULL;
    TAILQ_INSERT_TAIL(&conn->service->http.idle, conn, in_idle);
    conn->fresh = false;
    conn->n_requests++;
    if (conn->phase == CONN_LEAVING)
        return;
    conn_enter(conn, CONN_WAITING);
    if (conn->guard.state == GUARD_FAULT)
        refuse_unparsed(conn);
}

static void *on_first_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    (void)uri;
    struct conn *conn = conn_of(mhd);
    if (conn == NULL)
        return NULL;
    if (!conn->fresh) /* the first request's time runs from the connection's start */
        conn_enter(conn, CONN_READING);
    return NULL;
}

static enum MHD_Result pass_on(struct request *r, const char *url, const char *version,
                               const char *data, size_t *n_data)
{
    if (url != NULL)
        return request_admit(r, url, version);
    if (*n_data == 0)
        return request_whole(r);
    size_t n = *n_data;
    *n_data = 0;
    return request_take(r, data, n);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n_data, void **place)
{
    (void)cls;
    struct conn *conn = conn_of(mhd);
    bool first = *place == NULL;
    /* A head that the guard has not seen is not served. */
    if (first && conn != NULL && conn->n_requests < conn->guard.n_heads)
        *place = request_begin(conn, method);
    if (*place == NULL)
        return MHD_NO;
    if (first)
        request_begun(conn, *place);
    enum MHD_Result result = pass_on(*place, first ? url : NULL, version, data, n_data);
    if (result == MHD_NO) /* the library closes it from inside, and would forget it */
        conn_ends(conn);
    return result;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **place,
                         enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    (void)code;
    struct service *service = cls;
    if (*place != NULL) {
        struct conn *conn = ((struct request *)*place)->conn;
        request_end(*place);
        request_over(conn);
    }
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

/* Raises the limit of open files to what so many connections need; returns how many fit beside what
 * is open. */
static size_t make_room(const struct process *process, size_t n_wanted, rlim_t *files)
{
    struct rlimit limit;
    uint64_t n_open = FILES_UNKNOWN;
    process_open_files(process, &n_open);
    rlim_t taken = (rlim_t)n_open + FILES_LATER, needed = taken + (rlim_t)n_wanted;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return n_wanted;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    *files = limit.rlim_cur;
    if (limit.rlim_cur >= needed)
        return n_wanted;
    return limit.rlim_cur > taken ? (size_t)(limit.rlim_cur - taken) : 0;
}

/* Shares what the system allows between the limit, the reserve and those on their way out. */
static enum status share_out(struct http *http, const struct service *service, struct error *err)
{
    size_t most = service->settings->max_connections;
    rlim_t files = 0;
    size_t n = make_room(&service->metrics.process, most + 2 * RESERVE_MAX, &files);
    if (n < 3)
        return error_set(err, STATUS_IO,
                         "the limit of open files (%llu) leaves no room for connections; raise it "
                         "(ulimit -n)",
                         (unsigned long long)files);
    http->reserve = n / 8 < 1 ? 1 : n / 8 > RESERVE_MAX ? RESERVE_MAX : n / 8;
    http->limit = n - 2 * http->reserve < most ? n - 2 * http->reserve : most;
    http->capacity = http->limit + 2 * http->reserve;
    if (http->limit < most)
        log_line(LOG_WARN,
                 "the limit of open files (%llu) allows %zu connections at once, not %zu "
                 "(--max-connections)",
                 (unsigned long long)files, http->limit, most);
    return STATUS_OK;
}

static unsigned max3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a > b ? a : b;
    return ab > c ? ab : c;
}

enum status http_start(struct http *http, struct service *service, struct error *err)
{
    const struct settings *s = service->settings;
    TAILQ_INIT(&http->idle);
    lingering_init(&http->lingering, &service->loop.uv, on_socket_closed, service);
    /* Far beyond the sweep's deadlines, which alone know of pauses: the process may be stopped in
     * the middle of the library's run, which then looks at its own clock. Never 0: a client that
     * sent its request and its end in one packet must be found in the end. */
    http->timeout = LIBRARY_SECONDS + max3(s->request_seconds, s->idle_seconds, s->stall_seconds);
    /* Half of it is what the library reads into. With the guard's limits a request always fits, so
     * that it has nothing to refuse by itself. */
    size_t pool = 2 * (s->max_header_bytes + GUARD_RECORDS_MAX * GUARD_RECORD_BYTES + POOL_SPARE);
    if (!transport_works())
        return error_set(err, STATUS_INTERNAL, "libmicrohttpd's reads cannot be watched");
    enum status status = share_out(http, service, err);
    if (status != STATUS_OK)
        return status;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)http->capacity, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, http->timeout, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)pool, NULL},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, on_request, service, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, service, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, service, MHD_OPTION_URI_LOG_CALLBACK, on_first_line, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_as_it_is, NULL, MHD_OPTION_ARRAY, options,
        MHD_OPTION_END);
    if (http->daemon == NULL)
        return error_errno(err, errno, "libmicrohttpd");
    return acceptor_start(&http->acceptor, &service->listener, &service->loop.uv, &accept_events,
                          service, err);
}

void http_stop(struct http *http)
{
    lingering_close(&http->lingering);
    if (http->daemon == NULL)
        return;
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
    transport_end();
}

/* How long a connection may stay in its phase, ms; 0: for ever (an answer's time is its stream's
 * affair). */
static uint64_t patience_ms(const struct conn *conn)
{
    const struct settings *s = conn->service->settings;
    if (conn->phase == CONN_READING || (conn->phase == CONN_WAITING && conn->fresh))
        return (uint64_t)s->request_seconds * 1000;
    if (conn->phase == CONN_LEAVING)
        return LINGER_SILENCE_MS;
    return conn->phase == CONN_WAITING ? (uint64_t)s->idle_seconds * 1000 : 0;
}

/* Whether the client takes nothing of an answer that is being sent. Streams look after themselves
 * too: they know when they are asked for bytes. */
static bool is_stalled(struct conn *conn, uint64_t now_ms)
{
    const struct request *r = conn->request;
    if (conn->phase != CONN_ANSWERING || r == NULL || r->status == 0 || r->suspended)
        return false;
    int n = transport_unsent(conn->fd);
    if (n == 0 || n != conn->n_unsent) {
        conn->n_unsent = n;
        conn->moved_ms = now_ms;
    }
    return now_ms - conn->moved_ms > (uint64_t)conn->service->settings->stall_seconds * 1000;
}

bool http_beat(struct http *http, uint64_t now_ms)
{
    bool cut = false;
    lingering_beat(&http->lingering, now_ms);
    for (struct conn *conn = http->conns; conn != NULL; conn = conn->next) {
        uint64_t patience = patience_ms(conn);
        bool gone =
            (patience > 0 && now_ms - conn->since_ms > patience) || is_stalled(conn, now_ms);
        if (!gone && conn->phase != CONN_ANSWERING && conn->peek) {
            gone = transport_is_at_end(conn->fd);
            conn->peek = false;
        }
        if (gone)
            conn_cut(conn);
        cut = cut || gone;
    }
    return cut;
}

void http_paused(struct http *http)
{
    for (struct conn *conn = http->conns; conn != NULL; conn = conn->next) {
        /* From no timeout to one: the library then begins at the present. */
        MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
        MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                                  http->timeout + (conn->ending ? 1u : 0u));
    }
}
