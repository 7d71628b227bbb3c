/* metrics.c - counting, the rates, and the text for a scrape. Loop thread. */
#include "server/metrics.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* OpenTelemetry's recommended bounds stand between the first and the last line of each. */
/* clang-format off */
static const double duration_values[] = {
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    163.84, 327.68, 655.36, 1310.72, 2560,
};
static const double first_token_values[] = {
    0.00005, 0.0001, 0.00025, 0.0005,
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    20, 40, 80, 160, 320, 640, 1280, 2560,
};
static const double per_token_values[] = {
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5,
    5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560,
};
#define BOUNDS(values) {(values), sizeof(values) / sizeof(values)[0]}
/* clang-format on */
const struct bounds duration_bounds = BOUNDS(duration_values);
const struct bounds first_token_bounds = BOUNDS(first_token_values);
const struct bounds per_token_bounds = BOUNDS(per_token_values);
static const struct bounds step_bounds = {engine_step_bounds, ENGINE_STEP_BUCKETS};
static const struct bounds size_bounds = {engine_size_bounds, ENGINE_SIZE_BUCKETS};
static_assert(sizeof per_token_values / sizeof per_token_values[0] <= HISTOGRAM_BUCKETS_MAX,
              "the longest");

/* Every code that the service answers with; what is not here counts with the last one. */
static const unsigned codes[METRICS_CODES] = {200, 204, 400, 401, 403, 404, 405,
                                              411, 413, 415, 417, 429, 431, CODE_CLIENT_LEFT,
                                              501, 503, 505, 500};

static const char *const reject_names[REJECT_REASONS] = {"queue_full", "deadline", "draining",
                                                         "too_large", "body_memory"};
static const char *const phase_names[] = {"queued", "prefill", "decode"};

void metrics_observe(struct histogram *h, const struct bounds *bounds, double value)
{
    size_t i = 0;
    while (i < bounds->n && value > bounds->values[i])
        i++;
    h->counts[i]++;
    h->sum += value;
}

void rate_tick(struct rate *rate, double now, uint64_t value)
{
    uint64_t second = (uint64_t)now;
    /* The seconds since the last tick ended with this value: had it grown in one of them, there
     * would have been a tick. */
    if (second - rate->second > RATE_SLOTS)
        rate->second = second - RATE_SLOTS;
    for (; rate->second < second; rate->second++)
        rate->slots[rate->second % RATE_SLOTS] = value;
}

double rate_read(struct rate *rate, double now, uint64_t value)
{
    rate_tick(rate, now, value);
    uint64_t second = (uint64_t)now;
    if (second <= RATE_SECONDS)
        return now > 0 ? (double)value / fmax(now, 1) : 0;
    uint64_t base = second - RATE_SECONDS - 1; /* it ended at base + 1 */
    return (double)(value - rate->slots[base % RATE_SLOTS]) / (now - (double)(base + 1));
}

static double since_start(const struct metrics *m, uint64_t now_ns)
{
    return (double)(now_ns - m->start_ns) * 1e-9;
}

double metrics_generated_rate(struct metrics *m, uint64_t now_ns, uint64_t n_tokens)
{
    return rate_read(&m->generated, since_start(m, now_ns), n_tokens);
}

void metrics_init(struct metrics *m)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *m = (struct metrics){.start_ns = clock_now_ns(),
                          .start_unix = (double)now.tv_sec + (double)now.tv_nsec * 1e-9};
    process_open(&m->process);
}

void metrics_free(struct metrics *m)
{
    process_close(&m->process);
}

void metrics_request(struct metrics *m, size_t route, unsigned code)
{
    size_t i = 0;
    while (i < METRICS_CODES - 1 && codes[i] != code)
        i++;
    m->requests[route][i]++;
}

void metrics_reject(struct metrics *m, enum reject_reason reason)
{
    m->rejected[reason]++;
}

static void add_span(struct histogram *h, const struct bounds *bounds, uint64_t from_ns,
                     uint64_t to_ns)
{
    metrics_observe(h, bounds, to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0);
}

