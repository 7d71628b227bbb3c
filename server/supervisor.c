/* supervisor.c - sd_notify's protocol over a datagram socket. Loop thread. */
#include "server/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A start that goes on is given so much more time with each beat. */
enum { START_EXTENSION_S = 60 };

/* --- messages --- */

static bool send_now(const struct supervisor *s, const char *text)
{
    ssize_t n = sendto(s->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                       (const struct sockaddr *)&s->address, s->n_address);
    return n >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != EINTR);
}

/* A newer message takes the place of one that still waits. */
static void tell(struct supervisor *s, const char *text)
{
    if (!s->open)
        return;
    if (send_now(s, text))
        s->waiting[0] = '\0';
    else
        snprintf(s->waiting, sizeof s->waiting, "%s", text);
}

static void keep_status(struct supervisor *s, const char *status)
{
    snprintf(s->status, sizeof s->status, "%s", status);
}

void supervisor_ready(struct supervisor *s, const char *status)
{
    char text[SUPERVISOR_TEXT_MAX];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%.200s", status);
    keep_status(s, status);
    tell(s, text);
}

void supervisor_reloading(struct supervisor *s)
{
    char text[SUPERVISOR_TEXT_MAX];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    tell(s, text);
}

void supervisor_stopping(struct supervisor *s, const char *status, uint64_t most_ms)
{
    char text[SUPERVISOR_TEXT_MAX];
    snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=%.150s",
             (unsigned long long)most_ms * 1000, status);
    keep_status(s, status);
    tell(s, text);
}

void supervisor_beat(struct supervisor *s, const char *status, bool alive, bool starting)
{
    char text[SUPERVISOR_TEXT_MAX] = "";
    if (!s->open)
        return;
    if (s->waiting[0] != '\0') {
        snprintf(text, sizeof text, "%s", s->waiting);
        tell(s, text);
        if (s->waiting[0] != '\0') /* what is newer comes after it */
            return;
    }
    bool changed = strcmp(s->status, status) != 0;
    int n =
        snprintf(text, sizeof text, "%s%s%.150s", alive && s->watchdog_ms > 0 ? "WATCHDOG=1\n" : "",
                 changed ? "STATUS=" : "", changed ? status : "");
    if (starting && n > 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, "%sEXTEND_TIMEOUT_USEC=%d000000",
                 changed ? "\n" : "", START_EXTENSION_S);
    if (text[0] != '\0' && send_now(s, text)) /* the next beat says it again */
        keep_status(s, status);
}

/* --- from the environment --- */

/* Microseconds that are meant for this process; 0: none. */
static uint64_t read_watchdog(void)
{
    const char *pid = getenv("WATCHDOG_PID"), *usec = getenv("WATCHDOG_USEC");
    char *end;
    if (usec == NULL || usec[0] < '0' || usec[0] > '9')
        return 0;
    if (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid())
        return 0;
    errno = 0;
    unsigned long long value = strtoull(usec, &end, 10);
    return errno == 0 && *end == '\0' ? value : 0;
}

/* A path, or the name of an abstract socket after an "@". */
static bool read_address(struct supervisor *s, const char *name)
{
    size_t n = name != NULL ? strlen(name) : 0;
    if (n < 2 || (name[0] != '/' && name[0] != '@') || n >= sizeof s->address.sun_path)
        return false;
    s->address.sun_family = AF_UNIX;
    memcpy(s->address.sun_path, name, n + 1);
    bool abstract = name[0] == '@';
    if (abstract)
        s->address.sun_path[0] = '\0';
    s->n_address = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (abstract ? 0 : 1));
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct supervisor *s = timer->data;
    s->beat(s->ctx);
}

void supervisor_init(struct supervisor *s, uv_loop_t *loop, void (*beat)(void *ctx), void *ctx)
{
    *s = (struct supervisor){.beat = beat, .ctx = ctx};
    if (!read_address(s, getenv("NOTIFY_SOCKET")))
        return;
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s->open = s->fd >= 0;
    if (!s->open)
        return;
    uint64_t watchdog_us = read_watchdog();
    s->watchdog_ms = watchdog_us > 0 && watchdog_us < 1000 ? 1 : watchdog_us / 1000;
    uint64_t period_ms = SUPERVISOR_BEAT_MS;
    if (s->watchdog_ms > 0 && s->watchdog_ms / 2 < period_ms)
        period_ms = s->watchdog_ms < 2 ? 1 : s->watchdog_ms / 2;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, on_timer, period_ms, period_ms);
}

void supervisor_close(struct supervisor *s)
{
    if (s->open)
        close(s->fd);
    s->open = false;
}
