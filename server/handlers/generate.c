/* generate.c - a generation's life. Loop thread; decode_body also runs on libuv's pool. */
#include "server/handlers/generate.h"

#include "base/clock.h"
#include "server/handlers/stream.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    INLINE_BODY = 4096, /* bytes that are decoded at once, on the loop thread */
    SILENCE_MS = 15000, /* before a comment is sent */
};

/* --- its end --- */

static bool is_submitted(const struct stream *s)
{
    return s->state >= STREAM_WAITING;
}

static void fill_log_line(struct stream *s)
{
    const struct generation *g = &s->generation;
    const struct job *job = g->choices[0].job; /* whose times and end stand for all */
    struct log_request *line = &s->task.line;
    struct generation_times times;
    struct generation_usage usage = generation_usage(g);
    generation_times(job, &times);
    line->generation = true;
    line->finish = generation_finish_name(job->finish);
    line->prompt_tokens = usage.prompt;
    line->cached_tokens = usage.cached;
    line->completion_tokens = usage.completion;
    line->queue_ms = times.queue;
    line->prefill_ms = times.prefill;
    line->decode_ms = times.decode;
}

static void detach_all(struct stream *s)
{
    for (size_t i = 0; i < s->generation.n_choices; i++)
        jobs_detach(&s->task.service->jobs, &s->readers[i].base);
}

static void leave_all(struct stream *s)
{
    for (size_t i = 0; s->readers != NULL && i < s->generation.n_choices; i++)
        jobs_leave(&s->task.service->jobs, &s->readers[i].base);
}

/* Its request has ended, and its jobs are final. */
static void on_free(struct task *task)
{
    struct stream *s = (struct stream *)task;
    struct service *service = task->service;
    if (task->spans != NULL)
        stream_trace(s);
    if (is_submitted(s)) {
        fill_log_line(s);
        detach_all(s);
    }
    generation_free(&s->generation, !is_submitted(s));
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        service->streams = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    free(s->readers);
    free(s->spill);
}

/* The client has left: its work must not go on. */
static void on_left(struct task *task)
{
    struct stream *s = (struct stream *)task;
    if (is_submitted(s))
        leave_all(s);
    else
        task->service->metrics.left_before_queue++;
}

/* Its request has ended: with its answer, or in a way that only libmicrohttpd has seen. */
static void on_end(struct task *task)
{
    leave_all((struct stream *)task);
}

/* --- its beginning --- */

static void decode_body(struct task *task) /* on the pool, where it takes long */
{
    struct stream *s = (struct stream *)task;
    const struct service *service = task->service;
    const struct generation_source source = {.body = task->body,
                                             .n_body = task->n_body,
                                             .plain = s->plain,
                                             .tokenizer = service->model.tokenizer,
                                             .limits = &service->limits,
                                             .chat = service->chat,
                                             .rank_template = service->model.rank_template,
                                             .shaping = &service->shaping,
                                             .must_not_wait = s->here};
    struct generation *g = &s->generation;
    if (service->limits.vectors_alone && !g->dialect->vectors)
        s->status = error_set(&s->error, STATUS_UNABLE, "%s", errors_writes_nothing);
    else
        s->status = g->dialect->decode(g, &source, &s->error);
    if (s->status == STATUS_OK && g->n_choices == 1)
        s->status = engine_resume(service->engine, g->choices[0].job, &s->error);
    if (s->status != STATUS_OK)
        generation_free(g, true);
}

static struct stream *create(struct request *r)
{
    struct stream *s = task_create(r, sizeof *s);
    if (s == NULL)
        return NULL;
    struct service *service = r->service;
    s->plain = headers_plain_text(&r->headers);
    s->generation = (struct generation){.dialect = r->route->dialect,
                                        .id = s->task.id,
                                        .model = service->names.list[0],
                                        .created = (uint64_t)time(NULL),
                                        .tokenizer = service->model.tokenizer};
    s->next = service->streams;
    if (s->next != NULL)
        s->next->prev = s;
    service->streams = s;
    return s;
}

