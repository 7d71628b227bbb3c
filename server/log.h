/* log.h - lines for the operator on standard error or in a file, as text or JSON.
 *
 * Whole lines, in order; a line costs no heap, and no thread ever waits for their reader
 * (log_writer.h). Any thread; level, format and file are set once, before threads exist (the one
 * mutable global of the program). Never handed a prompt's or an answer's text.
 */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "server/trace/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void log_setup(enum log_format format, enum log_level level);

/* From here on lines go through a thread of their own to a file (NULL: standard error); before, and
 * after log_close, they are written to standard error at once. STATUS_IO, STATUS_NO_MEMORY. */
enum status log_open(const char *path, struct error *err);
/* Opens the file anew, after it was moved away. On failure the old one stays in use. */
enum status log_reopen(struct error *err);
uint64_t log_dropped(void); /* lines that could not be written */
void log_close(void);       /* waits for the last lines, but not for long */

/* One sentence. Longer than LOG_LINE_MAX is cut; control characters are escaped. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct log_request {                 /* one finished request; times in ms */
    const char *id, *method, *route; /* route: as the table names it, "other" for unknown paths */
    bool quiet;                      /* a probe that was answered: at debug */
    struct trace trace;              /* zeroed: in none */
    char client[48];                 /* its address; "": not known */
    char path[128];                  /* of an unknown route; "": as the route, or not known */
    char reason[256];                /* of a refusal; "": none */
    unsigned status;
    size_t bytes_in;
    double total_ms;
    bool generation;    /* the fields below hold */
    const char *finish; /* "stop", "length", "deadline", "cancelled", "error" */
    size_t prompt_tokens, cached_tokens, completion_tokens;
    double queue_ms, prefill_ms, decode_ms;
};
void log_access(const struct log_request *request);

enum { LOG_LINE_MAX = 2048 };
/* The bytes that log_access and log_line write, newline included, into out[LOG_LINE_MAX]: apart for
 * the tests. now_ms: Unix time. */
size_t log_format_access(char *out, enum log_format format, uint64_t now_ms,
                         const struct log_request *request);
size_t log_format_line(char *out, enum log_format format, uint64_t now_ms, enum log_level level,
                       const char *text);
