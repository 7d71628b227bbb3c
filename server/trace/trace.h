/* trace.h - a request's place in a trace, its client's or one that it begins itself: W3C Trace
 * Context, the header traceparent.
 *
 * What is not well-formed is as good as absent, as the recommendation asks. Pure functions; knows
 * neither requests nor where spans go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_ID_MAX = 32, SPAN_ID_MAX = 16, TRACE_HEADER_MAX = 55 };

enum { TRACE_SAMPLED = 1, TRACE_RANDOM = 2 };

struct trace {
    char trace_id[TRACE_ID_MAX + 1]; /* lower-case hexadecimal; "": the request is in no trace */
    char parent_id[SPAN_ID_MAX + 1]; /* the client's span; "": the request has begun the trace */
    char span_id[SPAN_ID_MAX + 1];   /* the request's own */
    unsigned flags;                  /* TRACE_SAMPLED, TRACE_RANDOM */
};

/* Joins the trace that a traceparent names (NULL: none), as the span of this number, which is not
 * 0. False, with *out zeroed: it names none. */
bool trace_join(struct trace *out, const char *traceparent, uint64_t span);

/* Begins a trace that is sampled: of these random bits, and with this number for its span; neither
 * may be 0. */
void trace_begin(struct trace *out, const uint64_t id[2], uint64_t span);
/* Whether a trace of this ID is among the part (0 to 1) of all that are sampled: which ones they
 * are follows from the ID's last 56 bits, as in every program that samples so. */
bool trace_drawn(const uint64_t id[2], double part);

/* The request's own place, in version 00 of the header. */
void trace_write(const struct trace *trace, char out[TRACE_HEADER_MAX + 1]);
