/* test_model_keys.c - facts about what a model's keys and tensors may say: ranges, defaults, and
 * the refusal by name of all that would change the arithmetic. */
#include "core/tiny_model.h"
#include "model/model.h"

#include <math.h>

static struct gguf_builder *b;

static void setup(void)
{
    b = tiny_model("llama", WEIGHT_F32);
}

static void teardown(void)
{
    gguf_builder_free(b);
}

static enum status read_built(struct shape *shape, struct error *err)
{
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    struct gguf *g = NULL;
    *err = (struct error){0};
    ck_assert_msg(gguf_open(&g, bytes, size, err) == STATUS_OK, "%s", err->text);
    enum status status = model_read_shape(shape, g, err);
    gguf_close(g);
    free(bytes);
    return status;
}

static void refused(enum status status, const char *param, const char *part)
{
    struct shape shape = {.n_embd = 12345};
    struct error err;
    enum status got = read_built(&shape, &err);
    ck_assert_msg(got == status && strcmp(err.param, param) == 0 && strstr(err.text, part) != NULL,
                  "status %d, param '%s', text '%s'", got, err.param, err.text);
    ck_assert_uint_eq(shape.n_embd, 12345); /* untouched */
}

static struct shape accepted(void)
{
    struct shape shape;
    struct error err;
    ck_assert_msg(read_built(&shape, &err) == STATUS_OK, "%s", err.text);
    return shape;
}

START_TEST(defaults_are_the_usual_ones)
{
    builder_remove(b, "llama.attention.head_count_kv");
    for (size_t layer = 0; layer < TINY_LAYERS; layer++) { /* now as many KV heads as heads */
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.attn_k.weight", layer);
        builder_remove_tensor(b, name);
        tiny_tensor(b, name, WEIGHT_F32, TINY_EMBD, TINY_EMBD, 0);
        snprintf(name, sizeof name, "blk.%zu.attn_v.weight", layer);
        builder_remove_tensor(b, name);
        tiny_tensor(b, name, WEIGHT_F32, TINY_EMBD, TINY_EMBD, 0);
    }
    struct shape s = accepted();
    ck_assert_str_eq(s.arch, "llama");
    ck_assert(s.norm == NORM_RMS && s.ffn == FFN_SILU_GATED && s.rope == ROPE_INTERLEAVED);
    ck_assert(!s.learned_positions && !s.tied_head);
    ck_assert_uint_eq(s.n_vocab, TINY_VOCAB);
    ck_assert_uint_eq(s.n_kv_heads, TINY_HEADS);
    ck_assert_uint_eq(s.head_dim, TINY_HEAD_DIM);
    ck_assert_uint_eq(s.rotations[0].dim, TINY_HEAD_DIM);
    ck_assert(s.rotations[0].base == 10000.0f && s.rotations[0].factor == 1 &&
              s.rotations[0].scaling == ROPE_SCALING_NONE);
    ck_assert_uint_eq(s.rotations[0].original_context, TINY_CONTEXT);
    ck_assert(s.rotations[0].ext_factor == 0 && s.rotations[0].attn_factor == 1 &&
              s.rotations[0].beta_fast == 32 && s.rotations[0].beta_slow == 1);
}
END_TEST

START_TEST(gpt2_has_its_own_options)
{
    gguf_builder_free(b);
    b = tiny_model("gpt2", WEIGHT_F32);
    struct shape s = accepted();
    ck_assert(s.norm == NORM_LAYER && s.ffn == FFN_GELU && s.rope == ROPE_NONE &&
              s.learned_positions);
    builder_f32(b, "gpt2.rope.freq_base", 10000);
    refused(STATUS_UNSUPPORTED, "gpt2.rope.freq_base", "not known for gpt2");
}
END_TEST

START_TEST(an_absent_head_means_tied)
{
    builder_remove_tensor(b, "output.weight");
    ck_assert(accepted().tied_head);
}
END_TEST

