/* print.c - a profile for people: Markdown, plain in a pipe, with colour and bars on a
 * terminal. Main thread; no state. */
#include "cli/markdown.h"
#include "cli/profile/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BAR_CELLS = 20 };

struct printer {
    const struct profile_document *doc;
    const struct report *r;
    FILE *out;
    bool colour; /* and bars */
};

/* --- small parts --- */

__attribute__((format(printf, 2, 3))) static void say(const struct printer *p, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(p->out, format, arguments);
    va_end(arguments);
}

static const char *plural(double n)
{
    return n > 1 || n < 1 ? "s" : "";
}

static void heading(const struct printer *p, const char *text)
{
    say(p, p->colour ? "\n\033[1;36m## %s\033[0m\n\n" : "\n## %s\n\n", text);
}

/* 1.23 us, 45.6 ms: three digits that matter. */
static const char *duration(double ns, char out[24])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    size_t unit = 0;
    while (ns >= 999.5 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    snprintf(out, 24,
             ns >= 99.95 || unit == 0 ? "%.0f %s"
             : ns >= 9.995            ? "%.1f %s"
                                      : "%.2f %s",
             ns, units[unit]);
    return out;
}

static const char *size(double bytes, char out[24])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    snprintf(out, 24,
             unit == 0 || bytes >= 99.95 ? "%.0f %s"
             : bytes >= 9.995            ? "%.1f %s"
                                         : "%.2f %s",
             bytes, units[unit]);
    return out;
}

/* On a terminal only; the table's cell is closed by the caller. */
static void bar(const struct printer *p, double share)
{
    if (!p->colour)
        return;
    int eighths = (int)(share * BAR_CELLS * 8 + 0.5);
    eighths = eighths < 0 ? 0 : eighths > BAR_CELLS * 8 ? BAR_CELLS * 8 : eighths;
    say(p, " \033[33m");
    for (int i = 0; i < eighths / 8; i++)
        say(p, "\xe2\x96\x88");
    if (eighths % 8 > 0)
        say(p, "\xe2\x96%c", (char)(0x90 - eighths % 8)); /* U+258F is one eighth, U+2588 all */
    for (int i = (eighths + 7) / 8; i < BAR_CELLS; i++)
        say(p, " ");
    say(p, "\033[0m |");
}

static void bar_header(const struct printer *p)
{
    if (p->colour)
        say(p, " %-20s |", "");
    say(p, "\n");
}

/* "|---|---:|": columns beyond the first are numbers. */
static void rule(const struct printer *p, int n)
{
    say(p, "|---|");
    for (int i = 1; i < n; i++)
        say(p, "---:|");
    say(p, p->colour ? "---|\n" : "\n");
}

/* --- sections --- */

static void print_title(const struct printer *p)
{
    const struct profile_document *doc = p->doc;
    const struct shape *s = &doc->model->shape;
    const struct profile_workload *load = &doc->workload;
    say(p, p->colour ? "\033[1m# Profile of %s\033[0m\n\n" : "# Profile of %s\n\n",
        doc->model->name);
    say(p,
        "%s, %zu layers of width %zu, %zu heads, vocabulary %zu, context %zu: %.2f M parameters "
        "in %s.\n",
        s->arch, s->n_layers, s->n_embd, s->n_heads, s->n_vocab, doc->model->n_context,
        (double)doc->model->n_params * 1e-6, doc->model->weights);
    if (strcmp(load->source, "live") == 0)
        say(p, "Live traffic of %.1f s", load->seconds);
    else
        say(p, "%zu session%s of %zu token%s after a prompt of %zu, %zu at once, temperature %.2g",
            load->sessions, plural((double)load->sessions), load->tokens,
            plural((double)load->tokens), load->prompt, load->batch, load->temperature);
    say(p, "; %u thread%s in %u worker%s, %s kernels, on %s.\n", doc->machine.n_threads,
        plural(doc->machine.n_threads), doc->machine.n_workers, plural(doc->machine.n_workers),
        doc->machine.kernels, doc->machine.cpu->name);
}

/* ": 80% of what the machine's memory allows"; nothing where no limit is known. */
static const char *of_limit(const struct report_bound *bound, char text[64])
{
    text[0] = '\0';
    if (bound->limit_ns > 0)
        snprintf(text, 64, ": %.0f%% of what the machine's %s allows", 100 * bound->fraction,
                 bound->by_memory ? "memory" : "arithmetic");
    return text;
}

