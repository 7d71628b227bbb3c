/* handler.h - what a route calls, and the task that a handler keeps while its answer is made.
 *
 * A handler answers in begin, or creates a task there and suspends the request; each resume then
 * calls it again. A task may outlive its request: it is held by the request, by the watch over the
 * client's socket, by work on libuv's pool and by whatever its handler holds it for (a running job,
 * a timer), and is freed when the last of them lets go. Then its log line is written. Loop thread,
 * but for the work of task_work. Knows no handler by name.
 */
#pragma once

#include "server/http/headers.h"
#include "server/log.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct request;
struct service;
struct task;
struct trace_record;

struct handler {
    /* The request is whole. What begin and resume return is libmicrohttpd's: MHD_NO closes the
     * connection. */
    enum MHD_Result (*begin)(struct request *r);
    /* The rest: NULL where there is nothing to do, and all of it where begin always answers. */
    enum MHD_Result (*resume)(struct request *r, struct task *task); /* after request_resume */
    void (*left)(
        struct task *task);         /* the client has gone, or is sent away; the request is there */
    void (*end)(struct task *task); /* the request has ended, answered or not */
    void (*free)(struct task *task); /* every holder has let go; may complete task->line
                                         and task->spans */
};

struct task { /* the first member of a handler's own state */
    struct service *service;
    const struct handler *handler;
    struct request *request; /* NULL once it has ended */
    char *body;              /* owned; task_drop_body frees it sooner */
    size_t n_body, body_room;
    bool left; /* the client has gone: nothing is to be sent any more */
    char id[REQUEST_ID_MAX + 1];
    struct log_request line;    /* written when the task is freed */
    struct trace_record *spans; /* of its request, once that has ended; sent likewise; owned; NULL:
                                   none */

    unsigned n_holds;
    bool working; /* on libuv's pool */
    uv_work_t pool;
    void (*work)(struct task *task);
    void (*then)(struct task *task);
    uv_poll_t watch; /* the socket's end */
    bool watching;   /* the handle is open */
};

/* A zeroed state of `bytes` bytes that begins with a struct task, for a request that has none yet;
 * it takes the request's body over. NULL: no memory. */
void *task_create(struct request *r, size_t bytes);
void task_hold(struct task *task);
void task_release(struct task *task);

/* Frees the body's memory for other requests. Not while work() reads it. */
void task_drop_body(struct task *task);

/* Runs work on libuv's pool, then `then` on the loop thread, or where that is NULL resumes the
 * request. False: the pool takes nothing, and work was done here; `then` is the caller's affair. */
bool task_work(struct task *task, void (*work)(struct task *task), void (*then)(struct task *task));

/* Resumes its request, if it has one, and drives the loop. Not from a libmicrohttpd callback. */
void task_wake(struct task *task);
/* Sends the client away: cuts its connection, and resumes the request so that it ends. The caller
 * drives the loop. */
void task_leave(struct task *task);
/* Its request is being suspended: from the first time on, the client's going is noticed. */
void task_watch(struct task *task);
/* The request has ended: called once, by request_end. Takes the record over; NULL: none. */
void task_end(struct task *task, const struct log_request *line, struct trace_record *spans);
