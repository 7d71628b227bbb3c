/* test_model.c - facts about a loaded model: every weight is the file's, in its place, in an arena
 * of exactly the size that was computed before. */
#include "core/tiny_model.h"
#include "math/matrix.h"
#include "model/model.h"
#include "model/weights.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

static struct gguf_builder *b;
static uint8_t *bytes;
static struct gguf *gguf;

static void open_tiny(const char *arch, enum weight_type type)
{
    b = tiny_model(arch, type);
}

static void open_built(void)
{
    size_t size;
    struct error err = {0};
    bytes = gguf_build(b, &size);
    ck_assert_msg(gguf_open(&gguf, bytes, size, &err) == STATUS_OK, "%s", err.text);
}

static struct model *loaded(size_t n_context)
{
    struct model *m = NULL;
    struct error err = {0};
    ck_assert_msg(model_load(&m, gguf, n_context, 1, &err) == STATUS_OK, "%s", err.text);
    return m;
}

static void teardown(void)
{
    gguf_close(gguf);
    gguf = NULL;
    free(bytes);
    bytes = NULL;
    gguf_builder_free(b);
}

/* Rows of a loaded matrix are those of the file's tensor from row `first` on. */
static void same_rows(const struct matrix *m, const char *name, size_t first, size_t n_rows,
                      size_t n_cols)
{
    const struct gguf_tensor *t = gguf_find_tensor(gguf, name);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(m->n_rows, n_rows);
    ck_assert_uint_eq(m->n_cols, n_cols);
    ck_assert_uint_eq((uintptr_t)m->panels % 64, 0);
    float *want = malloc(n_cols * sizeof *want), *got = malloc(n_cols * sizeof *got);
    for (size_t r = 0; r < n_rows; r++) {
        weight_to_f32(m->type, t->data + (first + r) * weight_bytes(m->type, n_cols), n_cols, want);
        matrix_row(m, r, got);
        ck_assert_msg(memcmp(want, got, n_cols * sizeof *want) == 0, "%s row %zu", name, r);
    }
    free(want);
    free(got);
}

/* A kept vector is the file's, with zeros after it up to n_padded. */
static void same_values(const float *got, const char *name, size_t first, size_t n, size_t n_padded)
{
    const struct gguf_tensor *t = gguf_find_tensor(gguf, name);
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_nonnull(got);
    ck_assert_mem_eq(got, t->data + 4 * first, 4 * n);
    for (size_t i = n; i < n_padded; i++)
        ck_assert(got[i] == 0);
}

static const enum weight_type types[] = {WEIGHT_F32, WEIGHT_F16, WEIGHT_Q8_0, WEIGHT_Q4_0};

START_TEST(llama_weights_are_the_files)
{
    open_tiny("llama", types[_i]);
    open_built();
    struct model *m = loaded(0);
    same_rows(&m->embed, "token_embd.weight", 0, TINY_VOCAB, TINY_EMBD);
    same_rows(&m->output.w, "output.weight", 0, TINY_VOCAB, TINY_EMBD);
    same_values(m->output_norm.weight, "output_norm.weight", 0, TINY_EMBD, TINY_EMBD);
    ck_assert_ptr_null(m->output_norm.bias);
    for (size_t layer = 0; layer < TINY_LAYERS; layer++) {
        const struct layer *l = &m->layers[layer];
        const struct {
            const char *suffix;
            const struct linear *linear;
            size_t rows, cols;
        } parts[] = {
            {"attn_q", &l->q, 32, TINY_EMBD},
            {"attn_k", &l->k, 16, TINY_EMBD},
            {"attn_v", &l->v, 16, TINY_EMBD},
            {"attn_output", &l->attn_output, TINY_EMBD, 32},
            {"ffn_gate", &l->gate, TINY_FF, TINY_EMBD},
            {"ffn_up", &l->up, TINY_FF, TINY_EMBD},
            {"ffn_down", &l->down, TINY_EMBD, TINY_FF},
        };
        char name[64];
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            snprintf(name, sizeof name, "blk.%zu.%s.weight", layer, parts[i].suffix);
            same_rows(&parts[i].linear->w, name, 0, parts[i].rows, parts[i].cols);
            ck_assert_ptr_null(parts[i].linear->bias);
        }
        snprintf(name, sizeof name, "blk.%zu.attn_norm.weight", layer);
        same_values(l->attn_norm.weight, name, 0, TINY_EMBD, TINY_EMBD);
        snprintf(name, sizeof name, "blk.%zu.ffn_norm.weight", layer);
        same_values(l->ffn_norm.weight, name, 0, TINY_EMBD, TINY_EMBD);
        ck_assert(l->q_norm.weight == NULL && l->k_norm.weight == NULL);
    }
    ck_assert(m->positions == NULL && m->rope[0].cos != NULL && m->rope[0].sin != NULL);
    ck_assert_str_eq(m->weights, weight_infos[types[_i]].name);
    ck_assert_str_eq(m->name, "tiny");
    model_destroy(m);
}
END_TEST

