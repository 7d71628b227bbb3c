/* cost.c - bytes and operations of each scope. Follows the phases of core/forward. Pure. */
#include "model/cost.h"

#include "math/kernels.h"

#define F32_BYTES 4.0

struct cost_sums { /* of a layer: rows that go through its first half, and on through its second */
    double steps, rows, steps_on, rows_on, positions, blocks, sequences;
    double experts_on; /* over steps: the experts that rows go to */
};

static struct cost_sums sums_of(const struct model *model, size_t layer,
                                const struct record_work *w)
{
    struct cost_sums s = {w->n_steps,     w->n_rows,      w->n_steps,     w->n_rows,
                          w->n_positions, w->n_kv_blocks, w->n_sequences, w->n_experts};
    if (layer + 1 == model->shape.n_layers) { /* after its keys and values only wanted rows go on */
        s.steps_on = w->n_steps_wanted;
        s.rows_on = w->n_wanted;
        s.positions = w->n_positions_wanted;
        s.blocks = w->n_kv_blocks_wanted;
        s.experts_on = w->n_experts_wanted;
    }
    if (model->shape.layers[layer].window > 0) {
        const bool last = layer + 1 == model->shape.n_layers;
        s.positions = last ? w->n_window_positions_wanted : w->n_window_positions;
        s.blocks = last ? w->n_window_blocks_wanted : w->n_window_blocks;
    }
    return s;
}

/* Bytes of one activation in the format that a matrix reads. */
static double act_bytes(const struct matrix *w)
{
    return weight_infos[w->type].activation == ACT_F32 ? F32_BYTES : 1.0;
}

/* y = W x for some rows in some steps: the matrix once a step, inputs and outputs once a row. */
static void add_product(struct record_cost *out, const struct matrix *w, double steps, double rows)
{
    if (w->n_rows == 0 || rows <= 0)
        return;
    double n_out = (double)w->n_rows, n_in = (double)w->n_cols;
    out->weight_bytes += steps * (double)(matrix_n_panels(w) * w->panel_bytes);
    out->other_bytes += rows * (n_in * act_bytes(w) + n_out * F32_BYTES);
    out->ops += rows * 2 * n_in * n_out;
}

/* The same with a matrix of each expert: those of the experts that rows went to, and n_used of them
 * for each row. */
static void add_experts(struct record_cost *out, const struct expert_linear *l,
                        const struct cost_sums *s, double n_used)
{
    const struct matrix *w = &l->first;
    double n_out = (double)w->n_rows, n_in = (double)w->n_cols, pairs = s->rows_on * n_used;
    out->weight_bytes += s->experts_on * (double)(matrix_n_panels(w) * w->panel_bytes);
    out->other_bytes += pairs * (n_in * act_bytes(w) + n_out * F32_BYTES);
    out->ops += pairs * 2 * n_in * n_out;
}

/* n values of F32 read and written so many times, and operations a value. */
static void add_values(struct record_cost *out, double n, double touches, double ops)
{
    out->other_bytes += n * touches * F32_BYTES;
    out->ops += n * ops;
}

/* F32 in, the format of the matrix out: a maximum, a product and a sum. */
static void add_round(struct record_cost *out, const struct matrix *reader, double n)
{
    if (weight_infos[reader->type].activation == ACT_F32)
        return;
    out->other_bytes += n * (F32_BYTES + 1);
    out->ops += n * 3;
}

/* What joins the residual is normed first. */
static void add_post_norm(struct record_cost *out, const struct norm *norm, double n)
{
    if (norm->weight != NULL)
        add_values(out, n, 3, 4);
}

static void cost_attention(struct record_cost *out, const struct model *model, enum kv_type kv,
                           const struct cost_sums *s)
{
    const struct shape *shape = &model->shape;
    double d = (double)shape->head_dim, heads = (double)shape->n_heads;
    out->kv_bytes += s->blocks * (double)(shape->n_kv_heads * page_head_bytes(kv, shape->head_dim));
    out->other_bytes += s->rows_on * heads * d * 2 * F32_BYTES; /* queries, result */
    out->ops += s->positions * heads * (4 * d + 2);             /* q.k and p.v; exp and sum */
}

