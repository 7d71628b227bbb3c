/* test_gguf.c - facts about the GGUF reader: what a right file's keys say is found again, and each
 * thing that a wrong header or key can say is refused with its name. Tensors: test_gguf_tensors.c.
 */
#include "core/gguf/gguf_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(what_was_written_is_read)
{
    struct gguf *g = accepted();
    struct error err;
    uint64_t u = 0;
    float f = 0;
    bool flag = false, found = false;
    struct gguf_string s = {0};
    const struct gguf_value *v = NULL;
    ck_assert_uint_eq(gguf_version(g), 3);
    ck_assert_uint_eq(gguf_n_values(g), 7);
    ck_assert_int_eq(gguf_get_u64(g, "a.number", &u, NULL, &err), STATUS_OK);
    ck_assert_uint_eq(u, 42);
    ck_assert_int_eq(gguf_get_f32(g, "a.real", &f, NULL, &err), STATUS_OK);
    ck_assert(f == 0.25f);
    ck_assert_int_eq(gguf_get_bool(g, "a.bool", &flag, &found, &err), STATUS_OK);
    ck_assert(flag && found);
    ck_assert_int_eq(gguf_get_string(g, "general.architecture", &s, NULL, &err), STATUS_OK);
    ck_assert(s.n == 5 && memcmp(s.bytes, "llama", 5) == 0);
    ck_assert_int_eq(gguf_get_array(g, "some.words", GGUF_STRING, &v, NULL, &err), STATUS_OK);
    ck_assert_uint_eq(v->n, 3);
    ck_assert_uint_eq(gguf_string_at(v, 1).n, 0);
    ck_assert(gguf_string_at(v, 2).n == 5 && memcmp(gguf_string_at(v, 2).bytes, "three", 5) == 0);
    ck_assert_int_eq(gguf_get_array(g, "some.floats", GGUF_F32, &v, NULL, &err), STATUS_OK);
    ck_assert(gguf_f32_at(v, 2) == 3.25f);
    ck_assert_int_eq(gguf_get_array(g, "some.ints", GGUF_I32, &v, NULL, &err), STATUS_OK);
    ck_assert_int_eq(gguf_i32_at(v, 0), -1);
    let_go(g);
}
END_TEST

START_TEST(tensors_are_found_by_name_in_any_order)
{
    struct gguf *g = accepted();
    ck_assert_uint_eq(gguf_n_tensors(g), 3);
    const struct gguf_tensor *t = gguf_find_tensor(g, "second");
    ck_assert_ptr_eq(t, gguf_tensor_at(g, 0));
    ck_assert_uint_eq(t->n_dims, 2);
    ck_assert(t->ne[0] == 8 && t->ne[1] == 2 && t->ne[2] == 1 && t->ne[3] == 1);
    ck_assert_uint_eq(t->n_bytes, 64);
    ck_assert_mem_eq(t->data, b->tensors[0].data.p, 64);
    ck_assert_ptr_eq(gguf_find_tensor(g, "first"), gguf_tensor_at(g, 1));
    ck_assert_ptr_eq(gguf_find_tensor(g, "third"), gguf_tensor_at(g, 2));
    ck_assert_ptr_null(gguf_find_tensor(g, "fourth"));
    let_go(g);
}
END_TEST

START_TEST(version_2_is_read_too)
{
    b->version = 2;
    let_go(accepted());
}
END_TEST

START_TEST(integers_of_every_width_are_taken_when_they_fit)
{
    static const struct {
        uint32_t type;
        size_t n;
    } kinds[] = {{GGUF_U8, 1},  {GGUF_I8, 1},  {GGUF_U16, 2}, {GGUF_I16, 2},
                 {GGUF_U32, 4}, {GGUF_I32, 4}, {GGUF_U64, 8}, {GGUF_I64, 8}};
    for (size_t i = 0; i < 8; i++) {
        struct error err = {0};
        uint64_t u = 0;
        builder_int(b, "a.number", kinds[i].type, 100, kinds[i].n);
        struct gguf *g = accepted();
        ck_assert_int_eq(gguf_get_u64(g, "a.number", &u, NULL, &err), STATUS_OK);
        ck_assert_uint_eq(u, 100);
        let_go(g);
        builder_int(b, "a.number", kinds[i].type, UINT64_MAX, kinds[i].n);
        g = accepted();
        bool is_signed = kinds[i].type % 2 == 1;
        ck_assert_int_eq(gguf_get_u64(g, "a.number", &u, NULL, &err),
                         is_signed ? STATUS_FORMAT : STATUS_OK);
        ck_assert(!is_signed || strstr(err.text, "'a.number' is -1") != NULL);
        let_go(g);
    }
}
END_TEST

