/* test_cost.c - facts about the costs: what a step reads of the weights is what the loader says,
 * and operations are those of the shapes. */
#include "core/tiny_model.h"
#include "model/cost.h"

#include <check.h>
#include <math.h>

static struct model *model;

static void open_model(const char *arch, enum weight_type type)
{
    struct gguf_builder *builder = tiny_model(arch, type);
    size_t n;
    uint8_t *bytes = gguf_build(builder, &n);
    struct gguf *gguf;
    struct error err;
    ck_assert_msg(gguf_open(&gguf, bytes, n, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(model_load(&model, gguf, 0, 1, &err) == STATUS_OK, "%s", err.text);
    gguf_close(gguf);
    free(bytes);
    gguf_builder_free(builder);
}

static struct record_work steps(double n_steps, double rows, double wanted)
{
    return (struct record_work){.n_steps = n_steps,
                                .n_rows = n_steps * rows,
                                .n_wanted = n_steps * wanted,
                                .n_steps_wanted = wanted > 0 ? n_steps : 0,
                                .n_positions = n_steps * rows * 10,
                                .n_positions_wanted = n_steps * wanted * 10,
                                .n_kv_blocks = n_steps,
                                .n_kv_blocks_wanted = wanted > 0 ? n_steps : 0,
                                .n_sampled = n_steps * wanted};
}

static struct record_cost sum_of(const struct record_work *work, bool products)
{
    struct record_cost sum = {0};
    for (size_t layer = 0; layer <= model->shape.n_layers; layer++) {
        for (int scope = 0; scope < SCOPES; scope++) {
            struct record_cost cost;
            bool here =
                (scope_infos[scope].place == PLACE_LAYER) == (layer < model->shape.n_layers);
            bool product = cost_matrix_type(model, (enum scope)scope, layer) != SCOPE_NONE;
            if (!here || product != products)
                continue;
            cost_of(&cost, model, KV_F16, (enum scope)scope, layer, work);
            sum.weight_bytes += cost.weight_bytes;
            sum.kv_bytes += cost.kv_bytes;
            sum.other_bytes += cost.other_bytes;
            sum.ops += cost.ops;
        }
    }
    return sum;
}

START_TEST(a_decoding_step_reads_every_matrix_once)
{
    static const char *const archs[] = {"llama", "gpt2"};
    static const enum weight_type types[] = {WEIGHT_F32, WEIGHT_F16, WEIGHT_Q8_0, WEIGHT_Q4_0};
    for (size_t a = 0; a < 2; a++) {
        for (size_t t = 0; t < 4; t++) {
            open_model(archs[a], types[t]);
            struct record_work one = steps(1, 1, 1), seven = steps(7, 1, 1), batch = steps(1, 5, 5);
            struct record_cost cost = sum_of(&one, true), more = sum_of(&seven, true);
            struct record_cost rows = sum_of(&batch, true);
            /* The loader counts the norms and the token's row, too: a hundredth or so. */
            double loaded = (double)model->bytes_per_token;
            ck_assert_msg(cost.weight_bytes <= loaded * 1.001 && cost.weight_bytes > 0.8 * loaded,
                          "%s %d: %f of %f", archs[a], (int)types[t], cost.weight_bytes, loaded);
            ck_assert(fabs(more.weight_bytes - 7 * cost.weight_bytes) < 1e-6);
            ck_assert(fabs(rows.weight_bytes - cost.weight_bytes) < 1e-6);
            ck_assert(rows.ops > 4.99 * cost.ops && rows.ops < 5.01 * cost.ops);
            model_destroy(model);
        }
    }
}
END_TEST

START_TEST(operations_are_two_a_weight_and_row)
{
    open_model("llama", WEIGHT_F32);
    const size_t e = TINY_EMBD, f = TINY_FF, q = TINY_HEADS * TINY_HEAD_DIM;
    const size_t kv = TINY_KV_HEADS * TINY_HEAD_DIM;
    double weights =
        (double)(TINY_LAYERS * (e * (q + 2 * kv) + q * e + 3 * e * f) + e * TINY_VOCAB);
    struct record_work one = steps(1, 1, 1);
    double residuals = 2.0 * (double)TINY_LAYERS * (double)e; /* additions to the residual */
    ck_assert(fabs(sum_of(&one, true).ops - 2 * weights - residuals) < 1e-6);
    struct record_cost cost;
    cost_of(&cost, model, KV_F16, SCOPE_ATTENTION, 0, &one);
    ck_assert(fabs(cost.ops - (double)(10 * TINY_HEADS * (4 * TINY_HEAD_DIM + 2))) < 1e-6);
    ck_assert(fabs(cost.kv_bytes - (double)page_head_bytes(KV_F16, TINY_HEAD_DIM)) < 1e-6);
    model_destroy(model);
}
END_TEST

/* After the last layer's keys and values only rows that want logits go on. */
START_TEST(rows_that_want_nothing_end_in_the_last_layer)
{
    open_model("llama", WEIGHT_Q8_0);
    struct record_work prompt = steps(1, 8, 0);
    struct record_cost first, last, head;
    cost_of(&first, model, KV_F16, SCOPE_DOWN, 0, &prompt);
    cost_of(&last, model, KV_F16, SCOPE_DOWN, TINY_LAYERS - 1, &prompt);
    cost_of(&head, model, KV_F16, SCOPE_HEAD, TINY_LAYERS, &prompt);
    ck_assert(first.ops > 0 && first.weight_bytes > 0);
    ck_assert(record_cost_bytes(&last) == 0 && last.ops == 0);
    ck_assert(record_cost_bytes(&head) == 0 && head.ops == 0);
    cost_of(&last, model, KV_F16, SCOPE_QKV, TINY_LAYERS - 1, &prompt);
    ck_assert(last.ops > 0);
    model_destroy(model);
}
END_TEST

START_TEST(a_window_bounds_what_its_layer_reads)
{
    open_model("llama", WEIGHT_F32);
    struct record_work one = steps(1, 1, 1);
    struct record_cost windowed, full;
    one.n_kv_blocks = 3;
    one.n_window_positions = 4;
    one.n_window_blocks = 1;
    model->shape.layers[0].window = 4;
    cost_of(&windowed, model, KV_F16, SCOPE_ATTENTION, 0, &one);
    model->shape.layers[0].window = 0;
    cost_of(&full, model, KV_F16, SCOPE_ATTENTION, 0, &one);
    ck_assert(fabs(full.kv_bytes - 3 * windowed.kv_bytes) < 1e-6);
    ck_assert(fabs(full.ops - 2.5 * windowed.ops) < 1e-6);
    model_destroy(model);
}
END_TEST

/* Experts are read where rows go to them: so many of a step's, not all. */
START_TEST(experts_cost_what_the_rows_went_to)
{
    enum { E = 64, F = 32, EXPERTS = 8, USED = 2 };
    const struct matrix router = matrix_at(WEIGHT_F32, EXPERTS, E, NULL);
    const struct expert_linear in = {.first = matrix_at(WEIGHT_Q8_0, F, E, NULL)};
    const struct expert_linear down = {.first = matrix_at(WEIGHT_Q8_0, E, F, NULL)};
    struct layer layers[2] = {0};
    struct model moe = {.shape = {.n_layers = 2,
                                  .n_embd = E,
                                  .n_ff_expert = F,
                                  .routing = {EXPERTS, USED, ROUTER_SOFTMAX, true, 1.0f}},
                        .layers = layers};
    const double expert = (double)matrix_packed_bytes(WEIGHT_Q8_0, F, E);
    for (size_t i = 0; i < 2; i++) {
        moe.shape.layers[i].has_experts = true;
        layers[i].experts =
            (struct layer_experts){.router.w = router, .gate = in, .up = in, .down = down};
    }
    struct record_work work = steps(1, 3, 1);
    work.n_experts = 5; /* of six that three rows could have gone to */
    work.n_experts_wanted = USED;
    struct record_cost cost;
    cost_of(&cost, &moe, KV_F16, SCOPE_GATE_UP, 0, &work);
    ck_assert(fabs(cost.weight_bytes - 2 * 5 * expert) < 1e-6);
    ck_assert(cost.ops >= 3.0 * USED * 2 * 2 * E * F &&
              cost.ops < 3.0 * USED * 2 * 2 * E * F * 1.1);
    cost_of(&cost, &moe, KV_F16, SCOPE_GATE_UP, 1, &work); /* one row goes on */
    ck_assert(fabs(cost.weight_bytes - 2 * USED * expert) < 1e-6);
    cost_of(&cost, &moe, KV_F16, SCOPE_DOWN, 0, &work);
    ck_assert(fabs(cost.weight_bytes - 5 * (double)matrix_packed_bytes(WEIGHT_Q8_0, E, F)) < 1e-6);
    cost_of(&cost, &moe, KV_F16, SCOPE_ROUTER, 0, &work);
    ck_assert(fabs(cost.weight_bytes - (double)matrix_packed_bytes(WEIGHT_F32, EXPERTS, E)) < 1e-6);
    ck_assert_uint_eq(cost_matrix_type(&moe, SCOPE_GATE_UP, 0), WEIGHT_Q8_0);
    ck_assert_uint_eq(cost_matrix_type(&moe, SCOPE_DOWN, 1), WEIGHT_Q8_0);

    /* Half of the weights are experts, a quarter of which one row reads. */
    double growth[4];
    moe.weight_bytes = 2000;
    moe.bytes_per_token = 1250;
    cost_growth(growth, 4, &moe);
    ck_assert(fabs(growth[0] - 1) < 1e-12);
    ck_assert(fabs(growth[1] - (1000 + 1000 * (1 - 0.75 * 0.75)) / 1250) < 1e-12);
    ck_assert(growth[2] > growth[1] && growth[3] > growth[2] && growth[3] < 2000.0 / 1250);
    moe.shape.routing = (struct routing){0};
    moe.bytes_per_token = moe.weight_bytes;
    cost_growth(growth, 4, &moe);
    ck_assert(growth[0] == 1 && growth[3] == 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, a_decoding_step_reads_every_matrix_once);
    tcase_add_test(facts, operations_are_two_a_weight_and_row);
    tcase_add_test(facts, rows_that_want_nothing_end_in_the_last_layer);
    tcase_add_test(facts, a_window_bounds_what_its_layer_reads);
    tcase_add_test(facts, experts_cost_what_the_rows_went_to);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
