/* test_nearest.c - facts about mistyped names. */
#include "base/nearest.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

START_TEST(each_kind_of_slip_counts_one)
{
    ck_assert_uint_eq(nearest_distance("queue", "queue"), 0);
    ck_assert_uint_eq(nearest_distance("queue", "queu"), 1);
    ck_assert_uint_eq(nearest_distance("queue", "queuee"), 1);
    ck_assert_uint_eq(nearest_distance("queue", "qeeue"), 1);
    ck_assert_uint_eq(nearest_distance("queue", "qeuue"), 1); /* two swapped */
    ck_assert_uint_eq(nearest_distance("", "abc"), 3);
    ck_assert_uint_eq(nearest_distance("ca", "abc"), 3); /* restricted: no edit inside a swap */
}
END_TEST

START_TEST(too_long_names_have_no_distance)
{
    char name[NEAREST_MAX + 2];
    memset(name, 'a', sizeof name);
    name[NEAREST_MAX + 1] = '\0';
    ck_assert_uint_eq(nearest_distance(name, "a"), SIZE_MAX);
    name[NEAREST_MAX] = '\0';
    ck_assert_uint_eq(nearest_distance(name, "a"), NEAREST_MAX - 1);
}
END_TEST

START_TEST(the_nearest_name_has_the_fewest_slips)
{
    static const char *const names[] = {"max_tokens", "min_tokens", "top_k", "top_p"};
    ck_assert_str_eq(nearest_name("max_token", names, 4), "max_tokens");
    ck_assert_str_eq(nearest_name("mintokens", names, 4), "min_tokens");
    ck_assert_str_eq(nearest_name("topp", names, 4), "top_p");
    ck_assert_str_eq(nearest_name("top_x", names, 4), "top_k"); /* the first among equals */
    ck_assert_ptr_null(nearest_name("max_tokens", names, 0));
    char endless[3 * NEAREST_MAX];
    memset(endless, 'x', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    ck_assert_ptr_null(nearest_name(endless, names, 4));
}
END_TEST

START_TEST(a_name_with_slips_in_more_than_a_third_of_it_is_near_to_none)
{
    static const char *const names[] = {"max_tokens", "model", "prompt", "seed", "stop", "top_k"};
    static const char *const far[] = {"inputs", "bogus", "x", "", "mode1s1", "tokens"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        ck_assert_msg(nearest_name(far[i], names, 6) == NULL, "%s", far[i]);
    ck_assert_str_eq(nearest_name("promt", names, 6), "prompt");
    ck_assert_str_eq(nearest_name("sed", names, 6), "seed");
    ck_assert_str_eq(nearest_name("SEED", names, 6), "seed");
    ck_assert_str_eq(nearest_name("maxTokens", names, 6), "max_tokens");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nearest");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, each_kind_of_slip_counts_one);
    tcase_add_test(facts, too_long_names_have_no_distance);
    tcase_add_test(facts, the_nearest_name_has_the_fewest_slips);
    tcase_add_test(facts, a_name_with_slips_in_more_than_a_third_of_it_is_near_to_none);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