/* Of a gated delta net, what is not as in a layer that attends. A run reads and writes its state
 * once; its rows pass it in the first-level cache. */
static bool cost_delta(struct record_cost *out, const struct shape *shape, const struct layer *l,
                       enum scope scope, const struct cost_sums *s)
{
    const struct delta_shape *d = &shape->delta;
    const double channels = (double)delta_channels(d), inner = (double)delta_inner(d);
    const double cells = inner * (double)d->size;
    switch ((int)scope) {
    case SCOPE_QKV:
        add_product(out, &l->delta.mix.w, s->steps, s->rows);
        add_product(out, &l->delta.gate.w, s->steps, s->rows);
        add_product(out, &l->delta.alpha.w, s->steps, s->rows);
        add_product(out, &l->delta.beta.w, s->steps, s->rows);
        return true;
    case SCOPE_CONV: /* taps, and an activation of about ten operations a value */
        add_values(out, s->rows * channels, 2, 2 * (double)d->n_taps + 10);
        return true;
    case SCOPE_RECURRENCE: /* two answers, a decay and a change of each cell */
        out->kv_bytes += s->sequences * 2 * cells * F32_BYTES;
        out->ops += s->rows * cells * 7;
        add_values(out, s->rows * (channels + 2 * inner), 1, 0);
        add_values(out, s->rows_on * inner, 3, 14);
        return true;
    case SCOPE_OUTPUT_ROUND:
        add_round(out, &l->attn_output.w, s->rows_on * inner);
        return true;
    case SCOPE_ROPE:
    case SCOPE_ATTENTION:
    case SCOPE_ATTENTION_MERGE:
        return true; /* nothing */
    default:
        return false;
    }
}

/* The feed-forward half of a layer with experts. */
static void cost_experts(struct record_cost *out, const struct model *model, enum scope scope,
                         const struct layer_experts *l, const struct cost_sums *s)
{
    const struct shape *shape = &model->shape;
    const double e = (double)shape->n_embd, n_used = (double)shape->routing.n_used;
    const double f = (double)shape->n_ff_expert, shared = (double)l->shared_up.w.n_rows;
    switch ((int)scope) {
    case SCOPE_FFN_NORM:
        add_values(out, s->rows_on * e, 3, 4);
        add_round(out, &l->up.first, s->rows_on * e);
        break;
    case SCOPE_ROUTER: /* scores, and the choice: each is compared n_used times */
        add_product(out, &l->router.w, s->steps_on, s->rows_on);
        add_product(out, &l->shared_weight.w, s->steps_on, s->rows_on);
        add_values(out, s->rows_on * (double)shape->routing.n_experts, 3, 12 + n_used);
        break;
    case SCOPE_GATE_UP: /* with the activation */
        add_experts(out, &l->gate, s, n_used);
        add_experts(out, &l->up, s, n_used);
        add_product(out, &l->shared_gate.w, s->steps_on, s->rows_on);
        add_product(out, &l->shared_up.w, s->steps_on, s->rows_on);
        add_values(out, s->rows_on * (n_used * f + shared), 3, 10);
        break;
    case SCOPE_DOWN_ROUND:
        add_round(out, &l->down.first, s->rows_on * n_used * f);
        if (shared > 0)
            add_round(out, &l->shared_down.w, s->rows_on * shared);
        break;
    case SCOPE_DOWN:
        add_experts(out, &l->down, s, n_used);
        add_product(out, &l->shared_down.w, s->steps_on, s->rows_on);
        add_values(out, s->rows_on * e * (n_used + 1), 3, 2);
        break;
    default:
        break;
    }
}

/* What a layer's kind has in a scope instead of what others have. False: nothing. */
static bool cost_of_kind(struct record_cost *out, const struct model *model, enum scope scope,
                         size_t layer, const struct cost_sums *s)
{
    const struct layer_shape *shape = &model->shape.layers[layer];
    const struct layer *l = &model->layers[layer];
    const bool experts = shape->has_experts && scope >= SCOPE_FFN_NORM;
    if (experts)
        cost_experts(out, model, scope, &l->experts, s);
    return experts || (shape->mixer == MIXER_DELTA && cost_delta(out, &model->shape, l, scope, s));
}