static void print_summary(const struct printer *p)
{
    const struct report *r = p->r;
    const struct report_steps *decode = &r->kinds[RECORD_DECODE];
    const struct report_steps *prefill = &r->kinds[RECORD_PREFILL];
    char a[24], b[24], c[64];
    heading(p, "Summary");
    say(p,
        "- **%.1f tokens/s**, %s a token with its share of the prompt; prompts at %.0f "
        "tokens/s.\n",
        r->tokens_s, duration(r->ms_per_token * 1e6, a), r->prompt_tokens_s);
    say(p, "- **%s allocated per token**", size(r->allocated_per_token, a));
    if (r->moved_per_token > 0) /* something was decoded */
        say(p, ", %s moved", size(r->moved_per_token, b));
    say(p, ".\n");
    if (decode->steps.n_recorded > 0)
        say(p, "- A decoding step takes %s (median %s)%s.\n", duration(decode->mean, a),
            duration(decode->p50, b), of_limit(&decode->bound, c));
    if (prefill->steps.n_recorded > 0) {
        const double rows = round(prefill->steps.work.n_rows / prefill->steps.work.n_steps);
        say(p, "- Reading a prompt takes %s a step of %.0f token%s%s.\n",
            duration(prefill->mean, a), rows, plural(rows), of_limit(&prefill->bound, c));
    }
    if (r->n_paths > 0)
        say(p, "- The hottest path is %s with %.0f%% of the time; %.1f%% of it is waiting.\n",
            scope_infos[r->paths[0].scope].label, 100 * r->paths[0].share,
            r->paths[0].total > 0 ? 100 * (r->paths[0].total - r->paths[0].self) / r->paths[0].total
                                  : 0);
}

static void print_paths(const struct printer *p)
{
    const struct report *r = p->r;
    heading(p, "Hot paths");
    say(p, "| path | total | self | share | calls | mean | min | p50 | p95 | max | allocated |");
    bar_header(p);
    rule(p, 11);
    for (size_t i = 0; i < r->n_paths; i++) {
        const struct report_path *path = &r->paths[i];
        const double times[] = {path->mean, path->min, path->p50, path->p95, path->max};
        char text[24];
        say(p, "| %s | %s |", scope_infos[path->scope].label, duration(path->total, text));
        say(p, " %s | %.1f%% | %llu |", duration(path->self, text), 100 * path->share,
            (unsigned long long)path->calls);
        for (size_t k = 0; k < 5; k++)
            say(p, " %s |", duration(times[k], text));
        say(p, " %s |", size((double)path->allocated, text));
        bar(p, path->share);
        say(p, "\n");
    }
}

static void print_branch(const struct printer *p, unsigned depth, const char *label, double total,
                         double self, uint64_t calls)
{
    char a[24], b[24];
    say(p, "%*s- %s: %s", (int)(2 * depth), "", label, duration(total, a));
    if (self < total)
        say(p, ", self %s", duration(self, b));
    say(p, ", %.1f%%, %llu call%s\n", p->r->total_ns > 0 ? 100 * total / p->r->total_ns : 0,
        (unsigned long long)calls, plural((double)calls));
}

/* A scope over all layers; what waits is the difference of total and self. */
static void print_scope(const struct printer *p, enum record_kind kind, enum scope scope,
                        unsigned depth)
{
    struct record_cell sum = {0};
    for (size_t layer = 0; layer <= p->r->in.record->shape.n_layers; layer++)
        record_cell_add(&sum, record_cell(p->r->in.record, kind, layer, scope));
    if (sum.n > 0)
        print_branch(p, depth, scope_infos[scope].label, sum.total, sum.busy, sum.n);
}

static void print_layers_branch(const struct printer *p, enum record_kind kind)
{
    struct record_cell sum = {0};
    size_t n_layers = p->r->in.record->shape.n_layers;
    char label[48];
    for (size_t layer = 0; layer < n_layers; layer++)
        record_cell_add(&sum, record_cell(p->r->in.record, kind, layer, SCOPES));
    snprintf(label, sizeof label, "layer (%zu of them)", n_layers);
    print_branch(p, 2, label, sum.total, sum.total, sum.n);
    for (int scope = 0; scope < SCOPES; scope++)
        if (scope_infos[scope].place == PLACE_LAYER)
            print_scope(p, kind, (enum scope)scope, 3);
}

