/* metrics.h - what the service counts, and its text for Prometheus.
 *
 * The engine counts tokens and steps by itself (engine_stats); here are the requests. Every series
 * exists from the start. Written and read by the loop thread alone; no lock, and a scrape changes
 * nothing but the rates' own memory. Knows the routes only by number.
 */
#pragma once

#include "engine/engine.h"
#include "engine/stats.h"
#include "grammar/cache.h"
#include "server/process.h"
#include "server/trace/exporter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reject_reason {
    REJECT_QUEUE_FULL,
    REJECT_DEADLINE,
    REJECT_DRAINING,
    REJECT_TOO_LARGE,
    REJECT_BODY_MEMORY,
    REJECT_REASONS
};

enum { METRICS_ROUTES_MAX = 96, METRICS_CODES = 18 };
enum {
    CODE_CLIENT_LEFT = 499
}; /* never sent: the client was gone before its answer was complete */

struct bounds { /* upper bounds of a histogram's buckets, ascending; +Inf is implied */
    const double *values;
    size_t n;
};
/* OpenTelemetry's for generative AI's servers, extended down to 50 us and up to 2560 s. */
extern const struct bounds duration_bounds, first_token_bounds, per_token_bounds;

enum { HISTOGRAM_BUCKETS_MAX = 32 };
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS_MAX +
                    1]; /* not cumulative; the one after the last bound's is +Inf's */
    double sum;
};
void metrics_observe(struct histogram *h, const struct bounds *bounds, double value);

/* A counter's growth over the last 10 s, however often it is asked for: its value at the end of
 * each recent second. */
enum { RATE_SECONDS = 10, RATE_SLOTS = 16 };
struct rate {
    uint64_t slots[RATE_SLOTS]; /* [second % RATE_SLOTS]: the value when that second ended */
    uint64_t second;            /* the current one, since start */
};
void rate_tick(struct rate *rate, double now,
               uint64_t value); /* now: seconds since start; whenever the value may have grown */
double rate_read(struct rate *rate, double now, uint64_t value);

struct metrics {
    uint64_t start_ns; /* CLOCK_MONOTONIC */
    double start_unix; /* seconds */
    uint64_t requests[METRICS_ROUTES_MAX][METRICS_CODES];
    uint64_t rejected[REJECT_REASONS];
    uint64_t left_before_queue; /* clients that left while their body was decoded: counted with the
                                   queued ones */
    struct histogram duration, first_token, per_token, queue;
    struct rate generated, prompt;
    struct process process;
};
void metrics_init(struct metrics *m);
void metrics_free(struct metrics *m); /* zeroed: nothing happens */

void metrics_request(struct metrics *m, size_t route, unsigned code);
void metrics_reject(struct metrics *m, enum reject_reason reason);
/* A job that ended with an answer, now: its times. Called before its last byte is sent. */
void metrics_generation(struct metrics *m, const struct job *job, uint64_t now_ns);
/* Tokens generated a second, over the last 10 s; n_tokens: so far. */
double metrics_generated_rate(struct metrics *m, uint64_t now_ns, uint64_t n_tokens);

/* The engine has progressed: keeps the rates' memory. Costs a division in most calls. */
void metrics_progress(struct metrics *m, struct engine *engine, uint64_t now_ns);

struct metrics_view {          /* what is known outside of struct metrics; borrowed */
    const char *const *routes; /* [n_routes] labels */
    size_t n_routes;
    size_t queue_limit;
    bool vllm_names; /* its gauges of load too */
    size_t connections, connections_limit;
    size_t body_bytes, body_bytes_limit;
    uint64_t log_lines_dropped;
    struct trace_stats spans;
    const char *version,
        *kernels; /* kernels NULL: not loaded yet, and then model, architecture and weights too */
    const char *model, *architecture, *weights;
    uint64_t step_weight_bytes; /* that one step reads at least */
    unsigned n_threads;
    double cores; /* processors' worth that may be used */
    uint64_t n_periods, n_throttled, throttled_ns;
    uint64_t memory_limit, memory_used; /* bytes */
    const struct engine_stats *stats;   /* zeroed while loading */
    struct grammar_cache_stats grammars;
};
enum { METRICS_ROOM = 384 * 1024 }; /* always enough */
/* The text format 0.0.4. Returns its length, 0 when room is too small. */
size_t metrics_write(struct metrics *m, const struct metrics_view *view, uint64_t now_ns, char *out,
                     size_t room);