/* The part of the job's profile that its steps do not tell. */
static void begin_profile(struct stream *s)
{
    const struct service *service = s->task.service;
    const struct machine *machine = &service->machine;
    s->profile = (struct generation_profile){.model = service->model.model,
                                             .kv_type = engine_plan(service->engine)->kv_type,
                                             .measuring_ns = s->measuring_ns,
                                             .tokenize_ns = s->generation.tokenize_ns};
    if (machine->known) {
        s->profile.limits = machine->limits;
        s->profile.limits.read_bytes_s = machine->limits.alone_bytes_s;
    }
    s->generation.measured = &s->profile;
}

static enum MHD_Result refuse(struct stream *s, uint64_t retry_ms)
{
    s->state = STREAM_REFUSED;
    return request_refuse(s->task.request, errors_of_status(s->status), &s->error, retry_ms);
}

/* The jobs' settings from their request. */
static void complete_jobs(struct stream *s)
{
    const struct request *r = s->task.request;
    struct generation *g = &s->generation;
    uint64_t seed = service_random(&r->service->random_seeds) >> 11; /* below 2^53 */
    for (size_t i = 0; i < g->n_choices; i++) {
        struct job *job = g->choices[i].job;
        job->salt = r->salt;
        job->arrived_ns = r->whole_ns + s->measuring_ns; /* which its profile tells apart */
        if (g->deadline_ms > 0 && g->deadline_ms < UINT64_MAX / 2000000)
            job->deadline_ns = r->whole_ns + g->deadline_ms * 1000000;
        if (!g->has_seed)
            job->sampling.seed = seed;
    }
}

static bool on_news(struct job_reader *reader);
static bool on_job_end(struct job_reader *reader);

/* Queues all jobs, or none of them. */
static enum status queue_jobs(struct stream *s, uint64_t *retry_ms)
{
    struct generation *g = &s->generation;
    size_t n = g->n_choices;
    struct job **list = malloc(n * sizeof *list);
    struct job_reader **readers = malloc(n * sizeof *readers);
    s->readers = calloc(n, sizeof *s->readers);
    enum status status = STATUS_OK;
    if (list == NULL || readers == NULL || s->readers == NULL)
        status = error_no_memory(&s->error, n * sizeof *s->readers, "a request's choices");
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        s->readers[i] =
            (struct choice_reader){{.news = on_news, .end = on_job_end}, s, &g->choices[i], 0};
        readers[i] = &s->readers[i].base;
        list[i] = g->choices[i].job;
    }
    if (status == STATUS_OK)
        status = jobs_submit(&s->task.service->jobs, list, readers, n, retry_ms, &s->error);
    if (status == STATUS_OK)
        s->n_running = n;
    free(list);
    free(readers);
    return status;
}

/* A stream that goes on begins when its job has come to where its client stands: until then, what
 * is wrong with it has a status. Not for longer than a client and proxies bear silence. */
static enum MHD_Result start_where_reached(struct stream *s)
{
    struct request *r = s->task.request;
    const bool ended = s->n_running == 0;
    struct error err;
    if (generation_reach(&s->generation) || s->comment)
        return stream_start(s);
    if (ended && stream_failed_job(&s->generation) != NULL)
        return stream_answer(s);
    if (ended)
        return request_refuse(r, errors_of_status(generation_unreached(&s->generation, &err)), &err,
                              0);
    request_suspend(r);
    return MHD_YES;
}

