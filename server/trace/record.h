/* record.h - what the spans of one request are made of: noted by the loop thread where the request
 * ends, read by the exporter's thread.
 *
 * Times are those that requests and jobs have anyway, so that a trace costs nothing while tokens
 * are made: the spans come into being afterwards. Plain data; owned by one thread at a time. Never
 * holds a prompt's or an answer's text. Knows neither HTTP's library nor jobs.
 */
#pragma once

#include "server/trace/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Answers that have spans of their own, of one request; those after them are counted alone. */
enum { TRACE_CHOICES_MAX = 64 };

struct trace_choice {    /* one answer; times: CLOCK_MONOTONIC, 0: never */
    uint64_t arrived_ns; /* into the queue */
    uint64_t started_ns; /* its first step */
    uint64_t read_ns;    /* its prompt was read */
    uint64_t ended_ns;
    bool decodes; /* it made tokens */
    size_t n_prompt, n_cached, n_completion;
    const char *finish; /* static */
};

struct trace_record {
    struct trace trace;
    uint64_t begun_ns, ended_ns; /* CLOCK_MONOTONIC */
    uint64_t unix_ns;            /* of ended_ns */

    const char *method, *route; /* static; route NULL: an unknown path */
    const char *error;          /* the API's code of what went wrong, static; NULL: nothing did */
    unsigned status;            /* 0: there was no answer */
    bool old;                   /* HTTP/1.0 */
    unsigned port;              /* 0: the Host header has none */
    char host[128];             /* "": not known */
    char client[48], path[128], reason[256], id[64 + 1];

    /* of generations */
    const char *operation; /* static; NULL: it was none, or did not come so far */
    char asked_model[128], model[128];
    bool stream, failed; /* failed: by a fault of the service's own */
    bool has_seed, has_sampling;
    uint64_t seed;
    size_t max_tokens;
    double temperature, top_p, frequency_penalty, presence_penalty;
    unsigned top_k;
    size_t n_asked; /* answers */
    size_t n_prompt, n_cached, n_completion;
    double first_token_s; /* of a stream, from the request's begin; 0: none */

    size_t n_choices; /* at most TRACE_CHOICES_MAX */
    struct trace_choice choices[];
};

/* malloc'ed and zeroed, without choices. NULL: no memory. */
struct trace_record *trace_record_create(void);
/* Makes room for n choices, zeroed, and sets n_choices. False: no memory; the record has none. */
bool trace_record_reserve(struct trace_record **record, size_t n);
size_t trace_record_spans(const struct trace_record *record);

/* The phases of an answer, each a span: which of them there are, and when. */
enum trace_phase { TRACE_QUEUE, TRACE_PREFILL, TRACE_DECODE, TRACE_PHASES };
/* False: it never came to it. */
bool trace_choice_phase(const struct trace_choice *choice, enum trace_phase phase,
                        uint64_t *begin_ns, uint64_t *end_ns);
