/* conn.c - a connection's phases and its end. Loop thread. */
#include "server/http/conn.h"

#include "server/http/http.h"
#include "server/http/transport.h"
#include "server/service.h"

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
    if (!conn->cut)
        conn->service->http.n_cut++;
    conn->cut = true;
    transport_cut(conn->fd);
}

void conn_ends(struct conn *conn)
{
    conn->ending = true;
    MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                              conn->service->http.timeout + 1);
}

void conn_answer_last(struct conn *conn, const char *bytes, size_t n)
{
    transport_send(conn->fd, bytes, n);
    transport_finish(conn->fd);
    guard_end(&conn->guard);
    conn_enter(conn, CONN_LEAVING);
}

size_t conn_n_live(const struct http *http)
{
    return http->n_conns - http->n_cut;
}

bool conn_is_over(const struct conn *conn)
{
    const struct http *http = &conn->service->http;
    return conn->reserve && conn_n_live(http) > http->limit;
}
