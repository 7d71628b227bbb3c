/* test_experts.c - facts about experts: equal scores are taken by the lower number, and what a row
 * gets is the sum of its own experts' results bit for bit, whatever the batch, the cutting of the
 * phases and the kernels.
 */
#include "core/math/math_test.h"
#include "forward/experts.h"
#include "forward/routing.h"
#include "math/act.h"
#include "math/fmath.h"

enum { MAX_ROWS = 150, FEW = 2, THREADS = 3, MAX_USED = 64 };

/* --- the choice --- */

static void choose(const struct routing *r, const struct layer_experts *layer, const float *logits,
                   uint32_t *chosen, float *weights)
{
    float scores[ROUTING_MAX_EXPERTS];
    routing_choose(r, layer, &kernels_ref, logits, scores, chosen, weights);
}

START_TEST(equal_scores_are_taken_by_the_lower_number)
{
    static const enum router routers[] = {ROUTER_SOFTMAX, ROUTER_SIGMOID, ROUTER_CHOSEN};
    const float logits[8] = {1, 2, 0, 2, 1, 2, -1, 1};
    for (size_t i = 0; i < 3; i++) {
        const struct routing r = {8, 5, routers[i], false, 1.0f};
        uint32_t chosen[5];
        float weights[5];
        choose(&r, &(struct layer_experts){0}, logits, chosen, weights);
        const uint32_t wanted[5] = {1, 3, 5, 0, 4};
        ck_assert_mem_eq(chosen, wanted, sizeof wanted);
        ck_assert(weights[0] == weights[2] && weights[3] == weights[4] && weights[0] > weights[3]);
    }
}
END_TEST

START_TEST(weights_are_what_the_architectures_say)
{
    const float logits[4] = {0.5f, -1.0f, 2.0f, 1.0f}, bias[4] = {0, 9, 0, 0};
    const float scale[4] = {1, 3, 1, 1};
    double p[4], sum = 0;
    for (size_t i = 0; i < 4; i++)
        sum += exp((double)logits[i]);
    for (size_t i = 0; i < 4; i++)
        p[i] = exp((double)logits[i]) / sum;
    uint32_t chosen[2];
    float w[2];

    struct routing r = {4, 2, ROUTER_SOFTMAX, false, 1.0f};
    choose(&r, &(struct layer_experts){0}, logits, chosen, w);
    ck_assert(chosen[0] == 2 && chosen[1] == 3);
    ck_assert_double_eq_tol((double)w[0], p[2], 1e-6);
    ck_assert_double_eq_tol((double)w[1], p[3], 1e-6);

    r = (struct routing){4, 2, ROUTER_SOFTMAX, true, 2.5f};
    choose(&r, &(struct layer_experts){0}, logits, chosen, w);
    ck_assert_double_eq_tol((double)w[0], 2.5 * p[2] / (p[2] + p[3]), 1e-6);

    /* The bias chooses and does not weigh; an expert's own scale does. */
    r = (struct routing){4, 2, ROUTER_SIGMOID, true, 1.0f};
    choose(&r, &(struct layer_experts){.choice_bias = bias, .expert_scale = scale}, logits, chosen,
           w);
    const double s1 = 1 / (1 + exp(1.0)), s2 = 1 / (1 + exp(-2.0));
    ck_assert(chosen[0] == 1 && chosen[1] == 2);
    ck_assert_double_eq_tol((double)w[0], 3 * s1 / (s1 + s2), 1e-6);
    ck_assert_double_eq_tol((double)w[1], s2 / (s1 + s2), 1e-6);

    r = (struct routing){4, 2, ROUTER_CHOSEN, false, 1.0f};
    choose(&r, &(struct layer_experts){0}, logits, chosen, w);
    ck_assert(chosen[0] == 2 && chosen[1] == 3);
    ck_assert_double_eq_tol((double)w[1], 1 / (1 + exp(1.0)), 1e-6);
}
END_TEST

