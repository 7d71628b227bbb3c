/* test_inspect.c - facts about what `inspect` finds: models of every architecture, and what is
 * unusual about each.
 */
#include "cli/inspect/inspect.h"
#include "core/any_model.h"

#include <stdio.h>
#include <unistd.h>

/* The findings in a model after a change; to be freed with inspection_free. */
static struct inspection *inspect(uint8_t *bytes, size_t size)
{
    static struct inspection found;
    char path[] = "/tmp/smallmind-inspect-XXXXXX";
    int fd = mkstemp(path);
    ck_assert(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && close(fd) == 0);
    free(bytes);
    struct settings settings = {.argument = path, .kv_type = KV_F16};
    struct error err = {0};
    ck_assert_msg(inspection_make(&found, &settings, &err) == STATUS_OK, "%s", err.text);
    unlink(path);
    return &found;
}

static struct inspection *inspect_arch(size_t arch)
{
    size_t size;
    uint8_t *bytes = any_model(&any_archs[arch], WEIGHT_Q8_0, &size);
    return inspect(bytes, size);
}

static bool is_unusual(const struct inspection *i, const char *text)
{
    for (size_t k = 0; k < i->n_unusual; k++)
        if (strstr(i->unusual[k], text) != NULL)
            return true;
    return false;
}

START_TEST(every_architecture_is_described)
{
    const struct any_arch *a = &any_archs[_i];
    struct inspection *i = inspect_arch((size_t)_i);
    ck_assert_str_eq(i->shape.arch, a->arch);
    ck_assert_str_eq(i->name, a->name);
    ck_assert(i->shape.tied_head == a->tied);
    ck_assert_uint_eq(i->n_params, i->types[WEIGHT_Q8_0].n_params + i->types[WEIGHT_F32].n_params);
    ck_assert_uint_eq(i->types[WEIGHT_F32].n_bytes, 4 * i->types[WEIGHT_F32].n_params);
    ck_assert(inspection_bits(i) > 8.5 && inspection_bits(i) < 9.5);
    ck_assert_uint_ge(i->model_bytes, i->types[WEIGHT_Q8_0].n_bytes);
    double values = (double)(2 * ANY_LAYERS * ANY_KV_HEADS * a->head_dim);
    ck_assert_double_eq(inspection_kv_bytes(i, KV_F16, 1000), 1000 * values * 2);
    ck_assert(is_unusual(i, "positions are scaled") == (a->scaling != NULL));
    ck_assert(is_unusual(i, "factors of their own") == a->factors);
    ck_assert(is_unusual(i, "biases") == (a->biases && strcmp(a->arch, "llama") == 0));
    ck_assert(is_unusual(i, "heads together") == (a->head_dim * ANY_HEADS != ANY_EMBD));
    ck_assert(is_unusual(i, "RoPE turns") == (a->rope_dim == 32));
    ck_assert(!is_unusual(i, "BOS and EOS") && !is_unusual(i, "types"));
    inspection_free(i);
}
END_TEST

/* The same model, changed. */
static struct gguf_builder *changed(void)
{
    struct vocabulary *v = malloc(sizeof *v);
    ck_assert_ptr_nonnull(v);
    begin_bytes(v, "gpt-2");
    v->types[7] = 5;
    struct gguf_builder *b = build(v);
    size_t n_vocab = v->n;
    free(v);
    any_keys(b, &any_archs[0]);
    any_matrix(b, "token_embd.weight", WEIGHT_Q4_K, ANY_EMBD, n_vocab);
    for (size_t layer = 0; layer < ANY_LAYERS; layer++)
        any_layer(b, &any_archs[0], layer, WEIGHT_Q6_K);
    any_vector(b, "output_norm.weight", ANY_EMBD, 1);
    return b;
}

START_TEST(what_is_unusual_is_said)
{
    struct gguf_builder *b = changed();
    size_t size;
    builder_u32(b, "tokenizer.ggml.bos_token_id", 3);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 4);
    builder_bool(b, "tokenizer.ggml.add_eos_token", 1);
    builder_string(b, "tokenizer.chat_template", "{{ messages }}");
    builder_u32(b, "quantize.imatrix.entries_count", 5);
    builder_u32(b, "somebody.else", 5);
    uint8_t *bytes = gguf_build(b, &size);
    gguf_builder_free(b);
    struct inspection *i = inspect(bytes, size);
    ck_assert(is_unusual(i, "the matrices are of 2 types: 1 in Q4_K, 14 in Q6_K"));
    ck_assert(is_unusual(i, "EOS is put after every text"));
    ck_assert(is_unusual(i, "of the vocabulary 1 entry is unused"));
    ck_assert(is_unusual(i, "importance matrix"));
    ck_assert(is_unusual(i, "1 key is unknown here and left alone: somebody.else"));
    ck_assert(!is_unusual(i, "BOS and EOS") && !is_unusual(i, "heads together"));
    ck_assert(i->has_template);
    inspection_free(i);
}
END_TEST

START_TEST(a_long_list_of_unknown_keys_is_cut)
{
    struct gguf_builder *b = changed();
    size_t size;
    for (int k = 0; k < 9; k++) {
        char key[64];
        snprintf(key, sizeof key, "another.%048d", k);
        builder_u32(b, key, 1);
    }
    uint8_t *bytes = gguf_build(b, &size);
    gguf_builder_free(b);
    struct inspection *i = inspect(bytes, size);
    ck_assert(is_unusual(i, "9 keys are unknown") && is_unusual(i, ", ..."));
    inspection_free(i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inspect");
    TCase *tc = tcase_create("inspect");
    tcase_add_loop_test(tc, every_architecture_is_described, 0, N_ANY_ARCHS);
    tcase_add_test(tc, what_is_unusual_is_said);
    tcase_add_test(tc, a_long_list_of_unknown_keys_is_cut);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