START_TEST(gpt2_q_k_and_v_are_cut_from_one_tensor)
{
    open_tiny("gpt2", types[_i]);
    open_built();
    struct model *m = loaded(0);
    for (size_t layer = 0; layer < TINY_LAYERS; layer++) {
        const struct layer *l = &m->layers[layer];
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.attn_qkv.weight", layer);
        same_rows(&l->q.w, name, 0, 32, TINY_EMBD);
        same_rows(&l->k.w, name, 32, 16, TINY_EMBD);
        same_rows(&l->v.w, name, 48, 16, TINY_EMBD);
        snprintf(name, sizeof name, "blk.%zu.attn_qkv.bias", layer);
        same_values(l->q.bias, name, 0, 32, 32);
        same_values(l->k.bias, name, 32, 16, 16);
        same_values(l->v.bias, name, 48, 16, 16);
        snprintf(name, sizeof name, "blk.%zu.ffn_up.bias", layer);
        same_values(l->up.bias, name, 0, TINY_FF, TINY_FF);
        snprintf(name, sizeof name, "blk.%zu.attn_norm.bias", layer);
        same_values(l->attn_norm.bias, name, 0, TINY_EMBD, TINY_EMBD);
        ck_assert_uint_eq(l->gate.w.n_rows, 0);
    }
    const size_t n = (size_t)TINY_CONTEXT * TINY_EMBD;
    same_values(m->positions, "position_embd.weight", 0, n, n);
    ck_assert(m->rope[0].cos == NULL && m->rope[0].sin == NULL);
    model_destroy(m);
}
END_TEST

