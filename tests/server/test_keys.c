/* test_keys.c - facts about the key file. */
#include "server/keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct keys *parse(const char *text)
{
    struct keys *keys = NULL;
    struct error err;
    ck_assert_int_eq(keys_parse(&keys, text, strlen(text), "file", &err), STATUS_OK);
    return keys;
}

START_TEST(lines_are_keys_but_for_comments_and_blanks)
{
    struct keys *keys = parse("# ours\n  alpha \r\n\n\tbeta\t\n#gamma\ndelta");
    uint64_t salt;
    ck_assert_uint_eq(keys_count(keys), 3);
    ck_assert(keys_match(keys, "alpha", &salt));
    ck_assert(keys_match(keys, "beta", &salt));
    ck_assert(keys_match(keys, "delta", &salt));
    ck_assert(!keys_match(keys, "#gamma", &salt));
    ck_assert(!keys_match(keys, "gamma", &salt));
    keys_free(keys);
}
END_TEST

START_TEST(only_the_whole_key_matches)
{
    struct keys *keys = parse("alpha\n");
    char long_key[2 * KEY_BYTES_MAX];
    uint64_t salt = 7;
    memset(long_key, 'a', sizeof long_key);
    long_key[sizeof long_key - 1] = '\0';
    static const char *const wrong[] = {"", "alph", "alphaa", "Alpha", "alpha ", " alpha"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(!keys_match(keys, wrong[i], &salt), "%s", wrong[i]);
    ck_assert(!keys_match(keys, long_key, &salt));
    ck_assert(!keys_match(keys, NULL, &salt));
    ck_assert_uint_eq(salt, 7);
    keys_free(keys);
}
END_TEST

START_TEST(each_key_has_its_own_salt)
{
    struct keys *keys = parse("alpha\nbeta\n");
    uint64_t a = 0, again = 0, b = 0;
    ck_assert(keys_match(keys, "alpha", &a) && keys_match(keys, "alpha", &again));
    ck_assert(keys_match(keys, "beta", &b));
    ck_assert_uint_eq(a, again);
    ck_assert(a != b && a != 0 && b != 0);
    keys_free(keys);
}
END_TEST

START_TEST(a_bad_file_is_named_with_its_line)
{
    struct keys *keys = NULL;
    struct error err;
    ck_assert_int_eq(keys_parse(&keys, "ok\nof fence\n", 12, "file", &err), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "file:2"));
    ck_assert_int_eq(keys_parse(&keys, "a\0b\n", 4, "file", &err), STATUS_INVALID);
    ck_assert_int_eq(keys_parse(&keys, "# none\n\n", 8, "file", &err), STATUS_INVALID);
    ck_assert_int_eq(keys_parse(&keys, "", 0, "file", &err), STATUS_INVALID);
    char text[KEY_BYTES_MAX];
    memset(text, 'k', sizeof text);
    ck_assert_int_eq(keys_parse(&keys, text, sizeof text, "file", &err), STATUS_INVALID);
    ck_assert_int_eq(keys_load(&keys, "/nonexistent/keys", &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/keys"));
    ck_assert_ptr_null(keys);
    keys_free(NULL);
}
END_TEST

START_TEST(a_file_is_read)
{
    char path[] = "/tmp/smallmind-keys-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "alpha\n", 6), 6);
    close(fd);
    struct keys *keys = NULL;
    struct error err;
    uint64_t salt;
    enum status status = keys_load(&keys, path, &err);
    unlink(path);
    ck_assert_int_eq(status, STATUS_OK);
    ck_assert(keys_match(keys, "alpha", &salt));
    keys_free(keys);
}
END_TEST

static const char *write_file(const char *text)
{
    static char path[] = "/tmp/smallmind-keys-reload";
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

START_TEST(a_key_that_stays_over_a_reload_keeps_its_salt)
{
    struct keys *keys = parse("alpha\nbeta\n");
    struct error err;
    uint64_t before = 0, after = 0;
    ck_assert(keys_match(keys, "beta", &before));
    const char *path = write_file("beta\ngamma\n");
    ck_assert_int_eq(keys_reload(&keys, path, &err), STATUS_OK);
    ck_assert(keys_match(keys, "beta", &after) && !keys_match(keys, "alpha", &after));
    ck_assert_uint_eq(before, after);
    write_file("no key\n");
    ck_assert_int_eq(keys_reload(&keys, path, &err), STATUS_INVALID);
    unlink(path);
    ck_assert_int_eq(keys_reload(&keys, path, &err), STATUS_IO);
    ck_assert(keys_match(keys, "gamma", &after));
    keys_free(keys);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *tcase = tcase_create("keys");
    tcase_add_test(tcase, lines_are_keys_but_for_comments_and_blanks);
    tcase_add_test(tcase, only_the_whole_key_matches);
    tcase_add_test(tcase, each_key_has_its_own_salt);
    tcase_add_test(tcase, a_key_that_stays_over_a_reload_keeps_its_salt);
    tcase_add_test(tcase, a_bad_file_is_named_with_its_line);
    tcase_add_test(tcase, a_file_is_read);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
