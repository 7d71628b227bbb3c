/* kernels.c - single kernels, timed on one thread: matrix products, softmax, GELU, SiLU and
 * attention and the delta rule, at fixed sizes and at the model's own shapes.
 *
 * Each is repeated on the same data, so its working set decides which memory it reads from, as in
 * the limit it is compared with. Products take the model's own packed weights, and squares of noise
 * in each of its types and in F32. The best of many short rounds counts. Main thread.
 */
#include "cli/bench/bench.h"

#include "base/arena.h"
#include "math/act.h"
#include "math/kernels.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TOKENS = 64, MOST_SQUARE = 512, MAX_SHAPES = 24, ALIGN_FLOATS = 16 };
#define ROUND_SECONDS 0.001

/* Operations on the ports of the multiply-adds that an element costs at least, from the formulas of
 * math/fmath_inline.h (a division as four): what bounds them when the data is near. */
enum { EXP_OPS = 10, SOFTMAX_OPS = EXP_OPS + 3, SILU_OPS = EXP_OPS + 6, GELU_OPS = EXP_OPS + 10 };

/* Everything that a kernel may be handed; one of its functions is timed. */
struct bed {
    const struct kernels *kernels;
    struct arena arena;
    struct act x;
    const struct matrix *w;
    float *y, *u;
    size_t n; /* tokens, or elements */
    struct attend attend;
    void (*attend_fn)(const struct attend *a);
    struct delta delta;
    float sink; /* results that would otherwise be unused */
};

typedef void pass_fn(struct bed *bed);

static void pass_matmul(struct bed *bed)
{
    const struct matrix *w = bed->w;
    size_t n_panels = matrix_n_panels(w);
    bed->kernels->matmul[w->type](w, 0, n_panels, &bed->x, bed->n, bed->y, n_panels * PANEL_ROWS);
}

static void pass_softmax(struct bed *bed)
{
    bed->sink += bed->kernels->sum_exp(bed->u, bed->n, bed->kernels->max(bed->u, bed->n));
}

static void pass_gelu(struct bed *bed)
{
    bed->kernels->gelu(bed->y, bed->n);
}

static void pass_silu(struct bed *bed)
{
    bed->kernels->silu_mul(bed->y, bed->u, bed->n);
}

static void pass_attend(struct bed *bed)
{
    bed->attend_fn(&bed->attend);
}

/* Seconds of one pass. */
static double measure(const struct bench *bench, struct bed *bed, pass_fn *pass)
{
    double budget = bench->settings->quick ? 0.005 : 0.04, best = 1e9, start = seconds_now();
    do {
        size_t n = 0;
        double begin = seconds_now(), end;
        do {
            pass(bed);
            n++;
            end = seconds_now();
        } while (end - begin < ROUND_SECONDS);
        best = (end - begin) / (double)n < best ? (end - begin) / (double)n : best;
    } while (seconds_now() - start < budget);
    return best;
}

/* Measures one cell if it is asked for; result: kind, unit, name and shape are set. */
static enum status run_cell(struct bench *bench, struct bed *bed, pass_fn *pass,
                            struct bench_result *result, const struct bench_demand *demand,
                            struct error *err)
{
    if (!wanted_cell(bench, result->name))
        return STATUS_OK;
    result->kind = BENCH_KERNEL;
    result->threads = 1;
    enum status status = demand_prepare(bench, demand, 1, err);
    if (status != STATUS_OK)
        return status;
    result->rate = demand->units / measure(bench, bed, pass);
    return demand_add(bench, result, demand, err);
}

/* --- data --- */

static uint32_t noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Between -1 and 1: GELU and SiLU are applied in place again and again, which shrinks them. */
static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)noise(&seed) * 0x1p-30f - 1.0f;
}

