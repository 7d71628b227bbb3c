/* stream.c - a generation's bytes: events and text as they grow, or the whole answer. Loop thread.
 */
#include "server/handlers/stream.h"

#include "base/append.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { READER_BLOCK = 4096 }; /* the library's buffer for HTTP/1.0; chunks have the connection's */

/* --- the streaming forms --- */

const struct job *stream_failed_job(const struct generation *g)
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
    const struct job *failed = stream_failed_job(&s->generation);
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

enum MHD_Result stream_start(struct stream *s)
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

enum MHD_Result stream_answer(struct stream *s)
{
    struct request *r = s->task.request;
    const struct job *job = stream_failed_job(&s->generation);
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
