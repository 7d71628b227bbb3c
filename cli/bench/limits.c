/* limits.c - from what a cell needs to how fast this machine can be at it.
 *
 * A pass cannot take less time than its bytes at the read rate of its working set, nor than its
 * multiply-adds at the rates of their instruction chains: the longer of the two is the limit (the
 * two overlap; the chains share the processor, so their times add up). The rates are measured
 * before the first cell that needs them and once more at the end, and the better one counts: a
 * neighbour's quiet moment must not look like a kernel's success. Main thread.
 */
#include "cli/bench/bench.h"

#include <string.h>

enum { SMALLEST_SET = 16384 };
#define MIB ((size_t)1 << 20)

/* Working sets that differ by less than an eighth are one. */
static size_t rounded_set(size_t bytes)
{
    size_t step = SMALLEST_SET / 8;
    bytes = bytes > SMALLEST_SET ? bytes : SMALLEST_SET;
    while (step * 16 <= bytes)
        step *= 2;
    return (bytes + step - 1) / step * step;
}

/* A large set is read where the weights lie, as far as they go, so that no second copy is needed.
 */
static enum status measure_read(struct bench *bench, size_t i, struct error *err)
{
    const struct arena *arena = &bench->loaded.model->arena;
    size_t bytes = bench->reads[i].working_set, least = bench->reads[i].n_threads * (size_t)4096;
    const void *memory = NULL;
    if (arena->n_used >= 64 * MIB && bytes >= 64 * MIB && bytes / 2 < arena->n_used) {
        memory = arena->base;
        bytes = bytes < arena->n_used ? bytes : arena->n_used;
    }
    double rate = 0;
    enum status status = limits_read(bench->limits, memory, bytes > least ? bytes : least,
                                     bench->reads[i].n_threads, 1, &rate, err);
    bench->reads[i].rate = rate > bench->reads[i].rate ? rate : bench->reads[i].rate;
    return status;
}

static enum status measure_chain(struct bench *bench, size_t i, struct error *err)
{
    double rate = 0;
    enum status status =
        limits_chain(bench->limits, bench->chains[i].chain, bench->chains[i].n_threads, &rate, err);
    bench->chains[i].rate = rate > bench->chains[i].rate ? rate : bench->chains[i].rate;
    return status;
}

static double *read_rate(struct bench *bench, size_t working_set, unsigned n_threads)
{
    size_t set = rounded_set(working_set);
    for (size_t i = 0; i < bench->n_reads; i++)
        if (bench->reads[i].working_set == set && bench->reads[i].n_threads == n_threads)
            return &bench->reads[i].rate;
    return NULL;
}

static double *chain_rate(struct bench *bench, enum limit_chain chain, unsigned n_threads)
{
    for (size_t i = 0; i < bench->n_chains; i++)
        if (bench->chains[i].chain == chain && bench->chains[i].n_threads == n_threads)
            return &bench->chains[i].rate;
    return NULL;
}

