/* generate.c - a generation's life. Loop thread; decode_body also runs on libuv's pool. */
#include "server/handlers/generate.h"

#include "api/dialect.h"
#include "base/append.h"
#include "base/clock.h"
#include "server/service.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    INLINE_BODY = 4096,  /* bytes that are decoded at once, on the loop thread */
    SILENCE_MS = 15000,  /* before a comment is sent */
    READER_BLOCK = 4096, /* the library's buffer for HTTP/1.0; chunks have the connection's */
};

enum stream_state {                   /* in this order */
                    STREAM_DECODING,  /* its body, here or on the pool */
                    STREAM_MEASURING, /* waits for the machine's limits, for its profile */
                    STREAM_READY,     /* to be queued */
                    STREAM_REFUSED,   /* answered without a job */
                    STREAM_WAITING,   /* queued: a whole answer when the job is final */
                    STREAM_SENDING,   /* queued: headers are out, the reader is at work */
};

struct choice_reader { /* of one choice's job */
    struct job_reader base;
    struct stream *stream;
    struct choice *choice;
};

struct stream {
    struct task task;
    struct stream *next, *prev;
    enum stream_state state;

    bool plain, here;   /* the body: is the prompt itself; is decoded on the loop thread */
    enum status status; /* of decoding, then of submitting */
    struct error error;
    struct generation generation;  /* its jobs: owned until they are submitted */
    struct choice_reader *readers; /* [n_choices] of the jobs, from then on; owned */
    size_t n_running;              /* jobs that are not final */
    uint64_t measuring_ns;         /* since when it waits for limits, then how long it did */

    struct generation_profile profile; /* when it was asked for */
    bool comment;                      /* one is due */
    uint64_t moved_ms; /* loop time: when the reader was last asked for bytes, or wrote some */
    char *spill;       /* one event that did not fit the room offered; owned, [spill_room] */
    size_t n_spill, spill_at, spill_room;
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

/* --- the streaming forms --- */

/* The first job that failed; NULL: none has. All are final. */
static const struct job *failed_job(const struct generation *g)
{
    for (size_t i = 0; i < g->n_choices; i++)
        if (generation_failed(g->choices[i].job))
            return g->choices[i].job;
    return NULL;
}

static void measure_all(struct stream *s)
{
    for (size_t i = 0; i < s->generation.n_choices; i++)
        metrics_generation(&s->task.service->metrics, s->generation.choices[i].job, clock_now_ns());
}

/* The answer is complete but for being sent. */
static void count(struct stream *s)
{
    struct request *r = s->task.request;
    if (r->counted)
        return;
    if (!generation_finished(&s->generation)) { /* one failed while others ran */
        request_count(r, errors_of_refusal(REFUSAL_INTERNAL).http);
        return;
    }
    const struct job *failed = failed_job(&s->generation);
    if (failed != NULL) {
        request_count(r, errors_of_job(failed).http);
        return;
    }
    measure_all(s);
    request_count(r, MHD_HTTP_OK);
}

static size_t write_form(struct stream *s, char *out, size_t room)
{
    struct generation *g = &s->generation;
    size_t n = g->dialect->event(g, out, room);
    if (n == 0 && !g->complete && s->comment) {
        size_t n_comment = strlen(g->dialect->keep_alive);
        n = n_comment <= room ? n_comment : 0;
        memcpy(out, g->dialect->keep_alive, n);
    }
    return n;
}

/* Its content has been sent. Most dialects ask for the same room all along. */
static bool grow_spill(struct stream *s, size_t room)
{
    if (s->spill_room >= room)
        return true;
    free(s->spill);
    s->spill = malloc(room);
    s->spill_room = s->spill != NULL ? room : 0;
    return s->spill != NULL;
}

/* Writes what is ready: into the room offered, or where that is short of one event, into memory of
 * our own. */
static ssize_t write_ready(struct stream *s, char *out, size_t room)
{
    size_t least = s->generation.dialect->event_min(&s->generation);
    size_t n = 0;
    if (s->spill_at == s->n_spill) {
        if (room >= least)
            return (ssize_t)write_form(s, out, room);
        if (!grow_spill(s, least))
            return -1;
        s->spill_at = 0;
        s->n_spill = write_form(s, s->spill, s->spill_room);
    }
    n = s->n_spill - s->spill_at < room ? s->n_spill - s->spill_at : room;
    memcpy(out, s->spill + s->spill_at, n);
    s->spill_at += n;
    return (ssize_t)n;
}

/* The same, with an eye on the clock where a profile wants to know. */
static ssize_t write_timed(struct stream *s, char *out, size_t room)
{
    if (s->generation.measured == NULL)
        return write_ready(s, out, room);
    s->profile.write_begin_ns = clock_now_ns();
    ssize_t n = write_ready(s, out, room);
    s->profile.write_ns += clock_now_ns() - s->profile.write_begin_ns;
    return n;
}

/* libmicrohttpd asks for bytes. 0 with the connection suspended: later. */
static ssize_t on_read(void *cls, uint64_t position, char *out, size_t room)
{
    struct stream *s = cls;
    (void)position;
    s->moved_ms = loop_now_ms(&s->task.service->loop);
    if (s->task.left)
        return MHD_CONTENT_READER_END_OF_STREAM;
    ssize_t n = write_timed(s, out, room);
    s->comment = false;
    if (n < 0) {
        task_leave(&s->task);
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (s->generation.complete)
        count(s);
    if (n > 0)
        return n;
    if (s->generation.complete)
        return MHD_CONTENT_READER_END_OF_STREAM;
    request_suspend(s->task.request);
    return 0;
}

static enum MHD_Result start_stream(struct stream *s)
{
    struct request *r = s->task.request;
    char timing[128];
    uint64_t parse_ns = clock_now_ns() - r->whole_ns - s->measuring_ns - s->generation.tokenize_ns;
    size_t n = 0;
    append_text(timing, sizeof timing, &n, "parse;dur=%.3f, tokenize;dur=%.3f",
                (double)parse_ns * 1e-6, (double)s->generation.tokenize_ns * 1e-6);
    if (s->measuring_ns > 0)
        append_text(timing, sizeof timing, &n, ", measure;dur=%.3f",
                    (double)s->measuring_ns * 1e-6);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READER_BLOCK, on_read, s, NULL);
    if (response == NULL)
        return MHD_NO;
    if (!response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                         s->generation.dialect->types[s->generation.form]) ||
        !response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") ||
        !response_header(response, "X-Accel-Buffering", "no")) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    if (r->old)
        conn_ends(r->conn);
    s->state = STREAM_SENDING;
    s->moved_ms = loop_now_ms(&s->task.service->loop);
    return request_queue(r, MHD_HTTP_OK, response, timing);
}