void metrics_generation(struct metrics *m, const struct job *job, uint64_t now_ns)
{
    add_span(&m->duration, &duration_bounds, job->arrived_ns, now_ns);
    if (job->started_ns != 0)
        add_span(&m->queue, &duration_bounds, job->arrived_ns, job->started_ns);
    if (job->first_token_ns != 0)
        add_span(&m->first_token, &first_token_bounds, job->arrived_ns, job->first_token_ns);
    const size_t n_made = job->n_completion - job_n_resumed(job);
    if (n_made > 1) {
        double decode = (double)(job->last_token_ns - job->first_token_ns) * 1e-9;
        metrics_observe(&m->per_token, &per_token_bounds, decode / (double)(n_made - 1));
    }
}

void metrics_progress(struct metrics *m, struct engine *engine, uint64_t now_ns)
{
    double now = since_start(m, now_ns);
    if ((uint64_t)now == m->generated.second)
        return;
    struct engine_stats stats;
    engine_stats(engine, &stats);
    rate_tick(&m->generated, now, stats.generated_tokens);
    rate_tick(&m->prompt, now, stats.prompt_computed_tokens);
}

/* --- the text --- */

struct text {
    char *out;
    size_t n, room;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->out + t->n, t->room - t->n, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= t->room - t->n)
        t->full = true;
    else
        t->n += (size_t)n;
}

static void put_head(struct text *t, const char *name, const char *type, const char *help)
{
    put(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct text *t, const char *name, const char *type, const char *help,
                      double value)
{
    put_head(t, name, type, help);
    put(t, "%s %.17g\n", name, value);
}

static void put_count(struct text *t, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    put_head(t, name, type, help);
    put(t, "%s %llu\n", name, (unsigned long long)value);
}

static void put_series(struct text *t, const char *name, const char *label, const char *key,
                       uint64_t value)
{
    put(t, "%s{%s=\"%s\"} %llu\n", name, label, key, (unsigned long long)value);
}

/* A label's value: backslash and quote are escaped, controls are left out, and what is no character
 * becomes U+FFFD: a scrape that is not UTF-8 is refused as a whole. */
static void put_label(struct text *t, const char *name, const char *value)
{
    uint32_t cp;
    put(t, "%s=\"", name);
    for (size_t n_left = strlen(value), n; n_left > 0; value += n, n_left -= n) {
        size_t n_char = utf8_decode(value, n_left, &cp);
        n = n_char > 0 ? n_char : 1;
        if (n_char == 0)
            put(t, "\uFFFD");
        else if (*value == '\\' || *value == '"')
            put(t, "\\%c", *value);
        else if (cp >= 0x20)
            put(t, "%.*s", (int)n, value);
    }
    put(t, "\"");
}

static void put_histogram(struct text *t, const char *name, const char *help,
                          const struct bounds *bounds, const uint64_t *counts, double sum)
{
    put_head(t, name, "histogram", help);
    uint64_t total = 0;
    for (size_t i = 0; i < bounds->n; i++) {
        total += counts[i];
        put(t, "%s_bucket{le=\"%.9g\"} %llu\n", name, bounds->values[i], (unsigned long long)total);
    }
    total += counts[bounds->n];
    put(t, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)total);
    put(t, "%s_sum %.17g\n%s_count %llu\n", name, sum, name, (unsigned long long)total);
}

