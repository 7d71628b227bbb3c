/* exporter.h - brings the spans of finished requests to an endpoint without making a thread wait.
 *
 * Records go into a bounded ring, and a thread of its own turns them into spans, many in one
 * request, and sends these. What the endpoint cannot take now waits and is tried again, as OTLP
 * asks; meanwhile the ring fills up, and what finds no room there is dropped and counted. The log
 * has a line when delivery begins to fail and one when it works again. Any thread may put records;
 * knows nothing of how they came to be.
 */
#pragma once

#include "server/trace/options.h"
#include "server/trace/record.h"

#include <stdint.h>

/* What waits at most, besides the spans under way. */
enum { TRACE_RING_RECORDS = 2048, TRACE_RING_SPANS = 8192 };

struct trace_pace {
    unsigned linger_ms;                  /* that the first of a batch waits for others */
    unsigned backoff_ms, backoff_max_ms; /* after a failure, then half as long again each time */
    unsigned give_up_ms;                 /* of one batch, with all its tries */
};
extern const struct trace_pace trace_usual_pace;

struct trace_stats { /* spans; and tries that failed */
    uint64_t n_sent, n_failed, n_dropped, n_failures;
};

struct trace_exporter;

/* Starts the thread. Takes the options over, and zeroes them, unless it fails. STATUS_IO,
 * STATUS_NO_MEMORY. */
enum status trace_exporter_create(struct trace_exporter **out, struct trace_options *options,
                                  const struct trace_pace *pace, struct error *err);
/* Takes the record over (NULL: there was no memory for one, which counts as a span). Never waits
 * for the endpoint. */
void trace_exporter_put(struct trace_exporter *exporter, struct trace_record *record);
double trace_exporter_part(const struct trace_exporter *exporter); /* of traces begun here */
/* exporter NULL: zeros. */
void trace_exporter_stats(struct trace_exporter *exporter, struct trace_stats *out);
/* Sends what is left, for at most so many ms, and frees everything; a thread that is still held
 * then keeps it. Takes NULL. */
void trace_exporter_destroy(struct trace_exporter *exporter, unsigned ms);