/* --- the JSON form --- */

/* Server-Timing, in the order in which it happened. */
static void put_timing(const struct stream *s, uint64_t write_ns, char *out, size_t room)
{
    struct generation_times times;
    generation_times(s->generation.choices[0].job, &times);
    size_t n = 0;
    append_text(out, room, &n, "tokenize;dur=%.3f, ", (double)s->generation.tokenize_ns * 1e-6);
    if (s->measuring_ns > 0)
        append_text(out, room, &n, "measure;dur=%.3f, ", (double)s->measuring_ns * 1e-6);
    append_text(out, room, &n, "queue;dur=%.3f, prefill;dur=%.3f, decode;dur=%.3f, write;dur=%.3f",
                times.queue, times.prefill, times.decode, (double)write_ns * 1e-6);
}

static enum MHD_Result answer_json(struct stream *s)
{
    struct request *r = s->task.request;
    const struct job *job = failed_job(&s->generation);
    if (job != NULL) {
        struct error why = job->error;
        if (why.text[0] == '\0')
            error_set(&why, STATUS_CANCELLED, "the request was cancelled");
        return request_refuse(r, errors_of_job(job), &why, 0);
    }
    struct generation *g = &s->generation;
    size_t room = g->dialect->whole_bound(g);
    char *body = malloc(room);
    if (body == NULL)
        return MHD_NO;
    uint64_t begin_ns = clock_now_ns();
    s->profile.write_begin_ns = begin_ns;
    size_t n = g->dialect->whole(g, body, room);
    char *fitted = realloc(body, n > 0 ? n : 1);
    char timing[192];
    put_timing(s, clock_now_ns() - begin_ns, timing, sizeof timing);
    measure_all(s);
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = g->dialect->types[ANSWER_JSON],
                                              .body = fitted != NULL ? fitted : body,
                                              .n_body = n,
                                              .memory = BODY_OWNED,
                                              .timing = timing});
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
            (struct choice_reader){{.news = on_news, .end = on_job_end}, s, &g->choices[i]};
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

/* Queues the jobs, or answers why not. */
static enum MHD_Result submit(struct stream *s)
{
    struct request *r = s->task.request;
    struct service *service = r->service;
    uint64_t retry_ms = 0;
    if (s->generation.profile)
        begin_profile(s);
    complete_jobs(s);
    s->generation.form = s->generation.dialect->form(&s->generation, r->headers.accept);
    s->status = queue_jobs(s, &retry_ms);
    if (s->status == STATUS_OK) {
        task_hold(&s->task); /* until the jobs are final */
        s->state = STREAM_WAITING;
        if (s->generation.form != ANSWER_JSON)
            return start_stream(s);
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

/* Its body is decoded. A request that wants a profile waits for the limits that it is held against,
 * but never one with a deadline. */
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
    if (names_refuse(&service->names, service->settings->strict_model, s->generation.asked_model,
                     &s->error)) {
        s->state = STREAM_REFUSED;
        return request_refuse(s->task.request, errors_of_refusal(REFUSAL_MODEL), &s->error, 0);
    }
    if (s->generation.n_choices == 0)
        return answer_nothing(s);
    if (!s->generation.profile || s->generation.deadline_ms > 0 || machine_ready(s->task.service))
        return submit(s);
    s->state = STREAM_MEASURING;
    s->measuring_ns = clock_now_ns();
    request_suspend(s->task.request);
    return MHD_YES;
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
    if (s->state == STREAM_READY)
        return submit(s);
    if (s->state == STREAM_WAITING && s->n_running == 0)
        return answer_json(s);
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
    if (s->state != STREAM_SENDING || !is_waiting(s) || !generation_has_news(reader->choice))
        return false;
    request_resume(s->task.request);
    return true;
}

static bool on_job_end(struct job_reader *base)
{
    struct stream *s = ((struct choice_reader *)base)->stream;
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

bool streams_beat(struct service *service, uint64_t now_ms)
{
    uint64_t stall_ms = (uint64_t)service->settings->stall_seconds * 1000;
    bool any = false;
    for (struct stream *s = service->streams; s != NULL; s = s->next) {
        if (s->state != STREAM_SENDING || s->task.request == NULL || s->task.left)
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
