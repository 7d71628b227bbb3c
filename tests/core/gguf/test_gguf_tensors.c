/* test_gguf_tensors.c - facts about tensors in a GGUF file: alignment, dimensions, types, places;
 * and files that change while they are read. */
#include "core/gguf/gguf_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- f: alignment --- */

START_TEST(alignment_is_a_u32_and_a_power_of_two_in_range)
{
    static const uint32_t wrong[] = {0, 1, 4, 24, 33, 1 << 21, UINT32_MAX, (uint32_t)1 << 31};
    for (size_t i = 0; i < 8; i++) {
        builder_u32(b, "general.alignment", wrong[i]);
        refused(STATUS_FORMAT, "general.alignment", "power of two");
    }
    builder_int(b, "general.alignment", GGUF_U64, 32, 8);
    refused(STATUS_FORMAT, "general.alignment", "u32");
    static const uint32_t right[] = {8, 64, 4096};
    for (size_t i = 0; i < 3; i++) {
        b->alignment = right[i];
        builder_u32(b, "general.alignment", right[i]);
        let_go(accepted());
    }
}
END_TEST

START_TEST(a_file_without_tensors_may_end_at_its_keys)
{
    while (b->n_tensors > 0)
        b->tensors[--b->n_tensors].name.n = 0;
    let_go(accepted());
}
END_TEST

/* --- g: dimensions and types --- */

START_TEST(numbers_of_dimensions_but_1_to_4_are_refused)
{
    b->tensors[0].n_dims = 0;
    refused(STATUS_FORMAT, "tensor 'second'", "0 dimensions");
    b->tensors[0].n_dims = 5;
    refused(STATUS_FORMAT, "tensor 'second'", "5 dimensions");
    b->tensors[0].n_dims = UINT32_MAX;
    refused(STATUS_FORMAT, "tensor 'second'", "1 to 4");
    b->tensors[0].n_dims = 4;
    b->tensors[0].ne[2] = b->tensors[0].ne[3] = 1;
    let_go(accepted());
}
END_TEST

START_TEST(dimensions_of_zero_or_beyond_2_31_are_refused)
{
    static const uint64_t wrong[] = {0, (uint64_t)1 << 31, (uint64_t)1 << 32, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        b->tensors[0].ne[1] = wrong[i];
        refused(STATUS_FORMAT, "tensor 'second'", "dimension 1");
    }
}
END_TEST

START_TEST(products_that_overflow_are_refused)
{
    struct builder_tensor *t = &b->tensors[0];
    t->n_dims = 4;
    for (size_t i = 0; i < 4; i++)
        t->ne[i] = INT32_MAX;
    refused(STATUS_FORMAT, "tensor 'second'", "overflow");
    /* 2^62 values fit 64 bits, their bytes do not. */
    t->ne[0] = t->ne[1] = 1 << 30;
    t->ne[2] = 4;
    t->ne[3] = 1;
    refused(STATUS_FORMAT, "tensor 'second'", "overflow");
    t->ne[2] = 1;
    refused(STATUS_FORMAT, "tensor 'second'", "beyond the file");
}
END_TEST

START_TEST(unsupported_tensor_types_are_refused_by_name)
{
    b->tensors[0].type = 26; /* I32 */
    refused(STATUS_UNSUPPORTED, "tensor 'second' has type I32", "Q4_K");
    b->tensors[0].type = 4; /* Q4_2, taken out of GGML long ago */
    refused(STATUS_UNSUPPORTED, "tensor 'second'", "not supported");
    b->tensors[0].type = 12345;
    refused(STATUS_UNSUPPORTED, "tensor 'second'", "12345");
    b->tensors[0].type = UINT32_MAX;
    refused(STATUS_UNSUPPORTED, "tensor 'second'", "4294967295");
}
END_TEST

START_TEST(rows_that_are_no_multiple_of_the_block_are_refused)
{
    b->tensors[0].type = 8; /* Q8_0: 32 */
    refused(STATUS_FORMAT, "tensor 'second'", "Q8_0 needs a multiple of 32");
    b->tensors[2].type = 12; /* Q4_K: 256 */
    b->tensors[0].type = 0;
    refused(STATUS_FORMAT, "tensor 'third'", "Q4_K needs a multiple of 256");
}
END_TEST

/* --- h: places --- */

START_TEST(offsets_that_are_not_aligned_are_refused)
{
    b->tensors[1].offset = 68;
    refused(STATUS_FORMAT, "tensor 'first'", "multiple of the alignment 32");
}
END_TEST