START_TEST(unknown_architectures_are_refused_with_the_list_of_known_ones)
{
    builder_string(b, "general.architecture", "mamba");
    refused(STATUS_UNSUPPORTED, "general.architecture",
            "'mamba' is not supported; the supported ones are: llama gpt2");
    builder_remove(b, "general.architecture");
    refused(STATUS_FORMAT, "general.architecture", "missing");
}
END_TEST

START_TEST(an_architecture_that_is_not_built_is_refused_with_what_it_lacks)
{
    builder_string(b, "general.architecture", "deepseek2");
    refused(STATUS_UNSUPPORTED, "general.architecture", "it has latent attention (MLA)");
}
END_TEST

START_TEST(a_key_may_say_a_number_of_each_layer)
{
    static const int32_t alike[] = {TINY_FF, TINY_FF}, two[] = {2, 2}, differ[] = {1, 2};
    static const int32_t zero[] = {TINY_FF, 0}, three[] = {2, 2, 2};
    builder_i32s(b, "llama.feed_forward_length", alike, 2);
    builder_i32s(b, "llama.attention.head_count", two, 2);
    struct shape s = accepted();
    ck_assert_uint_eq(s.n_ff, TINY_FF);
    ck_assert_uint_eq(s.layers[1].n_ff, TINY_FF);
    ck_assert_uint_eq(s.n_heads, TINY_HEADS);
    builder_i32s(b, "llama.attention.head_count", three, 3);
    refused(STATUS_FORMAT, "llama.attention.head_count", "3 values; the model has 2 layers");
    builder_i32s(b, "llama.attention.head_count", two, 2);
    builder_i32s(b, "llama.attention.head_count_kv", differ, 2);
    refused(STATUS_UNSUPPORTED, "llama.attention.head_count_kv", "differs by layer");
    builder_i32s(b, "llama.feed_forward_length", zero, 2);
    builder_remove(b, "llama.attention.head_count_kv");
    refused(STATUS_FORMAT, "llama.feed_forward_length", "value 1 is out of range");
}
END_TEST

START_TEST(joint_tensors_stand_for_their_parts)
{
    static const char *const parts[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight",
                                        "blk.0.attn_v.weight"};
    const size_t rows = (TINY_HEADS + 2 * TINY_KV_HEADS) * TINY_HEAD_DIM;
    tiny_tensor(b, "blk.0.attn_qkv.weight", WEIGHT_F32, TINY_EMBD, rows, 0);
    refused(STATUS_UNSUPPORTED, parts[0], "beside 'attn_qkv.weight', which holds the same");
    for (size_t i = 0; i < 3; i++)
        builder_remove_tensor(b, parts[i]);
    accepted();
    builder_remove_tensor(b, "blk.1.ffn_gate.weight");
    refused(STATUS_FORMAT, "blk.1.ffn_gate.weight", "missing");
    builder_remove_tensor(b, "blk.1.ffn_up.weight");
    tiny_tensor(b, "blk.1.ffn_up.weight", WEIGHT_F32, TINY_EMBD, 2 * (size_t)TINY_FF, 0);
    accepted();
}
END_TEST

START_TEST(the_scale_of_scores_is_read)
{
    ck_assert(accepted().attention_scale == 0.25f); /* one over the root of 16 */
    builder_f32(b, "llama.attention.scale", 0.125f);
    ck_assert(accepted().attention_scale == 0.125f);
}
END_TEST

static const char *const needed_keys[] = {
    "llama.context_length",       "llama.embedding_length",
    "llama.block_count",          "llama.feed_forward_length",
    "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon",
};

START_TEST(a_missing_key_is_named)
{
    builder_remove(b, needed_keys[_i]);
    refused(STATUS_FORMAT, needed_keys[_i], "missing");
}
END_TEST

START_TEST(a_key_of_the_wrong_type_is_named)
{
    builder_string(b, needed_keys[_i], "many");
    refused(STATUS_FORMAT, needed_keys[_i], "is string");
}
END_TEST

