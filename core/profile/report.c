/* report.c - adds a record up along its tree and holds it against the limits. Pure. */
#include "profile/report.h"

#include <stdlib.h>
#include <string.h>

static const struct record_cost *cost_at(const struct report *r, enum record_kind kind,
                                         size_t layer, enum scope scope)
{
    size_t n_layers = r->in.record->shape.n_layers;
    return &r->in.costs[((size_t)kind * (n_layers + 1) + layer) * SCOPES + scope];
}

const char *report_node_name(const struct report_node *node)
{
    static const char *const names[] = {
        [NODE_ENGINE] = "engine", [NODE_STEP] = "step", [NODE_LAYER] = "layer",
        [NODE_HEAD] = "head",     [NODE_SCOPE] = "",    [NODE_WAITING] = "waiting"};
    return node->role == NODE_SCOPE ? scope_infos[node->scope].name : names[node->role];
}

/* --- limits --- */

static bool has_limit(enum scope scope)
{
    return scope == SCOPE_QKV || scope == SCOPE_OUTPUT || scope == SCOPE_GATE_UP ||
           scope == SCOPE_DOWN || scope == SCOPE_HEAD || scope == SCOPE_ATTENTION ||
           scope == SCOPE_ROUTER;
}

void report_add_limit(struct report_limit_ns *sums, const struct report_limits *limits,
                      enum scope scope, unsigned matrix, const struct record_cost *cost)
{
    if (!has_limit(scope))
        return;
    double ops_s = matrix < SCOPE_NONE ? limits->ops_s[matrix] : limits->float_ops_s;
    double memory = limits->read_bytes_s > 0
                        ? (cost->weight_bytes + cost->kv_bytes) / limits->read_bytes_s * 1e9
                        : 0;
    double compute = ops_s > 0 ? cost->ops / ops_s * 1e9 : 0;
    sums->memory += memory;
    sums->compute += compute;
    sums->longer += memory > compute ? memory : compute;
}

static void add_limit(const struct report *r, struct report_limit_ns *sums, enum scope scope,
                      size_t layer, const struct record_cost *cost)
{
    report_add_limit(sums, &r->in.limits, scope, r->in.matrices[layer * SCOPES + scope], cost);
}

static void finish_bound(struct report_bound *bound, const struct report_limit_ns *sums,
                         double took_ns)
{
    if (took_ns <= 0)
        return;
    bound->bytes_s = record_cost_bytes(&bound->cost) / took_ns * 1e9;
    bound->ops_s = bound->cost.ops / took_ns * 1e9;
    bound->memory_ns = sums->memory;
    bound->compute_ns = sums->compute;
    bound->limit_ns = sums->longer;
    bound->by_memory = sums->memory >= sums->compute;
    bound->fraction = sums->longer / took_ns;
}

/* One scope in one kind of step, over its layers. */
static void bound_scope(struct report *r, enum record_kind kind, enum scope scope,
                        struct report_limit_ns *of_step)
{
    struct report_steps *steps = &r->kinds[kind];
    struct report_bound *bound = &steps->scopes[scope];
    struct report_limit_ns sums = {0};
    double busy = 0;
    for (size_t layer = 0; layer <= r->in.record->shape.n_layers; layer++) {
        const struct record_cell *cell = record_cell(r->in.record, kind, layer, scope);
        const struct record_cost *cost = cost_at(r, kind, layer, scope);
        busy += cell->total;
        record_cost_add(&bound->cost, cost);
        add_limit(r, &sums, scope, layer, cost);
    }
    steps->scope_ns[scope] = busy;
    finish_bound(bound, &sums, busy);
    record_cost_add(&steps->bound.cost, &bound->cost);
    of_step->memory += sums.memory;
    of_step->compute += sums.compute;
    of_step->longer += sums.longer;
}

/* A bucket's middle may lie beyond the one duration in it. */
static double quantile(const uint32_t *counts, double q, double min, double max)
{
    double value = histogram_quantile(counts, q);
    return value < min ? min : value > max ? max : value;
}

static void add_kinds(struct report *r)
{
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        struct report_steps *steps = &r->kinds[kind];
        const struct record *record = r->in.record;
        const struct record_cell *cell =
            record_cell(record, (enum record_kind)kind, record->shape.n_layers, SCOPES);
        const uint32_t *counts = record_histogram(record, (enum record_kind)kind, SCOPES);
        struct report_limit_ns sums = {0};
        steps->steps = record->totals.steps[kind];
        steps->n = (double)cell->n;
        steps->mean = cell->n > 0 ? cell->total / (double)cell->n : 0;
        steps->min = cell->min;
        steps->max = cell->max;
        steps->p50 = quantile(counts, 0.5, cell->min, cell->max);
        steps->p95 = quantile(counts, 0.95, cell->min, cell->max);
        for (int scope = 0; scope < SCOPES; scope++)
            bound_scope(r, (enum record_kind)kind, (enum scope)scope, &sums);
        finish_bound(&steps->bound, &sums, cell->total);
        r->total_ns += cell->total;
    }
}

/* --- the tree --- */

