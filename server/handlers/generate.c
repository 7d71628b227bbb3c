/* generate.c - the life of a generation. Loop thread, but for decode_body, which runs on libuv's
 * pool. */
#include "server/handlers/generate.h"

#include "base/clock.h"
#include "server/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    INLINE_BODY = 4096,  /* bytes that are decoded at once, on the loop thread */
    SILENCE_MS = 15000,  /* before a comment is sent */
    READER_BLOCK = 4096, /* the library's own buffer for HTTP/1.0; chunks are written in the
                            connection's memory */
};

struct stream {
    struct stream *next, *prev;
    struct service *service;
    struct request *request; /* NULL once it has ended */

    char *body; /* owned while it is decoded */
    size_t n_body;
    bool plain;
    uv_work_t work;
    bool working;       /* on the pool */
    enum status status; /* of decoding */
    struct error error;
    struct generate_request parsed; /* its job is owned */

    bool asked, measuring; /* for a profile: for the machine's limits; they are being measured */
    uint64_t measuring_ns; /* how long it waited for them */
    bool decoded, submitted;
    bool gone; /* the client has left */
    enum answer_form form;
    bool started; /* a stream's headers are out: the reader is at work */
    struct reply_context reply;
    struct reply_profile profile; /* when it was asked for */
    struct reply_cursor cursor;
    bool comment;      /* one is due */
    uint64_t moved_ms; /* loop time: when the reader was last asked for bytes, or wrote some */
    char *spill;       /* one event that did not fit the room offered; owned, [spill_room] */
    size_t n_spill, spill_at, spill_room;

    uv_poll_t watch; /* the socket's end */
    bool watching;   /* the handle is open */

    char id[REQUEST_ID_MAX + 1];
    struct log_request line; /* written when the job is final */
};

/* --- its end --- */

/* Nothing of the worker's is read before this is true; everything of the job is final then. */
static bool job_is_final(const struct stream *s)
{
    return s->parsed.job == NULL || !s->submitted ||
           atomic_load_explicit(&s->parsed.job->finished, memory_order_acquire);
}

static void write_log(struct stream *s)
{
    const struct job *job = s->parsed.job;
    s->line.id = s->id;
    if (job != NULL && s->submitted) {
        struct reply_times times;
        reply_times_of(job, &times);
        s->line.generation = true;
        s->line.finish = reply_finish_reason(job->finish);
        s->line.prompt_tokens = job->n_prompt;
        s->line.cached_tokens = job->n_cached;
        s->line.completion_tokens = job->n_completion;
        s->line.queue_ms = times.queue;
        s->line.prefill_ms = times.prefill;
        s->line.decode_ms = times.decode;
    }
    log_access(&s->line);
}

/* Frees the stream once its request, the pool, the worker and the loop have all let go of it. */
static void try_free(struct stream *s)
{
    if (s->request != NULL || s->working || s->watching || !job_is_final(s))
        return;
    struct service *service = s->service;
    write_log(s);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        service->streams = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    job_destroy(s->parsed.job);
    free(s->body);
    free(s->spill);
    free(s);
    service_settled(service);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    s->watching = false;
    try_free(s);
}

void stream_detach(struct stream *s, const struct log_request *line)
{
    s->request = NULL;
    s->line = *line;
    if (!job_is_final(s)) /* its client left in a way that only libmicrohttpd has seen */
        engine_cancel(s->service->engine, s->parsed.job);
    if (s->watching) /* before the library closes the descriptor */
        uv_close((uv_handle_t *)&s->watch, on_watch_closed);
    else
        try_free(s);
}

/* The client has left: its work must not go on. */
static void leave(struct stream *s)
{
    if (s->gone)
        return;
    s->gone = true;
    if (s->submitted)
        engine_cancel(s->service->engine, s->parsed.job);
    else
        s->service->metrics.left_before_queue++;
    /* With its socket shut down the library finds the end by itself, wherever it is; a reader that
     * reported an error would leave the connection's place taken. */
    conn_cut(s->request->conn);
    request_resume(s->request);
}

