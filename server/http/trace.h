/* trace.h - a request's place in a trace that its client has begun: W3C Trace Context, the header
 * traceparent.
 *
 * What is not well-formed is as good as absent, as the recommendation asks. Pure functions; knows
 * neither requests nor where spans go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_ID_MAX = 32, SPAN_ID_MAX = 16, TRACE_HEADER_MAX = 55 };

struct trace {
    char trace_id[TRACE_ID_MAX + 1]; /* lower-case hexadecimal; "": the request is in no trace */
    char parent_id[SPAN_ID_MAX + 1]; /* the client's span */
    char span_id[SPAN_ID_MAX + 1];   /* the request's own */
    unsigned flags;                  /* those that are known: sampled, random */
};

/* Joins the trace that a traceparent names (NULL: none), as the span of this number, which is not
 * 0. False, with *out zeroed: it names none. */
bool trace_join(struct trace *out, const char *traceparent, uint64_t span);

/* The request's own place, in version 00 of the header. */
void trace_write(const struct trace *trace, char out[TRACE_HEADER_MAX + 1]);