static void put_requests(struct text *t, const struct metrics *m, const struct metrics_view *view)
{
    const struct engine_stats *s = view->stats;
    put_head(
        t, "smallmind_requests_total", "counter",
        "Requests by route and status code; 499: the client left before its answer was complete.");
    for (size_t route = 0; route < view->n_routes; route++)
        for (size_t i = 0; i < METRICS_CODES; i++)
            if (codes[i] == 200 || m->requests[route][i] > 0)
                put(t, "smallmind_requests_total{route=\"%s\",code=\"%u\"} %llu\n",
                    view->routes[route], codes[i], (unsigned long long)m->requests[route][i]);
    put_head(t, "smallmind_requests_rejected_total", "counter",
             "Requests refused for lack of room or time.");
    for (size_t i = 0; i < REJECT_REASONS; i++)
        put_series(t, "smallmind_requests_rejected_total", "reason", reject_names[i],
                   m->rejected[i]);
    put_head(t, "smallmind_requests_cancelled_total", "counter",
             "Generations ended because their client left, by what they were doing.");
    for (size_t i = 0; i < 3; i++)
        put_series(t, "smallmind_requests_cancelled_total", "phase", phase_names[i],
                   s->cancelled[i] + (i == JOB_QUEUED ? m->left_before_queue : 0));
    put_count(t, "smallmind_requests_running", "gauge", "Generations being computed.", s->running);
    put_count(t, "smallmind_requests_queued", "gauge", "Generations waiting.", s->queued);
    put_count(t, "smallmind_queue_limit", "gauge", "Generations that may wait.", view->queue_limit);
}

static void put_connections(struct text *t, const struct metrics_view *view)
{
    put_head(t, "smallmind_connections", "gauge", "Connections: open, and how many may be.");
    put_series(t, "smallmind_connections", "state", "open", view->connections);
    put_series(t, "smallmind_connections", "state", "limit", view->connections_limit);
    put_head(t, "smallmind_body_bytes", "gauge",
             "Bytes of request bodies not yet decoded: held, and how many may be.");
    put_series(t, "smallmind_body_bytes", "state", "held", view->body_bytes);
    put_series(t, "smallmind_body_bytes", "state", "limit", view->body_bytes_limit);
    put_count(t, "smallmind_log_lines_dropped_total", "counter",
              "Lines of the log that could not be written.", view->log_lines_dropped);
}

static void put_traces(struct text *t, const struct trace_stats *s)
{
    put_head(t, "smallmind_spans_total", "counter",
             "Spans of traces: delivered; given up, as the endpoint did not take them; dropped, as "
             "there was no room for them to wait.");
    put_series(t, "smallmind_spans_total", "outcome", "sent", s->n_sent);
    put_series(t, "smallmind_spans_total", "outcome", "failed", s->n_failed);
    put_series(t, "smallmind_spans_total", "outcome", "dropped", s->n_dropped);
    put_count(t, "smallmind_span_export_failures_total", "counter",
              "Requests to the traces' endpoint that failed, tries again included.", s->n_failures);
}

static void put_tokens(struct text *t, struct metrics *m, const struct engine_stats *s,
                       uint64_t now_ns)
{
    double now = since_start(m, now_ns);
    put_count(t, "smallmind_generated_tokens_total", "counter", "Tokens generated.",
              s->generated_tokens);
    put_head(t, "smallmind_prompt_tokens_total", "counter",
             "Prompt tokens, computed or found in the prefix cache.");
    put_series(t, "smallmind_prompt_tokens_total", "source", "computed", s->prompt_computed_tokens);
    put_series(t, "smallmind_prompt_tokens_total", "source", "cached", s->prompt_cached_tokens);
    put_value(t, "smallmind_generated_tokens_per_second", "gauge",
              "Tokens generated a second, over the last 10 s.",
              rate_read(&m->generated, now, s->generated_tokens));
    put_value(t, "smallmind_prompt_tokens_per_second", "gauge",
              "Prompt tokens computed a second, over the last 10 s.",
              rate_read(&m->prompt, now, s->prompt_computed_tokens));
}

/* The share of all possible pages that live sequences hold. */
static double kv_usage(const struct kv_stats *kv)
{
    return kv->n_pages > 0 ? (double)kv->n_used / (double)kv->n_pages : 0;
}

