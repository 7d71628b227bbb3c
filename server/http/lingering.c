/* lingering.c - libuv's handles on sockets that are being left. Loop thread. */
#include "server/http/lingering.h"

#include "server/http/transport.h"

#include <errno.h>
#include <stdlib.h>

/* Read in a row before other events have their turn. */
enum { READ_BYTES = 64 << 10, READ_ROUNDS = 16 };

struct lingerer {
    uv_poll_t poll;
    struct lingering *lingering;
    int fd; /* owned */
    TAILQ_ENTRY(lingerer) in_all;
    size_t n_dropped, n_seen; /* bytes; at the last beat */
    uint64_t begun_ms, moved_ms;
};

/* Drops what is there. False: nothing more will come, or more than is taken. */
static bool drop(int fd, size_t *n_dropped)
{
    char bytes[READ_BYTES];
    ssize_t n = 1;
    for (int i = 0; i < READ_ROUNDS && n > 0; i++) {
        n = transport_read(fd, bytes, sizeof bytes);
        *n_dropped += n > 0 ? (size_t)n : 0;
    }
    return *n_dropped <= LINGER_BYTES && (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void end(struct lingerer *one)
{
    struct lingering *lingering = one->lingering;
    TAILQ_REMOVE(&lingering->all, one, in_all);
    uv_close((uv_handle_t *)&one->poll, on_closed);
    transport_close(one->fd);
    lingering->ended(lingering->ctx);
}

static void on_bytes(uv_poll_t *poll, int status, int events)
{
    struct lingerer *one = poll->data;
    (void)events;
    if (status != 0 || !drop(one->fd, &one->n_dropped))
        end(one);
}

void lingering_init(struct lingering *lingering, uv_loop_t *loop, void (*ended)(void *ctx),
                    void *ctx)
{
    lingering->loop = loop;
    TAILQ_INIT(&lingering->all);
    lingering->ended = ended;
    lingering->ctx = ctx;
}

bool lingering_take(struct lingering *lingering, int fd, uint64_t now_ms)
{
    struct lingerer *one = NULL;
    size_t n_dropped = 0;
    int kept = -1;
    if (lingering->loop == NULL)
        return false;
    transport_finish(fd);
    if (!drop(fd, &n_dropped))
        return false;
    one = calloc(1, sizeof *one);
    kept = one != NULL ? transport_duplicate(fd) : -1;
    if (kept < 0 || uv_poll_init(lingering->loop, &one->poll, kept) != 0)
        goto fail;
    one->lingering = lingering;
    one->fd = kept;
    one->n_dropped = n_dropped;
    one->begun_ms = one->moved_ms = now_ms;
    one->poll.data = one;
    TAILQ_INSERT_TAIL(&lingering->all, one, in_all);
    if (uv_poll_start(&one->poll, UV_READABLE, on_bytes) != 0)
        one->begun_ms = 0; /* the next beat closes it */
    return true;
fail:
    transport_close(kept);
    free(one);
    return false;
}

void lingering_beat(struct lingering *lingering, uint64_t now_ms)
{
    if (lingering->loop == NULL)
        return;
    struct lingerer *next;
    for (struct lingerer *one = TAILQ_FIRST(&lingering->all); one != NULL; one = next) {
        next = TAILQ_NEXT(one, in_all);
        if (one->n_dropped != one->n_seen) {
            one->n_seen = one->n_dropped;
            one->moved_ms = now_ms;
        }
        if (now_ms - one->moved_ms > LINGER_SILENCE_MS || now_ms - one->begun_ms > LINGER_TOTAL_MS)
            end(one);
    }
}

bool lingering_give_way(struct lingering *lingering)
{
    struct lingerer *oldest = lingering->loop != NULL ? TAILQ_FIRST(&lingering->all) : NULL;
    if (oldest != NULL)
        end(oldest);
    return oldest != NULL;
}

void lingering_close(struct lingering *lingering)
{
    while (lingering_give_way(lingering))
        continue;
    lingering->loop = NULL;
}
