/* exporter.c - the ring, and the thread that empties it. Everything in struct trace_exporter is
 * under its lock but for what never changes and what is marked as the thread's. */
#include "server/trace/exporter.h"

#include "base/clock.h"
#include "base/thread.h"
#include "server/log.h"
#include "server/trace/post.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { BATCH_SPANS = 512, BATCH_TEXT = 4 * TRACE_TEXT_MAX };
enum { TELL_MS = 60000 }; /* between two lines of the log about failures */
static const uint64_t ms_ns = 1000000;

const struct trace_pace trace_usual_pace = {
    .linger_ms = 1000, .backoff_ms = 1000, .backoff_max_ms = 30000, .give_up_ms = 300000};

enum delivery { DELIVERS, DELIVERS_IN_PART, FAILS };

struct trace_exporter {
    struct trace_options options; /* owned; never changes */
    struct trace_pace pace;       /* likewise */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by CLOCK_MONOTONIC */

    struct trace_record *ring[TRACE_RING_RECORDS]; /* owned */
    size_t head, n, n_spans;
    struct trace_stats stats;
    bool stopping;
    _Atomic uint64_t end_ns; /* by when all must be over; UINT64_MAX: not yet */

    struct trace_post *post; /* the thread's, as is all that follows; owned */
    struct trace_text text;  /* [BATCH_TEXT], owned */
    uint64_t random;
    uint64_t resume_ns;     /* before it the endpoint wants no more */
    bool asked;             /* the endpoint has said so itself */
    bool over;              /* it fails while all is to end: no more is tried */
    enum delivery delivery; /* as the log knows it */
    uint64_t told_ns;       /* when it said so; 0: never */
};

/* --- the ring, under the lock --- */

void trace_exporter_put(struct trace_exporter *x, struct trace_record *record)
{
    size_t n = record != NULL ? trace_record_spans(record) : 1;
    pthread_mutex_lock(&x->lock);
    bool fits = record != NULL && x->n < TRACE_RING_RECORDS && x->n_spans + n <= TRACE_RING_SPANS;
    if (fits) {
        x->ring[(x->head + x->n) % TRACE_RING_RECORDS] = record;
        x->n++;
        x->n_spans += n;
        if (x->n == 1 || x->n_spans >= BATCH_SPANS)
            pthread_cond_signal(&x->changed);
    } else {
        x->stats.n_dropped += n;
    }
    pthread_mutex_unlock(&x->lock);
    if (!fits)
        free(record);
}

static struct trace_record *pop(struct trace_exporter *x)
{
    if (x->n == 0)
        return NULL;
    struct trace_record *record = x->ring[x->head];
    x->head = (x->head + 1) % TRACE_RING_RECORDS;
    x->n--;
    x->n_spans -= trace_record_spans(record);
    return record;
}

double trace_exporter_part(const struct trace_exporter *x)
{
    return x->options.part;
}

void trace_exporter_stats(struct trace_exporter *x, struct trace_stats *out)
{
    *out = (struct trace_stats){.n_sent = 0};
    if (x == NULL)
        return;
    pthread_mutex_lock(&x->lock);
    *out = x->stats;
    pthread_mutex_unlock(&x->lock);
}

static void count(struct trace_exporter *x, uint64_t *counter, uint64_t n)
{
    pthread_mutex_lock(&x->lock);
    *counter += n;
    pthread_mutex_unlock(&x->lock);
}

/* Under the lock; false: it is that late. */
static bool wait_until(struct trace_exporter *x, uint64_t ns)
{
    const struct timespec at = {.tv_sec = (time_t)(ns / 1000000000),
                                .tv_nsec = (long)(ns % 1000000000)};
    return pthread_cond_timedwait(&x->changed, &x->lock, &at) != ETIMEDOUT;
}

/* --- delivery --- */

/* The URL without its query. */
static int shown_length(const struct trace_exporter *x)
{
    return (int)strcspn(x->options.url, "?");
}

/* Says what has changed, and nothing of what goes on as it was; of an endpoint that changes all the
 * time, as one does that is near its limits, once in a while. */
