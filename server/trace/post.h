/* post.h - one POST of spans to an endpoint, and what OTLP says of its answer.
 *
 * Waits for as long as it takes, but not beyond its time; so it is the exporter's thread's alone.
 * Redirects are not followed; of an answer's body no more is read than a partial success may say.
 */
#pragma once

#include "server/trace/options.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum trace_outcome {
    TRACE_TAKEN,
    TRACE_LATER,   /* it may be taken at another try */
    TRACE_REFUSED, /* never */
};

struct trace_answer {
    enum trace_outcome outcome;
    uint64_t retry_ms; /* Retry-After; 0: not said */
    size_t n_rejected; /* spans of those that were taken otherwise */
    char why[256];     /* what went wrong; "": nothing; printable */
};

struct trace_post;

/* options: borrowed. end_ns: CLOCK_MONOTONIC, by when a POST under way is given up; UINT64_MAX:
 * never. NULL: no memory. */
struct trace_post *trace_post_create(const struct trace_options *options,
                                     const _Atomic uint64_t *end_ns);
void trace_post_destroy(struct trace_post *post); /* takes NULL */
void trace_post_send(struct trace_post *post, const char *body, size_t n,
                     struct trace_answer *answer);