static size_t round_up(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

/* Activations of MAX_TOKENS rows, in each format that their width allows. */
static bool make_activations(struct bed *bed, size_t n_cols)
{
    struct act x;
    act_carve(&x, &bed->arena, MAX_TOKENS, n_cols);
    if (!x.f32 || !x.q8 || !x.q8k || !x.q8_scale || !x.q8k_scale || !x.q8_sum || !x.q8k_sum)
        return false;
    fill(x.f32, MAX_TOKENS * x.f32_stride, n_cols);
    for (size_t t = 0; t < MAX_TOKENS; t++) {
        if (n_cols % 32 == 0)
            bed->kernels->quantize[ACT_Q8](&x, t);
        if (n_cols % 256 == 0)
            bed->kernels->quantize[ACT_Q8K](&x, t);
    }
    bed->x = x;
    return true;
}

static enum status open_bed(struct bed *bed, const struct bench *bench, size_t bytes,
                            struct error *err)
{
    *bed = (struct bed){.kernels = bench->loaded.kernels};
    return arena_init(&bed->arena, bytes + (1 << 16), "kernels to measure", err);
}

static size_t activation_bytes(size_t n_cols)
{
    return MAX_TOKENS * round_up(n_cols, 256) * 10;
}

/* --- matrix products --- */

static enum status run_products(struct bench *bench, struct bed *bed, const struct matrix *w,
                                const size_t *tokens, size_t n, struct error *err)
{
    enum status status = STATUS_OK;
    size_t bytes = matrix_n_panels(w) * w->panel_bytes;
    bed->w = w;
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        struct bench_result result = {.unit = BENCH_GMAC, .tokens = tokens[i], .batch = tokens[i]};
        struct bench_demand demand = {.bytes = (double)bytes, .working_set = bytes};
        double macs = (double)w->n_rows * (double)w->n_cols * (double)tokens[i];
        demand.macs[limits_chain_of(w->type)] = macs;
        demand.units = macs * 1e-9;
        bed->n = tokens[i];
        snprintf(result.name, sizeof result.name, "matmul %s", weight_infos[w->type].name);
        snprintf(result.shape, sizeof result.shape, "%zux%zux%zu", w->n_rows, w->n_cols, tokens[i]);
        status = run_cell(bench, bed, pass_matmul, &result, &demand, err);
    }
    return status;
}

/* A square of noise in a type, by as many tokens. */
static enum status run_square(struct bench *bench, enum weight_type type, size_t n,
                              struct error *err)
{
    struct bed bed;
    size_t packed = matrix_packed_bytes(type, n, n), source = weight_bytes(type, n * n);
    enum status status = open_bed(
        &bed, bench, packed + source + activation_bytes(n) + MAX_TOKENS * n * sizeof(float), err);
    if (status != STATUS_OK)
        return status;
    uint8_t *panels = arena_alloc(&bed.arena, packed, 1), *src = arena_alloc(&bed.arena, source, 1);
    bed.y = arena_alloc(&bed.arena, MAX_TOKENS * n, sizeof *bed.y);
    if (panels == NULL || src == NULL || bed.y == NULL || !make_activations(&bed, n)) {
        arena_free(&bed.arena);
        return error_no_memory(err, packed + source, "kernels to measure");
    }
    uint64_t state = n;
    /* No exponent at an end of its range: values that need special care would be timed instead. */
    for (size_t i = 0; i < source; i++)
        src[i] = (uint8_t)(0x30 | (noise(&state) & 0x0f));
    struct matrix w;
    matrix_pack(&w, type, n, n, src, panels);
    const size_t tokens[] = {1, MAX_TOKENS};
    status = run_products(bench, &bed, &w, tokens, 2, err);
    arena_free(&bed.arena);
    return status;
}

/* A layer's matrices, of experts the first one's; those that it has not have no rows. Returns how
 * many. */
static size_t list_matrices(const struct layer *l, const struct matrix **out)
{
    const struct layer_experts *e = &l->experts;
    const struct matrix *const all[] = {
        &l->q.w,         &l->k.w,           &l->v.w,         &l->attn_output.w,
        &l->gate.w,      &l->up.w,          &l->down.w,      &e->router.w,
        &e->gate.first,  &e->up.first,      &e->down.first,  &e->shared_gate.w,
        &e->shared_up.w, &e->shared_down.w, &l->delta.mix.w, &l->delta.gate.w};
    memcpy(out, all, sizeof all);
    return sizeof all / sizeof *all;
}