START_TEST(data_beyond_the_file_are_refused)
{
    static const uint64_t wrong[] = {160, 192, (uint64_t)1 << 40, (uint64_t)1 << 63,
                                     UINT64_MAX - 31};
    for (size_t i = 0; i < 5; i++) {
        b->tensors[2].offset = wrong[i];
        refused(STATUS_FORMAT, "tensor 'third'", "beyond the file");
    }
}
END_TEST

START_TEST(overlapping_data_are_refused)
{
    b->tensors[2].offset = 32;
    refused(STATUS_FORMAT, "overlaps tensor", "tensor 'third'");
    b->tensors[2].offset = 0;
    refused(STATUS_FORMAT, "overlaps tensor", "second");
}
END_TEST

START_TEST(only_padding_may_follow_the_last_tensor)
{
    builder_put(&b->behind, "0123456789012345678901234567890", 31);
    let_go(accepted());
    builder_put(&b->behind, "0", 1);
    refused(STATUS_FORMAT, "32 bytes follow the last tensor", "padding");
}
END_TEST

START_TEST(the_last_tensor_needs_no_padding)
{
    b->n_tensors = 2;
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    struct gguf *g = NULL;
    struct error err = {0};
    ck_assert_msg(gguf_open(&g, bytes, size - 12, &err) == STATUS_OK, "%s", err.text);
    gguf_close(g);
    g = NULL;
    ck_assert_int_eq(gguf_open(&g, bytes, size - 13, &err), STATUS_FORMAT);
    free(bytes);
    b->n_tensors = 3;
}
END_TEST

/* --- m: files that change while they are read --- */

static void write_file(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

START_TEST(a_file_reads_as_its_bytes_do)
{
    char path[] = "/tmp/smallmind-gguf-XXXXXX";
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    close(mkstemp(path));
    write_file(path, bytes, size);
    struct gguf *g = NULL;
    struct error err = {0};
    ck_assert_msg(gguf_map(&g, path, &err) == STATUS_OK, "%s", err.text);
    ck_assert_uint_eq(gguf_size(g), size);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        ck_assert_int_eq(gguf_fetch(g, t, &err), STATUS_OK);
        ck_assert_mem_eq(t->data, b->tensors[i].data.p, t->n_bytes);
        gguf_release(g, t);
        ck_assert_int_eq(gguf_fetch(g, t, &err), STATUS_OK); /* and again */
        ck_assert_mem_eq(t->data, b->tensors[i].data.p, t->n_bytes);
    }
    gguf_close(g);
    unlink(path);
    free(bytes);
}
END_TEST

START_TEST(a_file_cut_or_changed_after_it_was_opened_is_an_error)
{
    char path[] = "/tmp/smallmind-gguf-XXXXXX";
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    close(mkstemp(path));
    for (int cut = 0; cut < 2; cut++) {
        write_file(path, bytes, size);
        struct gguf *g = NULL;
        struct error err = {0};
        ck_assert_msg(gguf_map(&g, path, &err) == STATUS_OK, "%s", err.text);
        if (cut) {
            ck_assert_int_eq(truncate(path, (off_t)size / 2), 0);
        } else {
            struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}}; /* rewritten, by its time */
            ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
        }
        ck_assert_int_eq(gguf_fetch(g, gguf_find_tensor(g, "third"), &err), STATUS_IO);
        ck_assert_ptr_nonnull(strstr(err.text, "tensor 'third'"));
        gguf_close(g);
    }
    unlink(path);
    free(bytes);
}
END_TEST

START_TEST(close_takes_null)
{
    gguf_close(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_tensors");
    TCase *tc = tcase_create("facts");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, alignment_is_a_u32_and_a_power_of_two_in_range);
    tcase_add_test(tc, a_file_without_tensors_may_end_at_its_keys);
    tcase_add_test(tc, numbers_of_dimensions_but_1_to_4_are_refused);
    tcase_add_test(tc, dimensions_of_zero_or_beyond_2_31_are_refused);
    tcase_add_test(tc, products_that_overflow_are_refused);
    tcase_add_test(tc, unsupported_tensor_types_are_refused_by_name);
    tcase_add_test(tc, rows_that_are_no_multiple_of_the_block_are_refused);
    tcase_add_test(tc, offsets_that_are_not_aligned_are_refused);
    tcase_add_test(tc, data_beyond_the_file_are_refused);
    tcase_add_test(tc, overlapping_data_are_refused);
    tcase_add_test(tc, only_padding_may_follow_the_last_tensor);
    tcase_add_test(tc, the_last_tensor_needs_no_padding);
    tcase_add_test(tc, a_file_reads_as_its_bytes_do);
    tcase_add_test(tc, a_file_cut_or_changed_after_it_was_opened_is_an_error);
    tcase_add_test(tc, close_takes_null);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
