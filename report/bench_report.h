/* bench_report.h - what `bench` found, as JSON and back.
 *
 * One row a measured cell, each with its limit on the same machine in the same run. Written once,
 * read for comparisons. Pure; any thread. Knows nothing of how it was measured.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum bench_kind { BENCH_PREFILL, BENCH_DECODE, BENCH_BATCH, BENCH_KERNEL, BENCH_KINDS };
/* The unit that a cell counts in. */
enum bench_unit { BENCH_TOKENS, BENCH_GMAC, BENCH_GB, BENCH_UNITS };

/* What a cell's limit is made of: bytes that must be read, or multiply-adds. Reports of earlier
 * versions do not say. */
enum bench_bound { BOUND_UNSAID, BOUND_BANDWIDTH, BOUND_ARITHMETIC, BOUNDS };

extern const char *const bench_kind_names[BENCH_KINDS]; /* "prefill" */

struct bench_result {
    enum bench_kind kind;
    enum bench_unit unit;          /* tokens for all but kernels */
    char name[64];                 /* with shape: one of its kind */
    char shape[48];                /* kernels: "576x1536x8" rows, columns, tokens; else "" */
    size_t tokens, batch, context; /* batch: sequences; context: positions before the first */
    unsigned threads;              /* that worked on it */
    double rate, limit;            /* units a second; tokens, 1e9 multiply-adds, 1e9 bytes */
    double median;                 /* of the rounds of which `rate` is the best; 0: not told */
    enum bench_bound bound;        /* of the limit */
};

struct bench_report {
    char version[32], cpu[96], kernels[32];
    unsigned threads, workers;
    double dram_gb_s, cache_gb_s, fma_gflop_s;
    double int8_gmac_s, int6_gmac_s, int4_gmac_s;
    char model[96], weights[32];
    size_t model_bytes;           /* of the file */
    double load_average;          /* when it began */
    double others_percent;        /* of all processors' time while it measured: other programs */
    double steal_percent;         /* and other guests of the host */
    struct bench_result *results; /* owned by the caller */
    size_t n_results;
};

static inline double bench_fraction(const struct bench_result *r)
{
    return r->limit > 0 ? r->rate / r->limit : 0;
}

/* Bytes that bench_report_write may need. */
size_t bench_report_room(const struct bench_report *report);
/* JSON text, a newline at its end; the bytes written, 0 when they do not fit. */
size_t bench_report_write(const struct bench_report *report, char *out, size_t room);

/* From text that bench_report_write made, or like it; results are calloc'd. STATUS_FORMAT names
 * what is missing or wrong; STATUS_NO_MEMORY. */
enum status bench_report_read(struct bench_report *out, const char *text, size_t n,
                              struct error *err);