static void note(struct trace_exporter *x, enum delivery delivery, const char *why)
{
    const char *url = x->options.url;
    const uint64_t now_ns = clock_now_ns();
    if (delivery == x->delivery)
        return;
    if (delivery != DELIVERS) {
        if (x->told_ns != 0 && now_ns - x->told_ns < TELL_MS * ms_ns)
            return;
        x->told_ns = now_ns;
    }
    if (delivery == FAILS)
        log_line(LOG_WARN,
                 "traces: spans cannot be delivered to %.*s: %s; what finds no room to wait is "
                 "dropped and counted",
                 shown_length(x), url, why);
    else if (delivery == DELIVERS_IN_PART)
        log_line(LOG_WARN, "traces: %.*s takes a part of the spans: %s", shown_length(x), url, why);
    else
        log_line(LOG_INFO, "traces: spans are delivered to %.*s again", shown_length(x), url);
    x->delivery = delivery;
}

/* Waits until the endpoint may be asked again, or until all is to end and it has not said itself
 * how long it wants to be left alone. False: that will not be in time. */
static bool wait_for_turn(struct trace_exporter *x, uint64_t give_up_ns)
{
    bool in_time = true;
    pthread_mutex_lock(&x->lock);
    for (;;) {
        uint64_t now_ns = clock_now_ns(), end_ns = atomic_load(&x->end_ns);
        if (now_ns >= x->resume_ns || (x->stopping && !x->asked))
            break;
        in_time = x->resume_ns <= give_up_ns && x->resume_ns < end_ns;
        if (!in_time)
            break;
        wait_until(x, x->resume_ns);
    }
    pthread_mutex_unlock(&x->lock);
    return in_time;
}

static bool is_stopping(struct trace_exporter *x)
{
    pthread_mutex_lock(&x->lock);
    bool stopping = x->stopping;
    pthread_mutex_unlock(&x->lock);
    return stopping;
}

/* Up to a quarter more or less, so that many clients do not come back together. */
static uint64_t jitter(struct trace_exporter *x, uint64_t ns)
{
    x->random = x->random * 6364136223846793005u + 1442695040888963407u;
    return ns - ns / 4 + ns / 2 * (x->random >> 40) / (1 << 24);
}

static void deliver(struct trace_exporter *x)
{
    struct trace_answer answer;
    const size_t n_spans = x->text.n_spans;
    const uint64_t give_up_ns = clock_now_ns() + x->pace.give_up_ms * ms_ns;
    uint64_t backoff_ns = x->pace.backoff_ms * ms_ns;
    for (;;) {
        const bool last = is_stopping(x);
        x->over = x->over || clock_now_ns() >= atomic_load(&x->end_ns);
        if (x->over || !wait_for_turn(x, last ? UINT64_MAX : give_up_ns))
            break;
        trace_post_send(x->post, x->text.out, x->text.n, &answer);
        if (answer.outcome == TRACE_TAKEN) {
            const size_t n_lost = answer.n_rejected < n_spans ? answer.n_rejected : n_spans;
            count(x, &x->stats.n_sent, n_spans - n_lost);
            count(x, &x->stats.n_failed, n_lost);
            note(x, n_lost > 0 ? DELIVERS_IN_PART : DELIVERS, answer.why);
            return;
        }
        count(x, &x->stats.n_failures, 1);
        note(x, FAILS, answer.why);
        if (answer.outcome == TRACE_REFUSED)
            break;
        x->asked = answer.retry_ms > 0;
        x->resume_ns =
            clock_now_ns() + (x->asked ? answer.retry_ms * ms_ns : jitter(x, backoff_ns));
        backoff_ns += backoff_ns / 2;
        if (backoff_ns > x->pace.backoff_max_ms * ms_ns)
            backoff_ns = x->pace.backoff_max_ms * ms_ns;
        x->over = last && !x->asked;
    }
    x->over = x->over || is_stopping(x);
    count(x, &x->stats.n_failed, n_spans);
}

/* --- the thread --- */

