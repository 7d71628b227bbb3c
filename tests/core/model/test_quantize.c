/* test_quantize.c - facts about writing a file in another weight type: what changes, what stays,
 * and what is refused. */
#include "base/cpu.h"
#include "core/gguf_builder.h"
#include "core/gguf_fields.h"
#include "gguf/gguf.h"
#include "math/encode/encode.h"
#include "model/model.h"
#include "model/quantize/quantize.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], out_path[128];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/smallmind-quantize-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(out_path, sizeof out_path, "%s/out.gguf", folder);
}

static void teardown(void)
{
    unlink(out_path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing unfinished is left */
}

static const char *source(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/fixtures/llama256.F16.gguf", TEST_SOURCE_DIR);
    return path;
}

static enum status run(const char *in, const char *type, bool force, struct error *err)
{
    struct quantize_job job = {
        .in = in, .out = out_path, .type = type, .n_threads = 2, .force = force};
    struct quantize_result result;
    return quantize_file(&job, &result, err);
}

static struct gguf *open_file(const char *path)
{
    struct gguf *gguf = NULL;
    struct error err = {0};
    ck_assert_msg(gguf_map(&gguf, path, &err) == STATUS_OK, "%s", err.text);
    return gguf;
}

/* The tensor's bytes are those of rounding the source's values. */
static void check_tensor(const struct gguf *in, const struct gguf *out, const char *name,
                         enum weight_type type)
{
    struct error err = {0};
    const struct gguf_tensor *a = gguf_find_tensor(in, name), *b = gguf_find_tensor(out, name);
    ck_assert_ptr_nonnull(b);
    ck_assert_str_eq(ggml_type_name(b->type), weight_infos[type].name);
    ck_assert_int_eq(gguf_fetch(in, a, &err), STATUS_OK);
    ck_assert_int_eq(gguf_fetch(out, b, &err), STATUS_OK);
    size_t n = (size_t)(a->ne[0] * a->ne[1]);
    float *values = malloc(n * sizeof *values);
    uint8_t *bytes = malloc(weight_bytes(type, n));
    weight_to_f32(weight_type_of_ggml(a->type), a->data, n, values);
    weight_from_f32(type, values, n, bytes);
    ck_assert_uint_eq(b->n_bytes, weight_bytes(type, n));
    ck_assert_mem_eq(b->data, bytes, b->n_bytes);
    free(values);
    free(bytes);
}

START_TEST(matrices_are_rounded_and_the_rest_stays)
{
    struct error err = {0};
    ck_assert_msg(run(source(), "Q4_0", false, &err) == STATUS_OK, "%s", err.text);
    struct gguf *in = open_file(source()), *out = open_file(out_path);
    ck_assert_uint_eq(gguf_n_tensors(in), gguf_n_tensors(out));
    check_tensor(in, out, "blk.0.attn_q.weight", WEIGHT_Q4_0);
    check_tensor(in, out, "token_embd.weight", WEIGHT_Q4_0);
    check_tensor(in, out, "output.weight", WEIGHT_Q4_0);
    check_tensor(in, out, "output_norm.weight", WEIGHT_F32);
    for (size_t i = 0; i < gguf_n_values(in); i++) {
        char key[128];
        struct gguf_string name = gguf_value_at(in, i)->key;
        snprintf(key, sizeof key, "%.*s", (int)name.n, name.bytes);
        ck_assert_ptr_nonnull(gguf_find(out, key));
    }
    struct shape shape;
    ck_assert_msg(model_read_shape(&shape, out, &err) == STATUS_OK, "%s", err.text);
    gguf_close(in);
    gguf_close(out);
}
END_TEST

START_TEST(a_mix_gives_some_matrices_more_bits)
{
    struct error err = {0};
    ck_assert_int_eq(run(source(), "q4_k_m", false, &err), STATUS_OK);
    struct gguf *in = open_file(source()), *out = open_file(out_path);
    check_tensor(in, out, "blk.0.attn_v.weight", WEIGHT_Q4_K);
    check_tensor(in, out, "blk.1.attn_v.weight", WEIGHT_Q6_K);
    check_tensor(in, out, "blk.1.ffn_down.weight", WEIGHT_Q6_K);
    check_tensor(in, out, "blk.1.ffn_up.weight", WEIGHT_Q4_K);
    check_tensor(in, out, "output.weight", WEIGHT_Q6_K);
    gguf_close(in);
    gguf_close(out);
}
END_TEST

START_TEST(what_must_not_be_is_refused)
{
    struct error err = {0};
    ck_assert_int_eq(run(source(), "Q4_7", false, &err), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "Q4_K_M"));
    ck_assert_int_eq(run("/nowhere/x.gguf", "Q8_0", false, &err), STATUS_IO);
    ck_assert_int_eq(access(out_path, F_OK), -1);
    ck_assert_int_eq(run(source(), "Q8_0", false, &err), STATUS_OK);
    ck_assert_int_eq(run(source(), "Q8_0", false, &err), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "--force"));
    ck_assert_int_eq(run(source(), "Q4_0", true, &err), STATUS_OK);
    ck_assert_int_eq(run(out_path, "Q4_0", true, &err), STATUS_INVALID); /* onto itself */
    unlink(out_path);
    ck_assert_int_eq(mkfifo(out_path, 0600), 0);
    ck_assert_int_eq(run(source(), "Q4_0", true, &err), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
}
END_TEST

