/* trace.c - reads and writes W3C Trace Context's traceparent (Level 2). Pure; any thread. */
#include "server/trace/trace.h"

#include <stdio.h>
#include <string.h>

/* Where the parts of "00-TRACE_ID-PARENT_ID-FLAGS" begin. */
enum {
    AT_TRACE = 3,
    AT_PARENT = AT_TRACE + TRACE_ID_MAX + 1,
    AT_FLAGS = AT_PARENT + SPAN_ID_MAX + 1
};
enum { FLAGS_KNOWN = TRACE_SAMPLED | TRACE_RANDOM };

/* -1: not a lower-case hexadecimal digit */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool all_digits(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (digit(text[i]) < 0)
            return false;
    return true;
}

/* An ID of zeros alone names nothing. */
static bool is_id(const char *text, size_t n)
{
    return all_digits(text, n) && strspn(text, "0") < n;
}

/* A later version may go on after the flags, with another hyphen. */
static bool is_well_formed(const char *text)
{
    size_t n = strlen(text);
    if (n < TRACE_HEADER_MAX || !all_digits(text, 2) || memcmp(text, "ff", 2) == 0)
        return false;
    bool ends =
        n == TRACE_HEADER_MAX || (memcmp(text, "00", 2) != 0 && text[TRACE_HEADER_MAX] == '-');
    return ends && text[AT_TRACE - 1] == '-' && is_id(text + AT_TRACE, TRACE_ID_MAX) &&
           text[AT_PARENT - 1] == '-' && is_id(text + AT_PARENT, SPAN_ID_MAX) &&
           text[AT_FLAGS - 1] == '-' && all_digits(text + AT_FLAGS, 2);
}

bool trace_join(struct trace *out, const char *traceparent, uint64_t span)
{
    *out = (struct trace){.flags = 0};
    if (traceparent == NULL || !is_well_formed(traceparent))
        return false;
    memcpy(out->trace_id, traceparent + AT_TRACE, TRACE_ID_MAX);
    memcpy(out->parent_id, traceparent + AT_PARENT, SPAN_ID_MAX);
    snprintf(out->span_id, sizeof out->span_id, "%016llx", (unsigned long long)span);
    out->flags = (unsigned)digit(traceparent[AT_FLAGS + 1]) & FLAGS_KNOWN;
    return true;
}

void trace_begin(struct trace *out, const uint64_t id[2], uint64_t span)
{
    *out = (struct trace){.flags = TRACE_SAMPLED | TRACE_RANDOM};
    snprintf(out->trace_id, sizeof out->trace_id, "%016llx%016llx", (unsigned long long)id[0],
             (unsigned long long)id[1]);
    snprintf(out->span_id, sizeof out->span_id, "%016llx", (unsigned long long)span);
}

bool trace_drawn(const uint64_t id[2], double part)
{
    const uint64_t all = (uint64_t)1 << 56, threshold = (uint64_t)((1 - part) * (double)all);
    return (id[1] & (all - 1)) >= threshold;
}

void trace_write(const struct trace *trace, char out[TRACE_HEADER_MAX + 1])
{
    snprintf(out, TRACE_HEADER_MAX + 1, "00-%s-%s-%02x", trace->trace_id, trace->span_id,
             trace->flags & FLAGS_KNOWN);
}