static void cost_layer(struct record_cost *out, const struct model *model, enum kv_type kv,
                       enum scope scope, size_t layer, const struct record_work *work)
{
    const struct shape *shape = &model->shape;
    const struct layer *l = &model->layers[layer];
    struct cost_sums s = sums_of(model, layer, work);
    double e = (double)shape->n_embd, f = (double)shape->n_ff, d = (double)shape->head_dim;
    double q = (double)shape->n_heads * d, k = (double)shape->n_kv_heads * d;
    if (cost_of_kind(out, model, scope, layer, &s))
        return;
    switch ((int)scope) {
    case SCOPE_ATTN_NORM:
        add_values(out, s.rows * e, 3, 4);
        add_round(out, &l->q.w, s.rows * e);
        break;
    case SCOPE_QKV:
        add_product(out, &l->q.w, s.steps, s.rows);
        add_product(out, &l->k.w, s.steps, s.rows);
        add_product(out, &l->v.w, s.steps, s.rows);
        add_product(out, &l->q_gate.w, s.steps, s.rows);
        break;
    case SCOPE_ROPE:
        add_values(out, s.rows * (q + k), 2, shape->rope == ROPE_NONE ? 1 : 4);
        add_values(out, s.rows * 2 * k, 1, 0);
        if (l->q_row_norm.weight != NULL)
            add_values(out, s.rows * (q + k), 3, 4);
        out->kv_bytes += s.rows *
                         (double)(shape->n_kv_heads * page_head_bytes(kv, shape->head_dim)) /
                         (double)KV_PAGE;
        break;
    case SCOPE_ATTENTION:
        cost_attention(out, model, kv, &s);
        break;
    case SCOPE_ATTENTION_MERGE:
        add_values(out, s.rows_on * q, 2, 3);
        break;
    case SCOPE_OUTPUT_ROUND:
        add_round(out, &l->attn_output.w, s.rows_on * q);
        break;
    case SCOPE_OUTPUT:
        add_product(out, &l->attn_output.w, s.steps_on, s.rows_on);
        add_values(out, s.rows_on * e, 3, 1);
        add_post_norm(out, &l->attn_post_norm, s.rows_on * e);
        break;
    case SCOPE_FFN_NORM:
        add_values(out, s.rows_on * e, 3, 4);
        add_round(out, &l->up.w, s.rows_on * e);
        break;
    case SCOPE_GATE_UP:
        add_product(out, &l->gate.w, s.steps_on, s.rows_on);
        add_product(out, &l->up.w, s.steps_on, s.rows_on);
        break;
    case SCOPE_ACTIVATION: /* exp, a division, products: about ten operations a value */
        add_values(out, s.rows_on * f, shape->ffn == FFN_SILU_GATED ? 3 : 2, 10);
        break;
    case SCOPE_DOWN_ROUND:
        add_round(out, &l->down.w, s.rows_on * f);
        break;
    case SCOPE_DOWN:
        add_product(out, &l->down.w, s.steps_on, s.rows_on);
        add_values(out, s.rows_on * e, 3, 1);
        add_post_norm(out, &l->ffn_post_norm, s.rows_on * e);
        break;
    default:
        break;
    }
}

/* Whether a scope belongs there: n_layers: to no layer. */
static bool is_of(size_t n_layers, size_t layer, enum scope scope)
{
    return (scope_infos[scope].place == PLACE_LAYER) == (layer < n_layers);
}