static void on_watch(uv_poll_t *watch, int status, int events)
{
    struct stream *s = watch->data;
    (void)status; /* a reset comes as an error: it is an end as well */
    (void)events;
    uv_poll_stop(watch);
    if (s->request == NULL ||
        s->request->counted) /* all is computed: what is left may still be read */
        return;
    leave(s);
    loop_drive(&s->service->loop);
}

/* --- the streaming forms --- */

/* The answer is complete but for being sent. */
static void count(struct stream *s)
{
    const struct job *job = s->parsed.job;
    if (s->request->counted)
        return;
    if (job->finish == FINISH_ERROR || job->finish == FINISH_CANCELLED) {
        request_count(s->request, errors_of_job(job).http);
        return;
    }
    metrics_generation(&s->service->metrics, job, clock_now_ns());
    request_count(s->request, MHD_HTTP_OK);
}

static size_t write_form(struct stream *s, char *out, size_t room)
{
    static const char comment[] = ": keep-alive\n\n";
    const struct job *job = s->parsed.job;
    if (s->form == ANSWER_TEXT)
        return reply_text(job, &s->cursor, out, room);
    bool finished = atomic_load_explicit(&job->finished, memory_order_acquire);
    size_t n = finished ? reply_last_event(job, &s->reply, &s->cursor, out, room)
                        : reply_event(job, &s->reply, &s->cursor, out, room);
    if (n == 0 && !finished && s->comment && room >= sizeof comment) {
        n = sizeof comment - 1;
        memcpy(out, comment, n);
    }
    return n;
}

/* Writes what is ready: into the room offered, or where that is short of one event, into memory of
 * our own, taken once. */
static ssize_t write_ready(struct stream *s, char *out, size_t room)
{
    size_t least =
        s->form == ANSWER_TEXT ? 4 : reply_event_min(s->reply.tokenizer, s->parsed.job->n_logprobs);
    size_t n = 0;
    if (s->spill_at == s->n_spill) {
        if (room >= least)
            return (ssize_t)write_form(s, out, room);
        if (s->spill == NULL) {
            s->spill = malloc(least);
            s->spill_room = least;
        }
        if (s->spill == NULL)
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
    if (s->reply.profile == NULL)
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
    s->moved_ms = loop_now_ms(&s->service->loop);
    if (s->gone)
        return MHD_CONTENT_READER_END_OF_STREAM;
    ssize_t n = write_timed(s, out, room);
    s->comment = false;
    if (n < 0) {
        leave(s);
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (s->cursor.done)
        count(s);
    if (n > 0)
        return n;
    if (s->cursor.done)
        return MHD_CONTENT_READER_END_OF_STREAM;
    request_suspend(s->request);
    return 0;
}

static enum MHD_Result start_stream(struct stream *s)
{
    struct request *r = s->request;
    char timing[128];
    uint64_t parse_ns = clock_now_ns() - r->whole_ns - s->measuring_ns - s->parsed.tokenize_ns;
    int n = snprintf(timing, sizeof timing, "parse;dur=%.3f, tokenize;dur=%.3f",
                     (double)parse_ns * 1e-6, (double)s->parsed.tokenize_ns * 1e-6);
    if (s->measuring_ns > 0)
        snprintf(timing + n, sizeof timing - (size_t)n, ", measure;dur=%.3f",
                 (double)s->measuring_ns * 1e-6);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READER_BLOCK, on_read, s, NULL);
    bool sse = s->form == ANSWER_SSE;
    if (response == NULL)
        return MHD_NO;
    if (!response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                         sse ? "text/event-stream; charset=utf-8" : "text/plain; charset=utf-8") ||
        !response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") ||
        !response_header(response, "X-Accel-Buffering", "no")) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    if (r->old)
        conn_ends(r->conn);
    s->started = true;
    s->moved_ms = loop_now_ms(&s->service->loop);
    return request_queue(r, MHD_HTTP_OK, response, timing);
}

/* --- the JSON form --- */

/* Server-Timing, in the order in which it happened. */
static void put_timing(const struct stream *s, uint64_t write_ns, char *out, size_t room)
{
    struct reply_times times;
    reply_times_of(s->parsed.job, &times);
    int n = snprintf(out, room, "tokenize;dur=%.3f, ", (double)s->parsed.tokenize_ns * 1e-6);
    if (s->measuring_ns > 0)
        n += snprintf(out + n, room - (size_t)n, "measure;dur=%.3f, ",
                      (double)s->measuring_ns * 1e-6);
    snprintf(out + n, room - (size_t)n,
             "queue;dur=%.3f, prefill;dur=%.3f, decode;dur=%.3f, write;dur=%.3f", times.queue,
             times.prefill, times.decode, (double)write_ns * 1e-6);
}