/* Waits for a batch, under the lock. False: all is sent, and no more will come. */
static bool wait_for_batch(struct trace_exporter *x)
{
    while (x->n == 0 && !x->stopping)
        pthread_cond_wait(&x->changed, &x->lock);
    const uint64_t due_ns = clock_now_ns() + x->pace.linger_ms * ms_ns;
    while (x->n_spans < BATCH_SPANS && !x->stopping && wait_until(x, due_ns))
        continue;
    return x->n > 0;
}

/* The text of as many records as a request holds; what does not fit any more waits in *next. */
static void fill(struct trace_exporter *x, struct trace_record **next)
{
    const struct trace_options *o = &x->options;
    struct trace_text *text = &x->text;
    bool good = trace_encode_begin(text, o->resource, o->n_resource);
    while (*next != NULL && text->n_spans < BATCH_SPANS) {
        bool fits = good && trace_encode_add(text, *next, &x->random);
        if (!fits && good && text->n_spans > 0)
            break;
        if (!fits) /* nor would it into the next one */
            count(x, &x->stats.n_dropped, trace_record_spans(*next));
        free(*next);
        pthread_mutex_lock(&x->lock);
        *next = pop(x);
        pthread_mutex_unlock(&x->lock);
    }
    if (good)
        trace_encode_end(text);
}

static void *run(void *arg)
{
    struct trace_exporter *x = arg;
    struct trace_record *next = NULL;
    pthread_mutex_lock(&x->lock);
    while (next != NULL || wait_for_batch(x)) {
        if (next == NULL)
            next = pop(x);
        pthread_mutex_unlock(&x->lock);
        fill(x, &next);
        if (x->text.n_spans > 0)
            deliver(x);
        pthread_mutex_lock(&x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

/* --- from start to end --- */

static void release(struct trace_exporter *x)
{
    for (struct trace_record *record; (record = pop(x)) != NULL;)
        free(record);
    trace_post_destroy(x->post);
    trace_options_free(&x->options);
    pthread_cond_destroy(&x->changed);
    pthread_mutex_destroy(&x->lock);
    free(x->text.out);
    free(x);
}

enum status trace_exporter_create(struct trace_exporter **out, struct trace_options *options,
                                  const struct trace_pace *pace, struct error *err)
{
    struct trace_exporter *x = calloc(1, sizeof *x);
    if (x == NULL)
        return error_no_memory(err, sizeof *x, "traces");
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_init(&x->end_ns, UINT64_MAX);
    x->options = *options;
    x->pace = *pace;
    x->text = (struct trace_text){.out = malloc(BATCH_TEXT), .room = BATCH_TEXT};
    x->post = trace_post_create(&x->options, &x->end_ns);
    enum status status = STATUS_OK;
    int number = 0;
    if (x->text.out == NULL || x->post == NULL)
        status = error_no_memory(err, BATCH_TEXT, "traces");
    else if (getrandom(&x->random, sizeof x->random, 0) < 0)
        status = error_set(err, STATUS_IO, "the system has no random numbers");
    else if ((number = thread_start(&x->thread, run, x)) != 0)
        status = error_errno(err, number, "the traces' thread");
    if (status == STATUS_OK) {
        pthread_setname_np(x->thread, "traces");
        *options = (struct trace_options){.url = NULL};
        *out = x;
    } else {
        x->options = (struct trace_options){.url = NULL}; /* the caller's still */
        release(x);
    }
    return status;
}

void trace_exporter_destroy(struct trace_exporter *x, unsigned ms)
{
    if (x == NULL)
        return;
    pthread_mutex_lock(&x->lock);
    const uint64_t n_failed = x->stats.n_failed;
    x->stopping = true;
    atomic_store(&x->end_ns, clock_now_ns() + ms * ms_ns);
    pthread_cond_signal(&x->changed);
    pthread_mutex_unlock(&x->lock);
    if (thread_join_within(x->thread, ms + 1500) != 0) { /* libcurl looks at the end each second */
        log_line(LOG_WARN, "traces: the last spans could not be delivered in time");
        return;
    }
    if (x->stats.n_failed > n_failed)
        log_line(LOG_WARN, "traces: %llu of the last spans could not be delivered",
                 (unsigned long long)(x->stats.n_failed - n_failed));
    release(x);
}