/* Queues the jobs, or answers why not. */
static enum MHD_Result submit(struct stream *s)
{
    struct request *r = s->task.request;
    struct service *service = r->service;
    uint64_t retry_ms = 0;
    if (s->generation.profile)
        begin_profile(s);
    complete_jobs(s);
    s->status = queue_jobs(s, &retry_ms);
    if (s->status == STATUS_OK) {
        task_hold(&s->task); /* until the jobs are final */
        s->state = STREAM_WAITING;
        s->moved_ms = loop_now_ms(&service->loop);
        r->seeded = !s->generation.dialect->vectors;
        r->seed = s->generation.choices[0].job->sampling.seed;
        if (s->generation.form != ANSWER_JSON)
            return start_where_reached(s);
        request_suspend(r);
        return MHD_YES;
    }
    if (s->status == STATUS_FULL || s->status == STATUS_TOO_LATE) {
        metrics_reject(&service->metrics,
                       s->status == STATUS_FULL ? REJECT_QUEUE_FULL : REJECT_DEADLINE);
        if (retry_ms == 0)
            retry_ms = 1;
    }
    return refuse(s, retry_ms);
}

/* It asks for no text: that it is served is the answer. */
static enum MHD_Result answer_nothing(struct stream *s)
{
    struct generation *g = &s->generation;
    s->state = STREAM_REFUSED;
    size_t room = g->dialect->whole_bound(g);
    char *body = malloc(room);
    if (body == NULL)
        return MHD_NO;
    return request_answer(s->task.request,
                          &(struct answer){.status = MHD_HTTP_OK,
                                           .type = g->dialect->types[ANSWER_JSON],
                                           .body = body,
                                           .n_body = g->dialect->whole(g, body, room),
                                           .memory = BODY_OWNED});
}

/* A request that wants a profile waits for the limits that it is held against, but never one with a
 * deadline. */
static enum MHD_Result measure_and_submit(struct stream *s)
{
    if (!s->generation.profile || s->generation.deadline_ms > 0 || machine_ready(s->task.service))
        return submit(s);
    s->state = STREAM_MEASURING;
    s->measuring_ns = clock_now_ns();
    request_suspend(s->task.request);
    return MHD_YES;
}

/* The fingerprints that it demands are those that are here. */
static enum MHD_Result prove(struct stream *s)
{
    const struct generation *g = &s->generation;
    const struct fingerprint *print = &s->task.service->fingerprint;
    const enum fingerprint_match match =
        fingerprint_match(print, g->wanted_model, g->wanted_arithmetic);
    if (match == FINGERPRINT_UNKNOWN && !print->failed) {
        s->state = STREAM_PROVING;
        request_suspend(s->task.request);
        return MHD_YES;
    }
    if (match == FINGERPRINT_SAME)
        return measure_and_submit(s);
    error_set_param(&s->error, STATUS_INVALID, "fingerprint",
                    match == FINGERPRINT_UNKNOWN
                        ? "the model's fingerprint cannot be told: its file cannot be read any more"
                        : "this server has another model, or computes otherwise, than the "
                          "fingerprint says: its own is in X-Model-Fingerprint");
    s->state = STREAM_REFUSED;
    return request_refuse(s->task.request, errors_of_refusal(REFUSAL_FINGERPRINT), &s->error, 0);
}

/* Its body is decoded. */
static enum MHD_Result go_on(struct stream *s)
{
    task_drop_body(&s->task);
    s->task.request->dialect = s->generation.dialect; /* the body may have chosen another */
    if (s->status != STATUS_OK)
        return refuse(s, 0);
    if (s->generation.ignored[0] != '\0')
        log_line(LOG_DEBUG, "request %s: unknown field '%s' ignored", s->task.id,
                 s->generation.ignored);
    const struct service *service = s->task.service;
    struct generation *g = &s->generation;
    if (names_refuse(&service->names, service->settings->strict_model, s->generation.asked_model,
                     &s->error)) {
        s->state = STREAM_REFUSED;
        return request_refuse(s->task.request, errors_of_refusal(REFUSAL_MODEL), &s->error, 0);
    }
    if (s->generation.n_choices == 0)
        return answer_nothing(s);
    g->form = g->dialect->form(g, s->task.request->headers.accept);
    if (g->dialect->resume != NULL)
        s->status = g->dialect->resume(g, s->task.request->headers.last_event_id, &s->error);
    return s->status == STATUS_OK ? prove(s) : refuse(s, 0);
}