static void print_head_branch(const struct printer *p, enum record_kind kind)
{
    double total = 0;
    size_t n_layers = p->r->in.record->shape.n_layers;
    for (int scope = 0; scope < SCOPES; scope++)
        if (scope_infos[scope].place == PLACE_HEAD)
            total += record_cell(p->r->in.record, kind, n_layers, (size_t)scope)->total;
    print_branch(p, 2, "head", total, total,
                 record_cell(p->r->in.record, kind, n_layers, SCOPE_HEAD)->n);
    for (int scope = 0; scope < SCOPES; scope++)
        if (scope_infos[scope].place == PLACE_HEAD)
            print_scope(p, kind, (enum scope)scope, 3);
}

static void print_tree(const struct printer *p)
{
    const struct report *r = p->r;
    heading(p, "Call tree");
    print_branch(p, 0, "engine", r->total_ns, r->total_ns, 1);
    for (int k = 0; k < RECORD_KINDS; k++) {
        enum record_kind kind = (enum record_kind)k;
        const struct record_cell *step =
            record_cell(r->in.record, kind, r->in.record->shape.n_layers, SCOPES);
        char label[48];
        if (step->n == 0)
            continue;
        snprintf(label, sizeof label, "step (%s)", record_kind_names[kind]);
        print_branch(p, 1, label, step->total, step->total, step->n);
        for (int scope = 0; scope < SCOPES; scope++) {
            if (scope_infos[scope].place == PLACE_STEP)
                print_scope(p, kind, (enum scope)scope, 2);
            if (scope == SCOPE_EMBED)
                print_layers_branch(p, kind);
            if (scope == SCOPE_HEAD)
                print_head_branch(p, kind);
        }
    }
    say(p, "\nWhere self is less than the total, the rest is waiting: threads without work while "
           "others finish.\n");
}

