/* test_gguf_hostile.c - files cut at every byte and headers with every integer replaced: refused or
 * read, never a crash.
 *
 * Under the sanitizers this is where a wrong length shows. What still opens is loaded as a model
 * too.
 */
#include "core/tiny_model.h"
#include "model/model.h"

#include <math.h>

/* Opens and, where that works, loads and looks everything up; true when both worked. */
static bool survives(const uint8_t *bytes, size_t size)
{
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct error err = {0};
    enum status status = gguf_open(&g, bytes, size, &err);
    if (status != STATUS_OK) {
        if (g != NULL || err.text[0] == '\0' || err.status != status)
            ck_abort_msg("status %d, text '%s'", status, err.text);
        return false;
    }
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        if (v->type == GGUF_ARRAY && v->element_type == GGUF_STRING && v->n > 0) {
            struct gguf_string last = gguf_string_at(v, v->n - 1);
            if (last.bytes + last.n > (const char *)bytes + size)
                ck_abort_msg("a string that leaves the file");
        }
    }
    status = model_load(&m, g, 0, &err);
    if (status == STATUS_OK ? m == NULL : m != NULL || err.text[0] == '\0' || err.status != status)
        ck_abort_msg("status %d, text '%s'", status, err.text);
    model_destroy(m);
    gguf_close(g);
    return status == STATUS_OK;
}

/* A small model with every kind of value in its header. */
static uint8_t *make_file(size_t *size, const char *arch)
{
    static const char *const words[] = {"a", "bc", ""};
    static const int32_t ints[] = {1, 2, 3};
    static const float floats[] = {1, 2, 3};
    struct gguf_builder *b = tiny_model(arch, WEIGHT_Q4_0);
    builder_strings(b, "some.words", words, 3);
    builder_i32s(b, "some.ints", ints, 3);
    builder_f32s(b, "some.floats", floats, 3);
    builder_bool(b, "some.bool", 1);
    builder_put(builder_array(b, "some.bools", GGUF_BOOL, 2), "\1\0", 2);
    builder_u32(b, "general.alignment", 32);
    uint8_t *bytes = gguf_build(b, size);
    gguf_builder_free(b);
    return bytes;
}

/* Where the header ends: at the first tensor's data. */
static size_t header_bytes(const uint8_t *bytes, size_t size)
{
    struct gguf *g = NULL;
    struct error err = {0};
    ck_assert_msg(gguf_open(&g, bytes, size, &err) == STATUS_OK, "%s", err.text);
    size_t n = (size_t)(gguf_tensor_at(g, 0)->data - bytes);
    gguf_close(g);
    return n;
}

static const char *const archs[] = {"llama", "gpt2"};

START_TEST(a_file_cut_at_any_byte_is_refused)
{
    size_t size;
    uint8_t *whole = make_file(&size, archs[_i]);
    ck_assert(survives(whole, size));
    /* The header byte by byte; of the data, which all end alike, a sample. */
    size_t n_header = header_bytes(whole, size);
    for (size_t n = 0; n < size; n += n < n_header + 512 || n + 64 > size ? 1 : 61) {
        uint8_t *cut =
            malloc(n + (n == 0)); /* exactly as large, so that a read behind it is seen */
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, whole, n);
        struct gguf *g = NULL;
        struct error err = {0};
        enum status status = gguf_open(&g, cut, n, &err);
        ck_assert_msg(status == STATUS_FORMAT && g == NULL && err.text[0] != '\0',
                      "%zu bytes: %d %s", n, status, err.text);
        free(cut);
    }
    free(whole);
}
END_TEST

/* At every byte of the header, as if an integer of 32 or 64 bits began there: every count, length,
 * type, dimension and offset is among them. */
START_TEST(no_integer_in_the_header_can_crash_it)
{
    static const uint64_t values[] = {0,
                                      1,
                                      UINT64_MAX,
                                      (uint64_t)1 << 31,
                                      (uint64_t)1 << 32,
                                      (uint64_t)1 << 63,
                                      ((uint64_t)1 << 31) - 1,
                                      ((uint64_t)1 << 32) - 1,
                                      ((uint64_t)1 << 63) - 1,
                                      65536};
    enum { N_VALUES = sizeof values / sizeof values[0] };
    size_t size;
    uint8_t *bytes = make_file(&size, archs[_i]);
    size_t n_header = header_bytes(bytes, size), n_survived = 0;
    uint8_t *copy = malloc(size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    for (size_t at = 4; at + 8 <= n_header; at++) {
        for (size_t width = 4; width <= 8; width *= 2) {
            uint64_t old = 0;
            memcpy(&old, bytes + at, width);
            for (size_t v = 0; v < N_VALUES + 2; v++) {
                uint64_t value = v < N_VALUES ? values[v] : v == N_VALUES ? old + 1 : old - 1;
                memcpy(copy + at, &value, width);
                n_survived += survives(copy, size);
                memcpy(copy + at, bytes + at, 8);
            }
        }
    }
    ck_assert_uint_gt(n_survived, 0); /* a name's letter, say, may well be another */
    free(copy);
    free(bytes);
}
END_TEST

START_TEST(random_damage_cannot_crash_it)
{
    size_t size;
    uint8_t *bytes = make_file(&size, archs[_i]);
    size_t n_header = header_bytes(bytes, size);
    uint8_t *copy = malloc(size);
    ck_assert_ptr_nonnull(copy);
    uint64_t state = 20260202;
    for (int round = 0; round < 2000; round++) {
        memcpy(copy, bytes, size);
        for (uint32_t i = tiny_random(&state) % 4 + 1; i > 0; i--)
            copy[tiny_random(&state) % n_header] = (uint8_t)tiny_random(&state);
        survives(copy, size);
    }
    free(copy);
    free(bytes);
}
END_TEST

/* Blocks whose scales are NaN or infinite are still weights: it is the logits that are looked at.
 * Vectors are few, and looked at here. */
START_TEST(scales_that_are_not_finite_load_and_vectors_do_not)
{
    static const float not_a_number[TINY_EMBD] = {NAN};
    struct gguf_builder *b = tiny_model("llama", WEIGHT_Q8_0);
    struct builder_tensor *t = builder_find_tensor(b, "blk.0.ffn_up.weight");
    memcpy(t->data.p, "\x00\x7e", 2); /* an F16 NaN */
    memcpy(t->data.p + 34, "\x00\xfc", 2);
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    ck_assert(survives(bytes, size));
    free(bytes);
    memcpy(builder_find_tensor(b, "blk.1.ffn_norm.weight")->data.p, not_a_number,
           sizeof not_a_number);
    bytes = gguf_build(b, &size);
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct error err;
    ck_assert_int_eq(gguf_open(&g, bytes, size, &err), STATUS_OK);
    ck_assert_int_eq(model_load(&m, g, 0, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "tensor 'blk.1.ffn_norm.weight': value 0 is not a finite number");
    gguf_close(g);
    free(bytes);
    gguf_builder_free(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_hostile");
    TCase *tc = tcase_create("facts");
    tcase_set_timeout(tc, 280);
    tcase_add_loop_test(tc, a_file_cut_at_any_byte_is_refused, 0, 2);
    tcase_add_loop_test(tc, no_integer_in_the_header_can_crash_it, 0, 2);
    tcase_add_loop_test(tc, random_damage_cannot_crash_it, 0, 2);
    tcase_add_test(tc, scales_that_are_not_finite_load_and_vectors_do_not);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
