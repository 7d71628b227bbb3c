/* options.h - where spans go, with which headers, how many of them, and what they say of the
 * process: the settings, and after them OpenTelemetry's own environment variables.
 *
 * Read once, before threads exist. A header's value may be a key: it is never shown. Knows URLs and
 * lists, nothing of sending.
 */
#pragma once

#include "base/error.h"
#include "server/trace/encode.h"

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_LIST_MAX = 64 }; /* headers, and attributes of the resource */

struct trace_wishes {               /* the program's settings */
    const char *endpoint, *headers; /* NULL: not set */
    double part;                    /* of traces begun here, that are sampled */
    bool part_given;
};

struct trace_options {
    char *url;     /* owned; NULL: nothing is traced */
    bool is_local; /* it is this machine's */
    double part;
    unsigned timeout_ms;           /* of one request to the endpoint */
    char *headers[TRACE_LIST_MAX]; /* [n_headers] "Name: value", owned */
    size_t n_headers;
    struct trace_attribute resource[TRACE_LIST_MAX + 8]; /* [n_resource], owned */
    size_t n_resource;
};

/* As getenv. */
typedef const char *trace_lookup_fn(const char *name);

/* STATUS_INVALID names the setting or variable at fault; then, and on STATUS_NO_MEMORY, nothing is
 * owned. */
enum status trace_options_read(struct trace_options *out, const struct trace_wishes *wishes,
                               trace_lookup_fn *lookup, struct error *err);
void trace_options_free(struct trace_options *options); /* zeroed: nothing happens */