static struct report_node *add_node(struct report *r, const struct report_node *node)
{
    r->nodes[r->n_nodes] = *node;
    return &r->nodes[r->n_nodes++];
}

/* A scope's node with its waiting below; returns its total. */
static double add_scope(struct report *r, enum record_kind kind, size_t layer, enum scope scope,
                        unsigned depth)
{
    const struct record_cell *cell = record_cell(r->in.record, kind, layer, scope);
    double waiting = cell->total - cell->busy;
    if (cell->n == 0 && cell->total <= 0)
        return 0;
    const struct report_node node = {NODE_SCOPE, depth,       kind,       scope,
                                     layer,      cell->total, cell->busy, cell->n};
    add_node(r, &node);
    if (waiting > 0) {
        struct report_node wait = node;
        wait.role = NODE_WAITING;
        wait.depth++;
        wait.total = wait.self = waiting;
        add_node(r, &wait);
    } else {
        r->nodes[r->n_nodes - 1].self = cell->total;
    }
    r->waiting_ns += waiting > 0 ? waiting : 0;
    return cell->total;
}

static double add_layer(struct report *r, enum record_kind kind, size_t layer)
{
    const struct record_cell *cell = record_cell(r->in.record, kind, layer, SCOPES);
    size_t at = r->n_nodes;
    add_node(r, &(struct report_node){.role = NODE_LAYER,
                                      .depth = 2,
                                      .kind = kind,
                                      .scope = SCOPES,
                                      .layer = layer,
                                      .total = cell->total,
                                      .calls = cell->n});
    double sum = 0;
    for (int scope = 0; scope < SCOPES; scope++)
        if (scope_infos[scope].place == PLACE_LAYER)
            sum += add_scope(r, kind, layer, (enum scope)scope, 3);
    r->nodes[at].self = cell->total - sum;
    return cell->total;
}

static double add_head(struct report *r, enum record_kind kind)
{
    size_t at = r->n_nodes, n_layers = r->in.record->shape.n_layers;
    add_node(r,
             &(struct report_node){
                 .role = NODE_HEAD, .depth = 2, .kind = kind, .scope = SCOPES, .layer = n_layers});
    double sum = 0;
    for (int scope = 0; scope < SCOPES; scope++)
        if (scope_infos[scope].place == PLACE_HEAD)
            sum += add_scope(r, kind, n_layers, (enum scope)scope, 3);
    r->nodes[at].total = sum;
    r->nodes[at].calls = record_cell(r->in.record, kind, n_layers, SCOPE_HEAD)->n;
    return sum;
}

static double add_step(struct report *r, enum record_kind kind)
{
    size_t at = r->n_nodes, n_layers = r->in.record->shape.n_layers;
    const struct record_cell *cell = record_cell(r->in.record, kind, n_layers, SCOPES);
    if (cell->n == 0)
        return 0;
    add_node(r, &(struct report_node){.role = NODE_STEP,
                                      .depth = 1,
                                      .kind = kind,
                                      .scope = SCOPES,
                                      .layer = n_layers,
                                      .total = cell->total,
                                      .calls = cell->n});
    double sum = 0;
    for (int scope = 0; scope < SCOPES; scope++) {
        if (scope_infos[scope].place == PLACE_STEP)
            sum += add_scope(r, kind, n_layers, (enum scope)scope, 2);
        for (size_t layer = 0; scope == SCOPE_EMBED && layer < n_layers; layer++)
            sum += add_layer(r, kind, layer);
        if (scope == SCOPE_HEAD)
            sum += add_head(r, kind);
    }
    r->nodes[at].self = cell->total - sum;
    return cell->total;
}

static void add_tree(struct report *r)
{
    add_node(r, &(struct report_node){.role = NODE_ENGINE,
                                      .scope = SCOPES,
                                      .layer = r->in.record->shape.n_layers,
                                      .calls = 1});
    double sum = 0, missing = 0;
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        sum += add_step(r, (enum record_kind)kind);
    r->nodes[0].total = sum;
    for (size_t i = 1; i < r->n_nodes; i++)
        if (r->nodes[i].role != NODE_SCOPE && r->nodes[i].role != NODE_WAITING)
            missing += r->nodes[i].self > 0 ? r->nodes[i].self : 0;
    r->attributed = sum > 0 ? 1 - missing / sum : 0;
}

/* --- hot paths --- */

static int larger_first(const void *a, const void *b)
{
    const struct report_path *x = a, *y = b;
    return (x->total < y->total) - (x->total > y->total);
}