static void write_built(const char *path, struct gguf_builder *b)
{
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    free(bytes);
    gguf_builder_free(b);
}

/* A model of one matrix, with this value among zeros. */
static void write_matrix(const char *path, float value)
{
    float x[256 * 2] = {0};
    struct gguf_builder *b = gguf_builder_new();
    x[300] = value;
    builder_string(b, "general.architecture", "llama");
    builder_tensor(b, "token_embd.weight", weight_infos[WEIGHT_F32].ggml_id, 256, 2, x, sizeof x);
    write_built(path, b);
}

START_TEST(the_alignment_stays)
{
    static const uint32_t alignments[] = {8, 32, 64, 4096, 1 << 20};
    static float x[256 * 2];
    char in[128];
    snprintf(in, sizeof in, "%s/in.gguf", folder);
    for (size_t i = 0; i < 256 * 2; i++)
        x[i] = (float)i / 100;
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        struct error err = {0};
        struct gguf_builder *b = gguf_builder_new();
        builder_string(b, "general.architecture", "llama");
        builder_u32(b, "general.alignment", alignments[i]);
        b->alignment = alignments[i];
        builder_tensor(b, "a.weight", weight_infos[WEIGHT_F32].ggml_id, 256, 2, x, sizeof x);
        builder_tensor(b, "b.weight", weight_infos[WEIGHT_F32].ggml_id, 256, 2, x, sizeof x);
        write_built(in, b);
        ck_assert_msg(run(in, "Q8_0", true, &err) == STATUS_OK, "%s", err.text);
        struct gguf *old = open_file(in), *new = open_file(out_path);
        uint64_t value = 0;
        ck_assert_int_eq(gguf_get_u64(new, "general.alignment", &value, NULL, &err), STATUS_OK);
        ck_assert_uint_eq(value, alignments[i]);
        ck_assert_uint_eq(gguf_alignment(new), alignments[i]);
        check_tensor(old, new, "a.weight", WEIGHT_Q8_0);
        check_tensor(old, new, "b.weight", WEIGHT_Q8_0);
        ck_assert_uint_eq(gguf_size(new) % alignments[i], 0);
        gguf_close(old);
        gguf_close(new);
    }
    unlink(in);
}
END_TEST

START_TEST(what_a_type_cannot_hold_is_refused)
{
    static const struct {
        float value;
        const char *type, *text; /* text NULL: it fits */
    } wanted[] = {
        {INFINITY, "Q8_0",
         "tensor 'token_embd.weight': row 1 holds a value that is not a finite number"},
        {NAN, "F16", "tensor 'token_embd.weight': row 1 holds a value that is not a finite number"},
        {65504, "F16", NULL},
        {65536, "F16", "tensor 'token_embd.weight' holds a value that is too large for F16"},
        {65536, "BF16", NULL},
        {3e38f, "BF16", NULL},
        {5e5f, "Q4_0", NULL},
        {-6e5f, "Q4_0", "tensor 'token_embd.weight' holds a value that is too large for Q4_0"},
        {-1e5f, "Q4_1", "tensor 'token_embd.weight' holds a value that is too large for Q4_1"},
        {1e7f, "Q8_0", "tensor 'token_embd.weight' holds a value that is too large for Q8_0"},
        {1e7f, "Q6_K", NULL},
        {3e38f, "Q2_K", "tensor 'token_embd.weight' holds a value that is too large for Q2_K"},
        {-3e38f, "Q4_K", "tensor 'token_embd.weight' holds a value that is too large for Q4_K"},
        {3e38f, "Q6_K", "tensor 'token_embd.weight' holds a value that is too large for Q6_K"},
        {-3e38f, "IQ4_XS", "tensor 'token_embd.weight' holds a value that is too large for IQ4_XS"},
        {3e38f, "IQ4_NL", "tensor 'token_embd.weight' holds a value that is too large for IQ4_NL"},
        {3e38f, "Q5_1", "tensor 'token_embd.weight' holds a value that is too large for Q5_1"},
    };
    char in[128];
    snprintf(in, sizeof in, "%s/in.gguf", folder);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct error err = {0};
        write_matrix(in, wanted[i].value);
        enum status status = run(in, wanted[i].type, true, &err);
        ck_assert_msg(status == (wanted[i].text ? STATUS_FORMAT : STATUS_OK), "%s: %s",
                      wanted[i].type, err.text);
        if (wanted[i].text)
            ck_assert_ptr_nonnull(strstr(err.text, wanted[i].text));
        ck_assert_int_eq(access(out_path, F_OK), wanted[i].text ? -1 : 0);
        unlink(out_path);
    }
    unlink(in);
}
END_TEST

