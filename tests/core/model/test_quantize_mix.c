/* test_quantize_mix.c - facts about the type that each matrix gets: for whole models, what
 * llama.cpp's quantizing program chose for files of the same shape. */
#include "core/gguf_builder.h"
#include "math/quant.h"
#include "model/quantize/mix.h"

#include <stdio.h>

enum { COLS = 256 };

/* One digit a layer: 3 for Q3_K, ... 6 for Q6_K, 8 for Q8_0. The last is every further layer's. */
struct expected {
    const char *mix;
    const char *embed, *key, *attn_output, *value, *down;
};

struct shape_case {
    uint32_t n_layers, n_heads, n_kv_heads, n_experts;
    bool has_head;
    struct expected expected[5];
};

/* The first and the last eighth, and every third between. */
#define MORE_30_OF_4 "666446446446446446446446446666"
#define MORE_30_OF_5 "666556556556556556556556556666"
#define MORE_32_OF_4 "66664464464464464464464464466666"
#define MORE_32_OF_5 "66665565565565565565565565566666"
#define MORE_80_OF_4                                                                               \
    "66666666664464464464464464464464464464464464464464464464464464464464466666666666"
#define MORE_80_OF_5                                                                               \
    "66666666665565565565565565565565565565565565565565565565565565565565566666666666"

static const struct shape_case cases[] = {
    {.n_layers = 30,
     .n_heads = 4,
     .n_kv_heads = 2,
     .n_experts = 0,
     .has_head = false,
     .expected = {{"Q3_K_M", "6", "3", "4", "554", "54"},
                  {"Q4_K_S", "6", "4", "4", "55554", "5554"},
                  {"Q4_K_M", "6", "4", "4", MORE_30_OF_4, MORE_30_OF_4},
                  {"Q5_K_S", "6", "5", "5", "5", "5"},
                  {"Q5_K_M", "6", "5", "5", MORE_30_OF_5, MORE_30_OF_5}}},
    /* Of so many layers the values, which heads share, get more bits. */
    {.n_layers = 80,
     .n_heads = 8,
     .n_kv_heads = 1,
     .n_experts = 0,
     .has_head = true,
     .expected = {{"Q3_K_M", "3", "3", "4", "5", "555554"},
                  {"Q4_K_S", "4", "4", "4", "5", "55555555554"},
                  {"Q4_K_M", "4", "4", "4", MORE_80_OF_5, MORE_80_OF_4},
                  {"Q5_K_S", "5", "5", "5", "5", "5"},
                  {"Q5_K_M", "5", "5", "5", MORE_80_OF_5, MORE_80_OF_5}}},
    /* Beside experts the rest is small. */
    {.n_layers = 32,
     .n_heads = 4,
     .n_kv_heads = 1,
     .n_experts = 8,
     .has_head = true,
     .expected = {{"Q3_K_M", "3", "8", "5", "8", "554"},
                  {"Q4_K_S", "4", "8", "5", "8", "55554"},
                  {"Q4_K_M", "4", "8", "5", "8", MORE_32_OF_4},
                  {"Q5_K_S", "5", "8", "5", "8", "5"},
                  {"Q5_K_M", "5", "8", "5", "8", MORE_32_OF_5}}},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void put_matrix(struct gguf_builder *b, const char *name, uint64_t n_cols, uint64_t n_rows)
{
    static const uint8_t zeros[4 * COLS * 8];
    ck_assert_uint_le(4 * n_cols * (n_rows + !n_rows), sizeof zeros);
    builder_tensor(b, name, weight_infos[WEIGHT_F32].ggml_id, n_cols, n_rows, zeros,
                   4 * n_cols * (n_rows + !n_rows));
}

static void put_layer(struct gguf_builder *b, size_t layer, bool experts, uint64_t n_cols)
{
    static const char *const dense[] = {"attn_k", "attn_output", "attn_v", "ffn_down"};
    static const char *const mixture[] = {"attn_k", "attn_output", "attn_v", "ffn_down_exps"};
    char name[64];
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "blk.%zu.%s.weight", layer, (experts ? mixture : dense)[i]);
        put_matrix(b, name, n_cols, 2);
    }
}

static struct gguf *open_built(struct gguf_builder *b, uint8_t **bytes)
{
    struct gguf *g = NULL;
    struct error err = {0};
    size_t size;
    *bytes = gguf_build(b, &size);
    ck_assert_msg(gguf_open(&g, *bytes, size, &err) == STATUS_OK, "%s", err.text);
    gguf_builder_free(b);
    return g;
}

static enum weight_type choose(const struct mix *mix, struct mix_model *m, const struct gguf *g,
                               const char *name)
{
    bool fallback;
    const struct gguf_tensor *t = gguf_find_tensor(g, name);
    ck_assert_msg(t != NULL && mix_rounds(t), "%s", name);
    return mix_choose(mix, m, t, &fallback);
}

static enum weight_type digit_type(const char *digits, size_t i)
{
    size_t n = strlen(digits);
    switch (digits[i < n ? i : n - 1]) {
    case '3':
        return WEIGHT_Q3_K;
    case '4':
        return WEIGHT_Q4_K;
    case '5':
        return WEIGHT_Q5_K;
    case '6':
        return WEIGHT_Q6_K;
    default:
        return WEIGHT_Q8_0;
    }
}

