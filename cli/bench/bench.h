/* bench.h - what the parts of `smallmind bench` share: the run, and how a cell's limit is found.
 *
 * A cell is measured by cells.c (the engine's steps) or kernels.c (single kernels) and
 * handed in with its demand: the bytes and multiply-adds that it cannot do without. Its limit is
 * what this machine needs for them at least, measured in the same run (limits.c). Main
 * thread. Private to cli/bench.
 */
#pragma once

#include "base/clock.h"
#include "cli/bar.h"
#include "cli/load.h"
#include "config/settings.h"
#include "engine/engine.h"
#include "profile/limits.h"
#include "report/bench_report.h"

#include <stdbool.h>
#include <stddef.h>

enum { BENCH_NAME = sizeof((struct bench_result *)0)->name }; /* bytes of a cell's name */
enum { BENCH_CELLS_MAX = 512, BENCH_READS_MAX = 128, BENCH_CHAINS_MAX = 16 };

/* Operations of a cell of a recurrent state at a position: two sums, a decay and a change. */
enum { DELTA_CELL_OPS = 4 };

/* The least that one pass of a cell needs. */
struct bench_demand {
    double bytes;              /* read from where the working set lies */
    size_t working_set;        /* bytes that each pass goes over again */
    double macs[LIMIT_CHAINS]; /* multiply-adds of each chain; they share the processor */
    double units;              /* of the result: tokens, 1e9 multiply-adds, 1e9 bytes */
};

struct bench {
    const struct settings *settings;
    struct loaded loaded;
    struct engine *engine; /* owned */
    struct limits *limits; /* owned */
    struct bench_report report;
    struct bench_result results[BENCH_CELLS_MAX];
    struct bench_demand demands[BENCH_CELLS_MAX];
    struct { /* what the machine can do, measured once before and once after */
        size_t working_set;
        unsigned n_threads;
        double rate;
    } reads[BENCH_READS_MAX];
    struct {
        enum limit_chain chain;
        unsigned n_threads;
        double rate;
    } chains[BENCH_CHAINS_MAX];
    size_t n_reads, n_chains;
    struct bar bar;
    size_t n_planned; /* cells of the engine */
};

static inline double seconds_now(void) /* seconds, monotonic */
{
    return (double)clock_now_ns() * 1e-9;
}

/* Is a cell of this name asked for: does it begin with one of --cells, to the end of a word? */
bool wanted_cell(const struct bench *bench, const char *name);
/* Is it one of --cells itself? */
bool wanted_whole(const struct bench *bench, const char *name);
/* --cells word by word: moves *words on; false: there are no more. */
bool wanted_next(const char **words, const char **word, size_t *n);
/* Does the name begin with these n bytes, to the end of a word? */
bool wanted_begins(const char *name, const char *word, size_t n);

/* Measures now what the demand's limit is made of, for n_threads, unless that is known. */
enum status demand_prepare(struct bench *bench, const struct bench_demand *demand,
                           unsigned n_threads, struct error *err);
/* Measures everything again, the better counts; then fills in the machine's figures and every
 * result's limit. */
enum status demand_settle(struct bench *bench, struct error *err);

/* Takes a finished cell. STATUS_TOO_LARGE: no place. */
enum status demand_add(struct bench *bench, const struct bench_result *result,
                       const struct bench_demand *demand, struct error *err);

/* The names of all cells that a run with these settings could measure, whatever --cells says; how
 * many. Of the engine's steps, and of single kernels. */
enum { BENCH_NAMES_MAX = 64 };
size_t cells_names(const struct bench *bench, char names[BENCH_NAMES_MAX][BENCH_NAME]);
size_t singles_names(const struct bench *bench, char names[BENCH_NAMES_MAX][BENCH_NAME]);

/* The cells; how many of the engine's there will be. */
size_t cells_count(const struct bench *bench);
enum status cells_run(struct bench *bench, struct error *err);
enum status singles_run(struct bench *bench, struct error *err);

/* For people, to standard output. */
enum status figures_print(const struct bench_report *report, struct error *err);
int figures_compare(const struct settings *settings);
