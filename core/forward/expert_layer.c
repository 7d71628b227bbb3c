/* expert_layer.c - the feed-forward half of a layer with experts: norm and route, sort, gate and
 * up, down. See phases.h; what the phases compute stands in experts.c.
 */
#include "forward/phases.h"

static void make_expert_input(const struct forward *f, size_t layer, struct act *act,
                              struct range r)
{
    const struct layer *l = &f->model->layers[layer];
    const struct layer_experts *e = &l->experts;
    const struct linear gate = {.w = e->gate.first}, up = {.w = e->up.first};
    const struct linear *readers[] = {&gate,           &up,          &e->router, &e->shared_weight,
                                      &e->shared_gate, &e->shared_up};
    norm_rows(f, &l->ffn_norm, act, r, readers, sizeof readers / sizeof *readers);
}

static struct experts_call call_of(const struct forward *f, size_t layer, const struct act *x)
{
    return (struct experts_call){.layer = layer, .n_rows = rows_on(f, layer), .x = x};
}

/* Many rows have been normed as they were routed; few are normed by each thread. */
static struct experts_call call_with_input(const struct forward *f, size_t layer, unsigned rank)
{
    const size_t n_rows = rows_on(f, layer);
    return call_of(f, layer,
                   product_input(f, layer, INPUT_NORMED, n_rows, make_expert_input, rank));
}

static size_t route_items(const struct forward *f, size_t layer)
{
    const struct experts_call c = call_of(f, layer, NULL);
    return experts_route_items(f->experts, &c);
}

/* Items are rows, each normed where it is routed, or, of few rows, the router's panels. */
static void route(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    if (input_items(rows_on(f, layer)) > 0) {
        uint64_t part = part_begin(f, rank);
        make_expert_input(f, layer, &f->inputs[INPUT_NORMED], r);
        part_end(f, rank, PART_INPUT, part);
    }
    const struct experts_call c = call_with_input(f, layer, rank);
    experts_route(f->experts, &c, r.begin, r.end, rank);
}

static size_t sort_items(const struct forward *f, size_t layer)
{
    const struct experts_call c = call_of(f, layer, NULL);
    return experts_sort_items(f->experts, &c);
}

static void sort(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct experts_call c = call_of(f, layer, NULL);
    (void)r, (void)rank;
    experts_sort(f->experts, &c);
}

static size_t expand_items(const struct forward *f, size_t layer)
{
    const struct experts_call c = call_of(f, layer, NULL);
    return experts_expand_items(f->experts, &c);
}

static void expand(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct experts_call c = call_with_input(f, layer, rank);
    experts_expand(f->experts, &c, r.begin, r.end, rank);
}

static size_t round_items(const struct forward *f, size_t layer)
{
    const struct experts_call c = call_of(f, layer, NULL);
    return experts_round_items(f->experts, &c);
}

static void round_hidden(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct experts_call c = call_of(f, layer, NULL);
    (void)rank;
    experts_round(f->experts, &c, r.begin, r.end);
}

static size_t project_items(const struct forward *f, size_t layer)
{
    const struct experts_call c = call_of(f, layer, NULL);
    return experts_project_items(f->experts, &c);
}

static void project(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct experts_call c = call_of(f, layer, NULL);
    if (experts_round_own(f->experts, &c, rank))
        part_end_since_begin(f, rank, PART_INPUT);
    experts_project(f->experts, &c, r.begin, r.end, rank, f->proj, f->embd_stride);
    join_residual(f, &f->model->layers[layer].ffn_post_norm,
                  &(struct piece){.panels = r, .rows = {0, c.n_rows}});
}

static size_t post_items(const struct forward *f, size_t layer)
{
    return post_norm_items(&f->model->layers[layer].ffn_post_norm, rows_on(f, layer));
}

static void add_projected(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    add_normed(f, &f->model->layers[layer].ffn_post_norm, r);
}

static const struct phase phases[] = {
    {route_items, route, SCOPE_ROUTER, {SCOPE_FFN_NORM, NOTHING}},
    {sort_items, sort, SCOPE_ROUTER, {NOTHING, NOTHING}},
    {expand_items, expand, SCOPE_GATE_UP, {SCOPE_FFN_NORM, NOTHING}},
    {round_items, round_hidden, SCOPE_DOWN_ROUND, {NOTHING, NOTHING}},
    {project_items, project, SCOPE_DOWN, {SCOPE_DOWN_ROUND, NOTHING}},
    {post_items, add_projected, SCOPE_DOWN, {NOTHING, NOTHING}},
};
const struct phase_group expert_phases = PHASE_GROUP(phases);
