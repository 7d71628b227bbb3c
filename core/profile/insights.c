/* insights.c - what a report's numbers mean: each rule looks at some of them, and speaks only when
 * they say something; every figure in its text comes from the report. Pure. */
#include "profile/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 4, 5))) static void say(struct report *r, const char *name,
                                                      double gain, const char *format, ...)
{
    if (r->n_insights == REPORT_INSIGHTS)
        return;
    struct report_insight *insight = &r->insights[r->n_insights++];
    va_list args;
    va_start(args, format);
    vsnprintf(insight->text, sizeof insight->text, format, args);
    va_end(args);
    snprintf(insight->name, sizeof insight->name, "%s", name);
    insight->gain = gain > 0 ? gain : 0;
}

static double percent(double part)
{
    return 100 * part;
}

/* The part of all time that one kind of step has. */
static double share_of(const struct report *r, enum record_kind kind)
{
    const struct report_steps *steps = &r->kinds[kind];
    return r->total_ns > 0 ? steps->mean * steps->n / r->total_ns : 0;
}

/* --- the rules --- */

#define BOUND_FROM 0.6 /* of a limit: nearer to it than to anything that no limit counts */

/* Which limit holds a kind of step back, if one does. */
static void say_bound(struct report *r, enum record_kind kind)
{
    const struct report_steps *steps = &r->kinds[kind];
    const struct report_bound *bound = &steps->bound;
    const char *name = record_kind_names[kind];
    const double n = steps->n, took = steps->mean * n;
    if (took <= 0 || bound->limit_ns <= 0 || r->in.limits.beside_work)
        return;
    const double streamed = bound->cost.weight_bytes + bound->cost.kv_bytes;
    const double memory = bound->memory_ns / took, compute = bound->compute_ns / took;
    const double gain = (1 - bound->fraction) * share_of(r, kind);
    char key[32], at_limit[96] = "";
    snprintf(key, sizeof key, "%s_limit", name);
    if (bound->fraction < 1)
        snprintf(at_limit, sizeof at_limit, "; at the limit it would take %.3f ms instead of %.3f",
                 bound->limit_ns / n * 1e-6, steps->mean * 1e-6);
    if (bound->fraction < BOUND_FROM) /* neither limit is within reach: nothing is at stake */
        say(r, key, 0,
            "A %s step is far from both limits: %.0f%% of the memory's rate, %.0f%% of that of its "
            "weight types' chains. Unpacking weights, rounding, scales and waiting, which neither "
            "counts, take the rest.",
            name, percent(memory), percent(compute));
    else if (memory < BOUND_FROM && compute < BOUND_FROM)
        say(r, key, gain,
            "A %s step is bound by memory in some parts and by arithmetic in others: it has %.0f%% "
            "of the memory's rate and %.0f%% of that of its weight types' chains%s.",
            name, percent(memory), percent(compute), at_limit);
    else if (bound->by_memory)
        say(r, key, gain,
            "A %s step is bound by memory: it streams %.1f MB of weights and keys at %.1f GB/s, "
            "%.0f%% of the %.1f GB/s measured for as much as the weights%s.",
            name, streamed / n * 1e-6, streamed / took, percent(memory),
            r->in.limits.read_bytes_s * 1e-9, at_limit);
    else
        say(r, key, gain,
            "A %s step is bound by arithmetic: it does %.1f GOP/s, %.0f%% of what the chains of "
            "its weight types reach alone%s.",
            name, bound->cost.ops / took, percent(compute), at_limit);
}

static void say_hottest(struct report *r)
{
    const struct report_path *path = r->n_paths > 0 ? &r->paths[0] : NULL;
    if (path == NULL)
        return;
    const char *label = scope_infos[path->scope].label, *ending = path->calls == 1 ? "" : "s";
    double spare =
        path->bound.fraction >= BOUND_FROM && path->bound.fraction < 1 && !r->in.limits.beside_work
            ? (path->total - path->bound.limit_ns) / r->total_ns
            : 0;
    if (spare > 0)
        say(r, "hottest", spare,
            "The hottest path is %s: %.0f%% of the time in %llu call%s. It runs at %.0f%% "
            "of its limit (%s), so at most %.0f%% of all time can be won there.",
            label, percent(path->share), (unsigned long long)path->calls, ending,
            percent(path->bound.fraction), path->bound.by_memory ? "memory" : "arithmetic",
            percent(spare));
    else
        say(r, "hottest", 0, "The hottest path is %s: %.0f%% of the time in %llu call%s.", label,
            percent(path->share), (unsigned long long)path->calls, ending);
}

