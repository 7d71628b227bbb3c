/* test_split.c - a split model's files open as one, and each way in which they do not belong
 * together is an error that says which file is at fault. */
#include "core/gguf_builder.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <unistd.h>

enum { N_PARTS = 3 };
static char folder[64], path[N_PARTS][128];
static struct gguf_builder *parts[N_PARTS];

static void write_part(size_t i)
{
    size_t n;
    uint8_t *bytes = gguf_build(parts[i], &n);
    FILE *file = fopen(path[i], "wb");
    ck_assert(file != NULL && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
    free(bytes);
}

static void say_part(struct gguf_builder *b, unsigned no, unsigned count)
{
    builder_int(b, "split.no", GGUF_U16, no, 2);
    builder_int(b, "split.count", GGUF_U16, count, 2);
    builder_int(b, "split.tensors.count", GGUF_I32, 4, 4);
}

/* The first has the keys and one tensor, the second two, the third one. */
static void setup(void)
{
    static const float data[64] = {1, 2, 3, 4}, other[64] = {5, 6, 7, 8};
    snprintf(folder, sizeof folder, "/tmp/smallmind-split-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (unsigned i = 0; i < N_PARTS; i++) {
        parts[i] = gguf_builder_new();
        snprintf(path[i], sizeof path[i], "%s/m-%05u-of-00003.gguf", folder, i + 1);
        say_part(parts[i], i, N_PARTS);
    }
    builder_string(parts[0], "general.architecture", "llama");
    builder_tensor(parts[0], "d", 0, 8, 2, data, 64);
    builder_tensor(parts[1], "b", 0, 4, 0, other, 16);
    builder_tensor(parts[1], "c", 0, 8, 0, data, 32);
    builder_tensor(parts[2], "a", 0, 16, 0, other, 64);
    for (size_t i = 0; i < N_PARTS; i++)
        write_part(i);
}

static void teardown(void)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        gguf_builder_free(parts[i]);
        unlink(path[i]);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static void refused(const char *file, enum status status, const char *a, const char *b)
{
    struct gguf *g = NULL;
    struct error err = {0};
    ck_assert_int_eq(gguf_map(&g, file, &err), status);
    ck_assert_ptr_null(g);
    ck_assert_msg(strstr(err.text, a) != NULL && strstr(err.text, b) != NULL, "%s", err.text);
}

START_TEST(the_files_open_as_one)
{
    static const char names[] = "abcd";
    static const float first[4] = {5, 5, 1, 1};
    struct gguf *g;
    struct error err = {0};
    ck_assert_msg(gguf_map(&g, path[0], &err) == STATUS_OK, "%s", err.text);
    ck_assert_uint_eq(gguf_n_parts(g), N_PARTS);
    ck_assert_uint_eq(gguf_n_tensors(g), 4);
    ck_assert_ptr_nonnull(gguf_find(g, "general.architecture"));
    for (size_t i = 0; i < 4; i++) {
        const struct gguf_tensor *t = gguf_find_tensor(g, (const char[]){names[i], '\0'});
        ck_assert_ptr_nonnull(t);
        for (int round = 0; round < 2; round++) {
            float value;
            ck_assert_int_eq(gguf_fetch(g, t, &err), STATUS_OK);
            memcpy(&value, t->data, sizeof value);
            ck_assert_float_eq(value, first[i]);
            gguf_release(g, t);
        }
    }
    gguf_close(g);
}
END_TEST

START_TEST(a_first_file_without_tensors_is_fine)
{
    gguf_builder_free(parts[0]);
    parts[0] = gguf_builder_new();
    say_part(parts[0], 0, N_PARTS);
    builder_int(parts[0], "split.tensors.count", GGUF_I32, 3, 4);
    write_part(0);
    struct gguf *g;
    struct error err = {0};
    ck_assert_msg(gguf_map(&g, path[0], &err) == STATUS_OK, "%s", err.text);
    ck_assert_uint_eq(gguf_n_tensors(g), 3);
    gguf_close(g);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    for (size_t i = 1; i < N_PARTS; i++) {
        ck_assert_int_eq(unlink(path[i]), 0);
        refused(path[0], STATUS_IO, path[i], "No such file");
        write_part(i);
    }
}
END_TEST

START_TEST(a_part_that_is_not_the_first_names_the_first)
{
    refused(path[1], STATUS_FORMAT, "file 2 of a model in 3", path[0]);
    refused(path[2], STATUS_FORMAT, "file 3 of a model in 3", path[0]);
}
END_TEST

START_TEST(a_file_under_another_name_or_in_memory_says_what_it_needs)
{
    char other[128];
    snprintf(other, sizeof other, "%s/other.gguf", folder);
    ck_assert_int_eq(rename(path[0], other), 0);
    refused(other, STATUS_FORMAT, "found by their names", "-00001-of-00003.gguf");
    ck_assert_int_eq(rename(other, path[0]), 0);

    size_t n;
    struct gguf *g = NULL;
    struct error err = {0};
    uint8_t *bytes = gguf_build(parts[0], &n);
    ck_assert_int_eq(gguf_open(&g, bytes, n, &err), STATUS_FORMAT);
    ck_assert_ptr_null(g);
    free(bytes);
}
END_TEST

START_TEST(a_part_of_another_model_is_named)
{
    say_part(parts[1], 2, N_PARTS);
    write_part(1);
    refused(path[0], STATUS_FORMAT, path[1], "file 3 of 3");
    say_part(parts[1], 1, 4);
    write_part(1);
    refused(path[0], STATUS_FORMAT, path[1], "file 2 of 4");
    builder_remove(parts[1], "split.count");
    builder_remove(parts[1], "split.no");
    write_part(1);
    refused(path[0], STATUS_FORMAT, path[1], "file 1 of 1");
}
END_TEST

START_TEST(a_part_that_is_no_right_file_is_named)
{
    ck_assert_int_eq(truncate(path[2], 70), 0);
    refused(path[0], STATUS_FORMAT, path[2], "ends inside");
    ck_assert_int_eq(truncate(path[2], 0), 0);
    refused(path[0], STATUS_FORMAT, path[2], "empty");
    ck_assert_int_eq(unlink(path[2]), 0);
    ck_assert_int_eq(symlink(folder, path[2]), 0);
    refused(path[0], STATUS_IO, path[2], "not a regular file");
}
END_TEST

START_TEST(a_tensor_in_two_files_is_named)
{
    static const float data[16] = {0};
    builder_tensor(parts[2], "b", 0, 16, 0, data, 64);
    write_part(2);
    for (size_t i = 0; i < 3; i++)
        builder_int(parts[i], "split.tensors.count", GGUF_I32, 5, 4);
    write_part(0);
    refused(path[0], STATUS_FORMAT, "tensor 'b'", "more than once");
}
END_TEST

START_TEST(numbers_that_do_not_add_up_are_refused)
{
    builder_int(parts[0], "split.tensors.count", GGUF_I32, 5, 4);
    write_part(0);
    refused(path[0], STATUS_FORMAT, "split.tensors.count", "have 4 tensors");
    builder_int(parts[0], "split.no", GGUF_U16, 3, 2);
    write_part(0);
    refused(path[0], STATUS_FORMAT, "split.no", "from 0 to 2");
    say_part(parts[0], 0, 65535);
    write_part(0);
    refused(path[0], STATUS_FORMAT, "split.count", "at most");
    builder_int(parts[0], "split.count", GGUF_U64, UINT64_MAX, 8);
    write_part(0);
    refused(path[0], STATUS_FORMAT, "split.count", "at most");
    builder_string(parts[0], "split.count", "3");
    write_part(0);
    refused(path[0], STATUS_FORMAT, "split.count", "string");
}
END_TEST

START_TEST(a_part_that_changed_after_it_was_opened_is_an_error)
{
    struct gguf *g;
    struct error err = {0};
    ck_assert_int_eq(gguf_map(&g, path[0], &err), STATUS_OK);
    ck_assert_int_eq(truncate(path[1], 40), 0);
    ck_assert_int_eq(gguf_fetch(g, gguf_find_tensor(g, "a"), &err), STATUS_OK);
    ck_assert_int_eq(gguf_fetch(g, gguf_find_tensor(g, "b"), &err), STATUS_IO);
    gguf_close(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("split");
    TCase *tcase = tcase_create("split");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_files_open_as_one);
    tcase_add_test(tcase, a_first_file_without_tensors_is_fine);
    tcase_add_test(tcase, a_missing_file_is_named);
    tcase_add_test(tcase, a_part_that_is_not_the_first_names_the_first);
    tcase_add_test(tcase, a_file_under_another_name_or_in_memory_says_what_it_needs);
    tcase_add_test(tcase, a_part_of_another_model_is_named);
    tcase_add_test(tcase, a_part_that_is_no_right_file_is_named);
    tcase_add_test(tcase, a_tensor_in_two_files_is_named);
    tcase_add_test(tcase, numbers_that_do_not_add_up_are_refused);
    tcase_add_test(tcase, a_part_that_changed_after_it_was_opened_is_an_error);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
