/* profile.h - a profile as JSON, as Chrome's trace events, and back from JSON for comparisons.
 *
 * docs/profile.schema.json says what the JSON holds; the names of the fields live here alone. Plain
 * structs in, text into the caller's memory. Pure; any thread. Knows nothing of how it was
 * measured.
 */
#pragma once

#include "api/json/json.h"
#include "base/cpu.h"
#include "model/model.h"
#include "profile/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile_workload {
    const char *source; /* "profile": the verb's own; "live": a service's traffic */
    size_t sessions, tokens, prompt, batch; /* of the verb's own */
    double temperature, seconds;            /* seconds: what a live one covers */
    uint64_t seed;
};

struct profile_machine {
    const struct cpu *cpu;
    const char *kernels;
    unsigned n_threads, n_workers;
};

struct profile_kernel { /* one kernel at one size, on one thread */
    const char *name;
    size_t size;
    unsigned iterations;
    double mean_ns, min_ns, max_ns;
    double ops, bytes; /* of one iteration */
};

struct profile_size { /* one model of several */
    char name[48];
    double parameters, weight_bytes;
    double ms_per_token, tokens_s, prompt_tokens_s;
    double moved_per_token, limit_bytes_s, fraction;
};

struct profile_allocator {
    const char *name;
    const char *when; /* "start", "steady" */
    double bytes;
    double calls; /* negative: not counted */
};

enum profile_form { PROFILE_JSON, PROFILE_HTML, PROFILE_TRACE };

enum { PROFILE_ALLOCATORS = 12 };

struct profile_document { /* everything borrowed */
    const char *version;
    uint64_t created; /* Unix seconds */
    struct profile_machine machine;
    const struct model *model;
    const char *kv_type;
    struct profile_workload workload;
    const struct report *report;
    const struct profile_kernel *kernels; /* [n_kernels] */
    size_t n_kernels;
    const struct profile_size *sizes; /* [n_sizes] */
    size_t n_sizes;
    struct profile_allocator allocators[PROFILE_ALLOCATORS];
    size_t n_allocators;
    struct record *const *records; /* [n_records]: of each worker; their lines are the timeline */
    size_t n_records;
    const char *limits_note; /* when they were; "" : just now */
};

/* Each appends to the writer; w->full: the room did not do. */
void profile_write_json(const struct profile_document *doc, struct json_writer *w);
/* Trace Event Format (JSON array form), as chrome://tracing and Perfetto read it. */
void profile_write_trace(const struct profile_document *doc, struct json_writer *w);
/* {"threads","scopes","steps":[...]}: the steps in detail, for the page; at most max_steps. */
void profile_write_timeline(const struct profile_document *doc, size_t max_steps,
                            struct json_writer *w);

/* --- what a service is asked for --- */

struct profile_request {
    double seconds;
};
enum { PROFILE_SECONDS_MAX = 60, PROFILE_SECONDS_DEFAULT = 5 };

/* One field of a query ("seconds", "2.5"; value NULL: no '=') into a request that began as
 * {.seconds = 0}. STATUS_INVALID: param names it. */
enum status profile_request_take(struct profile_request *request, const char *name,
                                 const char *value, struct error *err);
/* The form that an Accept header prefers (NULL: absent, JSON), and a form's own type. Static. */
enum profile_form profile_form_of(const char *accept);
const char *profile_form_type(enum profile_form form);

/* --- back --- */

enum {
    PROFILE_OTHERS = 16, /* scopes that only another version knows */
    PROFILE_SCOPES = SCOPES + PROFILE_OTHERS,
    PROFILE_SESSIONS_MAX = 10000, /* of a comparison: its resamplings take seconds then */
};

struct profile_summary { /* what a comparison needs of a report; texts can be shown */
    char version[32];
    char model[96], architecture[32], weights[32], kv_type[16], cpu[96], kernels[32];
    double parameters;
    size_t tokens, prompt, batch, context;
    double temperature;
    size_t n_threads, n_workers;
    double read_gb_s; /* what the machine could at that moment; 0: not measured */
    char others[PROFILE_OTHERS][32];
    size_t n_others;
    size_t n_sessions;                 /* 2 or more */
    struct profile_session {           /* ms */
        double wall, prompt, decode;   /* the whole, a prompt token, a token after the first; 0: a
                                          report without such tokens */
        double scopes[PROFILE_SCOPES]; /* a generated token; 0: none. Those of others follow */
    } * sessions_seen; /* [n_sessions], owned; without a last one of fewer requests */
};

/* From what profile_write_json wrote. STATUS_FORMAT names what is missing or impossible;
 * STATUS_UNSUPPORTED: another format; STATUS_TOO_LARGE; STATUS_NO_MEMORY. */
enum status profile_read(struct profile_summary *out, const char *text, size_t n,
                         struct error *err);
/* "ffn_down"; NULL: no such scope. */
const char *profile_scope_name(const struct profile_summary *summary, size_t scope);
void profile_summary_free(struct profile_summary *summary); /* takes a zeroed one */