static const struct {
    const char *key;
    uint32_t value;
} wrong_sizes[] = {
    {"llama.context_length", 0},
    {"llama.context_length", 1u << 30},
    {"llama.embedding_length", 0},
    {"llama.embedding_length", UINT32_MAX},
    {"llama.block_count", 0},
    {"llama.block_count", 1025},
    {"llama.feed_forward_length", 0},
    {"llama.feed_forward_length", UINT32_MAX},
    {"llama.attention.head_count", 0},
    {"llama.attention.head_count", 1025},
    {"llama.attention.head_count_kv", 0},
    {"llama.attention.head_count_kv", 3},
    {"llama.rope.dimension_count", 0},
    {"llama.rope.dimension_count", TINY_HEAD_DIM + 2},
    {"llama.rope.dimension_count", 7},
    {"llama.attention.key_length", 0},
    {"llama.attention.key_length", 4096},
};

START_TEST(sizes_out_of_range_are_refused)
{
    builder_u32(b, wrong_sizes[_i].key, wrong_sizes[_i].value);
    refused(STATUS_FORMAT, wrong_sizes[_i].key, "must be");
}
END_TEST

START_TEST(a_negative_size_is_refused)
{
    builder_int(b, "llama.block_count", GGUF_I32, (uint32_t)-2, 4);
    refused(STATUS_FORMAT, "llama.block_count", "-2");
}
END_TEST

START_TEST(kv_heads_must_divide_the_heads)
{
    builder_u32(b, "llama.attention.head_count", 4);
    builder_u32(b, "llama.attention.head_count_kv", 3);
    refused(STATUS_FORMAT, "llama.attention.head_count_kv", "it must divide the 4 heads");
}
END_TEST

START_TEST(the_head_size_must_be_whole_even_and_one)
{
    builder_u32(b, "llama.attention.head_count", 3);
    builder_u32(b, "llama.attention.head_count_kv", 1);
    refused(STATUS_FORMAT, "llama.attention.key_length", "not a multiple of the 3 heads");
    builder_u32(b, "llama.attention.head_count", 32);
    refused(STATUS_FORMAT, "llama.attention.key_length", "the head size is 1; it must be even");
    builder_u32(b, "llama.attention.head_count", TINY_HEADS);
    builder_u32(b, "llama.attention.key_length", 8);
    refused(STATUS_UNSUPPORTED, "llama.attention.key_length",
            "keys of length 8 and values of length 16");
}
END_TEST

static const struct {
    const char *key;
    float value;
} wrong_reals[] = {
    {"llama.attention.layer_norm_rms_epsilon", 0},
    {"llama.attention.layer_norm_rms_epsilon", 1},
    {"llama.attention.layer_norm_rms_epsilon", -1e-5f},
    {"llama.attention.layer_norm_rms_epsilon", NAN},
    {"llama.rope.freq_base", 0},
    {"llama.rope.freq_base", -10000},
    {"llama.rope.freq_base", INFINITY},
    {"llama.rope.freq_base", NAN},
    {"llama.rope.scaling.factor", -2},
    {"llama.rope.scaling.factor", 0.5f},
    {"llama.rope.scaling.factor", INFINITY},
    {"llama.rope.scaling.attn_factor", NAN},
    {"llama.rope.scaling.yarn_beta_fast", 0},
    {"llama.rope.scaling.yarn_beta_slow", -1},
};

START_TEST(numbers_out_of_range_are_refused)
{
    builder_f32(b, wrong_reals[_i].key, wrong_reals[_i].value);
    refused(STATUS_FORMAT, wrong_reals[_i].key, "must be");
}
END_TEST