static void put_kv(struct text *t, const struct kv_stats *kv)
{
    put_head(t, "smallmind_kv_pages", "gauge",
             "Pages of the KV cache: held by live sequences, kept for reuse, free.");
    put_series(t, "smallmind_kv_pages", "state", "used", kv->n_used);
    put_series(t, "smallmind_kv_pages", "state", "cached", kv->n_cached);
    put_series(t, "smallmind_kv_pages", "state", "free", kv->n_pages - kv->n_used - kv->n_cached);
    put_head(t, "smallmind_kv_states", "gauge",
             "States of recurrent layers: of live sequences, kept for reuse, free.");
    put_series(t, "smallmind_kv_states", "state", "used", kv->n_states_used);
    put_series(t, "smallmind_kv_states", "state", "cached", kv->n_states_kept);
    put_series(t, "smallmind_kv_states", "state", "free",
               kv->n_states - kv->n_states_used - kv->n_states_kept);
    put_value(t, "smallmind_kv_usage_ratio", "gauge",
              "Part of the KV cache that live sequences hold, from 0 to 1.", kv_usage(kv));
    put_count(t, "smallmind_kv_pages_total", "gauge", "Pages of the KV cache.", kv->n_pages);
    put_count(t, "smallmind_kv_page_positions", "gauge", "Positions of one page.", KV_PAGE);
}

/* The names by which endpoint pickers and autoscalers know the same. */
static void put_vllm(struct text *t, const struct engine_stats *s)
{
    put_count(t, "vllm:num_requests_running", "gauge", "Generations being computed.", s->running);
    put_count(t, "vllm:num_requests_waiting", "gauge", "Generations waiting.", s->queued);
    put_value(t, "vllm:kv_cache_usage_perc", "gauge",
              "Part of the KV cache that live sequences hold, from 0 to 1.", kv_usage(&s->kv));
    put_head(t, "vllm:cache_config_info", "gauge",
             "Positions of a page of the KV cache, and how many pages there are.");
    put(t, "vllm:cache_config_info{block_size=\"%d\",num_gpu_blocks=\"%zu\"} 1\n", KV_PAGE,
        s->kv.n_pages);
}

static void put_engine(struct text *t, const struct engine_stats *s)
{
    put_histogram(t, "smallmind_step_seconds", "Duration of a worker's step.", &step_bounds,
                  s->step_seconds, s->step_seconds_sum);
    put_histogram(t, "smallmind_step_sequences", "Sequences with a row in a worker's step.",
                  &size_bounds, s->step_sequences, (double)s->step_sequences_sum);
    put_kv(t, &s->kv);
    put_count(t, "smallmind_kv_given_back_bytes_total", "counter",
              "Memory of the KV cache that went back to the system, as it was short of it.",
              s->kv_given_back);
    put_count(t, "smallmind_prefix_cache_query_tokens_total", "counter",
              "Tokens looked up in the prefix cache: prompts, and what preempted generations had.",
              s->kv.query_tokens);
    put_count(t, "smallmind_prefix_cache_hit_tokens_total", "counter",
              "Of them, tokens found there.", s->kv.hit_tokens);
    put_count(t, "smallmind_forced_tokens_total", "counter",
              "Of the generated tokens, those that a grammar left no choice about.",
              s->forced_tokens);
    put_count(t, "smallmind_preemptions_total", "counter",
              "Times that a generation gave its KV pages to older ones, to go on later.",
              s->preemptions);
    put_count(t, "smallmind_recomputed_tokens_total", "counter",
              "Tokens of preempted generations, prompt and answer, that were computed again.",
              s->recomputed_tokens);
    put_count(t, "smallmind_engine_allocations_total", "counter",
              "Calls of the malloc family and mmap on compute threads since start: stays 0.",
              s->allocations);
}

static void put_grammars(struct text *t, const struct grammar_cache_stats *s)
{
    put_count(t, "smallmind_grammar_compiles_total", "counter",
              "Shapes of answers that were compiled, without those that were refused.",
              s->compiles);
    put_count(t, "smallmind_grammar_cache_hits_total", "counter",
              "Requests whose shape had been compiled for an earlier one.", s->hits);
    put_count(t, "smallmind_grammar_cache_bytes", "gauge",
              "Compiled shapes that are kept, as of the last time one was compiled.", s->n_bytes);
}