static void say_waiting(struct report *r)
{
    unsigned n_threads = r->in.record->shape.n_threads;
    double part = r->total_ns > 0 ? r->waiting_ns / r->total_ns : 0;
    const struct report_path *worst = NULL;
    for (size_t i = 0; i < r->n_paths; i++)
        if (worst == NULL || r->paths[i].total - r->paths[i].self > worst->total - worst->self)
            worst = &r->paths[i];
    if (n_threads < 2 || part < 0.01 || worst == NULL)
        return;
    say(r, "waiting", part,
        "The %u threads of a worker are without work for %.1f%% of their time while others finish "
        "a part; most of it around %s (%.1f%% of all time).",
        n_threads, percent(part), scope_infos[worst->scope].label,
        percent((worst->total - worst->self) / r->total_ns));
}

/* The work that only the leader does: more threads cannot make it shorter. By medians: one
 * preemption of the leader says nothing about it. */
static void say_serial(struct report *r)
{
    static const enum scope serial[] = {SCOPE_SCHEDULE, SCOPE_TEXT, SCOPE_PUBLISH};
    const struct record *record = r->in.record;
    double sum = 0, all = 0;
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const double n = r->kinds[kind].n;
        all += r->kinds[kind].p50 * n;
        for (size_t i = 0; i < sizeof serial / sizeof serial[0]; i++)
            sum += histogram_quantile(record_histogram(record, (enum record_kind)kind, serial[i]),
                                      0.5) *
                   n;
    }
    double part = all > 0 ? sum / all : 0;
    if (part >= 0.01)
        say(r, "serial", part,
            "Scheduling, text and publishing take %.1f%% of a step on one thread: however many "
            "threads there are, a step cannot be more than %.*f times as fast as now.",
            percent(part), part < 0.1 ? 0 : 1, 1 / part);
}

/* The part of attention's time that its limit explains grows with the positions; the rest may not.
 */
static void say_attention(struct report *r)
{
    const struct report_steps *steps = &r->kinds[RECORD_DECODE];
    const struct record_work *work = &steps->steps.work;
    const double context = r->in.model.n_context, n = steps->n;
    if (work->n_rows <= 0 || steps->mean <= 0 || r->in.limits.beside_work)
        return;
    double positions = work->n_positions / work->n_rows;
    double now = steps->scope_ns[SCOPE_ATTENTION] / n;
    double grows = steps->scopes[SCOPE_ATTENTION].limit_ns / n;
    grows = grows < now ? grows : now;
    double more = grows * (context / positions - 1);
    double then = (now + more) / (steps->mean + more);
    if (grows <= 0 || (now / steps->mean < 0.005 && then < 0.1))
        return;
    say(r, "attention", 0,
        "Attention takes %.1f%% of a decoding step at %.0f positions; what it reads grows with "
        "them: at the whole context of %.0f it would take at least %.0f%%, and the step %.1f times "
        "as long.",
        percent(now / steps->mean), positions, context, percent(then),
        (steps->mean + more) / steps->mean);
}

/* Weights are read once a step, whatever the batch: what a further row costs is seen in the steps
 * that read prompts, but for its logits and its sampling. */
static void say_batch(struct report *r)
{
    const double together = 8;
    const struct report_steps *decode = &r->kinds[RECORD_DECODE];
    const struct report_steps *prefill = &r->kinds[RECORD_PREFILL];
    if (decode->n <= 0 || prefill->n <= 0 || decode->p50 <= 0)
        return;
    const double rows = decode->steps.work.n_rows / decode->steps.work.n_steps;
    const double many = prefill->steps.work.n_rows / prefill->steps.work.n_steps;
    const double alone = decode->scope_ns[SCOPE_HEAD] + decode->scope_ns[SCOPE_HEAD_NORM] +
                         decode->scope_ns[SCOPE_SAMPLE] + decode->scope_ns[SCOPE_TEXT];
    if (many < together || rows > together * 0.5 || prefill->p50 <= decode->p50)
        return;
    const double row_ns = (prefill->p50 - decode->p50) / (many - rows) + alone / decode->n / rows;
    const double step_ns = decode->p50 + row_ns * (together - rows);
    const double more = together / rows * decode->p50 / step_ns;
    if (more < 1.2)
        return;
    say(r, "batch", 0,
        "Each decoding step reads all weights for %.1f rows on the average. By the steps of %.0f "
        "prompt tokens, %d rows would take about %.3f ms instead of %.3f: that many requests at "
        "once make %.1f times the tokens a second.",
        rows, many, (int)together, step_ns * 1e-6, decode->p50 * 1e-6, more);
}

static bool is_product(const struct report *r, enum scope scope)
{
    size_t layer = scope_infos[scope].place == PLACE_LAYER ? 0 : r->in.record->shape.n_layers;
    return r->in.matrices[layer * SCOPES + scope] < SCOPE_NONE;
}

