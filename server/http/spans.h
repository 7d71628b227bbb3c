/* spans.h - a request's place in a trace, from its headers on, and the record of its spans at its
 * end. Loop thread.
 */
#pragma once

struct log_request;
struct request;
struct trace_record;

/* Its headers are here and its route is known: it joins its client's trace, or begins one where
 * spans go anywhere and the draw says so. */
void spans_begin(struct request *r);
/* At its end: what HTTP knows of it, its line in the log included, malloc'ed. NULL: it has no spans
 * (or no memory for them, which is counted). */
struct trace_record *spans_record(const struct request *r, const struct log_request *line);