START_TEST(rope_scaling_is_read)
{
    builder_f32(b, "llama.rope.scaling.factor", 4);
    struct shape s = accepted(); /* linear is the default kind */
    ck_assert(s.rotations[0].scaling == ROPE_SCALING_LINEAR && s.rotations[0].factor == 4);
    builder_string(b, "llama.rope.scaling.type", "none");
    s = accepted();
    ck_assert(s.rotations[0].scaling == ROPE_SCALING_NONE && s.rotations[0].factor == 1);
    builder_string(b, "llama.rope.scaling.type", "yarn");
    builder_u32(b, "llama.rope.scaling.original_context_length", 16);
    builder_f32(b, "llama.rope.scaling.attn_factor", 0.5f);
    builder_f32(b, "llama.rope.scaling.yarn_beta_fast", 24);
    builder_bool(b, "llama.rope.scaling.finetuned", 1);
    s = accepted();
    ck_assert(s.rotations[0].scaling == ROPE_SCALING_YARN && s.rotations[0].factor == 4 &&
              s.rotations[0].ext_factor == 1);
    ck_assert(s.rotations[0].original_context == 16 && s.rotations[0].attn_factor == 0.5f &&
              s.rotations[0].beta_fast == 24);
    builder_string(b, "llama.rope.scaling.type", "longrope");
    refused(STATUS_UNSUPPORTED, "llama.rope.scaling.type", "'longrope'; none, linear and yarn");
}
END_TEST

START_TEST(the_old_name_of_linear_scaling_is_read)
{
    builder_f32(b, "llama.rope.scale_linear", 2);
    struct shape s = accepted();
    ck_assert(s.rotations[0].scaling == ROPE_SCALING_LINEAR && s.rotations[0].factor == 2);
    builder_f32(b, "llama.rope.scaling.factor", 8); /* the new one wins */
    ck_assert(accepted().rotations[0].factor == 8);
}
END_TEST

START_TEST(yarn_extension_without_yarn_is_refused)
{
    builder_f32(b, "llama.rope.scaling.yarn_ext_factor", 1);
    refused(STATUS_UNSUPPORTED, "llama.rope.scaling.yarn_ext_factor", "not yarn");
}
END_TEST

static const struct {
    const char *key;
    char kind; /* u, f, b */
    float neutral, other;
} parts[] = {
    {"llama.expert_shared_count", 'u', 0, 1},
    {"llama.leading_dense_block_count", 'u', 0, 2},
    {"llama.expert_group_count", 'u', 1, 4},
    {"llama.attention.sliding_window", 'u', 0, 4096},
    {"llama.attention.clamp_kqv", 'f', 0, 8},
    {"llama.attention.max_alibi_bias", 'f', 0, 8},
    {"llama.attn_logit_softcapping", 'f', 0, 50},
    {"llama.final_logit_softcapping", 'f', 0, 30},
    {"llama.logit_scale", 'f', 1, 0.0625f},
    {"llama.residual_scale", 'f', 1, 0.22f},
    {"llama.embedding_scale", 'f', 1, 12},
    {"llama.use_parallel_residual", 'b', 0, 1},
    {"llama.attention.causal", 'b', 1, 0},
    {"llama.rope.scaling.yarn_log_multiplier", 'f', 0, 0.1f},
};
enum { N_PARTS = sizeof parts / sizeof parts[0] };

static void set_part(int i, float value)
{
    if (parts[i].kind == 'u')
        builder_u32(b, parts[i].key, (uint32_t)value);
    else if (parts[i].kind == 'b')
        builder_bool(b, parts[i].key, (uint8_t)value);
    else
        builder_f32(b, parts[i].key, value);
}

START_TEST(parts_that_are_not_built_are_refused_by_name)
{
    set_part(_i, parts[_i].other);
    refused(STATUS_UNSUPPORTED, parts[_i].key, "not supported");
    builder_string(b, parts[_i].key, "on");
    refused(STATUS_UNSUPPORTED, parts[_i].key, "not supported");
    set_part(_i, parts[_i].neutral);
    accepted();
}
END_TEST

