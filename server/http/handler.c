/* handler.c - a task's life: who holds it, pool work, the watch over its client. Loop thread. */
#include "server/http/handler.h"

#include "server/http/request.h"
#include "server/service.h"
#include "server/trace/exporter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void task_hold(struct task *task)
{
    task->n_holds++;
}

void task_release(struct task *task)
{
    assert(task->n_holds > 0);
    if (--task->n_holds > 0)
        return;
    assert(task->request == NULL && !task->working && !task->watching);
    struct service *service = task->service;
    task->line.id = task->id;
    if (task->handler->free != NULL)
        task->handler->free(task);
    log_access(&task->line);
    if (task->spans != NULL)
        trace_exporter_put(service->traces, task->spans);
    task_drop_body(task);
    free(task);
    service->http.n_tasks--;
    service_settled(service);
}

void task_drop_body(struct task *task)
{
    free(task->body);
    task->service->http.body_bytes -= task->body_room;
    task->body = NULL;
    task->n_body = task->body_room = 0;
}

void task_wake(struct task *task)
{
    if (task->request == NULL)
        return;
    request_resume(task->request);
    loop_drive(&task->service->loop);
}

void task_leave(struct task *task)
{
    if (task->left || task->request == NULL)
        return;
    task->left = true;
    if (task->handler->left != NULL)
        task->handler->left(task);
    /* With its socket shut down the library finds the end by itself, wherever it is; a reader that
     * reported an error would leave the connection's place taken. */
    conn_cut(task->request->conn);
    request_resume(task->request);
}

/* --- the watch --- */

static void on_watch(uv_poll_t *watch, int status, int events)
{
    struct task *task = watch->data;
    (void)status; /* a reset comes as an error: it is an end as well */
    (void)events;
    uv_poll_stop(watch);
    /* When all is computed, what is left may still be read. */
    if (task->request == NULL || task->request->counted)
        return;
    task_leave(task);
    loop_drive(&task->service->loop);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct task *task = handle->data;
    task->watching = false;
    task_release(task);
}

void *task_create(struct request *r, size_t bytes)
{
    struct task *task = calloc(1, bytes);
    assert(r->task == NULL && bytes >= sizeof *task);
    if (task == NULL)
        return NULL;
    task->service = r->service;
    task->handler = r->route->handler;
    task->request = r;
    task->body = r->body;
    task->n_body = r->n_body;
    task->body_room = r->body_room;
    r->body = NULL;
    r->n_body = r->body_room = 0;
    memcpy(task->id, r->id, sizeof task->id);
    task->n_holds = 1; /* the request's */
    task->pool.data = task->watch.data = task;
    task->service->http.n_tasks++;
    r->task = task;
    return task;
}

void task_watch(struct task *task)
{
    if (task->watching || task->left || task->request == NULL ||
        uv_poll_init(&task->service->loop.uv, &task->watch, task->request->conn->fd) != 0)
        return;
    task->watching = true;
    task_hold(task);
    uv_poll_start(&task->watch, UV_DISCONNECT, on_watch);
}

void task_end(struct task *task, const struct log_request *line, struct trace_record *spans)
{
    task->request = NULL;
    task->line = *line;
    task->spans = spans;
    task->left = true; /* work still under way for it is in vain */
    if (task->handler->end != NULL)
        task->handler->end(task);
    if (task->watching) /* before the library closes the descriptor */
        uv_close((uv_handle_t *)&task->watch, on_watch_closed);
    task_release(task);
}

/* --- work on the pool --- */

static void on_pool(uv_work_t *pool)
{
    struct task *task = pool->data;
    task->work(task);
}

static void on_pool_done(uv_work_t *pool, int status)
{
    struct task *task = pool->data;
    (void)status; /* never cancelled */
    task->working = false;
    if (task->then != NULL)
        task->then(task);
    else
        task_wake(task);
    task_release(task);
}

bool task_work(struct task *task, void (*work)(struct task *task), void (*then)(struct task *task))
{
    assert(!task->working);
    task->work = work;
    task->then = then;
    task->working = uv_queue_work(&task->service->loop.uv, &task->pool, on_pool, on_pool_done) == 0;
    if (task->working)
        task_hold(task);
    else
        work(task);
    return task->working;
}
