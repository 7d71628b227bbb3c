/* lingering.h - sockets whose connection the service has ended, until their client has ended it
 * too.
 *
 * A socket that is closed while bytes wait in it, or before its client has sent all it wants to,
 * resets the connection: the client fails in the middle of its request and may never see the
 * answer that told it why. So the answer is followed by this side's end, and what still comes is
 * read and dropped: until the client's end, a silence, a total time or an amount of bytes. A socket
 * here gives way when a new client needs its place. Loop thread. Knows nothing of HTTP.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

enum {
    LINGER_SILENCE_MS = 5000, /* without a byte */
    LINGER_TOTAL_MS = 30000,
    LINGER_BYTES = 64 << 20,
};

struct lingerer;

struct lingering { /* zeroed: takes nothing */
    uv_loop_t *loop;
    TAILQ_HEAD(, lingerer) all; /* the oldest first */
    void (*ended)(void *ctx);   /* one of them is closed */
    void *ctx;
};

void lingering_init(struct lingering *lingering, uv_loop_t *loop, void (*ended)(void *ctx),
                    void *ctx);
/* Keeps a socket (a duplicate of fd, which stays the caller's) open and tells its client that no
 * more will be sent. False: there is nothing to wait for, or no means to. */
bool lingering_take(struct lingering *lingering, int fd, uint64_t now_ms);
/* Closes those whose time is over. */
void lingering_beat(struct lingering *lingering, uint64_t now_ms);
/* Closes the oldest. False: there is none. */
bool lingering_give_way(struct lingering *lingering);
/* Closes all, and takes no more; the loop frees them as it ends. */
void lingering_close(struct lingering *lingering);
