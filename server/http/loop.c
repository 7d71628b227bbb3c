/* loop.c - libuv's handles around MHD_run. Loop thread. */
#include "server/http/loop.h"

#include <signal.h>

/* Rounds of one drive. More would starve the other handles under load; what is left gets a timer of
 * 0 ms. */
enum { DRIVE_ROUNDS = 4 };

/* While the loop beats, it looks at the clock at least every LOOP_BEAT_MS. A gap of many beats is
 * time in which the process did not run (SIGSTOP, a frozen container, a suspended machine): clients
 * could not be served in it, and no time limit counts it. */
enum { PAUSE_MS = 4 * LOOP_BEAT_MS };

void loop_look_at_clock(struct loop *loop)
{
    uv_update_time(&loop->uv); /* the process may have been stopped since the loop last did */
    uint64_t now_ms = uv_now(&loop->uv), gap_ms = now_ms - loop->seen_ms;
    loop->seen_ms = now_ms;
    if (!loop->beating || gap_ms <= PAUSE_MS)
        return;
    loop->lost_ms += gap_ms - LOOP_BEAT_MS;
    loop->events->paused(loop->ctx);
}

static void on_due(uv_timer_t *timer)
{
    loop_drive(timer->data);
}

static void on_epoll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    loop_drive(poll->data);
}

static void on_wake(uv_async_t *async)
{
    struct loop *loop = async->data;
    loop->events->wake(loop->ctx);
}

static void on_beat(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    loop_drive(loop); /* what waits is read before anything is judged by the clock */
    loop->events->beat(loop->ctx);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;
    loop->events->signal(loop->ctx, number);
}

static int start_signals(struct loop *loop)
{
    static const int numbers[LOOP_SIGNALS] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGXCPU};
    int code = 0;
    for (size_t i = 0; i < LOOP_SIGNALS && code == 0; i++) {
        uv_signal_init(&loop->uv, &loop->signals[i]);
        loop->signals[i].data = loop;
        code = uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
    }
    return code;
}

enum status loop_init(struct loop *loop, const struct loop_events *events, void *ctx,
                      struct error *err)
{
    *loop = (struct loop){.events = events, .ctx = ctx};
    int code = uv_loop_init(&loop->uv);
    if (code != 0)
        return error_errno(err, -code, "the event loop");
    loop->open = true;
    uv_timer_init(&loop->uv, &loop->due);
    uv_timer_init(&loop->uv, &loop->beat);
    code = uv_async_init(&loop->uv, &loop->wake, on_wake);
    loop->due.data = loop->beat.data = loop->wake.data = loop;
    if (code == 0)
        code = start_signals(loop);
    return code == 0 ? STATUS_OK : error_errno(err, -code, "the event loop");
}

enum status loop_attach(struct loop *loop, struct MHD_Daemon *daemon, struct error *err)
{
    int fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int code = uv_poll_init(&loop->uv, &loop->epoll, fd);
    if (code != 0)
        return error_errno(err, -code, "the event loop");
    loop->epoll.data = loop;
    loop->daemon = daemon;
    uv_poll_start(&loop->epoll, UV_READABLE, on_epoll);
    loop_drive(loop);
    return STATUS_OK;
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

void loop_drive(struct loop *loop)
{
    if (loop->daemon == NULL || loop->driving)
        return;
    loop->driving = true;
    loop_look_at_clock(loop);
    bool more = true;
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    for (int round = 0; round < DRIVE_ROUNDS && more; round++) {
        loop->again = false;
        MHD_run(loop->daemon);
        /* Readiness that libmicrohttpd has already taken from its epoll set shows nowhere but in a
         * timeout of 0. */
        more = loop->again || (MHD_get_timeout(loop->daemon, &wait_ms) == MHD_YES && wait_ms == 0);
    }
    if (more)
        uv_timer_start(&loop->due, on_due, 0, 0);
    else if (MHD_get_timeout(loop->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&loop->due, on_due, wait_ms, 0);
    else
        uv_timer_stop(&loop->due);
    loop->driving = false;
    loop->events->settled(loop->ctx);
}

void loop_again(struct loop *loop)
{
    loop->again = true;
}

void loop_beat(struct loop *loop, bool on)
{
    loop->beating = on;
    loop->seen_ms = uv_now(&loop->uv);
    if (on)
        uv_timer_start(&loop->beat, on_beat, LOOP_BEAT_MS, LOOP_BEAT_MS);
    else
        uv_timer_stop(&loop->beat);
}

void loop_wake(struct loop *loop)
{
    uv_async_send(&loop->wake);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_close(struct loop *loop)
{
    loop->daemon = NULL;
    if (!loop->open)
        return;
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
}