START_TEST(a_choice_is_always_of_different_experts)
{
    const struct routing r = {6, 6, ROUTER_CHOSEN, true, 1.0f};
    const float logits[6] = {NAN, 1, INFINITY, NAN, -INFINITY, 1};
    uint32_t chosen[6], seen = 0;
    float weights[6];
    choose(&r, &(struct layer_experts){0}, logits, chosen, weights);
    for (size_t j = 0; j < 6; j++) {
        ck_assert_uint_lt(chosen[j], 6);
        seen |= 1u << chosen[j];
    }
    ck_assert_uint_eq(seen, 63);
    ck_assert(weights[0] != weights[0]); /* and it is seen that they are worth nothing */
}
END_TEST

START_TEST(pairs_stand_by_expert_with_ascending_rows)
{
    const struct routing r = {7, 3, ROUTER_SOFTMAX, false, 1.0f};
    enum { ROWS = 20 };
    uint32_t chosen[ROWS * 3];
    float weights[ROWS * 3];
    struct rng rng = {4};
    for (size_t t = 0; t < ROWS; t++) {
        float logits[7];
        for (size_t e = 0; e < 7; e++)
            logits[e] = e == 2 ? -9.0f : rng_normal(&rng); /* none goes to the third */
        choose(&r, &(struct layer_experts){0}, logits, chosen + 3 * t, weights + 3 * t);
    }
    struct arena arena = {0};
    struct error err;
    ck_assert_int_eq(arena_init(&arena, 1 << 16, "pairs", &err), STATUS_OK);
    struct pairs p = {0};
    pairs_carve(&p, &arena, 7, sizeof chosen / sizeof *chosen);
    pairs_sort(&p, &r, chosen, weights, ROWS);
    ck_assert_uint_eq(p.n_pairs, 3 * ROWS);
    ck_assert_uint_eq(p.first[7], 3 * ROWS);
    ck_assert_uint_eq(p.first[2], p.first[3]);
    ck_assert_uint_eq(p.n_used, 6);
    for (size_t e = 0; e < 7; e++) {
        for (uint32_t i = p.first[e]; i < p.first[e + 1]; i++) {
            ck_assert(i == p.first[e] || p.row[i - 1] < p.row[i]);
            const size_t at = 3 * p.row[i];
            size_t j = 0;
            while (j < 3 && chosen[at + j] != e)
                j++;
            ck_assert_uint_lt(j, 3);
            ck_assert(weights[at + j] == p.weight[i]);
        }
    }
    arena_free(&arena);
}
END_TEST

/* --- the work --- */

enum { PLAIN, BIASES = 1, SHARED_WEIGHT = 2, ONE_FOR_ALL = 4 }; /* all rows go to one expert */

struct form {
    size_t n_embd, n_ff, n_shared, n_experts, n_used;
    enum weight_type gate, up, down;
    enum router router;
    enum ffn_kind ffn;
    unsigned extras;
};