static enum status prepare_read(struct bench *bench, size_t working_set, unsigned n_threads,
                                struct error *err)
{
    if (read_rate(bench, working_set, n_threads) != NULL)
        return STATUS_OK;
    if (bench->n_reads == BENCH_READS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more working sets than bench has places for");
    bench->reads[bench->n_reads].working_set = rounded_set(working_set);
    bench->reads[bench->n_reads].n_threads = n_threads;
    return measure_read(bench, bench->n_reads++, err);
}

static enum status prepare_chain(struct bench *bench, enum limit_chain chain, unsigned n_threads,
                                 struct error *err)
{
    if (chain_rate(bench, chain, n_threads) != NULL)
        return STATUS_OK;
    if (bench->n_chains == BENCH_CHAINS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more chains than bench has places for");
    bench->chains[bench->n_chains].chain = chain;
    bench->chains[bench->n_chains].n_threads = n_threads;
    return measure_chain(bench, bench->n_chains++, err);
}

enum status demand_prepare(struct bench *bench, const struct bench_demand *demand,
                           unsigned n_threads, struct error *err)
{
    enum status status = prepare_read(bench, demand->working_set, n_threads, err);
    for (int chain = 0; status == STATUS_OK && chain < LIMIT_CHAINS; chain++)
        if (demand->macs[chain] > 0)
            status = prepare_chain(bench, (enum limit_chain)chain, n_threads, err);
    return status;
}

static void set_limit(struct bench *bench, const struct bench_demand *demand,
                      struct bench_result *result)
{
    const unsigned n_threads = result->threads;
    double compute = 0, memory = 0;
    for (int chain = 0; chain < LIMIT_CHAINS; chain++)
        if (demand->macs[chain] > 0)
            compute += demand->macs[chain] / *chain_rate(bench, (enum limit_chain)chain, n_threads);
    memory = demand->bytes / *read_rate(bench, demand->working_set, n_threads);
    result->limit = demand->units / (memory > compute ? memory : compute);
    result->bound = memory > compute ? BOUND_BANDWIDTH : BOUND_ARITHMETIC;
}

/* Beyond every cache: four times the last one, within reason. */
static size_t memory_set(const struct cpu *cpu)
{
    size_t set = 4 * cpu->l3_bytes, most = cpu->memory_bytes / 8;
    set = set > 256 * MIB ? set : 256 * MIB;
    set = set < 512 * MIB ? set : 512 * MIB;
    return set < most || most < MIB ? set : most;
}

/* Beyond the cores' own caches, within the last one. */
static size_t cache_set(const struct cpu *cpu, unsigned n_threads)
{
    size_t set = 2 * n_threads * cpu->l2_bytes;
    return set > 4 * MIB ? set : 4 * MIB;
}

enum status demand_settle(struct bench *bench, struct error *err)
{
    struct bench_report *report = &bench->report;
    const struct cpu *cpu = &bench->loaded.cpu;
    unsigned n_threads = report->threads;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < bench->n_reads; i++)
        status = measure_read(bench, i, err);
    for (size_t i = 0; status == STATUS_OK && i < bench->n_chains; i++)
        status = measure_chain(bench, i, err);
    for (int chain = 0; status == STATUS_OK && chain < LIMIT_CHAINS; chain++)
        status = prepare_chain(bench, (enum limit_chain)chain, n_threads, err);
    if (status == STATUS_OK)
        status = prepare_read(bench, cache_set(cpu, n_threads), n_threads, err);
    if (status == STATUS_OK)
        status = prepare_read(bench, memory_set(cpu), n_threads, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < report->n_results; i++)
        set_limit(bench, &bench->demands[i], &report->results[i]);
    report->cache_gb_s = *read_rate(bench, cache_set(cpu, n_threads), n_threads) * 1e-9;
    report->dram_gb_s = *read_rate(bench, memory_set(cpu), n_threads) * 1e-9;
    report->fma_gflop_s = *chain_rate(bench, LIMIT_FMA, n_threads) * 2e-9;
    report->int8_gmac_s = *chain_rate(bench, LIMIT_INT8, n_threads) * 1e-9;
    report->int6_gmac_s = *chain_rate(bench, LIMIT_INT6, n_threads) * 1e-9;
    report->int4_gmac_s = *chain_rate(bench, LIMIT_INT4, n_threads) * 1e-9;
    return STATUS_OK;
}

enum status demand_add(struct bench *bench, const struct bench_result *result,
                       const struct bench_demand *demand, struct error *err)
{
    struct bench_report *report = &bench->report;
    if (report->n_results == BENCH_CELLS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more cells than bench has places for");
    bench->results[report->n_results] = *result;
    bench->demands[report->n_results] = *demand;
    report->n_results++;
    if (result->kind != BENCH_KERNEL)
        bar_show(&bench->bar, report->n_results, bench->n_planned, result->name);
    return STATUS_OK;
}