/* A file of holes may declare tensors beyond all memory. */
START_TEST(a_tensor_beyond_memory_is_refused)
{
    static struct gguf_fields fields;
    char in[128];
    uint8_t header[512];
    struct error err = {0};
    uint64_t n_rows = cpu_memory_bytes() / 1024 + 1, n_bytes = 1024 * n_rows;
    snprintf(in, sizeof in, "%s/in.gguf", folder);
    write_matrix(in, 1);
    FILE *file = fopen(in, "r+b");
    ck_assert(file != NULL && fread(header, 1, sizeof header, file) == sizeof header);
    fields_walk(&fields, header, sizeof header);
    ck_assert_uint_eq(fields.n_tensors, 1);
    for (size_t i = 0, n_dims = 0; i < fields.n; i++) {
        if (fields.items[i].kind == FIELD_DIM && ++n_dims == 2)
            fields_put(header + fields.items[i].at, n_rows, 8);
    }
    ck_assert(fseek(file, 0, SEEK_SET) == 0 &&
              fwrite(header, 1, sizeof header, file) == sizeof header && fflush(file) == 0);
    if (ftruncate(fileno(file), (off_t)(fields.data_start + n_bytes)) == 0) {
        ck_assert_int_eq(run(in, "Q8_0", false, &err), STATUS_NO_MEMORY);
        ck_assert_int_eq(access(out_path, F_OK), -1);
    }
    fclose(file);
    unlink(in);
}
END_TEST

/* Files that llama.cpp's own tool wrote from the same source; only where the shared fixtures are.
 */
static const struct {
    const char *model, *type;
} exact[] = {{"llama256", "Q8_0"}, {"gpt256", "Q8_0"},   {"llama256", "Q4_0"},
             {"llama256", "Q4_1"}, {"llama256", "Q5_0"}, {"llama256", "Q5_1"}};
enum { N_EXACT = sizeof exact / sizeof *exact };

START_TEST(the_tensors_are_llama_cpps_byte_for_byte)
{
    const char *shared = getenv("SMALLMIND_SHARED");
    char in[512], path[512];
    shared = shared ? shared : TEST_SOURCE_DIR "/../shared";
    snprintf(in, sizeof in, "%s/fixtures/%s.f32.gguf", shared, exact[_i].model);
    snprintf(path, sizeof path, "%s/fixtures/%s.%s.gguf", shared, exact[_i].model, exact[_i].type);
    if (access(in, R_OK) != 0) {
        printf("skipped: %s is not there\n", in);
        return;
    }
    struct error err = {0};
    ck_assert_msg(run(in, exact[_i].type, false, &err) == STATUS_OK, "%s", err.text);
    struct gguf *ours = open_file(out_path), *theirs = open_file(path);
    ck_assert_uint_eq(gguf_n_tensors(ours), gguf_n_tensors(theirs));
    for (size_t i = 0; i < gguf_n_tensors(ours); i++) {
        const struct gguf_tensor *a = gguf_tensor_at(ours, i), *b = gguf_tensor_at(theirs, i);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_int_eq(gguf_fetch(ours, a, &err), STATUS_OK);
        ck_assert_int_eq(gguf_fetch(theirs, b, &err), STATUS_OK);
        ck_assert_uint_eq(a->type, b->type);
        ck_assert_uint_eq(a->n_bytes, b->n_bytes);
        ck_assert_mem_eq(a->data, b->data, a->n_bytes);
    }
    gguf_close(ours);
    gguf_close(theirs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantize");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 120);
    tcase_add_checked_fixture(facts, setup, teardown);
    tcase_add_test(facts, matrices_are_rounded_and_the_rest_stays);
    tcase_add_test(facts, a_mix_gives_some_matrices_more_bits);
    tcase_add_test(facts, what_must_not_be_is_refused);
    tcase_add_test(facts, the_alignment_stays);
    tcase_add_test(facts, what_a_type_cannot_hold_is_refused);
    tcase_add_test(facts, a_tensor_beyond_memory_is_refused);
    tcase_add_loop_test(facts, the_tensors_are_llama_cpps_byte_for_byte, 0, N_EXACT);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