static void put_times(struct text *t, const struct metrics *m)
{
    put_histogram(t, "smallmind_request_queue_seconds",
                  "From a generation's arrival to its first step.", &duration_bounds,
                  m->queue.counts, m->queue.sum);
    put_histogram(t, "gen_ai_server_request_duration_seconds",
                  "From a generation's arrival to its last byte.", &duration_bounds,
                  m->duration.counts, m->duration.sum);
    put_histogram(t, "gen_ai_server_time_to_first_token_seconds",
                  "From a generation's arrival to its first token.", &first_token_bounds,
                  m->first_token.counts, m->first_token.sum);
    put_histogram(t, "gen_ai_server_time_per_output_token_seconds",
                  "Mean time of a generation's tokens after its first.", &per_token_bounds,
                  m->per_token.counts, m->per_token.sum);
}

static void put_process(struct text *t, const struct metrics *m)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    put_value(t, "process_cpu_seconds_total", "counter", "User and system CPU time.", cpu);
    uint64_t value;
    if (process_resident_bytes(&m->process, &value))
        put_count(t, "process_resident_memory_bytes", "gauge", "Resident memory.", value);
    if (process_open_files(&m->process, &value))
        put_count(t, "process_open_fds", "gauge", "Open file descriptors.", value);
    if (process_max_files(&value))
        put_count(t, "process_max_fds", "gauge", "File descriptors that may be open.", value);
    put_value(t, "process_start_time_seconds", "gauge", "When the process started, in Unix time.",
              m->start_unix);
}

/* What the system lets the process have: of its control group, and of all above it. */
static void put_allowance(struct text *t, const struct metrics_view *view)
{
    put_value(t, "smallmind_cpu_limit_cores", "gauge",
              "Processors that affinity, cores and CPU quota leave this process.", view->cores);
    put_count(t, "smallmind_cpu_periods_total", "counter",
              "Periods of the CPU quota in which the process ran.", view->n_periods);
    put_count(t, "smallmind_cpu_throttled_periods_total", "counter",
              "Of them, periods whose quota did not last.", view->n_throttled);
    put_value(t, "smallmind_cpu_throttled_seconds_total", "counter",
              "Time that processors were held back by the CPU quota.",
              (double)view->throttled_ns * 1e-9);
    put_count(t, "smallmind_memory_limit_bytes", "gauge",
              "Memory that may be used: the control group's nearest limit, or the machine's.",
              view->memory_limit);
    put_count(t, "smallmind_memory_used_bytes", "gauge",
              "Memory used under that limit, without what the system can drop.", view->memory_used);
}

static void put_info(struct text *t, const struct metrics_view *view)
{
    put_count(t, "smallmind_threads", "gauge", "Compute threads.", view->n_threads);
    if (view->kernels == NULL)
        return;
    put_head(t, "smallmind_build_info", "gauge", "Version and kernels in use.");
    put(t, "smallmind_build_info{");
    put_label(t, "version", view->version);
    put(t, ",");
    put_label(t, "kernels", view->kernels);
    put(t, "} 1\n");
    put_head(t, "smallmind_model_info", "gauge", "The model that is served.");
    put(t, "smallmind_model_info{");
    put_label(t, "model", view->model);
    put(t, ",");
    put_label(t, "architecture", view->architecture);
    put(t, ",");
    put_label(t, "weights", view->weights);
    put(t, "} 1\n");
    put_count(t, "smallmind_weight_bytes_per_step", "gauge",
              "Bytes of weights that one token's step reads.", view->step_weight_bytes);
}

size_t metrics_write(struct metrics *m, const struct metrics_view *view, uint64_t now_ns, char *out,
                     size_t room)
{
    struct text t = {.out = out, .room = room};
    put_tokens(&t, m, view->stats, now_ns);
    put_requests(&t, m, view);
    put_connections(&t, view);
    put_traces(&t, &view->spans);
    put_engine(&t, view->stats);
    put_grammars(&t, &view->grammars);
    put_times(&t, m);
    put_info(&t, view);
    put_allowance(&t, view);
    put_process(&t, m);
    if (view->vllm_names)
        put_vllm(&t, view->stats);
    return t.full ? 0 : t.n;
}