static enum MHD_Result begin(struct request *r)
{
    struct stream *s = create(r);
    if (s == NULL)
        return MHD_NO;
    s->here = s->task.n_body <= INLINE_BODY && !s->generation.dialect->on_pool;
    if (s->here)
        decode_body(&s->task);
    bool done = s->here && !s->generation.postponed;
    s->here = s->generation.postponed = false;
    if (done || !task_work(&s->task, decode_body, NULL))
        return go_on(s);
    request_suspend(r);
    return MHD_YES;
}

static enum MHD_Result resume(struct request *r, struct task *task)
{
    struct stream *s = (struct stream *)task;
    if (s->state == STREAM_DECODING && !task->working)
        return go_on(s);
    if (s->state == STREAM_PROVING)
        return prove(s);
    if (s->state == STREAM_READY)
        return submit(s);
    if (s->state == STREAM_WAITING && s->generation.form != ANSWER_JSON)
        return start_where_reached(s);
    if (s->state == STREAM_WAITING && s->n_running == 0)
        return stream_answer(s);
    request_suspend(r);
    return MHD_YES;
}

const struct handler generate_handler = {
    .begin = begin, .resume = resume, .left = on_left, .end = on_end, .free = on_free};

/* --- all streams --- */

static bool is_waiting(const struct stream *s)
{
    return s->task.request != NULL && s->task.request->suspended;
}

static bool on_news(struct job_reader *base)
{
    const struct choice_reader *reader = (struct choice_reader *)base;
    struct stream *s = reader->stream;
    bool due = s->state == STREAM_SENDING && generation_has_news(reader->choice);
    due |= s->state == STREAM_WAITING && s->generation.resumes && generation_reach(&s->generation);
    if (!due || !is_waiting(s))
        return false;
    request_resume(s->task.request);
    return true;
}

static bool on_job_end(struct job_reader *base)
{
    struct choice_reader *reader = (struct choice_reader *)base;
    struct stream *s = reader->stream;
    reader->ended_ns = clock_now_ns();
    s->n_running--;
    bool resumes = is_waiting(s) && (s->n_running == 0 || s->state == STREAM_SENDING);
    if (resumes)
        request_resume(s->task.request);
    if (s->n_running == 0)
        task_release(&s->task);
    return resumes;
}

void streams_measured(struct service *service)
{
    bool any = false;
    for (struct stream *s = service->streams; s != NULL; s = s->next) {
        if (s->state != STREAM_MEASURING)
            continue;
        s->state = STREAM_READY;
        s->measuring_ns = clock_now_ns() - s->measuring_ns;
        if (s->task.request != NULL)
            request_resume(s->task.request);
        any = true;
    }
    if (any)
        loop_drive(&service->loop);
}

void streams_known(struct service *service)
{
    bool any = false;
    for (struct stream *s = service->streams; s != NULL; s = s->next) {
        if (s->state != STREAM_PROVING || s->task.request == NULL)
            continue;
        request_resume(s->task.request);
        any = true;
    }
    if (any)
        loop_drive(&service->loop);
}

bool streams_beat(struct service *service, uint64_t now_ms)
{
    uint64_t stall_ms = (uint64_t)service->settings->stall_seconds * 1000;
    bool any = false;
    for (struct stream *s = service->streams; s != NULL; s = s->next) {
        const bool sends =
            s->state == STREAM_SENDING || (s->state == STREAM_WAITING && s->generation.resumes);
        if (!sends || s->task.request == NULL || s->task.left)
            continue;
        uint64_t quiet_ms = now_ms - s->moved_ms;
        if (is_waiting(s) && s->generation.form == ANSWER_SSE &&
            s->generation.dialect->keep_alive != NULL && quiet_ms >= SILENCE_MS) {
            s->comment = true;
            request_resume(s->task.request);
            any = true;
        } else if (!is_waiting(s) && quiet_ms > stall_ms) {
            task_leave(&s->task);
            any = true;
        }
    }
    return any;
}

void streams_cut(struct service *service)
{
    for (struct stream *s = service->streams; s != NULL; s = s->next)
        task_leave(&s->task);
}
