/* log.c - builds a line in a buffer on the stack and hands it to the writer. Any thread; level,
 * format and writer are set before other threads exist. */
#include "server/log.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "server/log_writer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long the end of the process waits for a reader of the last lines. */
enum { LAST_LINES_MS = 500 };

static struct {
    enum log_format format;
    enum log_level level;
    struct log_writer *writer; /* NULL: lines are written at once */
} log_state = {LOG_TEXT, LOG_INFO, NULL};

void log_setup(enum log_format format, enum log_level level)
{
    log_state.format = format;
    log_state.level = level;
}

struct log_text { /* two bytes are kept back for what closes it */
    char *out;
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct log_text *line, const char *format,
                                                      ...)
{
    size_t room = LOG_LINE_MAX - 2 - line->n;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->out + line->n, room, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < room) /* what does not fit whole is left out */
        line->n += (size_t)n;
}

/* Text that may hold anything, as one word or sentence of the line: control characters and what is
 * not UTF-8 become '?', and in JSON quotes and backslashes are escaped. */
static void put_text(struct log_text *line, const char *text, bool json)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n && line->n + 8 < LOG_LINE_MAX;) {
        uint32_t cp;
        size_t length = utf8_decode(text + i, n - i, &cp);
        if (length == 0 || cp < 0x20 || cp == 0x7f || (cp >= 0x80 && cp < 0xa0)) {
            line->out[line->n++] = '?';
        } else {
            if (json && (cp == '"' || cp == '\\'))
                line->out[line->n++] = '\\';
            memcpy(line->out + line->n, text + i, length);
            line->n += length;
        }
        i += length > 0 ? length : 1;
    }
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

/* "2026-01-02T03:04:05.678Z" */
static void put_time(struct log_text *line, uint64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    put(line, "%s.%03uZ", text, (unsigned)(now_ms % 1000));
}

static void put_head(struct log_text *line, enum log_format format, uint64_t now_ms,
                     enum log_level level)
{
    if (format == LOG_JSON)
        put(line, "{\"time\":\"");
    put_time(line, now_ms);
    put(line, format == LOG_JSON ? "\",\"level\":\"%s\"" : " %-5s ", level_name(level));
}

size_t log_format_line(char *out, enum log_format format, uint64_t now_ms, enum log_level level,
                       const char *text)
{
    struct log_text line = {out, 0};
    put_head(&line, format, now_ms, level);
    if (format == LOG_JSON) {
        put(&line, ",\"message\":\"");
        put_text(&line, text, true);
        out[line.n++] = '"';
        out[line.n++] = '}';
    } else {
        put_text(&line, text, false);
    }
    out[line.n++] = '\n';
    return line.n;
}

/* One field of a request's line: `name=value` or `,"name":"value"`. */
static void put_word(struct log_text *line, enum log_format format, const char *name,
                     const char *value)
{
    bool json = format == LOG_JSON;
    put(line, json ? ",\"%s\":\"" : " %s=", name);
    put_text(line, value, json);
    if (json)
        put(line, "\"");
}

/* The same, of a text that may hold blanks and quotes. */
static void put_quoted(struct log_text *line, enum log_format format, const char *name,
                       const char *value)
{
    put(line, format == LOG_JSON ? ",\"%s\":\"" : " %s=\"", name);
    put_text(line, value, true);
    put(line, "\"");
}

static void put_count(struct log_text *line, enum log_format format, const char *name, size_t value)
{
    put(line, format == LOG_JSON ? ",\"%s\":%zu" : " %s=%zu", name, value);
}

static void put_ms(struct log_text *line, enum log_format format, const char *name, double value)
{
    put(line, format == LOG_JSON ? ",\"%s\":%.3f" : " %s=%.3f", name, value);
}

static enum log_level access_level(const struct log_request *r)
{
    return r->quiet ? LOG_DEBUG : LOG_INFO;
}

size_t log_format_access(char *out, enum log_format format, uint64_t now_ms,
                         const struct log_request *r)
{
    struct log_text line = {out, 0};
    put_head(&line, format, now_ms, access_level(r));
    put(&line, format == LOG_JSON ? ",\"message\":\"request\"" : "request");
    put_word(&line, format, "id", r->id);
    if (r->trace.trace_id[0] != '\0') {
        put_word(&line, format, "trace_id", r->trace.trace_id);
        put_word(&line, format, "span_id", r->trace.span_id);
        if (r->trace.parent_id[0] != '\0')
            put_word(&line, format, "parent_span_id", r->trace.parent_id);
    }
    put_word(&line, format, "method", r->method);
    put_word(&line, format, "route", r->route);
    if (r->path[0] != '\0')
        put_quoted(&line, format, "path", r->path);
    if (r->client[0] != '\0')
        put_word(&line, format, "client", r->client);
    put_count(&line, format, "status", r->status);
    put_count(&line, format, "bytes_in", r->bytes_in);
    put_ms(&line, format, "total_ms", r->total_ms);
    if (r->reason[0] != '\0')
        put_quoted(&line, format, "reason", r->reason);
    if (r->generation) {
        put_word(&line, format, "finish", r->finish);
        put_count(&line, format, "prompt_tokens", r->prompt_tokens);
        put_count(&line, format, "cached_tokens", r->cached_tokens);
        put_count(&line, format, "completion_tokens", r->completion_tokens);
        put_ms(&line, format, "queue_ms", r->queue_ms);
        put_ms(&line, format, "prefill_ms", r->prefill_ms);
        put_ms(&line, format, "decode_ms", r->decode_ms);
    }
    if (format == LOG_JSON)
        out[line.n++] = '}';
    out[line.n++] = '\n';
    return line.n;
}

static void emit(const char *line, size_t n)
{
    if (log_state.writer != NULL) {
        log_writer_put(log_state.writer, line, n);
        return;
    }
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* there is no other place to say so */
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level < log_state.level)
        return;
    char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    emit(line, log_format_line(line, log_state.format, clock_unix_ns() / 1000000, level, text));
}

void log_access(const struct log_request *request)
{
    if (access_level(request) < log_state.level)
        return;
    char line[LOG_LINE_MAX];
    emit(line, log_format_access(line, log_state.format, clock_unix_ns() / 1000000, request));
}

/* --- where lines go --- */

static size_t say_dropped(char *out, uint64_t n_dropped)
{
    char text[LOG_LINE_MAX];
    snprintf(text, sizeof text, "%llu log line%s dropped: the log could not be written",
             (unsigned long long)n_dropped, n_dropped == 1 ? " was" : "s were");
    return log_format_line(out, log_state.format, clock_unix_ns() / 1000000, LOG_WARN, text);
}

enum status log_open(const char *path, struct error *err)
{
    return log_writer_create(&log_state.writer, path, say_dropped, err);
}

enum status log_reopen(struct error *err)
{
    return log_state.writer != NULL ? log_writer_reopen(log_state.writer, err) : STATUS_OK;
}

uint64_t log_dropped(void)
{
    return log_state.writer != NULL ? log_writer_dropped(log_state.writer) : 0;
}

void log_close(void)
{
    log_writer_destroy(log_state.writer, LAST_LINES_MS);
    log_state.writer = NULL;
}