static enum MHD_Result answer_json(struct stream *s)
{
    const struct job *job = s->parsed.job;
    struct request *r = s->request;
    if (job->finish == FINISH_ERROR || job->finish == FINISH_CANCELLED) {
        struct error why = job->error;
        if (why.text[0] == '\0')
            error_set(&why, STATUS_CANCELLED, "the request was cancelled");
        return request_refuse(r, errors_of_job(job), &why, 0);
    }
    size_t room = reply_generate_bound(job, &s->reply);
    char *body = malloc(room);
    if (body == NULL)
        return MHD_NO;
    uint64_t begin_ns = clock_now_ns();
    s->profile.write_begin_ns = begin_ns;
    size_t n = reply_generate(job, &s->reply, body, room);
    char *fitted = realloc(body, n > 0 ? n : 1);
    char timing[192];
    put_timing(s, clock_now_ns() - begin_ns, timing, sizeof timing);
    metrics_generation(&s->service->metrics, job, clock_now_ns());
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/json",
                                              .body = fitted != NULL ? fitted : body,
                                              .n_body = n,
                                              .memory = BODY_OWNED,
                                              .timing = timing});
}

/* --- its beginning --- */

static void decode_body(uv_work_t *work)
{
    struct stream *s = work->data;
    const struct service *service = s->service;
    s->status = request_generate(&s->parsed, s->body, s->n_body, s->plain, service->model.tokenizer,
                                 &service->limits, &s->error);
}

static void on_decoded(uv_work_t *work, int status)
{
    struct stream *s = work->data;
    (void)status; /* never cancelled */
    s->working = false;
    free(s->body);
    s->body = NULL;
    if (s->request == NULL) {
        try_free(s);
        return;
    }
    request_resume(s->request);
    loop_drive(&s->service->loop);
}

static struct stream *create(struct request *r)
{
    struct service *service = r->service;
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->service = service;
    s->request = r;
    s->body = r->body;
    s->n_body = r->n_body;
    r->body = NULL;
    s->plain = headers_plain_text(&r->headers);
    s->work.data = s->watch.data = s;
    memcpy(s->id, r->id, sizeof s->id);
    s->reply = (struct reply_context){.id = s->id,
                                      .model = service->model.model->name,
                                      .created = (uint64_t)time(NULL),
                                      .tokenizer = service->model.tokenizer};
    if (uv_poll_init(&service->loop.uv, &s->watch, r->conn->fd) == 0) {
        s->watching = true;
        uv_poll_start(&s->watch, UV_DISCONNECT, on_watch);
    }
    s->next = service->streams;
    if (s->next != NULL)
        s->next->prev = s;
    service->streams = s;
    r->stream = s;
    return s;
}

/* What the job's profile will say besides its steps. */
static void begin_profile(struct stream *s)
{
    const struct service *service = s->service;
    const struct machine *machine = &service->machine;
    s->profile = (struct reply_profile){.model = service->model.model,
                                        .kv_type = (enum kv_type)service->settings->kv_type,
                                        .measuring_ns = s->measuring_ns,
                                        .tokenize_ns = s->parsed.tokenize_ns};
    if (machine->known) {
        s->profile.limits = machine->limits;
        s->profile.limits.read_bytes_s = machine->limits.alone_bytes_s;
    }
    s->reply.profile = &s->profile;
}