/* The model's distinct matrices. */
static size_t list_shapes(const struct model *model, const struct matrix *shapes[MAX_SHAPES])
{
    size_t n = 0;
    for (size_t l = 0; l <= model->shape.n_layers; l++) {
        const struct matrix *all[MAX_SHAPES] = {&model->output.w};
        size_t n_all = l < model->shape.n_layers ? list_matrices(&model->layers[l], all) : 1;
        for (size_t i = 0; i < n_all && n < MAX_SHAPES; i++) {
            const struct matrix *w = all[i];
            bool known = w->n_rows == 0;
            for (size_t k = 0; k < n; k++)
                known = known || (shapes[k]->type == w->type && shapes[k]->n_rows == w->n_rows &&
                                  shapes[k]->n_cols == w->n_cols);
            if (!known)
                shapes[n++] = w;
        }
    }
    return n;
}

static enum status run_own_products(struct bench *bench, struct error *err)
{
    const struct matrix *shapes[MAX_SHAPES];
    static const size_t tokens[] = {1, 8, MAX_TOKENS};
    size_t n = list_shapes(bench->loaded.model, shapes);
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        struct bed bed;
        size_t outputs = MAX_TOKENS * matrix_n_panels(shapes[i]) * PANEL_ROWS;
        status = open_bed(&bed, bench,
                          activation_bytes(shapes[i]->n_cols) + outputs * sizeof(float), err);
        if (status != STATUS_OK)
            return status;
        bed.y = arena_alloc(&bed.arena, outputs, sizeof *bed.y);
        if (bed.y == NULL || !make_activations(&bed, shapes[i]->n_cols))
            status = error_no_memory(err, outputs * sizeof(float), "kernels to measure");
        else
            status =
                run_products(bench, &bed, shapes[i], tokens, bench->settings->quick ? 2 : 3, err);
        arena_free(&bed.arena);
    }
    return status;
}

/* The types that products are measured in: the model's, and F32. */
static void list_types(const struct model *model, bool types[WEIGHT_TYPES])
{
    const struct matrix *shapes[MAX_SHAPES];
    size_t n = list_shapes(model, shapes);
    memset(types, 0, WEIGHT_TYPES * sizeof *types);
    types[WEIGHT_F32] = true;
    for (size_t i = 0; i < n; i++)
        types[shapes[i]->type] = true;
}

static enum status run_squares(struct bench *bench, struct error *err)
{
    static const size_t sizes[] = {128, 256, MOST_SQUARE};
    bool wanted[WEIGHT_TYPES];
    size_t n_sizes = bench->settings->quick ? 1 : 3;
    list_types(bench->loaded.model, wanted);
    enum status status = STATUS_OK;
    for (int type = 0; type < WEIGHT_TYPES; type++)
        for (size_t i = 0; status == STATUS_OK && wanted[type] && i < n_sizes; i++)
            if (sizes[i] % weight_infos[type].block_values == 0)
                status = run_square(bench, (enum weight_type)type, sizes[i], err);
    return status;
}

/* --- rows --- */

struct row_kernel {
    const char *name;
    pass_fn *pass;
    size_t floats; /* read and written for each element */
    double ops;    /* for each element */
};

static enum status run_row(struct bench *bench, struct bed *bed, const struct row_kernel *kernel,
                           size_t n, struct error *err)
{
    struct bench_result result = {.unit = BENCH_GB, .tokens = 1, .batch = 1};
    struct bench_demand demand = {.bytes = (double)(n * kernel->floats * sizeof(float))};
    demand.working_set = (size_t)demand.bytes;
    demand.macs[LIMIT_FMA] = kernel->ops * (double)n;
    demand.units = demand.bytes * 1e-9;
    snprintf(result.name, sizeof result.name, "%s", kernel->name);
    snprintf(result.shape, sizeof result.shape, "%zu", n);
    bed->n = n;
    fill(bed->y, n, n);
    fill(bed->u, n, n + 1);
    return run_cell(bench, bed, kernel->pass, &result, &demand, err);
}

static const struct row_kernel row_kernels[] = {{"softmax", pass_softmax, 1, SOFTMAX_OPS},
                                                {"gelu", pass_gelu, 1, GELU_OPS},
                                                {"silu", pass_silu, 2, SILU_OPS}};
enum { ROW_KERNELS = sizeof row_kernels / sizeof *row_kernels };