/* The columns of the layers' table: what each holds. */
static const struct column {
    const char *name;
    enum scope scopes[4];
    size_t n;
} columns[] = {
    {"norms", {SCOPE_ATTN_NORM, SCOPE_FFN_NORM}, 2},
    {"rounding", {SCOPE_OUTPUT_ROUND, SCOPE_DOWN_ROUND}, 2},
    {"QKV", {SCOPE_QKV}, 1},
    {"RoPE, KV", {SCOPE_ROPE}, 1},
    {"attention", {SCOPE_ATTENTION, SCOPE_ATTENTION_MERGE, SCOPE_CONV, SCOPE_RECURRENCE}, 4},
    {"output", {SCOPE_OUTPUT}, 1},
    {"gate/up", {SCOPE_GATE_UP, SCOPE_ROUTER}, 2},
    {"activation", {SCOPE_ACTIVATION}, 1},
    {"down", {SCOPE_DOWN}, 1},
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static void print_layers(const struct printer *p)
{
    const struct report *r = p->r;
    char text[24];
    heading(p, "Layers");
    say(p, "| layer | calls | mean | share |");
    for (size_t k = 0; k < N_COLUMNS; k++)
        say(p, " %s |", columns[k].name);
    bar_header(p);
    rule(p, 4 + N_COLUMNS);
    for (size_t i = 0; i < r->in.record->shape.n_layers; i++) {
        const struct report_layer *layer = &r->layers[i];
        double calls = layer->calls > 0 ? (double)layer->calls : 1;
        say(p, "| %zu | %llu | %s | %.1f%% |", i, (unsigned long long)layer->calls,
            duration(layer->total / calls, text), 100 * layer->share);
        for (size_t k = 0; k < N_COLUMNS; k++) {
            double sum = 0;
            for (size_t s = 0; s < columns[k].n; s++)
                sum += layer->scopes[columns[k].scopes[s]];
            say(p, " %s |", duration(sum / calls, text));
        }
        bar(p, layer->share);
        say(p, "\n");
    }
    say(p, "\nTimes are means of one layer in one step.\n");
}

static void print_allocators(const struct printer *p)
{
    char text[24];
    heading(p, "Memory");
    say(p, "| allocator | when | bytes | calls |\n|---|---|---:|---:|\n");
    for (size_t i = 0; i < p->doc->n_allocators; i++) {
        const struct profile_allocator *a = &p->doc->allocators[i];
        say(p, "| %s | %s | %s |", a->name, a->when, size(a->bytes, text));
        if (a->calls >= 0)
            say(p, " %.0f |\n", a->calls);
        else
            say(p, " 1 arena |\n");
    }
}

static void print_kernels(const struct printer *p)
{
    char text[24];
    if (p->doc->n_kernels == 0)
        return;
    heading(p, "Kernels by size");
    say(p, "One thread. Softmax: the maximum and the sum of exponentials of each row. "
           "Rates are of the mean.\n\n");
    say(p, "| kernel | size | iterations | mean | min | max | GOP/s | GB/s |\n"
           "|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < p->doc->n_kernels; i++) {
        const struct profile_kernel *k = &p->doc->kernels[i];
        say(p, "| %s | %zux%zu | %u | %s |", k->name, k->size, k->size, k->iterations,
            duration(k->mean_ns, text));
        say(p, " %s |", duration(k->min_ns, text));
        say(p, " %s | %.1f | %.1f |\n", duration(k->max_ns, text), k->ops / k->mean_ns,
            k->bytes / k->mean_ns);
    }
}

static void print_distribution(const struct printer *p)
{
    heading(p, "Distribution of steps");
    say(p, "| kind | from | count | share |");
    bar_header(p);
    rule(p, 4);
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const uint32_t *counts = record_histogram(p->r->in.record, (enum record_kind)kind, SCOPES);
        uint64_t all = p->r->kinds[kind].steps.n_recorded;
        /* Four of the record's buckets are one line: a fifth of a step's length. */
        for (size_t i = 0; i < HISTOGRAM_BUCKETS && all > 0; i += 4) {
            uint64_t sum = 0;
            char text[24];
            for (size_t k = i; k < i + 4; k++)
                sum += counts[k];
            if (sum == 0)
                continue;
            say(p, "| %s | %s | %llu | %.1f%% |", record_kind_names[kind],
                duration(histogram_middle(i), text), (unsigned long long)sum,
                100 * (double)sum / (double)all);
            bar(p, (double)sum / (double)all);
            say(p, "\n");
        }
    }
}

static void print_bound(const struct printer *p, const char *kind, const char *label,
                        const struct report_bound *bound, double total_ns, double steps)
{
    char a[24], b[24];
    say(p, "| %s: %s | %s | %s | %.1f | %.1f |", kind, label,
        size(record_cost_bytes(&bound->cost) / steps, a), duration(total_ns / steps, b),
        bound->bytes_s * 1e-9, bound->ops_s * 1e-9);
    if (bound->limit_ns > 0)
        say(p, " %s | %.0f%% |", bound->by_memory ? "memory" : "compute", 100 * bound->fraction);
    else
        say(p, " - | - |");
    bar(p, bound->fraction);
    say(p, "\n");
}

static void print_roofline(const struct printer *p)
{
    const struct report *r = p->r;
    const struct report_limits *limits = &r->in.limits;
    char text[24];
    heading(p, "Roofline");
    say(p, "Measured with %u thread%s: reading a working set of %s at %.1f GB/s",
        p->doc->machine.n_threads, plural(p->doc->machine.n_threads),
        size(limits->working_set, text), limits->read_bytes_s * 1e-9);
    for (int type = 0; type < WEIGHT_TYPES; type++)
        if (limits->ops_s[type] > 0)
            say(p, "; chains for %s at %.0f GOP/s", weight_infos[type].name,
                limits->ops_s[type] * 1e-9);
    say(p, "; F32 at %.0f GOP/s%s%s.\n\n", limits->float_ops_s * 1e-9,
        p->doc->limits_note[0] != '\0' ? "; " : "", p->doc->limits_note);
    say(p, "| part | bytes a step | time a step | GB/s | GOP/s | bound | of the limit |");
    bar_header(p);
    rule(p, 7);
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const struct report_steps *steps = &r->kinds[kind];
        const double n = steps->n;
        if (n <= 0)
            continue;
        print_bound(p, record_kind_names[kind], "step", &steps->bound, steps->mean * n, n);
        for (int scope = 0; scope < SCOPES; scope++)
            if (record_cost_bytes(&steps->scopes[scope].cost) > 0 && steps->scope_ns[scope] > 0)
                print_bound(p, record_kind_names[kind], scope_infos[scope].label,
                            &steps->scopes[scope], steps->scope_ns[scope], n);
    }
    say(p,
        "\nA part that lies in a nearer cache than the whole working set can exceed its limit.\n");
}