START_TEST(experts_are_counted_within_bounds)
{
    builder_u32(b, "llama.expert_used_count", 2); /* of none */
    refused(STATUS_FORMAT, "llama.expert_used_count", "must be 0 to 0");
    builder_u32(b, "llama.expert_count", 100000);
    refused(STATUS_FORMAT, "llama.expert_count", "must be");
    builder_u32(b, "llama.expert_count", 4);
    builder_u32(b, "llama.expert_used_count", 5);
    refused(STATUS_FORMAT, "llama.expert_used_count", "must be 1 to 4");
    builder_u32(b, "llama.expert_used_count", 2);
    builder_u32(b, "llama.expert_gating_func", 2);
    refused(STATUS_UNSUPPORTED, "llama.expert_gating_func", "do not use");
    builder_u32(b, "llama.expert_gating_func", 1);
    refused(STATUS_UNSUPPORTED, "blk.0.ffn_up.weight", "has no role");
    builder_u32(b, "llama.expert_count", 0);
    builder_u32(b, "llama.expert_used_count", 0);
    accepted();
}
END_TEST

START_TEST(unknown_keys_of_the_architecture_are_refused_and_others_are_not)
{
    builder_u32(b, "general.new_thing", 1);
    builder_u32(b, "gpt2.expert_count", 8);
    builder_string(b, "llama.tensor_data_layout", "Meta AI original pth");
    accepted();
    builder_u32(b, "llama.attention.new_thing", 0);
    refused(STATUS_UNSUPPORTED, "llama.attention.new_thing", "may change the arithmetic");
}
END_TEST

START_TEST(files_that_are_no_whole_model_are_refused)
{
    builder_u32(b, "general.quantization_version", 1);
    refused(STATUS_UNSUPPORTED, "general.quantization_version", "version 2");
    builder_u32(b, "general.quantization_version", 2);
    builder_string(b, "general.type", "adapter");
    refused(STATUS_UNSUPPORTED, "general.type", "'adapter'");
    builder_string(b, "general.type", "model");
    accepted();
}
END_TEST

START_TEST(tensors_without_a_role_are_refused_by_name)
{
    static const float data[64];
    static const char *const names[] = {
        "blk.0.attn_sinks.weight",
        "blk.2.attn_q.weight",
        "blk.00.attn_q.weight",
        "blk..attn_q.weight",
        "blk.0.output.weight",
        "attn_q.weight",
        "rope_freqs",
        "position_embd.weight",
        "blk.0.attn_norm.bias",
        "blk.18446744073709551616.attn_q.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        builder_tensor(b, names[i], 0, 64, 0, data, sizeof data);
        refused(STATUS_UNSUPPORTED, names[i], "no role in a llama model");
        builder_remove_tensor(b, names[i]);
    }
}
END_TEST

START_TEST(a_missing_tensor_is_named)
{
    static const char *const names[] = {"blk.1.ffn_down.weight", "blk.0.attn_norm.weight",
                                        "output_norm.weight", "token_embd.weight"};
    builder_remove_tensor(b, names[_i]);
    refused(STATUS_FORMAT, names[_i], "missing");
}
END_TEST

START_TEST(a_tensor_of_another_shape_is_named)
{
    builder_u32(b, "llama.feed_forward_length", TINY_FF / 2);
    refused(STATUS_FORMAT, "blk.0.ffn_up.weight",
            "32 x 64 x 1 x 1; by the model's keys it must be 32 x 32");
    builder_u32(b, "llama.feed_forward_length", TINY_FF);
    builder_remove_tensor(b, "blk.1.attn_k.weight");
    tiny_tensor(b, "blk.1.attn_k.weight", WEIGHT_F32, TINY_HEAD_DIM, TINY_EMBD, 0); /* transposed */
    refused(STATUS_FORMAT, "blk.1.attn_k.weight",
            "16 x 32 x 1 x 1; by the model's keys it must be 32 x 16");
}
END_TEST

START_TEST(norms_may_be_f16_but_not_quantized)
{
    builder_remove_tensor(b, "output_norm.weight");
    tiny_tensor(b, "output_norm.weight", WEIGHT_F16, TINY_EMBD, 0, 1);
    accepted();
    builder_remove_tensor(b, "output_norm.weight");
    tiny_tensor(b, "output_norm.weight", WEIGHT_Q8_0, TINY_EMBD, 0, 1);
    refused(STATUS_UNSUPPORTED, "output_norm.weight", "type Q8_0; it must be F32, F16 or BF16");
}
END_TEST