START_TEST(biases_are_padded_to_whole_panels)
{
    open_tiny("llama", WEIGHT_F32);
    for (size_t i = 0; i < 2; i++) { /* a width that is no multiple of a panel */
        static const char *const names[] = {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"};
        for (size_t k = 0; k < 3; k++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%zu.%s", i, names[k]);
            builder_remove_tensor(b, name);
            tiny_tensor(b, name, WEIGHT_F32, k == 2 ? 40 : TINY_EMBD, k == 2 ? TINY_EMBD : 40, 0);
        }
    }
    builder_u32(b, "llama.feed_forward_length", 40);
    tiny_tensor(b, "blk.0.ffn_up.bias", WEIGHT_F32, 40, 0, 0);
    open_built();
    struct model *m = loaded(0);
    same_values(m->layers[0].up.bias, "blk.0.ffn_up.bias", 0, 40, 48);
    ck_assert_ptr_null(m->layers[1].up.bias);
    model_destroy(m);
}
END_TEST

START_TEST(a_tied_head_is_the_embedding_itself)
{
    open_tiny("llama", WEIGHT_Q8_0);
    builder_remove_tensor(b, "output.weight");
    open_built();
    struct model *m = loaded(0);
    ck_assert(m->shape.tied_head);
    ck_assert_ptr_eq(m->output.w.panels, m->embed.panels);
    ck_assert_uint_eq(m->output.w.n_rows, TINY_VOCAB);
    model_destroy(m);
}
END_TEST

START_TEST(a_tokens_bytes_are_all_matrices_once_and_one_row)
{
    for (int tied = 0; tied < 2; tied++) {
        open_tiny("llama", WEIGHT_Q8_0);
        if (tied)
            builder_remove_tensor(b, "output.weight");
        open_built();
        struct model *m = loaded(0);
        size_t layer = matrix_packed_bytes(WEIGHT_Q8_0, 32, 32) * 2 +
                       matrix_packed_bytes(WEIGHT_Q8_0, 16, 32) * 2 +
                       matrix_packed_bytes(WEIGHT_Q8_0, 64, 32) * 2 +
                       matrix_packed_bytes(WEIGHT_Q8_0, 32, 64);
        ck_assert_uint_eq(m->bytes_per_token,
                          TINY_LAYERS * layer +
                              matrix_packed_bytes(WEIGHT_Q8_0, TINY_VOCAB, TINY_EMBD) +
                              weight_bytes(WEIGHT_Q8_0, TINY_EMBD));
        model_destroy(m);
        if (!tied)
            teardown();
    }
}
END_TEST

START_TEST(parameters_are_counted_as_the_file_counts)
{
    open_tiny("llama", WEIGHT_Q4_0);
    open_built();
    struct model *m = loaded(0);
    size_t layer = 32 * 32 * 2 + 16 * 32 * 2 + 3 * 64 * 32 + 2 * 32;
    ck_assert_uint_eq(m->n_params, TINY_LAYERS * layer + (size_t)2 * 32 * 32 + 32);
    ck_assert_uint_eq(m->file_bytes, gguf_size(gguf));
    model_destroy(m);
}
END_TEST

START_TEST(the_arena_is_filled_exactly)
{
    static const char *const archs[] = {"llama", "gpt2"};
    for (size_t a = 0; a < 2; a++) {
        for (size_t i = 0; i < 4; i++) {
            open_tiny(archs[a], types[i]);
            open_built();
            struct shape shape;
            struct error err;
            size_t n_bytes = 0;
            ck_assert_int_eq(model_read_shape(&shape, gguf, &err), STATUS_OK);
            ck_assert_int_eq(model_memory(gguf, &shape, 10, &n_bytes, &err), STATUS_OK);
            struct model *m = loaded(10);
            ck_assert_uint_eq(m->arena.n_bytes, n_bytes);
            ck_assert_uint_gt(m->arena.n_used, n_bytes - ARENA_ALIGN);
            model_destroy(m);
            if (a == 0 || i < 3)
                teardown();
        }
    }
}
END_TEST

START_TEST(the_context_is_what_was_asked_and_at_most_the_models)
{
    open_tiny("gpt2", WEIGHT_F32);
    open_built();
    struct model *m = loaded(0);
    ck_assert_uint_eq(m->n_context, TINY_CONTEXT);
    model_destroy(m);
    m = loaded(10);
    ck_assert_uint_eq(m->n_context, 10);
    same_values(m->positions, "position_embd.weight", 0, (size_t)10 * TINY_EMBD,
                (size_t)10 * TINY_EMBD);
    model_destroy(m);
    m = NULL;
    struct error err;
    ck_assert_int_eq(model_load(&m, gguf, TINY_CONTEXT + 1, 1, &err), STATUS_INVALID);
    ck_assert_str_eq(err.param, "context");
    ck_assert_str_eq(err.text, "a context of 65 is more than the model's 64 positions");
    ck_assert_ptr_null(m);
}
END_TEST

START_TEST(a_long_context_is_4096_unless_asked)
{
    open_tiny("llama", WEIGHT_F32);
    builder_u32(b, "llama.context_length", 100000);
    open_built();
    struct model *m = loaded(0);
    ck_assert_uint_eq(m->n_context, 4096);
    model_destroy(m);
    m = loaded(100000);
    ck_assert_uint_eq(m->n_context, 100000);
    model_destroy(m);
}
END_TEST

START_TEST(memory_is_known_before_it_is_taken)
{
    open_tiny("llama", WEIGHT_F32);
    builder_u32(b, "llama.context_length", 1 << 24);
    builder_u32(b, "llama.attention.key_length", TINY_HEAD_DIM);
    open_built();
    struct shape shape;
    struct error err;
    size_t n_bytes = 0;
    ck_assert_int_eq(model_read_shape(&shape, gguf, &err), STATUS_OK);
    ck_assert_int_eq(model_memory(gguf, &shape, 1 << 24, &n_bytes, &err), STATUS_OK);
    ck_assert_uint_gt(n_bytes, (size_t)1 << 30); /* the RoPE tables alone */
    ck_assert_int_eq(model_memory(gguf, &shape, SIZE_MAX / 2, &n_bytes, &err), STATUS_INVALID);
}
END_TEST

START_TEST(half_precision_norms_are_kept_as_f32)
{
    open_tiny("llama", WEIGHT_F32);
    builder_remove_tensor(b, "output_norm.weight");
    tiny_tensor(b, "output_norm.weight", WEIGHT_F16, TINY_EMBD, 0, 1);
    open_built();
    struct model *m = loaded(0);
    float want[TINY_EMBD];
    weight_to_f32(WEIGHT_F16, gguf_find_tensor(gguf, "output_norm.weight")->data, TINY_EMBD, want);
    ck_assert_mem_eq(m->output_norm.weight, want, sizeof want);
    model_destroy(m);
}
END_TEST

START_TEST(names_are_made_printable)
{
    open_tiny("llama", WEIGHT_F32);
    builder_string(b, "general.name", "two\nlines \xc3\xa9 \xff");
    open_built();
    struct model *m = loaded(0);
    ck_assert_str_eq(m->name, "two?lines \xc3\xa9 ?");
    model_destroy(m);
    teardown();
    open_tiny("llama", WEIGHT_F32);
    builder_remove(b, "general.name");
    open_built();
    m = loaded(0);
    ck_assert_str_eq(m->name, "llama");
    model_destroy(m);
}
END_TEST

START_TEST(frequency_factors_divide_the_frequencies)
{
    open_tiny("llama", WEIGHT_F32);
    open_built();
    struct model *plain = loaded(0);
    gguf_close(gguf);
    free(bytes);
    float factors[TINY_HEAD_DIM / 2] = {1, 1, 1, 1, 2, 2, 4, 8};
    builder_tensor(b, "rope_freqs.weight", 0, TINY_HEAD_DIM / 2, 0, factors, sizeof factors);
    open_built();
    struct model *scaled = loaded(0);
    const size_t half = TINY_HEAD_DIM / 2;
    for (size_t i = 0; i < half; i++) { /* position 8 by a factor of 2 is position 4, and so on */
        size_t p = 8, q = p / (size_t)factors[i];
        ck_assert(fabsf(scaled->rope[0].cos[p * half + i] - plain->rope[0].cos[q * half + i]) <
                  1e-6f);
        ck_assert(fabsf(scaled->rope[0].sin[p * half + i] - plain->rope[0].sin[q * half + i]) <
                  1e-6f);
    }
    model_destroy(plain);
    model_destroy(scaled);
    gguf_close(gguf);
    free(bytes);
    memset(builder_find_tensor(b, "rope_freqs.weight")->data.p, 0, 4);
    open_built();
    struct model *m = NULL;
    struct error err;
    ck_assert_int_eq(model_load(&m, gguf, 0, 1, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, "rope_freqs.weight");
}
END_TEST

START_TEST(a_file_loads_as_its_bytes_do)
{
    open_tiny("llama", WEIGHT_Q4_0);
    open_built();
    char path[] = "/tmp/smallmind-model-XXXXXX";
    int fd = mkstemp(path);
    ck_assert(write(fd, bytes, gguf_size(gguf)) == (ssize_t)gguf_size(gguf));
    close(fd);
    struct gguf *file = NULL;
    struct model *from_file = NULL, *from_bytes = loaded(0);
    struct error err = {0};
    ck_assert_msg(gguf_map(&file, path, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(model_load(&from_file, file, 0, 1, &err) == STATUS_OK, "%s", err.text);
    gguf_close(file); /* the model has all it needs */
    ck_assert_uint_eq(from_file->arena.n_used, from_bytes->arena.n_used);
    ck_assert_uint_eq(from_file->embed.panel_bytes, from_bytes->embed.panel_bytes);
    ck_assert_mem_eq(from_file->embed.panels, from_bytes->embed.panels,
                     2 * from_bytes->embed.panel_bytes);
    ck_assert_mem_eq(from_file->layers[1].down.w.panels, from_bytes->layers[1].down.w.panels,
                     2 * from_bytes->layers[1].down.w.panel_bytes);
    model_destroy(from_file);
    from_file = NULL;

    /* Cut while it is loaded: an error, not a signal. */
    file = NULL;
    ck_assert_int_eq(gguf_map(&file, path, &err), STATUS_OK);
    ck_assert_int_eq(truncate(path, 20000), 0);
    ck_assert_int_eq(model_load(&from_file, file, 0, 1, &err), STATUS_IO);
    ck_assert_ptr_null(from_file);
    gguf_close(file);
    model_destroy(from_bytes);
    unlink(path);
}
END_TEST

/* The error of loading the tiny model with an infinity, or a scale that is one, at a byte. */
static void refused_at(const char *name, size_t byte, const char *text)
{
    struct builder_tensor *t = builder_find_tensor(b, name);
    uint8_t kept[2];
    struct model *m = NULL;
    struct error err = {0}, seen = {0};
    ck_assert_ptr_nonnull(t);
    memcpy(kept, t->data.p + byte, 2);
    memcpy(t->data.p + byte, "\x80\x7f", 2); /* F32's upper half; as F16 a NaN */
    open_built();
    ck_assert_int_eq(model_load(&m, gguf, 0, 3, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, name);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    ck_assert_int_eq(weights_check(gguf, 3, NULL, NULL, &seen), STATUS_FORMAT);
    ck_assert_str_eq(seen.text, err.text);
    gguf_close(gguf);
    free(bytes);
    gguf = NULL;
    bytes = NULL;
    memcpy(t->data.p + byte, kept, 2);
}

START_TEST(a_weight_that_is_not_finite_is_refused_by_tensor_and_row)
{
    enum weight_type type = types[_i];
    size_t row = weight_bytes(type, TINY_EMBD), at = type == WEIGHT_F32 ? 2 : 0;
    struct error err = {0};
    open_tiny("llama", type);
    refused_at("token_embd.weight", at, "row 0 holds");
    refused_at("token_embd.weight", 7 * row + at, "row 7 holds");
    refused_at("blk.1.ffn_up.weight", 19 * row + at, "row 19 holds");
    refused_at("blk.1.ffn_norm.weight", 5 * 4 + 2, "value 5 is not a finite number");
    open_built();
    ck_assert_int_eq(weights_check(gguf, 2, NULL, NULL, &err), STATUS_OK);
    model_destroy(loaded(0));
}
END_TEST

START_TEST(the_row_is_the_tensors_where_one_is_cut_in_three)
{
    open_tiny("gpt2", WEIGHT_F32);
    size_t row = weight_bytes(WEIGHT_F32, TINY_EMBD);
    refused_at("blk.0.attn_qkv.weight", (TINY_EMBD + 3) * row + 2, "row 35 holds");
    refused_at("blk.0.attn_qkv.bias", 40 * 4 + 2, "value 40 is not");
    refused_at("blk.1.ffn_down.bias", 2, "value 0 is not");
    refused_at("position_embd.weight", 6 * row + 2, "row 6 holds");
    open_built();
}
END_TEST

START_TEST(destroy_takes_null)
{
    model_destroy(NULL);
    open_tiny("llama", WEIGHT_F32);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tc = tcase_create("facts");
    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, llama_weights_are_the_files, 0, 4);
    tcase_add_loop_test(tc, gpt2_q_k_and_v_are_cut_from_one_tensor, 0, 4);
    tcase_add_test(tc, biases_are_padded_to_whole_panels);
    tcase_add_test(tc, a_tied_head_is_the_embedding_itself);
    tcase_add_test(tc, a_tokens_bytes_are_all_matrices_once_and_one_row);
    tcase_add_test(tc, parameters_are_counted_as_the_file_counts);
    tcase_add_test(tc, the_arena_is_filled_exactly);
    tcase_add_test(tc, the_context_is_what_was_asked_and_at_most_the_models);
    tcase_add_test(tc, a_long_context_is_4096_unless_asked);
    tcase_add_test(tc, memory_is_known_before_it_is_taken);
    tcase_add_test(tc, half_precision_norms_are_kept_as_f32);
    tcase_add_test(tc, names_are_made_printable);
    tcase_add_test(tc, frequency_factors_divide_the_frequencies);
    tcase_add_test(tc, a_file_loads_as_its_bytes_do);
    tcase_add_loop_test(tc, a_weight_that_is_not_finite_is_refused_by_tensor_and_row, 0, 4);
    tcase_add_test(tc, the_row_is_the_tensors_where_one_is_cut_in_three);
    tcase_add_test(tc, destroy_takes_null);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