/* Queues the job, or answers why not. */
static enum MHD_Result submit(struct stream *s)
{
    struct request *r = s->request;
    struct service *service = s->service;
    struct job *job = s->parsed.job;
    uint64_t retry_ms = 0;
    if (s->status != STATUS_OK)
        return request_refuse(r, errors_of_status(s->status), &s->error, 0);
    if (s->parsed.profile)
        begin_profile(s);
    job->salt = r->salt;
    job->arrived_ns = r->whole_ns + s->measuring_ns; /* which its profile tells apart */
    if (s->parsed.deadline_ms > 0 && s->parsed.deadline_ms < UINT64_MAX / 2000000)
        job->deadline_ns = r->whole_ns + s->parsed.deadline_ms * 1000000;
    job->owner = s;
    if (!s->parsed.has_seed)
        job->sampling.seed = service_random(&service->random_seeds) >> 11; /* below 2^53 */
    s->form = accept_form(s->parsed.stream, r->headers.accept);
    s->status = engine_submit(service->engine, job, &retry_ms, &s->error);
    if (s->status == STATUS_OK) {
        s->submitted = true;
        return s->form == ANSWER_JSON ? stream_handle(r) : start_stream(s);
    }
    if (s->status == STATUS_FULL || s->status == STATUS_TOO_LATE) {
        metrics_reject(&service->metrics,
                       s->status == STATUS_FULL ? REJECT_QUEUE_FULL : REJECT_DEADLINE);
        if (retry_ms == 0)
            retry_ms = 1;
    }
    return request_refuse(r, errors_of_status(s->status), &s->error, retry_ms);
}

/* Whether a request that wants a profile must wait for the limits that it is held against. One with
 * a deadline never does. */
static bool waits_for_limits(struct stream *s)
{
    if (!s->asked && s->status == STATUS_OK && s->parsed.profile && s->parsed.deadline_ms == 0) {
        s->asked = true;
        s->measuring_ns = clock_now_ns();
        s->measuring = !machine_ready(s->service);
        if (!s->measuring)
            s->measuring_ns = 0;
    }
    return s->measuring;
}

void streams_measured(struct service *service)
{
    bool any = false;
    for (struct stream *s = service->streams; s != NULL; s = s->next) {
        if (!s->measuring)
            continue;
        s->measuring = false;
        s->measuring_ns = clock_now_ns() - s->measuring_ns;
        if (s->request != NULL)
            request_resume(s->request);
        any = true;
    }
    if (any)
        loop_drive(&service->loop);
}

enum MHD_Result stream_handle(struct request *r)
{
    struct stream *s = r->stream;
    if (s == NULL) {
        s = create(r);
        if (s == NULL)
            return MHD_NO;
        s->working = s->n_body > INLINE_BODY &&
                     uv_queue_work(&s->service->loop.uv, &s->work, decode_body, on_decoded) == 0;
        if (!s->working)
            decode_body(&s->work);
    }
    if (s->gone)
        return MHD_NO;
    if (!s->working && !s->decoded && !waits_for_limits(s)) {
        s->decoded = true;
        return submit(s);
    }
    if (s->decoded && job_is_final(s))
        return answer_json(s);
    request_suspend(r);
    return MHD_YES;
}

/* --- all streams --- */

static bool has_news(const struct stream *s)
{
    if (!s->submitted || !s->request->suspended)
        return false;
    if (job_is_final(s))
        return true;
    return s->started &&
           atomic_load_explicit(&s->parsed.job->n_ready, memory_order_acquire) > s->cursor.n_tokens;
}

void streams_wake(struct service *service)
{
    bool any = false;
    struct stream *next;
    for (struct stream *s = service->streams; s != NULL; s = next) {
        next = s->next;
        if (s->request == NULL) {
            try_free(s);
        } else if (has_news(s)) {
            request_resume(s->request);
            any = true;
        }
    }
    if (any)
        loop_drive(&service->loop);
}

bool streams_beat(struct service *service, uint64_t now_ms)
{
    uint64_t stall_ms = (uint64_t)service->settings->stall_seconds * 1000;
    bool any = false;
    for (struct stream *s = service->streams; s != NULL; s = s->next) {
        if (s->request == NULL || !s->started || s->gone)
            continue;
        uint64_t quiet_ms = now_ms - s->moved_ms;
        if (s->request->suspended && s->form == ANSWER_SSE && quiet_ms >= SILENCE_MS) {
            s->comment = true;
            request_resume(s->request);
            any = true;
        } else if (!s->request->suspended && quiet_ms > stall_ms) {
            leave(s);
            any = true;
        }
    }
    return any;
}

void streams_cut(struct service *service)
{
    for (struct stream *s = service->streams; s != NULL; s = s->next)
        if (s->request != NULL)
            leave(s);
}