START_TEST(a_wrong_type_names_key_found_and_wanted)
{
    struct gguf *g = accepted();
    struct error err;
    uint64_t u = 7;
    float f = 7;
    bool flag = true, found = false;
    struct gguf_string s = {NULL, 7};
    const struct gguf_value *v = NULL;
    ck_assert_int_eq(gguf_get_u64(g, "a.real", &u, &found, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "key 'a.real' is f32; an integer is needed");
    ck_assert_str_eq(err.param, "a.real");
    ck_assert_int_eq(gguf_get_f32(g, "a.number", &f, &found, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "key 'a.number' is u32; an f32 is needed");
    ck_assert_int_eq(gguf_get_bool(g, "a.number", &flag, &found, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_string(g, "some.words", &s, &found, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "key 'some.words' is an array of string; a string is needed");
    ck_assert_int_eq(gguf_get_array(g, "some.floats", GGUF_I32, &v, &found, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "key 'some.floats' is an array of f32; an array of i32 is needed");
    ck_assert_int_eq(gguf_get_array(g, "a.number", GGUF_U32, &v, &found, &err), STATUS_FORMAT);
    ck_assert(u == 7 && f == 7 && flag && s.n == 7 && v == NULL); /* outputs untouched */
    let_go(g);
}
END_TEST

START_TEST(an_absent_key_is_an_error_only_where_it_must_exist)
{
    struct gguf *g = accepted();
    struct error err;
    uint64_t u = 7;
    bool found = true;
    ck_assert_int_eq(gguf_get_u64(g, "no.key", &u, &found, &err), STATUS_OK);
    ck_assert(!found && u == 7);
    ck_assert_int_eq(gguf_get_u64(g, "no.key", &u, NULL, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "key 'no.key' is missing; an integer is needed");
    let_go(g);
}
END_TEST

/* --- a: the file and its header --- */

START_TEST(other_magics_and_versions_are_refused)
{
    b->version = 1;
    refused(STATUS_UNSUPPORTED, "version 1", "2 and 3");
    b->version = 4;
    refused(STATUS_UNSUPPORTED, "version 4", "2 and 3");
    b->version = 0x03000000;
    refused(STATUS_UNSUPPORTED, "byte-swapped", "little-endian");
    struct gguf *g = NULL;
    struct error err;
    ck_assert_int_eq(gguf_open(&g, (const uint8_t *)"GGML3456789012345678901234567890", 32, &err),
                     STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "47 47 4d 4c"));
    ck_assert_int_eq(gguf_open(&g, (const uint8_t *)"", 0, &err), STATUS_FORMAT);
}
END_TEST

START_TEST(only_a_regular_file_that_exists_is_opened)
{
    char folder[] = "/tmp/smallmind-gguf-XXXXXX", path[128];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    struct gguf *g = NULL;
    struct error err;
    ck_assert_int_eq(gguf_map(&g, folder, &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
    snprintf(path, sizeof path, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(gguf_map(&g, path, &err), STATUS_IO); /* and does not wait for a writer */
    unlink(path);
    ck_assert_int_eq(gguf_map(&g, path, &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(gguf_map(&g, path, &err), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "empty"));
    unlink(path);
    rmdir(folder);
    ck_assert_ptr_null(g);
}
END_TEST

/* --- b: counts --- */

START_TEST(counts_beyond_the_file_or_the_limit_are_refused_before_anything_is_allocated)
{
    static const uint64_t counts[] = {1000, 65537, UINT32_MAX, (uint64_t)1 << 61, UINT64_MAX - 1};
    for (size_t i = 0; i < 5; i++) {
        b->n_values_declared = counts[i];
        refused(STATUS_FORMAT, "keys", "room for");
        b->n_values_declared = UINT64_MAX;
        b->n_tensors_declared = counts[i];
        refused(STATUS_FORMAT, "tensors", "room for");
        b->n_tensors_declared = UINT64_MAX;
    }
}
END_TEST

START_TEST(metadata_beyond_its_cap_are_refused)
{
    /* Three arrays of 16 Mi u64: each is allowed, all of them are not. Nothing reads their pages.
     */
    size_t n_array = (size_t)128 << 20, size = 3 * n_array + 4096;
    uint8_t *bytes = calloc(1, size);
    ck_assert_ptr_nonnull(bytes);
    struct builder_bytes head = {0};
    builder_put(&head, "GGUF", 4);
    builder_put_int(&head, 3, 4);
    builder_put_int(&head, 0, 8);
    builder_put_int(&head, 3, 8);
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        char key[] = "big.0";
        key[4] = (char)('0' + i);
        builder_put_string(&head, key, 5);
        builder_put_int(&head, GGUF_ARRAY, 4);
        builder_put_int(&head, GGUF_U64, 4);
        builder_put_int(&head, 16 << 20, 8);
        memcpy(bytes + at, head.p, head.n);
        at += head.n + n_array;
        head.n = 0;
    }
    free(head.p);
    struct gguf *g = NULL;
    struct error err;
    ck_assert_int_eq(gguf_open(&g, bytes, size, &err), STATUS_TOO_LARGE);
    ck_assert_msg(strstr(err.text, "metadata") != NULL && strstr(err.text, "'big.2'") == NULL, "%s",
                  err.text);
    free(bytes);
}
END_TEST

/* --- c: strings, keys, names --- */

static void put_raw_key(const void *bytes, size_t n)
{
    struct builder_value *v = &b->values[b->n_values++];
    builder_put(&v->key, bytes, n);
    builder_put_int(&v->body, GGUF_U8, 4);
    builder_put_int(&v->body, 1, 1);
}

START_TEST(empty_and_unprintable_keys_are_refused)
{
    put_raw_key("", 0);
    refused(STATUS_FORMAT, "key number 8", "printable");
    b->n_values--;
    put_raw_key("a\nb", 3);
    refused(STATUS_FORMAT, "key number 8", "printable");
    b->n_values--;
    b->values[b->n_values].key.n = 0;
    put_raw_key("a\0b", 3);
    refused(STATUS_FORMAT, "key number 8", "printable");
    b->n_values--;
    b->values[b->n_values].key.n = 0;
    put_raw_key("caf\xc3\xa9", 5);
    refused(STATUS_FORMAT, "key number 8", "printable");
}
END_TEST

START_TEST(a_key_given_twice_is_refused)
{
    put_raw_key("a.real", 6);
    refused(STATUS_FORMAT, "key 'a.real'", "more than once");
}
END_TEST

START_TEST(string_lengths_beyond_the_file_or_the_limit_are_refused)
{
    static const uint64_t lengths[] = {1 << 20, (1 << 20) + 1, (uint64_t)1 << 32, (uint64_t)1 << 63,
                                       UINT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        struct builder_value *v = builder_value(b, "a.text");
        builder_put_int(&v->body, GGUF_STRING, 4);
        builder_put_int(&v->body, lengths[i], 8);
        refused(STATUS_FORMAT, "'a.text'",
                lengths[i] == 1 << 20 ? "ends inside" : "at most 1048576");
    }
    builder_remove(b, "a.text");
    char *long_key = malloc(65537);
    memset(long_key, 'k', 65537);
    put_raw_key(long_key, 65537);
    free(long_key);
    refused(STATUS_FORMAT, "key number 8", "at most 65535");
}
END_TEST

START_TEST(a_string_of_the_largest_size_is_read)
{
    char *text = malloc((1 << 20) + 1);
    memset(text, 'x', 1 << 20);
    text[1 << 20] = '\0';
    builder_string(b, "a.template", text);
    struct gguf *g = accepted();
    struct gguf_string s;
    ck_assert_int_eq(gguf_get_string(g, "a.template", &s, NULL, NULL), STATUS_OK);
    ck_assert_uint_eq(s.n, 1 << 20);
    let_go(g);
    free(text);
}
END_TEST

START_TEST(tensor_names_are_short_printable_and_unique)
{
    char name[80];
    memset(name, 'n', sizeof name);
    struct builder_tensor *t = &b->tensors[1];
    t->name.n = 0;
    builder_put(&t->name, name, 64);
    refused(STATUS_FORMAT, "tensor number 2", "at most 63");
    t->name.n = 63;
    let_go(accepted());
    t->name.n = 0;
    refused(STATUS_FORMAT, "tensor number 2", "empty");
    builder_put(&t->name, "a\tb", 3);
    refused(STATUS_FORMAT, "tensor number 2", "printable");
    t->name.n = 0;
    builder_put(&t->name, "third", 5);
    refused(STATUS_FORMAT, "tensor 'third'", "more than once");
}
END_TEST

/* --- d, e: value types and arrays --- */

START_TEST(unknown_value_types_and_bools_are_refused)
{
    builder_int(b, "a.odd", 13, 0, 4);
    refused(STATUS_FORMAT, "key 'a.odd'", "type 13");
    builder_int(b, "a.odd", UINT32_MAX, 0, 4);
    refused(STATUS_FORMAT, "key 'a.odd'", "0 to 12");
    builder_bool(b, "a.odd", 2);
    refused(STATUS_FORMAT, "key 'a.odd'", "0 or 1");
    builder_put(builder_array(b, "a.odd", GGUF_BOOL, 3), "\1\0\7", 3);
    refused(STATUS_FORMAT, "key 'a.odd'", "value 7");
}
END_TEST

START_TEST(arrays_of_unknown_types_and_of_arrays_are_refused)
{
    builder_array(b, "an.array", 13, 0);
    refused(STATUS_FORMAT, "key 'an.array'", "type 13");
    builder_array(b, "an.array", GGUF_ARRAY, 0);
    refused(STATUS_UNSUPPORTED, "key 'an.array'", "array of arrays");
}
END_TEST

START_TEST(array_counts_beyond_the_file_or_the_limit_are_refused)
{
    static const uint64_t counts[] = {5000, (16 << 20) + 1, (uint64_t)1 << 61, (uint64_t)1 << 62,
                                      UINT64_MAX};
    static const uint32_t types[] = {GGUF_F32, GGUF_STRING, GGUF_U64};
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 3; k++) {
            builder_array(b, "an.array", types[k], counts[i]);
            refused(STATUS_FORMAT, "key 'an.array'", "elements");
        }
    }
    /* The count fits, the strings in it do not. */
    struct builder_bytes *body = builder_array(b, "an.array", GGUF_STRING, 2);
    builder_put_string(body, "x", 1);
    builder_put_int(body, 1 << 19, 8);
    refused(STATUS_FORMAT, "key 'an.array'", "ends inside");
}
END_TEST

START_TEST(empty_arrays_are_read)
{
    builder_array(b, "no.words", GGUF_STRING, 0);
    builder_array(b, "no.floats", GGUF_F32, 0);
    struct gguf *g = accepted();
    ck_assert_uint_eq(gguf_find(g, "no.words")->n, 0);
    let_go(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf");
    TCase *tc = tcase_create("facts");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_was_written_is_read);
    tcase_add_test(tc, tensors_are_found_by_name_in_any_order);
    tcase_add_test(tc, version_2_is_read_too);
    tcase_add_test(tc, integers_of_every_width_are_taken_when_they_fit);
    tcase_add_test(tc, a_wrong_type_names_key_found_and_wanted);
    tcase_add_test(tc, an_absent_key_is_an_error_only_where_it_must_exist);
    tcase_add_test(tc, other_magics_and_versions_are_refused);
    tcase_add_test(tc, only_a_regular_file_that_exists_is_opened);
    tcase_add_test(tc,
                   counts_beyond_the_file_or_the_limit_are_refused_before_anything_is_allocated);
    tcase_add_test(tc, metadata_beyond_its_cap_are_refused);
    tcase_add_test(tc, empty_and_unprintable_keys_are_refused);
    tcase_add_test(tc, a_key_given_twice_is_refused);
    tcase_add_test(tc, string_lengths_beyond_the_file_or_the_limit_are_refused);
    tcase_add_test(tc, a_string_of_the_largest_size_is_read);
    tcase_add_test(tc, tensor_names_are_short_printable_and_unique);
    tcase_add_test(tc, unknown_value_types_and_bools_are_refused);
    tcase_add_test(tc, arrays_of_unknown_types_and_of_arrays_are_refused);
    tcase_add_test(tc, array_counts_beyond_the_file_or_the_limit_are_refused);
    tcase_add_test(tc, empty_arrays_are_read);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
