/* text.c - the handlers of /tokenize, /detokenize, /apply-template and counts of tokens. Loop
 * thread, but for work(), which may be on the pool. */
#include "server/handlers/text.h"

#include "api/dialect.h"
#include "api/native/native.h"
#include "server/service.h"

#include <assert.h>
#include <stdlib.h>

enum { INLINE_BODY = 4096 }; /* bytes of a body that are worked on at once, on the loop thread */

struct text_task {
    struct task task;
    enum status (*run)(struct text_task *text);
    const struct dialect *dialect; /* the route's; NULL: it has none of its own */
    enum status status;
    bool other_model; /* it names a model that is not served, and that matters */
    struct error error;
    char *answer; /* owned until it is sent */
    size_t n_answer;
};

static enum status run_tokenize(struct text_task *task)
{
    const struct service *service = task->task.service;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    bool pieces = false;
    const struct tokenizer *tokenizer = service->model.tokenizer;
    enum status status = native_tokenize(task->task.body, task->task.n_body, tokenizer,
                                         &service->limits, &ids, &n_ids, &pieces, &task->error);
    if (status != STATUS_OK)
        return status;
    size_t room = pieces ? native_pieces_bound(tokenizer, ids, n_ids) : native_tokens_bound(n_ids);
    task->answer = malloc(room);
    if (task->answer != NULL)
        task->n_answer = pieces ? native_pieces(tokenizer, ids, n_ids, task->answer, room)
                                : native_tokens(ids, n_ids, task->answer, room);
    free(ids);
    return task->answer != NULL ? STATUS_OK : error_no_memory(&task->error, room, "the answer");
}

static enum status run_detokenize(struct text_task *task)
{
    const struct service *service = task->task.service;
    char *text = NULL;
    size_t n_text = 0;
    enum status status =
        native_detokenize(task->task.body, task->task.n_body, service->model.tokenizer,
                          &service->limits, &text, &n_text, &task->error);
    if (status != STATUS_OK)
        return status;
    size_t room = native_text_bound(n_text);
    task->answer = malloc(room);
    if (task->answer != NULL)
        task->n_answer = native_text(text, n_text, task->answer, room);
    free(text);
    return task->answer != NULL ? STATUS_OK : error_no_memory(&task->error, room, "the answer");
}

static enum status run_count(struct text_task *task)
{
    const struct service *service = task->task.service;
    assert(task->dialect != NULL); /* its route has one */
    struct generation g = {.dialect = task->dialect};
    const struct generation_source source = {.body = task->task.body,
                                             .n_body = task->task.n_body,
                                             .tokenizer = service->model.tokenizer,
                                             .limits = &service->limits,
                                             .chat = service->chat};
    enum status status = task->dialect->decode(&g, &source, &task->error);
    if (status != STATUS_OK)
        return status;
    task->other_model =
        names_refuse(&service->names, service->settings->strict_model, g.asked_model, &task->error);
    size_t room = task->dialect->whole_bound(&g);
    task->answer = malloc(room);
    if (task->answer != NULL)
        task->n_answer = task->dialect->whole(&g, task->answer, room);
    generation_free(&g, true);
    return task->answer != NULL ? STATUS_OK : error_no_memory(&task->error, room, "the answer");
}

static enum status run_apply_template(struct text_task *task)
{
    const struct service *service = task->task.service;
    char *text = NULL;
    size_t n_text = 0;
    enum status status = native_apply_template(task->task.body, task->task.n_body, service->chat,
                                               &service->limits, &text, &n_text, &task->error);
    if (status != STATUS_OK)
        return status;
    size_t room = native_prompt_bound(n_text);
    task->answer = malloc(room);
    if (task->answer != NULL)
        task->n_answer = native_prompt(text, n_text, task->answer, room);
    free(text);
    return task->answer != NULL ? STATUS_OK : error_no_memory(&task->error, room, "the answer");
}

static void work(struct task *task)
{
    struct text_task *text = (struct text_task *)task;
    text->status = text->run(text);
}

static enum MHD_Result answer(struct request *r, struct task *task)
{
    struct text_task *text = (struct text_task *)task;
    if (task->working) {
        request_suspend(r);
        return MHD_YES;
    }
    task_drop_body(task);
    if (text->other_model)
        return request_refuse(r, errors_of_refusal(REFUSAL_MODEL), &text->error, 0);
    char *body = text->answer;
    text->answer = NULL;
    if (text->status != STATUS_OK)
        return request_refuse(r, errors_of_status(text->status), &text->error, 0);
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/json",
                                              .body = body,
                                              .n_body = text->n_answer,
                                              .memory = BODY_OWNED});
}

/* on_pool: always, however short the body. */
static enum MHD_Result begin(struct request *r, enum status (*run)(struct text_task *text),
                             bool on_pool)
{
    struct text_task *text = task_create(r, sizeof *text);
    if (text == NULL)
        return MHD_NO;
    text->run = run;
    text->dialect = r->route->dialect;
    bool here = !on_pool && (text->dialect == NULL || !text->dialect->on_pool);
    if (here && text->task.n_body <= INLINE_BODY)
        work(&text->task);
    else
        task_work(&text->task, work, NULL);
    return answer(r, &text->task);
}

static enum MHD_Result begin_tokenize(struct request *r)
{
    return begin(r, run_tokenize, false);
}

static enum MHD_Result begin_detokenize(struct request *r)
{
    return begin(r, run_detokenize, false);
}

static enum MHD_Result begin_apply_template(struct request *r)
{
    return begin(r, run_apply_template, true);
}

static enum MHD_Result begin_count(struct request *r)
{
    return begin(r, run_count, false);
}

static void on_free(struct task *task)
{
    free(((struct text_task *)task)->answer);
}

const struct handler text_tokenize = {.begin = begin_tokenize, .resume = answer, .free = on_free};
const struct handler text_detokenize = {
    .begin = begin_detokenize, .resume = answer, .free = on_free};
const struct handler text_count = {.begin = begin_count, .resume = answer, .free = on_free};
const struct handler text_apply_template = {
    .begin = begin_apply_template, .resume = answer, .free = on_free};