static void print_sizes(const struct printer *p)
{
    char text[24];
    if (p->doc->n_sizes == 0)
        return;
    heading(p, "Several sizes");
    say(p, "| model | parameters | weights | ms/token | tokens/s | prompt tokens/s | moved/token | "
           "of the limit |\n|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < p->doc->n_sizes; i++) {
        const struct profile_size *s = &p->doc->sizes[i];
        say(p, "| %s | %.2f M | %s | %.3f | %.1f | %.0f |", s->name, s->parameters * 1e-6,
            size(s->weight_bytes, text), s->ms_per_token, s->tokens_s, s->prompt_tokens_s);
        if (s->moved_per_token > 0)
            say(p, " %s | %.0f%% |\n", size(s->moved_per_token, text), 100 * s->fraction);
        else /* nothing was decoded */
            say(p, " - | - |\n");
    }
}

static void print_insights(const struct printer *p)
{
    heading(p, "What this says");
    for (size_t i = 0; i < p->r->n_insights; i++) {
        const struct report_insight *insight = &p->r->insights[i];
        say(p, "%zu. %s", i + 1, insight->text);
        if (insight->gain > 0)
            say(p, " *(up to %.1f%% of the time)*", 100 * insight->gain);
        say(p, "\n");
    }
}

static void print_method(const struct printer *p)
{
    const struct report *r = p->r;
    const struct record_totals *totals = &r->in.record->totals;
    const struct report_overhead *overhead = r->in.overhead;
    const struct counters *c = r->in.counters;
    char a[24];
    heading(p, "Method");
    say(p,
        "- Every thread marks its arrival at and its end of each phase; the first arrivals cut a "
        "step without gaps. %.2f%% of the steps' time stands in named scopes.\n",
        100 * r->attributed);
    say(p, "- A scope's self time is its threads' work divided by their number, its total includes "
           "their waiting: totals add up to wall time.\n");
    if (totals->every_max > 1)
        say(p,
            "- Steps are shorter than %d us: one in %llu to %llu was recorded; times and calls are "
            "scaled up to all, decoding and prompts each by themselves.\n",
            RECORD_SHORT_NS / 1000, (unsigned long long)totals->every_min,
            (unsigned long long)totals->every_max);
    else
        say(p, "- Every step was recorded.\n");
    if (overhead != NULL && overhead->measured)
        say(p,
            "- Overhead: recording a step adds %.2f%% to it (%.2f%% to %.2f%% in 95 of 100 "
            "resamplings; %zu neighbouring steps of %s on %zu start%s of the engine, one recorded "
            "and one not).\n",
            100 * overhead->part, 100 * overhead->interval.low, 100 * overhead->interval.high,
            overhead->n_pairs, duration(overhead->step_ns, a), overhead->n_starts,
            plural((double)overhead->n_starts));
    if (c != NULL && c->has_hardware)
        say(p,
            "- Hardware counters of %zu thread%s, user space: %.3g cycles, %.3g instructions, "
            "%.3g cache misses.\n",
            c->n_threads, plural((double)c->n_threads), c->cycles, c->instructions,
            c->cache_misses);
    else if (c != NULL)
        say(p, "- %s.\n", c->why_not);
    say(p, "- Bytes and operations follow from the model's shapes, each operand counted once a "
           "step; a multiply-add is two operations.\n");
}

enum status print_profile(const struct profile_document *document, struct error *err)
{
    struct markdown m;
    enum status status = markdown_begin(&m, err);
    if (status != STATUS_OK)
        return status;
    const struct printer p = {document, document->report, m.out, m.colour};
    print_title(&p);
    print_summary(&p);
    print_paths(&p);
    print_tree(&p);
    print_layers(&p);
    print_allocators(&p);
    print_kernels(&p);
    print_distribution(&p);
    print_roofline(&p);
    print_sizes(&p);
    print_insights(&p);
    print_method(&p);
    return markdown_end(&m, err);
}