static enum status run_rows(struct bench *bench, struct error *err)
{
    const struct shape *shape = &bench->loaded.model->shape;
    struct bed bed;
    size_t most = shape->n_vocab > shape->n_ff ? shape->n_vocab : shape->n_ff;
    most = most > MOST_SQUARE ? most : MOST_SQUARE;
    enum status status = open_bed(&bed, bench, 2 * most * sizeof(float), err);
    if (status != STATUS_OK)
        return status;
    bed.y = arena_alloc(&bed.arena, most, sizeof *bed.y);
    bed.u = arena_alloc(&bed.arena, most, sizeof *bed.u);
    if (bed.y == NULL || bed.u == NULL)
        status = error_no_memory(err, 2 * most * sizeof(float), "kernels to measure");
    for (size_t k = 0; status == STATUS_OK && k < ROW_KERNELS; k++) {
        size_t sizes[] = {128, 256, MOST_SQUARE, k == 0 ? shape->n_vocab : shape->n_ff};
        bool known = sizes[3] == 128 || sizes[3] == 256 || sizes[3] == MOST_SQUARE;
        for (size_t i = 0; status == STATUS_OK && i < (known ? 3 : 4); i++)
            status = run_row(bench, &bed, &row_kernels[k], sizes[i], err);
    }
    arena_free(&bed.arena);
    return status;
}

static const char *const kv_names[KV_TYPES] = {"F32", "F16", "Q8"};

/* One group of heads over a span of the context: what decoding does in each layer. */
static enum status run_attend(struct bench *bench, struct error *err)
{
    const struct shape *shape = &bench->loaded.model->shape;
    const struct kernels *kernels = bench->loaded.kernels;
    enum kv_type type = (enum kv_type)bench->settings->kv_type;
    enum { BLOCKS = ATTEND_SPAN / KV_PAGE };
    size_t d = shape->head_dim, heads = shape->n_heads / shape->n_kv_heads;
    size_t block = page_head_bytes(type, d), floats = (3 * heads + 2) * round_up(d, ALIGN_FLOATS);
    struct bed bed;
    if (block == 0 || kernels->attend[type] == NULL)
        return STATUS_OK;
    enum status status = open_bed(&bed, bench,
                                  BLOCKS * block + (floats + 4 * ALIGN_FLOATS * heads +
                                                    round_up(ATTEND_QUERIES * d, ALIGN_FLOATS)) *
                                                       sizeof(float),
                                  err);
    if (status != STATUS_OK)
        return status;
    const uint8_t *blocks[BLOCKS];
    float *q = arena_alloc(&bed.arena, heads * d, sizeof *q),
          *acc = arena_alloc(&bed.arena, heads * d, sizeof *acc),
          *max = arena_alloc(&bed.arena, heads, sizeof *max),
          *sum = arena_alloc(&bed.arena, heads, sizeof *sum),
          *scratch = arena_alloc(&bed.arena, ATTEND_QUERIES * d, sizeof *scratch),
          *kv = arena_alloc(&bed.arena, 2 * d, sizeof *kv);
    uint8_t *memory = arena_alloc(&bed.arena, BLOCKS, block);
    if (!q || !acc || !max || !sum || !scratch || !kv || !memory) {
        arena_free(&bed.arena);
        return error_no_memory(err, BLOCKS * block, "kernels to measure");
    }
    fill(q, heads * d, 1);
    for (size_t i = 0; i < ATTEND_SPAN; i++) {
        fill(kv, 2 * d, i);
        blocks[i / KV_PAGE] = memory + i / KV_PAGE * block;
        kernels->kv_store[type](memory + i / KV_PAGE * block, i % KV_PAGE, d, kv, kv + d);
    }
    bed.attend_fn = kernels->attend[type];
    bed.attend = (struct attend){.q = q,
                                 .q_stride = heads * d,
                                 .n_rows = 1,
                                 .n_heads = heads,
                                 .head_dim = d,
                                 .blocks = blocks,
                                 .n_positions = ATTEND_SPAN,
                                 .scratch = scratch,
                                 .out_stride = heads,
                                 .max = max,
                                 .sum = sum,
                                 .acc = acc};
    struct bench_result result = {.unit = BENCH_GB, .batch = 1, .context = ATTEND_SPAN};
    struct bench_demand demand = {.bytes = (double)(BLOCKS * block), .working_set = BLOCKS * block};
    demand.macs[LIMIT_FMA] = (double)heads * ATTEND_SPAN * (2.0 * (double)d + EXP_OPS);
    demand.units = demand.bytes * 1e-9;
    snprintf(result.name, sizeof result.name, "attend %s", kv_names[type]);
    snprintf(result.shape, sizeof result.shape, "%zux%zux%d", heads, d, ATTEND_SPAN);
    status = run_cell(bench, &bed, pass_attend, &result, &demand, err);
    arena_free(&bed.arena);
    return status;
}

