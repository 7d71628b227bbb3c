/* accept.c - libuv's handles on the listening sockets. Loop thread. */
#include "server/http/accept.h"

#include <errno.h>

/* Clients taken in a row before other events have their turn. */
enum { ACCEPT_ROUNDS = 64 };
/* The system's lack of descriptors or memory ends without anything telling us. */
enum { RETRY_MS = 250 };

static void pause_all(struct acceptor *acceptor)
{
    for (size_t i = 0; i < acceptor->n; i++)
        uv_poll_stop(&acceptor->polls[i]);
    acceptor->paused = true;
}

static void on_retry(uv_timer_t *timer)
{
    acceptor_resume(timer->data);
}

static bool is_shortage(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

static void on_client(uv_poll_t *poll, int status, int events)
{
    struct acceptor *acceptor = poll->data;
    bool taken = false;
    uv_os_fd_t listening;
    (void)events;
    if (status != 0 || uv_fileno((const uv_handle_t *)poll, &listening) != 0)
        return;
    for (int i = 0; i < ACCEPT_ROUNDS && !acceptor->paused; i++) {
        struct sockaddr_storage address;
        socklen_t n = sizeof address;
        if (!acceptor->events->has_room(acceptor->ctx)) {
            pause_all(acceptor);
            break;
        }
        int fd = accept4(listening, (struct sockaddr *)&address, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            acceptor->events->take(acceptor->ctx, fd, (struct sockaddr *)&address, n);
            taken = true;
        } else if (is_shortage(errno)) {
            pause_all(acceptor);
            uv_timer_start(&acceptor->retry, on_retry, RETRY_MS, 0);
        } else if (errno == EAGAIN) {
            break;
        } /* else that client has left, or the network has a fault: the next one */
    }
    if (taken)
        acceptor->events->taken(acceptor->ctx);
}

void acceptor_resume(struct acceptor *acceptor)
{
    if (!acceptor->paused || acceptor->held)
        return;
    acceptor->paused = false;
    uv_timer_stop(&acceptor->retry);
    for (size_t i = 0; i < acceptor->n; i++)
        uv_poll_start(&acceptor->polls[i], UV_READABLE, on_client);
}

void acceptor_hold(struct acceptor *acceptor)
{
    acceptor->held = true;
    pause_all(acceptor);
}

void acceptor_release(struct acceptor *acceptor)
{
    acceptor->held = false;
    acceptor_resume(acceptor);
}

enum status acceptor_start(struct acceptor *acceptor, const struct listener *listener,
                           uv_loop_t *loop, const struct accept_events *events, void *ctx,
                           struct error *err)
{
    acceptor->events = events;
    acceptor->ctx = ctx;
    uv_timer_init(loop, &acceptor->retry);
    acceptor->retry.data = acceptor;
    for (size_t i = 0; i < listener->n; i++) {
        uv_poll_t *poll = &acceptor->polls[i];
        int code = uv_poll_init(loop, poll, listener->fds[i]);
        if (code == 0) {
            poll->data = acceptor;
            acceptor->n++;
            code = uv_poll_start(poll, UV_READABLE, on_client);
        }
        if (code != 0)
            return error_errno(err, -code, "the listening sockets");
    }
    return STATUS_OK;
}