static void say_weights(struct report *r)
{
    const struct report_model *model = &r->in.model;
    const struct report_steps *steps = &r->kinds[RECORD_DECODE];
    if (!model->is_float || model->q8_bytes <= 0 || !steps->bound.by_memory || steps->mean <= 0 ||
        steps->bound.memory_ns < BOUND_FROM * steps->mean * steps->n || r->in.limits.beside_work)
        return;
    double products = 0;
    for (int scope = 0; scope < SCOPES; scope++)
        if (is_product(r, (enum scope)scope))
            products += steps->scope_ns[scope];
    double now = products / steps->n;
    double factor = model->weight_bytes / model->q8_bytes;
    double gain = now * (1 - 1 / factor);
    say(r, "weights", gain / steps->mean * share_of(r, RECORD_DECODE),
        "The weights are %s: as Q8_0 a token would read %.1f MB instead of %.1f, and at the same "
        "GB/s a decoding step would take %.3f ms instead of %.3f (`smallmind quantize`).",
        model->weights, model->q8_bytes * 1e-6, model->weight_bytes * 1e-6,
        (steps->mean - gain) * 1e-6, steps->mean * 1e-6);
}

static void say_memory(struct report *r)
{
    const struct record_totals *totals = &r->in.record->totals;
    if (totals->allocations == 0)
        say(r, "allocations", 0,
            "No compute thread asked the heap for memory in any recorded step.");
    else
        say(r, "allocations", 0,
            "Compute threads asked the heap %llu times for %.1f KB in the recorded steps: %.0f "
            "bytes a token; it should be none.",
            (unsigned long long)totals->allocations, (double)totals->allocated * 1e-3,
            r->allocated_per_token);
}

static void say_processor(struct report *r)
{
    const struct counters *c = r->in.counters;
    if (c == NULL)
        return;
    if (c->has_throttle && c->throttled_ns > 0)
        say(r, "throttled", 0,
            "The control group's CPU quota stopped its processors for %.1f ms meanwhile, all added "
            "up: fewer threads (--threads) or a larger quota would serve more evenly.",
            c->throttled_ns * 1e-6);
    double sum = c->run_ns + c->wait_ns;
    if (c->has_schedule && sum > 0 && c->wait_ns / sum >= 0.02)
        say(r, "crowded", c->wait_ns / sum,
            "Compute threads that could run waited for a processor for %.1f%% of their time: "
            "other programs, or more threads than processors, take it from them.",
            percent(c->wait_ns / sum));
    if (c->has_hardware && c->cycles > 0)
        say(r, "processor", 0,
            "The threads retired %.2f instructions a cycle at %.2f GHz, and missed the last cache "
            "%.1f times in 1000 instructions.",
            c->instructions / c->cycles, c->run_ns > 0 ? c->cycles / c->run_ns : 0,
            c->instructions > 0 ? c->cache_misses / c->instructions * 1e3 : 0);
}

static void say_tail(struct report *r)
{
    const struct report_steps *steps = &r->kinds[RECORD_DECODE];
    if (steps->steps.n_recorded < 20 || steps->p95 < 1.3 * steps->p50)
        return;
    say(r, "tail", (steps->mean - steps->p50) / steps->mean * share_of(r, RECORD_DECODE),
        "One decoding step in twenty takes %.3f ms or more, %.1f times the median of %.3f ms (the "
        "longest: %.3f ms): look at what it shared the machine or its batch with.",
        steps->p95 * 1e-6, steps->p95 / steps->p50, steps->p50 * 1e-6, steps->max * 1e-6);
}

/* A layer that is slower in every decoding step, its quickest too: one that was preempted once is
 * not. */
static void say_layers(struct report *r)
{
    const struct record *record = r->in.record;
    const size_t n = record->shape.n_layers;
    size_t slowest = 0;
    double sum = 0, quickest = 0;
    if (n < 2)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct record_cell *cell = record_cell(record, RECORD_DECODE, i, SCOPES);
        sum += cell->total;
        quickest += cell->min;
        if (cell->total > record_cell(record, RECORD_DECODE, slowest, SCOPES)->total)
            slowest = i;
    }
    const struct record_cell *slow = record_cell(record, RECORD_DECODE, slowest, SCOPES);
    double others = (sum - slow->total) / (double)(n - 1);
    double least = (quickest - slow->min) / (double)(n - 1);
    if (slow->total < 1.15 * others || slow->min < 1.15 * least || others <= 0)
        return;
    say(r, "layer", (slow->total - others) / r->total_ns,
        "Layer %zu takes %.2f times as long as the others do on the average, and in its quickest "
        "step %.2f times as long as in theirs.",
        slowest, slow->total / others, least > 0 ? slow->min / least : 0);
}

static int larger_first(const void *a, const void *b)
{
    const struct report_insight *x = a, *y = b;
    return (x->gain < y->gain) - (x->gain > y->gain);
}

void report_find_insights(struct report *r)
{
    say_hottest(r);
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        say_bound(r, (enum record_kind)kind);
    say_waiting(r);
    say_serial(r);
    say_weights(r);
    say_batch(r);
    say_attention(r);
    say_tail(r);
    say_layers(r);
    say_processor(r);
    say_memory(r);
    qsort(r->insights, r->n_insights, sizeof *r->insights, larger_first);
}