/* --- recurrent layers --- */

static void pass_delta(struct bed *bed)
{
    bed->kernels->delta(&bed->delta);
}

/* One head's state over as many positions: decoding, and a piece of a prompt. */
static enum status run_delta(struct bench *bench, size_t n_positions, struct error *err)
{
    enum { SIZE = 128 };
    const size_t n_state = delta_state_floats(SIZE), n = n_positions * SIZE;
    struct bed bed;
    enum status status =
        open_bed(&bed, bench,
                 (n_state + 3 * n + 2 * round_up(n_positions, ALIGN_FLOATS)) * sizeof(float), err);
    if (status != STATUS_OK)
        return status;
    float *state = arena_alloc(&bed.arena, n_state, sizeof *state),
          *q = arena_alloc(&bed.arena, n, sizeof *q), *k = arena_alloc(&bed.arena, n, sizeof *k),
          *v = arena_alloc(&bed.arena, n, sizeof *v),
          *decay = arena_alloc(&bed.arena, n_positions, sizeof *decay),
          *beta = arena_alloc(&bed.arena, n_positions, sizeof *beta);
    if (!state || !q || !k || !v || !decay || !beta) {
        arena_free(&bed.arena);
        return error_no_memory(err, n_state * sizeof(float), "kernels to measure");
    }
    fill(q, n, 1);
    fill(v, n, 2);
    for (size_t i = 0; i < n; i++)
        k[i] = 0.05f * q[i]; /* shorter than 1: the state stays bounded */
    for (size_t i = 0; i < n_positions; i++)
        decay[i] = beta[i] = 0.5f;
    bed.delta = (struct delta){.size = SIZE,
                               .n_positions = n_positions,
                               .q = q,
                               .k = k,
                               .qk_stride = SIZE,
                               .v = v,
                               .v_stride = SIZE,
                               .decay = decay,
                               .beta = beta,
                               .gate_stride = 1,
                               .from = state,
                               .state = state};
    struct bench_result result = {.unit = BENCH_GMAC, .tokens = n_positions, .batch = 1};
    struct bench_demand demand = {.bytes = 2.0 * (double)(n_state * sizeof(float)),
                                  .working_set = n_state * sizeof(float)};
    demand.macs[LIMIT_FMA] = (double)(SIZE * n) * (double)DELTA_CELL_OPS;
    demand.units = demand.macs[LIMIT_FMA] * 1e-9;
    snprintf(result.name, sizeof result.name, "delta");
    snprintf(result.shape, sizeof result.shape, "%dx%dx%zu", SIZE, SIZE, n_positions);
    status = run_cell(bench, &bed, pass_delta, &result, &demand, err);
    arena_free(&bed.arena);
    return status;
}

/* --- all of them --- */

size_t singles_names(const struct bench *bench, char names[BENCH_NAMES_MAX][BENCH_NAME])
{
    bool types[WEIGHT_TYPES];
    size_t n = 0;
    list_types(bench->loaded.model, types);
    for (size_t type = 0; type < WEIGHT_TYPES; type++)
        if (types[type])
            snprintf(names[n++], BENCH_NAME, "matmul %s", weight_infos[type].name);
    for (size_t k = 0; k < ROW_KERNELS; k++)
        snprintf(names[n++], BENCH_NAME, "%s", row_kernels[k].name);
    snprintf(names[n++], BENCH_NAME, "attend %s", kv_names[bench->settings->kv_type]);
    snprintf(names[n++], BENCH_NAME, "delta");
    return n;
}

enum status singles_run(struct bench *bench, struct error *err)
{
    enum status status = run_squares(bench, err);
    if (status == STATUS_OK)
        status = run_own_products(bench, err);
    if (status == STATUS_OK)
        status = run_rows(bench, err);
    if (status == STATUS_OK)
        status = run_attend(bench, err);
    if (status == STATUS_OK)
        status = run_delta(bench, 1, err);
    return status == STATUS_OK ? run_delta(bench, MAX_TOKENS, err) : status;
}