void cost_of(struct record_cost *out, const struct model *model, enum kv_type kv, enum scope scope,
             size_t layer, const struct record_work *work)
{
    const struct shape *shape = &model->shape;
    double e = (double)shape->n_embd, v = (double)shape->n_vocab;
    *out = (struct record_cost){0};
    if (!is_of(shape->n_layers, layer, scope))
        return;
    if (layer < shape->n_layers) {
        cost_layer(out, model, kv, scope, layer, work);
        return;
    }
    switch ((int)scope) {
    case SCOPE_EMBED: {
        double row = (double)weight_bytes(model->embed.type, model->embed.n_cols);
        out->weight_bytes += work->n_rows * row;
        add_values(out, work->n_rows * e, model->positions != NULL ? 2 : 1, 1);
        break;
    }
    case SCOPE_HEAD_NORM:
        add_values(out, work->n_wanted * e, 3, 4);
        add_round(out, &model->output.w, work->n_wanted * e);
        break;
    case SCOPE_HEAD:
        add_product(out, &model->output.w, work->n_steps_wanted, work->n_wanted);
        break;
    case SCOPE_SAMPLE: /* checked, filtered, summed: each logit is read about three times */
        add_values(out, work->n_sampled * v, 3, 12);
        break;
    default:
        break;
    }
}

double cost_experts_met(const struct routing *r, size_t n_rows)
{
    double missed = 1; /* that an expert is met by none */
    for (size_t i = 0; i < n_rows; i++)
        missed *= 1 - (double)r->n_used / (double)r->n_experts;
    return (double)r->n_experts * (1 - missed);
}

void cost_growth(double *out, size_t n_classes, const struct model *model)
{
    const struct routing *r = &model->shape.routing;
    const double one = (double)model->bytes_per_token;
    const double others = (double)model->weight_bytes - one; /* of experts not met by one row */
    for (size_t i = 0; i < n_classes; i++) {
        out[i] = 1;
        if (r->n_experts > r->n_used)
            out[i] += others / one * (cost_experts_met(r, (size_t)1 << i) - (double)r->n_used) /
                      (double)(r->n_experts - r->n_used);
    }
}

static unsigned type_of(const struct matrix *const *matrices, size_t n)
{
    unsigned type = SCOPE_NONE;
    for (size_t i = 0; i < n; i++) {
        if (matrices[i]->n_rows == 0)
            continue;
        bool same = type == SCOPE_NONE || type == matrices[i]->type;
        type = same ? matrices[i]->type : SCOPE_MIXED;
    }
    return type;
}

unsigned cost_matrix_type(const struct model *model, enum scope scope, size_t layer)
{
    if (!is_of(model->shape.n_layers, layer, scope))
        return SCOPE_NONE;
    const struct layer *l = &model->layers[layer < model->shape.n_layers ? layer : 0];
    switch ((int)scope) {
    case SCOPE_QKV:
        return type_of((const struct matrix *const[]){&l->q.w, &l->k.w, &l->v.w, &l->delta.mix.w,
                                                      &l->delta.gate.w},
                       5);
    case SCOPE_OUTPUT:
        return l->attn_output.w.type;
    case SCOPE_ROUTER:
        return model->shape.layers[layer].has_experts ? l->experts.router.w.type : SCOPE_NONE;
    case SCOPE_GATE_UP: /* a layer has the one or the other */
        return type_of((const struct matrix *const[]){&l->gate.w, &l->up.w, &l->experts.gate.first,
                                                      &l->experts.up.first,
                                                      &l->experts.shared_gate.w,
                                                      &l->experts.shared_up.w},
                       6);
    case SCOPE_DOWN:
        return type_of((const struct matrix *const[]){&l->down.w, &l->experts.down.first,
                                                      &l->experts.shared_down.w},
                       3);
    case SCOPE_HEAD:
        return model->output.w.type;
    default:
        return SCOPE_NONE;
    }
}

void cost_of_record(const struct model *model, enum kv_type kv, const struct record *record,
                    struct record_cost *costs, unsigned *matrices)
{
    size_t n_layers = model->shape.n_layers;
    for (size_t layer = 0; layer <= n_layers; layer++) {
        for (int scope = 0; scope < SCOPES; scope++) {
            size_t at = layer * SCOPES + (size_t)scope;
            matrices[at] = cost_matrix_type(model, (enum scope)scope, layer);
            for (size_t kind = 0; kind < RECORD_KINDS; kind++)
                cost_of(&costs[kind * (n_layers + 1) * SCOPES + at], model, kv, (enum scope)scope,
                        layer, &record->totals.steps[kind].work);
        }
    }
}