static void check_mix(const struct gguf *g, const struct shape_case *c, const struct expected *e)
{
    const struct mix *mix = mix_find(e->mix);
    struct mix_model m;
    mix_model_read(&m, g);
    if (c->has_head)
        ck_assert_int_eq(choose(mix, &m, g, "output.weight"), WEIGHT_Q6_K);
    ck_assert_int_eq(choose(mix, &m, g, "token_embd.weight"), digit_type(e->embed, 0));
    for (size_t layer = 0; layer < c->n_layers; layer++) {
        const struct {
            const char *role, *digits;
        } roles[] = {{"attn_k", e->key},
                     {"attn_output", e->attn_output},
                     {"attn_v", e->value},
                     {c->n_experts > 0 ? "ffn_down_exps" : "ffn_down", e->down}};
        for (size_t i = 0; i < 4; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%zu.%s.weight", layer, roles[i].role);
            enum weight_type type = choose(mix, &m, g, name);
            ck_assert_msg(type == digit_type(roles[i].digits, layer), "%s: %s is %s", e->mix, name,
                          weight_infos[type].name);
        }
    }
}

START_TEST(mixes_are_llama_cpps_layer_by_layer)
{
    const struct shape_case *c = &cases[_i];
    struct gguf_builder *b = gguf_builder_new();
    uint8_t *bytes;
    builder_string(b, "general.architecture", "llama");
    builder_u32(b, "llama.block_count", c->n_layers);
    builder_u32(b, "llama.attention.head_count", c->n_heads);
    builder_u32(b, "llama.attention.head_count_kv", c->n_kv_heads);
    builder_u32(b, "llama.expert_count", c->n_experts);
    put_matrix(b, "token_embd.weight", COLS, 2);
    if (c->has_head)
        put_matrix(b, "output.weight", COLS, 2);
    for (size_t layer = 0; layer < c->n_layers; layer++)
        put_layer(b, layer, c->n_experts > 0, COLS);
    struct gguf *g = open_built(b, &bytes);
    for (size_t i = 0; i < 5; i++)
        check_mix(g, c, &c->expected[i]);
    gguf_close(g);
    free(bytes);
}
END_TEST

START_TEST(narrow_rows_get_a_type_of_smaller_blocks)
{
    static const struct {
        const char *mix;
        enum weight_type at_96, at_40;
    } wanted[] = {
        {"Q2_K", WEIGHT_Q4_0, WEIGHT_F16},   {"Q3_K", WEIGHT_Q4_0, WEIGHT_F16},
        {"Q4_K", WEIGHT_Q5_0, WEIGHT_F16},   {"Q5_K", WEIGHT_Q5_1, WEIGHT_F16},
        {"Q6_K", WEIGHT_Q8_0, WEIGHT_F16},   {"IQ4_XS", WEIGHT_IQ4_NL, WEIGHT_F16},
        {"Q8_0", WEIGHT_Q8_0, WEIGHT_F16},   {"Q4_0", WEIGHT_Q4_0, WEIGHT_F16},
        {"Q4_K_M", WEIGHT_Q5_0, WEIGHT_F16}, {"Q5_K_M", WEIGHT_Q5_1, WEIGHT_F16},
        {"F16", WEIGHT_F16, WEIGHT_F16},     {"BF16", WEIGHT_BF16, WEIGHT_BF16},
    };
    struct gguf_builder *b = gguf_builder_new();
    uint8_t *bytes;
    builder_string(b, "general.architecture", "llama");
    put_matrix(b, "wide.weight", COLS, 2);
    put_matrix(b, "at96.weight", 96, 2);
    put_matrix(b, "at40.weight", 40, 2);
    struct gguf *g = open_built(b, &bytes);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const struct mix *mix = mix_find(wanted[i].mix);
        struct mix_model m;
        bool fallback;
        mix_model_read(&m, g);
        mix_choose(mix, &m, gguf_find_tensor(g, "wide.weight"), &fallback);
        ck_assert(!fallback);
        ck_assert_int_eq(choose(mix, &m, g, "at96.weight"), wanted[i].at_96);
        ck_assert_int_eq(choose(mix, &m, g, "at40.weight"), wanted[i].at_40);
    }
    gguf_close(g);
    free(bytes);
}
END_TEST

START_TEST(only_matrices_are_rounded)
{
    static const struct {
        const char *name;
        uint64_t n_rows;
        bool rounds;
    } wanted[] = {
        {"token_embd.weight", 2, true},    {"position_embd.weight", 2, false},
        {"token_types.weight", 2, false},  {"output_norm.weight", 0, false},
        {"blk.0.attn_q.weight", 2, true},  {"blk.0.attn_q.bias", 0, false},
        {"blk.0.attn_k.bias", 2, false},   {"blk.0.ffn_gate_inp.weight", 2, false},
        {"blk.0.ffn_up.weight", 1, false}, {"blk.0.attn_q_norm.weight", 2, false},
        {"rope_freqs.weight", 0, false},   {"blk.0.ffn_down_exps.weight", 2, true},
    };
    struct gguf_builder *b = gguf_builder_new();
    uint8_t *bytes;
    size_t n = sizeof wanted / sizeof *wanted;
    for (size_t i = 0; i < n; i++)
        put_matrix(b, wanted[i].name, COLS, wanted[i].n_rows);
    struct gguf *g = open_built(b, &bytes);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(mix_rounds(gguf_find_tensor(g, wanted[i].name)) == wanted[i].rounds, "%s",
                      wanted[i].name);
    gguf_close(g);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantize_mix");
    TCase *facts = tcase_create("facts");
    tcase_add_loop_test(facts, mixes_are_llama_cpps_layer_by_layer, 0, N_CASES);
    tcase_add_test(facts, narrow_rows_get_a_type_of_smaller_blocks);
    tcase_add_test(facts, only_matrices_are_rounded);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
