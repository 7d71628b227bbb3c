/* layer.c - what the transformer computes, reading like the paper: embed, then each layer's groups
 * of phases, then the head for the rows that want logits. The lists of phases are made here, from
 * what each layer is; what the groups compute stands in files of their own (phases.h).
 */
#include "forward/phases.h"
#include "model/cost.h"

#include <assert.h>
#include <string.h>

/* --- before the layers --- */

static size_t row_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_rows;
}

static void embed(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct model *m = f->model;
    (void)layer, (void)rank;
    for (size_t t = r.begin; t < r.end; t++) {
        float *x = f->x + t * f->embd_stride;
        matrix_row(&m->embed, (size_t)f->rows[t].token, x);
        scale_values(x, m->shape.embedding_scale, m->shape.n_embd);
        if (m->token_type)
            f->kernels->add(x, m->token_type, m->shape.n_embd);
        if (m->positions)
            f->kernels->add(x, m->positions + f->rows[t].position * m->shape.n_embd,
                            m->shape.n_embd);
        norm_row(f, &m->embed_norm, x, x);
    }
}

/* --- the head --- */

static void make_head_input(const struct forward *f, size_t layer, struct act *act, struct range r)
{
    const struct linear *output = &f->model->output;
    (void)layer;
    for (size_t t = r.begin; t < r.end; t++) {
        norm_row(f, &f->model->output_norm, f->x + f->logits_of[t] * f->embd_stride,
                 act->f32 + t * act->f32_stride);
        round_row(f, act, t, &output, 1);
    }
}

static size_t head_input_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return input_items(f->n_logits);
}

static void norm_output(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)rank;
    make_head_input(f, layer, &f->inputs[INPUT_NORMED], r);
}

static size_t output_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_logits > 0 ? matrix_n_panels(&f->model->output.w) : 0;
}

static void project_output(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    const struct act *x = product_input(f, layer, INPUT_NORMED, f->n_logits, make_head_input, rank);
    linear_panels(f, &f->model->output, r.begin, r.end, x, f->n_logits, f->logits, f->vocab_stride);
    size_t begin = r.begin * PANEL_ROWS, n = (r.end - r.begin) * PANEL_ROWS;
    const struct shape *s = &f->model->shape;
    for (size_t t = 0; t < f->n_logits; t++) {
        float *logits = f->logits + t * f->vocab_stride + begin;
        scale_values(logits, s->logit_scale, n);
        if (s->logit_softcap != 0)
            f->kernels->softcap(logits, s->logit_softcap, n);
    }
}

static size_t vector_items(const struct forward *f, size_t layer)
{
    (void)layer;
    return f->n_vectors;
}

static void norm_vectors(struct forward *f, size_t layer, struct range r, unsigned rank)
{
    (void)layer, (void)rank;
    for (size_t i = r.begin; i < r.end; i++) {
        float *x = f->x + f->vectors_of[i] * f->embd_stride; /* nothing reads it after this */
        norm_row(f, &f->model->output_norm, x, x);
    }
}

/* --- the phases of a step, in their order --- */

static const struct phase first_phases[] = {{row_items, embed, SCOPE_EMBED, {NOTHING, NOTHING}}};
static const struct phase head_phases[] = {
    {head_input_items, norm_output, SCOPE_HEAD_NORM, {NOTHING, NOTHING}},
    {output_items, project_output, SCOPE_HEAD, {SCOPE_HEAD_NORM, NOTHING}},
    {vector_items, norm_vectors, SCOPE_HEAD_NORM, {NOTHING, NOTHING}},
};
static const struct phase_group first_group = PHASE_GROUP(first_phases);
static const struct phase_group head_group = PHASE_GROUP(head_phases);

enum { MAX_GROUPS = 5 }; /* of a layer */

/* A layer's groups by what it is: how it mixes positions, then its feed-forward half. */
static size_t groups_of(const struct model *model, size_t layer, const struct phase_group **out)
{
    size_t n = 0;
    switch (model->shape.layers[layer].mixer) {
    case MIXER_DELTA:
        out[n++] = &delta_phases;
        break;
    case MIXER_ATTENTION:
    default:
        out[n++] = &attention_phases;
        break;
    }
    out[n++] = &output_phases;
    if (model->layers[layer].attn_residual_norm.weight != NULL)
        out[n++] = &attended_norm_phases;
    out[n++] = model->shape.layers[layer].has_experts ? &expert_phases : &feed_forward_phases;
    if (model->layers[layer].ffn_residual_norm.weight != NULL)
        out[n++] = &expanded_norm_phases;
    return n;
}

/* Calls visit for every phase of a step, in their order; `layer` is n_layers for those of none. */
typedef void visit_fn(void *ctx, const struct phase *phase, size_t layer);

static void visit_group(const struct phase_group *group, size_t layer, visit_fn *visit, void *ctx)
{
    for (size_t i = 0; i < group->n; i++)
        visit(ctx, &group->phases[i], layer);
}

static void visit_phases(const struct model *model, visit_fn *visit, void *ctx)
{
    const struct phase_group *groups[MAX_GROUPS];
    const size_t n_layers = model->shape.n_layers;
    visit_group(&first_group, n_layers, visit, ctx);
    for (size_t layer = 0; layer < n_layers; layer++) {
        size_t n = groups_of(model, layer, groups);
        for (size_t i = 0; i < n; i++)
            visit_group(groups[i], layer, visit, ctx);
    }
    visit_group(&head_group, n_layers, visit, ctx);
}

struct phase_list {
    struct planned_phase *out; /* NULL: only counts */
    size_t n;
};

static void list(void *ctx, const struct phase *phase, size_t layer)
{
    struct phase_list *l = ctx;
    if (l->out != NULL)
        l->out[l->n] = (struct planned_phase){phase, layer};
    l->n++;
}

size_t forward_max_phases(const struct model *model)
{
    struct phase_list l = {0};
    visit_phases(model, list, &l);
    return l.n;
}

void forward_list_phases(const struct model *model, struct planned_phase *out)
{
    struct phase_list l = {.out = out};
    visit_phases(model, list, &l);
}

struct search {
    size_t left;
    struct planned_phase found;
};

static void search(void *ctx, const struct phase *phase, size_t layer)
{
    struct search *s = ctx;
    if (s->left-- == 0)
        s->found = (struct planned_phase){phase, layer};
}

struct scope_phase forward_phase(const struct model *model, size_t i)
{
    struct search s = {.left = i};
    visit_phases(model, search, &s);
    assert(s.found.phase != NULL); /* i is below their number */
    struct scope_phase out = {.scope = s.found.phase->scope, .layer = s.found.layer};
    memcpy(out.parts, s.found.phase->parts, sizeof out.parts);
    out.matrix = cost_matrix_type(model, s.found.phase->scope, s.found.layer);
    return out;
}
