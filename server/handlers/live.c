/* live.c - the life of a live profile: limits, recording, report, answer. Loop thread, but for
 * start() and finish(), which run on libuv's pool. */
#include "server/handlers/live.h"

#include "base/clock.h"
#include "engine/profile.h"
#include "report/profile_document.h"
#include "server/service.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state {
    LIVE_MEASURING, /* the machine's limits */
    LIVE_STARTING,  /* on the pool */
    LIVE_RECORDING,
    LIVE_FINISHING, /* on the pool */
    LIVE_DONE
};

/* For the report, after the last second: told to those who ask meanwhile. */
enum { REPORT_MS = 1000 };

struct live {
    struct task task;
    enum state state;
    double seconds;
    enum profile_form form;
    bool stopped;      /* the drain has begun: the report is due at once */
    _Atomic bool gone; /* the client has left: a report would go unread */
    uint64_t due_ms;   /* loop time: when the answer is expected */

    uv_timer_t timer;

    struct counting *counting; /* while recording */
    struct report_limits limits;
    double limits_age; /* s, when recording began */
    enum status status;
    struct error error;
    char *text; /* owned: the report */
    size_t n_text;
};

/* --- on the pool --- */

static void start(struct task *task)
{
    struct live *live = (struct live *)task;
    live->status = engine_profile_start(live->task.service->engine,
                                        &(struct record_options){.every = 0}, &live->error);
    struct error ignored;
    if (live->status == STATUS_OK && counting_start(&live->counting, &ignored) != STATUS_OK)
        live->counting = NULL; /* the report goes without */
}

static void note_limits(struct profile_parts *parts, const struct live *live)
{
    char *note = parts->limits_note;
    size_t room = sizeof parts->limits_note;
    parts->limits = live->limits;
    if (live->limits.read_bytes_s <= 0)
        snprintf(note, room, "they could not be measured");
    else if (live->limits.beside_work)
        snprintf(note, room, "measured %.0f s before, beside running requests: too low",
                 live->limits_age);
    else
        snprintf(note, room, "measured %.0f s before, with the engine idle", live->limits_age);
}

static enum status write_report(struct live *live, struct profile_parts *parts)
{
    const struct service *service = live->task.service;
    note_limits(parts, live);
    enum status status = profile_build(parts, &service->model, service->engine,
                                       engine_plan(service->engine)->kv_type, &live->error);
    if (status != STATUS_OK || atomic_load(&live->gone))
        return status;
    const struct record_totals *totals = &parts->total->totals;
    parts->document.workload = (struct profile_workload){
        .source = "live", .seconds = (double)(totals->end_ns - totals->begin_ns) * 1e-9};
    return profile_render(&parts->document, live->form, &live->text, &live->n_text, &live->error);
}

/* Switches the recorders off in any case. */
static void finish(struct task *task)
{
    struct live *live = (struct live *)task;
    struct engine *engine = live->task.service->engine;
    struct profile_parts parts = {0};
    size_t n = engine_plan(engine)->n_workers;
    if (!atomic_load(&live->gone))
        parts.records = calloc(n, sizeof(struct record *));
    live->status = engine_profile_stop(engine, parts.records, &live->error);
    if (live->counting != NULL)
        counting_stop(live->counting, &parts.counters);
    parts.has_counters = live->counting != NULL;
    live->counting = NULL;
    if (parts.records != NULL && live->status == STATUS_OK) {
        parts.n_records = n;
        live->status = write_report(live, &parts);
    } else if (live->status == STATUS_OK && !atomic_load(&live->gone)) {
        live->status = error_no_memory(&live->error, n * sizeof(struct record *), "the report");
    }
    profile_parts_free(&parts);
}

/* --- its end --- */

static void on_free(struct task *task)
{
    free(((struct live *)task)->text);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct live *live = handle->data;
    task_release(&live->task);
}

/* The place is free for the next one; the answer, if anybody waits for it, is ready. */
static void done(struct live *live)
{
    struct service *service = live->task.service;
    live->state = LIVE_DONE;
    service->live = NULL;
    uv_close((uv_handle_t *)&live->timer, on_timer_closed);
    task_wake(&live->task);
}

/* --- its way --- */

static void on_finished(struct task *task)
{
    done((struct live *)task);
}

static void stop_recording(struct live *live)
{
    live->state = LIVE_FINISHING;
    uv_timer_stop(&live->timer);
    if (!task_work(&live->task, finish, on_finished))
        done(live); /* a pool that takes no work is no reason to record for ever */
}

static void on_due(uv_timer_t *timer)
{
    stop_recording(timer->data);
}

static void on_started(struct task *task)
{
    struct live *live = (struct live *)task;
    if (live->status != STATUS_OK) {
        done(live);
        return;
    }
    live->state = LIVE_RECORDING;
    if (live->stopped || atomic_load(&live->gone)) {
        stop_recording(live);
        return;
    }
    uint64_t ms = (uint64_t)(live->seconds * 1000);
    live->due_ms = loop_now_ms(&live->task.service->loop) + ms + REPORT_MS;
    uv_timer_start(&live->timer, on_due, ms, 0);
}

