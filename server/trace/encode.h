/* encode.h - records as OTLP's JSON: one request for many, spans with the attributes of
 * OpenTelemetry's conventions for HTTP and for generative AI.
 *
 * A request is a span of kind SERVER; below it its phases (queue, prefill, decode), or, where it
 * has several answers, a span for each with its phases below that. Text goes into a buffer of the
 * caller's. Pure but for cJSON's heap; one thread. Knows neither rings nor sockets.
 */
#pragma once

#include "server/trace/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No record's spans take more. */
enum { TRACE_TEXT_MAX = 256 * 1024 };

struct trace_attribute { /* of the resource; both owned by whoever made the list */
    char *name, *value;
};

struct trace_text { /* one request to an endpoint as it grows */
    char *out;      /* [room] */
    size_t n, room;
    size_t n_spans;
};

/* Begins a request: resource and scope. False: no room. */
bool trace_encode_begin(struct trace_text *text, const struct trace_attribute *resource,
                        size_t n_resource);
/* Adds a record's spans, all or none; their IDs are drawn from *random. False: no room. */
bool trace_encode_add(struct trace_text *text, const struct trace_record *record, uint64_t *random);
/* Ends it. The bytes that it takes are kept free all along. */
void trace_encode_end(struct trace_text *text);