static void add_path(struct report *r, enum scope scope)
{
    struct record_cell sum = {0};
    struct report_limit_ns limits = {0};
    uint32_t counts[HISTOGRAM_BUCKETS] = {0};
    struct report_path *path = &r->paths[r->n_paths];
    *path = (struct report_path){.scope = scope};
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const uint32_t *more = record_histogram(r->in.record, (enum record_kind)kind, scope);
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
            counts[i] += more[i];
        for (size_t layer = 0; layer <= r->in.record->shape.n_layers; layer++) {
            const struct record_cost *cost = cost_at(r, (enum record_kind)kind, layer, scope);
            record_cell_add(&sum, record_cell(r->in.record, (enum record_kind)kind, layer, scope));
            record_cost_add(&path->bound.cost, cost);
            add_limit(r, &limits, scope, layer, cost);
        }
    }
    if (sum.n == 0)
        return;
    path->calls = sum.n;
    path->total = sum.total;
    path->self = sum.busy;
    path->share = r->total_ns > 0 ? sum.total / r->total_ns : 0;
    path->mean = sum.total / (double)sum.n;
    path->min = sum.min;
    path->max = sum.max;
    path->p50 = quantile(counts, 0.5, sum.min, sum.max);
    path->p95 = quantile(counts, 0.95, sum.min, sum.max);
    path->allocated = sum.allocated;
    finish_bound(&path->bound, &limits, sum.total);
    r->n_paths++;
}

/* --- layers --- */

static void add_layers(struct report *r)
{
    for (size_t layer = 0; layer < r->in.record->shape.n_layers; layer++) {
        struct report_layer *out = &r->layers[layer];
        for (int kind = 0; kind < RECORD_KINDS; kind++) {
            const struct record_cell *cell =
                record_cell(r->in.record, (enum record_kind)kind, layer, SCOPES);
            out->calls += cell->n;
            out->total += cell->total;
            for (int scope = 0; scope < SCOPES; scope++)
                out->scopes[scope] +=
                    record_cell(r->in.record, (enum record_kind)kind, layer, (size_t)scope)->total;
        }
        out->share = r->total_ns > 0 ? out->total / r->total_ns : 0;
    }
}

/* --- the whole --- */

struct report_rates {
    double tokens, prompt, wall_ns, prompt_ns;
};

static struct report_rates rates_of_sessions(const struct report *r)
{
    struct report_rates rates = {0};
    for (size_t i = 0; i < r->in.n_sessions; i++) {
        const struct report_session *s = &r->in.sessions[i];
        rates.tokens += s->n_tokens;
        rates.prompt += s->n_prompt;
        rates.wall_ns += s->wall_ns;
        rates.prompt_ns += s->prompt_ns;
    }
    return rates;
}

static void add_rates(struct report *r)
{
    const struct record_totals *totals = &r->in.record->totals;
    struct report_rates rates = rates_of_sessions(r);
    double stepped_ns = rates.wall_ns, told_tokens = 0, allocated = 0;
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const struct record_steps *steps = &totals->steps[kind];
        told_tokens += steps->work.n_sampled;
        allocated += (double)record_cell(r->in.record, (enum record_kind)kind,
                                         r->in.record->shape.n_layers, SCOPES)
                         ->allocated;
        if (r->in.n_sessions > 0)
            continue;
        rates.tokens += steps->seen_work.n_sampled;
        stepped_ns += steps->seen_ns;
        if (kind == RECORD_PREFILL) {
            rates.prompt = steps->seen_work.n_rows;
            rates.prompt_ns = steps->seen_ns;
        }
    }
    if (r->in.n_sessions == 0)
        rates.wall_ns = (double)(totals->end_ns - totals->begin_ns);
    r->tokens_s = rates.wall_ns > 0 ? rates.tokens / rates.wall_ns * 1e9 : 0;
    r->prompt_tokens_s = rates.prompt_ns > 0 ? rates.prompt / rates.prompt_ns * 1e9 : 0;
    r->ms_per_token = rates.tokens > 0 ? stepped_ns / rates.tokens * 1e-6 : 0;
    const struct report_steps *decode = &r->kinds[RECORD_DECODE];
    r->allocated_per_token = told_tokens > 0 ? allocated / told_tokens : 0;
    r->moved_per_token = decode->steps.work.n_sampled > 0
                             ? record_cost_bytes(&decode->bound.cost) / decode->steps.work.n_sampled
                             : 0;
}

enum status report_create(struct report **out, const struct report_input *input, struct error *err)
{
    size_t n_layers = input->record->shape.n_layers;
    /* The engine, and for each kind of step itself, its head and every scope twice, with waiting.
     */
    size_t max_nodes = 1 + RECORD_KINDS * (2 + n_layers + (n_layers + 1) * 2 * SCOPES);
    struct report *r = calloc(1, sizeof *r);
    if (r != NULL) {
        r->in = *input;
        r->nodes = calloc(max_nodes, sizeof *r->nodes);
        r->layers = calloc(n_layers + 1, sizeof *r->layers);
    }
    if (r == NULL || r->nodes == NULL || r->layers == NULL) {
        report_destroy(r);
        return error_no_memory(err, max_nodes * sizeof *r->nodes, "the report");
    }
    add_kinds(r);
    add_tree(r);
    for (int scope = 0; scope < SCOPES; scope++)
        add_path(r, (enum scope)scope);
    qsort(r->paths, r->n_paths, sizeof *r->paths, larger_first);
    add_layers(r);
    add_rates(r);
    report_find_insights(r);
    *out = r;
    return STATUS_OK;
}

void report_destroy(struct report *r)
{
    if (r == NULL)
        return;
    free(r->nodes);
    free(r->layers);
    free(r);
}