static const struct form forms[] = {
    {64, 40, 0, 8, 2, WEIGHT_F32, WEIGHT_F32, WEIGHT_F32, ROUTER_SOFTMAX, FFN_SILU_GATED, PLAIN},
    {64, 32, 48, 6, 3, WEIGHT_Q8_0, WEIGHT_Q4_0, WEIGHT_Q8_0, ROUTER_SOFTMAX, FFN_SILU_GATED,
     PLAIN},
    {256, 256, 0, 3, 2, WEIGHT_Q4_K, WEIGHT_Q4_K, WEIGHT_Q6_K, ROUTER_SOFTMAX, FFN_SILU_GATED,
     PLAIN},
    {96, 64, 0, 5, 2, WEIGHT_F16, WEIGHT_F16, WEIGHT_Q5_0, ROUTER_CHOSEN, FFN_SWIGLU_OAI, BIASES},
    {64, 32, 64, 4, 2, WEIGHT_Q8_0, WEIGHT_Q8_0, WEIGHT_Q8_0, ROUTER_SIGMOID, FFN_SILU_GATED,
     SHARED_WEIGHT},
    {32, 16, 0, 256, 8, WEIGHT_Q8_0, WEIGHT_Q8_0, WEIGHT_BF16, ROUTER_SOFTMAX, FFN_SILU_GATED,
     PLAIN},
    {64, 320, 0, 1, 1, WEIGHT_Q8_0, WEIGHT_Q8_0, WEIGHT_Q8_0, ROUTER_SOFTMAX, FFN_SILU_GATED,
     PLAIN},
    {64, 48, 0, 4, 4, WEIGHT_Q8_0, WEIGHT_Q8_0, WEIGHT_F32, ROUTER_SOFTMAX, FFN_SILU_GATED, PLAIN},
    {288, 32, 0, 9, 1, WEIGHT_Q8_0, WEIGHT_Q8_0, WEIGHT_Q8_0, ROUTER_CHOSEN, FFN_SWIGLU_OAI,
     BIASES | ONE_FOR_ALL},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

struct world {
    const struct form *form;
    struct model model;
    struct layer layer;
    struct act x; /* [MAX_ROWS] */
    float *truth; /* [MAX_ROWS][stride] */
    size_t stride;
};

static size_t whole_panels(size_t n)
{
    return (n + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
}

static struct matrix random_matrix(struct rng *r, enum weight_type type, size_t rows, size_t cols)
{
    uint8_t *src = random_weights(r, type, rows * cols, WEIGHTS_RANDOM);
    struct matrix m = matrix_create(type, rows, cols, src);
    free(src);
    return m;
}

/* All experts' matrices, one after the other as a model's loader lays them. */
static struct expert_linear random_experts(struct rng *r, const struct form *f,
                                           enum weight_type type, size_t rows, size_t cols)
{
    struct expert_linear l = {0};
    const size_t n_bytes = matrix_packed_bytes(type, rows, cols), stride = whole_panels(rows);
    uint8_t *panels = buffer(f->n_experts * n_bytes);
    for (size_t e = 0; e < f->n_experts; e++) {
        uint8_t *src = random_weights(r, type, rows * cols, WEIGHTS_RANDOM);
        struct matrix m;
        matrix_pack(&m, type, rows, cols, src, panels + e * n_bytes);
        l.first = e == 0 ? m : l.first;
        free(src);
    }
    if (f->extras & BIASES) {
        float *bias = random_floats(r, f->n_experts * stride, VALUES_NORMAL);
        for (size_t i = 0; i < f->n_experts * stride; i++)
            bias[i] = i % stride < rows ? bias[i] : 0.0f;
        l.bias = bias;
    }
    return l;
}

static void fill_layer(struct world *w, struct rng *r)
{
    const struct form *f = w->form;
    struct layer_experts *l = &w->layer.experts;
    l->router.w = random_matrix(r, WEIGHT_F32, f->n_experts, f->n_embd);
    if (f->extras & BIASES) {
        float *bias = random_floats(r, whole_panels(f->n_experts), VALUES_NORMAL);
        if (f->extras & ONE_FOR_ALL)
            bias[f->n_experts / 2] = 100.0f;
        l->router.bias = bias;
    }
    l->gate = random_experts(r, f, f->gate, f->n_ff, f->n_embd);
    l->up = random_experts(r, f, f->up, f->n_ff, f->n_embd);
    l->down = random_experts(r, f, f->down, f->n_embd, f->n_ff);
    if (f->n_shared > 0) {
        l->shared_gate.w = random_matrix(r, f->gate, f->n_shared, f->n_embd);
        l->shared_up.w = random_matrix(r, f->up, f->n_shared, f->n_embd);
        l->shared_down.w = random_matrix(r, WEIGHT_F32, f->n_embd, f->n_shared);
    }
    if (f->extras & SHARED_WEIGHT)
        l->shared_weight.w = random_matrix(r, WEIGHT_F32, 1, f->n_embd);
}

/* One row by itself, product by product. */
static void add_one(const struct world *w, const struct linear part[3], size_t t, float weight,
                    float *y)
{
    const struct kernels *k = &kernels_ref;
    const struct act x = act_from(&w->x, t);
    const size_t n_ff = part[1].w.n_rows;
    struct rng r = {1};
    struct act hidden;
    act_create(&hidden, &r, 1, n_ff, VALUES_NORMAL, k);
    float *up = buffer(whole_panels(n_ff) * sizeof *up);
    float *down = buffer(w->stride * sizeof *down);
    k->matmul[part[0].w.type](&part[0].w, 0, matrix_n_panels(&part[0].w), &x, 1, hidden.f32,
                              hidden.f32_stride);
    k->matmul[part[1].w.type](&part[1].w, 0, matrix_n_panels(&part[1].w), &x, 1, up, n_ff);
    for (size_t i = 0; part[0].bias != NULL && i < n_ff; i++) {
        hidden.f32[i] += part[0].bias[i];
        up[i] += part[1].bias[i];
    }
    if (w->form->ffn == FFN_SWIGLU_OAI)
        k->swiglu_oai(hidden.f32, up, n_ff);
    else
        k->silu_mul(hidden.f32, up, n_ff);
    if (weight_infos[part[2].w.type].activation != ACT_F32)
        k->quantize[weight_infos[part[2].w.type].activation](&hidden, 0);
    k->matmul[part[2].w.type](&part[2].w, 0, matrix_n_panels(&part[2].w), &hidden, 1, down,
                              w->stride);
    for (size_t i = 0; i < w->form->n_embd; i++)
        y[i] = fmaf(weight, down[i] + (part[2].bias != NULL ? part[2].bias[i] : 0.0f), y[i]);
    act_destroy(&hidden);
    free(up);
    free(down);
}

static void compute_truth(struct world *w)
{
    const struct layer_experts *l = &w->layer.experts;
    const struct routing *r = &w->model.shape.routing;
    for (size_t t = 0; t < MAX_ROWS; t++) {
        float logits[ROUTING_MAX_EXPERTS + PANEL_ROWS], weights[MAX_USED], shared[PANEL_ROWS];
        uint32_t chosen[MAX_USED];
        const struct act x = act_from(&w->x, t);
        kernels_ref.matmul[WEIGHT_F32](&l->router.w, 0, matrix_n_panels(&l->router.w), &x, 1,
                                       logits, 0);
        for (size_t e = 0; l->router.bias != NULL && e < r->n_experts; e++)
            logits[e] += l->router.bias[e];
        choose(r, l, logits, chosen, weights);
        for (size_t e = 0; e < r->n_experts; e++) {
            for (size_t j = 0; j < r->n_used; j++) {
                if (chosen[j] != e)
                    continue;
                const struct linear part[3] = {
                    {expert_matrix(&l->gate, e), expert_bias(&l->gate, e)},
                    {expert_matrix(&l->up, e), expert_bias(&l->up, e)},
                    {expert_matrix(&l->down, e), expert_bias(&l->down, e)},
                };
                add_one(w, part, t, weights[j], w->truth + t * w->stride);
            }
        }
        if (w->form->n_shared == 0)
            continue;
        float weight = 1.0f;
        if (w->form->extras & SHARED_WEIGHT) {
            kernels_ref.matmul[WEIGHT_F32](&l->shared_weight.w, 0, 1, &x, 1, shared, 0);
            weight = 1.0f / (1.0f + fmath_exp(-shared[0]));
        }
        const struct linear part[3] = {l->shared_gate, l->shared_up, l->shared_down};
        add_one(w, part, t, weight, w->truth + t * w->stride);
    }
}

static void world_open(struct world *w, const struct form *f)
{
    struct rng r = {11};
    *w = (struct world){.form = f, .stride = whole_panels(f->n_embd)};
    w->model.shape = (struct shape){
        .n_layers = 1,
        .n_embd = f->n_embd,
        .n_ff_expert = f->n_ff,
        .n_ff_shared = f->n_shared,
        .ffn = f->ffn,
        .routing = {f->n_experts, f->n_used, f->router, f->router != ROUTER_CHOSEN, 1.0f},
    };
    w->model.layers = &w->layer;
    fill_layer(w, &r);
    act_create(&w->x, &r, MAX_ROWS, f->n_embd, VALUES_NORMAL, &kernels_ref);
    w->truth = buffer(MAX_ROWS * w->stride * sizeof *w->truth);
    compute_truth(w);
}

static void world_close(struct world *w)
{
    struct layer_experts *l = &w->layer.experts;
    struct matrix *matrices[] = {&l->router.w,      &l->gate.first,     &l->up.first,
                                 &l->down.first,    &l->shared_gate.w,  &l->shared_up.w,
                                 &l->shared_down.w, &l->shared_weight.w};
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
        matrix_destroy(matrices[i]);
    const float *biases[] = {l->router.bias, l->gate.bias, l->up.bias, l->down.bias};
    for (size_t i = 0; i < 4; i++)
        free((void *)(uintptr_t)biases[i]);
    act_destroy(&w->x);
    free(w->truth);
}

/* A phase's items in so many chunks, done by the threads in turn. */
#define CUT(items, n_cuts, call)                                                                   \
    do {                                                                                           \
        const size_t n_ = (items);                                                                 \
        for (size_t i_ = 0; i_ < (n_cuts); i_++) {                                                 \
            const size_t begin = n_ * i_ / (n_cuts), end = n_ * (i_ + 1) / (n_cuts);               \
            const unsigned rank = (unsigned)(i_ % THREADS);                                        \
            if (begin < end)                                                                       \
                (call);                                                                            \
        }                                                                                          \
    } while (0)

static void run(struct experts *e, const struct world *w, size_t first, size_t n_rows, size_t cuts,
                float *y)
{
    const struct act x = act_from(&w->x, first);
    const struct experts_call c = {.layer = 0, .n_rows = n_rows, .x = &x};
    experts_begin(e);
    CUT(experts_route_items(e, &c), cuts, experts_route(e, &c, begin, end, rank));
    if (experts_sort_items(e, &c) > 0)
        experts_sort(e, &c);
    CUT(experts_expand_items(e, &c), cuts, experts_expand(e, &c, begin, end, rank));
    CUT(experts_round_items(e, &c), cuts, ((void)rank, experts_round(e, &c, begin, end)));
    CUT(experts_project_items(e, &c), cuts,
        (experts_round_own(e, &c, rank), experts_project(e, &c, begin, end, rank, y, w->stride)));
}

START_TEST(a_row_gets_the_same_bits_in_any_company)
{
    static const size_t sizes[] = {1, 2, 3, 17, 65, MAX_ROWS}, cuts[] = {1, 4, 12, 1000};
    struct world w;
    struct cpu cpu;
    struct error err;
    cpu_detect(&cpu);
    world_open(&w, &forms[_i]);
    float *y = buffer(MAX_ROWS * w.stride * sizeof *y);
    for (int level = KERNELS_REF; level < KERNEL_LEVELS; level++) {
        const struct kernels *kernels;
        if (kernels_select(&kernels, (enum kernel_level)level, &cpu, &err) != STATUS_OK)
            continue;
        struct experts *e;
        ck_assert_int_eq(experts_create(&e, &w.model, kernels, THREADS, MAX_ROWS, FEW, &err),
                         STATUS_OK);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const size_t n = sizes[i], first = n < MAX_ROWS ? (i + (size_t)level) % 5 : 0;
            if (level == KERNELS_REF && n > 17)
                continue; /* slow, and of one shape */
            run(e, &w, first, n, cuts[(i + (size_t)level) % 4], y);
            for (size_t t = 0; t < n; t++)
                ck_same_floats(w.truth + (first + t) * w.stride, y + t * w.stride, w.form->n_embd);
            ck_assert_uint_ge(experts_read(e)[0], w.form->n_used);
            ck_assert_uint_le(experts_read(e)[0], w.form->n_experts);
            if (w.form->extras & ONE_FOR_ALL)
                ck_assert_uint_eq(experts_read(e)[0], 1);
        }
        experts_destroy(e);
    }
    free(y);
    world_close(&w);
}
END_TEST

START_TEST(a_model_without_experts_has_no_such_work)
{
    struct model model = {.shape = {.n_layers = 1, .n_embd = 32}};
    struct experts *e = (struct experts *)&model;
    struct error err;
    ck_assert_int_eq(experts_create(&e, &model, &kernels_ref, 1, 8, FEW, &err), STATUS_OK);
    ck_assert_ptr_null(e);
    experts_begin(e);
    ck_assert_uint_eq(experts_bytes(e), 0);
    experts_destroy(e);
}
END_TEST

int main(void)
{
    cpu_set_float_mode();
    Suite *suite = suite_create("experts");
    TCase *c = tcase_create("experts");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, equal_scores_are_taken_by_the_lower_number);
    tcase_add_test(c, weights_are_what_the_architectures_say);
    tcase_add_test(c, a_choice_is_always_of_different_experts);
    tcase_add_test(c, pairs_stand_by_expert_with_ascending_rows);
    tcase_add_loop_test(c, a_row_gets_the_same_bits_in_any_company, 0, N_FORMS);
    tcase_add_test(c, a_model_without_experts_has_no_such_work);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