START_TEST(the_vocabularys_sizes_must_agree)
{
    const char *words[TINY_VOCAB];
    for (size_t i = 0; i < TINY_VOCAB; i++)
        words[i] = "w";
    builder_strings(b, "tokenizer.ggml.tokens", words, TINY_VOCAB);
    builder_u32(b, "llama.vocab_size", TINY_VOCAB);
    accepted();
    builder_u32(b, "llama.vocab_size", TINY_VOCAB + 1);
    refused(STATUS_FORMAT, "llama.vocab_size", "33; the embedding has 32 rows");
    builder_u32(b, "llama.vocab_size", TINY_VOCAB);
    builder_strings(b, "tokenizer.ggml.tokens", words, TINY_VOCAB - 1);
    refused(STATUS_FORMAT, "tokenizer.ggml.tokens", "31 tokens; the embedding has 32 rows");
    builder_strings(b, "tokenizer.ggml.tokens", words, TINY_VOCAB);
    builder_remove_tensor(b, "output.weight");
    tiny_tensor(b, "output.weight", WEIGHT_F32, TINY_EMBD, TINY_VOCAB - 1, 0);
    refused(STATUS_FORMAT, "output.weight", "it must be 32 x 32");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_keys");
    TCase *tc = tcase_create("facts");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, defaults_are_the_usual_ones);
    tcase_add_test(tc, gpt2_has_its_own_options);
    tcase_add_test(tc, an_absent_head_means_tied);
    tcase_add_test(tc, unknown_architectures_are_refused_with_the_list_of_known_ones);
    tcase_add_test(tc, an_architecture_that_is_not_built_is_refused_with_what_it_lacks);
    tcase_add_test(tc, a_key_may_say_a_number_of_each_layer);
    tcase_add_test(tc, joint_tensors_stand_for_their_parts);
    tcase_add_test(tc, the_scale_of_scores_is_read);
    tcase_add_loop_test(tc, a_missing_key_is_named, 0, sizeof needed_keys / sizeof needed_keys[0]);
    tcase_add_loop_test(tc, a_key_of_the_wrong_type_is_named, 0,
                        sizeof needed_keys / sizeof needed_keys[0]);
    tcase_add_loop_test(tc, sizes_out_of_range_are_refused, 0,
                        sizeof wrong_sizes / sizeof wrong_sizes[0]);
    tcase_add_test(tc, a_negative_size_is_refused);
    tcase_add_test(tc, kv_heads_must_divide_the_heads);
    tcase_add_test(tc, the_head_size_must_be_whole_even_and_one);
    tcase_add_loop_test(tc, numbers_out_of_range_are_refused, 0,
                        sizeof wrong_reals / sizeof wrong_reals[0]);
    tcase_add_test(tc, rope_scaling_is_read);
    tcase_add_test(tc, the_old_name_of_linear_scaling_is_read);
    tcase_add_test(tc, yarn_extension_without_yarn_is_refused);
    tcase_add_loop_test(tc, parts_that_are_not_built_are_refused_by_name, 0, N_PARTS);
    tcase_add_test(tc, experts_are_counted_within_bounds);
    tcase_add_test(tc, unknown_keys_of_the_architecture_are_refused_and_others_are_not);
    tcase_add_test(tc, files_that_are_no_whole_model_are_refused);
    tcase_add_test(tc, tensors_without_a_role_are_refused_by_name);
    tcase_add_loop_test(tc, a_missing_tensor_is_named, 0, 4);
    tcase_add_test(tc, a_tensor_of_another_shape_is_named);
    tcase_add_test(tc, norms_may_be_f16_but_not_quantized);
    tcase_add_test(tc, the_vocabularys_sizes_must_agree);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