static void record(struct live *live)
{
    struct service *service = live->task.service;
    const struct machine *machine = &service->machine;
    if (machine->known) {
        live->limits = machine->limits;
        live->limits_age = (double)(clock_now_ns() - machine->measured_ns) * 1e-9;
    }
    live->state = LIVE_STARTING;
    if (!task_work(&live->task, start, on_started))
        on_started(&live->task);
}

void live_measured(struct service *service)
{
    struct live *live = service->live;
    if (live == NULL || live->state != LIVE_MEASURING)
        return;
    if (atomic_load(&live->gone))
        done(live);
    else
        record(live);
}

void live_stop(struct service *service)
{
    struct live *live = service->live;
    if (live == NULL)
        return;
    live->stopped = true;
    if (live->state == LIVE_RECORDING)
        stop_recording(live);
}

/* --- its client --- */

/* Its recording must not go on: the client has left, or its request has ended in a way that only
 * libmicrohttpd has seen. */
static void on_left(struct task *task)
{
    struct live *live = (struct live *)task;
    if (atomic_exchange(&live->gone, true))
        return;
    if (live->state == LIVE_RECORDING)
        stop_recording(live);
}

void live_cut(struct service *service)
{
    if (service->live != NULL)
        task_leave(&service->live->task);
}

/* --- its request --- */

struct query { /* what take_field needs */
    struct profile_request *request;
    enum status status;
    struct error *err;
};

static enum MHD_Result take_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    struct query *query = cls;
    (void)kind;
    query->status = profile_request_take(query->request, name, value, query->err);
    return query->status == STATUS_OK ? MHD_YES : MHD_NO;
}

static struct live *create(struct request *r, const struct profile_request *wanted)
{
    struct service *service = r->service;
    struct live *live = task_create(r, sizeof *live);
    if (live == NULL)
        return NULL;
    live->seconds = wanted->seconds > 0 ? wanted->seconds : PROFILE_SECONDS_DEFAULT;
    live->form = profile_form_of(r->headers.accept);
    live->due_ms = loop_now_ms(&service->loop) + (uint64_t)(live->seconds * 1000) + REPORT_MS;
    live->timer.data = live;
    uv_timer_init(&service->loop.uv, &live->timer);
    task_hold(&live->task); /* the timer's */
    service->live = live;
    return live;
}

static ssize_t read_nothing(void *cls, uint64_t position, char *out, size_t room)
{
    (void)cls, (void)position, (void)out, (void)room;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* HEAD: what a GET would say of itself, without the seconds that its body costs, and so without its
 * length. The connection ends with it: to an answer in chunks the library would add the last chunk,
 * and a client would take that for the next answer. */
static enum MHD_Result answer_head(struct request *r)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, read_nothing, NULL, NULL);
    if (response == NULL)
        return MHD_NO;
    r->last = true;
    if (MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END) !=
            MHD_YES ||
        !response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") ||
        !response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                         profile_form_type(profile_form_of(r->headers.accept)))) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    enum MHD_Result result = request_queue(r, MHD_HTTP_OK, response, NULL);
    if (result == MHD_YES)
        request_count(r, MHD_HTTP_OK);
    return result;
}

static enum MHD_Result answer(struct request *r, struct live *live)
{
    char *text = live->text;
    live->text = NULL;
    if (live->status != STATUS_OK)
        return request_refuse(r, errors_of_status(live->status), &live->error, 0);
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = profile_form_type(live->form),
                                              .body = text,
                                              .n_body = live->n_text,
                                              .memory = BODY_OWNED});
}

static enum MHD_Result refuse_second(struct request *r, const struct live *running)
{
    struct error why;
    uint64_t now = loop_now_ms(&r->service->loop);
    error_set(&why, STATUS_FULL, "another profile is being recorded; only one can be at a time");
    return request_refuse(r, errors_of_refusal(REFUSAL_PROFILING), &why,
                          running->due_ms > now ? running->due_ms - now : 1);
}

static enum MHD_Result resume(struct request *r, struct task *task)
{
    struct live *live = (struct live *)task;
    if (live->state == LIVE_DONE)
        return answer(r, live);
    request_suspend(r);
    return MHD_YES;
}

static enum MHD_Result begin(struct request *r)
{
    struct service *service = r->service;
    struct profile_request wanted = {.seconds = 0};
    struct error err;
    struct query query = {&wanted, STATUS_OK, &err};
    MHD_get_connection_values(r->mhd, MHD_GET_ARGUMENT_KIND, take_field, &query);
    if (query.status != STATUS_OK)
        return request_refuse(r, errors_of_status(query.status), &err, 0);
    if (strcmp(r->method, "HEAD") == 0)
        return answer_head(r);
    if (service->live != NULL)
        return refuse_second(r, service->live);
    struct live *live = create(r, &wanted);
    if (live == NULL)
        return MHD_NO;
    request_suspend(r);
    if (machine_ready(service))
        record(live);
    return MHD_YES;
}

const struct handler live_handler = {
    .begin = begin, .resume = resume, .left = on_left, .end = on_left, .free = on_free};
