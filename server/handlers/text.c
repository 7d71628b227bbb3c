/* text.c - the handlers of /tokenize and /detokenize. Loop thread, but for what text_run calls,
 * which may be on the pool. */
#include "server/handlers/text.h"

#include "server/service.h"

#include <stdlib.h>

enum { INLINE_BODY = 4096 }; /* bytes of a body that are worked on at once, on the loop thread */

struct text_task {
    uv_work_t work;
    struct request *request; /* it waits: it is suspended until the work is done */
    enum status (*run)(struct text_task *task);
    bool done;
    enum status status;
    struct error error;
    char *answer; /* owned until it is sent */
    size_t n_answer;
};

static enum status run_tokenize(struct text_task *task)
{
    const struct request *r = task->request;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum status status = request_tokenize(r->body, r->n_body, r->service->model.tokenizer,
                                          &r->service->limits, &ids, &n_ids, &task->error);
    if (status != STATUS_OK)
        return status;
    size_t room = reply_tokenize_bound(n_ids);
    task->answer = malloc(room);
    if (task->answer != NULL)
        task->n_answer = reply_tokenize(ids, n_ids, task->answer, room);
    free(ids);
    return task->answer != NULL ? STATUS_OK : error_no_memory(&task->error, room, "the answer");
}

static enum status run_detokenize(struct text_task *task)
{
    const struct request *r = task->request;
    char *text = NULL;
    size_t n_text = 0;
    enum status status = request_detokenize(r->body, r->n_body, r->service->model.tokenizer,
                                            &r->service->limits, &text, &n_text, &task->error);
    if (status != STATUS_OK)
        return status;
    size_t room = reply_detokenize_bound(n_text);
    task->answer = malloc(room);
    if (task->answer != NULL)
        task->n_answer = reply_detokenize(text, n_text, task->answer, room);
    free(text);
    return task->answer != NULL ? STATUS_OK : error_no_memory(&task->error, room, "the answer");
}

static void on_work(uv_work_t *work)
{
    struct text_task *task = work->data;
    task->status = task->run(task);
}

static void on_worked(uv_work_t *work, int status)
{
    struct text_task *task = work->data;
    (void)status; /* never cancelled */
    task->done = true;
    request_resume(task->request);
    loop_drive(&task->request->service->loop);
}

static enum MHD_Result answer(struct request *r, struct text_task *task)
{
    enum status status = task->status;
    struct error error = task->error;
    char *body = task->answer;
    size_t n_body = task->n_answer;
    task->answer = NULL;
    if (status != STATUS_OK)
        return request_refuse(r, errors_of_status(status), &error, 0);
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/json",
                                              .body = body,
                                              .n_body = n_body,
                                              .memory = BODY_OWNED});
}

static enum MHD_Result handle(struct request *r, enum status (*run)(struct text_task *task))
{
    struct text_task *task = r->task;
    if (task == NULL) {
        task = calloc(1, sizeof *task);
        if (task == NULL)
            return MHD_NO;
        task->work.data = task;
        task->request = r;
        task->run = run;
        r->task = task;
        if (r->n_body <= INLINE_BODY ||
            uv_queue_work(&r->service->loop.uv, &task->work, on_work, on_worked) != 0) {
            on_work(&task->work);
            task->done = true;
        }
    }
    if (task->done)
        return answer(r, task);
    request_suspend(r);
    return MHD_YES;
}

enum MHD_Result text_tokenize(struct request *r)
{
    return handle(r, run_tokenize);
}

enum MHD_Result text_detokenize(struct request *r)
{
    return handle(r, run_detokenize);
}

void text_end(struct text_task *task)
{
    if (task != NULL)
        free(task->answer);
    free(task);
}
